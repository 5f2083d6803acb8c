"""CSV files as columns: which says the path, which the label, which the split."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from train.layouts import NoClasses
from train.manifest import CLASSES
from train.words import SPLITS, meaning
from xai.errors import DataError, ImageError, listed, readable
from xai.places import File, Place

PATHS = "path filepath imagepath imgpath filename file imagefile imagename image img name originalpath id".split()
LABELS = "labelstr labelname label labels classname class category target targets groundtruth truth y cls".split()
FLAGS = {"isfake": "fake", "fake": "fake", "isai": "fake", "aigenerated": "fake", "isgenerated": "fake", "isreal": "real", "real": "real"}
PARTS = "split set subset partition phase".split()
NUMBERS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
MAX_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file, or what stands beside the images of an archive.

    Args:
        file: where it is.
        columns: values by column name, the names in lower case without spaces, "-" and "_".
        size: rows.
        start: the file's line of the first row.
        names: of the rows, where they are no lines.
    """

    file: File | str
    columns: dict[str, list[str]]
    size: int
    start: int = 2
    names: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(str(self.file)).name

    @property
    def stem(self) -> str:
        """The file's own name without its ending."""
        return PurePosixPath(str(self.file)).stem

    def at(self, row: int) -> str:
        """Return where a row stands, in words."""
        return f"'{self.file}', {readable(self.names[row]) if self.names else f'line {self.start + row}'}"


def read_table(file: File) -> Table:
    """Read a CSV file with a header; commas, semicolons and tabs part its cells.

    Raises:
        DataError: it is huge, binary, no UTF-8, without rows, or broken.
    """
    try:
        if (file.size if isinstance(file, Place) else file.stat().st_size) > MAX_BYTES:
            raise DataError(f"'{file}' is larger than {MAX_BYTES // 2**20} MB; a list of images is expected")
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}") from None
    except ImageError as error:  # behind a URL
        raise DataError(str(error)) from None
    except UnicodeDecodeError:
        raise DataError(f"'{file}' is no text in UTF-8; save it as CSV (UTF-8)") from None
    if "\0" in text:
        raise DataError(f"'{file}' is binary, no CSV; expected lines of path,label")
    head = text.split("\n", 1)[0]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count)))
    except csv.Error as error:
        raise DataError(f"'{file}' is no readable CSV: {error}") from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise DataError(f"'{file}' lists no images; expected a header with path and label, and a row per image")
    columns: dict[str, list[str]] = {}
    for number, name in enumerate(rows[0]):
        columns.setdefault(squeezed(name), [row[number].strip() if number < len(row) else "" for row in rows[1:]])
    return Table(file, columns, len(rows) - 1)


def squeezed(name: str) -> str:
    """Return a column's name without case and separators.

    Example:
        >>> squeezed("Image_Path ")
        'imagepath'
    """
    return re.sub(r"[-_\s]", "", name).lower()


def is_list(table: Table) -> bool:
    """Whether a CSV seems to list labelled images."""
    return bool(set(table.columns) & set(PATHS)) and bool(set(table.columns) & {*LABELS, *FLAGS})


def labels_of(table: Table, positive: str | None, labelled: bool) -> tuple[str, list[str]]:
    """Return what the labels are taken from, and a label per row.

    Words are preferred to numbers, and columns that say what they mean ("is_fake") to those that do not.

    Raises:
        NoClasses: only 0 and 1, and `positive` is None.
        DataError: words that are not understood, columns that differ, or no labels where they are needed.
    """
    found: list[tuple[str, list[str]]] = []
    strange: list[str] = []
    numbers: list[str] = []
    for name in (name for name in LABELS if name in table.columns):
        values = table.columns[name]
        kinds = {value: meaning(value) for value in set(values)}
        if set(kinds.values()) <= set(CLASSES):
            found.append((f"'{name}'", [kinds[value] for value in values]))
        elif {value.lower() for value in kinds} <= set(NUMBERS):
            numbers.append(name)
        else:
            strange.append(f"'{name}' holds {listed(sorted(repr(readable(v[:30])) for v in kinds if kinds[v] not in CLASSES), 6)}")
    for name in (name for name in FLAGS if name in table.columns):
        if {value.lower() for value in table.columns[name]} <= set(NUMBERS):
            found.append((f"'{name}'", coded(table.columns[name], FLAGS[name])))
    for name, labels in found[1:]:
        if labels != found[0][1]:
            row = next(i for i, pair in enumerate(zip(labels, found[0][1], strict=True)) if pair[0] != pair[1])
            raise DataError(f"{table.at(row)}: the columns {found[0][0]} and {name} say different classes; remove the wrong one")
    if found:
        return found[0]
    if numbers and positive:
        return f"'{numbers[0]}', 1 = {positive}", coded(table.columns[numbers[0]], positive)
    if numbers and labelled:
        raise NoClasses(f"'{table.file}' has only 0 and 1 as labels ('{numbers[0]}'); say what 1 stands for: --positive fake or --positive real")
    if strange:
        raise DataError(f"'{table.file}' has labels that are not understood: {strange[0]}; expected real and fake, or 0 and 1 with --positive")
    if labelled:
        seen = listed(table.columns)
        raise DataError(f"'{table.file}' has no column for labels; expected one called label, class, target, is_fake, …; found: {seen}")
    return "no column" + (" (0 and 1 without --positive)" if numbers else ""), [""] * table.size


def coded(values: Iterable[str], positive: str) -> list[str]:
    """Return labels for numbers."""
    other = CLASSES[1 - CLASSES.index(positive)]
    return [positive if NUMBERS[value.lower()] else other for value in values]


def splits_of(table: Table, split: str) -> tuple[str, list[str]]:
    """Return what the splits are taken from ("" for none), and a split per row.

    Args:
        table: a column of it is preferred.
        split: what the file's name says.
    """
    for name in (name for name in PARTS if name in table.columns):
        values = [value.lower() for value in table.columns[name]]
        if not any(values):
            continue
        strange = sorted({value for value in values if value not in SPLITS})
        if strange:
            raise DataError(
                f"'{table.file}' has splits that are not understood: '{name}' holds {listed((repr(readable(v[:30])) for v in strange), 6)}; "
                "expected train, valid and test"
            )
        return f"'{name}'", [SPLITS[value] for value in values]
    return ("the files' names" if split else ""), [split] * table.size
