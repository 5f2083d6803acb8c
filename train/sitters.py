"""Who sits for the pictures of a self-test: persons drawn for it, or the people on the user's own real photos."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from train import portraits
from train.plants import PAINTED, Plant, paint
from train.shortcuts import cornered
from xai.crop import Box
from xai.errors import DataError, ImageError
from xai.images import read
from xai.places import File, Place, weight
from xai.preprocess import Preprocessing
from xai.regions.source import Source

ROOM = 2**28  # bytes of drawn portraits that are kept for the next data set
kept: dict[tuple[int, int, tuple[str, ...]], portraits.Portrait] = {}
LEAST = 1 / 4096  # share of the picture, below which a region is as good as absent
SPARE = 16  # portraits more than asked for, should a region be hidden in some


@dataclass(frozen=True, slots=True)
class Sitter:
    """Hold a real picture at its final size and the truth about it.

    Attributes:
        number: its own random numbers begin with it.
        image: uint8 RGB (S, S, 3).
        labels: uint8 (S, S), indices into the names of the parts, corners too; 255 for none.
        inside: bool (S, S), the plant's region.
    """

    number: int
    image: np.ndarray
    labels: np.ndarray
    inside: np.ndarray


class Sitters(Protocol):
    """Real pictures, one a person, in an order that the seed decides."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parts, the corners' among them."""

    def __len__(self) -> int:
        """Return how many there are."""

    def origin(self, index: int) -> str:
        """Return where one comes from: the path of a photo, the seed of a portrait."""

    def sit(self, index: int) -> Sitter | str:
        """Return one of them, or the reason why it cannot be used."""

    def tampered(self, sitter: Sitter) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture with the plant, uint8 (S, S, 3), and where it was altered, bool (S, S)."""

    def record(self) -> dict[str, Any]:
        """Return what decides them, for the data set's record; no absolute paths."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Drawn portraits; each person has whatever the plant needs to be seen.

    Args:
        plant: what the fakes carry.
        size: side of the pictures, pixels.
        seeds: one a person.
    """

    plant: Plant
    size: int
    seeds: tuple[int, ...]
    names: tuple[str, ...] = field(init=False)
    members: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = cornered(np.zeros((self.size, self.size), np.uint8), portraits.REGIONS)[1]
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "members", self.plant.members(names))

    @classmethod
    def of(cls, plant: Plant, count: int, size: int, seed: int) -> Drawn:
        """Return more persons than `count`, so that one whose region is hidden can be replaced."""
        seeds = np.random.SeedSequence(seed).generate_state(count + SPARE, np.uint64)
        return cls(plant, size, tuple(map(int, seeds)))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seeds)

    def origin(self, index: int) -> str:
        """Return the seed that draws one."""
        return str(self.seeds[index])

    def sit(self, index: int) -> Sitter | str:
        """Draw one; arguments and results as in `Sitters`."""
        drawn = portrayed(self.seeds[index], self.size, self.plant.needs)
        return seated(self, self.seeds[index], drawn.image, drawn.labels, portraits.REGIONS)

    def tampered(self, sitter: Sitter) -> tuple[np.ndarray, np.ndarray]:
        """Paint the plant, or draw the person again with it."""
        if self.plant.kind in PAINTED:
            return paint(self.plant, sitter.image, sitter.inside, np.random.default_rng([sitter.number, 2]))
        artefact = portraits.Artefact(self.plant.kind, self.plant.region, self.plant.strength)
        drawn = portraits.draw(sitter.number, self.size, artefact)
        return drawn.image, drawn.artefact

    def record(self) -> dict[str, Any]:
        """Return the version of the renderer."""
        return {"made of": "portraits", "renderer": portraits.VERSION}


def portrayed(seed: int, size: int, needs: tuple[str, ...]) -> portraits.Portrait:
    """Return a portrait; the first quarter of a gigabyte of them is kept, since every plant of a self-test shows the same persons."""
    key = seed, size, needs
    if key in kept:
        return kept[key]
    drawn = portraits.draw(seed, size, needs=needs)
    for values in (drawn.image, drawn.labels, drawn.artefact):
        values.setflags(write=False)
    if (len(kept) + 1) * 5 * size * size <= ROOM:
        kept[key] = drawn
    return drawn


@dataclass(frozen=True, slots=True)
class Photos:
    """Real photos of faces, each cut to its middle square and resized as a detector's input is.

    A photo on which the plant's region cannot be seen is used for neither class, or having the
    region would tell them apart.

    Args:
        plant: what the fakes carry; of a kind that is painted.
        size: side of the pictures, pixels.
        root: folder that the paths are relative to, for the source of the parts too.
        paths: relative, in the order of use.
        files: where they are, in the same order.
        source: says which pixels are which part.
        seed: decided the order; the pictures' own random numbers follow it too.
    """

    plant: Plant
    size: int
    root: Path
    paths: tuple[str, ...]
    files: tuple[File, ...]
    source: Source
    seed: int
    names: tuple[str, ...] = field(init=False)
    members: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = cornered(np.zeros((self.size, self.size), np.uint8), self.source.names)[1]
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "members", self.plant.members(names))

    @classmethod
    def of(cls, plant: Plant, size: int, seed: int, photos: Sequence[File], source: Source, root: Path | None = None) -> Photos:
        """Return the photos in random order, each once.

        Raises:
            DataError: the plant cannot be painted or has no region there, or a photo lies outside `root`.
        """
        if plant.kind not in PAINTED:
            raise DataError(f"'{plant.kind}' is drawn, not painted: photos cannot carry it; expected {', '.join(PAINTED)}, or leave out the photos")
        files: dict[Path, File] = {}
        for photo in photos:
            place = Path(os.path.abspath(str(photo)))  # one in an archive stands as if below it
            files[place] = photo if isinstance(photo, Place) else place
        places = sorted(files)
        root = Path(os.path.abspath(root)) if root else Path(os.path.commonpath([place.parent for place in places]))
        outside = next((place for place in places if not place.is_relative_to(root)), None)
        if outside:
            raise DataError(f"photo '{outside}' does not lie in '{root}'; give the folder that holds all photos")
        order = np.random.default_rng([seed, 0]).permutation(len(places))
        chosen = [places[index] for index in order]
        paths = tuple(place.relative_to(root).as_posix() for place in chosen)
        return cls(plant, size, root, paths, tuple(files[place] for place in chosen), source, seed)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.paths)

    def origin(self, index: int) -> str:
        """Return the path of one."""
        return self.paths[index]

    def sit(self, index: int) -> Sitter | str:
        """Read one; arguments and results as in `Sitters`."""
        try:
            image = read(self.files[index])
            height, width = image.shape[:2]
            side = min(height, width)
            box = Box((height - side) // 2, (width - side) // 2, side, (height, width))
            view = Preprocessing(self.size, self.size).fit(box.cut(image))
            parts = self.source.parts(self.paths[index], view, box).resized((self.size, self.size))
        except ImageError as error:
            return str(error)
        return seated(self, index, view, parts.labels, parts.names)

    def tampered(self, sitter: Sitter) -> tuple[np.ndarray, np.ndarray]:
        """Paint the plant after the resizing, which would blur its trace."""
        return paint(self.plant, sitter.image, sitter.inside, np.random.default_rng([self.seed, sitter.number, 2]))

    def record(self) -> dict[str, Any]:
        """Return a digest of the photos' paths and sizes in bytes, and who said the parts."""
        digest = hashlib.sha256()
        for path, file in sorted(zip(self.paths, self.files, strict=True), key=lambda pair: pair[0]):
            digest.update(f"{path}\0{weight(file)}\n".encode(errors="surrogateescape"))
        return {"made of": "photos", "given": len(self.paths), "digest": digest.hexdigest(), "parts": self.source.record()}


def seated(sitters: Drawn | Photos, number: int, image: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Sitter | str:
    """Return a sitter with the corners cut out of the labels, or the reason where the plant's region cannot be seen."""
    labels, names = cornered(labels, names)
    if sitters.plant.whole:
        return Sitter(number, image, labels, np.ones(labels.shape, bool))
    inside = np.isin(labels, [names.index(member) for member in sitters.members])
    if inside.mean() < LEAST:
        return f"no {sitters.plant.region} to be seen"
    return Sitter(number, image, labels, inside)
