"""What chance would put on a part: the same mask moved at random inside the face, and a look at the centre.

Moving a mask at random and averaging the map's share under it is a sum of map values times how often
the moved mask covers each place. That cover does not depend on the map, so it is computed once an image,
over all moves there are instead of a few drawn ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from xai.regions.grid import shrunk
from xai.regions.parts import OUTSIDE, Parts

GRID = 32  # cells a side on which masks are moved
KEPT = 0.95  # of a mask stays inside where it may move
LARGE = 0.25  # of where it may be; a larger part is spread evenly
MOVED = 0.5  # of a mask leaves its place on average; one that cannot is spread evenly instead
CENTRE = 0.25  # sigma of the centre prior, in sides


def moved(masks: np.ndarray, names: Sequence[str], grid: int = GRID) -> np.ndarray:
    """Return how often each cell is covered by each part's mask, moved at random.

    A part of the face moves inside the face: to every place at which 95 % of it stay inside. One too large
    to move (a quarter of the face, or half of it would stay in place) is spread evenly over the face, which is
    what moving its pixels one by one would give; so is a part outside the face over the picture.

    Args:
        masks: float32 `(R, h, w)` from `shares`.
        names: of the parts.
        grid: cells a side on which they are moved.

    Returns:
        float32 `(R, grid, grid)` in [0, 1]; sums to the part's own area in cells. Zero for absent parts.

    Example:
        >>> nose = np.zeros((32, 32), np.float32)
        >>> nose[0, 0] = 1  # one cell of the 1,024 may go anywhere
        >>> masks = np.stack([1 - nose, nose])
        >>> cover = moved(masks, ("skin", "nose"))
        >>> bool(np.allclose(cover[1], 1 / 1024)), bool(np.allclose(cover[0], 1023 / 1024))
        (True, True)
    """
    from scipy.fft import irfft2, rfft2

    masks = shrunk(masks, (grid, grid))
    area = masks.sum((1, 2))
    inside = np.array([name not in OUTSIDE for name in names])
    face = masks[inside].sum(0)
    whole = max(float(face.sum()), 1e-9)
    cover = np.where(inside[:, None, None], face * (area / whole)[:, None, None], (area / grid**2)[:, None, None]).astype(np.float32)
    some = np.flatnonzero(inside & (area > 0) & (area <= LARGE * whole))
    if not len(some):
        return cover
    own, size = masks[some], (2 * grid, 2 * grid)
    spectra = rfft2(own, size)
    kept = irfft2(np.conj(spectra) * rfft2(face, size), size)  # of the mask, at every move
    moves = kept >= np.maximum(KEPT * area[some], 1e-3)[:, None, None]
    moves[:, grid, :] = moves[:, :, grid] = False  # further than any move
    found = irfft2(spectra * rfft2(moves.astype(np.float32), size), size)[:, :grid, :grid].clip(0)
    total = found.sum((1, 2))
    found *= (area[some] / np.maximum(total, 1e-9))[:, None, None]
    left = (found * own).sum((1, 2))  # of the mask still in place
    free = (total >= 1e-6) & (left <= (1 - MOVED) * (own**2).sum((1, 2)))
    cover[some[free]] = found[free]
    return cover


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
    return found.reshape(-1, *size).astype(np.float32) * pixels


@lru_cache(maxsize=16)
def grid_cells(shape: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell that each pixel's centre lies in, int32 `(h * w,)`, and one over the pixels of each cell, float32 `(rows, columns)`."""
    rows, columns = ((np.arange(length) * cells + cells // 2) // length for length, cells in zip(shape, size, strict=True))
    cells = (rows[:, None] * size[1] + columns).astype(np.int32).ravel()
    pixels = np.bincount(cells, minlength=size[0] * size[1]).reshape(size)
    return cells, (1 / np.maximum(pixels, 1)).astype(np.float32)


def centred(masks: np.ndarray) -> np.ndarray:
    """Return the share of a look at the middle of the picture that falls on each part, float32 `(R,)`.

    The look is a Gaussian around the centre with a standard deviation of a quarter of the side: what a map
    would give that knew nothing but that faces are in the middle.

    Args:
        masks: float32 `(R, h, w)` from `shares`.
    """
    look = middle(masks.shape[1], masks.shape[2])
    return (masks.reshape(len(masks), -1) @ look.ravel()).astype(np.float32)


@lru_cache(maxsize=16)
def middle(height: int, width: int) -> np.ndarray:
    """Return a look at the middle, float32 `(h, w)`, summing to 1."""
    rows, columns = (np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / CENTRE) ** 2) for side in (height, width))
    look = np.outer(rows / rows.sum(), columns / columns.sum()).astype(np.float32)
    look.setflags(write=False)
    return look
