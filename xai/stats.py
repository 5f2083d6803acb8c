"""Intervals: how far a measure may lie from the truth, given so many images.

The bootstrap draws the images again with replacement and looks how far each measure moves.
`scipy.stats.bootstrap` would sort every draw anew; here a draw is a row of weights (how often each
image was drawn), so that one sorting serves all draws and areas under curves are running sums.

Draws are stratified: every draw has as many reals and fakes as the test set. How many of each are in
a test set is a decision of whoever built it (`train.datasets.split` takes a share of each class), not
something that was measured, and no draw can lack a class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xai.threads import alone

LEVEL = 0.95
CELLS = 1_000_000  # weights in hand at once: 8 MB an array


Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]  # weights (r, N) -> measures by name, (r,) each
Found = dict[str, tuple[float, np.ndarray]]  # by name, a measure on all images and on each draw


def bootstrap(statistics: Sequence[Statistic], groups: np.ndarray, resamples: int, seed: int) -> list[Found]:
    """Compute measures on all images and on draws of them, by the same formula.

    Args:
        statistics: each gives some measures; all see the same draws.
        groups: of each image, `(N,)`; every draw has as many of each.
        resamples: draws.
        seed: of the draws.

    Returns:
        Per statistic and name, the value on all images and on the draws, `(resamples,)`.

    Example:
        >>> [found] = bootstrap([lambda drawn: {"sum": drawn @ np.array([1.0, 2.0])}], np.zeros(2), 3, seed=0)
        >>> found["sum"][0], found["sum"][1].shape
        (3.0, (3,))
    """
    with alone():
        whole = [statistic(np.ones((1, len(groups)))) for statistic in statistics]
        chunks = [[statistic(drawn) for statistic in statistics] for drawn in weights(groups, resamples, seed)]
    return [
        {name: (float(value[0]), np.concatenate([chunk[k][name] for chunk in chunks] or [np.zeros(0)])) for name, value in values.items()}
        for k, values in enumerate(whole)
    ]


def entry(name: str, value: float, ends: tuple[float, float] | None, otherwise: Callable[[], tuple[float, float]] | None = None) -> dict[str, Any]:
    """Return a measure for JSON: `name`, `name_interval` and, where Wilson's interval stands in, `name_wilson`.

    Args:
        name: of the measure.
        value: NaN becomes None.
        ends: its bootstrap interval.
        otherwise: gives the interval where every draw had the same value: that is no certainty, only
            a bootstrap's blind spot (all of ten right is no proof that the next one will be).

    Example:
        >>> entry("accuracy", 1.0, (1.0, 1.0), lambda: (0.72, 1.0))
        {'accuracy': 1.0, 'accuracy_interval': [0.72, 1.0], 'accuracy_wilson': True}
    """
    if np.isnan(value):
        return {name: None, f"{name}_interval": None}
    if otherwise is not None and ends is not None and ends[1] - ends[0] < 1e-12:
        return {name: float(value), f"{name}_interval": list(otherwise()), f"{name}_wilson": True}
    return {name: float(value), f"{name}_interval": None if ends is None else list(ends)}


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return `part / whole`, NaN where there is nothing to divide by.

    Example:
        >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
        [0.5, nan]
    """
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def weights(groups: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw images with replacement within each group; yields chunks that fit in memory.

    Args:
        groups: of each image, `(N,)`.
        resamples: draws in all.
        seed: of the draws.

    Yields:
        float64 `(r, N)`: how often each image was drawn; the rows of all chunks are the draws.

    Example:
        >>> [chunk.sum(1).tolist() for chunk in weights(np.array([0, 0, 1]), 2, seed=0)]
        [[3.0, 3.0]]
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    step = max(1, CELLS // max(1, len(groups)))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = np.empty((rows, len(groups)))
        for member in members:
            count = len(member)
            picks = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
            drawn[:, member] = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)
        yield drawn


def fewer(resamples: int, count: int) -> int:
    """Return how many draws do for a band or a range on `count` images: all on few, 200 on very many."""
    return min(resamples, max(200, 20_000_000 // count))


def interval(value: float, draws: np.ndarray, kind: str = "percentile", level: float = LEVEL) -> tuple[float, float] | None:
    """Return a bootstrap interval.

    Args:
        value: of the measure on all images.
        draws: the measure on each draw, `(resamples,)`; draws where it is not defined (NaN) are left out.
        kind: "percentile": the middle of the draws. "basic": the draws mirrored at the value, for
            measures such as ECE that every resampling shifts the same way.
        level: coverage.

    Returns:
        (low, high), or None where there is nothing to go by.

    Reference:
        Davison and Hinkley, Bootstrap methods and their application, 1997, chapter 5.

    Example:
        >>> draws = np.arange(101.0)
        >>> [round(end, 1) for kind in ("percentile", "basic") for end in interval(40, draws, kind)]
        [2.5, 97.5, -17.5, 77.5]
    """
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or not draws.size:
        return None
    low, high = (float(end) for end in np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]))
    return (low, high) if kind == "percentile" else (2 * value - high, 2 * value - low)


def ranking(drawn: np.ndarray, truth: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the area under the ROC curve and the average precision of each draw.

    Args:
        drawn: weights `(r, N)` of images sorted by falling logit.
        truth: whether each is fake, `(N,)`.
        starts: where each run of equal logits begins, `(n,)`; the images of one run count as tied.

    Returns:
        Two arrays `(r,)` in [0, 1]; NaN where a class is missing.

    Example:
        >>> auc, ap = ranking(np.ones((1, 3)), np.array([True, False, True]), np.arange(3))
        >>> auc.tolist(), ap.round(3).tolist()
        ([0.5], [0.833])
    """
    fake, fakes, called = running(drawn, truth, starts)
    pairs = fakes[:, -1] * (called[:, -1] - fakes[:, -1])
    real = np.diff(called, axis=1, prepend=0) - fake
    below = np.einsum("ij,ij->i", real, fakes - fake / 2)  # a fake above a real is right, a tie is half right
    precise = np.einsum("ij,ij->i", fake, fakes / np.maximum(called, 1))
    return ratio(below, pairs), np.where(pairs > 0, ratio(precise, fakes[:, -1]), np.nan)


def running(drawn: np.ndarray, truth: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, per run of equal logits from the highest down: fakes in it, fakes so far, images so far, each `(r, n)`."""
    fake = drawn * truth
    if len(starts) < drawn.shape[1]:
        drawn, fake = (np.add.reduceat(part, starts, axis=1) for part in (drawn, fake))
    return fake, fake.cumsum(1), drawn.cumsum(1)


def wilson(right: int, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson interval of a share.

    Args:
        right: successes.
        count: trials, at least 1.
        level: coverage.

    Returns:
        (low, high) in [0, 1].

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    Example:
        >>> [round(end, 3) for end in wilson(9, 10)]
        [0.596, 0.982]
    """
    from scipy.stats import binomtest

    found = binomtest(right, count).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def wilson_f1(hits: int, misses: int) -> tuple[float, float]:
    """Return an interval of F1 from Wilson's.

    F1 grows with J = hits / (hits + misses), which is a share: F1 = 2J / (1 + J).

    Args:
        hits: true positives.
        misses: false positives and false negatives; hits + misses at least 1.

    Example:
        >>> [round(end, 3) for end in wilson_f1(10, 0)]
        [0.839, 1.0]
    """
    low, high = wilson(hits, hits + misses)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def averaged(values: Sequence[float], intervals: Sequence[tuple[float, float]], shares: Sequence[float]) -> tuple[float, float]:
    """Return the interval of a weighted mean from those of its independent parts.

    Args:
        values, intervals: of the parts.
        shares: their weights, summing to 1.

    Reference:
        Zou and Donner, Construction of confidence limits about effect measures: a general approach,
        2008, doi:10.1002/sim.3095.

    Example:
        >>> [round(end, 2) for end in averaged([1, 1], [(0.6, 1), (0.7, 1)], [0.5, 0.5])]
        [0.75, 1.0]
    """
    low, high = np.array(intervals).T
    middle, parts = float(np.dot(shares, values)), np.array(values)
    down, up = (float(np.sqrt(np.sum((np.array(shares) * (end - parts)) ** 2))) for end in (low, high))
    return middle - down, middle + up
