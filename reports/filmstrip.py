"""The mean maps of every group, layer and method, placed and ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports import charts, words
from reports.drawn import Drawn, MapFile
from reports.run import Run

SIDE = 128  # pixels of the longer side; finer than any layer that is worth averaging
Key = tuple[str, str, str]  # group, layer, method


@dataclass(frozen=True, slots=True)
class Cell:
    """One mean map on the page.

    Args:
        count: maps that were averaged.
        empty: maps left out because they have no positive value.
        picture: grey PNG as a `data:` address; empty text when nothing was averaged.
        low, high: the ends of the colour scale, as text.
        peak: `(left, top)` in per cent of the image; None where nothing is positive.
        words: the alternative text.
    """

    count: int
    empty: int
    picture: str
    low: str
    high: str
    peak: tuple[float, float] | None
    words: str


def means(run: Run, maps: MapFile) -> dict[Key, Drawn]:
    """Read every mean map that averages at least one image."""
    drawn = {}
    for entry in run.summary["maps"]:
        if entry.get("count"):
            key = (entry["group"], entry["layer"], entry["method"])
            drawn[key] = maps.mean(*key, side=SIDE)
    return drawn


def signed(run: Run, drawn: Mapping[Key, Drawn]) -> dict[str, bool]:
    """Return, per method, whether its maps take both signs and need a diverging colour map."""
    return {method: any(d.lowest < 0 for (_, _, m), d in drawn.items() if m == method) for method in run.methods}


def cells(run: Run, drawn: Mapping[Key, Drawn], signs: Mapping[str, bool]) -> dict[Key, Cell]:
    """Return the mean maps as pictures with their captions."""
    return {(entry["group"], entry["layer"], entry["method"]): cell(entry, drawn, signs) for entry in run.summary["maps"]}


def cell(entry: Mapping[str, Any], drawn: Mapping[Key, Drawn], signs: Mapping[str, bool]) -> Cell:
    """Return one mean map as a picture with its caption."""
    group, layer, method = entry["group"], entry["layer"], entry["method"]
    count, empty = int(entry.get("count") or 0), int(entry.get("empty") or 0)
    mean = drawn.get((group, layer, method))
    title = f"Mean {words.method(method)}, {words.group(group)[0].lower()}, layer {layer}"
    if mean is None:
        return Cell(count, empty, "", "", "", None, f"{title}: no evidence")
    pixels, scale = charts.grey(mean.values, signs[method])
    high = words.number(scale, 2)
    low = f"−{high}" if signs[method] and scale > 0 else "0"
    picture = charts.uri(charts.png(pixels), "image/png")
    ends = [words.real(end) for end in entry.get("peak") or ()]
    peak = None
    if not mean.empty and len(ends) == 2 and ends[0] is not None and ends[1] is not None:
        peak = (round(100 * ends[1], 2), round(100 * ends[0], 2))
        title += f": highest {words.place(entry['peak'])}"
    return Cell(count, empty, picture, low, high, peak, title)
