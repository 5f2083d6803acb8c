"""Many cells at once: what remains after so many tests, where two mean maps differ, and how many images would decide."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted so that any false alarm among all cells is as rare as each of them says.

    Args:
        p: p-values, any shape; NaN was not tested and does not count.

    Returns:
        Adjusted p-values in [0, 1], same shape; NaN stays.

    Reference:
        Holm, A simple sequentially rejective multiple test procedure, 1979.

    Example:
        >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
        [0.03, 0.06, nan, 0.06]
    """
    return _by_rank(p, lambda ranked: np.minimum(1, np.maximum.accumulate(ranked * np.arange(len(ranked), 0, -1))))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return q-values: the share of false alarms to expect among all cells with a p as small.

    Args:
        p: p-values, any shape; NaN was not tested and does not count.

    Returns:
        q in [0, 1], same shape; NaN stays.

    Reference:
        Benjamini and Hochberg, Controlling the false discovery rate, 1995,
        doi:10.1111/j.2517-6161.1995.tb02031.x.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
        [0.03, 0.04, nan, 0.04]
    """
    return _by_rank(p, lambda ranked: np.minimum.accumulate((ranked * len(ranked) / np.arange(1, len(ranked) + 1))[::-1])[::-1])


def welch_map(
    mean_a: np.ndarray, variance_a: np.ndarray, count_a: np.ndarray, mean_b: np.ndarray, variance_b: np.ndarray, count_b: np.ndarray
) -> np.ndarray:
    """Test, pixel by pixel, whether two groups have the same mean, two-sided, from their moments alone.

    Nothing is known of skewness here; with hundreds of images per group, t is near enough for a map.

    Args:
        mean_a, mean_b: `(h, w)` or any shape, same unit.
        variance_a, variance_b: divided by count − 1, same shape, that unit squared.
        count_a, count_b: images behind each pixel, same shape or one number.

    Returns:
        p: same shape; NaN where a group has fewer than two images or neither has any variance.

    Reference:
        Welch, The generalization of "Student's" problem when several different population variances are
        involved, 1947, doi:10.1093/biomet/34.1-2.28.

    Example:
        >>> welch_map(np.array([2.0]), np.array([1.0]), 3, np.array([6.0]), np.array([1.0]), 3).round(4).tolist()
        [0.008]
    """
    from scipy.special import stdtr

    parts = [np.asarray(part, float) for part in (mean_a, variance_a, count_a, mean_b, variance_b, count_b)]
    mean_a, variance_a, count_a, mean_b, variance_b, count_b = parts
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = variance_a / count_a, variance_b / count_b
        degrees = (a + b) ** 2 / (a**2 / (count_a - 1) + b**2 / (count_b - 1))
        p = 2 * stdtr(degrees, -np.abs(mean_a - mean_b) / np.sqrt(a + b))
        return np.where((np.minimum(count_a, count_b) >= 2) & (a + b > 0), p, np.nan)


def needed(
    count: int, value: float, error: float, supported_above: float, refuted_below: float, power: float = 0.8, level: float = 0.95
) -> int | None:
    """Return how many images would decide, if the estimate stays what it is.

    An interval above `supported_above` supports, one below `refuted_below` refutes. With d, the
    distance of the estimate beyond the boundary it is farther beyond, and z the normal quantiles,
    n' = n · ((z(level) + z(power)) · error / d)² + z(level)² / 2; the last term stands for Student's t.

    Args:
        count: images so far, n.
        value: the estimate, any unit.
        error: its standard error at n images, same unit.
        supported_above, refuted_below: the boundaries, same unit; often the same number.
        power: how often n' images are to decide.
        level: of the interval.

    Returns:
        n' in all, at least 2; None where no number would do: the estimate is on a boundary, or between
        `refuted_below` and a higher `supported_above`, or nothing is known of its error.

    Reference:
        Guenther, Sample size formulas for normal theory t tests, 1981, doi:10.1080/00031305.1981.10479363.

    Example:
        >>> needed(100, 1.2, 0.15, supported_above=1, refuted_below=1), needed(100, 1.0, 0.15, 1, 1)
        (444, None)
    """
    from scipy.special import ndtri

    distance = max(value - supported_above, refuted_below - value)
    if not (distance > 0 and math.isfinite(error)):
        return None
    tail = float(ndtri((1 + level) / 2))
    images = count * ((tail + float(ndtri(power))) * error / distance) ** 2 + tail**2 / 2
    return max(2, math.ceil(images)) if math.isfinite(images) else None


def _by_rank(p: np.ndarray, adjust: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p.flat[tested])]
    adjusted.flat[order] = adjust(p.flat[order])
    return adjusted
