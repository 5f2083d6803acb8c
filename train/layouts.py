"""Which folders hold the reals and which the fakes: recognised by their names, never guessed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from posixpath import dirname

from train.manifest import CLASSES, Row
from train.trees import Folder
from train.words import meaning, no_images, plain, split_in, split_of
from xai.errors import DataError, listed, readable

NUMBERED = re.compile(r"\d{5}")
DEEPEST = 4  # folders within folders that hold nothing else
EXPECTED = "expected folders real/ and fake/ (or other usual names), train/, valid/, test/ with those, or a CSV with paths and labels"


class NoClasses(DataError):
    """A folder in which nothing stands for both classes; fine where labels are not needed.

    Args:
        message: for those who need labels.
        note: what the others should know, if anything.
    """

    def __init__(self, message: str, note: str = "") -> None:
        super().__init__(message)
        self.note = note


@dataclass(slots=True)
class Seen:
    """What a folder's sub-folders stand for.

    Args:
        folder: the folder.
        classes: the sub-folders of each class.
        numbers: its folders 0/ and 1/, where it has both.
        both: sub-folders whose names say both classes.
        splits: sub-folders named as splits that hold classes.
        nested: sub-folders, other than splits and masks, that hold both classes themselves.
    """

    folder: Folder
    classes: dict[str, list[Folder]] = field(default_factory=lambda: {label: [] for label in CLASSES})
    numbers: list[Folder] = field(default_factory=list)
    both: list[Folder] = field(default_factory=list)
    splits: dict[str, Folder] = field(default_factory=dict)
    nested: list[Folder] = field(default_factory=list)

    def any(self) -> bool:
        """Whether anything here stands for a class."""
        return any(self.classes.values()) or bool(self.numbers or self.splits)


def layout(root: Folder, positive: str | None) -> tuple[list[Row], str]:
    """Read a folder's layout from the names of its folders.

    Class folders, split folders that hold class folders, class folders that hold split folders,
    and any of these inside folders that hold nothing else.

    Args:
        root: the data set.
        positive: what folders called 1 stand for.

    Returns:
        Rows with paths relative to `root`, and a sentence.

    Raises:
        NoClasses: nothing stands for classes.
        DataError: one class only, an empty class, or names that can be read in two ways.
    """
    place = look(root)
    for _ in range(DEEPEST):
        inner = list(place.folder.folders().values())
        if place.any() or len(inner) != 1:
            break
        place = look(inner[0])
    if not place.any():
        first = look(root)
        seen = listed((f"{path.name}/" for path in root.folders().values()), 8) or "no folders"
        holders = [f"'{path}'" for path in first.nested]
        advice = f"; classes are in {listed(holders, 4)}: give one of these" if holders else ""
        raise NoClasses(f"'{root}' holds no classes: {EXPECTED}; found: {seen}{advice}")
    where = f" in {place.folder.inner}/" if place.folder.inner else ""
    refuse(place)
    if place.splits:
        rows: list[Row] = []
        parts: list[str] = []
        for split, folder in place.splits.items():
            inner_place = look(folder)
            refuse(inner_place)
            if inner_place.splits:
                raise DataError(f"'{folder}' is a split and holds split folders itself ({named(inner_place.splits.values())}); keep one level")
            some, text = class_rows(inner_place, split, positive)
            rows += some
            parts.append(text)
        same = parts[0] if len(set(parts)) == 1 else "; ".join(parts)
        said = f"split folders {named(place.splits.values())}{where}, each with class folders: {same}"
    else:
        rows, text = class_rows(place, "", positive)
        said = f"class folders{where}: {text}"
    try:
        images = [path for path, _ in root.images()]
    except DataError as error:
        return rows, f"{said}; left alone: what cannot be listed ({error})"
    return rows, said + left_alone(images, rows)


def left_alone(images: Iterable[str], rows: Iterable[Row]) -> str:
    """Return where else there are images, for the end of the sentence: "" if nowhere but among masks and the like."""
    used = {"", *(row.path for row in rows)}  # and the folders above them
    for path in list(used):
        while (path := dirname(path)) not in used:
            used.add(path)
    others: Counter[str] = Counter()
    for path in images:
        if path in used:
            continue
        place = path
        while dirname(place) not in used:
            place = dirname(place)
        if not any(map(no_images, dirname(path).split("/"))):
            others[f"{place}/" if place != path else f"in {dirname(path)}/ itself" if dirname(path) else "in no folder"] += 1
    found = (f"{readable(place)} ({count} image{'s' if count != 1 else ''})" for place, count in sorted(others.items()))
    return f"; left alone: {listed(found, 8)}" if others else ""


def look(folder: Folder) -> Seen:
    """Return what the sub-folders of a folder stand for.

    Raises:
        DataError: two names stand for one split, or differ only in case.
    """
    place = Seen(folder)
    for path in folder.folders().values():
        split, kind = split_of(path.name), meaning(path.name)
        if split:
            if stands(path):
                if split in place.splits:
                    both = f"'{place.splits[split].name}/' and '{path.name}/'"
                    raise DataError(f"'{folder}' has both {both}, which both stand for {split}; keep or rename one of them")
                place.splits[split] = path
        elif holds(path) and not no_images(path.name):
            place.nested.append(path)
        elif kind == "both":
            place.both.append(path)
        elif kind:
            place.classes[kind].append(path)
    place.numbers = pair(folder.folders().values())
    if place.classes["fake"] and not place.classes["real"]:  # FFHQ comes as 00000/, 01000/, …
        place.classes["real"] = [path for path in folder.folders().values() if NUMBERED.fullmatch(path.name)]
    return place


def pair(paths: Iterable[Folder]) -> list[Folder]:
    """Return the folders 0/ and 1/ if these are all that are called by a number, else none: 0/ to 9/ are no classes."""
    numbers = [path for path in paths if path.name.isdecimal()]
    return numbers if [path.name for path in numbers] == ["0", "1"] else []


def stands(folder: Folder) -> bool:
    """Whether any sub-folder stands for a class."""
    inner = folder.folders().values()
    return bool(pair(inner)) or any(meaning(path.name) in CLASSES for path in inner)


def holds(folder: Folder) -> bool:
    """Whether a folder holds both classes itself, directly or in its split folders."""

    def full(paths: Iterable[Folder]) -> bool:
        return set(CLASSES) <= {meaning(path.name) for path in paths}

    inner = folder.folders().values()
    return full(inner) or any(full(path.folders().values()) for path in inner if split_of(path.name))


def refuse(place: Seen) -> None:
    """Raise where what stands in a folder can be read in two ways."""
    direct = [path for paths in place.classes.values() for path in paths]
    if place.splits and (direct or place.numbers):
        split = next(iter(place.splits.values())).name
        raise DataError(f"'{place.folder}' has classes both directly in it and in '{split}/'; give one of the two")
    if direct and place.numbers:
        raise DataError(f"'{place.folder}' has both {named(direct)} and folders called 0/ and 1/; keep one way of naming the classes")
    doubtful = [(path, "whose name says both real and fake") for path in place.both]
    doubtful += [(path, "which holds both classes itself") for path in place.nested if meaning(path.name) or place.splits]
    for path, why in doubtful[:1]:
        beside = [*direct, *place.numbers, *place.splits.values(), *place.nested, *place.both]
        others = named(other for other in beside if other != path)
        raise DataError(f"'{place.folder}' has '{path.name}/', {why}, beside {others or 'nothing'}; move it away or give one of them")


def class_rows(place: Seen, split: str, positive: str | None) -> tuple[list[Row], str]:
    """Return the rows of a folder's class folders, and a sentence that names these."""
    classes = place.classes
    if place.numbers:
        if positive is None:
            message = f"'{place.folder}' calls its classes 0/ and 1/; say what 1 stands for: --positive fake or --positive real"
            raise NoClasses(message, "0/ and 1/ count as classes only with --positive fake or --positive real")
        one = CLASSES.index(positive)
        classes = {positive: [place.numbers[1]], CLASSES[1 - one]: [place.numbers[0]]}
    demand(place.folder, classes)
    inner = "" if split else inner_splits(place.folder, classes)
    rows: list[Row] = []
    for label in CLASSES:
        count = 0
        for folder in classes[label]:
            for path, below in folder.images():
                rows.append(Row(path, label, split or part_of(below, folder, inner)))
                count += 1
        if not count:
            empty = "', '".join(str(path) for path in classes[label])
            raise DataError(f"'{empty}' holds no images; expected files ending in .png, .jpg, .webp, …")
    if inner:
        for part in sorted({row.split for row in rows}):
            if {row.label for row in rows if row.split == part} != set(CLASSES):
                raise DataError(f"'{place.folder}' has only one class in its {part} split; give every split both classes")
    ffhq = ", FFHQ's numbered folders" if all(NUMBERED.fullmatch(path.name) for path in classes["real"]) else ""
    said = f"real in {named(classes['real'])}{ffhq}, fake in {named(classes['fake'])}"
    return rows, said + {"": "", "below": ", each with split folders", "name": ", the split in the folder's name"}[inner]


