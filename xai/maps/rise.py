"""RISE: show random parts of an image and see which parts raise the logit."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, Logits, checked, sweep
from xai.maps.fills import fills_of, veil


def rise(
    logits: Logits,
    images: np.ndarray,
    *,
    masks: int = 1000,
    grid: int = 8,
    keep: float = 0.5,
    fill: str | np.ndarray = "black",
    low: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Answer:
    """Map how far the logit rises above its mean when a pixel is shown.

    A pixel's value estimates E[f | pixel shown] - E[f] over random masks M, by
    sum((f_i - mean f) M_i) / (n keep). The paper's map is this one plus the mean score (times the
    share of masks that happened to show the pixel): what is left out says nothing about places,
    and its chance part is noise. The other deviation: f is the logit, not the probability.

    Args:
        logits: float32 `(n, H, W, 3)` -> `(n,)`, the logit of fake.
        images: float32 `(N, H, W, 3)`, as the network wants them.
        masks: how many, 2 or more; every image sees the same ones.
        grid: cells of a mask per side, before it is enlarged.
        keep: probability that a cell is shown, in (0, 1).
        fill, low: what hides, as in `xai.maps.fills.fill`; the paper hides with black.
        seed: of the masks.
        batch_size: images asked about at once.

    Returns:
        Maps `(N, H, W)`, signed, in logits; positive: what lies here speaks for fake.
        extras: "standard_error" `(N, H, W)`, in logits, of the estimate at each pixel: the map of
        infinitely many masks lies within 1.96 of them in about 95 % of cases, pixel by pixel.

    Raises:
        WhyfakeError: an option out of its range.

    Reference:
        Petsiuk et al., RISE: Randomized input sampling for explanation of black-box models, 2018,
        arXiv:1806.07421.

    Example:
        >>> image = np.zeros((1, 4, 4, 3), np.float32)
        >>> image[0, :2] = 1
        >>> found = rise(lambda x: x.sum((1, 2, 3)), image, masks=500, grid=2).maps[0]
        >>> bool(found[0].min() > found[-1].max())
        True
    """
    images = checked(images)
    size = (images.shape[1], images.shape[2])
    shown = np.zeros(images.shape[:3], np.float32)
    errors = np.zeros_like(shown)
    masks_of(masks, size, grid, keep, seed)  # refuses impossible options for an empty batch too
    for index, (image, hidden) in enumerate(zip(images, fills_of(images, fill, low), strict=True)):
        scores = shown_through(logits, image, hidden, masks_of(masks, size, grid, keep, seed), masks, batch_size)
        shown[index], errors[index] = estimate(scores, masks_of(masks, size, grid, keep, seed), size, keep)
    return Answer(shown, {"standard_error": errors})


def shown_through(logits: Logits, image: np.ndarray, hidden: np.ndarray, masks: Iterator[np.ndarray], count: int, batch_size: int) -> np.ndarray:
    """Return the logits of an image seen through masks, float64 `(count,)`; `hidden` is the fill."""
    paint = veil(image, hidden)
    return sweep(logits, image.shape[:2], count, lambda _, out: paint(next(masks), out), batch_size)


def estimate(scores: np.ndarray, masks: Iterator[np.ndarray], size: tuple[int, int], keep: float) -> tuple[np.ndarray, np.ndarray]:
    """Return map and standard error from the logits of masked images.

    The masks are drawn a second time rather than kept: then the mean logit is known, and sums of
    small numbers around zero need no float64.

    Args:
        scores: float64 `(n,)`, in logits.
        masks: float32 `(H, W)` each, those that gave the scores.
        size: `(H, W)`, in pixels.
        keep: the masks' mean.

    Returns:
        Two float32 `(H, W)`, in logits.

    Example:
        >>> masks = iter(np.array([[[1, 0]], [[0, 0]]], np.float32))
        >>> [part.tolist() for part in estimate(np.array([3.0, 1.0]), masks, (1, 2), 0.5)]
        [[[1.0, 0.0]], [[0.0, 1.0]]]
    """
    count = len(scores)
    total, squares = np.zeros(size, np.float32), np.zeros(size, np.float32)
    term = np.empty(size, np.float32)
    for mask, above in zip(masks, (scores - scores.mean()).astype(np.float32), strict=True):
        np.subtract(mask, np.float32(keep), out=term)  # `above` sums to zero: the map stays the same, the error shrinks
        np.multiply(term, above, out=term)
        cv2.accumulate(term, total)
        cv2.accumulateSquare(term, squares)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0) / (count - 1)
    return mean / np.float32(keep), np.sqrt(variance) / np.float32(keep)


def masks_of(count: int, size: tuple[int, int], grid: int = 8, keep: float = 0.5, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw masks: a random grid of zeros and ones, enlarged bilinearly and shifted by up to a cell.

    Args:
        count: how many, 2 or more.
        size: `(H, W)`, in pixels.
        grid: cells per side, at most the shorter side.
        keep: probability of a one.
        seed: of the grids and shifts.

    Returns:
        An iterator over float32 `(H, W)` in [0, 1], whose mean over all masks is `keep` at every pixel.

    Raises:
        WhyfakeError: an option out of its range.

    Reference:
        Petsiuk et al., 2018, arXiv:1806.07421, section 3.2; the size of a cell is rounded up, as in
        their code, so that the enlarged grid covers every image.

    Example:
        >>> [mask.shape for mask in masks_of(2, (5, 6), grid=3)]
        [(5, 6), (5, 6)]
    """
    height, width = size
    if count < 2:
        raise WhyfakeError(f"{count} masks; expected 2 or more")
    if not 1 <= grid <= min(size):
        raise WhyfakeError(f"a grid of {grid} cells a side on images of {width} x {height}; expected 1 to {min(size)}")
    if not 0 < keep < 1:
        raise WhyfakeError(f"keep {keep}; expected more than 0 and less than 1")
    return drawn(count, size, grid, keep, seed)


def drawn(count: int, size: tuple[int, int], grid: int, keep: float, seed: int) -> Iterator[np.ndarray]:
    """Yield the masks of `masks_of`."""
    rng = np.random.default_rng(seed)
    rows, columns = (-(-side // grid) for side in size)  # of a cell, in pixels
    large = ((grid + 1) * columns, (grid + 1) * rows)
    for _ in range(count):
        cells = (rng.random((grid, grid)) < keep).astype(np.float32)
        top, left = rng.integers(rows), rng.integers(columns)
        yield cv2.resize(cells, large, interpolation=cv2.INTER_LINEAR)[top : top + size[0], left : left + size[1]]
