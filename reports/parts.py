"""Face parts on the page: claims, looked at beside used, the effect table, and where fakes differ from reals. No HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports import words
from reports.run import Run
from xai.claims import ALPHA

TIMES = 1 / 8, 32.0  # ends of the axis of "times chance"; each step doubles
KINDS = {
    "net": ("Net", "other class less own class: what the part itself does"),
    "opposite": ("Other class", "the part from faces of the other class"),
    "same": ("Own class", "control: the part from faces of the same class; should be near 0"),
    "patch": ("Random place", "control: an equally large place elsewhere, from the other class"),
    "blur": ("Blurred", "takes fine detail away; smoothness may itself look generated"),
    "grey": ("Grey", "misleading: adds edges that no face has"),
}


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval on an axis.

    Args:
        text, span: the value and the interval as text.
        at, low, high: places in per cent of the axis.
        verdict: "supported", "refuted", "undecided" or "".
        note: said beside it.
    """

    text: str
    span: str
    at: float
    low: float
    high: float
    verdict: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis of a column of dots.

    Args:
        zero: place of "no difference", in per cent.
        ticks: place in per cent and text.
    """

    zero: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Looked at beside used, a row per part.

    Args:
        looked, used: the axes.
        rows: part, and its two dots; None where it was not tested.
    """

    looked: Axis
    used: Axis
    rows: tuple[tuple[str, Dot | None, Dot | None], ...]


def pairs(run: Run) -> Pairs | None:
    """Return looked at beside used; None without parts."""
    entries = run.summary.get("uses") or []
    shown = [entry for entry in entries if "not tested" not in (entry["looked"]["verdict"], entry["used"]["verdict"])] or [
        entry for entry in entries if entry["looked"]["verdict"] != "not tested"
    ]
    if not shown:
        return None
    used = [entry["used"] for entry in shown if entry["used"]["verdict"] != "not tested"]
    low, high = bounds([end for part in used for end in (part["low"], part["high"], part["value"])])
    rows = [(name(entry["region"]), times(entry["looked"]), linear(entry["used"], low, high)) for entry in sorted(shown, key=strength)]
    ticks = tuple((logarithmic(tick), words.number(tick)) for tick in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32))
    return Pairs(Axis(logarithmic(1.0), ticks), axis(low, high), tuple(rows))


def strength(entry: dict[str, Any]) -> float:
    """Return what rows are sorted by: the effect, else the attention, the strongest first."""
    used = words.real(entry["used"]["value"])
    return -used if used is not None else 1e9 - (words.real(entry["looked"]["value"]) or 0)


def name(region: str) -> str:
    """Return a region's name as people write it.

    Example:
        >>> name("left_eye")
        'left eye'
    """
    return region.replace("_", " ")


def logarithmic(value: float | None) -> float:
    """Return a place on the axis of "times chance", in per cent; None is without end.

    Example:
        >>> logarithmic(0.0), logarithmic(2.0), logarithmic(100.0), logarithmic(None)
        (0.0, 50.0, 100.0, 100.0)
    """
    if value is None:
        return 100.0
    low, high = (math.log2(end) for end in TIMES)
    return round(100 * min(1.0, max(0.0, (math.log2(value) - low) / (high - low))), 2) if value > 0 else 0.0


def times(part: dict[str, Any]) -> Dot | None:
    """Return the dot of an attention in times chance."""
    if part["verdict"] == "not tested":
        return None
    at, low, high = (logarithmic(part[key]) for key in ("value", "low", "high"))
    return Dot(f"{words.number(part['value'], 2)} ×", span(part), at, low, high, part["verdict"], enough(part))


def linear(part: dict[str, Any], low: float, high: float) -> Dot | None:
    """Return the dot of an effect in logits."""
    if part["verdict"] == "not tested":
        return None
    at, start, end = (place(part[key], low, high) for key in ("value", "low", "high"))
    return Dot(words.fixed(part["value"]), span(part), at, start, end, part["verdict"], enough(part))


def place(value: float, low: float, high: float) -> float:
    """Return a place on a linear axis, in per cent."""
    return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)


