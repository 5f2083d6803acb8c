"""Data sets: a layout is recognised, files are hashed, rows are split, copies never apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from train.manifest import CLASSES, LEFT_OUT, Manifest, Row, joined, key
from train.sources import opened
from xai.errors import DataError, ImageError
from xai.modelfile import sha256
from xai.places import readers

__all__ = ["CLASSES", "LEFT_OUT", "Manifest", "Row", "hashed", "key", "limited", "prepared", "remarks", "scan", "shares", "split"]

FREE = ("", "train")  # what a given split leaves to be divided
REMARKS = ("left alone", "left out", "valid is")  # how a layout's sentence goes on where images are not used as one may think
DISTANCE = {"": 0, LEFT_OUT: 0, "train": 0, "valid": 1, "test": 2}  # from training


def prepared(
    data: str | Path,
    *,
    seed: int,
    test: float = 0.15,
    valid: float = 0.2,
    positive: str | None = None,
    near: bool = True,
    quiet: bool = True,
) -> Manifest:
    """Read a data set and split it: recognised, hashed, copies found, no copy on both sides.

    Args:
        data: as in `scan`.
        seed: of the split.
        test, valid: shares, as in `split`.
        positive: "fake" or "real": what 1 stands for where classes are only called 0 and 1.
        near: also keep near copies together; reads every image once.
        quiet: no progress bar.

    Returns:
        The manifest with a split on every row; `crossing` counts groups of copies that a given layout puts on several sides.

    Raises:
        DataError: as `scan` and `split`.
    """
    manifest = hashed(scan(data, positive=positive))
    together: Sequence[Sequence[int]] = ()
    if near:
        from train.duplicates import duplicates, perceptual

        together = duplicates(manifest, perceptual(manifest, quiet)[0], quiet).near
    return split(manifest, seed=seed, test=test, valid=valid, together=together)


def scan(folder: str | Path, *, labelled: bool = True, positive: str | None = None) -> Manifest:
    """Read a data set's layout.

    - Class folders: `real/` and `fake/` in any case, or other usual names ("training_real",
      "1_fake", "ffhq", "stylegan2"); several of one class are taken together. Images at any depth
      below; folders that stand for no class are left alone, and named unless they hold masks.
    - `0/` and `1/` with `positive`.
    - Split folders (`train/`, `val/`, `test/`) with class folders in them, or the other way round.
    - FFHQ's numbered folders (`00000/`, `01000/`) beside a folder of fakes.
    - CSV: a file, or `train.csv`, `valid.csv`, `test.csv` or one file in the folder, with columns for
      path and label and perhaps split. Where class folders are there too, the CSV is taken if it lists
      all their images, and left alone (the sentence says so) if it does not; two that contradict
      each other are an error.
    - All of these also in a folder that is alone in the given one.
    - Tar archives (WebDataset): one, a pattern such as `shard-{000..009}.tar`, or a folder of them, with
      `key.cls` or `key.json` beside `key.png`, or with any of these layouts in their members' names.
    - HDF5: a data set of pixels or of encoded images, with labels beside it; `file.h5::name` picks one of several.
    - URLs (`s3://`, `gs://`, …) of folders, CSV files, tar archives and HDF5 files.

    Args:
        folder: the data set: a folder, a CSV, tar or HDF5 file, or a URL.
        labelled: a folder without classes is an error; otherwise its images come unlabelled.
        positive: "fake" or "real": what 1 stands for where classes are only called 0 and 1.

    Returns:
        The manifest, not hashed; `layout` names what was recognised.

    Raises:
        DataError: missing, empty, one class only, a class folder without images, or a layout that can be read in two ways.
    """
    if positive not in (None, *CLASSES):
        raise DataError(f"positive is '{positive}'; expected fake or real")
    root, rows, said = opened(folder, positive, labelled)
    return Manifest(root, tuple(sorted(rows, key=lambda row: row.path)), said[0].upper() + said[1:])


def hashed(manifest: Manifest) -> Manifest:
    """Return the manifest with the SHA-256 of every file, computed where a row has none; a file that cannot be opened keeps ''."""

    def content(row: Row) -> Row:
        try:
            return replace(row, sha256=row.sha256 or sha256(manifest.file(row)))
        except (OSError, ImageError):
            return row

    with ThreadPoolExecutor(readers([manifest.file(row) for row in manifest.rows[:1]])) as pool:
        return replace(manifest, rows=tuple(pool.map(content, manifest.rows)))


def split(manifest: Manifest, *, seed: int, test: float = 0.15, valid: float = 0.2, together: Sequence[Sequence[int]] = ()) -> Manifest:
    """Put every row into train, valid or test: seeded and stratified.

    Copies count as one and stay on one side, also where they stand in both classes. A
    split that the layout gives is kept; what it lacks is taken from train/. Of copies that it
    puts on several sides, only those furthest from training stay, the others are "left out".

    Where it gives train/ and valid/ alone, valid/ is the test set: what its makers held out is
    apart from train/ by their design and what others report on, and a set that stopped the
    training and fitted the temperature measures nothing. With `test` 0 it stays valid/.

    Args:
        manifest: hashed; files with the same content are copies.
        seed: of the shuffle.
        test: share of each class that is set aside first, in [0, 1).
        valid: share of what is left, for early stopping, in (0, 1).
        together: further groups of copies, as row numbers.

    Returns:
        The manifest with a split on every row; `layout` says what became of a given split, `crossing` counts its copies.

    Raises:
        DataError: a class is too small to be split.
    """
    names = units(manifest, together)
    parts, said = [row.split for row in manifest.rows], [manifest.layout]
    if test and "valid" in parts and "test" not in parts:
        parts = ["test" if part == "valid" else part for part in parts]
        said.append("valid is the test set, as there is no other, and validation is taken from train")
    crossing, before = crossings(names, parts), Counter(parts)
    parts = apart(names, parts)
    if crossing:
        lost = ", ".join(f"{count} of {part}" for part in ("train", "valid") if (count := before[part] - parts.count(part)))
        said.append(f"left out as copies of images on another side: {lost}")
    if not before["valid"]:
        drawn = draw(manifest, names, [part in FREE for part in parts], seed, 0 if before["test"] else test, valid, said[1:])
        parts = [drawn[name] if part in FREE else part for name, part in zip(names, parts, strict=True)]
    rows = tuple(replace(row, split=part) for row, part in zip(manifest.rows, parts, strict=True))
    return replace(manifest, rows=rows, layout="; ".join(filter(None, said)), crossing=crossing)


def draw(manifest: Manifest, names: Sequence[str], free: Sequence[bool], seed: int, test: float, valid: float, said: Sequence[str]) -> dict[str, str]:
    """Return the split of every name that free rows have, drawn from each class in its share.

    Raises:
        DataError: a class is too small; with what was `said` of the layout, since that may be why.
    """
    chosen: dict[str, str] = {}
    for label in CLASSES:
        keys = sorted({name for name, row, own in zip(names, manifest.rows, free, strict=True) if own and row.label == label})
        order = np.random.default_rng([seed, CLASSES.index(label)]).permutation(len(keys))
        tests = round(len(keys) * test)
        valids = max(1, round((len(keys) - tests) * valid))
        if len(keys) - tests - valids < 1:
            raise DataError("; ".join([f"only {len(keys)} different '{label}' images; at least 3 are needed to train and validate", *said]))
        for place, index in enumerate(order):
            part = "test" if place < tests else "valid" if place < tests + valids else "train"
            chosen.setdefault(keys[index], part)  # a file that stands in both classes goes one way
    return chosen


def apart(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Return the splits with copies left out that stand nearer to training than others of their name.

    Example:
        >>> apart(["a", "a", "b", "b", "c"], ["train", "test", "valid", "valid", ""])
        ['left out', 'test', 'valid', 'valid', '']
    """
    furthest: dict[str, int] = {}
    for name, part in zip(names, parts, strict=True):
        furthest[name] = max(furthest.get(name, 0), DISTANCE[part])
    return [part if DISTANCE[part] == furthest[name] else LEFT_OUT for name, part in zip(names, parts, strict=True)]


