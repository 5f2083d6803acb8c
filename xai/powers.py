"""Sums of float32 maps and of their squares, cell by cell, that no order and no grouping of the maps can change."""

from __future__ import annotations

from collections.abc import Sequence
from math import frexp, inf, ldexp, prod

import numpy as np

from xai.errors import DataError, RunError
from xai.exact import CHUNK, Total, carried, halves

SPAN = 47  # bits between the window's top and what all its values are multiples of; 64 of them fill the 53 bits of a float64
TAKEN = 64  # maps that are added in one window before its sums become planes
MARGIN = 2  # powers of two by which later maps may be stronger than the window's first
REACH = 12  # powers of two by which they may be weaker; beyond, they get a window of their own
FEW = 16  # one value in so many may be too small for the window, before such values get their own
MAGNITUDE = np.uint32(0x7FFFFFFF)  # the bits of a float32 but its sign; they are in the order of the magnitudes


class Powers:
    """The exact sums of float32 maps and of their squares, cell by cell.

    A map's values are first added in float64 in a window of exponents in which no addition rounds: a value between
    2^(E-24) and 2^E is a multiple of 2^(E-47); its square is split into multiples of 2^(2E-47) and a rest, a multiple
    of 2^(2E-94), and 64 of either fill the 53 bits of a float64. Smaller values go one by one where they are few, and
    into a window of their own where they are many. Full windows are added to the planes of a `Total`.

    Args:
        shape: of a map, such as `(h, w)`.

    Example:
        >>> powers = Powers((1,))
        >>> powers.add(np.float32([[1], [1e-20], [1]]))
        >>> powers.mean(3).tolist(), powers.squares(3).round(6).tolist()
        ([0.6666666666666666], [0.666667])
    """

    __slots__ = ("first", "high", "low", "once", "rest", "second", "shape", "taken", "top", "under")

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(int(side) for side in shape)
        cells = prod(self.shape)
        self.first, self.second = Total(cells), Total(cells)
        self.once, self.high, self.low = np.zeros((3, 0))  # of the open window: values, upper and lower parts of their squares
        self.rest: list[tuple[np.ndarray, np.ndarray]] = []  # (cells, values) too small for it
        self.taken, self.top = 0, 0  # maps in it, the exponent of its upper end
        self.under: Powers | None = None  # where small values are many

    def add(self, values: np.ndarray, largest: np.ndarray | None = None) -> None:
        """Add maps, in place.

        Args:
            values: finite float32 `(N, *shape)`; other types are rounded to float32.
            largest: the largest magnitude of each, float32 `(N,)`, where it is known.

        Raises:
            DataError: maps of another shape, or with a value that is not finite.
        """
        if values.shape[1:] != self.shape:
            raise DataError(f"maps of {values.shape[1:]} cells cannot be added to maps of {self.shape}; expected (N, *{self.shape})")
        rows = np.ascontiguousarray(single(values)).reshape(len(values), self.first.cells)
        if not rows.size:
            return
        if largest is None:
            largest = np.maximum(rows.max(1), -rows.min(1))
        strongest, weakest = float(largest.max()), float(largest.min())
        if not strongest < inf:
            raise DataError("a map holds values that are not finite in float32; leave such maps out and count them")
        if self.taken and self.taken + len(rows) <= TAKEN and frexp(strongest)[1] <= self.top and weakest and frexp(weakest)[1] > self.top - REACH:
            self.window(rows)
            return
        tops = np.frexp(largest)[1]
        left = np.flatnonzero(largest)  # a map of zeros adds nothing
        while left.size:
            fits = (tops[left] <= self.top) & (tops[left] > self.top - REACH)
            if not fits.any() or self.taken == TAKEN:
                self.close()
                self.top = int(tops[left].max()) + MARGIN
                continue
            room = TAKEN - self.taken if self.taken or self.second.planes else 1  # the first of all shows how many small values there are
            fits &= np.cumsum(fits) <= room
            self.window(rows if len(rows) == fits.sum() else rows[left[fits]])
            left = left[~fits]

    def window(self, rows: np.ndarray) -> None:
        """Add maps to the open window, float32 `(n, cells)`."""
        if not self.taken:
            self.once, self.high, self.low = np.zeros((3, rows.shape[1]))
        self.taken += len(rows)
        anchor = ldexp(1.5, 2 * self.top - SPAN + 52)
        least = int(np.float32(ldexp(1.0, self.top - SPAN + 23)).view(np.uint32))  # as bits: the smallest value that fits
        if self.under is not None:
            small = np.where((rows.view(np.uint32) & MAGNITUDE) < least, rows, np.float32(0))
            self.under.add(small.reshape(-1, *self.shape))
            rows = rows - small
        bits, found = rows.view(np.uint32), 0
        count, cells = rows.shape
        for start in range(0, cells, CHUNK):
            part = slice(start, min(start + CHUNK, cells))
            step = max(1, CHUNK // (part.stop - start))
            for row in range(0, count, step):
                several = rows[row : row + step, part].astype(np.float64)
                size = bits[row : row + step, part] & MAGNITUDE
                size -= np.uint32(1)  # zero becomes the largest
                if size.min() < least - 1:
                    small = np.flatnonzero(size < least - 1)
                    flat = several.reshape(-1)
                    self.rest.append((start + small % several.shape[1], flat[small]))
                    flat[small] = 0
                    found += len(small)
                self.once[part] += along(several)
                several *= several
                upper = several + anchor
                upper -= anchor
                self.high[part] += along(upper)
                several -= upper
                self.low[part] += along(several)
        if self.under is None and found * FEW > rows.size:
            self.settle()
            self.under = Powers(self.shape)

    def close(self) -> None:
        """Turn the open window into planes."""
        if self.taken:
            self.first.add(self.once)
            self.second.add(self.high)
            self.second.add(self.low)
        self.settle()
        self.once, self.high, self.low = np.zeros((3, 0))
        self.taken = 0
        if self.under is not None:
            self.under.close()
            self.first, self.second = self.first.merge(self.under.first), self.second.merge(self.under.second)
            self.under = Powers(self.shape)

    def settle(self) -> None:
        """Add the values that were too small for the window."""
        if self.rest:
            at, values = (np.concatenate(column) for column in zip(*self.rest, strict=True))
            self.first.add(values, at, self.taken)
            self.second.add(values * values, at, self.taken)
        self.rest = []

    def merge(self, other: Powers) -> Powers:
        """Return the sums of both.

        Raises:
            DataError: they are of maps of another shape.
        """
        if self.shape != other.shape:
            raise DataError(f"sums of maps of {self.shape} and of {other.shape} cells cannot be merged; they are of different models or layers")
        self.close()
        other.close()
        both = Powers(self.shape)
        both.first, both.second = self.first.merge(other.first), self.second.merge(other.second)
        return both

    def pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums and the sums of squares in pieces that add up to them, float64 `(P, *shape)` and `(Q, *shape)`.

        The pieces are the same for the same maps, whatever their order; P and Q depend on the range of the values,
        usually 2 or 3 and 3 or 4.
        """
        self.close()
        return self.first.pieces().reshape(-1, *self.shape), self.second.pieces().reshape(-1, *self.shape)

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> Powers:
        """Return the sums that were kept as pieces, `(P, *shape)` and `(Q, *shape)`.

        Raises:
            RunError: the file they come from is damaged.
        """
        if first.shape[1:] != second.shape[1:]:
            raise RunError(
                "the sums and the sums of squares of a shard are of different shapes, so its file is damaged; remove it and run the same command"
            )
        powers = cls(first.shape[1:])
        cells = powers.first.cells
        powers.first, powers.second = (Total.of(np.reshape(pieces, (len(pieces), cells))) for pieces in (first, second))
        return powers

    def mean(self, count: int | np.ndarray) -> np.ndarray:
        """Return the means, float64 `(*shape)`, of so many maps: a number, or one per cell `(*shape)`; 0 where there is none."""
        self.close()
        return self.first.value().reshape(self.shape) / np.maximum(count, 1)

    def squares(self, count: int | np.ndarray) -> np.ndarray:
        """Return the summed squared deviations from the mean, float64 `(*shape)`; never negative, 0 for equal values.

        `n Σx² - (Σx)²` is computed digit by digit without rounding, so nothing cancels, and rounded at the end.

        Args:
            count: as for `mean`, below 2^33.
        """
        self.close()
        self.first.carry()
        self.second.carry()
        found, counts = np.zeros(self.first.cells), np.broadcast_to(np.asarray(count, np.float64), self.shape).ravel()
        for start in range(0, len(found), CHUNK):
            part = slice(start, start + CHUNK)
            once, twice = halves(self.first.planes, part), halves(self.second.planes, part)
            digits = {k: counts[part] * digit for k, digit in twice.items()}
            for i, a in once.items():
                for j, b in once.items():
                    digits[i + j] = digits[i + j] - a * b if i + j in digits else -(a * b)
            found[part] = carried(digits, len(found[part]))
        return (found / np.maximum(counts, 1)).reshape(self.shape)


def single(values: np.ndarray) -> np.ndarray:
    """Return values in float32; what is too large for it becomes infinite."""
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def along(rows: np.ndarray) -> np.ndarray:
    """Return the sum over rows `(n, cells)`; a single one costs nothing."""
    return rows.sum(0) if len(rows) > 1 else rows[0]