def span(part: dict[str, Any]) -> str:
    """Return the interval as text."""
    return f"{words.fixed(part['low'])} to {'∞' if part['high'] is None else words.fixed(part['high'])}"


def enough(part: dict[str, Any]) -> str:
    """Say how many images would decide."""
    return f"≈ {words.number(part['needed'])} images would decide" if part.get("needed") else ""


def bounds(values: Sequence[Any]) -> tuple[float, float]:
    """Return the ends of a linear axis that shows all values and zero, with a little room.

    Example:
        >>> bounds([1.0, 9.0])
        (-0.45, 9.45)
    """
    known = [number for value in values if (number := words.real(value)) is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def axis(low: float, high: float) -> Axis:
    """Return a linear axis with a few round ticks."""
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (5, 2, 1) if (high - low) / (step * factor) >= 2)
    ticks = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(place(0, low, high), tuple((place(tick, low, high), words.number(tick)) for tick in ticks))


@dataclass(frozen=True, slots=True)
class Effects:
    """The effect table of one group.

    Args:
        group: "both", "fake" or "real".
        kinds: columns: key, title and what it is.
        axis: of all columns.
        rows: region, whether it is a part of the row above, images, dots per column (None: not measured), flips, p as text.
    """

    group: str
    kinds: tuple[tuple[str, str, str], ...]
    axis: Axis
    rows: tuple[tuple[str, bool, int, tuple[Dot | None, ...], str, str], ...]


def effects(run: Run) -> list[Effects]:
    """Return the effect tables, one per group."""
    tables = []
    entries = run.summary.get("effects") or []
    for group in ("both", "fake", "real"):
        own = [entry for entry in entries if entry["group"] == group and words.real(entry["net"]) is not None]
        if not own:
            continue
        kinds = [key for key in KINDS if any(words.real(entry.get(key)) is not None for entry in own)]
        low, high = bounds([entry[f"{kind}{end}"] for entry in own for kind in kinds for end in ("", "_low", "_high")])
        rows = []
        for entry in own:
            dots = tuple(dot(entry, kind, low, high) for kind in kinds)
            flips = words.percent(entry.get("opposite_flips"), 0)
            rows.append((name(entry["region"]), bool(entry["within"]), int(entry["images"]), dots, flips, words.chance(entry["p_holm"])))
        tables.append(Effects(group, tuple((kind, *KINDS[kind]) for kind in kinds), axis(low, high), tuple(rows)))
    return tables


def dot(entry: dict[str, Any], kind: str, low: float, high: float) -> Dot | None:
    """Return the dot of one kind of swap."""
    value = words.real(entry.get(kind))
    if value is None:
        return None
    ends = [words.real(entry[f"{kind}{end}"]) for end in ("_low", "_high")]
    known = [value if end is None else end for end in ends]
    p = words.real(entry["p_holm"])
    sure = kind == "net" and p is not None and p <= ALPHA and (value > 0 or entry["group"] != "both")
    interval = f"{words.fixed(known[0])} to {words.fixed(known[1])}" if None not in ends else ""
    places = (place(value, low, high), place(known[0], low, high), place(known[1], low, high))
    return Dot(words.fixed(value), interval, *places, "supported" if sure else "")


def differences(run: Run, most: int = 12) -> list[tuple[str, str, str, str, str, str]]:
    """Return the surest differences between fakes and reals: region, layer, method, difference, interval, p; at most so many."""
    entries = [entry for entry in run.summary.get("differences") or [] if (words.real(entry["p_holm"]) or 0.0) <= ALPHA]
    entries = [entry for entry in entries if words.real(entry["p_holm"]) is not None]
    entries.sort(key=lambda entry: -abs(entry["difference"]))
    return [
        (
            name(entry["region"]), entry["layer"], words.method(entry["method"]), words.points(entry["difference"]),
            f"{words.points(entry['difference_low'])} to {words.points(entry['difference_high'])}", words.chance(entry["p_holm"]),
        )
        for entry in entries[:most]
    ]  # fmt: skip
