"""How good a detector is: counts, rates and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np


def measure(labels: list[str], logits: np.ndarray, threshold: float = 0.5) -> dict[str, Any]:
    """Return the metrics of a labelled set; fake is the positive class.

    Args:
        labels: "real" or "fake" per image.
        logits: of fake, `(N,)`.
        threshold: scores from here on are called fake.

    Returns:
        `count, accuracy, accuracy_interval (Wilson, 95 %), precision, recall, f1,
        roc_auc, confusion`. A rate that has nothing to divide by is None.

    Raises:
        ValueError: no images.

    Example:
        >>> result = measure(["fake", "real", "real"], np.array([2.0, -1.0, 1.0]))
        >>> result["confusion"], round(result["accuracy"], 3), result["roc_auc"]
        ({'TP': 1, 'FP': 1, 'TN': 1, 'FN': 0}, 0.667, 1.0)
    """
    from sklearn.metrics import roc_auc_score

    from xai.detector import score

    if not labels:
        raise ValueError("no images to measure")
    truth = np.array([label == "fake" for label in labels])
    called = score(logits) >= threshold
    tp, fp = int((truth & called).sum()), int((~truth & called).sum())
    tn, fn = int((~truth & ~called).sum()), int((truth & ~called).sum())
    right = tp + tn
    return {
        "count": len(labels),
        "accuracy": right / len(labels),
        "accuracy_interval": list(wilson(right, len(labels))),
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        "roc_auc": float(roc_auc_score(truth, logits)) if 0 < truth.sum() < len(truth) else None,
        "confusion": {"TP": tp, "FP": fp, "TN": tn, "FN": fn},
    }


def wilson(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
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

    interval = binomtest(right, count).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def report(metrics: dict[str, Any]) -> str:
    """Return metrics as plain text, one line a number and the confusion matrix below."""
    low, high = metrics["accuracy_interval"]
    lines = [f"images     {metrics['count']}", f"accuracy   {metrics['accuracy']:.3f}  (95 % interval {low:.3f} to {high:.3f})"]
    for name in ("precision", "recall", "f1", "roc_auc"):
        value = metrics[name]
        lines.append(f"{name:<10} {'-' if value is None else f'{value:.3f}'}")
    c = metrics["confusion"]
    lines += ["", "             called real  called fake", f"  real       {c['TN']:>11}  {c['FP']:>11}", f"  fake       {c['FN']:>11}  {c['TP']:>11}"]
    return "\n".join(lines)
