"""Stored maps, drawn where they belong on a small canvas of the whole image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from reports.run import AGAIN
from xai import store
from xai.errors import RunError
from xai.maps.placement import Axis, Placement


@dataclass(frozen=True, slots=True)
class Drawn:
    """One map on the canvas.

    Args:
        values: float32 `(height, width)`, in the map's own unit; 0 where there is no cell.
        lowest, highest: of the map's own cells, before drawing.
        covered: the part of the canvas where there are cells, in (0, 1].
    """

    values: np.ndarray
    lowest: float
    highest: float
    covered: float = 1.0

    @property
    def empty(self) -> bool:
        """Whether the map has no positive value."""
        return not self.highest > 0


class MapFile:
    """`maps.h5`, open for reading; one map in memory at a time.

    Args:
        path: the file.

    Raises:
        RunError: it is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = h5py.File(path, "r", rdcc_nbytes=64 * 2**20)
        except OSError as error:
            raise RunError(f"{path.name} in {path.parent} cannot be read; {AGAIN}") from error

    def __enter__(self) -> MapFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def mean(self, group: str, layer: str, method: str, side: int) -> Drawn:
        """Return the mean map of a group.

        Args:
            group, layer, method: which one.
            side: the canvas's longer side, pixels.
        """
        stored = self.dataset(f"mean/{group}/{store.home(layer, method)}")
        placement = self.placement(stored)
        return draw(self.cells(stored, ()), placement, canvas(placement.image, side))

    def maps(self, layer: str, method: str, rows: Sequence[int], side: int) -> Iterator[tuple[int, Drawn]]:
        """Yield `(row, map)` for the rows asked for, in ascending order.

        Args:
            layer, method: which maps.
            rows: rows of `images.csv`.
            side: the canvas's longer side, pixels.
        """
        stored = self.dataset(f"maps/{store.home(layer, method)}")
        placement = self.placement(stored)
        size = canvas(placement.image, side)
        rows = sorted(rows)
        if rows and rows[-1] >= stored.shape[0]:
            raise RunError(
                f"{self.path.name} holds {stored.shape[0]} maps of layer '{layer}', method '{method}', but images.csv has a row {rows[-1]}; {AGAIN}"
            )
        # A compressed chunk is unpacked whole: read each only once.
        step = stored.chunks[0] if stored.chunks else 1
        for start in sorted({row // step * step for row in rows}):
            block = self.cells(stored, slice(start, start + step))
            for row in rows:
                if start <= row < start + step:
                    yield row, draw(block[row - start], placement, size)

    def area(self, layer: str, method: str) -> tuple[float, float, float, float]:
        """Return how far the layer's cells stay from each edge: top, right, bottom, left.

        Returns:
            Fractions of the image in [0, 1]; a cell reaches half a stride from its centre.
        """
        where = self.placement(self.dataset(f"maps/{store.home(layer, method)}"))
        edges = []
        for axis, cells, image in zip((where.y, where.x), where.cells, where.image, strict=True):
            before = (axis.offset - axis.stride / 2) / image
            after = 1 - (axis.offset + (cells - 0.5) * axis.stride) / image
            edges.append((min(max(before, 0.0), 1.0), min(max(after, 0.0), 1.0)))
        (top, bottom), (left, right) = edges
        return top, right, bottom, left

    def dataset(self, name: str) -> Any:
        """Return a stored array, unread."""
        stored = self.file.get(name)
        if not isinstance(stored, h5py.Dataset):
            raise RunError(f"{self.path.name} in {self.path.parent} lacks '/{name}'; {AGAIN}")
        return stored

    def cells(self, stored: Any, where: Any) -> np.ndarray:
        """Return a part of a stored array; what is not finite counts as zero."""
        try:
            return np.nan_to_num(np.asarray(stored[where], np.float32), posinf=0, neginf=0)
        except OSError as error:
            raise RunError(f"{self.path.name} in {self.path.parent} is damaged at '{stored.name}'; {AGAIN}") from error

    def placement(self, stored: Any) -> Placement:
        """Return where the cells of a stored array lie."""
        try:
            stride, offset, image = ([float(end) for end in stored.attrs[key][:2]] for key in ("stride", "offset", "input"))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RunError(f"{self.path.name}: '{stored.name}' lacks its placement ({error}); {AGAIN}") from error
        height, width = stored.shape[-2:]
        return Placement(
            Axis(stride[0], offset[0]),
            Axis(stride[1], offset[1]),
            (int(height), int(width)),
            (int(image[0]), int(image[1])),
        )


def canvas(image: tuple[int, int], side: int) -> tuple[int, int]:
    """Return a canvas `(height, width)` of the image's shape, its longer side given.

    Example:
        >>> canvas((512, 256), 48)
        (48, 24)
    """
    longest = max(image)
    return max(1, round(image[0] * side / longest)), max(1, round(image[1] * side / longest))


def draw(cells: np.ndarray, placement: Placement, size: tuple[int, int]) -> Drawn:
    """Draw one map on a canvas of the whole image.

    Args:
        cells: float32 `(h, w)`.
        placement: where they lie.
        size: the canvas, `(height, width)`.
    """
    return Drawn(placement.show(cells, size), float(cells.min()), float(cells.max()), float(placement.reach(size).mean()))
