"""Means and variances of maps over a stream, with a merge that does not care about order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(slots=True)
class Moments:
    """Count, sum of means and squared deviations of the maps seen so far.

    Args:
        count: maps that were averaged in.
        empty: maps without a positive value; counted, not averaged in.
        mean: float64 `(h, w)`.
        squares: float64 `(h, w)`, summed squared deviations from the mean.

    Reference:
        Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing
        sample variances, 1979.
    """

    count: int
    empty: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, maps: np.ndarray) -> Moments:
        """Return the moments of maps `(N, h, w)`, N >= 0.

        Example:
            >>> moments = Moments.of(np.array([[[1.0]], [[3.0]], [[-1.0]]]))
            >>> moments.count, moments.empty, moments.mean.tolist(), moments.std.tolist()
            (2, 1, [[2.0]], [[1.0]])
        """
        shown = ~is_empty(maps)
        count = int(shown.sum())
        mean, squares = np.zeros(maps.shape[1:]), np.zeros(maps.shape[1:])
        for values in maps[shown]:  # one at a time, in double precision, so that memory stays that of the maps
            mean += values
        mean /= max(count, 1)
        for values in maps[shown]:
            squares += (values - mean) ** 2
        return cls(count, len(maps) - count, mean, squares)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both streams together; associative and commutative."""
        count = self.count + other.count
        if count == 0:
            return Moments(0, self.empty + other.empty, self.mean, self.squares)
        gap = other.mean - self.mean
        return Moments(
            count,
            self.empty + other.empty,
            self.mean + gap * (other.count / count),
            self.squares + other.squares + gap**2 * (self.count * other.count / count),
        )

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation `(h, w)`; zero where nothing was seen."""
        return np.sqrt(self.squares / max(self.count, 1))


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


def members(labels: list[str], outcomes: list[str]) -> dict[str, np.ndarray]:
    """Return, per group that has images, which images are in it, bool `(N,)`."""
    label, result = np.array(labels, dtype=str), np.array(outcomes, dtype=str)
    groups = {name: np.ones(len(label), bool) if name == "all" else (label == name) | (result == name) for name in GROUPS}
    return {name: chosen for name, chosen in groups.items() if chosen.any()}
