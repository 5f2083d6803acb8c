"""Maps of many faces in one frame: each moved, turned and scaled until its face lies on the mean face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from xai.maps.placement import Placement
from xai.probes.align import align, anchors
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

    def bring(self, values: np.ndarray, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """Return a map in the frame.

        Args:
            values: float `(h, w)`, raw; finer maps than the frame are averaged first.
            placement: of its layer.

        Returns:
            float32 `(64, 64)` in the map's unit, and bool `(64, 64)`: where the layer has cells on the image.
        """
        step = [max(1, cells // SIDE) for cells in placement.cells]
        height, width = (cells // s * s for cells, s in zip(placement.cells, step, strict=True))
        small = values[:height, :width].reshape(height // step[0], step[0], width // step[1], step[1]).mean((1, 3), dtype=np.float32)
        stride = [placement.stride[axis] * step[axis] for axis in (0, 1)]
        offset = [placement.offset[axis] + placement.stride[axis] * (step[axis] - 1) / 2 for axis in (0, 1)]
        # cell i of the frame is centred at (i + 1/2) / SIDE; a pixel is cell (pixel - offset) / stride of the map
        linear = self.matrix[:, :2] / SIDE / np.array(stride)[:, None]
        start = (self.matrix[:, 2] + self.matrix[:, :2].sum(1) / SIDE / 2 - offset) / stride
        into = np.column_stack([linear[::-1, ::-1], start[::-1]])  # OpenCV counts (x, y)
        shown = cv2.warpAffine(small, into, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        i, j = np.indices((SIDE, SIDE))
        y, x = (linear[axis, 0] * i + linear[axis, 1] * j + start[axis] for axis in (0, 1))
        seen = (y >= -0.5) & (y <= small.shape[0] - 0.5) & (x >= -0.5) & (x <= small.shape[1] - 0.5)
        return shown, seen


@lru_cache(maxsize=1)
def mean_anchors() -> np.ndarray:
    """Return the anchors of the mean face, float64 `(A, 2)` (y, x), shares of the side."""
    from xai.regions.template import parts

    return anchors(parts((512, 512))) / 512


@dataclass(frozen=True, slots=True)
class Sums:
    """Maps in the frame added up per cell; merging them knows no order.

    Args:
        count, total, squares: float64 `(64, 64)`: maps that have the cell, their sum and sum of squares.
    """

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def none(cls) -> Sums:
        """Return the sums of no map."""
        zero = np.zeros((SIDE, SIDE))
        return cls(zero, zero, zero)

    def plus(self, values: np.ndarray, seen: np.ndarray) -> Sums:
        """Return the sums with one map more."""
        exact = np.where(seen, values, 0).astype(np.float64)
        return Sums(self.count + seen, self.total + exact, self.squares + exact**2)

    def merge(self, other: Sums) -> Sums:
        """Return the sums of both."""
        return Sums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> np.ndarray:
        """Mean per cell, float64 `(64, 64)`; NaN where no map has it."""
        with np.errstate(invalid="ignore"):
            return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)

    @property
    def variance(self) -> np.ndarray:
        """Sample variance per cell, float64 `(64, 64)`; NaN below two maps."""
        spread = self.squares - self.count * np.nan_to_num(self.mean) ** 2
        return np.where(self.count > 1, np.maximum(spread, 0) / np.maximum(self.count - 1, 1), np.nan)

    def packed(self) -> np.ndarray:
        """Return the sums as one array `(3, 64, 64)`."""
        return np.stack([self.count, self.total, self.squares])

    @classmethod
    def unpacked(cls, values: np.ndarray) -> Sums:
        """Return the sums of an array from `packed`."""
        return cls(*values)
