"""How well the detector separates the classes, as tables and curves, without any HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import charts, words
from reports.context import headline
from reports.run import Run

BINS = 20
WIDTH, HEIGHT = 320, 120  # of a curve, in its own units
MEASURES = (
    ("accuracy", "Accuracy", "right answers"),
    ("precision", "Precision", "of those called fake, how many are"),
    ("recall", "Recall", "of the fakes, how many are found"),
    ("f1", "F1", "harmonic mean of precision and recall"),
    ("roc_auc", "ROC AUC", "chance that a fake scores above a real one"),
)


def table(run: Run) -> dict[str, Any] | None:
    """Return the table of measures, or None without labels.

    Returns:
        `columns` (name, images) and `rows` (name, note, `(value, interval)` per column).
    """
    first, beside, held_out = headline(run)
    if not first:
        return None
    columns = [("Not in training" if held_out else "All images", first)]
    if beside:
        columns.append(("Including training images", beside))
    rows = []
    for key, name, note in MEASURES:
        text = words.number if key == "roc_auc" else words.percent
        bounds = decimals if key == "roc_auc" else words.interval
        values = [(text(c.get(key)), bounds(c.get(f"{key}_interval"))) for _, c in columns]
        rows.append((name, note, values))
    return {"columns": [(n, words.number(c.get("count"))) for n, c in columns], "rows": rows}


def decimals(bounds: Sequence[Any] | None) -> str:
    """Return an interval of an area, which is no share, to three decimals.

    Example:
        >>> decimals([0.7634, 0.86]), decimals(None)
        ('0.763 to 0.860', '–')
    """
    return f"{words.fixed(bounds[0], 3)} to {words.fixed(bounds[1], 3)}" if bounds else words.NONE


def confusion(run: Run) -> list[dict[str, Any]]:
    """Return a confusion matrix per set of images: `title` and the four cells by outcome.

    Returns:
        Each cell has `count` and `share`, its part of the true class in [0, 1] or None.
    """
    first, beside, held_out = headline(run)
    titles = ("Not in training" if held_out else "All images", "Including training images")
    matrices = []
    for title, metrics in zip(titles, (first, beside), strict=True):
        counts = (metrics or {}).get("confusion")
        if not counts:
            continue
        cells = {}
        for outcome, other in (("TP", "FN"), ("FN", "TP"), ("FP", "TN"), ("TN", "FP")):
            count, rest = int(counts.get(outcome) or 0), int(counts.get(other) or 0)
            share = count / (count + rest) if count + rest else None
            cells[outcome] = {
                "count": f"{count:,}",
                "share": share,
                "text": words.percent(share, 0),
            }
        matrices.append({"title": title, "cells": cells})
    return matrices


def scores(run: Run) -> dict[str, Any] | None:
    """Return how the scores are spread, per class, in equal bins of [0, 1].

    Returns:
        `threshold` in [0, 1], `most` (highest bar) and `classes`: name, count and `bars`
        (images per bin). None without scores.
    """
    found: dict[str, list[float]] = {}
    for row in run.images:
        if (score := words.real(row.get("score"))) is not None:
            found.setdefault(row.get("label") or "all", []).append(score)
    if not found:
        return None
    classes: list[dict[str, Any]] = []
    for name in sorted(found):
        bars = [0] * BINS
        for score in found[name]:
            bars[min(BINS - 1, max(0, int(score * BINS)))] += 1
        classes.append({"name": name, "count": len(found[name]), "bars": bars})
    most = max(max(entry["bars"]) for entry in classes)
    return {"threshold": run.threshold, "most": most, "classes": classes}


def curves(run: Run) -> list[dict[str, Any]]:
    """Return the training curves, if the model's card holds its history.

    Returns:
        Per measure: `name`, `low` and `high` (text), `epochs`, and `lines`: name, points of
        an SVG polyline, last value (text).
    """
    card = run.record.get("card")
    history = card.get("history") if isinstance(card, Mapping) else None
    if isinstance(history, list):  # a record per epoch
        records = [epoch for epoch in history if isinstance(epoch, Mapping)]
        names = dict.fromkeys(name for epoch in records for name in epoch if name != "epoch")
        history = {name: [epoch.get(name) for epoch in records] for name in names}
    if not isinstance(history, Mapping):
        return []
    series = {str(name): clean(values) for name, values in history.items()}
    pictures = []
    for name, values in series.items():
        if name.startswith("val_") or len(values) < 2:
            continue
        lines = [("training", values)]
        if len(other := series.get(f"val_{name}", [])) >= 2:
            lines.append(("validation", other))
        low = min(min(line) for _, line in lines)
        high = max(max(line) for _, line in lines)
        pictures.append(
            {
                "name": name.replace("_", " "),
                "low": words.number(low),
                "high": words.number(high),
                "epochs": len(values),
                "lines": [(kind, charts.polyline(line, low, high, WIDTH, HEIGHT), words.number(line[-1])) for kind, line in lines],
            }
        )
    return pictures


def clean(values: Any) -> list[float]:
    """Return a list of numbers, or an empty list where one of them is none."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    numbers = [words.real(value) for value in values]
    return [] if None in numbers else [n for n in numbers if n is not None]
