"""How often values of each size occur in maps: whole numbers that add up, so that quantiles merge exactly in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil

import numpy as np

from xai.errors import DataError, RunError
from xai.powers import single

BUCKETS = 1 << 16
BEYOND = 0x7F80  # from here on the magnitude's bucket holds no finite value
TOGETHER = 1 << 18  # values that are counted at once
FEW = 1 << 16  # values below which counting one by one is as fast as adding up all buckets


class Counts:
    """Values of maps counted in 65,536 buckets: the upper 16 bits of a float32, that is sign, exponent and 7 bits of mantissa.

    A bucket spans 1/128 of its lower end, so its middle is within 1/256 (0.39 %) of any value in it. The two innermost
    buckets, zero and magnitudes below 2^-133 (9e-41), count as zero; between there and 2^-126 (1e-38) the middle is
    within 2^-134. The same values give the same counts in any order, any batches and any merging.

    Example:
        >>> counts = Counts.of(np.float32([-2, 0, 1, 3, np.nan]))
        >>> counts.negative, counts.zero, counts.positive, counts.broken, len(counts)
        (1, 1, 2, 1, 4)
        >>> counts.quantile(0.5), counts.quantile(1), counts.share_above(0)
        (0.0, 3.0078125, 0.5)
    """

    __slots__ = ("tally",)

    def __init__(self) -> None:
        self.tally = np.zeros(BUCKETS, np.int64)

    @classmethod
    def of(cls, values: np.ndarray) -> Counts:
        """Return the counts of values, of any shape; others than float32 are rounded to it."""
        counts = cls()
        counts.add(values)
        return counts

    def add(self, values: np.ndarray) -> None:
        """Count more values, of any shape, in place."""
        flat = np.ascontiguousarray(single(values)).ravel()
        for start in range(0, flat.size, TOGETHER):
            buckets = flat[start : start + TOGETHER].view(np.uint32) >> np.uint32(16)
            if buckets.size < FEW:
                np.add.at(self.tally, buckets, 1)
            else:
                self.tally += np.bincount(buckets, minlength=BUCKETS)

    def merge(self, other: Counts) -> Counts:
        """Return the counts of both together."""
        both = Counts()
        np.add(self.tally, other.tally, out=both.tally)
        return both

    def __len__(self) -> int:
        """Return how many finite values were counted."""
        return int(self.tally.sum()) - self.broken

    @property
    def broken(self) -> int:
        """Values that are not finite; no quantile, share or histogram has them."""
        return int(self.tally.reshape(2, -1)[:, BEYOND:].sum())

    @property
    def zero(self) -> int:
        """Values that are zero, or nearer to it than 2^-133."""
        return int(self.tally.reshape(2, -1)[:, 0].sum())

    @property
    def positive(self) -> int:
        """Finite values above zero."""
        return int(self.tally[1:BEYOND].sum())

    @property
    def negative(self) -> int:
        """Finite values below zero."""
        return int(self.tally[BUCKETS // 2 + 1 : BUCKETS // 2 + BEYOND].sum())

    def ordered(self) -> np.ndarray:
        """Return the counts in the order of `spans`, int64 `(65279,)`."""
        plus, minus = self.tally[1:BEYOND], self.tally[BUCKETS // 2 + 1 : BUCKETS // 2 + BEYOND]
        return np.concatenate([minus[::-1], [self.zero], plus])

    def quantile(self, share: float, positive: bool = False) -> float:
        """Return the smallest value that at least this share of the values does not exceed, to within 0.4 %.

        Args:
            share: 0 to 1; 0.5 is the median.
            positive: of the values above zero only.

        Returns:
            The middle of the value's bucket: within 0.4 % of NumPy's quantile by the method "inverted_cdf". NaN where
            nothing was counted.

        Raises:
            DataError: no share.
        """
        if not 0 <= share <= 1:
            raise DataError(f"a quantile is of a share from 0 to 1, got {share:g}")
        tally = self.ordered()
        if positive:
            tally[:BEYOND] = 0
        total = np.cumsum(tally)
        if not total[-1]:
            return float("nan")
        place = int(np.searchsorted(total, max(1, ceil(share * int(total[-1])))))
        lows, highs = spans()
        return float((lows[place] + highs[place]) / 2)

    def below(self, values: np.ndarray) -> np.ndarray:
        """Return how many finite values lie under each of `values`, float64; of a value's own bucket a part, as if it were evenly filled."""
        lows, highs = spans()
        total = np.concatenate([[0], np.cumsum(self.ordered())])
        place = np.minimum(np.searchsorted(highs, values), len(highs) - 1)
        width = highs[place] - lows[place]
        part = np.clip((values - lows[place]) / np.where(width > 0, width, 1), 0, 1)
        return total[place] + part * (total[place + 1] - total[place])

    def share_above(self, value: float) -> float:
        """Return the share of the finite values that are above a value; NaN without values.

        It is exact for 0, and else right to within the share that lies in the value's own bucket.
        """
        count = len(self)
        if not count:
            return float("nan")
        return (count - float(self.below(np.array(float(value)))) - (self.zero if value == 0 else 0)) / count

    def histogram(self, edges: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return about how many values lie between edges, float64 `(len(edges) - 1,)`.

        As in `np.histogram` a bin has its lower edge, the last one both. A bucket that an edge cuts is shared out as if
        it were evenly filled, so each bin is right to within the counts of the buckets at its edges, and none is lost.

        Args:
            edges: finite, rising.

        Raises:
            DataError: they are not.
        """
        ends = np.asarray(edges, np.float64)
        if ends.ndim != 1 or len(ends) < 2 or not np.isfinite(ends).all() or (np.diff(ends) <= 0).any():
            raise DataError("the edges of a histogram must be at least two finite numbers, each above the one before")
        found = np.diff(self.below(ends))
        found[-1] += self.zero if ends[-1] == 0 else 0
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all there is as plain arrays, to be stored: `buckets` uint16 `(B,)`, rising, and `counts` int64 `(B,)`, none 0."""
        (buckets,) = self.tally.nonzero()
        return {"buckets": buckets.astype(np.uint16), "counts": self.tally[buckets]}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> Counts:
        """Return the counts that gave these `arrays`.

        Raises:
            RunError: one is missing or damaged.

        Example:
            >>> len(Counts.read(Counts.of(np.arange(10)).arrays()))
            10
        """
        if missing := {"buckets", "counts"} - set(arrays):
            raise RunError(f"a shard lacks the {' and '.join(sorted(missing))} of its values; remove it and run the same command")
        buckets, numbers = np.asarray(arrays["buckets"]), np.asarray(arrays["counts"])
        if buckets.shape != numbers.shape or buckets.ndim != 1 or (buckets.astype(np.int64) >> 16).any() or (numbers < 0).any():
            raise RunError("the counts of values in a shard are damaged; remove it and run the same command")
        counts = cls()
        np.add.at(counts.tally, buckets, numbers)
        return counts


@lru_cache(maxsize=1)
def spans() -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper ends of all buckets with finite values, from the lowest, float64 `(65279,)` each; zero is one of them."""
    ends = (np.arange(BEYOND + 1, dtype=np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    ends[-1] = 2.0**128
    lows, highs = np.concatenate([-ends[:1:-1], [0], ends[1:-1]]), np.concatenate([-ends[-2:0:-1], [0], ends[2:]])
    for table in (lows, highs):
        table.setflags(write=False)
    return lows, highs
