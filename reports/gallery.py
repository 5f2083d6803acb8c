"""The images of a run as data for the page's script: which ones, what is known of each, and their maps on sheets."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from reports import pictures, sheets, trust, words
from reports.drawn import MapFile, canvas
from reports.filmstrip import SIDE
from reports.run import Run
from reports.shelf import Shelf
from xai import miniature
from xai.regions.parts import OUTSIDE
from xai.regions.table import regions, summed

MOST = 100_000  # images, above which a sample is shown
SAMPLE = 10_000  # images of that sample
FACES = 300  # images of a mean face
SIDES = (96, 64, 48, 32, 24, 16, 12)  # cells a side of a map: the first whose sheets fit
ROOM = 33_000  # bytes for all maps of each of a few images
WHOLE = 22_000_000  # bytes for the maps of more images
LEAST = 1_700  # bytes for all maps of each of very many
DENSITY = 0.75  # bytes a cell takes on a sheet
SHEETS = 110  # sheets of maps in all, where that keeps them small enough
TOGETHER = 600  # maps a sheet, at least
SLICE = 1024  # maps in hand at once
UNKNOWN = 65535  # a share that there is not
PARTS = 10_000  # steps of a share


@dataclass(frozen=True, slots=True)
class Choice:
    """The images that are shown.

    Args:
        rows: rows of `images.csv`, the highest score first; that is the order of the tiles, so that a page of
            images sorted by score needs few sheets.
        strata: `(name, shown, of)` per outcome.
        total: images in the run.
    """

    rows: tuple[int, ...]
    strata: tuple[tuple[str, int, int], ...]
    total: int


def choose(run: Run, most: int = MOST, sample: int = SAMPLE) -> Choice:
    """Choose the images that are shown, the same ones every time.

    All, up to `most`. Of more, every outcome gets an equal share of the sample's places, so that a few mistakes
    among many right answers are seen; what a rare outcome leaves free goes to the others. Within an outcome the
    images are taken at even distances.

    Args:
        run: the run.
        most: images, up to which all are shown.
        sample: images shown of more.
    """
    members: dict[str, list[int]] = {}
    for row, image in enumerate(run.images):
        members.setdefault(image.get("outcome") or image.get("label") or "", []).append(row)
    places = quotas({name: len(rows) for name, rows in members.items()}, len(run.images) if len(run.images) <= most else sample)
    rows = [row for name, k in places.items() for row in spread(members[name], k)]
    names = [*(n for n in words.OUTCOMES if n in places), *sorted(set(places) - {*words.OUTCOMES})]
    strata = tuple((name, places[name], len(members[name])) for name in names)
    scores = [score(value) for value in run.images.column("score")]
    return Choice(tuple(sorted(rows, key=lambda row: (-scores[row], row))), strata, len(run.images))


def score(text: str) -> float:
    """Return an image's score; below all others where it has none."""
    value = words.real(text)
    return -1.0 if value is None else value


