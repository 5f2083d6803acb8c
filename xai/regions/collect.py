"""What a shard of images measures about parts, one image after another, and how shards are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from xai import store
from xai.maps.placement import Placement
from xai.regions.attention import Ground, Pair, attend
from xai.regions.frame import Frame, Sums

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
        image: the network's input size.
    """

    def __init__(self, names: tuple[str, ...], pairs: Sequence[Pair], placements: Mapping[str, Placement], image: tuple[int, int]) -> None:
        self.names, self.pairs, self.placements, self.image = names, pairs, placements, image
        self.grounds: list[np.ndarray] = []
        self.found: dict[Pair, list[np.ndarray]] = {pair: [] for pair in pairs}
        self.aligned: dict[tuple[str, str, str], Sums] = {}

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
        for (layer, method), values in maps.items():
            if (values > 0).any():
                key = (label, layer, method)
                shown, seen = frame.bring(values, self.placements[layer])
                self.aligned[key] = self.aligned.get(key, Sums.none()).plus(shown, seen)

    def write(self, file: h5py.File) -> None:
        """Write what was measured into a shard."""
        count = 2 * len(self.names)
        home = file.create_group(HOME)
        home["ground"] = np.array(self.grounds, np.float64).reshape(-1, count)
        for pair, values in self.found.items():
            home[f"maps/{store.home(*pair)}"] = np.array(values, np.float64).reshape(-1, count + 1)
        for (label, layer, method), sums in self.aligned.items():
            home[f"aligned/{label}/{store.home(layer, method)}"] = sums.packed()


def joined(files: Sequence[h5py.File], names: tuple[str, ...], pairs: Sequence[Pair]) -> Measured:
    """Return what shards measured, as one."""
    count = len(names)
    ground = np.concatenate([file[f"{HOME}/ground"][:] for file in files])
    found = {pair: np.concatenate([file[f"{HOME}/maps/{store.home(*pair)}"][:] for file in files]) for pair in pairs}
    aligned: dict[tuple[str, str, str], Sums] = {}
    for file in files:
        for label in ("real", "fake"):
            for pair in pairs:
                place = file.get(f"{HOME}/aligned/{label}/{store.home(*pair)}")
                if place is not None:
                    aligned[label, *pair] = aligned.get((label, *pair), Sums.none()).merge(Sums.unpacked(place[:]))
    return Measured(
        names,
        ground[:, :count],
        ground[:, count:],
        {pair: values[:, :count] for pair, values in found.items()},
        {pair: values[:, count:-1] for pair, values in found.items()},
        {pair: values[:, -1].astype(int) for pair, values in found.items()},
        aligned,
    )