def demand(folder: Folder, classes: dict[str, list[Folder]]) -> None:
    """Raise where only one class is there."""
    for label in CLASSES:
        if classes[label]:
            continue
        others = classes[CLASSES[1 - CLASSES.index(label)]]
        if not others:
            raise DataError(f"'{folder}' has no real/ and fake/ folders")
        there = others[0].name
        advice = f" (to map unlabelled images, give the folder '{folder}/{there}' itself)" if folder.apart else ""
        message = f"'{folder}' has '{there}/' but no '{label}/'; a detector needs both classes{advice}"
        # one called real/ is half a data set; an unlabelled folder may well be called photos/
        raise DataError(message) if folder.apart and plain(there) else NoClasses(message, f"of the classes there is only {there}/")


def inner_splits(folder: Folder, classes: dict[str, list[Folder]]) -> str:
    """Return where class folders keep their splits: "below" (real/train/), in their "name" (train_real/) or nowhere: "".

    One split's name in all of them (training_real/, training_fake/) says nothing.

    Raises:
        DataError: some do and some do not.
    """
    every = [path for label in CLASSES for path in classes[label]]
    below = [path for path in every if any(split_of(inner.name) for inner in path.folders().values())]
    inside = [path for path in every if split_in(path.name)]
    if len({split_in(path.name) for path in inside}) < 2:
        inside = []
    for has, what in ((below, "split folders in it"), (inside, "a split in its name")):
        without = [path for path in every if path not in has]
        if has and without:
            raise DataError(f"'{has[0]}' has {what}, '{without[0]}' has not; name the splits alike in every class")
    if below and inside:
        raise DataError(f"'{folder}' names splits both in and below its class folders ({named(every)}); keep one of the two")
    return "below" if below else "name" if inside else ""


def part_of(below: str, folder: Folder, inner: str) -> str:
    """Return an image's split from the folder below its class (`below` starts there), or from the class folder's name."""
    if inner == "name":
        return split_in(folder.name)
    if inner == "below":
        top, parted, _ = below.partition("/")
        split = split_of(top) if parted else ""
        if not split:
            raise DataError(f"'{folder}' has split folders, but '{below}' is in none of them; move it")
        return split
    return ""


def named(paths: Iterable[Folder]) -> str:
    """Return folders as a list of their names."""
    return listed((f"{path.name}/" for path in paths), 4)
