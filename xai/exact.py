"""Sums without any rounding: no order and no grouping of the numbers can change them.

A sum is kept in planes. Plane k holds, per cell, a multiple of 2^(40 k), and the planes add up to the sum. A plane
is float64 with room for 53 bits, so that two thousand numbers can be added to it before carrying. Where all carries
are done the planes are the digits of the sum to the base 2^40, each in [-2^39, 2^39): one sum, one set of digits.
Whatever is computed from the digits is then the same, bit for bit, however the values came in.

Reference:
    Neal, Fast exact summation using small and large superaccumulators, 2015, arXiv:1505.05571.
    Rump, Ogita and Oishi, Accurate floating-point summation part I, 2008, doi:10.1137/050645671 (splitting at an anchor).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import frexp, ldexp

import numpy as np

from xai.errors import RunError

BITS = 40  # of a digit
ROOM = 2000  # numbers below 2^40 units that a plane takes between carries: 2^39 + 2000 · 2^40 < 2^51, which `carry` can still round
CHUNK = 1 << 15  # cells at a time: their float64 copies stay in the cache


class Total:
    """One exact sum per cell.

    Args:
        cells: how many there are.

    Example:
        >>> total = Total(1)
        >>> for value in (1e30, 1.0, -1e30):
        ...     total.add(np.array([value]))
        >>> total.value().tolist()
        [1.0]
    """

    __slots__ = ("cells", "planes", "spent")

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.planes: dict[int, np.ndarray] = {}
        self.spent = 0

    def add(self, values: np.ndarray, at: np.ndarray | None = None, times: int = 1) -> None:
        """Add numbers, in place.

        Args:
            values: finite float64, one a cell, or one for each of `at`; multiples of 2^-320.
            at: int, the cells they belong to; each cell at most `times` times.
        """
        self.spent += times
        if self.spent > ROOM:
            self.carry()
            self.spent += times
        if at is not None:
            self.put(values, at)
            return
        for start in range(0, self.cells, CHUNK):
            self.put(values[start : start + CHUNK], slice(start, start + CHUNK))

    def put(self, values: np.ndarray, at: np.ndarray | slice) -> None:
        """Split numbers at the planes' units, from the highest, and add each part to its plane."""
        left = values
        while left.size and (size := max(float(left.max()), -float(left.min()))) > 0:
            k = (frexp(size)[1] - 1) // BITS
            anchor = ldexp(1.5, BITS * k + 52)  # a sum with it is rounded to a multiple of 2^(40 k)
            part = left + anchor
            part -= anchor
            left = left - part
            if isinstance(at, slice):
                self.plane(k)[at] += part
            else:
                np.add.at(self.plane(k), at, part)

    def plane(self, k: int) -> np.ndarray:
        """Return plane k, float64 `(cells,)`, to be added to."""
        if k not in self.planes:
            self.planes[k] = np.zeros(self.cells)
        return self.planes[k]

    def carry(self) -> None:
        """Bring every plane into [-2^39, 2^39) units of its own: the digits."""
        if not self.spent:
            return
        k, last = min(self.planes, default=0), max(self.planes, default=-1)
        while k <= last:
            if k in self.planes:
                over = np.floor(self.planes[k] * ldexp(1.0, -BITS * (k + 1)) + 0.5)
                over *= ldexp(1.0, BITS * (k + 1))
                if over.any():
                    self.planes[k] -= over
                    self.plane(k + 1)[:] += over
                    last = max(last, k + 1)
            k += 1
        self.planes = {k: self.planes[k] for k in sorted(self.planes) if self.planes[k].any()}
        self.spent = 0

    def merge(self, other: Total) -> Total:
        """Return the sum of both."""
        both = Total(self.cells)
        both.planes = {k: plane.copy() for k, plane in self.planes.items()}
        both.spent = self.spent + other.spent + 1
        for k, plane in other.planes.items():
            both.plane(k)[:] += plane
        if both.spent > ROOM:
            both.carry()
        return both

    def value(self) -> np.ndarray:
        """Return the sums, float64 `(cells,)`, to about one unit in the last place."""
        self.carry()
        return added(self.planes, self.cells)

    def pieces(self) -> np.ndarray:
        """Return the digits, lowest first, float64 `(P, cells)`, each times its power of two: they add up to the sum exactly."""
        self.carry()
        return np.stack(list(self.planes.values())) if self.planes else np.zeros((0, self.cells))

    @classmethod
    def of(cls, pieces: np.ndarray) -> Total:
        """Return the sum of pieces `(P, cells)`.

        Raises:
            RunError: they are not finite: the file they come from is damaged.
        """
        pieces = np.asarray(pieces, np.float64)
        if not np.isfinite(pieces).all():
            raise RunError("the sums of a shard hold values that are not finite, so its file is damaged; remove it and run the same command")
        total = cls(pieces.shape[1])
        for piece in pieces:
            total.add(piece)
        return total


def added(digits: Mapping[int, np.ndarray], cells: int) -> np.ndarray:
    """Return digits added up from the lowest, float64 `(cells,)`."""
    value = np.zeros(cells)
    for k in sorted(digits):
        value += digits[k]
    return value


def halves(planes: Mapping[int, np.ndarray], part: slice) -> dict[int, np.ndarray]:
    """Return digits to the base 2^20, in [-2^19, 2^19] and in units of their own, whose products float64 can add up exactly."""
    found = {}
    for k, plane in planes.items():
        units = plane[part] * ldexp(1.0, -BITS * k)
        upper = np.floor(units * 2.0**-20 + 0.5)
        found[2 * k], found[2 * k + 1] = units - upper * 2.0**20, upper
    return found


def carried(digits: Mapping[int, np.ndarray], cells: int) -> np.ndarray:
    """Return the number that digits to the base 2^20 stand for, each below 2^52, float64 `(cells,)`."""
    over, found, k = np.zeros(cells), {}, min(digits, default=0)
    while k <= max(digits, default=-1) or over.any():
        units = digits[k] + over if k in digits else over
        over = np.floor(units * 2.0**-20 + 0.5)
        found[k] = (units - over * 2.0**20) * ldexp(1.0, 20 * k)
        k += 1
    return added(found, cells)
