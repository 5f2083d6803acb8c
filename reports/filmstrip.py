"""The mean maps of every group, layer and method, their spread and what is significant of them, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from reports import charts, significance, words
from reports.drawn import Drawn, MapFile
from reports.run import Run

SIDE = 128  # pixels of the longer side of the canvas on which layers are compared
MISSING = 0.02  # share of a signed method's maps that may be empty where its mean is tested
CELLS = 9  # of a signed method's map, below which a map of noise is empty too often for that
FINEST, FINEST_SPREAD = 64, 24  # pixels of a picture's longer side: the page holds one per group, layer and method
KINDS = {"mean": "Mean", "std": "Standard deviation", "sure": "Mean where significant"}
Key = tuple[str, str, str]  # group, layer, method


@dataclass(frozen=True, slots=True)
class Scaled:
    """A picture with its scale.

    Args:
        picture: grey WebP as a `data:` address, at most a pixel per cell of the layer; empty text for none.
        low, high: the ends of the colour scale, as text.
        note: what is said under it.
    """

    picture: str
    low: str
    high: str
    note: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One mean map on the page.

    Args:
        count: maps that were averaged.
        empty: maps left out because they have no positive value.
        shown: the mean, its standard deviation, and the mean where it is significant, by the keys of
            `KINDS`; empty where nothing was averaged.
        peak: `(left, top)` in per cent of the image; None where nothing is positive.
        words: the alternative text.
    """

    count: int
    empty: int
    shown: Mapping[str, Scaled]
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


def cells(run: Run, maps: MapFile, drawn: Mapping[Key, Drawn], signs: Mapping[str, bool]) -> dict[Key, Cell]:
    """Return the mean maps as pictures with their captions."""
    found = {}
    for entry in run.summary["maps"]:
        key = (entry["group"], entry["layer"], entry["method"])
        moments = maps.moments(*key) if key in drawn else None
        found[key] = cell(entry, moments, signs[entry["method"]])
    return found


def cell(entry: Mapping[str, Any], moments: tuple[np.ndarray, np.ndarray] | None, signed: bool) -> Cell:
    """Return one mean map as pictures with their caption.

    Args:
        entry: of `summary.maps`.
        moments: the mean and its population standard deviation, `(h, w)` each; None where nothing was averaged.
        signed: whether the method's maps take both signs.
    """
    count, empty = int(entry.get("count") or 0), int(entry.get("empty") or 0)
    title = f"{words.method(entry['method'])}, {words.group(entry['group'])[0].lower()}, layer {entry['layer']}"
    if moments is None:
        return Cell(count, empty, {}, None, f"{title}: no evidence")
    mean, std = moments
    ends = [words.real(end) for end in entry.get("peak") or ()]
    peak = None
    if mean.max() > 0 and len(ends) == 2 and ends[0] is not None and ends[1] is not None:
        peak = (round(100 * ends[1], 2), round(100 * ends[0], 2))
        title += f", highest {words.place(entry['peak'])}"
    return Cell(
        count,
        empty,
        {"mean": scaled(mean, signed), "std": scaled(std, False, FINEST_SPREAD), "sure": sure(mean, std, count, empty, signed)},
        peak,
        title,
    )


def scaled(values: np.ndarray, signed: bool, finest: int = FINEST, where: np.ndarray | None = None, note: str = "") -> Scaled:
    """Return a map as a small picture.

    Args:
        values: `(h, w)`.
        signed: as for `charts.grey`.
        finest: pixels of its longer side at most.
        where: cells outside of it are left out: transparent. bool `(h, w)`.
        note: what is said under it.
    """
    pixels, scale = charts.grey(small(values, finest), signed)
    if where is not None:  # level 0 is free for what is left out: signed maps start at 1
        pixels = np.where(small(where.astype(np.float32), finest) >= 0.5, np.maximum(pixels, 1), 0).astype(np.uint8)
    high = words.number(scale, 2)
    picture = charts.uri(charts.lossless(pixels, transparent=where is not None), "image/webp")
    return Scaled(picture, f"−{high}" if signed and scale > 0 else "0", high, note)


def sure(mean: np.ndarray, std: np.ndarray, count: int, empty: int, signed: bool) -> Scaled:
    """Return the mean where it is significant.

    Maps without a positive value are left out of the mean. Of a signed method that is a choice by the very thing that
    is tested: half of all maps of pure noise would be left out, and the rest be above zero everywhere. So where more than
    a few are missing, or maps have so few cells that a map of noise is often empty, nothing is tested.
    """
    if count < significance.LEAST:
        return Scaled("", "", "", f"too few images: {significance.LEAST} are needed")
    if signed and (empty > MISSING * (count + empty) or mean.size < CELLS):
        return Scaled("", "", "", "not tested: empty maps are left out" if empty else "not tested: too few cells")
    found = significance.significant(mean, std, count, signed)
    return scaled(mean, signed, where=found, note=f"{words.percent(float(found.mean()), 0)} of the cells" if found.any() else "no cell")


def small(values: np.ndarray, finest: int) -> np.ndarray:
    """Return a map averaged over areas where it is finer than so many cells a side.

    Example:
        >>> small(np.array([[1, 3], [5, 7]], np.float32), 1).tolist(), small(np.ones((2, 3), np.float32), 3).shape
        ([[4.0]], (2, 3))
    """
    longest = max(values.shape)
    if longest <= finest:
        return values
    height, width = (max(1, round(side * finest / longest)) for side in values.shape)
    return np.asarray(cv2.resize(np.asarray(values, np.float32), (width, height), interpolation=cv2.INTER_AREA))
