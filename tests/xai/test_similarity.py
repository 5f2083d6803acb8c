"""Rank correlation and structural similarity of maps: by hand, and against SciPy and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xai.trust.similarity import flat, pooled, positive, spearman, ssim


def test_ranks_by_hand():
    """1 2 3 4 against 1 3 2 4: 1 - 6 (1 + 1) / (4 (16 - 1)) = 0.8; with a tie, 1 2.5 2.5 4: 4.5 / sqrt(5 * 4.5)."""
    a = np.array([[[1.0, 2.0], [3.0, 4.0]]] * 3)
    b = np.array([[[1.0, 30.0], [2.0, 400.0]], [[1.0, 2.0], [2.0, 7.0]], [[4.0, 3.0], [2.0, 1.0]]])
    assert np.allclose(spearman(a, b), [0.8, 4.5 / np.sqrt(5 * 4.5), -1], rtol=0, atol=1e-15)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (2, 5, 6), elements=st.integers(-4, 4)))
def test_ranks_equal_scipy(pair):
    from scipy.stats import spearmanr

    a, b = pair[:1], pair[1:]
    if flat(a)[0] or flat(b)[0]:
        assert np.isnan(spearman(a, b)[0])
    else:
        assert abs(spearman(a, b)[0] - spearmanr(a.ravel(), b.ravel()).statistic) <= 1e-12


def test_maps_without_an_order():
    """A constant map has no ranks, and neither has rounding of a constant one."""
    rng = np.random.default_rng(0)
    maps = np.stack([np.zeros((3, 3)), np.full((3, 3), 7), 1000 + 1e-5 * rng.random((3, 3)), rng.random((3, 3))]).astype(np.float32)
    assert flat(maps).tolist() == [True, True, True, False]
    assert np.isnan(spearman(maps, maps[::-1])).all()


def test_similarity_by_hand():
    """3 x 3 maps have one window: means 1/9, sample variances 1/9, covariance 8 x 0 - 1/72 for spikes at different cells."""
    a, b = np.zeros((1, 3, 3)), np.zeros((1, 3, 3))
    a[0, 0, 0], b[0, 2, 2] = 5, 3
    both, light, contrast = -1 / 72, 1e-4, 9e-4
    expected = (2 / 81 + light) / (2 / 81 + light) * (2 * both + contrast) / (2 / 9 + contrast)
    assert np.allclose(ssim(a, b), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (30, 41), (7, 7), (6, 9), (5, 4), (3, 3)])
def test_similarity_equals_skimage(size):
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(sum(size))
    a, b = rng.normal(size=(2, 4, *size))
    b[2:] = a[2:] + 0.3 * b[2:]
    window = min(7, *(side if side % 2 else side - 1 for side in size))
    expected = [structural_similarity(x, y, win_size=window, data_range=1.0) for x, y in zip(positive(a), positive(b), strict=True)]
    assert np.abs(ssim(a, b) - expected).max() <= 1e-5


def test_similarity_of_maps_too_small_for_a_window():
    assert np.isnan(ssim(np.ones((2, 2, 8)), np.ones((2, 2, 8)))).all()


def test_only_the_positive_part_and_not_its_height_counts():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(2, 9, 9))
    assert np.allclose(ssim(a, 100 * np.maximum(a, 0)), 1) and positive(-np.abs(a)).max() == 0


def test_large_maps_are_averaged():
    """128 x 3 to 64 x 3: pairs of rows; a map that is small enough comes back as it is."""
    maps = np.arange(128 * 3, dtype=np.float32).reshape(1, 128, 3)
    assert np.array_equal(pooled(maps), maps.reshape(1, 64, 2, 3).mean(2))
    assert pooled(maps[:, :64]).base is maps.base and pooled(maps, 3).shape == (1, 3, 3)
    assert np.allclose(pooled(np.random.default_rng(0).random((2, 100, 90), np.float32)).mean((1, 2)), 0.5, atol=0.02)
