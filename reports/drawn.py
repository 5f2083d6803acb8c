"""Stored maps, drawn where they belong on a small canvas of the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
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
            self.file = h5py.File(path, "r", rdcc_nbytes=8 * 2**20)
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

    def small(self, layer: str, method: str, images: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield small copies of all maps, so many images at once.

        Yields:
            The first one's row, the copies, int16 `(n, h, w)` in [-32767, 32767], and what 32767 stands for, float32 `(n,)`.
        """
        values, scale = (self.dataset(f"{kind}/{store.home(layer, method)}") for kind in ("small", "scale"))
        for start in range(0, len(values), images):
            where = slice(start, start + images)
            yield start, self.read(values, where), self.read(scale, where)

    def small_shape(self, layer: str, method: str) -> tuple[int, int]:
        """Return height and width of a small copy."""
        _, height, width = self.dataset(f"small/{store.home(layer, method)}").shape
        return height, width

    def check(self, images: int) -> None:
        """Refuse a file of another number of images.

        Raises:
            RunError: it holds fewer or more than `images.csv` has rows.
        """
        if (held := len(self.dataset("images/picture"))) != images:
            raise RunError(f"{self.path.name} in {self.path.parent} holds {held} images, but images.csv has {images} rows; {AGAIN}")

    def picture(self, row: int) -> np.ndarray:
        """Return an image as it was kept for looking, uint8 RGB `(h, w, 3)`."""
        content = self.read(self.dataset("images/picture"), row)
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if len(content) else None
        if picture is None:
            raise RunError(f"{self.path.name} in {self.path.parent}: the picture of row {row} is damaged; {AGAIN}")
        return picture

    def shares(self, layer: str, method: str) -> np.ndarray | None:
        """Return the share of each map's positive mass on each part, float32 `(N, R)`; None for a run without parts."""
        return self.read(self.dataset(f"regions/mass/{store.home(layer, method)}"), ()) if "regions" in self.file else None

    def parts(self) -> tuple[tuple[str, ...], np.ndarray] | None:
        """Return the parts' names and the share of each picture that each covers, float32 `(N, R)`; None for a run without parts."""
        if "regions" not in self.file:
            return None
        return tuple(str(name) for name in self.file["regions"].attrs["names"]), self.read(self.dataset("regions/area"), ())

    def moments(self, group: str, layer: str, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a group's mean map and its population standard deviation, float32 `(h, w)` each, at the layer's own cells."""
        mean, std = (self.cells(self.dataset(f"{kind}/{group}/{store.home(layer, method)}"), ()) for kind in ("mean", "std"))
        return mean, std

    def box(self, layer: str, method: str) -> tuple[float, float, float, float]:
        """Return the rectangle that the layer's cells cover, by its distance from each edge: top, right, bottom, left.

        Returns:
            Fractions of the image; below 0 where the outer cells reach beyond it. A cell
            reaches half a stride from its centre.
        """
        where = self.placement(self.dataset(f"maps/{store.home(layer, method)}"))
        edges = []
        for axis, cells, image in zip((where.y, where.x), where.cells, where.image, strict=True):
            before = (axis.offset - axis.stride / 2) / image
            edges.append((before, 1 - (axis.offset + (cells - 0.5) * axis.stride) / image))
        (top, bottom), (left, right) = edges
        return top, right, bottom, left

    def dataset(self, name: str) -> Any:
        """Return a stored array, unread."""
        stored = self.file.get(name)
        if not isinstance(stored, h5py.Dataset):
            raise RunError(f"{self.path.name} in {self.path.parent} lacks '/{name}'; {AGAIN}")
        return stored

    def cells(self, stored: Any, where: Any) -> np.ndarray:
        """Return a part of a stored map; what is not finite counts as zero."""
        return np.nan_to_num(self.read(stored, where).astype(np.float32), posinf=0, neginf=0)

    def read(self, stored: Any, where: Any) -> np.ndarray:
        """Return a part of a stored array."""
        try:
            return np.asarray(stored[where])
        except (OSError, ValueError) as error:
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
