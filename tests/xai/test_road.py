"""Imputed pixels against the paper's equations, solved directly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from xai.errors import WhyfakeError
from xai.trust.road import impute, spread

NEIGHBOURS = {(-1, -1): 1 / 12, (-1, 0): 1 / 6, (-1, 1): 1 / 12, (0, -1): 1 / 6, (0, 1): 1 / 6, (1, -1): 1 / 12, (1, 0): 1 / 6, (1, 1): 1 / 12}


def solved(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """The paper's system, an equation a removed pixel, written down pixel by pixel and handed to SciPy."""
    places = {tuple(place): number for number, place in enumerate(np.argwhere(removed).tolist())}
    matrix, right = lil_matrix((len(places), len(places))), np.zeros((len(places), 3))
    for (y, x), row in places.items():
        for (down, aside), weight in NEIGHBOURS.items():
            other = y + down, x + aside
            if 0 <= other[0] < removed.shape[0] and 0 <= other[1] < removed.shape[1]:
                matrix[row, row] += weight
                if other in places:
                    matrix[row, places[other]] -= weight
                else:
                    right[row] += weight * image[other].astype(np.float64)
    out = image.astype(np.float64)
    out[removed] = spsolve(matrix.tocsc(), right).reshape(-1, 3)
    return out


def masks(size: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 5)
    edge = np.zeros(size, bool)
    edge[:, :7] = edge[-5:] = True
    board = np.indices(size).sum(0) % 2 == 0
    found = {"edge": edge, "board": board, "noise": rng.random(size) < 0.5, "sparse": rng.random(size) < 0.95}
    return found | {f"regions {share}": smooth >= np.quantile(smooth, 1 - share) for share in (0.1, 0.5, 0.9)}


@pytest.mark.parametrize("size", [(48, 48), (37, 50)])
@pytest.mark.parametrize("name", masks((48, 48)))
def test_against_a_direct_solve(name, size):
    image, removed = np.random.default_rng(1).uniform(0, 255, (*size, 3)), masks(size)[name]
    wanted = solved(image, removed)
    assert np.abs(impute(image, removed, tolerance=1e-7) - wanted).max() < 1e-5
    quick = impute(image.astype(np.float32), removed)
    assert quick.dtype == np.float32 and np.abs(quick - wanted).max() < 0.3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(2, 12))
def test_of_any_size_and_mask(seed, height, width):
    rng = np.random.default_rng(seed)
    image, removed = rng.uniform(-1, 1, (height, width, 3)), rng.random((height, width)) < rng.random()
    removed[rng.integers(height), rng.integers(width)] = False
    assert np.abs(impute(image, removed, tolerance=1e-9) - solved(image, removed)).max() < 1e-5


def test_by_hand():
    """A removed corner: 5 x 1/6 + 3 x 1/6 + 1 x 1/12, over 5/12."""
    image = np.zeros((3, 3, 3))
    image[0, 1], image[1, 0], image[1, 1] = 5, 3, 1
    removed = np.zeros((3, 3), bool)
    removed[0, 0] = True
    assert impute(image, removed, tolerance=1e-9)[0, 0].tolist() == pytest.approx([(5 / 6 + 3 / 6 + 1 / 12) / (5 / 12)] * 3)


def test_a_slope_is_continued():
    """The mean of its neighbours is what a pixel on a slope has anyway."""
    image = np.repeat(np.indices((40, 40)).sum(0)[..., None], 3, 2).astype(np.float32)
    removed = np.zeros((40, 40), bool)
    removed[10:30, 5:25] = True
    assert np.abs(impute(image, removed) - image).max() < 0.1


def test_what_stays_keeps_every_bit():
    image, removed = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32), masks((32, 32))["noise"]
    before, found = image.copy(), impute(image, removed, np.ones((32, 32, 3), np.float32))
    assert np.array_equal(found[~removed], image[~removed]) and np.array_equal(image, before)
    assert np.array_equal(impute(image, np.zeros((32, 32), bool)), image)


def test_noise_is_added_to_what_is_removed():
    image, removed = np.full((8, 8, 3), 7.0), np.eye(8, dtype=bool)
    noise = np.random.default_rng(0).standard_normal(image.shape)
    assert np.allclose(impute(image, removed, noise, tolerance=1e-9) - image, np.where(removed[..., None], noise, 0))


def test_a_guess_stays_within_what_is_known():
    image, removed = np.random.default_rng(0).uniform(3, 5, (33, 47, 3)), masks((33, 47))["sparse"]
    guess = spread(image, removed)
    assert guess.min() >= image[~removed].min() and guess.max() <= image[~removed].max() and np.array_equal(guess[~removed], image[~removed])


def test_nothing_left():
    with pytest.raises(WhyfakeError, match="every pixel is to be removed; expected a fraction below 1"):
        impute(np.zeros((2, 2, 3)), np.ones((2, 2), bool))
