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
    """Return the verdict in plain sentences: what is looked at and used, whether to believe it, then claims and numbers."""
    finding = str(run.summary.get("finding") or "").strip()
    numbers = [accuracy_sentence(run), map_sentence(run, spot)]
    # The run's finding speaks of the face parts already.
    believed = str((run.summary.get("trust") or {}).get("meaning") or "")
    told = [str(sentence) for sentence in run.summary.get("verdicts") or ()]
    told.sort(key=lambda sentence: sentence.startswith("Claim "))  # the claims' figures come after what they add up to
    sentences = [*told, believed, *([finding, *numbers] if finding else [*numbers, region_sentence(run, spot)])]
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
    found = [entry for entry in of_spot(run, spot) if (words.real(entry.get("density")) or 0) > 1]
    if not found:
        return ""
    best = max(found, key=lambda entry: float(entry["density"]))
    return (
        f"There, {words.percent(best.get('mass_share'), 0)} of the positive map lies on "
        f"“{best['region']}”, which covers {words.percent(best.get('area_share'))} of the picture: "
        f"{words.number(best['density'], 2)} times what looking at random would give."
    )


def tiles(run: Run, spot: Focus) -> list[dict[str, str]]:
    """Return the first screen's numbers: `name`, `value`, `note`, and `href`, where more of it stands."""
    counts = run.summary["images"] or {}
    groups = counts.get("groups") or {}
    classes = ", ".join(f"{words.number(groups[g])} {g}" for g in ("real", "fake") if g in groups)
    skipped = counts.get("skipped") or 0
    told = (
        ("Images", words.number(counts.get("read")), classes, "#dataset"),
        ("Accuracy", *accuracy_tile(run), "#performance"),
        ("Where it looks", *looked_tile(run, spot), "#look"),
        ("What it uses", *used_tile(run), "#parts" if run.summary.get("regions") else "#look"),
        ("Believability", *believed_tile(run), "#trust" if run.summary.get("trust") else "#methods"),
        (
            "Skipped",
            words.number(skipped),
            "could not be used, and why" if skipped else "every file could be read",
            "#skipped" if run.skipped else "#dataset",
        ),
    )
    return [dict(zip(("name", "value", "note", "href"), tile, strict=True)) for tile in told]


def accuracy_tile(run: Run) -> tuple[str, str]:
    """Return how often the model is right, and with which interval and AUC."""
    first, beside, held_out = headline(run)
    if not first:
        return words.NONE, "the images carry no labels"
    bounds = words.interval(first.get("accuracy_interval"))
    parts = [f"95{words.SPACE}% interval {bounds}"] if bounds != words.NONE else []
    parts.append("on images not in training" if held_out else "on all images")
    if first.get("roc_auc") is not None:
        parts.append(f"ROC AUC {words.number(first['roc_auc'])}")
    also = f" (including training images: {words.percent(beside.get('accuracy'))})" if beside else ""
    return words.percent(first.get("accuracy")), ", ".join(parts) + also


def looked_tile(run: Run, spot: Focus) -> tuple[str, str]:
    """Return the region on which the headlined map is densest, or where it peaks; and how many maps are empty."""
    if not spot.layer:
        return "nowhere", f"no mean map has a positive value{empties(run, spot)}"
    where = f"{words.method(spot.method)}, {spot.layer}, {spot.group}"
    found = [entry for entry in of_spot(run, spot) if not entry.get("within") and (words.real(entry.get("density")) or 0) > 0]
    if not found:
        return words.corner(spot.entry.get("peak")), f"peak {words.place(spot.entry.get('peak'))}; {where}{empties(run, spot)}"
    best = max(found, key=lambda entry: float(entry["density"]))
    chance = f", {words.number(best['times_chance'], 2)} × chance" if words.real(best.get("times_chance")) is not None else ""
    note = f"{words.number(best['density'], 2)} × its share of the picture{chance}; {where}{empties(run, spot)}"
    return best["region"].replace("_", " "), note


def of_spot(run: Run, spot: Focus) -> list[Mapping[str, Any]]:
    """Return what the headlined map puts on each region."""
    key = (spot.group, spot.layer, spot.method)
    return [entry for entry in run.summary.get("regions") or () if (entry["group"], entry["layer"], entry["method"]) == key]


def emptied(run: Run, spot: Focus) -> tuple[int, int]:
    """Return how many maps of the headlined method, group and layer (else of all layers) are empty, and of how many."""
    own = [e for e in run.summary["maps"] if (e["method"], e["group"]) == (spot.method, spot.group) and e["layer"] == (spot.layer or e["layer"])]
    none = sum(int(entry.get("empty") or 0) for entry in own)
    return none, none + sum(int(entry.get("count") or 0) for entry in own)


def empties(run: Run, spot: Focus) -> str:
    """Say how many maps are empty; empty text for none."""
    none, total = emptied(run, spot)
    return f"; {none:,} of {total:,} maps are empty" if none else ""


def used_tile(run: Run) -> tuple[str, str]:
    """Return the part whose swap surely moves the logit most."""
    tested = [entry for entry in run.summary.get("uses") or () if entry["used"]["verdict"] != "not tested"]
    if not tested:
        return "not tested", "no parts were swapped"
    best = most_used(run)
    if best is None:
        return "nothing yet shown", f"{words.plural(len(tested), 'part')} swapped, no effect is sure"
    used = best["used"]
    span = f"{words.fixed(used['low'])} to {words.fixed(used['high'])}"
    return best["region"].replace("_", " "), f"swapping it moves the logit by {words.fixed(used['value'])} (95{words.SPACE}% {span})"


def most_used(run: Run) -> Mapping[str, Any] | None:
    """Return the entry of `uses` with the largest effect that is supported; None where there is none."""
    found = [entry for entry in run.summary.get("uses") or () if entry["used"]["verdict"] == "supported"]
    return max(found, key=lambda entry: float(entry["used"]["value"]), default=None)


def believed_tile(run: Run) -> tuple[str, str]:
    """Return how many methods pass the tests of whether they can be believed, and which fail."""
    lines = (run.summary.get("trust") or {}).get("methods") or ()
    if not lines:
        return "not tested", "whether the maps can be believed"
    named = {verdict: [words.method(line["method"]) for line in lines if line["verdict"] == verdict] for verdict in ("passes", "fails")}
    note = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in named.items() if names)
    return f"{len(named['passes'])} of {words.plural(len(lines), 'method')} {'passes' if len(lines) == 1 else 'pass'}", note or "none is sure to pass"
