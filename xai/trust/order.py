"""The pixels of a map in order, and the top so many of them; ties are broken at random, not by place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Order:
    """The order of an image's pixels by a map, as far as it is needed: sorting them all takes four times as long.

    Args:
        keys: uint64 `(H, W)`, all different: larger values have larger keys.
        bounds: fraction -> the least key of the top pixels; more than any key where there are none.
    """

    keys: np.ndarray
    bounds: dict[float, np.uint64]

    @classmethod
    def of(cls, values: np.ndarray, ties: np.ndarray, fractions: Iterable[float]) -> Order:
        """Return the order of a map's pixels, the largest value first.

        A placed map is 0 wherever its layer has no cell. Left in their own order, such pixels would fill
        the top from the upper left corner on.

        Args:
            values: float32 `(H, W)`, finite.
            ties: uint64 `(H, W)`, from `shuffled`: which of equal values comes first.
            fractions: the shares of all pixels that will be asked for, in [0, 1].
        """
        bits = (values + np.float32(0)).view(np.uint32)  # + 0 makes -0 and 0 the same
        upper = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))  # as whole numbers, in the order of the floats
        keys = upper.astype(np.uint64) << np.uint64(32) | ties
        places = {fraction: keys.size - count(fraction, keys.size) for fraction in fractions}
        inner = sorted({place for place in places.values() if place < keys.size})
        found = np.partition(keys.ravel(), inner) if inner else keys.ravel()
        none = np.uint64(2**64 - 1)  # no finite value has this key
        return cls(keys, {fraction: none if place == keys.size else found[place] for fraction, place in places.items()})

    def top(self, fraction: float) -> np.ndarray:
        """Return the top pixels, bool `(H, W)`.

        Example:
            >>> order = Order.of(np.float32([[0, 3], [-1, 0]]), np.uint64([[1, 2], [3, 4]]), [0.25, 0.5])
            >>> order.top(0.25).tolist(), order.top(0.5).tolist()
            ([[False, True], [False, False]], [[False, True], [False, True]])
        """
        return np.asarray(self.keys >= self.bounds[fraction])


def shuffled(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the numbers from 0 in random order, uint64 `(H, W)`."""
    return rng.permutation(size[0] * size[1]).astype(np.uint64).reshape(size)


def count(fraction: float, pixels: int) -> int:
    """Return how many pixels a share of all is, halves up.

    Example:
        >>> count(0.05, 16), count(0.5, 5), count(1, 5)
        (1, 3, 5)
    """
    return int(fraction * pixels + 0.5)
