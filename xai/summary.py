"""The numbers of a run in words and as `summary.json` has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai.aggregate import GROUPS
from xai.detector import Detector
from xai.errors import tally
from xai.maps.methods import INPUT, title
from xai.metrics import measure


def summarise(
    detector: Detector, rows: list[dict[str, Any]], skipped: dict[str, str], maps: list[dict[str, Any]], parts: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of `summary.json`; `parts` is what `xai.study` found."""
    counts = {group: sum(group == "all" or group in (row["label"], row["outcome"]) for row in rows) for group in GROUPS}
    trained = [row for row in rows if row["split"] in ("train", "valid")]
    held_out = [row for row in rows if row["split"] not in ("train", "valid")]
    notes = []
    if trained:
        notes.append(
            f"{len(trained)} of the {len(rows)} images were used in training or for early stopping; "
            f"the {len(held_out)} held-out ones are measured apart"
            if held_out
            else f"all {len(rows)} images were used in training or for early stopping: the accuracy says nothing about new images"
        )
    if detector.card is None:
        p = detector.preprocessing
        notes.append(
            f"the model came without a card: pixels were given as {p.colour_order} in [{p.low:g}, {p.high:g}], "
            f"high scores taken as {detector.positive}"
        )
    notes += parts["notes"]
    if skipped:
        notes.append(f"{tally(skipped)}: listed under skipped")
    return {
        "images": {"read": len(rows), "skipped": len(skipped), "trained_on": len(trained), "groups": {k: v for k, v in counts.items() if v}},
        "metrics": {"all": metrics_of(detector, rows), "held_out": metrics_of(detector, held_out) if trained else None},
        "maps": maps,
        **{key: value for key, value in parts.items() if key != "notes"},
        "finding": finding(parts["regions"], (parts.get("focus") or {}).get("method") or "hirescam"),
        "notes": notes,
    }


def metrics_of(detector: Detector, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Measure the labelled rows; None where there are none."""
    known = [row for row in rows if row["label"]]
    if not known:
        return None
    return measure([row["label"] for row in known], np.array([row["logit"] for row in known]), detector.threshold)


def finding(regions: list[dict[str, Any]], method: str = "hirescam") -> str:
    """Say on which region a method's maps of the fakes are densest, over all layers; '' without regions."""
    table: dict[str, list[dict[str, Any]]] = {}
    for row in regions:
        if row["group"] == "fake" and row["method"] == method and row["count"] and row["area_share"] > 0.001 and not row["within"]:
            table.setdefault(row["layer"], []).append(row)
    if not table:
        return ""
    firsts = {layer: max(rows, key=lambda row: row["density"]) for layer, rows in table.items()}
    names = [row["region"] for row in firsts.values()]
    region = max(sorted(set(names)), key=names.count)
    layer, row = max(((k, v) for k, v in firsts.items() if v["region"] == region), key=lambda pair: pair[1]["density"])
    where = "" if layer == INPUT else f" at {names.count(region)} of {len(names)} layers; most at {layer}"
    return (
        f"On fakes, {title(method)} is densest on '{region}'{where}, where "
        f"{row['area_share']:.1%} of the image holds {row['mass_share']:.0%} of the map ({row['density']:.1f} times its share of the image)."
    )


def telling(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most one row per outcome: the surest call of each kind."""
    chosen = []
    for name in ("TP", "TN", "FP", "FN", ""):
        group = [row for row in rows if row["outcome"] == name]
        if group:
            chosen.append(max(group, key=lambda row: (abs(row["logit"]), -row["index"])))
    return chosen
