"""What chance would put on a part: the same mask moved at random inside the face, and a look at the centre.

Moving a mask at random and averaging the map's share under it is a sum of map values times how often
the moved mask covers each place. That cover does not depend on the map, so it is computed once an image,
over all moves there are instead of a few drawn ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xai.regions.parts import OUTSIDE, Parts

GRID = 32  # cells a side on which masks are moved
KEPT = 0.95  # of a mask stays inside where it may move
MOVED = 0.5  # of a mask leaves its place on average; one that cannot is spread evenly instead
CENTRE = 0.25  # sigma of the centre prior, in sides


def moved(parts: Parts, grid: int = GRID) -> np.ndarray:
    """Return how often each cell is covered by each part's mask, moved at random.

    A part of the face moves inside the face, any other inside the picture: to every place at which 95 %
    of it stay inside. A part too large to move is spread evenly over where it may be, which is what
    moving its pixels one by one would give.

    Args:
        parts: of the image.
        grid: cells a side.

    Returns:
        float32 `(R, grid, grid)` in [0, 1]; sums to the part's own area in cells. Zero for absent parts.

    Example:
        >>> labels = np.zeros((32, 32), np.uint8)
        >>> labels[0, 0] = 1  # one cell of the 1,024 may go anywhere
        >>> cover = moved(Parts(labels, ("skin", "nose"), np.ones(2, np.float32)))
        >>> bool(np.allclose(cover[1], 1 / 1024)), bool(np.allclose(cover[0], 1023 / 1024))
        (True, True)
    """
    from scipy.fft import irfft2, rfft2

    masks = shares(parts, (grid, grid))  # (R, g, g)
    inside = np.array([name not in OUTSIDE for name in parts.names])
    domain = np.where(inside[:, None, None], masks[inside].sum(0), np.float32(1))
    area = masks.sum((1, 2))
    size = (2 * grid, 2 * grid)
    spectra = rfft2(masks, size)
    kept = irfft2(np.conj(spectra) * rfft2(domain, size), size)  # of the mask, at every move
    moves = kept >= np.maximum(KEPT * area, 1e-3)[:, None, None]
    moves[:, grid, :] = moves[:, :, grid] = False  # further than any move
    cover = irfft2(spectra * rfft2(moves.astype(np.float32), size), size)[:, :grid, :grid].clip(0)
    total = cover.sum((1, 2))
    cover *= (area / np.maximum(total, 1e-9))[:, None, None]
    left = (cover * masks).sum((1, 2))  # of the mask still in place
    even = domain * (area / np.maximum(domain.sum((1, 2)), 1e-9))[:, None, None]
    fixed = (total < 1e-6) | (left > (1 - MOVED) * (masks**2).sum((1, 2)))
    return np.where(fixed[:, None, None], even, cover).astype(np.float32)


def shares(parts: Parts, size: tuple[int, int]) -> np.ndarray:
    """Return the share of each cell of a grid `(h, w)` that each part covers, float32 `(R, h, w)`.

    Example:
        >>> shares(Parts(np.uint8([[0, 1], [0, 0]]), ("a", "b"), np.ones(2, np.float32)), (1, 1)).ravel().tolist()
        [0.75, 0.25]
    """
    height, width = (max(1, -(-cells // length)) for cells, length in zip(size, parts.labels.shape, strict=True))
    labels = parts.labels.repeat(height, 0).repeat(width, 1) if max(height, width) > 1 else parts.labels  # each cell has its pixel
    cells, pixels = grid_cells(labels.shape, size)
    count, known = size[0] * size[1], len(parts.names)
    at = np.minimum(labels.ravel(), known).astype(np.int32)  # what belongs to no part comes last
    found = np.bincount(cells + count * at, minlength=(known + 1) * count)[: known * count]
    return (found.reshape(-1, *size) / pixels).astype(np.float32)


@lru_cache(maxsize=16)
def grid_cells(shape: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell that each pixel's centre lies in, int32 `(h * w,)`, and the pixels of each cell, `(rows, columns)`."""
    rows, columns = ((np.arange(length) * cells + cells // 2) // length for length, cells in zip(shape, size, strict=True))
    cells = (rows[:, None] * size[1] + columns).astype(np.int32).ravel()
    pixels = np.bincount(cells, minlength=size[0] * size[1]).reshape(size)
    return cells, np.maximum(pixels, 1)


def centred(parts: Parts) -> np.ndarray:
    """Return the share of a look at the middle of the picture that falls on each part, float32 `(R,)`.

    The look is a Gaussian around the centre with a standard deviation of a quarter of the side: what a map
    would give that knew nothing but that faces are in the middle.
    """
    look = 1.0
    for axis, length in enumerate(parts.labels.shape):
        at = (np.arange(length) + 0.5) / length - 0.5
        look = look * np.exp(-0.5 * (at / CENTRE) ** 2).reshape(-1, *[1] * (1 - axis))
    found = np.bincount(parts.labels.ravel(), np.asarray(look).ravel(), minlength=256)
    return (found[: len(parts.names)] / np.sum(look)).astype(np.float32)
