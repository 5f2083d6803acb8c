"""Data sets that CSV files list: the rows lead to files, and agree among themselves and with the folders."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from train.layouts import left_alone
from train.manifest import CLASSES, Row
from train.tables import PATHS, Table, is_list, labels_of, read_table, splits_of
from train.trees import Folder
from train.words import meaning, plain, split_of
from xai.errors import DataError, listed, readable
from xai.images import SUFFIXES

ENDINGS = (".jpg", ".png", ".jpeg", ".webp")  # tried where a CSV gives bare names
SAMPLE = 200  # rows that choose among several path columns

Listing = tuple[Folder, list[Row], str]  # what the paths start from, the rows, a sentence


class Contradiction(DataError):
    """A CSV that says something else than itself or its folders; never passed over."""


def find_lists(folder: Folder) -> tuple[list[Table], Folder]:
    """Return the CSV files that list labelled images, and their folder: this one, or one that is alone in it.

    Several are one data set where all are called by splits (train.csv, test.csv).

    Raises:
        DataError: several that are not, or none that can be read.
    """
    found: list[Table] = []
    broken: DataError | None = None
    for file in folder.tables():
        try:
            table = read_table(file)
        except DataError as error:
            broken = error
            continue
        if is_list(table):
            found.append(table)
    splits = [split_of(table.stem) for table in found]
    if len(found) > 1 and ("" in splits or len(set(splits)) < len(splits)):
        raise DataError(f"'{folder}' has several CSV files that list images ({listed((t.name for t in found), 6)}); give one of them")
    inner = list(folder.folders().values())
    if broken and not found:
        raise broken
    return find_lists(inner[0]) if not found and len(inner) == 1 else (found, folder)


def listing(tables: Sequence[Table], folder: Folder, positive: str | None, labelled: bool) -> Listing:
    """Read one data set from CSV files.

    A path may start at the folder, anywhere below it, or at the folder above. Files that are
    missing stay in the list (they count as unreadable) unless most are missing. Where one
    file is given by itself, its name says no split.

    Args:
        tables: one, or one per split.
        folder: where they lie.
        positive: what a label 1 stands for, where labels are only 0 and 1.
        labelled: labels are needed.

    Returns:
        The folder that the rows' paths start from, the rows, and a sentence.

    Raises:
        Contradiction: a file listed twice with different labels, or a label against its folder's name.
        DataError: labels or splits that are not understood, a path outside the folder, most files missing.
    """
    rows: list[Row] = []
    columns: dict[str, None] = {}
    missing = 0
    files = Files(folder)
    for table in tables:
        column, paths, gone = files.resolved(table)
        source, labels = labels_of(table, positive, labelled)
        part, splits = splits_of(table, split_of(table.stem) if len(tables) > 1 else "")
        rows += [Row(path, label, split) for path, label, split in zip(paths, labels, splits, strict=True)]
        missing += gone
        columns |= dict.fromkeys([f"paths from '{column}'", f"classes from {source}", *([f"splits from {part}"] if part else [])])
    alone = left_alone((path for found in files.by_name.values() for path in found), rows)
    root = folder
    if any(row.path.startswith("../") for row in rows):
        root, name = folder.above(), folder.own
        rows = [replace(row, path=row.path[3:] if row.path.startswith("../") else f"{name}/{row.path}") for row in rows]
    rows = once(rows, folder)
    against(rows, str(tables[0].file))
    if labelled and {row.label for row in rows} != set(CLASSES):
        raise DataError(f"'{tables[0].file}' lists only {rows[0].label} images; a detector needs both classes")
    lost = f"; {missing} of {len(rows)} files are missing" if missing else ""
    return root, rows, f"CSV {listed((table.name for table in tables), 4)}: {', '.join(columns)}{lost}{alone}"


def agreed(found: Listing, root: Folder, rows: Sequence[Row], said: str) -> Listing:
    """Choose between a CSV and the class folders beside it: the CSV, if it lists every image of these.

    Args:
        found: what the CSV lists.
        root: the data set.
        rows: what the class folders hold, relative to `root`.
        said: the sentence about the folders.

    Raises:
        Contradiction: they put an image into different classes or splits.
    """
    base, theirs, text = found
    above, below = base.whole, root.whole
    places = {f"{above}/{row.path}": index for index, row in enumerate(theirs)}
    merged = list(theirs)
    unlisted = 0
    for row in rows:
        index = places.get(f"{below}/{row.path}")
        if index is None:
            unlisted += 1
            continue
        other = theirs[index]
        for what, one, two in (("class", row.label, other.label), ("split", row.split, other.split)):
            if one and two and one != two:
                raise Contradiction(
                    f"'{readable(row.path)}' is of {what} {one} by its folder and {two} by the CSV in '{base}'; "
                    "correct one of the two or move the CSV away"
                )
        merged[index] = replace(other, split=other.split or row.split)
    if unlisted:
        return root, list(rows), f"{said}; {text.partition(':')[0]} is left alone, as {unlisted} of these {len(rows)} images are not in it"
    return base, merged, f"{text}; the class folders agree"


class Files:
    """The image files below a folder, found by the ends of their paths."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.by_name: dict[str, list[str]] = {}
        for _, path in folder.images():
            self.by_name.setdefault(posixpath.basename(path), []).append(path)

    def resolved(self, table: Table) -> tuple[str, list[str], int]:
        """Return the path column that leads to files, its paths relative to the folder, and how many files are missing."""
        names = [name for name in PATHS if name in table.columns]
        if not names:
            raise DataError(f"'{table.file}' has no column for paths; expected one called path, filename, image, …; found: {listed(table.columns)}")
        step = max(1, table.size // SAMPLE)

        def hits(name: str) -> int:
            return sum(bool(self.fits(value)) for value in table.columns[name][::step])

        column = max(names, key=hits)  # the first of the best
        paths, gone = [], []
        for line, value in enumerate(table.columns[column], table.start):
            inside = self.inside(value)
            if not inside:
                what = f"names '{readable(value[:80])}', outside its folder" if value else f"has no value for '{column}'"
                raise DataError(f"'{table.file}', line {line}, {what}; paths must lead to files below the CSV's folder")
            fits = self.fits(value)
            if len(fits) > 1:
                raise DataError(f"'{table.file}', line {line}: '{readable(value)}' fits {listed(fits, 3)}; give paths from the CSV's folder")
            if not fits:
                gone.append(inside)
            paths.append(fits[0] if fits else inside)
        if len(gone) * 2 > table.size:
            raise DataError(
                f"{len(gone)} of the {table.size} files that '{table.file}' lists are missing, '{readable(gone[0][:80])}' the first; "
                "give the CSV that lies beside or above its images"
            )
        return column, paths, len(gone)

    def inside(self, value: str) -> str:
        """Return a path relative to the folder, "" if it leads elsewhere."""
        path = posixpath.normpath(value.replace("\\", "/")) if value else ""
        if path.startswith("/") or "://" in value:
            path = value if "://" in value else path
            home = next((home for home in self.folder.homes() if path.startswith(f"{home}/")), None)
            path = posixpath.normpath(path[len(home) + 1 :]) if home else "/"
        return "" if re.match(r"/|[A-Za-z]:|\.\.?(/|$)", path) else path

    def fits(self, value: str) -> list[str]:
        """Return the files that a value may name, relative to the folder: one if there is one at that very place."""
        path = self.inside(value)
        if not path or "\0" in path:
            return []
        bare = posixpath.splitext(path)[1].lower() not in SUFFIXES
        for name in (path, *(path + ending for ending in ENDINGS if bare)):
            found = [other for other in self.by_name.get(posixpath.basename(name), ()) if other == name or other.endswith(f"/{name}")]
            if name in found:
                return [name]
            if found:
                return found
            if self.folder.has(name):
                return [name]
            top, _, rest = name.partition("/")
            if rest and top == self.folder.own and rest in self.by_name.get(posixpath.basename(rest), ()):
                return [rest]
            if self.folder.beside(name):
                return [rest] if rest and top == self.folder.own else [f"../{name}"]
        return []


def once(rows: list[Row], folder: Folder) -> list[Row]:
    """Return the rows without repeats.

    Raises:
        Contradiction: one path with two labels or splits.
    """
    known: dict[str, Row] = {}
    for row in rows:
        first = known.setdefault(row.path, row)
        if first != row:
            what = f"{first.label} and {row.label}" if first.label != row.label else f"{first.split or 'no'} and {row.split or 'no'} split"
            raise Contradiction(f"the CSV in '{folder}' lists '{readable(row.path)}' twice, as {what}; remove the wrong line")
    return list(known.values())


def against(rows: Iterable[Row], file: str) -> None:
    """Raise where labels contradict folders that are called real or fake outright."""
    wrong: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for row in rows:
        folder = next((name for name in reversed(row.path.split("/")[:-1]) if meaning(name)), "")
        if meaning(folder) in CLASSES and plain(folder) and row.label not in ("", meaning(folder)):
            wrong[folder, row.label] += 1
            example.setdefault((folder, row.label), row.path)
    if wrong:
        (folder, label), count = wrong.most_common(1)[0]
        raise Contradiction(
            f"'{file}' labels {count} images in '{folder}/' as {label}, '{readable(example[folder, label])}' the first; "
            "correct the labels, the folders or --positive"
        )
