"""The images of a run on sheets: small ones for the grid, large ones to look at one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from reports import sheets
from reports.drawn import MapFile
from reports.sheets import Plan
from reports.shelf import Shelf
from xai.miniature import FEW, SOME

# What a large picture may be: longest side in pixels, WebP quality. The first whose sum fits is taken.
CHOICES = (
    (1024, 80), (1024, 65), (1024, 52), (768, 65), (512, 70), (512, 55), (384, 60), (256, 60), (256, 48), (192, 60), (192, 45), (160, 50), (128, 50),
)  # fmt: skip
ROOM = 50_000  # bytes for each of a few images: what a good picture of 1024 pixels takes
WHOLE = 36_000_000  # bytes for the pictures of more images
LEAST = 2_600  # bytes for each of very many
SAMPLE = 24  # images, to find out how much room they take
SMALL = ((200, "webp", 65), (144, "webp", 60), (112, "jpg", 55))  # the grid's pictures of few, some and many images
SHEETS = 100  # sheets of one kind, where that keeps them small enough
SIDE, MOST = 1600, 2600  # pixels of a sheet


def write(maps: MapFile, rows: Sequence[int], shelf: Shelf) -> dict[str, Any]:
    """Put the images on sheets.

    Args:
        maps: the run's `maps.h5`.
        rows: of `images.csv`, in the order of the tiles.
        shelf: where the sheets go.

    Returns:
        `small` and `large`, the records of the sheets (`large` is None where it would show no more), and `sizes`:
        height and width of each picture in the run directory, uint16 `(N, 2)`.
    """
    side, quality = choose(maps, rows)
    small, ending, coarse = SMALL[0 if len(rows) <= FEW else 1 if len(rows) <= SOME else 2]
    per = min(max((SIDE // side) ** 2, math.ceil(len(rows) / SHEETS)), max(1, MOST // side) ** 2)
    plans = {"small": (Plan.of(len(rows), small, small, per), ending, coarse)}
    if side > small:
        plans["large"] = (Plan.of(len(rows), side, side, per), "webp", quality)

    def draw(sheet: tuple[int, tuple[int, int]]) -> tuple[list[tuple[int, int]], dict[str, str]]:
        index, (start, end) = sheet
        sizes = []
        drawn = {name: plan.blank(end - start) for name, (plan, *_) in plans.items()}
        for slot, row in enumerate(rows[start:end]):
            picture = maps.picture(row)
            sizes.append((picture.shape[0], picture.shape[1]))
            for name, (plan, *_) in plans.items():
                plan.place(drawn[name], slot, fitted(picture, plan.height))
        # Written at once: all sheets of a large run together would take more memory than anything else on its page.
        return sizes, {
            name: shelf.picture(f"sheets/{name}-{index}.{ending}", sheets.lossy(drawn.pop(name), ending, quality))
            for name, (_, ending, quality) in plans.items()
        }

    found = sheets.together(draw, list(enumerate(plans["small"][0].sheets())))
    sizes = np.array([size for part, _ in found for size in part], "<u2").reshape(-1, 2)
    record: dict[str, Any] = {"small": None, "large": None, "sizes": sizes}
    for name, (plan, *_) in plans.items():
        record[name] = plan.record([addresses[name] for _, addresses in found])
    return record


def choose(maps: MapFile, rows: Sequence[int]) -> tuple[int, int]:
    """Return side and quality of the large pictures: the best that there is room for, judged by a few of them."""
    room = ROOM if len(rows) <= FEW else max(WHOLE / len(rows), LEAST)
    step = max(1, len(rows) // SAMPLE)
    some = [maps.picture(row) for row in rows[::step][:SAMPLE]]
    most = max((max(picture.shape[:2]) for picture in some), default=1)
    for side, quality in CHOICES:
        if some and sum(len(sheets.lossy(fitted(picture, side), "webp", quality)) for picture in some) / len(some) <= room:
            return min(side, most), quality
    side, quality = CHOICES[-1]
    return min(side, most), quality


def fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture, uint8 `(h, w, 3)`, no side longer than `side`; small ones stay.

    The script of the page computes the same size, so that it finds the picture's edges on the sheet.
    """
    height, width = picture.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, math.floor(height * factor + 0.5)), max(1, math.floor(width * factor + 0.5)))
    if size == (height, width):
        return picture
    while max(picture.shape[:2]) >= 2 * max(size):  # halving is quick, averaging over odd areas is not
        picture = cv2.resize(picture, (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    return cv2.resize(picture, size[::-1])
