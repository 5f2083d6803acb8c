"""What the page says: the verdict, the tiles and the tables, without any HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import words
from reports.drawn import Drawn
from reports.filmstrip import Key
from reports.run import Run

CAM_METHODS = ("hirescam", "layercam", "gradcam")  # first choice first; exact for any head first


@dataclass(frozen=True, slots=True)
class Focus:
    """The group, method and layer that the first screen speaks of.

    Args:
        group, method: which maps.
        layer: where the mean map stands out most; empty text when no mean map has a positive value.
        entry: its entry in `summary.maps`; empty without a layer.
    """

    group: str
    method: str
    layer: str
    entry: Mapping[str, Any]


def focus(run: Run, means: Mapping[Key, Drawn]) -> Focus:
    """Choose what the first screen speaks of.

    That is the map that claims were judged on. Where these were judged on all layers:
    layers differ in unit and resolution, so their raw maxima cannot be compared. The layer
    is the one whose mean map is highest in proportion to its own average, among the layers
    where at most half of the maps are empty (or all, if there is none such).
    """
    told = run.summary.get("focus") or {}
    methods = (told.get("method"), *CAM_METHODS)
    method = next((m for m in methods if m in run.methods), next(iter(run.methods), ""))
    group = "fake" if "fake" in run.groups else next(iter(run.groups), "all")
    entries = {
        entry["layer"]: entry
        for entry in run.summary["maps"]
        if (entry["group"], entry["method"]) == (group, method) and entry.get("count") and not means[group, entry["layer"], method].empty
    }
    usable = {n: e for n, e in entries.items() if (e.get("empty") or 0) <= e["count"]} or entries
    layers = [name for name in run.layers if name in usable]
    if told.get("method") == method and len(told["layers"]) == 1 and told["layers"][0] in layers:
        layers = told["layers"]
    if not layers:
        return Focus(group, method, "", {})
    layer = max(layers, key=lambda name: contrast(means[group, name, method]))
    return Focus(group, method, layer, usable[layer])


def contrast(drawn: Drawn) -> float:
    """Return a map's maximum over the mean of its positive part, where the layer has cells.

    Measured on blocks of a sixteenth of the canvas: single cells of a fine layer are noise.

    Example:
        >>> contrast(Drawn(np.array([[1.0, -5.0], [0.0, 3.0]]), -5.0, 3.0))
        3.0
        >>> contrast(Drawn(np.array([[0.0, 0.0], [2.0, 0.0]]), 2.0, 2.0, covered=0.25))
        1.0
    """
    height, width = drawn.values.shape
    block = max(1, max(height, width) // 16)
    rows, columns = max(1, height // block), max(1, width // block)
    whole = drawn.values[: rows * block, : columns * block]
    positive = np.maximum(whole.reshape(rows, -1, columns, whole.shape[1] // columns).mean((1, 3)), 0.0)
    mean = float(positive.mean()) / drawn.covered
    return float(positive.max()) / mean if mean > 0 else 0.0


def headline(run: Run) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None, bool]:
    """Return the metrics that are headlined, those shown beside, and whether held out."""
    metrics = run.summary["metrics"] or {}
    if metrics.get("held_out"):
        return metrics["held_out"], metrics.get("all"), True
    return metrics.get("all"), None, False


def verdict(run: Run, spot: Focus) -> list[str]:
    """Return the verdict in plain sentences: the run's own finding first, then the numbers."""
    finding = str(run.summary.get("finding") or "").strip()
    numbers = [accuracy_sentence(run), map_sentence(run, spot)]
    # The run's finding speaks of the face parts already.
    believed = str((run.summary.get("trust") or {}).get("meaning") or "")
    sentences = [*(run.summary.get("verdicts") or ()), believed, *([finding, *numbers] if finding else [*numbers, region_sentence(run, spot)])]
    return [sentence for sentence in sentences if sentence]


