"""What a shard of images measures about parts, one image after another, and how shards are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xai import store
from xai.maps.placement import Placement
from xai.regions.attention import Ground, Pair, attend
from xai.regions.frame import SIDE, Frame, Sums

HOME = "regions"


@dataclass(frozen=True, slots=True)
class Measured:
    """The parts of all images against all their maps.

    Args:
        names: of the parts.
        area, centre: float64 `(N, R)`: share of the image per part, and of a look at the middle; NaN without parts.
        mass, chance: by (layer, method), float64 `(N, R)`: share of the positive mass on each part, and what its
            mask would hold moved at random; NaN for an empty map or without parts.
        peak: by (layer, method), int `(N,)`: the part with the map's highest cell, -1 for none.
        aligned: by (label, layer, method), the maps of one class added up in the frame of the mean face.
    """

    names: tuple[str, ...]
    area: np.ndarray
    centre: np.ndarray
    mass: dict[Pair, np.ndarray]
    chance: dict[Pair, np.ndarray]
    peak: dict[Pair, np.ndarray]
    aligned: dict[tuple[str, str, str], Sums]


class Collector:
    """Measures the images of a shard.

    Args:
        names: of the parts.
        pairs: the (layer, method) of each map.
        placements: by layer.
    """

    def __init__(self, names: tuple[str, ...], pairs: Sequence[Pair], placements: Mapping[str, Placement]) -> None:
        self.names, self.pairs, self.placements = names, pairs, placements
        self.grounds: list[np.ndarray] = []
        self.found: dict[Pair, list[np.ndarray]] = {pair: [] for pair in pairs}
        self.aligned: dict[str, Sums] = {}

    def add(self, ground: Ground | None, maps: Mapping[Pair, np.ndarray], label: str) -> None:
        """Measure the maps of one image; without parts it counts as NaN.

        Args:
            ground: its parts.
            maps: by (layer, method), float32 `(h, w)`.
            label: "real", "fake" or "".
        """
        count = len(self.names)
        if ground is None:
            self.grounds.append(np.full(2 * count, np.nan))
            for column in self.found.values():
                column.append(np.r_[np.full(2 * count, np.nan), -1])
            return
        self.grounds.append(np.concatenate([ground.area, ground.centre]))
        for pair, values in attend(maps, self.placements, ground).items():
            self.found[pair].append(values)
        if label and ground.frame is not None:
            self.align(ground.frame, maps, label)

    def align(self, frame: Frame, maps: Mapping[Pair, np.ndarray], label: str) -> None:
        """Add an image's maps in the mean face's frame; empty ones are left out."""
        shown, seen = np.empty((len(self.pairs), SIDE, SIDE)), np.empty((len(self.pairs), SIDE, SIDE), bool)
        for layer in dict.fromkeys(layer for layer, _ in self.pairs):
            own = [index for index, pair in enumerate(self.pairs) if pair[0] == layer]
            shown[own], seen[own] = frame.bring(np.stack([maps[self.pairs[index]] for index in own]), self.placements[layer])
        seen &= np.array([maps[pair].max() > 0 for pair in self.pairs])[:, None, None]
        self.aligned.setdefault(label, Sums.none(len(self.pairs))).add(shown, seen)

    def write(self, file: h5py.File) -> None:
        """Write what was measured into a shard."""
        count = 2 * len(self.names)
        home = file.create_group(HOME)
        home["ground"] = np.array(self.grounds, np.float64).reshape(-1, count)
        for pair, values in self.found.items():
            home[f"maps/{store.home(*pair)}"] = np.array(values, np.float64).reshape(-1, count + 1)
        for label, sums in self.aligned.items():
            home[f"aligned/{label}"] = sums.values


def write_shares(target: h5py.File, measured: Measured) -> None:
    """Write every image's shares: of its picture, `area`, and of each map's positive mass, `mass/<layer>/<method>`; float32 `(N, R)`."""
    home = target.create_group(HOME)
    home.attrs["names"] = list(measured.names)
    home["area"] = measured.area.astype(np.float32)
    for pair, values in measured.mass.items():
        home[f"mass/{store.home(*pair)}"] = values.astype(np.float32)


def joined(shards: Sequence[Path], names: tuple[str, ...], pairs: Sequence[Pair]) -> Measured:
    """Return what shards measured, as one; they are opened one after another."""
    count = len(names)
    ground: list[np.ndarray] = []
    found: dict[Pair, list[np.ndarray]] = {pair: [] for pair in pairs}
    aligned: dict[str, Sums] = {}
    for path in shards:
        with h5py.File(path, "r") as file:
            ground.append(file[f"{HOME}/ground"][:])
            for pair in pairs:
                found[pair].append(file[f"{HOME}/maps/{store.home(*pair)}"][:])
            for label in file.get(f"{HOME}/aligned", ()):
                aligned[label] = aligned.get(label, Sums.none(len(pairs))).merge(Sums(file[f"{HOME}/aligned/{label}"][:]))
    grounds, whole = np.concatenate(ground), {pair: np.concatenate(parts) for pair, parts in found.items()}
    return Measured(
        names,
        grounds[:, :count],
        grounds[:, count:],
        {pair: values[:, :count] for pair, values in whole.items()},
        {pair: values[:, count:-1] for pair, values in whole.items()},
        {pair: values[:, -1].astype(int) for pair, values in whole.items()},
        {(label, *pair): sums.of(index) for label, sums in aligned.items() for index, pair in enumerate(pairs)},
    )
