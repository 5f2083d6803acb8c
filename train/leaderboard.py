"""Which map finds what was planted: the table of all methods and layers, what failed, and what to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.scoring import COLUMNS, Pair
from xai.inference import mean_interval, ratio_interval, share_interval
from xai.maps.methods import passes, title

ALL = "all"  # plants together
LEAST = 8  # fakes, fewer of which prove nothing
HALF = 0.5  # of the fakes: a map that points elsewhere more often than not is no guide
FEW = 8  # backward passes, which an audit can afford for every image
CLOSE = 0.05  # of the best score: within it the cheaper map is recommended
FIELDS = (
    "plant", "layer", "method", "images", "empty", "area_share",
    "pointing", "pointing_low", "pointing_high", "exact", "mass_accuracy", "mass_accuracy_low", "mass_accuracy_high",
    "density", "density_low", "density_high", "rank_accuracy", "rank_accuracy_low", "rank_accuracy_high",
    "iou", "iou_low", "iou_high", "half_area", "score", "verdict",
)  # fmt: skip

Values = Mapping[Pair, np.ndarray]


def board(plants: Mapping[str, Values]) -> list[dict[str, Any]]:
    """Return the table: a row per plant, layer and method, and for all plants together.

    Empty maps are counted; they miss in `pointing` and are 0 in `score`, and are left out of the other means.
    `score` is the mean of pointing, mass accuracy and rank accuracy. Together, every plant has the same weight in the
    score, and every image in the rest.

    Args:
        plants: by plant, what each map scored, `(n, 8)` with the columns of `train.scoring.COLUMNS`; plants of a region.

    Returns:
        Rows with the fields of `FIELDS`; together, `verdict` is "passes", "fails" or "unsure".
    """
    rows = [row(plant, pair, values) for plant, scores in plants.items() for pair, values in scores.items()]
    known = {(entry["plant"], entry["layer"], entry["method"]): entry for entry in rows}
    shared = [pair for pair in next(iter(plants.values()), {}) if all(pair in scores for scores in plants.values())]
    together = []
    for pair in shared:
        own = [known[plant, *pair] for plant in plants]
        joined = row(ALL, pair, np.concatenate([scores[pair] for scores in plants.values()]))
        joined["score"] = float(np.mean([entry["score"] for entry in own]))
        joined["verdict"] = verdict(joined, own)
        together.append(joined)
    return together + rows


def row(plant: str, pair: Pair, values: np.ndarray) -> dict[str, Any]:
    """Return one row of the table, its verdict open."""
    columns = dict(zip(COLUMNS, values.T, strict=True))
    empty = columns["empty"] > 0
    count = len(values)
    pointing = np.nan_to_num(columns["pointing"])
    found: dict[str, Any] = {"plant": plant, "layer": pair[0], "method": pair[1], "images": count, "empty": int(empty.sum())}
    found["area_share"] = float(columns["area"].mean())
    measures = {
        "pointing": share_interval(np.array([pointing.sum()]), np.array([count])),
        "mass_accuracy": mean_interval(columns["mass_accuracy"][:, None], bounds=(0, 1)),
        "density": ratio_interval(columns["mass_accuracy"][:, None], columns["area"][:, None], bounds=(0, np.inf)),
        "rank_accuracy": mean_interval(columns["rank_accuracy"][:, None], bounds=(0, 1)),
        "iou": mean_interval(columns["iou"][:, None], bounds=(0, 1)),
    }
    for name, ends in measures.items():
        found |= {f"{name}{end}": float(value[0]) for end, value in zip(("", "_low", "_high"), ends, strict=True)}
    found["exact"] = float(np.nan_to_num(columns["exact"]).mean())
    half = columns["half"][~np.isnan(columns["half"])]
    found["half_area"] = float(half.mean()) if half.size else np.nan
    found["score"] = float(np.mean([np.nan_to_num(columns[name]).mean() for name in ("pointing", "mass_accuracy", "rank_accuracy")]))
    return found | {"verdict": ""}


def verdict(joined: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> str:
    """Say whether a map is a guide: it points at what was planted in most fakes of every plant; of few fakes nothing is said."""
    if joined["images"] < LEAST:
        return "unsure"
    if joined["pointing_low"] >= HALF and min(entry["pointing"] for entry in own) >= HALF:
        return "passes"
    return "fails" if joined["pointing_high"] < HALF else "unsure"


def cost(method: str) -> int:
    """Return the class of cost of a method: 0 one backward pass, 1 a few, 2 tens of them, 3 hundreds of answers.

    Example:
        >>> cost("hirescam"), cost("vargrad:samples=4"), cost("vargrad"), cost("rise")
        (0, 1, 2, 3)
    """
    count = passes(method)
    return 3 if count == 0 else sum(count > limit for limit in (1, FEW))


def choose(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the row to recommend: of the maps within 5 % of the best score the cheapest, of these the best; None where no map passes.

    Args:
        rows: those of all plants together.
    """
    passing = [entry for entry in rows if entry["verdict"] == "passes"]
    if not passing:
        return None
    best = max(entry["score"] for entry in passing)
    near = [entry for entry in passing if entry["score"] >= (1 - CLOSE) * best]
    return min(near, key=lambda entry: (cost(entry["method"]), -entry["score"]))


