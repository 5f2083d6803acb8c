"""A run directory as it lies on the disk: read, checked, not yet interpreted."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from xai.errors import RunError

BLOCK = 4096  # rows that are read at once
LONG = 64  # bytes of a cell, beyond which each of a column takes its own room
AGAIN = "run the same 'whyfake audit' command again, it goes on from where it stopped"


class Table(Sequence[dict[str, str]]):
    """The rows of a CSV file, text as written, held by columns: a row of numbers as a dict takes ten times the room.

    Args:
        columns: name -> cells, bytes `(N,)`.

    Example:
        >>> table = Table({"path": np.array([b"a", b"b"]), "score": np.array([b"0.5", b""])})
        >>> len(table), table[0], table.column("score")
        (2, {'path': 'a', 'score': '0.5'}, ['0.5', ''])
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self.columns = dict(columns)
        self.length = len(next(iter(self.columns.values()), ()))

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> dict[str, str]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, str]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, str] | list[dict[str, str]]:
        """Return one row, or some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self.length))]
        return {name: cells[index].decode() for name, cells in self.columns.items()}

    def __iter__(self) -> Iterator[dict[str, str]]:
        for start in range(0, self.length, BLOCK):
            cells = zip(*(values[start : start + BLOCK].tolist() for values in self.columns.values()), strict=True)
            yield from (dict(zip(self.columns, map(bytes.decode, row), strict=True)) for row in cells)

    def column(self, name: str) -> list[str]:
        """Return the cells of one column; empty ones where there is no such column."""
        return [cell.decode() for cell in self.columns[name].tolist()] if name in self.columns else [""] * self.length


@dataclass(frozen=True, slots=True)
class Run:
    """The files of a run directory.

    Args:
        directory: where they lie.
        summary: `summary.json`.
        record: `run.json`.
        images: the rows of `images.csv`, text as written.
        skipped: the rows of `skipped.csv`.
        layers: names of the mapped layers, in the order of the network.
        methods: names of the map methods, in the order they were asked for.
        groups: names of the groups that have maps, in the order they are shown.
        pairs: which (layer, method) there are; a method may not fit every layer.
    """

    directory: Path
    summary: dict[str, Any]
    record: dict[str, Any]
    images: Table
    skipped: list[dict[str, str]]
    layers: tuple[str, ...]
    methods: tuple[str, ...]
    groups: tuple[str, ...]
    pairs: frozenset[tuple[str, str]]

    @property
    def threshold(self) -> float:
        """The score from which an image is called fake."""
        threshold = (self.record["model"] or {}).get("threshold")
        return 0.5 if threshold is None else float(threshold)

    def layers_of(self, method: str) -> list[str]:
        """Return the layers that have a method's maps; of a method of the image itself that is "input"."""
        return [layer for layer in self.layers if (layer, method) in self.pairs]


def read(directory: str | Path) -> Run:
    """Read a run directory.

    Args:
        directory: what `whyfake audit --out` wrote.

    Returns:
        The files' contents; the maps stay on the disk.

    Raises:
        RunError: a needed file is missing, damaged, or lacks what the page needs.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise RunError(f"{directory} is not a folder; expected what 'whyfake audit --out DIR' wrote")
    summary = read_json(directory, "summary.json", ("images", "metrics", "maps"))
    record = read_json(directory, "run.json", ("model", "layers"))
    images = read_table(directory, "images.csv", ("index", "path"), needed=True)
    skipped = read_rows(directory, "skipped.csv", ("path", "reason"), needed=False)
    if not (directory / "maps.h5").is_file():
        raise RunError(f"maps.h5 is missing in {directory}; {AGAIN}")
    try:
        maps = summary["maps"]
        layers = ordered((layer["name"] for layer in record["layers"]), (m["layer"] for m in maps))
        asked = (record.get("options") or {}).get("methods") or ()
        methods = ordered(asked, (entry["method"] for entry in maps))
        shown = ("fake", "real", "TP", "FN", "FP", "TN", "all")
        groups = ordered(shown, (entry["group"] for entry in maps))
        pairs = frozenset((entry["layer"], entry["method"]) for entry in maps)
        for entry in summary.get("regions") or ():
            _ = [entry[key] for key in ("group", "layer", "method", "region")]
    except (KeyError, TypeError) as error:
        raise RunError(f"summary.json or run.json in {directory} has an entry that lacks {error}; {AGAIN}") from error
    if not maps:
        raise RunError(f"summary.json in {directory} lists no maps; {AGAIN}")
    return Run(directory, summary, record, images, skipped, layers, methods, groups, pairs)


def ordered(order: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are present, first in the given order, then as they come.

    Example:
        >>> ordered(["a", "b", "c"], ["d", "c", "a", "c"])
        ('a', 'c', 'd')
    """
    names = dict.fromkeys(present)
    return tuple(dict.fromkeys([*(n for n in order if n in names), *names]))


def read_json(directory: Path, name: str, keys: Iterable[str], again: str = AGAIN) -> dict[str, Any]:
    """Read a JSON object and check that it has the keys; `again` says how to make it anew."""
    try:
        content = json.loads((directory / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{name} is missing in {directory}; {again}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{name} in {directory} cannot be read ({error}); {again}") from error
    if not isinstance(content, dict):
        raise RunError(f"{name} in {directory} holds no JSON object; {again}")
    if missing := [key for key in keys if key not in content]:
        raise RunError(f"{name} in {directory} lacks '{missing[0]}'; {again}")
    return content


def read_rows(directory: Path, name: str, columns: Iterable[str], needed: bool) -> list[dict[str, str]]:
    """Read all rows of a short CSV file; arguments and errors as in `read_table`."""
    return list(read_table(directory, name, columns, needed))


def read_table(directory: Path, name: str, columns: Iterable[str], needed: bool) -> Table:
    """Read a CSV file and check that it has the columns."""
    path = directory / name
    if not path.is_file():
        if needed:
            raise RunError(f"{name} is missing in {directory}; {AGAIN}")
        return Table({})
    try:
        # A path of the data set may hold bytes that are no UTF-8.
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            blocks: dict[str, list[np.ndarray]] = {column: [] for column in header}
            while rows := list(islice(reader, BLOCK)):
                rows = [row + [""] * (len(header) - len(row)) for row in rows if row]  # a short row has empty cells at its end
                for place, column in enumerate(header):
                    cells = [row[place].encode() for row in rows]
                    blocks[column].append(np.array(cells, np.bytes_ if max(map(len, cells), default=0) <= LONG else object))
    except (OSError, csv.Error) as error:
        raise RunError(f"{name} in {directory} cannot be read ({error}); {AGAIN}") from error
    if missing := [column for column in columns if column not in header]:
        raise RunError(f"{name} in {directory} has no column '{missing[0]}'; {AGAIN}")
    return Table({column: np.concatenate([np.zeros(0, "S1"), *parts]) for column, parts in blocks.items()})
