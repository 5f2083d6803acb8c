"""The ROC and the precision-recall curve, each with the band in which it may lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xai import stats
from xai.metrics import checked

GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve over all thresholds.

    Args:
        x, y: its points, `(n,)`, in [0, 1], by rising x.
        threshold: the lowest score that is called fake there, `(n,)`; infinity where none is.
        low, high: 95 % band of the curve's height over `GRID`, `(101,)`, point by point; NaN without draws.
    """

    x: np.ndarray
    y: np.ndarray
    threshold: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def rows(self) -> list[tuple[float | None, ...]]:
        """Return threshold, x, y, low, high per point; of points above each other, the highest has the band."""
        _, starts, group = np.unique(self.x, return_index=True, return_inverse=True)
        top = self.y == np.maximum.reduceat(self.y, starts)[group]
        bands = [np.interp(self.x, GRID, edge) for edge in (self.low, self.high)]
        threshold = [t if np.isfinite(t) else None for t in self.threshold.tolist()]
        return [
            (t, x, y, *((low, high) if highest else (None, None)))
            for t, x, y, low, high, highest in zip(threshold, *(part.tolist() for part in (self.x, self.y, *bands)), top.tolist(), strict=True)
        ]


def curves(labels: Sequence[str], logits: np.ndarray, seed: int = 0, resamples: int = 1000) -> tuple[Curve, Curve] | None:
    """Return the ROC curve and the precision-recall curve of fake.

    Args:
        labels: "real" or "fake" per image.
        logits: of fake, `(N,)`.
        seed: of the draws behind the bands.
        resamples: draws; fewer on more than 20,000 images, whose bands are thin.

    Returns:
        ROC: x is the share of reals called fake, y the share of fakes called fake. Precision-recall: x
        is the share of fakes called fake, y how many of those called fake are. None where a class is missing.

    Raises:
        ValueError: as `xai.metrics.measure`.

    Example:
        >>> roc, pr = curves(["fake", "real", "fake"], np.array([2.0, 1.0, 0.0]))
        >>> roc.x.tolist(), roc.y.tolist(), pr.x.tolist(), pr.y.round(2).tolist()
        ([0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0], [1.0, 0.5, 0.67])
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    from xai.detector import score

    truth, logits = checked(labels, logits, None)
    if truth.all() or not truth.any():
        return None
    order = np.argsort(-logits, kind="stable")
    starts = np.flatnonzero(np.diff(logits[order], prepend=np.inf))
    bands = [heights(drawn, truth[order], starts) for drawn in stats.weights(truth[order], stats.fewer(resamples, len(truth)), seed)]
    false_rate, true_rate, roc_at = roc_curve(truth, logits)
    precision, recall, pr_at = precision_recall_curve(truth, logits, drop_intermediate=True)
    # scikit-learn closes the second curve at recall 0 with a point that no threshold has
    down = slice(-2, None, -1)
    return (
        Curve(false_rate, true_rate, np.where(np.isinf(roc_at), np.inf, score(roc_at)), *band([pair[0] for pair in bands])),
        Curve(recall[down], precision[down], score(pr_at[::-1]), *band([pair[1] for pair in bands])),
    )


def heights(drawn: np.ndarray, truth: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both curves of each draw over `GRID`, `(r, 101)` each; arguments as in `xai.stats.ranking`."""
    _, fakes, called = stats.running(drawn, truth, starts)
    recall, false_rate = fakes / fakes[:, -1:], (called - fakes) / (called - fakes)[:, -1:]
    precision = fakes / np.maximum(called, 1)
    roc, pr = np.empty((2, len(drawn), len(GRID)))
    for k in range(len(drawn)):
        roc[k] = np.interp(GRID, np.r_[0, false_rate[k]], np.r_[0, recall[k]])
        # the first threshold that finds so many fakes, and at least one; the little bit is for shares like 0.1 that no float is
        first = np.searchsorted(recall[k], np.maximum(GRID - 1e-9, 1e-12))
        pr[k] = precision[k, np.minimum(first, len(starts) - 1)]
    return roc, pr


def band(draws: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle 95 % of draws, `(101,)` each; NaN without draws."""
    if not draws:
        return np.full(len(GRID), np.nan), np.full(len(GRID), np.nan)
    low, high = np.quantile(np.concatenate(draws), [(1 - stats.LEVEL) / 2, (1 + stats.LEVEL) / 2], axis=0)
    return low, high
