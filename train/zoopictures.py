"""Pictures of a comparison of networks, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.pictures import figure, png

Row = Mapping[str, Any]


def accuracies(rows: Sequence[Row]) -> bytes:
    """Draw each network's test accuracy with its 95 % interval, the best on top.

    Args:
        rows: of `zoo.json`, trained on all training images.
    """
    rows = sorted(rows, key=lambda row: row["accuracy"])
    sheet, axes = figure(7, 1.2 + 0.42 * len(rows))
    for place, row in enumerate(rows):
        axes.plot([row["accuracy_low"], row["accuracy_high"]], [place, place], color="tab:blue", lw=2)
        axes.plot(row["accuracy"], place, "o", color="tab:blue")
        axes.annotate(f"{row['accuracy']:.3f}", (row["accuracy"], place), (0, 5), textcoords="offset points", ha="center", fontsize=8)
    axes.axvline(0.5, ls=":", color="grey")
    axes.annotate("coin", (0.5, -0.5), (3, 0), textcoords="offset points", color="grey", fontsize=8)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(f"accuracy on {rows[-1]['count']} test images, with 95 % interval")
    return png(sheet)


def efforts(rows: Sequence[Row]) -> bytes:
    """Draw accuracy against multiply-adds an image; the area of a dot is the number of parameters."""
    sheet, axes = figure(7, 4.2)
    most = max(row["parameters"] for row in rows)
    for row in sorted(rows, key=lambda row: -row["parameters"]):
        place = row["multiply_adds"] / 1e6, row["accuracy"]
        axes.scatter(*place, s=20 + 500 * row["parameters"] / most, alpha=0.5, color="tab:blue", edgecolor="white")
        axes.annotate(row["name"], place, (0, 9), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xscale("log")
    axes.margins(0.15)
    axes.set(xlabel="million multiply-adds an image (area of a dot: parameters)", ylabel="test accuracy")
    return png(sheet)


def learning(rows: Sequence[Row]) -> bytes:
    """Draw each network's test accuracy and its area under the ROC curve, with 95 % intervals, against its number of training images.

    The area does not ask where the threshold lies, which few images place badly.
    """
    sheet, columns = figure(11, 4.2, columns=2, sharey=True)
    names = dict.fromkeys(row["name"] for row in rows)
    counts = sorted({row["images"] for row in rows})
    for axes, key, title in zip(columns, ("accuracy", "roc_auc"), ("accuracy", "ROC AUC"), strict=True):
        for place, name in enumerate(names):
            curve = sorted((row for row in rows if row["name"] == name), key=lambda row: row["images"])
            images = [row["images"] * (1 + 0.01 * place) for row in curve]  # bars side by side, not on top of each other
            middle, low, high = (np.array([row[f"{key}{end}"] for row in curve], float) for end in ("", "_low", "_high"))
            axes.errorbar(images, middle, np.maximum(0, [middle - low, high - middle]), fmt="o-", capsize=3, label=name)
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.axhline(0.5, ls=":", color="grey")
        axes.set(xlabel="training images", ylabel=f"{title} on {rows[0]['count']} test images, 95 % interval")
    columns[0].legend()
    return png(sheet)
