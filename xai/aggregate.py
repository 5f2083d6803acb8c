"""Means and variances of maps over a stream: one result, bit for bit, however the stream is cut and merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import prod
from typing import Protocol, Self, TypeVar

import numpy as np

from xai.errors import RunError
from xai.powers import Powers, single


class Moments:
    """Counts and exact sums of the maps seen so far.

    Maps are float32; others are rounded to float32 first. Sums of values and of squares are exact (`xai.exact`), so
    `mean`, `std` and `squares` are equal in every bit for the same maps in any order, any batches and any shards.

    Args:
        shape: of a map, `(h, w)`.

    Attributes:
        count: maps that were averaged in.
        empty: maps without a positive value (`is_empty`; a map of NaN is one); counted, not averaged in.
        broken: maps with a positive value and one that is not finite; counted, not averaged in.
        powers: the sums.

    Example:
        >>> moments = Moments((1, 1))
        >>> moments.add(np.float32([[[1.0]], [[3.0]], [[-1.0]], [[np.inf]]]))
        >>> moments.count, moments.empty, moments.broken, moments.mean.tolist(), moments.std.tolist()
        (2, 1, 1, [[2.0]], [[1.0]])
    """

    __slots__ = ("broken", "count", "empty", "powers")

    def __init__(self, shape: Sequence[int]) -> None:
        self.count = self.empty = self.broken = 0
        self.powers = Powers(shape)

    @classmethod
    def of(cls, maps: np.ndarray) -> Moments:
        """Return the moments of maps `(N, h, w)`, N >= 0.

        Example:
            >>> moments = Moments.of(np.array([[[1.0]], [[3.0]], [[-1.0]]]))
            >>> moments.count, moments.empty, moments.mean.tolist(), moments.std.tolist()
            (2, 1, [[2.0]], [[1.0]])
        """
        moments = cls(maps.shape[1:])
        moments.add(maps)
        return moments

    def add(self, maps: np.ndarray) -> None:
        """Add maps float32 `(N, h, w)`, N >= 0, in place.

        Raises:
            DataError: they have other cells than those before.
        """
        maps = single(maps)
        rows = maps.reshape(len(maps), prod(maps.shape[1:]))
        high, low = rows.max(1, initial=-np.inf), rows.min(1, initial=np.inf)
        whole = (high > 0) & (high < np.inf) & (low > -np.inf)
        if not whole.all():
            shown = ~is_empty(maps[~whole])  # NaN hides what else there is from the maximum
            self.broken += int(shown.sum())
            self.empty += int((~shown).sum())
            maps, high, low = maps[whole], high[whole], low[whole]
        self.powers.add(maps, np.maximum(high, -low))
        self.count += len(maps)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both streams together; associative and commutative to the last bit.

        Raises:
            DataError: they are of maps with other cells.
        """
        both = Moments(self.powers.shape)
        both.count, both.empty, both.broken = self.count + other.count, self.empty + other.empty, self.broken + other.broken
        both.powers = self.powers.merge(other.powers)
        return both

    @property
    def mean(self) -> np.ndarray:
        """Mean float64 `(h, w)`; zero where nothing was seen."""
        return self.powers.mean(self.count)

    @property
    def squares(self) -> np.ndarray:
        """Summed squared deviations from the mean, float64 `(h, w)`, never negative."""
        return self.powers.squares(self.count)

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation float64 `(h, w)`; zero where nothing was seen."""
        return np.sqrt(self.squares / max(self.count, 1))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all there is as plain arrays, to be stored; equal for the same maps in any order.

        Returns:
            `counts` int64 `(3,)`: count, empty, broken; `sums` float64 `(P, h, w)` and `squares` float64 `(Q, h, w)`:
            pieces that add up exactly to the sum of the maps and of their squares. P and Q are 0 where nothing was seen.
        """
        sums, squares = self.powers.pieces()
        return {"counts": np.array([self.count, self.empty, self.broken], np.int64), "sums": sums, "squares": squares}

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> Moments:
        """Return the moments that gave these `arrays`.

        Raises:
            RunError: one is missing or damaged.

        Example:
            >>> moments = Moments.of(np.ones((3, 2, 2), np.float32))
            >>> Moments.read(moments.arrays()).mean.tolist()
            [[1.0, 1.0], [1.0, 1.0]]
        """
        if missing := {"counts", "sums", "squares"} - set(arrays):
            raise RunError(f"a shard lacks the {' and '.join(sorted(missing))} of its maps; remove it and run the same command")
        if np.shape(arrays["counts"]) != (3,):
            raise RunError(
                f"the counts of a shard's maps are damaged: expected 3, got {np.size(arrays['counts'])}; remove it and run the same command"
            )
        sums = np.asarray(arrays["sums"])
        moments = cls(sums.shape[1:])
        moments.count, moments.empty, moments.broken = (int(number) for number in arrays["counts"])
        moments.powers = Powers.of(sums, np.asarray(arrays["squares"]))
        return moments


def is_empty(maps: np.ndarray) -> np.ndarray:
    """Say per map `(N, h, w)` whether it has no positive value (NaN counts as none), bool `(N,)`."""
    return np.asarray(~(maps > 0).any((1, 2)))


def outcome(label: str, prediction: str) -> str:
    """Return TP, FP, TN or FN; fake is positive; '' without a label.

    Example:
        >>> outcome("real", "fake")
        'FP'
    """
    if not label:
        return ""
    return ("T" if label == prediction else "F") + ("P" if prediction == "fake" else "N")


GROUPS = ("all", "real", "fake", "TP", "FP", "TN", "FN")
OUTCOMES = {"all": ("TP", "FP", "TN", "FN", ""), "real": ("TN", "FP"), "fake": ("TP", "FN")}  # that make up a group; another is its own


class Mergeable(Protocol):
    """Something that is merged with its like."""

    def merge(self, other: Self) -> Self:
        """Return both as one."""


Part = TypeVar("Part", bound=Mergeable)


def of_group(group: str, parts: Mapping[str, Part]) -> Part | None:
    """Return what a group has in all, merged from the outcomes it is made of, so that only outcomes need to be added up.

    Args:
        group: one of `GROUPS`.
        parts: by outcome ("" for images without a label), such as `Moments`.

    Returns:
        The part of the group; None where none of its outcomes is among `parts`.

    Example:
        >>> parts = {"TP": Moments.of(np.full((2, 1, 1), 3.0)), "FN": Moments.of(np.full((1, 1, 1), 6.0))}
        >>> of_group("fake", parts).mean.tolist(), of_group("real", parts)
        ([[4.0]], None)
    """
    own = [parts[name] for name in OUTCOMES.get(group, (group,)) if name in parts]
    return reduce(lambda one, other: one.merge(other), own) if own else None


def members(labels: Sequence[str] | np.ndarray, outcomes: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """Return, per group that has images, which images are in it, bool `(N,)`."""
    label, result = np.array(labels, dtype=str), np.array(outcomes, dtype=str)
    groups = {name: np.ones(len(label), bool) if name == "all" else (label == name) | (result == name) for name in GROUPS}
    return {name: chosen for name, chosen in groups.items() if chosen.any()}
