"""Maps of many faces in one frame: each moved, turned and scaled until its face lies on the mean face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from xai.errors import DataError, RunError
from xai.maps.placement import Placement
from xai.powers import Powers
from xai.regions.align import align, anchors
from xai.regions.grid import shrunk
from xai.regions.parts import Parts

SIDE = 64  # cells a side of the common frame
TOGETHER = 16  # images whose maps are added at once


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


class Sums:
    """Maps in the frame added up per cell, exactly: equal in every bit for the same maps in any order and any merging.

    Args:
        values: float64 `(1 + 2P, ..., 64, 64)`, from `values`: how many maps have the cell; P pieces that add up to
            their sum, P that add up to the sum of their squares; `...` is the number of kinds of maps, or nothing.

    Raises:
        RunError: they are damaged.
    """

    __slots__ = ("counts", "kinds", "maps", "powers", "seen", "waiting")

    def __init__(self, values: np.ndarray) -> None:
        if len(values) % 2 == 0 or values.shape[-2:] != (SIDE, SIDE) or not np.isfinite(values[0]).all():
            raise RunError(f"the aligned sums of a shard, of shape {values.shape}, are damaged; remove its file and run the same command")
        self.kinds = values.shape[1:-2]
        flat = values.reshape(len(values), -1, SIDE, SIDE)
        self.counts = flat[0].astype(np.int64)
        pieces = len(values) // 2
        self.powers = [Powers.of(flat[1 : pieces + 1, kind], flat[pieces + 1 :, kind]) for kind in range(flat.shape[1])]
        self.waiting = 0  # images whose maps are to be added; several at once are added faster
        self.maps, self.seen = np.zeros((0, 0, SIDE, SIDE), np.float32), np.zeros((0, 0, SIDE, SIDE), bool)

    @classmethod
    def none(cls, count: int) -> Sums:
        """Return the sums of so many kinds of maps, of which none was seen yet."""
        return cls(np.zeros((1, count, SIDE, SIDE)))

    def of(self, index: int) -> Sums:
        """Return the sums of one kind of maps."""
        self.settle()
        own = Sums(np.zeros((1, SIDE, SIDE)))
        own.counts, own.powers = self.counts[index : index + 1].copy(), [self.powers[index].merge(own.powers[0])]
        return own

    def add(self, maps: np.ndarray, seen: np.ndarray) -> None:
        """Add one map of each kind, in place.

        Args:
            maps: float32 values `(count, 64, 64)`, as any float; others are rounded to float32. A map with a value that
                is not finite is left out whole.
            seen: bool `(count, 64, 64)`, where they have cells.
        """
        if not len(self.maps):
            room = (len(self.powers), TOGETHER, SIDE, SIDE)
            self.maps, self.seen = np.empty(room, np.float32), np.empty(room, bool)
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(maps, seen, out=self.maps[:, self.waiting], casting="same_kind")
        self.seen[:, self.waiting] = seen
        self.waiting += 1
        if self.waiting == TOGETHER:
            self.settle()

    def settle(self) -> None:
        """Add the maps that wait."""
        for kind, powers in enumerate(self.powers if self.waiting else ()):
            maps, seen = self.maps[kind, : self.waiting], self.seen[kind, : self.waiting]
            largest = np.maximum(maps.max((1, 2)), -maps.min((1, 2)))
            if not (whole := np.isfinite(largest)).all():
                maps, seen, largest = maps[whole], seen[whole], largest[whole]
            self.counts[kind] += seen.view(np.uint8).sum(0, dtype=np.uint8)
            powers.add(maps, largest)
        self.waiting = 0

    def merge(self, other: Sums) -> Sums:
        """Return the sums of both.

        Raises:
            DataError: they are of other numbers of kinds.
        """
        if self.kinds != other.kinds:
            raise DataError(f"sums of {self.kinds} and of {other.kinds} kinds of maps cannot be merged; they are of different layers or methods")
        self.settle()
        other.settle()
        both = Sums(np.zeros((1, *self.kinds, SIDE, SIDE)))
        both.counts = self.counts + other.counts
        both.powers = [one.merge(two) for one, two in zip(self.powers, other.powers, strict=True)]
        return both

    @property
    def values(self) -> np.ndarray:
        """All there is as one array, to be stored: see `Sums`; equal for the same maps in any order."""
        self.settle()
        pieces = [powers.pieces() for powers in self.powers]
        most = max((len(part) for pair in pieces for part in pair), default=0)
        values = np.zeros((1 + 2 * most, len(self.powers), SIDE, SIDE))
        values[0] = self.counts
        for kind, (once, twice) in enumerate(pieces):
            values[1 : 1 + len(once), kind] = once
            values[1 + most : 1 + most + len(twice), kind] = twice
        return values.reshape(-1, *self.kinds, SIDE, SIDE)

    @property
    def count(self) -> np.ndarray:
        """Maps that have the cell, float64 `(..., 64, 64)`."""
        self.settle()
        return self.counts.reshape(*self.kinds, SIDE, SIDE).astype(np.float64)

    @property
    def mean(self) -> np.ndarray:
        """Mean per cell, float64 `(..., 64, 64)`; NaN where no map has it."""
        self.settle()
        means = np.stack([powers.mean(count) for powers, count in zip(self.powers, self.counts, strict=True)])
        return np.where(self.count > 0, means.reshape(*self.kinds, SIDE, SIDE), np.nan)

    @property
    def variance(self) -> np.ndarray:
        """Sample variance per cell, float64 `(..., 64, 64)`, never negative; NaN below two maps."""
        self.settle()
        spread = np.stack([powers.squares(count) for powers, count in zip(self.powers, self.counts, strict=True)])
        return np.where(self.count > 1, spread.reshape(*self.kinds, SIDE, SIDE) / np.maximum(self.count - 1, 1), np.nan)
