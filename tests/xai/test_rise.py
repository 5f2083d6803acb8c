"""RISE against hand-computed numbers, a plain double loop and its expectation on a linear function."""

import cv2
import numpy as np
import pytest

from xai.errors import WhyfakeError
from xai.maps.rise import estimate, masks_of, rise

SIZE = (10, 14)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(0, 1, (1, *SIZE, 3)).astype(np.float32)


def curved(images):
    left, right = images[:, :, :7].mean((1, 2, 3)), images[:, :, 7:].mean((1, 2, 3))
    return 20 * left * right - 5 * right**2


def test_hand_computed_estimate():
    """Logits 4, 2, 0 of masks that show pixel 0 in the first, pixel 1 in the last, pixel 2 always; keep 0.5.

    Above their mean they are 2, 0, -2: pixel 0 has 2 / (3 x 0.5), pixel 1 minus that, pixel 2 nothing.
    The terms rise x (mask - keep) are 1, 0, 1 at pixel 0, of variance 1/3, and 1, 0, -1 at pixel 2, of
    variance 1; an error is sqrt(variance / 3) / 0.5.
    """
    masks = np.array([[[1, 0, 1]], [[0, 0, 1]], [[0, 1, 1]]], np.float32)
    shown, errors = estimate(np.array([4.0, 2.0, 0.0]), iter(masks), (1, 3), 0.5)
    assert np.allclose(shown, [[4 / 3, -4 / 3, 0]])
    assert np.allclose(errors, [[2 / 3, 2 / 3, 2 / np.sqrt(3)]])


def test_plain_double_loop_with_the_same_masks(image):
    count, keep, fill = 60, 0.4, 0.25
    masks = list(masks_of(count, SIZE, grid=4, keep=keep, seed=9))
    scores = [float(curved((mask[..., None] * image[0] + (1 - mask[..., None]) * fill)[None])[0]) for mask in masks]
    middle = sum(scores) / count
    answer = rise(curved, image, masks=count, grid=4, keep=keep, fill=np.float32(fill), seed=9)
    for y, x in np.ndindex(*SIZE):
        shown = sum((score - middle) * mask[y, x] for score, mask in zip(scores, masks, strict=True)) / (count * keep)
        terms = [(score - middle) * (mask[y, x] - keep) / keep for score, mask in zip(scores, masks, strict=True)]
        assert answer.maps[0, y, x] == pytest.approx(shown, abs=1e-5)
        assert answer.extras["standard_error"][0, y, x] == pytest.approx(np.std(terms, ddof=1) / np.sqrt(count), rel=1e-4)


def test_the_paper_s_map_is_this_one_plus_the_mean_score(image):
    masks = np.stack(list(masks_of(300, SIZE, seed=2)))
    scores = curved(masks[..., None] * image)
    paper = np.einsum("i,ihw->hw", scores, masks) / (300 * 0.5)
    mean = scores.mean() * masks.mean(0) / 0.5
    assert np.allclose(rise(curved, image, masks=300, seed=2).maps[0] + mean, paper, atol=1e-4)


def expectation(parts, grid, keep):
    """Return RISE's map of the linear function sum(parts x mask) for infinitely many masks.

    A mask is R G C' with independent cells G of variance keep (1 - keep), so cov(f, M) = keep (1 - keep)
    E[R R'] parts E[C C'], the expectations over the shifts, which R and C come from.
    """
    products = []
    for side in parts.shape:
        cell = -(-side // grid)
        table = cv2.resize(np.eye(grid), (grid, (grid + 1) * cell), interpolation=cv2.INTER_LINEAR)
        products.append(np.mean([table[shift : shift + side] @ table[shift : shift + side].T for shift in range(cell)], axis=0))
    return (1 - keep) * products[0] @ parts @ products[1]


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_linear_function_truth_lies_within_its_standard_error(image, keep):
    weights = np.random.default_rng(1).normal(size=(*SIZE, 3))
    parts = (weights * (image[0] + 1)).sum(-1)  # hidden is -1
    truth = expectation(parts, 3, keep)
    inside, total = [], np.zeros(SIZE)
    for seed in range(50):
        found = rise(lambda batch: (batch * weights).sum((1, 2, 3)), image, masks=200, grid=3, keep=keep, low=-1, seed=seed, batch_size=200)
        inside.append(np.abs(found.maps[0] - truth) <= 1.96 * found.extras["standard_error"][0])
        total += found.maps[0]
    assert 0.90 <= np.mean(inside) <= 0.98
    assert np.corrcoef((total / 50).ravel(), truth.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("size", "grid"), [((10, 14), 4), ((7, 7), 7), ((9, 20), 1), ((15, 16), 8)])
def test_masks_have_the_promised_mean_everywhere(size, grid):
    masks = np.stack(list(masks_of(1500, size, grid, keep=0.3, seed=1)))
    assert masks.shape == (1500, *size) and masks.dtype == np.float32
    assert masks.min() >= 0 and masks.max() <= 1
    assert np.abs(masks.mean(0) - 0.3).max() < 4.5 * np.sqrt(0.3 * 0.7 / 1500)


def test_masks_are_shifted_by_up_to_a_cell():
    """Two cells of four pixels are enlarged to twelve, so the edge between them lies at pixel 6 less the shift."""
    masks = [mask for mask in masks_of(400, (8, 8), 2, seed=0) if (mask == mask[0]).all() and mask[0, 0] > 0.5 > mask[0, -1]]
    assert {int((mask[0] > 0.5).sum()) for mask in masks} == {6, 5, 4, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": 1}, "1 masks; expected 2 or more"),
        ({"grid": 11}, "a grid of 11 cells a side on images of 14 x 10; expected 1 to 10"),
        ({"keep": 1.0}, "keep 1.0; expected more than 0 and less than 1"),
    ],
)
def test_errors(image, options, message):
    with pytest.raises(WhyfakeError, match=message):
        rise(curved, image, **options)
    with pytest.raises(WhyfakeError, match=message):
        rise(curved, image[:0], **options)
