"""Pictures of an inspection: how large and how compressed the files of each class are, and what gives them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.pictures import COLOURS, FAKE, PALE, figure, png

BINS = 40


def pictures(inspection: dict[str, Any]) -> dict[str, bytes]:
    """Draw what there is to draw.

    Args:
        inspection: what `train.inspection.inspect` returned.

    Returns:
        PNG bytes by name: `bytes.png`; `quality.png` where a JPEG's quality is known; `leak.png` where it was tested.
    """
    files = inspection["files"]
    classes = {label: [file for file in files if file["label"] == label] for label in (*COLOURS, "")}
    classes = {label: part for label, part in classes.items() if part}
    drawn = {"bytes.png": sizes({label: [file["bytes"] / 1000 for file in part] for label, part in classes.items()})}
    known = {label: [file["quality"] for file in part if file["quality"] is not None] for label, part in classes.items()}
    if any(known.values()):
        drawn["quality.png"] = qualities(known, {label: len(part) for label, part in classes.items()})
    if inspection["leak"] and inspection["leak"]["families"]:
        drawn["leak.png"] = areas(inspection["leak"]["families"])
    return drawn


def sizes(values: Mapping[str, Sequence[float]]) -> bytes:
    """Draw how file sizes (KB) are spread in each class, as shares, so that classes of unequal size compare."""
    from matplotlib.ticker import LogLocator, NullFormatter

    every = np.concatenate([np.asarray(part, float) for part in values.values()])
    low, high = float(every.min()), float(every.max())
    logarithmic = high > 20 * low > 0
    low, high = (low, high) if high > low else (low * 0.9, high * 1.1)
    edges = np.geomspace(low, high, BINS + 1) if logarithmic else np.linspace(low, high, BINS + 1)
    sheet, axes = figure(6, 3.2)
    for label, part in values.items():
        shares = np.full(len(part), 100 / len(part))
        axes.hist(part, edges, weights=shares, alpha=0.55, color=COLOURS.get(label, PALE), label=f"{label or 'images'} ({len(part):,})")
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="file size in KB", ylabel="% of the class", title="File sizes")
    axes.legend()
    return png(sheet)


def qualities(values: Mapping[str, Sequence[int]], counts: dict[str, int]) -> bytes:
    """Draw how JPEG quality is spread in each class, in per cent of its files."""
    every = [value for part in values.values() for value in part]
    low, high = max(0, min(every) - 5), min(101, max(every) + 5)
    sheet, axes = figure(6, 3.2)
    width = 0.8 / len(values)
    for place, (label, part) in enumerate(values.items()):
        found, numbers = np.unique(np.asarray(part, int), return_counts=True)
        middle = found + (place - (len(values) - 1) / 2) * width
        axes.bar(
            middle,
            100 * numbers / counts[label],
            width,
            color=COLOURS.get(label, PALE),
            label=f"{label or 'images'} ({len(part):,} of {counts[label]:,})",
        )
    axes.set(xlabel="JPEG quality", ylabel="% of the class", title="JPEG quality", xlim=(low, high), ylim=(0, 105))
    axes.legend()
    return png(sheet)


def areas(families: Sequence[dict[str, Any]]) -> bytes:
    """Draw the AUC of each family of file facts with its interval."""
    sheet, axes = figure(6, 0.9 + 0.34 * len(families))
    for place, family in enumerate(reversed(families)):
        colour = FAKE if family["verdict"] in ("severe", "leak") else PALE
        low, high = family["interval"] or (family["auc"], family["auc"])
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot(family["auc"], place, "o", color=colour)
    axes.axvline(0.5, linestyle=":", color=PALE)
    axes.set_yticks(range(len(families)), [family["name"] for family in reversed(families)])
    axes.set(xlim=(0.3, 1.02), ylim=(-0.6, len(families) - 0.4), xlabel="AUC without one pixel; 0.5 is chance")
    return png(sheet)