def remarks(layout: str) -> list[str]:
    """Return what a layout's sentence says of images that are not used, or not as they seem to be meant.

    Example:
        >>> remarks("Class folders: real in real/, fake in fake/; left alone: tpdne/ (6 images)")
        ['left alone: tpdne/ (6 images)']
    """
    return [part for part in layout.split("; ") if part.startswith(REMARKS)]


def units(manifest: Manifest, together: Sequence[Sequence[int]]) -> list[str]:
    """Return a name per row, the same for rows that must stay together.

    Example:
        >>> units(Manifest(Path(), (Row("a"), Row("b"), Row("c"))), [(0, 2)])
        ['a', 'b', 'a']
    """
    names = [key(row) for row in manifest.rows]
    if not together:
        return names
    first: dict[str, int] = {}
    pairs = [(first.setdefault(name, index), index) for index, name in enumerate(names)]
    pairs += [(group[0], other) for group in together for other in group[1:]]
    for linked in joined(len(names), [pair for pair in pairs if pair[0] != pair[1]]):
        name = min(names[index] for index in linked)
        for index in linked:
            names[index] = name
    return names


def crossings(names: Sequence[str], splits: Sequence[str]) -> int:
    """Count the names that stand in more than one split.

    Example:
        >>> crossings(["a", "a", "b", "b"], ["train", "test", "train", "train"])
        1
    """
    places: dict[str, set[int]] = {}
    for name, part in zip(names, splits, strict=True):
        places.setdefault(name, set()).add(DISTANCE[part])
    return sum(len(found) > 1 for found in places.values())


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
