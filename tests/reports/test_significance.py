"""Which cells of a mean map are more than chance: by hand, and on simulated maps whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.significance import significant


def moments(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return what a run stores of maps `(N, h, w)`."""
    return maps.mean(0), maps.std(0), len(maps)


def test_one_cell_is_the_t_test() -> None:
    # Eight values of mean 1 and population variance 24 / 8: t = 1 / sqrt(3 / 7) = 1.53, p = 0.17.
    values = np.array([3.0, 1, 1, 1, 1, 1, 3, -3]).reshape(-1, 1, 1)
    mean, std, count = moments(values)
    assert (float(mean[0, 0]), round(float(std[0, 0]) ** 2, 9)) == (1.0, 3.0)
    assert not significant(mean, std, count, signed=True).any()
    assert significant(mean + 1, std, count, signed=True).all()  # t = 2 / sqrt(3 / 7) = 3.06
    assert stats.ttest_1samp(values.ravel() + 1, 0).pvalue == pytest.approx(0.0184, abs=1e-4)


def test_many_cells_ask_more_of_each() -> None:
    mean, std = np.zeros((10, 10)), np.ones((10, 10))
    mean[0, 0] = 0.62  # of 17 images: t = 2.48, p = 0.025, enough alone, not among a hundred
    assert significant(mean[:1, :1], std[:1, :1], 17, signed=True).all()
    assert not significant(mean, std, 17, signed=True).any()


@pytest.mark.parametrize("signed", [True, False])
def test_noise_is_rarely_called_a_finding(signed: bool) -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        maps = random.normal(0, 1, (20, 8, 8)) if signed else random.normal(1.0, 0.3, (20, 8, 8))
        hits += significant(*moments(maps), signed).any()
    assert hits / 300 <= 0.08  # 0.05 is what it promises; three standard errors of 300 trials


@pytest.mark.parametrize("signed", [True, False])
def test_a_planted_bump_is_found(signed: bool) -> None:
    random = np.random.default_rng(2)
    maps = np.abs(random.normal(0.5, 0.1, (40, 12, 12))) if not signed else random.normal(0, 0.2, (40, 12, 12))
    maps[:, 2:4, 5:8] += 0.6
    found = significant(*moments(maps), signed)
    assert found[2:4, 5:8].all()
    others = np.ones_like(found)
    others[2:4, 5:8] = False
    assert found[others].mean() < 0.03


def test_strong_images_do_not_make_a_pattern() -> None:
    random = np.random.default_rng(3)
    maps = random.gamma(1.0, 5.0, (30, 1, 1)) * np.ones((1, 6, 6))  # every map is flat, only of other strength
    assert not significant(*moments(maps), signed=False).any()


def test_below_the_average_is_no_finding_of_an_unsigned_map() -> None:
    # The average of 1 lies surely above the three zeros and below the four.
    mean, std = np.array([[0.0, 0.0, 0.0, 4.0]]), np.full((1, 4), 0.1)
    assert significant(mean, std, 50, signed=False).tolist() == [[False, False, False, True]]


def test_the_sign_does_not_matter() -> None:
    random = np.random.default_rng(4)
    mean, std, count = moments(random.normal(0.3, 1, (25, 5, 5)))
    np.testing.assert_array_equal(significant(mean, std, count, True), significant(-mean, std, count, True))


def test_too_few_maps_and_constant_cells_show_nothing() -> None:
    far, none = np.full((2, 2), 9.0), np.zeros((2, 2))
    assert not significant(far, np.ones((2, 2)), 7, signed=True).any()
    assert significant(far, np.ones((2, 2)), 8, signed=True).all()
    assert not significant(far, none, 100, signed=True).any()
