"""Many small pictures on few large ones: a page of ten thousand images would need as many files otherwise."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from reports import charts
from reports.shelf import Shelf

BORDER = 2  # pixels repeated around a map: the browser mixes neighbours when it enlarges one
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How tiles lie on sheets.

    Args:
        count: tiles in all.
        height, width: of a tile, pixels.
        per: tiles on a sheet.
        columns: tiles in a row of a sheet.
        border: pixels around each tile.
    """

    count: int
    height: int
    width: int
    per: int
    columns: int
    border: int = 0

    @staticmethod
    def of(count: int, height: int, width: int, per: int, border: int = 0) -> Plan:
        """Return a plan whose sheets are about square.

        Example:
            >>> Plan.of(10, 4, 4, 6)
            Plan(count=10, height=4, width=4, per=6, columns=3, border=0)
        """
        per = max(1, min(per, count))
        return Plan(count, height, width, per, math.ceil(math.sqrt(per)), border)

    def sheets(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last-but-one tile of each sheet."""
        for start in range(0, self.count, self.per):
            yield start, min(self.count, start + self.per)

    def record(self, sheets: Sequence[str]) -> dict[str, Any]:
        """Return what the page's script needs to find a tile."""
        return {
            "count": self.count, "height": self.height, "width": self.width, "per": self.per, "columns": self.columns,
            "border": self.border, "sheets": list(sheets),
        }  # fmt: skip

    def blank(self, tiles: int) -> np.ndarray:
        """Return an empty sheet for so many tiles in colour, uint8."""
        rows, columns = math.ceil(tiles / self.columns), min(tiles, self.columns)
        return np.zeros((rows * self.height, columns * self.width, 3), np.uint8)

    def place(self, sheet: np.ndarray, slot: int, tile: np.ndarray) -> None:
        """Put a tile, at most as large as planned, on a sheet without borders."""
        row, column = divmod(slot, self.columns)
        sheet[row * self.height :, column * self.width :][: tile.shape[0], : tile.shape[1]] = tile

    def full(self, tiles: np.ndarray) -> np.ndarray:
        """Return a sheet of so many tiles, uint8 `(n, height, width)`, their edges repeated around them."""
        rows, columns = math.ceil(len(tiles) / self.columns), min(len(tiles), self.columns)
        border = (self.border, self.border)
        padded = np.pad(tiles, ((0, rows * columns - len(tiles)), (0, 0), (0, 0)))
        padded = np.pad(padded, ((0, 0), border, border), "edge")
        return padded.reshape(rows, columns, *padded.shape[1:]).transpose(0, 2, 1, 3).reshape(rows * padded.shape[1], -1)


def lossy(sheet: np.ndarray, ending: str, quality: int) -> bytes:
    """Encode a colour sheet, uint8 `(h, w, 3)`, as "webp" or "jpg"; at the size of a thumbnail JPEG is as small and seven times as quick."""
    file = io.BytesIO()
    if ending == "webp":
        Image.fromarray(sheet).save(file, "WEBP", quality=quality, method=2)
    else:
        Image.fromarray(sheet).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def together(work: Callable[[T], Any], parts: Sequence[T]) -> list[Any]:
    """Do independent work on all cores, the results in order; the encoders let go of Python's lock."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(work, parts))


def maps(name: str, values: np.ndarray, per: int, shelf: Shelf) -> dict[str, Any]:
    """Write the maps of one layer and method, each sheet as soon as it is drawn.

    Args:
        name: of the sheets.
        values: uint8 `(N, h, w)`.
        per: maps a sheet.
        shelf: where they go.

    Returns:
        The plan's record.
    """
    plan = Plan.of(len(values), values.shape[1], values.shape[2], per, BORDER)

    def draw(sheet: tuple[int, tuple[int, int]]) -> str:
        index, part = sheet
        return shelf.picture(f"sheets/{name}-{index}.webp", charts.lossless(plan.full(values[slice(*part)])))

    return plan.record(together(draw, list(enumerate(plan.sheets()))))
