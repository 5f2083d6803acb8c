"""Folders of images become a manifest: path, label, split, content hash."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xai.errors import DataError
from xai.images import find, walk
from xai.modelfile import sha256
from xai.provenance import manifest_digest
from xai.store import write_table

CLASSES = ("real", "fake")  # index = the number a network learns
SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a data set.

    Args:
        path: relative to the data set's folder.
        label: "real", "fake" or "" (unlabelled).
        split: "train", "valid", "test" or "" (not split yet).
        sha256: of the file's bytes, "" until hashed.
    """

    path: str
    label: str = ""
    split: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A data set: its folder and its rows, sorted by path."""

    root: Path
    rows: tuple[Row, ...]

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
        """Write `path,label,split,sha256` as CSV."""
        return write_table(path, ("path", "label", "split", "sha256"), ((r.path, r.label, r.split, r.sha256) for r in self.rows))


def scan(folder: str | Path, *, labelled: bool = True) -> Manifest:
    """Read a data set's layout.

    Either `real/` and `fake/`, or `train/`, `valid/`, `test/` folders that hold those;
    names in any case, images at any depth below. Other folders beside them are left alone.

    Args:
        folder: the data set.
        labelled: a folder without classes is an error; otherwise its images come unlabelled.

    Returns:
        The manifest, not hashed.

    Raises:
        DataError: missing, empty, one class only, or a class folder without images.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is a file; give its folder" if root.exists() else "does not exist"
        raise DataError(f"data set '{root}' {what}; expected a folder with real/ and fake/ in it")
    names = folders(root)
    splits: dict[str, Path] = {}
    for name, entry in names.items():
        if name in SPLITS and set(CLASSES) & set(folders(entry)):
            if SPLITS[name] in splits:
                raise DataError(f"'{root}' has both '{splits[SPLITS[name]].name}/' and '{entry.name}/'; keep one of them")
            splits[SPLITS[name]] = entry
    rows: list[Row] = []
    if splits and set(CLASSES) & set(names):
        raise DataError(f"'{root}' has classes both directly in it and in '{next(iter(splits.values())).name}/'; give one of the two")
    if splits:
        for split, entry in splits.items():
            rows += class_rows(root, entry, split)
    elif set(CLASSES) & set(names):
        rows = class_rows(root, root, "")
    elif labelled:
        seen = ", ".join(sorted(entry.name for entry in names.values())[:8]) or "no folders"
        raise DataError(f"'{root}' holds no classes: expected folders real/ and fake/ (or train/, valid/, test/ with those); found: {seen}")
    else:
        rows = [Row(path.relative_to(root).as_posix()) for path in find([root])]
    return Manifest(root, tuple(sorted(rows, key=lambda row: row.path)))


def folders(place: Path) -> dict[str, Path]:
    """Return the folders in a folder by their names in lower case.

    Raises:
        DataError: two names differ only in case, so that one would be lost.
    """
    found: dict[str, Path] = {}
    for entry in sorted(place.iterdir()):
        if entry.is_dir():
            if entry.name.lower() in found and entry.name.lower() in (*CLASSES, *SPLITS):
                raise DataError(f"'{place}' has both '{found[entry.name.lower()].name}/' and '{entry.name}/'; keep one of them")
            found[entry.name.lower()] = entry
    return found


def class_rows(root: Path, folder: Path, split: str) -> list[Row]:
    """Return the rows below `folder/real` and `folder/fake`."""
    names = folders(folder)
    rows: list[Row] = []
    for label in CLASSES:
        other = CLASSES[1 - CLASSES.index(label)]
        if label not in names:
            raise DataError(
                f"'{folder}' has '{other}/' but no '{label}/'; a detector needs both classes "
                f"(to map unlabelled images, give the folder '{folder / other}' itself)"
                if other in names
                else f"'{folder}' has no real/ and fake/ folders"
            )
        paths = walk(names[label])
        if not paths:
            raise DataError(f"'{names[label]}' holds no images; expected files ending in .png, .jpg, .webp, …")
        rows += [Row(path.relative_to(root).as_posix(), label, split) for path in paths]
    return rows


def hashed(manifest: Manifest) -> Manifest:
    """Return the manifest with the SHA-256 of every file; a file that cannot be opened keeps ''."""

    def content(row: Row) -> Row:
        try:
            return replace(row, sha256=sha256(manifest.root / row.path))
        except OSError:
            return row

    with ThreadPoolExecutor(4) as pool:
        return replace(manifest, rows=tuple(pool.map(content, manifest.rows)))


def split(manifest: Manifest, *, seed: int, test: float = 0.15, valid: float = 0.2) -> Manifest:
    """Put every row into train, valid or test: seeded and stratified.

    Files with the same content count as one and stay on one side. A split that the
    layout gives is kept as it is, copies across it too; where it has no valid/, that
    share is taken from train/.

    Args:
        manifest: hashed.
        seed: of the shuffle.
        test: share of each class that is set aside first, in [0, 1).
        valid: share of what is left, for early stopping, in (0, 1).

    Returns:
        The manifest with a split on every row.

    Raises:
        DataError: a class is too small to be split.
    """
    given = any(row.split for row in manifest.rows)
    has_valid = any(row.split == "valid" for row in manifest.rows)
    if given and has_valid:
        return manifest
    chosen: dict[str, str] = {}
    for label in CLASSES:
        keys = sorted({key(row) for row in manifest.rows if row.label == label and row.split in ("", "train")})
        order = np.random.default_rng([seed, CLASSES.index(label)]).permutation(len(keys))
        tests = 0 if given else round(len(keys) * test)
        valids = max(1, round((len(keys) - tests) * valid))
        if len(keys) - tests - valids < 1:
            raise DataError(f"only {len(keys)} different '{label}' images; at least 3 are needed to train and validate")
        for place, index in enumerate(order):
            part = "test" if place < tests else "valid" if place < tests + valids else "train"
            chosen.setdefault(keys[index], part)  # a file that stands in both classes goes one way
    return replace(
        manifest,
        rows=tuple(replace(row, split=chosen[key(row)] if row.split in ("", "train") else row.split) for row in manifest.rows),
    )


def key(row: Row) -> str:
    """Return what makes a row's image itself: its content, or its path where that is unknown."""
    return row.sha256 or row.path


def limited(manifest: Manifest, limit: int | None, seed: int) -> Manifest:
    """Return at most `limit` rows, every class and split in its share, chosen by the seed."""
    if limit is None or limit >= len(manifest.rows):
        return manifest
    strata: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(manifest.rows):
        strata.setdefault((row.label, row.split), []).append(index)
    keep: set[int] = set()
    for name, count in shares({name: len(rows) for name, rows in strata.items()}, limit).items():
        number = sorted(strata).index(name)
        keep |= set(np.random.default_rng([seed, number]).permutation(strata[name])[:count].tolist())
    return replace(manifest, rows=tuple(row for index, row in enumerate(manifest.rows) if index in keep))


def shares(sizes: dict[tuple[str, str], int], limit: int) -> dict[tuple[str, str], int]:
    """Divide `limit` over strata in proportion, the largest remainders rounded up.

    Example:
        >>> shares({("real", ""): 60, ("fake", ""): 24}, 20)
        {('real', ''): 14, ('fake', ''): 6}
    """
    total = sum(sizes.values())
    exact = {name: size * limit / total for name, size in sizes.items()}
    counts = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: (counts[name] - exact[name], name))[: limit - sum(counts.values())]:
        counts[name] += 1
    return counts
