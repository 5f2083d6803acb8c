"""What became of claims, in sentences."""

from __future__ import annotations

from typing import Any

from xai.errors import listed
from xai.maps.methods import INPUT, title


def sentences(found: dict[str, Any]) -> list[str]:
    """Return the verdicts of a run: one sentence per claim, then what is looked at and what is used.

    Args:
        found: `claims`, `uses`, `focus` and `parts` of `summary.json`.
    """
    swapped = bool(found["effects"])
    return [*(claim_sentence(entry, found["focus"], swapped) for entry in found["claims"]), *agreement(found["uses"], swapped)]


def claim_sentence(entry: dict[str, Any], focus: dict[str, Any], swapped: bool) -> str:
    """Return the verdict on one claim with its numbers."""
    looked, used = entry["looked"], entry["used"]
    return f"Claim “{entry['claim']}”. Looked at: {looked['verdict']}{looks(looked, focus)}. Used: {used['verdict']}{uses(used, swapped)}."


def looks(part: dict[str, Any], focus: dict[str, Any]) -> str:
    """Say on what the verdict on attention stands."""
    who = "fakes" if focus["group"] == "fake" else "images"
    at = f" at {focus['layers'][0]}" if len(focus["layers"]) == 1 and focus["layers"][0] != INPUT else ""
    where = f"{method(focus['method'])}{at}, {part['images']} {who}"
    if part["verdict"] == "not tested":
        return f" (nothing to go by in {part['images']} {who} with this part)"
    layers = f", mean of {len(focus['layers'])} layers" if len(focus["layers"]) > 1 else ""
    text = f"{value(part, 2)} {part['unit']}, 95 % {span(part, 2)}"
    if part["unit"] == "times chance":
        text = f"{part['mass_share']:.1%} of the map on {part['area_share']:.1%} of the picture, {text}"
    return f" ({where}{layers}: {text}{more(part)})"


def uses(part: dict[str, Any], swapped: bool) -> str:
    """Say on what the verdict on use stands."""
    if part["verdict"] == "not tested":
        return f" (only {part['images']} swaps of this part)" if swapped else " (no swaps)"
    text = f"{value(part, 2)} {part['unit']}, 95 % {span(part, 2)}"
    return f" (swapping it in {part['images']} images changes the logit towards the other class by {text}{more(part)})"


def value(part: dict[str, Any], digits: int) -> str:
    """Return a value, shares in per cent."""
    return shown(part, part["value"], digits)


def shown(part: dict[str, Any], number: float, digits: int) -> str:
    """Return a number in its unit's form."""
    return f"{number:.1%}" if part["unit"].startswith("of the") else f"{number:.{digits}f}"


def span(part: dict[str, Any], digits: int) -> str:
    """Return an interval in words."""
    return f"{shown(part, part['low'], digits)} to {shown(part, part['high'], digits)}"


def more(part: dict[str, Any]) -> str:
    """Say how many images would decide."""
    if part["verdict"] != "undecided":
        return ""
    return f"; about {part['needed']:,} would decide" if part["needed"] else "; too close to the boundary to say how many would decide"


def method(name: str) -> str:
    """Return a method as its paper writes it."""
    return title(name)


def agreement(entries: list[dict[str, Any]], swapped: bool) -> list[str]:
    """Say where looking and using agree and where not, over all parts.

    Example:
        >>> entry = lambda region, looked, used: {"region": region, "looked": {"verdict": looked}, "used": {"verdict": used}}
        >>> agreement([entry("eyes", "supported", "supported"), entry("hair", "supported", "refuted")], True)
        ['Looked at more than chance and used: eyes.', 'Looked at but not used: hair.']
    """
    groups: dict[str, list[str]] = {}
    for entry in entries:
        looked, used = entry["looked"]["verdict"], entry["used"]["verdict"]
        said = WORDS.get((looked, used if swapped else "not tested"))
        if said:
            groups.setdefault(said, []).append(entry["region"].replace("_", " "))
    return [f"{said}: {listed(groups[said], 20)}." for said in WORDS.values() if said in groups]


WORDS = {
    ("supported", "supported"): "Looked at more than chance and used",
    ("supported", "refuted"): "Looked at but not used",
    ("supported", "undecided"): "Looked at, use undecided",
    ("refuted", "supported"): "Used but not looked at more than chance",
    ("undecided", "supported"): "Used, attention undecided",
    ("not tested", "supported"): "Used, attention not tested",
    ("supported", "not tested"): "Looked at more than chance, not tested for use",
}
