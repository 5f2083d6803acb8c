"""Sobol indices against hand-computed numbers, closed forms and plain loops."""

import tracemalloc

import numpy as np
import pytest

from xai.errors import WhyfakeError
from xai.maps.sobol import design, enlarged, jansen, sobol


def lit(values):
    """Return a black image whose red pixels are `values`, one pixel per cell of a square grid."""
    side = int(np.sqrt(len(values)))
    image = np.zeros((1, side, side, 3), np.float32)
    image[0, ..., 0] = np.reshape(values, (side, side))
    return image


def red(images):
    return images[..., 0].reshape(len(images), -1)


def test_hand_computed_indices():
    """A gives 1, 3 and B 3, 1: variance 1. The first cell moves A by 2 and 0, the second by 0 and 0."""
    indices, variance = jansen(np.array([[1.0, 3], [3, 1], [3, 3], [1, 3]]))
    assert variance == 1
    assert indices.tolist() == [(2**2 + 0) / 2 / 2, 0]


def test_an_additive_function_s_indices_are_variance_shares():
    """Each cell is uniform and adds value² / 12 to the variance."""
    values = np.array([1, 2, -3, 4])
    answer = sobol(lambda x: red(x).sum(1), lit(values), samples=1024, grid=2, fill="black", batch_size=2048)
    assert np.allclose(answer.maps.ravel(), values**2 / 30, atol=0.02)
    assert answer.extras["variance"] == pytest.approx(30 / 12, rel=0.02)


def test_a_product_s_indices_sum_to_more_than_one():
    """x y of two uniforms: variance 7/144, and 1/36 of it stays when the other is known: 4/7 each."""
    answer = sobol(lambda x: red(x)[:, 0] * red(x)[:, 1], lit([1, 1, 1, 1]), samples=1024, grid=2, fill="black", batch_size=2048)
    assert np.allclose(answer.maps.ravel(), [4 / 7, 4 / 7, 0, 0], atol=0.03)


def test_plain_loops_on_the_same_design():
    rng = np.random.default_rng(0)
    image, hidden = rng.uniform(0, 1, (2, 6, 9, 3)).astype(np.float32)
    curved = lambda x: np.sin(5 * x[:, :3].mean((1, 2, 3))) * x[:, :, 4:].mean((1, 2, 3))  # noqa: E731
    first, second = design(16, 9, seed=5)
    rows, columns = np.arange(6) * 3 // 6, np.arange(9) * 3 // 9

    def answer(cells):
        mask = cells.reshape(3, 3)[rows][:, columns][..., None]
        return float(curved((mask * image + (1 - mask) * hidden)[None])[0])

    scores = [[answer(cells) for cells in part] for part in (first, second)]
    expected = np.zeros(9)
    for cell in range(9):
        for row, score in enumerate(scores[0]):
            mixed = first[row].copy()
            mixed[cell] = second[row, cell]
            expected[cell] += (answer(mixed) - score) ** 2 / (2 * 16) / np.var(scores)
    found = sobol(curved, image[None], samples=16, grid=3, fill=hidden, seed=5).maps[0]
    assert np.allclose(found, expected.reshape(3, 3)[rows][:, columns], rtol=1e-4, atol=1e-6)


def test_indices_stay_near_zero_and_one():
    rng = np.random.default_rng(2)
    image = rng.uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    found = sobol(lambda x: np.tanh(x[:, :8].mean((1, 2, 3)) / 50 - 2), image, grid=4, fill="black").maps
    assert found.min() >= 0 and found.max() < 1.2
    assert np.abs(found[0, 8:]).max() < 1e-9 < found[0, :8].min()  # what is not read has no share


@pytest.mark.parametrize("size", [(7, 5), (16, 16), (5, 12)])
def test_cells_are_painted_on_their_pixels(size):
    cells = np.arange(25, dtype=np.float32).reshape(5, 5)
    expected = cells[np.arange(size[0]) * 5 // size[0]][:, np.arange(size[1]) * 5 // size[1]]
    assert np.array_equal(enlarged(cells, size), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 30}, "30 samples; expected a power of two: 2, 4, 8, 16, 32"),
        ({"samples": 1}, "1 samples; expected a power of two"),
        ({"grid": 9}, "a grid of 9 cells a side on images of 10 x 8; expected 1 to 8"),
    ],
)
def test_errors(options, message):
    with pytest.raises(WhyfakeError, match=message):
        sobol(lambda x: x.sum((1, 2, 3)), np.zeros((1, 8, 10, 3), np.float32), **options)


def test_a_grid_beyond_the_sequence():
    with pytest.raises(WhyfakeError, match="a grid of 103 cells a side; expected at most 102"):
        sobol(lambda x: x.sum((1, 2, 3)), np.zeros((1, 128, 128, 3), np.float32), grid=103)


def test_memory_does_not_grow_with_the_square_of_the_cells():
    """All masks of 64² cells at once would be 268 MB."""
    tracemalloc.start()
    sobol(lambda x: x.sum((1, 2, 3)), np.zeros((1, 64, 64, 3), np.float32), samples=4, grid=64, fill="black")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # most of it is SciPy's sequence
