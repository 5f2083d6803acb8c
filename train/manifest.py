"""What a data set is once it is read: rows of path, label, split and content hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from xai.places import File, Place
from xai.provenance import manifest_digest
from xai.store import write_table

CLASSES = ("real", "fake")  # index = the number a network learns
LEFT_OUT = "left out"  # the split of a copy that would stand on both sides: neither learnt nor measured


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a data set.

    Args:
        path: relative to the data set's folder, as shown; no two rows have the same.
        label: "real", "fake" or "" (unlabelled).
        split: "train", "valid", "test", "left out" (a copy of an image on another side) or "" (not split yet).
        sha256: of the file's bytes, "" until hashed.
        place: where the image is, if it is no file in the data set's folder.
    """

    path: str
    label: str = ""
    split: str = ""
    sha256: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A data set: its folder and its rows, sorted by path.

    Args:
        root: what the rows' paths start from: a folder, or the name of an archive or URL.
        rows: the images.
        layout: one sentence that names what was recognised.
        crossing: groups of copies that the layout puts into more than one split; counted by `datasets.split`.
    """

    root: Path
    rows: tuple[Row, ...]
    layout: str = ""
    crossing: int = 0

    @property
    def name(self) -> str:
        """The data set's own name, without the folders above it."""
        return self.root.resolve().name

    def file(self, row: Row) -> File:
        """Return where a row's image is: a path, or a place in an archive or behind a URL.

        Example:
            >>> Manifest(Path("faces"), ()).file(Row("real/1.png")).as_posix()
            'faces/real/1.png'
        """
        return row.place or self.root / row.path

    def files(self) -> list[File]:
        """Return where all images are, in the order of the rows."""
        return [self.file(row) for row in self.rows]

    def counts(self, of: str = "label") -> dict[str, int]:
        """Count rows per label (or per "split"); keys without rows are left out."""
        return dict(sorted(Counter(getattr(row, of) for row in self.rows).items(), reverse=True))

    def select(self, split: str) -> Manifest:
        """Return the rows of one split."""
        return replace(self, rows=tuple(row for row in self.rows if row.split == split))

    def digest(self) -> str:
        """Return a SHA-256 over labels and content hashes; the same data gives the same digest anywhere."""
        return manifest_digest((row.label, row.sha256) for row in self.rows)

    def write(self, path: str | Path) -> Path:
        """Write `path,label,split,sha256` as CSV.

        What was left out stands first: of rows with one content the last says where that was.
        """
        rows = sorted(self.rows, key=lambda row: row.split != LEFT_OUT)
        return write_table(path, ("path", "label", "split", "sha256"), ((r.path, r.label, r.split, r.sha256) for r in rows))


def key(row: Row) -> str:
    """Return what makes a row's image itself: its content, or its path where that is unknown."""
    return row.sha256 or row.path


def joined(count: int, pairs: Iterable[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return the groups of two or more that pairs link, also over several steps.

    Args:
        count: how many things there are, numbered from 0.
        pairs: two numbers each, in any order.

    Returns:
        Sorted groups of sorted numbers.

    Example:
        >>> joined(6, [(4, 1), (1, 0), (5, 3)])
        [(0, 1, 4), (3, 5)]
    """
    links = np.array([(a, b) for a, b in pairs], np.int64).reshape(-1, 2)
    if not len(links):
        return []
    graph = coo_matrix((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (count, count))
    number = connected_components(graph, directed=False)[1]
    groups: dict[int, list[int]] = {}
    for index in np.flatnonzero(np.bincount(number)[number] > 1).tolist():
        groups.setdefault(int(number[index]), []).append(index)
    return sorted(tuple(group) for group in groups.values())
