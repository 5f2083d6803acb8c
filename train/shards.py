"""Data sets in tar archives (WebDataset shards) and HDF5 files: labels beside the images, or folders in their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from posixpath import basename, dirname, splitext
from sys import intern
from typing import TYPE_CHECKING

from train.layouts import NoClasses, layout
from train.lists import against
from train.manifest import CLASSES, Row
from train.tables import FLAGS, LABELS, PARTS, Table, labels_of, splits_of, squeezed
from train.trees import Packed
from train.words import meaning, split_in, split_of
from xai.archives import SCANS, split_off
from xai.errors import DataError, listed, readable
from xai.places import Place

if TYPE_CHECKING:
    from xai.tarfiles import Contents

CLASSED = frozenset([*LABELS, *FLAGS])
COLUMNS = frozenset([*CLASSED, *PARTS])
Fields = dict[str, str]
Found = tuple[list[Row], str]  # the rows with their places, and a sentence


@dataclass(slots=True)
class Member:
    """An image on its way into a row.

    Args:
        place: where it is.
        path: from the data set's root, as its row will have it.
        where: the path by which folders sort it.
        split: what its archive's name says.
        fields: what stands beside it.
        cut: its archive ends early, so that what stands beside it may be missing.
    """

    place: Place
    path: str
    where: str
    split: str = ""
    fields: Fields = field(default_factory=dict)
    cut: bool = False


def sharded(files: Sequence[str], names: Sequence[str], home: str, positive: str | None, labelled: bool) -> Found:
    """Read a data set from tar archives.

    Classes come from `key.cls` or `key.json` beside `key.png`; without these from folders in the
    members' names and from the archives' folders and own names (`real-000.tar`), by the rules for
    folders. So do splits (`train-000.tar`), if the archives name more than one.

    Args:
        files: paths or URLs.
        names: of the archives below the data set's root; "" where one archive is the data set.
        home: the root, as shown.
        positive: what a label 1 stands for.
        labelled: classes are needed.

    Raises:
        DataError: an archive that cannot be read, images without a label, or a layout that can be read in two ways.
    """
    from xai.tarfiles import scanned

    with ThreadPoolExecutor(SCANS) as pool:
        shards = list(pool.map(lambda file: scanned(file, noted), files))
    found = members(shards, names)
    if not found:
        where = listed((f"'{shard.tar}'" for shard in shards), 3)
        raise DataError(f"no images in {where}; expected members ending in .png, .jpg, .webp, …")
    what = f"tar archive{'s' if len(files) > 1 else ''} {listed((basename(str(shard.tar)) for shard in shards), 4)}"
    if any(member.fields for member in found):
        kept = [member for member in found if member.fields or not member.cut]
        rows, text = tabled(kept, columns_of(kept, labelled), home, positive, labelled)
    else:
        rows, text = sorted_out(found, home, positive, labelled)
    return rows, "; ".join([f"{what}: {text}", *losses(shards, len(found) - len(rows))])


def members(shards: Sequence[Contents], names: Sequence[str]) -> list[Member]:
    """Return the images of archives, which are called by `names` below the data set's root."""
    found: list[Member] = []
    for shard, name, split in zip(shards, names, parts_of(names), strict=True):
        above = folders_above(name, split, shard.images)
        for inner, place in shard.images.items():
            path = f"{name}/{inner}" if name else inner
            found.append(Member(place, path, above + inner, split, fields_of(inner, shard.notes), shard.cut))
    return found


def noted(name: str, content: bytes) -> Fields:
    """Return what a member beside an image says of its class and split.

    Example:
        >>> noted("a/1.cls", b"fake\\n"), noted("a/1.json", b'{"Is_Fake": true, "caption": "a face"}'), noted("a/2.json", b"{")
        ({'cls': 'fake'}, {'isfake': 'True'}, {})
    """
    text = content.decode("utf-8", "replace").strip()
    if name.endswith(".cls"):
        return {"cls": intern(text)}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    said = {squeezed(key): value for key, value in values.items() if isinstance(value, (str, int, float))}
    return {key: intern(str(value).strip()) for key, value in said.items() if key in COLUMNS}


def fields_of(name: str, notes: Mapping[str, Fields]) -> Fields:
    """Return what stands beside an image: beside "a/1.left.png" that is "a/1.left.cls", else "a/1.cls"."""
    found: Fields = {}
    stem = splitext(name)[0]
    key = f"{dirname(name)}/{basename(name).partition('.')[0]}".lstrip("/")
    for start in (key, stem):
        for ending in (".json", ".cls"):
            found |= notes.get(start + ending, {})
    return found


def parts_of(names: Sequence[str]) -> list[str]:
    """Return the split that each archive's folders or own name say; one split's name in all of them says nothing.

    Raises:
        DataError: some say one and some do not.

    Example:
        >>> parts_of(["train-000.tar", "val/1.tar"]), parts_of(["train-000.tar", "train-001.tar"])
        (['train', 'valid'], ['', ''])
    """
    parts = []
    for name in names:
        said = [split_of(folder) for folder in dirname(name).split("/")]
        parts.append(next((part for part in reversed(said) if part), "") or split_in(splitext(basename(name))[0]))
    if len(set(parts)) < 2:
        return [""] * len(names)
    if "" in parts:
        told, silent = (names[[bool(part) for part in parts].index(has)] for has in (True, False))
        raise DataError(f"'{readable(told)}' names its split, '{readable(silent)}' does not; name the splits of all archives alike")
    return parts


