"""The page's images: which ones, their thumbnails, and their maps as small grey pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import charts, trust, words
from reports.drawn import MapFile, canvas
from reports.filmstrip import SIDE
from reports.run import Run

MOST = 200  # images on the page
MAP_SIDE = 48  # pixels of a map's longer side; the browser smooths it


@dataclass(frozen=True, slots=True)
class Choice:
    """The images that are shown.

    Args:
        rows: rows of `images.csv`, ascending.
        strata: `(name, shown, of)` per outcome.
        total: images with a thumbnail.
    """

    rows: tuple[int, ...]
    strata: tuple[tuple[str, int, int], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Card:
    """One image on the page.

    Args:
        row: row of `images.csv`.
        path, label, outcome, split: as in `images.csv`.
        score, logit: for reading.
        order: the score as a sortable number, or empty.
        doubt: distance of the score from the threshold, or empty.
        size: width × height of the original, pixels.
        thumb: JPEG as a `data:` address.
        shape: `(width, height)` of the thumbnail, pixels.
    """

    row: int
    path: str
    label: str
    outcome: str
    split: str
    score: str
    logit: str
    order: str
    doubt: str
    size: str
    thumb: str
    shape: tuple[int, int]


def choose(run: Run, most: int = MOST) -> Choice:
    """Choose the images that are shown, the same ones every time.

    Every outcome gets an equal share of the places, so that a few mistakes among many
    right answers are seen; what a rare outcome leaves free goes to the others. Within an
    outcome the images are taken at even distances.
    """
    kept = [row for row in range(len(run.images)) if run.thumb(row).is_file()]
    members: dict[str, list[int]] = {}
    for row in kept:
        image = run.images[row]
        members.setdefault(image.get("outcome") or image.get("label") or "", []).append(row)
    places = quotas({name: len(rows) for name, rows in members.items()}, most)
    rows = [row for name, k in places.items() for row in spread(members[name], k)]
    names = [*(n for n in words.OUTCOMES if n in places), *sorted(set(places) - {*words.OUTCOMES})]
    strata = tuple((name, places[name], len(members[name])) for name in names)
    return Choice(tuple(sorted(rows)), strata, len(kept))


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


def cards(run: Run, rows: Sequence[int], image: tuple[int, int]) -> tuple[list[Card], list[np.ndarray]]:
    """Return the images as cards, and as grey faces of the network's shape for the mean face.

    Args:
        run: the run.
        rows: rows of `images.csv`.
        image: the network's input, `(height, width)`.
    """
    shown, faces = [], []
    for row in rows:
        entry = run.images[row]
        picture = charts.opened(run.thumb(row))
        faces.append(charts.grey_face(picture, canvas(image, SIDE)))
        score = words.real(entry.get("score"))
        pixels = [words.number(entry.get(side) or None) for side in ("width", "height")]
        doubt = None if score is None else abs(score - run.threshold)
        shown.append(
            Card(
                row=row,
                path=entry["path"],
                label=entry.get("label", ""),
                outcome=entry.get("outcome", ""),
                split=entry.get("split", ""),
                score=words.fixed(score, 3),
                logit=words.fixed(entry.get("logit"), 2),
                order="" if score is None else f"{score:.6f}",
                doubt="" if doubt is None else f"{doubt:.6f}",
                size=" × ".join(pixels) if words.NONE not in pixels else "",
                thumb=charts.uri(charts.thumbnail(picture), "image/jpeg"),
                shape=picture.size,
            )
        )
    return shown, faces


def payload(run: Run, maps: MapFile, shown: Sequence[Card], signs: Mapping[str, bool]) -> dict[str, Any]:
    """Return what the page's script needs: every shown image's maps.

    Returns:
        `layers` and `methods` with their names; `common[layer][method]`, a scale that 95 %
        of the images stay within; `images`, in the order of `shown`, each with
        `maps[layer][method] = [grey PNG in base64, scale, scale as text, maximum as text]`,
        null where that method does not map that layer; the PNG is empty text where the
        map is empty; `marks[layer][method]`, why a map fails, or empty text.
    """
    failed = trust.reasons(run)
    rows = [card.row for card in shown]
    order = {row: i for i, row in enumerate(rows)}
    grids: list[list[list[Any]]] = [[[None] * len(run.methods) for _ in run.layers] for _ in rows]
    common = [[0.0] * len(run.methods) for _ in run.layers]
    for i, layer in enumerate(run.layers):
        for j, method in enumerate(run.methods):
            if (layer, method) not in run.pairs:
                continue
            scales = []
            for row, drawn in maps.maps(layer, method, rows, MAP_SIDE):
                pixels, scale = charts.grey(drawn.values, signs[method])
                scale = float(f"{scale:.5g}")
                picture = ""
                if not drawn.empty:
                    picture = base64.b64encode(charts.png(pixels)).decode()
                    scales.append(scale)
                texts = words.number(scale, 2), words.number(drawn.highest, 2)
                grids[order[row]][i][j] = [picture, scale, *texts]
            common[i][j] = float(f"{np.quantile(scales, 0.95):.5g}") if scales else 0.0
    return {
        "layers": [{"name": layer, "area": percents(maps.area(layer, method))} for layer, method in first_methods(run).items()],
        "methods": [{"name": words.method(m), "signed": signs[m]} for m in run.methods],
        "common": common,
        "marks": [[failed.get((layer, method), "") for method in run.methods] for layer in run.layers],
        "images": [{"path": card.path, "rows": facts(card), "maps": grid} for card, grid in zip(shown, grids, strict=True)],
    }


def first_methods(run: Run) -> dict[str, str]:
    """Return, per layer, the first method that maps it; all place the layer alike."""
    return {layer: next(method for method in run.methods if (layer, method) in run.pairs) for layer in run.layers}


def facts(card: Card) -> list[tuple[str, str]]:
    """Return what is known about an image, as names and values."""
    rows = [
        ("Label", card.label),
        ("Outcome", ": ".join(part for part in words.group(card.outcome) if part)),
        ("Score (fake)", card.score),
        ("Logit", card.logit),
        ("Split", card.split),
        ("Size", card.size),
    ]
    return [(name, value) for name, value in rows if value]


def percents(area: Sequence[float]) -> list[float]:
    """Return fractions as per cent, rounded for a style sheet."""
    return [round(100 * edge, 2) for edge in area]
