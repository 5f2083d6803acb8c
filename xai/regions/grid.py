"""Values averaged onto coarser cells."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def shrunk(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return values averaged over the area of each cell of a coarser grid.

    Args:
        values: float32 `(..., h, w)`.
        size: of the grid `(H, W)`.

    Returns:
        float32 `(..., H, W)`.

    Example:
        >>> shrunk(np.float32([[1, 4, 1], [1, 4, 1]]), (1, 2)).tolist()  # the middle column is shared
        [[2.0, 2.0]]
    """
    rows, columns = (averages(length, cells) for length, cells in zip(values.shape[-2:], size, strict=True))
    return rows @ values @ columns.T  # a reduction over two axes takes several times as long


@lru_cache(maxsize=64)
def averages(length: int, cells: int) -> np.ndarray:
    """Return float32 `(cells, length)`: the weights with which each cell averages the pixels it spans."""
    edges = np.arange(cells + 1) * (length / cells)
    pixels = np.arange(length)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    table = (np.maximum(shared, 0) * (cells / length)).astype(np.float32)
    table.setflags(write=False)
    return table
