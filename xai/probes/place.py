"""Another place for a region: the control for where it is, with the same shape and size."""

from __future__ import annotations

import numpy as np

GRID = 64  # a place is drawn on a grid of so many cells along the longer side
INSIDE = 0.95  # share of the region that must lie in the domain at its new place
OVERLAP = 0.25  # share of it that may lie where the region was
TRIES = 8  # places tried per place wanted: the grid's cells are coarser than pixels


def elsewhere(mask: np.ndarray, domain: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return a mask at other places, drawn at random.

    Args:
        mask: bool `(H, W)`, not empty.
        domain: bool `(H, W)`: where it may go.
        count: how many places.
        rng: draws them, with replacement.

    Returns:
        `count` masks, bool `(H, W)`, each without what would lie outside the domain (5 % at most);
        fewer, down to none, where the mask can hardly be moved.

    Example:
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[:16, :16] = True
        >>> [int(moved.sum()) for moved in elsewhere(mask, np.ones((64, 64), bool), 2, np.random.default_rng(0))]
        [256, 256]
        >>> elsewhere(~mask, np.ones((64, 64), bool), 2, np.random.default_rng(0))
        []
    """
    step = -(-max(mask.shape) // GRID)
    small = coarse(mask, step)
    height, width = small.shape
    size = 2 * height, 2 * width
    turned = np.conj(np.fft.rfft2(small, size))
    own, inside = (np.fft.irfft2(turned * np.fft.rfft2(there, size), size) / small.sum() for there in (small, coarse(domain, step)))
    # a cell that the domain fills in part counts in part, on both sides of the threshold: pixels decide below
    rows, columns = np.nonzero((inside >= INSIDE - 0.1) & (own <= OVERLAP))
    if not len(rows):
        return []
    found: list[np.ndarray] = []
    area = mask.sum()
    for pick in rng.integers(0, len(rows), TRIES * count):
        y, x = int(rows[pick]), int(columns[pick])
        place = shifted(mask, step * (y - size[0] * (y >= height)), step * (x - size[1] * (x >= width))) & domain
        if place.sum() >= INSIDE * area and (place & mask).sum() <= OVERLAP * area:
            found.append(place)
            if len(found) == count:
                break
    return found


def coarse(mask: np.ndarray, step: int) -> np.ndarray:
    """Return the share of a mask in cells of step x step pixels, float64."""
    height, width = (-(-length // step) for length in mask.shape)
    padded = np.zeros((height * step, width * step))
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return padded.reshape(height, step, width, step).mean((1, 3))


def shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return a mask moved by whole pixels; what leaves the picture is gone.

    Example:
        >>> shifted(np.array([[True, False, True]]), 0, 1).tolist()
        [[False, True, False]]
    """
    height, width = mask.shape
    result = np.zeros_like(mask)
    result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = mask[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return result
