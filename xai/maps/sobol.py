"""Sobol indices: how much of the logit's variance under random masks needs each cell of a grid."""

from __future__ import annotations

import math

import cv2
import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, Logits, checked, sweep
from xai.maps.fills import fills_of, veil

MOST = 102  # cells per side: SciPy's Sobol sequence has 21201 dimensions, two a cell


def sobol(
    logits: Logits,
    images: np.ndarray,
    *,
    samples: int = 32,
    grid: int = 8,
    fill: str | np.ndarray = "blur",
    low: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Answer:
    """Map total-order Sobol indices: a cell's share of the variance, alone and with others.

    Each cell of a grid is shown to a random degree in [0, 1]. A cell's index is the share of the
    logit's variance that would stay if all other cells were known. The indices of an
    additive function sum to 1; where cells work together they sum to more.

    Args:
        logits: float32 `(n, H, W, 3)` -> `(n,)`, the logit of fake.
        images: float32 `(N, H, W, 3)`, as the network wants them.
        samples: rows of the design, a power of two (the sequence is balanced only then), 2 or more;
            samples x (grid² + 2) images are asked about for each image.
        grid: cells per side, at most 102. A cell's index is painted on its pixels, and its mask has hard edges.
        fill, low: what shows through where a cell is hidden, as in `xai.maps.fills.fill`.
        seed: of the sequence's scrambling.
        batch_size: images asked about at once.

    Returns:
        Maps `(N, H, W)`, without a sign or unit, in [0, 1] up to noise; 0 where the logit is constant.
        extras: "variance" `(N,)`, in squared logits: of the logit over the masks, what the shares are of.

    Raises:
        WhyfakeError: an option out of its range.

    Reference:
        Fel et al., Look at the variance! Efficient black-box explanations with Sobol-based
        sensitivity analysis, 2021, arXiv:2111.04138; Jansen, Analysis of variance designs for model
        output, 1999, doi:10.1016/S0010-4655(98)00154-4, for the estimator.

    Example:
        >>> image = np.zeros((1, 2, 2, 3), np.float32)
        >>> image[0, 0, 1] = 1
        >>> sobol(lambda x: x.sum((1, 2, 3)), image, grid=2, fill="black").maps.round(1).tolist()
        [[[0.0, 1.0], [0.0, 0.0]]]
    """
    images = checked(images)
    size = (images.shape[1], images.shape[2])
    if not 1 <= grid <= min(size):
        raise WhyfakeError(f"a grid of {grid} cells a side on images of {size[1]} x {size[0]}; expected 1 to {min(size)}")
    if grid > MOST:
        raise WhyfakeError(f"a grid of {grid} cells a side; expected at most {MOST}, as far as the sequence goes")
    first, second = design(samples, grid * grid, seed)
    maps, variances = np.zeros(images.shape[:3], np.float32), np.zeros(len(images), np.float32)
    for index, (image, hidden) in enumerate(zip(images, fills_of(images, fill, low), strict=True)):
        scores = shown_through(logits, image, hidden, first, second, batch_size)
        indices, variances[index] = jansen(scores.reshape(grid * grid + 2, samples))
        maps[index] = enlarged(indices.reshape(grid, grid).astype(np.float32), size)
    return Answer(maps, {"variance": variances})


def design(samples: int, cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two designs, A and B, that all masks are made of.

    Args:
        samples: rows of A, a power of two.
        cells: columns.
        seed: of the scrambling.

    Returns:
        Two of float32 `(samples, cells)` in [0, 1].

    Raises:
        WhyfakeError: the samples are no power of two.

    Example:
        >>> a, b = design(4, 2, seed=0)
        >>> np.sort(np.floor(4 * a), 0).tolist()
        [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """
    from scipy.stats import qmc

    if samples < 2 or samples & (samples - 1):
        raise WhyfakeError(f"{samples} samples; expected a power of two: 2, 4, 8, 16, 32, …")
    points = qmc.Sobol(2 * cells, scramble=True, seed=seed).random(samples).astype(np.float32)
    return points[:, :cells], points[:, cells:]


def shown_through(logits: Logits, image: np.ndarray, hidden: np.ndarray, first: np.ndarray, second: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the logits of an image seen through A, B, then A with each column in turn from B.

    Args:
        logits, batch_size: as in `sobol`.
        image, hidden: float32 `(H, W, 3)`; `hidden` is the fill.
        first, second: A and B, float32 `(samples, cells)`; the masks are made of them as they are
            needed, since all together are samples x cells² numbers.

    Returns:
        float64 `((cells + 2) samples,)`, in logits.
    """
    size, (samples, cells) = image.shape[:2], first.shape
    side, paint = math.isqrt(cells), veil(image, hidden)

    def draw(index: int, out: np.ndarray) -> None:
        part, row = divmod(index, samples)
        mask = (second if part == 1 else first)[row].copy()
        if part > 1:
            mask[part - 2] = second[row, part - 2]
        paint(enlarged(mask.reshape(side, side), size), out)

    return sweep(logits, size, (cells + 2) * samples, draw, batch_size)


def enlarged(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a grid's values painted on their pixels, float32 `(H, W)`."""
    return cv2.resize(cells, size[::-1], interpolation=cv2.INTER_NEAREST)


def jansen(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Return total-order indices by Jansen's estimator, and the variance.

    Args:
        scores: float64 `(cells + 2, samples)`, in the order of `shown_through`.

    Returns:
        float64 `(cells,)`, 0 where the scores do not vary; the variance over A and B.

    Example:
        >>> indices, variance = jansen(np.array([[0.0, 2], [2, 0], [2, 0], [0, 2]]))
        >>> indices.tolist(), variance
        ([2.0, 0.0], 1.0)
    """
    variance = float(scores[:2].var())
    apart = ((scores[2:] - scores[0]) ** 2).mean(1) / 2
    return apart / variance if variance > 0 else np.zeros_like(apart), variance