def accuracy_sentence(run: Run) -> str:
    """Say how often the model is right."""
    first, beside, held_out = headline(run)
    name = (run.record["model"] or {}).get("name") or "The model"
    if not first:
        return "The images carry no labels, so there is no accuracy to report."
    on = words.plural(int(first.get("count") or 0), "image")
    on += " that it was not trained on" if held_out else ""
    text = f"{name} is right on {words.percent(first.get('accuracy'))} of {on}"
    if (bounds := words.interval(first.get("accuracy_interval"))) != words.NONE:
        text += f" (95{words.SPACE}% interval {bounds})"
    if beside:
        text += f"; {words.percent(beside.get('accuracy'))} including training images"
    return text + "."


def map_sentence(run: Run, spot: Focus) -> str:
    """Say at which layer the mean map stands out, and where it peaks."""
    which = {"fake": "fakes", "all": "all images"}.get(spot.group, f"group {spot.group}")
    method = words.method(spot.method)
    if not spot.layer:
        return f"{method} shows no evidence for {which}: no layer's mean map has a positive value."
    text = f"For {which}, the mean {method} map stands out most at layer {spot.layer}"
    if (where := words.place(spot.entry.get("peak"))) != words.NONE:
        text += f", where it peaks {where}"
    return text + "."


def region_sentence(run: Run, spot: Focus) -> str:
    """Say which face part the headlined map dwells on, if it dwells on any."""
    found = [
        entry
        for entry in run.summary.get("regions") or ()
        if (entry["group"], entry["layer"], entry["method"]) == (spot.group, spot.layer, spot.method) and (words.real(entry.get("density")) or 0) > 1
    ]
    if not found:
        return ""
    best = max(found, key=lambda entry: float(entry["density"]))
    return (
        f"There, {words.percent(best.get('mass_share'), 0)} of the positive map lies on "
        f"“{best['region']}”, which covers {words.percent(best.get('area_share'))} of the picture: "
        f"{words.number(best['density'], 2)} times what looking at random would give."
    )


def tiles(run: Run, spot: Focus) -> list[dict[str, str]]:
    """Return the first screen's numbers: `name`, `value`, `note`."""
    counts = run.summary["images"] or {}
    groups = counts.get("groups") or {}
    first, beside, held_out = headline(run)
    also = " (including training images: {})" if beside else ""
    on = "on images not in training" if held_out else "on all images"
    classes = ", ".join(f"{words.number(groups[g])} {g}" for g in ("real", "fake") if g in groups)
    shown = [{"name": "Images read", "value": words.number(counts.get("read")), "note": classes}]
    if first:
        bounds = words.interval(first.get("accuracy_interval"))
        bounds = "" if bounds == words.NONE else f"95{words.SPACE}% interval {bounds}, "
        for key, name, text, note in (
            ("accuracy", "Accuracy", words.percent, bounds),
            ("roc_auc", "ROC AUC", words.number, ""),
        ):
            value = also.format(text((beside or {}).get(key)))
            shown.append({"name": name, "value": text(first.get(key)), "note": note + on + value})
    empty = [
        entry
        for entry in run.summary["maps"]
        if entry["method"] == spot.method and entry["group"] == spot.group and entry["layer"] == (spot.layer or entry["layer"])
    ]
    if empty:
        none = sum(int(entry.get("empty") or 0) for entry in empty)
        total = none + sum(int(entry.get("count") or 0) for entry in empty)
        where = f"{words.method(spot.method)}, {spot.layer or 'all layers'}, {spot.group}"
        shown.append(
            {
                "name": "Empty maps",
                "value": f"{none:,} of {total:,}",
                "note": f"no positive value: {where}",
            }
        )
    skipped = counts.get("skipped") or 0
    shown.append(
        {
            "name": "Skipped",
            "value": words.number(skipped),
            "note": "listed below with the reason" if skipped else "every file could be read",
        }
    )
    return shown
