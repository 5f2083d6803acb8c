"""Maps of many faces in one frame: each moved, turned and scaled until its face lies on the mean face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from xai.maps.placement import Placement
from xai.regions.align import align, anchors
from xai.regions.grid import shrunk
from xai.regions.parts import Parts

SIDE = 64  # cells a side of the common frame


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the cells of the mean face's frame lie on one image.

    Args:
        matrix: float64 `(2, 3)`: points (y, x) of the frame, 0 to 1, to pixels (y, x) of the network's input.
    """

    matrix: np.ndarray

    @classmethod
    def of(cls, parts: Parts, image: tuple[int, int]) -> Frame | None:
        """Return the frame of an image; None where too few parts are there to align it.

        Args:
            parts: of the image.
            image: the network's input size `(H, W)`.
        """
        scale = np.array(image) / parts.labels.shape
        matrix = align(mean_anchors(), anchors(parts) * scale)
        return None if matrix is None else cls(matrix)

    def bring(self, maps: np.ndarray, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """Return maps of one layer in the frame.

        Args:
            maps: float `(k, h, w)`, raw; finer maps than the frame are averaged first.
            placement: of their layer.

        Returns:
            float32 `(k, 64, 64)` in the maps' units, and bool `(64, 64)`: where the layer has cells on the image.
        """
        step = [max(1, cells // SIDE) for cells in placement.cells]
        height, width = (cells // s for cells, s in zip(placement.cells, step, strict=True))
        small = shrunk(maps[:, : height * step[0], : width * step[1]].astype(np.float32, copy=False), (height, width))
        stride = [placement.stride[axis] * step[axis] for axis in (0, 1)]
        offset = [placement.offset[axis] + placement.stride[axis] * (step[axis] - 1) / 2 for axis in (0, 1)]
        # cell i of the frame is centred at (i + 1/2) / SIDE; a pixel is cell (pixel - offset) / stride of the map
        linear = self.matrix[:, :2] / SIDE / np.array(stride)[:, None]
        start = (self.matrix[:, 2] + self.matrix[:, :2].sum(1) / SIDE / 2 - offset) / stride
        into = np.column_stack([linear[::-1, ::-1], start[::-1]])  # OpenCV counts (x, y)
        how: dict[str, int] = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
        shown = [
            cv2.warpAffine(np.moveaxis(small[k : k + 4], 0, -1), into, (SIDE, SIDE), **how).reshape(SIDE, SIDE, -1)  # type: ignore[call-overload]
            for k in range(0, len(small), 4)  # OpenCV takes four channels
        ]
        i = np.arange(SIDE)
        y, x = (linear[axis, 0] * i[:, None] + linear[axis, 1] * i + start[axis] for axis in (0, 1))
        seen = (y >= -0.5) & (y <= height - 0.5) & (x >= -0.5) & (x <= width - 0.5)
        return np.moveaxis(np.concatenate(shown, -1), -1, 0), seen


@lru_cache(maxsize=1)
def mean_anchors() -> np.ndarray:
    """Return the anchors of the mean face, float64 `(A, 2)` (y, x), shares of the side."""
    from xai.regions.template import parts

    return anchors(parts((512, 512))) / 512


@dataclass(frozen=True, slots=True)
class Sums:
    """Maps in the frame added up per cell; merging them knows no order.

    Args:
        values: float64 `(3, ..., 64, 64)`: maps that have the cell, their sum and sum of squares.
    """

    values: np.ndarray

    @classmethod
    def none(cls, count: int) -> Sums:
        """Return the sums of so many kinds of maps, of which none was seen yet."""
        return cls(np.zeros((3, count, SIDE, SIDE)))

    def of(self, index: int) -> Sums:
        """Return the sums of one kind of maps."""
        return Sums(self.values[:, index])

    def add(self, maps: np.ndarray, seen: np.ndarray) -> None:
        """Add one map of each kind, in place.

        Args:
            maps: float64 `(count, 64, 64)`; set to 0 where they are not seen.
            seen: bool `(count, 64, 64)`, where they have cells.
        """
        maps *= seen
        self.values[0] += seen
        self.values[1] += maps
        maps *= maps
        self.values[2] += maps

    def merge(self, other: Sums) -> Sums:
        """Return the sums of both."""
        return Sums(self.values + other.values)

    @property
    def count(self) -> np.ndarray:
        """Maps that have the cell, float64 `(..., 64, 64)`."""
        return self.values[0]

    @property
    def mean(self) -> np.ndarray:
        """Mean per cell, float64 `(..., 64, 64)`; NaN where no map has it."""
        with np.errstate(invalid="ignore"):
            return np.where(self.count > 0, self.values[1] / np.maximum(self.count, 1), np.nan)

    @property
    def variance(self) -> np.ndarray:
        """Sample variance per cell, float64 `(..., 64, 64)`; NaN below two maps."""
        spread = self.values[2] - self.count * np.nan_to_num(self.mean) ** 2
        return np.where(self.count > 1, np.maximum(spread, 0) / np.maximum(self.count - 1, 1), np.nan)
