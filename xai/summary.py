"""The numbers of a run in words and as `summary.json` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xai.aggregate import members
from xai.detector import Detector
from xai.errors import tally
from xai.maps.methods import INPUT, title
from xai.metrics import measure
from xai.rows import Rows


def summarise(
    rows: Rows, skipped: dict[str, str], maps: list[dict[str, Any]], parts: dict[str, Any], threshold: float, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the content of `summary.json`.

    Args:
        rows: of the images that were read.
        skipped: path -> reason.
        maps: from `xai.mapfile.merge`.
        parts: what `xai.study` found.
        threshold: scores from here on are called fake.
        notes: to be shown with those that are found here.
    """
    counts = {name: int(chosen.sum()) for name, chosen in members(rows.column("label"), rows.column("outcome")).items()}
    in_training = rows.among("split", "train", "valid")
    trained, held_out = rows.where(in_training), rows.where(~in_training)
    told = []
    if len(trained):
        told.append(
            f"{len(trained)} of the {len(rows)} images were used in training or for early stopping; "
            f"the {len(held_out)} held-out ones are measured apart"
            if len(held_out)
            else f"all {len(rows)} images were used in training or for early stopping: the accuracy says nothing about new images"
        )
    told += [*notes, *parts["notes"]]
    if skipped:
        told.append(f"{tally(skipped)}: listed under skipped")
    return {
        "images": {"read": len(rows), "skipped": len(skipped), "trained_on": len(trained), "groups": counts},
        "metrics": {"all": metrics_of(rows, threshold), "held_out": metrics_of(held_out, threshold) if len(trained) else None},
        "maps": maps,
        **{key: value for key, value in parts.items() if key != "notes"},
        "finding": finding(parts["regions"], (parts.get("focus") or {}).get("method") or "hirescam"),
        "notes": told,
    }


def uncarded(detector: Detector) -> list[str]:
    """Return, of a model that came without a card, what was taken for granted."""
    if detector.card is not None:
        return []
    p = detector.preprocessing
    pixels = f"{p.colour_order} in [{p.low:g}, {p.high:g}]{p.normalisation()}"
    given = f"pixels were given as {pixels}, resized by {p.resize}, high scores taken as {detector.positive}"
    return [f"the model came without a card: {given}"]


def metrics_of(rows: Rows, threshold: float) -> dict[str, Any] | None:
    """Measure the labelled rows; None where there are none."""
    known = rows.where(~rows.among("label", ""))
    if not len(known):
        return None
    return measure(known.column("label").tolist(), known.column("logit"), threshold)


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


def telling(rows: Rows) -> list[dict[str, Any]]:
    """Return at most one row per outcome: the surest call of each kind."""
    chosen = []
    for name in ("TP", "TN", "FP", "FN", ""):
        own = np.flatnonzero(rows.among("outcome", name))
        if len(own):
            chosen.append(rows[int(own[np.argmax(np.abs(rows.column("logit")[own]))])])
    return chosen
