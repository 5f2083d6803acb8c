"""Which face parts the maps dwell on, as one table per method and group, without any HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports import words
from reports.run import Run, ordered
from xai.claims import ALPHA


@dataclass(frozen=True, slots=True)
class Share:
    """One region at one layer.

    Args:
        density: mass share ÷ area share, as text.
        interval: of the density, as text; '' where there is none.
        width: the bar's length, in per cent of the longest bar's room.
        whisker: the interval's ends, likewise.
        mass, chance, pointing, first: as text; chance with a star where it differs surely from 1.
        best: whether no other region of the layer is denser.
    """

    density: str
    interval: str
    width: float
    whisker: tuple[float, float] | None
    mass: str
    chance: str
    pointing: str
    first: str
    best: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One region at all layers.

    Args:
        region: its name.
        inner: whether it is a part of the set above.
        area: its share of the picture, as text.
        centre: the density of a look at the middle, as text.
        shares: per layer; None where it was not measured.
    """

    region: str
    inner: bool
    area: str
    centre: str
    shares: tuple[Share | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Regions × layers for one method and group.

    Args:
        method, group: which maps.
        layers: columns.
        empty: per layer, the share of the maps that are empty, as text; '' for none.
        rows: the regions.
        one: where the bar of density 1 ends, in per cent.
        sentence: the strongest cell, in words.
    """

    method: str
    group: str
    layers: tuple[str, ...]
    empty: tuple[str, ...]
    rows: tuple[Row, ...]
    one: float
    sentence: str


def tables(run: Run) -> list[Table]:
    """Return the attention tables, methods first, groups within."""
    entries = run.summary.get("regions") or []
    regions = ordered((), (entry["region"] for entry in entries))
    shown = []
    for method in ordered(run.methods, (entry["method"] for entry in entries)):
        for group in ordered(run.groups, (entry["group"] for entry in entries)):
            found = {(entry["region"], entry["layer"]): entry for entry in entries if (entry["method"], entry["group"]) == (method, group)}
            if found:
                shown.append(table(run, method, group, regions, found))
    return shown


def table(
    run: Run,
    method: str,
    group: str,
    regions: tuple[str, ...],
    found: dict[tuple[str, str], dict[str, Any]],
) -> Table:
    """Return one table from its entries by region and layer."""
    layers = ordered(run.layers, (layer for _, layer in found))
    density = {key: words.real(entry.get("density")) for key, entry in found.items()}
    ends = {key: tuple(words.real(entry.get(f"density_{end}")) for end in ("low", "high")) for key, entry in found.items()}
    most = max([1.0, *(value for values in (density.values(), (high for _, high in ends.values())) for value in values if value is not None)])
    outer = {key: value for key, value in density.items() if not found[key].get("within")}
    best = {layer: max((d for (_, at), d in outer.items() if at == layer and d is not None), default=0.0) for layer in layers}
    rows = []
    for region in regions:
        own = [found[region, layer] for layer in layers if (region, layer) in found]
        shares = tuple(share(found.get((region, layer)), most, best[layer]) for layer in layers)
        if any(shares):
            area, centre = percent_of(own, "area_share"), number_of(own, "centre_density")
            rows.append(Row(region.replace("_", " "), bool(own[0].get("within")), area, centre, shares))
    empty = []
    for layer in layers:
        own = [entry for (_, at), entry in found.items() if at == layer]
        whole = max((int(entry["count"]) + int(entry.get("empty") or 0), int(entry.get("empty") or 0)) for entry in own)
        empty.append(words.percent(whole[1] / whole[0], 0) if whole[1] else "")
    return Table(method, group, layers, tuple(empty), tuple(rows), round(100 / most, 1), sentence(method, outer, found))


def percent_of(entries: list[dict[str, Any]], key: str) -> str:
    """Return the first known share of some entries, as text."""
    return words.percent(next((value for entry in entries if (value := words.real(entry.get(key))) is not None), None))


def number_of(entries: list[dict[str, Any]], key: str) -> str:
    """Return the first known number of some entries, as text."""
    return words.number(next((value for entry in entries if (value := words.real(entry.get(key))) is not None), None), 2)


def share(entry: dict[str, Any] | None, most: float, best: float) -> Share | None:
    """Return one cell; None where nothing was measured.

    Args:
        entry: of the region at the layer.
        most: the end of all bars.
        best: the layer's highest density.
    """
    value = words.real(entry.get("density")) if entry else None
    if entry is None or value is None:
        return None
    low, high = (words.real(entry.get(f"density_{end}")) for end in ("low", "high"))
    known = low is not None and high is not None
    p = words.real(entry.get("p_holm"))
    return Share(
        words.number(value, 2),
        f"{words.number(low, 2)} to {words.number(high, 2)}" if known else "",
        round(100 * value / most, 1),
        (round(100 * (low or 0) / most, 1), round(100 * (high or 0) / most, 1)) if known else None,
        words.percent(entry.get("mass_share")),
        f"{words.number(entry.get('times_chance'), 2)} × chance{'*' if p is not None and p <= ALPHA else ''}",
        words.percent(entry.get("pointing"), 0),
        words.percent(entry.get("first"), 0),
        best=value == best and value > 0 and not entry.get("within"),
    )


def sentence(
    method: str,
    density: dict[tuple[str, str], float | None],
    found: dict[tuple[str, str], dict[str, Any]],
) -> str:
    """Say the table's strongest cell in words."""
    known = {key: value for key, value in density.items() if value is not None and value > 0}
    if not known:
        return f"No region has any positive {words.method(method)} in this group."
    (region, layer), value = max(known.items(), key=lambda item: item[1])
    entry = found[region, layer]
    return (
        f"Strongest: at layer {layer}, “{region}” covers {words.percent(entry.get('area_share'))} of the "
        f"picture and holds {words.percent(entry.get('mass_share'))} of the positive "
        f"{words.method(method)}, a density of {words.number(value, 2)}."
    )
