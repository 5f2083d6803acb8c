"""What a shard of images measures about parts, one image after another, and how shards are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from xai import store
from xai.maps.placement import Placement
from xai.regions.attention import Ground, Pair, attend
from xai.regions.frame import SIDE, Frame, Sums

if TYPE_CHECKING:
    from xai.gather import Gathered

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
    mass: Mapping[Pair, np.ndarray]
    chance: Mapping[Pair, np.ndarray]
    peak: Mapping[Pair, np.ndarray]
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
        home["ground"] = np.array(self.grounds, np.float32).reshape(-1, count)
        for pair, values in self.found.items():
            home[f"maps/{store.home(*pair)}"] = np.array(values, np.float32).reshape(-1, count + 1)
        for label, sums in self.aligned.items():
            home[f"aligned/{label}"] = sums.values


class Stored(Mapping[Pair, np.ndarray]):
    """One measure of all maps, in a file: read for a (layer, method) when it is asked for, so that one at a time is in memory.

    Args:
        path: of `maps.h5`.
        kind: "mass", "chance" or "peak".
        pairs: the (layer, method) there are.
    """

    def __init__(self, path: Path, kind: str, pairs: Sequence[Pair]) -> None:
        self.path, self.kind, self.pairs = path, kind, dict.fromkeys(pairs)

    def __getitem__(self, pair: Pair) -> np.ndarray:
        """Return the values of all images: float64 `(N, R)`; of "peak" int `(N,)`."""
        if pair not in self.pairs:
            raise KeyError(pair)
        with h5py.File(self.path, "r") as file:
            values = file[f"{HOME}/{self.kind}/{store.home(*pair)}"][:]
        return values.astype(np.float64 if values.ndim == 2 else int)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


def write_measures(target: h5py.File, gathered: Gathered, names: tuple[str, ...], pairs: Sequence[Pair]) -> None:
    """Write what shards measured, in the order of the rows.

    Writes `regions/area` and `regions/centre`, float32 `(N, R)`; and per layer and method `regions/mass/…` and
    `regions/chance/…`, float32 `(N, R)`, and `regions/peak/…`, int16 `(N,)`: as in `Measured`.
    """
    home = target.create_group(HOME)
    home.attrs["names"] = list(names)
    count, whole = len(names), len(gathered)
    table = {kind: home.create_dataset(kind, (whole, count), np.float32) for kind in ("area", "centre")}
    for start, part in gathered.blocks():
        values = part.rows(f"{HOME}/ground")
        table["area"][start : start + len(values)], table["centre"][start : start + len(values)] = values[:, :count], values[:, count:]
    for pair in pairs:
        mass, chance = (home.create_dataset(f"{kind}/{store.home(*pair)}", (whole, count), np.float32) for kind in ("mass", "chance"))
        peak = home.create_dataset(f"peak/{store.home(*pair)}", (whole,), np.int16)
        for start, part in gathered.blocks():
            values = part.rows(f"{HOME}/maps/{store.home(*pair)}")
            end = start + len(values)
            mass[start:end], chance[start:end], peak[start:end] = values[:, :count], values[:, count:-1], values[:, -1]


def read_measures(path: Path, pairs: Sequence[Pair], aligned: dict[tuple[str, str, str], Sums]) -> Measured:
    """Return what stands in `maps.h5`, one map's measures at a time in memory, with what was added up in the mean face's frame."""
    with h5py.File(path, "r") as file:
        names = tuple(str(name) for name in file[HOME].attrs["names"])
        area, centre = (file[f"{HOME}/{kind}"][:].astype(np.float64) for kind in ("area", "centre"))
    mass, chance, peak = (Stored(path, kind, pairs) for kind in ("mass", "chance", "peak"))
    return Measured(names, area, centre, mass, chance, peak, aligned)


def aligned_sums(shards: Sequence[Path], pairs: Sequence[Pair]) -> dict[tuple[str, str, str], Sums]:
    """Return the sums in the mean face's frame of all shards, by (label, layer, method)."""
    found: dict[str, Sums] = {}
    for path in shards:
        with h5py.File(path, "r") as file:
            for label in file.get(f"{HOME}/aligned", ()):
                found[label] = found.get(label, Sums.none(len(pairs))).merge(Sums(file[f"{HOME}/aligned/{label}"][:]))
    return {(label, *pair): sums.of(index) for label, sums in found.items() for index, pair in enumerate(pairs)}
