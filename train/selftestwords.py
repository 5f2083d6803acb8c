"""What a self-test found, in sentences and as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xai.maps.methods import title

Found = Mapping[str, Any]


def spot(entry: Mapping[str, Any]) -> str:
    """Return a map by its method and layer, in words."""
    return title(entry["method"]) + ("" if entry["layer"] == "input" else f" at {entry['layer']}")


def readable(name: str) -> str:
    """Return a region's name in words."""
    return name.replace("_", " ")


def sentences(found: Found) -> list[str]:
    """Return what was found, the most important first."""
    return [recommendation(found), *shortcuts(found), *failures(found), *causes(found), *evenly(found), *unlearnt(found)]


def recommendation(found: Found) -> str:
    """Say which map to use."""
    chosen = found["recommended"]
    if chosen is None:
        learnt = any(plant["learnt"] for plant in found["plants"])
        return (
            "No map can be recommended: none pointed at what was planted in most fakes of every region."
            if learnt
            else "Nothing was learnt, so nothing can be said about maps: plant something stronger, or train longer (--epochs, --count)."
        )
    text = f"Use {spot(chosen)}: {chosen['why']}."
    if chosen["regret"] > 0:
        best = next(row for row in best_rows(found["rows"]) if (row["method"], row["layer"]) == (chosen["best_method"], chosen["best_layer"]))
        but = "and costs more" if best["verdict"] == "passes" else "but does not pass"
        text += f" {spot(best)} scored {chosen['regret']:.1%} better {but}." if chosen["regret"] >= 0.0005 else ""
    return text


def shortcuts(found: Found) -> list[str]:
    """Say whether planted marks were found, by effect and by the recommended map."""
    said = []
    for plant in found["plants"]:
        if not plant["shortcut"] or plant["whole"] or not plant["learnt"] or plant["found"] is None:
            continue
        name, where = plant["kind"], readable(plant["region"])
        own = next((row for row in plant["effects"] if row["region"] == plant["region"]), None)
        if own is None or own["net_low"] is None or own["net_low"] != own["net_low"]:
            continue  # too few images show it
        outer = sum(not row["within"] for row in plant["effects"])
        change = f"swapping the {where} moves the logit by {own['net']:.1f} (95 % {own['net_low']:.1f} to {own['net_high']:.1f})"
        text = f"The detector that was given a {name} "
        if plant["found"]:
            text += f"was caught: {change}, more than any other of {outer} regions"
        else:
            text += f"was not caught: {change}, and swapping the {readable(plant['first'])} moves it more"
        row = chosen_row(found, plant["text"])
        text += f"; {spot(row)} points at the {name} in {row['pointing']:.0%} of fakes." if row else "."
        said.append(text)
    return said


def chosen_row(found: Found, plant: str) -> Mapping[str, Any] | None:
    """Return the recommended map's row of one plant."""
    chosen = found["recommended"]
    if chosen is None:
        return None
    return next((row for row in found["rows"] if row["plant"] == plant and all(row[key] == chosen[key] for key in ("layer", "method"))), None)


def failures(found: Found) -> list[str]:
    """Name the methods that failed at every layer."""
    failed = [title(entry["method"]) for entry in found["methods"] if entry["verdict"] == "fails"]
    return [f"{', '.join(failed)} failed: at no layer did they point at what was planted in half of the fakes."] if failed else []


def causes(found: Found) -> list[str]:
    """Say how often the planted region moved the logit most."""
    tried = [plant for plant in found["plants"] if plant["learnt"] and plant["found"] is not None and not plant["shortcut"]]
    if not tried:
        return []
    right = sum(plant["found"] for plant in tried)
    missed = [f"{plant['text']} (first: {readable(plant['first'])})" for plant in tried if not plant["found"]]
    return [f"Swapping regions put the planted one first for {right} of {len(tried)} artefacts{'; not for ' + ', '.join(missed) if missed else ''}."]


def evenly(found: Found) -> list[str]:
    """Say what the recommended map does with a trace that is everywhere."""
    chosen = found["recommended"]
    said = []
    for text, rows in found["whole"].items() if chosen else ():
        row = next((row for row in rows if all(row[key] == chosen[key] for key in ("layer", "method"))), None)
        if row is not None and row["half_area"] == row["half_area"] and row["half_area"] is not None:
            name = {"cast": "colour cast", "jpeg": "JPEG blocks"}.get(text.split(":")[0], text.split(":")[0])
            said.append(
                f"{name[:1].upper()}{name[1:]} over the whole picture: no region is right, yet half of the mass of {spot(chosen)} lies on "
                f"{row['half_area']:.0%} of it. A narrow map is no proof of a narrow cause."
            )
    return said


def unlearnt(found: Found) -> list[str]:
    """Name what no detector learnt."""
    missed = [f"{plant['text']} ({plant['accuracy']:.0%})" for plant in found["plants"] if not plant["learnt"]]
    return [f"Not learnt, and left out: {', '.join(missed)}."] if missed else []


def text(found: Found) -> str:
    """Return sentences and the leaderboard for a terminal: the best layer of every method."""
    rows = best_rows(found["rows"])
    lines = [*found["sentences"], "", f"{'method':<24} {'best layer':<24} {'points':>7} {'mass':>6} {'density':>8} {'empty':>6}  verdict"]
    verdicts = {entry["method"]: entry["verdict"] for entry in found["methods"]}
    for row in rows:
        mass, density = number(row["mass_accuracy"], ".0%"), number(row["density"], ".1f")
        cells = f"{row['pointing']:>7.0%} {mass:>6} {density:>8} {row['empty'] / row['images']:>6.0%}"
        lines.append(f"{row['method']:<24} {row['layer']:<24} {cells}  {verdicts[row['method']]}")
    return "\n".join(lines)


def number(value: float | None, form: str) -> str:
    """Return a number, a dash where there is none."""
    return "–" if value is None or value != value else format(value, form)


def best_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return each method's best row of all plants together, the best first."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["plant"] == "all" and (row["method"] not in found or row["score"] > found[row["method"]]["score"]):
            found[row["method"]] = row
    return sorted(found.values(), key=lambda row: -row["score"])