def folders_above(name: str, split: str, images: Iterable[str]) -> str:
    """Return the folders that an archive stands for: its own, that of its split, and that of its class if its name says one.

    Example:
        >>> folders_above("a/train-000.tar", "train", ["1.png"]), folders_above("b/real-01.tar", "", ["1.png"])
        ('a/train/', 'b/real-01/')
    """
    if not name:
        return ""
    stem = splitext(basename(name))[0]
    folders = [folder for folder in dirname(name).split("/") if folder]
    if split and not any(split_of(folder) for folder in folders):
        folders.append(split)
    inside = {folder for image in images for folder in dirname(image).split("/")}
    if meaning(stem) in CLASSES and not any(meaning(folder) in CLASSES for folder in inside):
        folders.append(stem)
    return "".join(f"{folder}/" for folder in folders)


def losses(shards: Sequence[Contents], unlabelled: int) -> list[str]:
    """Return in words what of the archives is not in the rows."""
    cut = [basename(str(shard.tar)) for shard in shards if shard.cut]
    repeated, special = sum(shard.repeated for shard in shards), sum(shard.special for shard in shards)
    said = [f"{listed(cut, 3)} end{'s' if len(cut) == 1 else ''} early: copy or download again"] if cut else []
    said += [f"{unlabelled} images there have lost their labels and are left out"] if unlabelled else []
    said += [f"{repeated} names come again, the last of each is taken"] if repeated else []
    return [*said, *([f"{special} links or sparse files are left out"] if special else [])]


def columns_of(found: Sequence[Member], labelled: bool) -> dict[str, list[str]]:
    """Return what stands beside the images as columns.

    Raises:
        DataError: an image has no label where they are needed.
    """
    without = next((member for member in found if not CLASSED & set(member.fields)), None)
    if without is not None and labelled:
        stem = splitext(without.place.name)[0]
        raise DataError(f"'{without.place}' has no label, others have; expected {stem}.cls or {stem}.json with a label beside it")
    names = sorted({name for member in found for name in member.fields})
    return {name: [member.fields.get(name, "") for member in found] for name in names}


def tabled(found: Sequence[Member], columns: dict[str, list[str]], home: str, positive: str | None, labelled: bool) -> Found:
    """Return rows with the labels and splits of columns.

    Raises:
        DataError: labels that are not understood, of one class only, or against a folder's name.
    """
    table = Table(home, columns, len(found), names=[member.path for member in found])
    try:
        source, labels = labels_of(table, positive, labelled)
        part, splits = splits_of(table, "")
        if not part and any(member.split for member in found):
            part, splits = "the archives' names", [member.split for member in found]
        rows = [Row(member.path, label, split, "", member.place) for member, label, split in zip(found, labels, splits, strict=True)]
        against(rows, home)
    except NoClasses:
        raise
    except DataError as error:
        if labelled:
            raise
        return unlabelled(found), f"unlabelled images; what stands beside them is left alone: {error}"
    if labelled and {row.label for row in rows} != set(CLASSES):
        raise DataError(f"'{home}' holds only {rows[0].label} images; a detector needs both classes")
    return rows, f"classes from {source}" + (f", splits from {part}" if part else "")


def sorted_out(found: Sequence[Member], home: str, positive: str | None, labelled: bool) -> Found:
    """Return rows with the labels and splits of the folders in the images' names.

    Raises:
        DataError: as `train.layouts.layout`.
    """
    tree = Packed(home)
    for member in found:
        tree.add(member.where, member.path)
    try:
        rows, said = layout(tree, positive)
    except NoClasses as error:
        if labelled:
            raise DataError(f"{error}; in archives also labels beside the images (key.cls or key.json)") from None
        return unlabelled(found), "unlabelled images" + (f"; {error.note}" if error.note else "")
    places = {member.path: member.place for member in found}
    return [Row(row.path, row.label, row.split, "", places[row.path]) for row in rows], said


def unlabelled(found: Iterable[Member]) -> list[Row]:
    """Return rows without classes."""
    return [Row(member.path, place=member.place) for member in found]


def stacked(source: str, positive: str | None, labelled: bool) -> Found:
    """Read a data set from an HDF5 file.

    Args:
        source: a path or URL, perhaps with "::" and the name of the data set of images.
        positive, labelled: as in `sharded`.

    Raises:
        DataError: no images in it, labels of another length or that are not understood, or none where they are needed.
    """
    from xai import hdf5files

    file, wanted = split_off(source)
    contents = hdf5files.scanned(file, wanted, COLUMNS)
    found = [Member(place, place.inner, place.inner) for place in contents.images]
    home, stack = hdf5files.shown(file), contents.stack
    what = f"HDF5 data set '{readable(stack.data)}'"
    if not stack.encoded:
        what += " of pixels (how they were once saved as files cannot be told)"
    if CLASSED & set(contents.columns):
        rows, said = tabled(found, contents.columns, home, positive, labelled)
    else:
        try:
            rows, said = sorted_out(found, home, positive, labelled=False)
        except DataError as error:  # names that lead nowhere are no matter where labels are not needed
            if labelled:
                raise
            rows, said = unlabelled(found), f"unlabelled images; their names are left alone: {error}"
        if labelled and not all(row.label for row in rows):
            expected = f"expected a data set called label, is_fake, y, … beside '{readable(stack.data)}', a value per image"
            raise NoClasses(f"'{home}' has no labels: {expected}")
    return rows, f"{what}: {said}"
