"""Maps that know nothing, to be beaten: white noise, and a few regions anywhere.

Both hold the same values, 1/n to 1, each once: only where they lie differs. They are positive
everywhere, as many real maps are, so that none is beaten for its sign.
"""

from __future__ import annotations

import cv2
import numpy as np

NULLS = {
    "random": "white noise: pixels anywhere",
    "region": "a smooth random field: a few connected regions anywhere, whose size is that of a map's own top fraction",
}
CELLS = 64  # of the grid a field is drawn on, along the shorter side
WIDTH = CELLS / 9  # of its smoothing; the top 5 % are 2 regions as a rule, 5 at most
MARGIN = 22  # cells beyond the picture, three widths: at its edges a field is like anywhere


def noise_map(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return white noise, float32 `(H, W)` in (0, 1]."""
    return spaced(rng.permutation(size[0] * size[1]), size)


def region_map(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a smooth Gaussian random field's ranks, float32 `(H, W)` in (0, 1].

    Its top fraction is the null of region size: what any few connected regions do that are as large
    as what a map marks.
    """
    scale = CELLS / min(size)
    height, width = (max(1, round(side * scale)) for side in size)
    field = cv2.GaussianBlur(rng.standard_normal((height + 2 * MARGIN, width + 2 * MARGIN)), (0, 0), WIDTH)
    field = cv2.resize(field[MARGIN:-MARGIN, MARGIN:-MARGIN], size[::-1], interpolation=cv2.INTER_CUBIC)
    ranks = np.empty(field.size, np.int64)
    ranks[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size)
    return spaced(ranks, size)


def spaced(ranks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ranks from 0 as values in (0, 1], float32 `(H, W)`."""
    return ((ranks + 1) / ranks.size).astype(np.float32).reshape(size)
