"""How alike two maps are: rank correlation of all cells, structural similarity of the positive ones."""

from __future__ import annotations

import cv2
import numpy as np

CELLS = 64  # a side, to which larger maps are averaged before they are compared
WINDOW = 7  # of the structural similarity, cells
FLAT = 1e-6  # of the largest magnitude: a smaller range is rounding, not order


def pooled(maps: np.ndarray, most: int = CELLS) -> np.ndarray:
    """Return maps averaged over areas to at most 64 x 64 cells.

    Single pixels of a large map are noise of which neither the eye nor a region makes anything, and ranking a
    million of them takes longer than the network.

    Args:
        maps: float32 `(N, h, w)`.
        most: cells a side at most.

    Returns:
        float32 `(N, min(h, most), min(w, most))`; the same array where it is small enough.
    """
    size = min(maps.shape[1], most), min(maps.shape[2], most)
    if size == maps.shape[1:]:
        return maps
    found = np.empty((len(maps), *size), np.float32)
    for values, small in zip(maps, found, strict=True):  # BLAS would start its threads for each of many small products
        small[:] = cv2.resize(values.astype(np.float32, copy=False), size[::-1], interpolation=cv2.INTER_AREA)
    return found


def flat(maps: np.ndarray) -> np.ndarray:
    """Say per map `(N, h, w)` whether it is constant and so says nothing, bool `(N,)`."""
    low, high = maps.min((1, 2)), maps.max((1, 2))
    return high - low <= FLAT * np.maximum(np.abs(low), np.abs(high))


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the rank correlation of two maps, signed as they are; equal values share their mean rank.

    Args:
        a, b: `(N, h, w)`.

    Returns:
        float64 `(N,)` in [-1, 1]; NaN where a map is constant.

    Example:
        >>> a = np.array([[[1, 2], [3, 4]]])
        >>> spearman(a, 10 - a**2).tolist(), spearman(a, np.array([[[1, 1], [2, 2]]])).round(4).tolist()
        ([-1.0], [0.8944])
    """
    x, y = ranks(a), ranks(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.where(flat(a) | flat(b), np.nan, np.clip(found, -1, 1))


def ranks(maps: np.ndarray) -> np.ndarray:
    """Return the ranks of each map's cells less their mean, float64 `(N, h * w)`."""
    from scipy.stats import rankdata

    cells = maps.reshape(len(maps), -1)
    return np.asarray(rankdata(cells, axis=1)) - (cells.shape[1] + 1) / 2


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the structural similarity of the positive parts of two maps, each scaled to a largest value of 1.

    scikit-image's `structural_similarity` with its defaults, for many maps at once. The window has 7 x 7 cells, on
    smaller maps as many as fit, an odd number a side.

    Args:
        a, b: `(N, h, w)`.

    Returns:
        float64 `(N,)` in [-1, 1]; an empty map is black. NaN where not even 3 x 3 cells fit.

    Reference:
        Wang et al., Image quality assessment: from error visibility to structural similarity, 2004,
        doi:10.1109/TIP.2003.819861.

    Example:
        >>> a = np.zeros((1, 3, 3))
        >>> a[0, 1, 1] = 5
        >>> ssim(a, 2 * a).tolist(), ssim(a, -a).round(4).tolist()
        ([1.0], [0.0001])
    """
    from scipy.ndimage import uniform_filter

    window = min(WINDOW, *(side - 1 + side % 2 for side in a.shape[1:]))
    if window < 3:
        return np.full(len(a), np.nan)
    x, y = positive(a), positive(b)
    edge = window // 2
    inner = (slice(None), slice(edge, a.shape[1] - edge), slice(edge, a.shape[2] - edge))

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, (0, window, window))[inner]

    mx, my = mean(x), mean(y)
    sample = window**2 / (window**2 - 1)
    vx, vy, both = (sample * (mean(p * q) - mp * mq) for p, q, mp, mq in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my)))
    light, contrast = 0.01**2, 0.03**2
    local = (2 * mx * my + light) * (2 * both + contrast) / ((mx**2 + my**2 + light) * (vx + vy + contrast))
    return local.mean((1, 2))


def positive(maps: np.ndarray) -> np.ndarray:
    """Return the positive part of each map `(N, h, w)`, its largest value 1; an empty one is zero. float64."""
    values = np.maximum(maps, 0).astype(np.float64)
    peak = values.max((1, 2), keepdims=True)
    return np.divide(values, peak, out=values, where=peak > 0)