def quotas(sizes: Mapping[str, int], most: int) -> dict[str, int]:
    """Share places equally among strata; none gets more than it can fill.

    Example:
        >>> quotas({"FN": 2, "TN": 50, "TP": 50}, 20)
        {'FN': 2, 'TN': 9, 'TP': 9}
    """
    places = {}
    left = min(most, sum(sizes.values()))
    for done, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        places[name] = min(size, left // (len(sizes) - done))
        left -= places[name]
    return places


def spread(rows: Sequence[int], count: int) -> list[int]:
    """Take so many rows at even distances.

    Example:
        >>> spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2)
        [2, 7]
    """
    return [rows[(2 * i + 1) * len(rows) // (2 * count)] for i in range(count)]


def faces(run: Run, maps: MapFile, image: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the mean face of each group, uint8 grey `(h, w)`, of the network's shape; at most 300 images each.

    Args:
        run: the run.
        maps: its pictures.
        image: the network's input, `(height, width)`.
    """
    height, width = canvas(image, SIDE)
    kinds = list(zip(run.images.column("label"), run.images.column("outcome"), strict=True))
    rows = {group: [row for row, kind in enumerate(kinds) if group == "all" or group in kind] for group in run.groups}
    chosen = {group: spread(own, min(FACES, len(own))) for group, own in rows.items() if own}
    homes: dict[int, list[str]] = {}
    for group, own in chosen.items():
        for row in own:
            homes.setdefault(row, []).append(group)
    sums = {group: np.zeros((height, width), np.float32) for group in chosen}
    for row in sorted(homes):  # each is decoded once, and in this thread: others would keep memory of their own
        grey = cv2.cvtColor(maps.picture(row), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        for group in homes[row]:
            sums[group] += small
    return {group: np.rint(total / len(chosen[group])).astype(np.uint8) for group, total in sums.items()}


def payload(run: Run, maps: MapFile, choice: Choice, signs: Mapping[str, bool], shelf: Shelf) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the page's script needs at once, and what it needs when a map is looked at.

    Args:
        run, maps: the run.
        choice: the images.
        signs: which methods' maps take both signs.
        shelf: where sheets go.

    Returns:
        The data: `layers`, `methods`, `pairs[layer][method]` (a number or None), `marks` likewise (why a map fails, or
        empty text), `pictures`, `images` (columns), `regions` (names, and which of them lie outside the face; None
        without parts), `threshold`, `total`. And by name the chunks: "area", the share of each picture that each
        region covers, and for every pair "shares-0", the share of the map on each region, and "pair-0": `tiles`,
        `scale`, `highest` and `common`, a scale that 95 % of the images stay within. Arrays are base64 of
        little-endian numbers, in the order of `choice.rows`.
    """
    failed = trust.reasons(run)
    pairs = [(layer, method) for layer in run.layers for method in run.methods if (layer, method) in run.pairs]
    side = room(maps, pairs, len(choice.rows))
    names, table, chunks = regions_of(maps, choice.rows)
    for number, pair in enumerate(pairs):
        mass = maps.shares(*pair)
        if names is not None and mass is not None:
            chunks[f"shares-{number}"] = shares(summed(mass[list(choice.rows)], table))
    per = max(math.ceil(len(choice.rows) / max(1, SHEETS // len(pairs))), TOGETHER)
    shown = pictures.write(maps, choice.rows, shelf)
    for number, pair in enumerate(pairs):
        chunks[f"pair-{number}"] = chunk(run, maps, choice.rows, pair, Look(signs[pair[1]], side, per, f"map-{number}"), shelf)
    numbers = {pair: number for number, pair in enumerate(pairs)}
    data = {
        "layers": list(run.layers),
        "methods": [{"key": method, "name": words.method(method), "signed": signs[method]} for method in run.methods],
        "pairs": [[numbers.get((layer, method)) for method in run.methods] for layer in run.layers],
        "marks": [[failed.get((layer, method), "") for method in run.methods] for layer in run.layers],
        "pictures": shown | {"sizes": packed(shown["sizes"])},
        "images": columns(run, choice.rows),
        "regions": names,
        "threshold": run.threshold,
        "total": len(run.images),
    }
    return data, chunks


def columns(run: Run, rows: Sequence[int]) -> dict[str, Any]:
    """Return what is known about the images, a column each."""

    def cells(name: str) -> list[str]:
        known = run.images.column(name)
        return [known[row] for row in rows]

    def numbers(name: str) -> np.ndarray:
        values = map(words.real, cells(name))
        return np.array([math.nan if value is None else value for value in values], "<f4")

    return {
        "path": cells("path"),
        "row": packed(np.array(rows, "<u4")),
        **{name: codes(cells(name)) for name in ("label", "prediction", "outcome", "split", "parts_missing")},
        **{name: packed(numbers(name)) for name in ("score", "logit", "width", "height")},
    }


def codes(values: Sequence[str]) -> dict[str, Any]:
    """Return a column of few different texts: the `names` in alphabetical order and which of them each row has."""
    names = sorted(set(values))
    places = {name: place for place, name in enumerate(names)}
    return {"names": names, "codes": packed(np.array([places[value] for value in values], "<u4"))}


def packed(values: np.ndarray) -> str:
    """Return numbers as base64 of their bytes."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def regions_of(maps: MapFile, rows: Sequence[int]) -> tuple[dict[str, Any] | None, Mapping[str, tuple[int, ...]], dict[str, Any]]:
    """Return the regions' names, the parts that make up each, and, as a chunk, the share of every picture that each covers."""
    known = maps.parts()
    if known is None:
        return None, {}, {}
    table = regions(known[0])
    outside = [name in OUTSIDE or all(known[0][member] in OUTSIDE for member in members) for name, members in table.items()]
    inner = [any(len(other) > len(members) and set(members) < set(other) for other in table.values()) for members in table.values()]
    area = shares(summed(known[1][list(rows)], table))
    return {"names": list(table), "outside": outside, "inner": inner}, table, {"area": area}


def shares(values: np.ndarray) -> str:
    """Return shares in [0, 1] as ten thousandths, uint16; 65535 where there is none."""
    return packed(np.where(np.isnan(values), UNKNOWN, np.rint(np.nan_to_num(values) * PARTS)).astype("<u2"))


def room(maps: MapFile, pairs: Sequence[tuple[str, str]], images: int) -> int:
    """Return the cells a side that there is room for."""
    budget = ROOM * images if images <= miniature.FEW else max(WHOLE, LEAST * images)
    shapes = [maps.small_shape(*pair) for pair in pairs]
    for side in SIDES:
        cells = sum(math.prod(miniature.shape(shape, side)) for shape in shapes)
        if cells * images * DENSITY <= budget:
            break
    return side


@dataclass(frozen=True, slots=True)
class Look:
    """How the maps of one layer and method are drawn.

    Args:
        signed: whether they take both signs.
        side: cells a side, at most.
        per: maps a sheet.
        name: of the sheets.
    """

    signed: bool
    side: int
    per: int
    name: str


def chunk(run: Run, maps: MapFile, rows: Sequence[int], pair: tuple[str, str], look: Look, shelf: Shelf) -> dict[str, Any]:
    """Return the chunk of one layer and method, its sheets written."""
    height, width = miniature.shape(maps.small_shape(*pair), look.side)
    tiles, scale = np.zeros((len(rows), height, width), np.uint8), np.zeros(len(rows), np.float32)
    order = np.argsort(rows, kind="stable")
    ascending = np.array(rows)[order]
    for first, kept, scales in maps.small(*pair, SLICE):
        there = slice(*np.searchsorted(ascending, (first, first + len(kept))))
        some = ascending[there] - first
        tiles[order[there]], scale[order[there]] = grey(kept[some], scales[some], look.signed, look.side)
    maxima = run.images.column(f"max:{pair[0]}:{pair[1]}")
    highest = [words.real(maxima[row]) for row in rows]
    strongest = np.array([0.0 if value is None else value for value in highest], "<f4")  # (N,)
    shown = scale[strongest > 0]
    return {
        "tiles": sheets.maps(look.name, tiles, look.per, shelf),
        "scale": packed(scale.astype("<f4")),
        "highest": packed(strongest),
        "common": float(f"{np.quantile(shown, 0.95):.5g}") if len(shown) else 0.0,
    }


def grey(values: np.ndarray, scale: np.ndarray, signed: bool, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale small maps to 8-bit grey, each by its own strongest value.

    Args:
        values: int16 `(N, h, w)`, parts of `scale`.
        scale: float32 `(N,)`.
        signed: True: 128 is zero, 255 and 1 are plus and minus the scale. False: 0 is zero or less, 255 the scale.
        side: cells a side, at most.

    Returns:
        uint8 `(N, h', w')`, and float32 `(N,)`: the scale of the grey levels; 0 for a blank map.

    Example:
        >>> grey(np.array([[[0, 32767, -32767]]], np.int16), np.array([2.0]), False, 9)
        (array([[[  0, 255,   0]]], dtype=uint8), array([2.]))
        >>> grey(np.array([[[0, 32767, -32767]]], np.int16), np.array([2.0]), True, 9)[0].tolist()
        [[[128, 255, 1]]]
    """
    parts, again = miniature.shrink(values if signed else np.maximum(values, 0), side)
    levels = 128 + parts * (127 / miniature.STEPS) if signed else parts * (255 / miniature.STEPS)
    return np.rint(levels).astype(np.uint8), scale * again / miniature.STEPS


def stored(shelf: Shelf, data: Mapping[str, Any], chunks: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Write data and chunks beside the page, or return them for a page that holds everything itself."""
    if shelf.inside:
        return dict(data) | {"chunks": dict(chunks)}
    # `fetch` fails on file://; a script can be loaded from there.
    shelf.write("data/images.js", f"whyfake = {{ data: {text(data)}, chunks: {{}} }};\n".encode())
    for name, content in chunks.items():
        shelf.write(f"data/{name}.js", f"whyfake.chunks[{text(name)}] = {text(content)};\n".encode())
    return None


def text(value: Any) -> str:
    """Return JSON that is also JavaScript; every character beyond ASCII is escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def first_methods(run: Run) -> dict[str, str]:
    """Return, per layer, the first method that maps it; all place the layer alike."""
    return {layer: next(method for method in run.methods if (layer, method) in run.pairs) for layer in run.layers}


def percents(area: Sequence[float]) -> list[float]:
    """Return fractions as per cent, rounded for a style sheet."""
    return [round(100 * edge, 2) for edge in area]
