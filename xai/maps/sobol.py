"""Sobol indices: how much of the logit's variance under random masks needs each cell of a grid."""

from __future__ import annotations

import cv2
import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, Logits, checked, sweep
from xai.maps.fills import fills_of, veil


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
        grid: cells per side. A cell's index is painted on its pixels, and its mask has hard edges.
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
    masks = design(samples, grid * grid, seed)
    maps, variances = np.zeros(images.shape[:3], np.float32), np.zeros(len(images), np.float32)
    for index, (image, hidden) in enumerate(zip(images, fills_of(images, fill, low), strict=True)):
        scores = shown_through(logits, image, hidden, masks.reshape(-1, grid, grid), batch_size)
        indices, variances[index] = jansen(scores.reshape(grid * grid + 2, samples))
        maps[index] = enlarged(indices.reshape(grid, grid).astype(np.float32), size)
    return Answer(maps, {"variance": variances})


def design(samples: int, cells: int, seed: int) -> np.ndarray:
    """Return the masks' cells: A, B, then A with each column in turn from B.

    Args:
        samples: rows of A, a power of two.
        cells: columns.
        seed: of the scrambling.

    Returns:
        float32 `(cells + 2, samples, cells)` in [0, 1].

    Raises:
        WhyfakeError: the samples are no power of two.

    Example:
        >>> a, b, first, second = design(4, 2, seed=0)
        >>> bool((first == np.stack([b[:, 0], a[:, 1]], 1)).all() and (second[:, 0] == a[:, 0]).all())
        True
    """
    from scipy.stats import qmc

    if samples < 2 or samples & (samples - 1):
        raise WhyfakeError(f"{samples} samples; expected a power of two: 2, 4, 8, 16, 32, …")
    points = qmc.Sobol(2 * cells, scramble=True, seed=seed).random(samples).astype(np.float32)
    first, second = points[:, :cells], points[:, cells:]
    rows = np.repeat(first[None], cells + 2, axis=0)
    rows[1] = second
    for cell in range(cells):
        rows[cell + 2, :, cell] = second[:, cell]
    return rows


def shown_through(logits: Logits, image: np.ndarray, hidden: np.ndarray, masks: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the logits of an image seen through each grid of `masks` `(n, g, g)`, float64 `(n,)`; `hidden` is the fill."""
    size = image.shape[:2]
    paint = veil(image, hidden)
    return sweep(logits, size, len(masks), lambda index, out: paint(enlarged(masks[index], size), out), batch_size)


def enlarged(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a grid's values painted on their pixels, float32 `(H, W)`."""
    return cv2.resize(cells, size[::-1], interpolation=cv2.INTER_NEAREST)


def jansen(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Return total-order indices by Jansen's estimator, and the variance.

    Args:
        scores: float64 `(cells + 2, samples)`, in the order of `design`.

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
