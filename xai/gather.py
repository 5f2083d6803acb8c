"""Finished shards, read in the order of the data whatever way the images were dealt out to them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xai import miniature, store
from xai.aggregate import outcome
from xai.detector import score
from xai.errors import readable
from xai.rows import Rows, texts

Pair = tuple[str, str]

OPEN = 32  # shards that are open at once
BLOCK = 256  # rows that are read at once


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything the shards know that is one number or word an image.

    Args:
        rows: of the images that were read: index, path, label, logit, score, …, the columns of `images.csv`.
        skipped: path -> reason.
        order: int `(N, 2)`: the shard, and the row in it, of each of `rows`.
        lost: (label, content hash) of the images that were not read.
    """

    rows: Rows
    skipped: dict[str, str]
    order: np.ndarray
    lost: list[tuple[str, str]]


def listing(shards: Sequence[Path], threshold: float, kind: str = "", seen: Mapping[str, str] | None = None, by_path: bool = False) -> Listing:
    """Read the rows of all shards.

    Args:
        shards: their files, in the order of the data.
        threshold: scores from here on are called fake.
        kind: of face parts; "" for none.
        seen: content hash -> the split an image was in in training.
        by_path: order the rows by path instead of as they lie in the shards.
    """
    words: dict[str, list[str]] = {name: [] for name in ("path", "label", "sha256", "parts_missing")}
    indices, numbers, order = [], [], []
    skipped: dict[str, str] = {}
    lost: list[tuple[str, str]] = []
    start, names = 0, []
    for number, path in enumerate(shards):
        with h5py.File(path, "r") as file:
            items = {name: [raw.decode("utf-8", "surrogateescape") for raw in file[f"items/{name}"][:]] for name in ("path", "label", "sha256")}
            places = file["place"][:]
            missing = json.loads(file.attrs["missing"])
            if len(places):
                names = json.loads(file.attrs["columns"])
                numbers.append(file["numbers"][:])
            for place in places.tolist():
                for name, values in items.items():
                    words[name].append(readable(values[place]) if name == "path" else values[place])
                words["parts_missing"].append(missing.get(str(place), ""))
            indices.append(places + start)
            order.append(np.stack([np.full(len(places), number), np.arange(len(places))], 1))
            for key, reason in json.loads(file.attrs["skipped"]).items():
                skipped[readable(items["path"][int(key)])] = reason
                lost.append((items["label"][int(key)], items["sha256"][int(key)]))
            start += len(items["path"])
    table = dict(zip(names, np.concatenate([np.zeros((0, len(names))), *numbers]).T, strict=True))
    logits = table.pop("logit", np.zeros(0))
    scores = score(logits)
    predictions = np.where(scores >= threshold, "fake", "real").tolist()
    splits = [(seen or {}).get(content, "") for content in words["sha256"]]
    columns: dict[str, np.ndarray] = {
        "index": np.concatenate([np.zeros(0, np.int64), *indices]),
        "path": texts(words["path"]),
        "label": texts(words["label"]),
        "split": texts(splits),
        "logit": logits,
        "score": scores,
        "prediction": texts(predictions),
        "outcome": texts([outcome(label, call) for label, call in zip(words["label"], predictions, strict=True)]),
        **{name: table.pop(name).astype(np.int32) for name in ("width", "height") if name in table},
        "sha256": texts(words["sha256"]),
    }
    if kind:
        columns |= {"parts": texts(["" if reason else kind for reason in words["parts_missing"]]), "parts_missing": texts(words["parts_missing"])}
    rows, places = Rows(columns | table), np.concatenate([np.zeros((0, 2), np.int64), *order])
    if by_path:
        turn = np.argsort(rows.column("path").astype(str), kind="stable")
        rows, places = rows.where(turn), places[turn]
        rows.columns["index"] = np.arange(len(rows))
    return Listing(rows, skipped, places, lost)


class Gathered:
    """The shards' arrays in the order of the rows, a block of rows at a time.

    Args:
        shards: their files.
        order: int `(N, 2)`, from `listing`.
    """

    def __init__(self, shards: Sequence[Path], order: np.ndarray) -> None:
        self.shards, self.order = list(shards), order
        self.files: OrderedDict[int, h5py.File] = OrderedDict()

    def __enter__(self) -> Gathered:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self.files.values():
            file.close()
        self.files.clear()

    def __len__(self) -> int:
        return len(self.order)

    def file(self, number: int) -> h5py.File:
        """Return an open shard; the one that was not used for longest is closed where too many are open."""
        if number not in self.files:
            if len(self.files) >= OPEN:
                self.files.popitem(last=False)[1].close()
            self.files[number] = h5py.File(self.shards[number], "r")
        self.files.move_to_end(number)
        return self.files[number]

    def used(self) -> list[int]:
        """Return the shards that have rows."""
        return np.unique(self.order[:, 0]).tolist()

    def shapes(self, name: str) -> set[tuple[int, ...]]:
        """Return the shapes of one row of an array, as shards have them."""
        return {self.file(number)[name].shape[1:] for number in self.used()}

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, Block]]:
        """Yield the number of the first row of each block, and the block."""
        for start in range(0, len(self.order), size):
            yield start, Block(self, self.order[start : start + size])


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows.

    Args:
        home: all of them.
        order: int `(n, 2)`: shard and row in it.
    """

    home: Gathered
    order: np.ndarray

    def parts(self) -> Iterator[tuple[h5py.File, np.ndarray, np.ndarray]]:
        """Yield each shard that has some of the rows, which of its rows, and where they stand in the block."""
        for number in np.unique(self.order[:, 0]).tolist():
            places = np.flatnonzero(self.order[:, 0] == number)
            yield self.home.file(number), self.order[places, 1], places

    def rows(self, name: str) -> np.ndarray:
        """Return these rows of an array that all shards have in one shape."""
        found: np.ndarray | None = None
        for file, own, places in self.parts():
            first = int(own.min())
            values = file[name][first : int(own.max()) + 1][own - first]
            if found is None:
                found = np.empty((len(self.order), *values.shape[1:]), values.dtype)
            found[places] = values
        assert found is not None
        return found

    def small(self, pair: Pair, cells: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return small maps, int16 `(n, *cells)`, and their scales."""
        values = np.empty((len(self.order), *cells), np.int16)
        scales = np.empty(len(self.order), np.float32)
        for file, own, places in self.parts():
            first, last = int(own.min()), int(own.max()) + 1
            maps, scale = (file[f"{kind}/{store.home(*pair)}"][first:last][own - first] for kind in ("small", "scale"))
            values[places], scales[places] = miniature.coarser(maps, scale, (cells[0], cells[1]))
        return values, scales

    def pictures(self) -> list[np.ndarray]:
        """Return encoded pictures, uint8 `(bytes,)` each."""
        found: list[np.ndarray] = [np.zeros(0, np.uint8)] * len(self.order)
        for file, own, places in self.parts():
            ends = file["pictures/end"][:]
            starts = np.r_[0, ends[:-1]]
            data = file["pictures/bytes"]
            low = int(starts[own].min())
            content = data[low : int(ends[own].max())]
            for row, place in zip(own.tolist(), places.tolist(), strict=True):
                found[place] = content[starts[row] - low : ends[row] - low]
        return found