def transferred(plants: Mapping[str, Values]) -> list[dict[str, Any]]:
    """Return, per plant, how far what the other plants recommend falls short of the best map on it: the honest regret.

    Returns:
        plant, layer, method, score, best_layer, best_method, best, regret (share of the best score); none for a single plant.
    """
    found = []
    for plant in plants if len(plants) > 1 else ():
        others = {name: values for name, values in plants.items() if name != plant}
        chosen = choose([entry for entry in board(others) if entry["plant"] == ALL])
        enough = {pair: values for pair, values in plants[plant].items() if len(values) >= LEAST} or plants[plant]
        own = [row(plant, pair, values) for pair, values in enough.items()]
        best = max(own, key=lambda entry: entry["score"])
        if chosen is None or not best["score"]:
            continue
        pair = chosen["layer"], chosen["method"]
        here = row(plant, pair, plants[plant][pair])
        record = {"plant": plant, "layer": here["layer"], "method": here["method"], "score": here["score"]}
        record |= {"best_layer": best["layer"], "best_method": best["method"], "best": best["score"]}
        found.append(record | {"regret": 1 - here["score"] / best["score"]})
    return found


def judged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a verdict per method: it passes where it passes at some layer, and fails where it fails at all.

    Args:
        rows: those of all plants together.

    Returns:
        method, verdict, layers (where it passes), fails_at, unsure_at, best (its best layer), why; the best methods first.
    """
    methods = dict.fromkeys(entry["method"] for entry in rows)
    found = []
    for method in methods:
        own = [entry for entry in rows if entry["method"] == method]
        best = max(own, key=lambda entry: entry["score"])
        layers = [entry["layer"] for entry in own if entry["verdict"] == "passes"]
        answer = "passes" if layers else "fails" if all(entry["verdict"] == "fails" for entry in own) else "unsure"
        fails = [entry["layer"] for entry in own if entry["verdict"] == "fails"]
        found.append(
            {
                "method": method,
                "verdict": answer,
                "layers": layers,
                "fails_at": fails,
                "unsure_at": [entry["layer"] for entry in own if entry["verdict"] == "unsure"],
                "best": best["layer"],
                "score": best["score"],
                "why": reason(best),
            }
        )
    order = ("passes", "unsure", "fails")
    return sorted(found, key=lambda entry: (order.index(entry["verdict"]), -entry["score"]))


def reason(best: Mapping[str, Any]) -> str:
    """Say on what a verdict stands: the method's best layer."""
    name = title(best["method"])
    where = "" if best["layer"] == "input" else f" at its best layer {best['layer']}"
    empty = f", {best['empty']} of them with an empty map" if best["empty"] else ""
    text = f"{name}{where} pointed at what was planted in {best['pointing']:.0%} of {best['images']} fakes{empty}"
    if best["mass_accuracy"] == best["mass_accuracy"]:
        text += f", with {best['mass_accuracy']:.0%} of its mass on {best['area_share']:.1%} of the picture"
    if best["verdict"] != "unsure":
        return text
    few = best["images"] < LEAST or best["pointing_low"] < HALF
    return text + (", too few to be sure" if few else ", but not in most fakes of every plant")
