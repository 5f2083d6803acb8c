"""Which face parts the maps dwell on, as one table per method and group, without any HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports import words
from reports.run import Run, ordered


@dataclass(frozen=True, slots=True)
class Share:
    """One region at one layer.

    Args:
        density: mass share ÷ area share, as text.
        width: the bar's length, in per cent of the longest bar's room.
        mass, pointing: as text.
        best: whether no other region of the layer is denser.
    """

    density: str
    width: float
    mass: str
    pointing: str
    best: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Regions × layers for one method and group.

    Args:
        method, group: which maps.
        layers: columns.
        rows: region, its area share as text, and a share per layer (None: not measured).
        one: where the bar of density 1 ends, in per cent.
        sentence: the strongest cell, in words.
    """

    method: str
    group: str
    layers: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Share | None, ...]], ...]
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
    most = max([1.0, *(value for value in density.values() if value is not None)])
    best = {layer: max((d for (_, at), d in density.items() if at == layer and d is not None), default=0.0) for layer in layers}
    rows = []
    for region in regions:
        shares: list[Share | None] = []
        for layer in layers:
            entry, value = found.get((region, layer)), density.get((region, layer))
            if entry is None or value is None:
                shares.append(None)
                continue
            shares.append(
                Share(
                    words.number(value, 2),
                    round(100 * value / most, 1),
                    words.percent(entry.get("mass_share")),
                    words.percent(entry.get("pointing"), 0),
                    best=value == best[layer] and value > 0,
                )
            )
        area = [found[region, layer].get("area_share") for layer in layers if (region, layer) in found]
        if any(shares):
            rows.append((region, words.percent(next(iter(area), None)), tuple(shares)))
    return Table(method, group, layers, tuple(rows), round(100 / most, 1), sentence(method, density, found))


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
