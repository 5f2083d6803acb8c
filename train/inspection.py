"""Look at a data set before training on it: what is in it, what is wrong with it, what gives the classes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from train.datasets import CLASSES, LEFT_OUT, Manifest, Row, hashed, limited, scan
from train.filefacts import BASICS, Facts, survey
from train.findings import findings
from train.inspectiontext import text as text
from train.leak import leak
from train.leakwords import compressed
from xai import store
from xai.errors import DataError, ImageError
from xai.images import read
from xai.notebook import Told
from xai.places import File
from xai.version import VERSION

SPLITS = ("train", "valid", "test")
SHOWN = 20  # rows at most of a list of kinds, such as the sizes that occur


def inspect(data: str | Path, *, positive: str | None = None, seed: int = 0, limit: int | None = None, quiet: bool = True) -> dict[str, Any]:
    """Inspect a data set.

    Every file is decoded once, for damage and for near copies; all else comes from headers.

    Args:
        data: what `train.datasets.scan` knows, with classes or without.
        positive: what the label 1 stands for where classes are only called 0 and 1.
        seed: of the choice of images and of the folds of the leak test.
        limit: images at most, every class and split in its share.
        quiet: no progress bar.

    Returns:
        What `inspection.json` holds (numbers that JSON knows, no NaN) and `files`, a record per readable file.

    Raises:
        DataError: no such data set, an ambiguous one, or nothing in it can be read.
    """
    whole = scan(data, labelled=False, positive=positive)
    manifest = hashed(limited(whole, limit, seed))
    facts, reasons = survey(manifest.files(), quiet)
    fingerprints, undecoded = fingerprint(manifest, quiet)
    reasons |= {index: why_not(manifest.file(manifest.rows[index])) for index in undecoded if index not in reasons}
    good = [index for index, known in enumerate(facts) if known is not None and index not in reasons]
    if not good:
        path, reason = (manifest.rows[min(reasons)].path, reasons[min(reasons)]) if reasons else ("", "it is empty")
        raise DataError(f"none of the {len(manifest.rows)} images in '{data}' can be read; the first, {path}: {reason}")
    rows, known = [manifest.rows[index] for index in good], [fact for index in good if (fact := facts[index]) is not None]
    groups = copies(Manifest(manifest.root, tuple(rows)), fingerprints[good])
    found: dict[str, Any] = {
        "whyfake": VERSION,
        "data": manifest.name,
        "layout": whole.layout,
        "positive": positive,
        "seed": seed,
        "limit": limit,
        "images": {"found": len(whole.rows), "inspected": len(manifest.rows), "readable": len(rows), "unreadable": len(reasons)},
        "labelled": any(row.label for row in rows),
        "classes": {label: sum(row.label == label for row in rows) for label in CLASSES if any(row.label for row in rows)},
        "splits": by_split(rows),
        **kinds(rows, known),
        "quality": grouped(rows, known, quality),
        "bytes": grouped(rows, known, lambda part: spread([f.bytes for f in part])),
        "bits_per_pixel": grouped(rows, known, lambda part: spread([f.bits_per_pixel for f in part])),
        "suffix_disagrees": sum(not f.suffix_fits for f in known),
        "rotated": sum(f.orientation > 1 for f in known),
        "duplicates": crossing(rows, groups),
        "skipped": {manifest.rows[index].path: reasons[index] for index in sorted(reasons)},
    }
    found["imbalance"] = imbalance(found["classes"])
    found["leak"] = leak(known, [r.label for r in rows], [r.sha256 for r in rows], seed=seed) if found["labelled"] else None
    found["findings"] = findings(found)
    found["files"] = records(rows, known, groups)
    return Told(store.plain(found), text)


def summary(inspection: dict[str, Any]) -> dict[str, Any]:
    """Return an inspection without its record per file: what `inspection.json` holds."""
    return {name: value for name, value in inspection.items() if name != "files"}


def write(inspection: dict[str, Any], out: str | Path) -> Path:
    """Write `inspection.json`, `files.csv`, `skipped.csv` and pictures into a folder.

    Returns:
        The folder.

    Raises:
        RunError: the folder cannot be written.
    """
    from train.inspectionpictures import pictures

    folder = store.make_folder(out)
    files = inspection["files"]
    header = tuple(files[0])
    store.write_table(folder / "files.csv", header, ([joined(file[name]) for name in header] for file in files))
    store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(inspection["skipped"].items()))
    drawn = pictures(inspection)
    for name in ("bytes.png", "quality.png", "leak.png"):
        if name in drawn:
            store.write_bytes(folder / name, drawn[name])
        else:
            (folder / name).unlink(missing_ok=True)  # of an earlier inspection into the same folder
    store.write_json(folder / "inspection.json", summary(inspection))
    return folder


def fingerprint(manifest: Manifest, quiet: bool) -> tuple[np.ndarray, set[int]]:
    """Return perceptual hashes, uint64 `(N,)`, and the indices of what could not be decoded."""
    from train.duplicates import perceptual

    hashes, undecoded = perceptual(manifest, quiet=quiet)
    return np.asarray(hashes), {int(index) for index in undecoded}


def copies(manifest: Manifest, hashes: np.ndarray) -> dict[str, list[list[int]]]:
    """Return groups of row indices: "exact" copies and "near" ones."""
    from train.duplicates import duplicates

    found = duplicates(manifest, hashes)
    return {"exact": [list(map(int, group)) for group in found.exact], "near": [list(map(int, group)) for group in found.near]}


def why_not(path: File) -> str:
    """Return the reason why a file cannot be read."""
    try:
        read(path)
    except ImageError as error:
        return str(error)
    return "could not be decoded for its fingerprint"


def by_split(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Count rows per split and class; empty without splits."""
    counts = Counter((row.split, row.label or "all") for row in rows)
    names = [name for name in (*SPLITS, LEFT_OUT, "") if any(split == name for split, _ in counts)]
    if names == [""]:
        return {}
    return {name or "none": {label: counts[name, label] for label in (*CLASSES, "all") if counts[name, label]} for name in names}


def grouped(rows: Sequence[Row], facts: Sequence[Facts], measure: Callable[[list[Facts]], Any]) -> dict[str, Any]:
    """Measure all files together and those of each class."""
    parts = {"all": list(facts)} | {label: [f for f, row in zip(facts, rows, strict=True) if row.label == label] for label in CLASSES}
    return {name: measure(part) for name, part in parts.items() if part}


def kinds(rows: Sequence[Row], facts: Sequence[Facts]) -> dict[str, list[dict[str, Any]]]:
    """Count what occurs, all files and per class, the commonest first; beyond `SHOWN` kinds the rest is one row."""
    names: dict[str, Callable[[Facts], tuple[str, ...]]] = {
        "sizes": lambda f: (f"{f.width} × {f.height}",),
        "formats": lambda f: (f.format,),
        "modes": lambda f: (f.mode,),
        "suffixes": lambda f: (f.suffix or "(none)",),
        "compression": lambda f: (compressed(f),),
        "metadata": lambda f: tuple(name for name in f.metadata if name not in BASICS),
    }
    found = {}
    for name, words in names.items():
        counts = grouped(rows, facts, lambda part, words=words: Counter(word for f in part for word in words(f)))  # type: ignore[misc]
        ranked = sorted(counts["all"], key=lambda word: (-counts["all"][word], word))
        found[name] = [{"name": word} | {group: counts[group][word] for group in counts} for word in ranked[:SHOWN]]
        if rest := ranked[SHOWN:]:
            tail = {group: sum(counts[group][word] for word in rest) for group in counts}
            found[name].append({"name": f"{len(rest)} others"} | tail)
    return found


def quality(facts: list[Facts]) -> dict[str, Any]:
    """Return how JPEG quality is spread, and how many files have none that can be told."""
    values = [f.quality for f in facts if f.quality is not None]
    histogram = {str(value): count for value, count in sorted(Counter(values).items())}
    return (spread(values) or {}) | {"count": len(values), "unknown": len(facts) - len(values), "histogram": histogram}


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return count, sum, median, range and the middle 90 % of values; None where there are none.

    Example:
        >>> spread([1, 2, 3])["median"], spread([])
        (2.0, None)
    """
    if not values:
        return None
    low, fifth, median, most, high = (float(value) for value in np.percentile(values, (0, 5, 50, 95, 100)))
    return {"count": len(values), "sum": float(sum(values)), "median": median, "low": low, "high": high, "p5": fifth, "p95": most}


def crossing(rows: Sequence[Row], groups: dict[str, list[list[int]]]) -> dict[str, Any]:
    """Return the groups of copies as paths, all, those in more than one split, and those in both classes."""
    found: dict[str, Any] = {}
    for kind, members in groups.items():
        splits = [group for group in members if len({rows[index].split for index in group if rows[index].split in SPLITS}) > 1]
        classes = [group for group in members if len({rows[index].label for index in group if rows[index].label}) > 1]
        named = {"groups": members, "across_splits": splits, "across_classes": classes}
        found[kind] = {name: [[rows[index].path for index in group] for group in part] for name, part in named.items()}
        found[kind]["files"] = sum(map(len, members))
    return found


def imbalance(classes: dict[str, int]) -> dict[str, Any] | None:
    """Return how unequal the classes are; None without classes.

    Example:
        >>> imbalance({"real": 60, "fake": 24})["sentence"]
        '2.5 reals for each fake: always answering real would be right 71 % of the time.'
    """
    if not classes or min(classes.values()) == 0:
        return None
    large, small = sorted(CLASSES, key=lambda label: -classes[label])
    ratio, share = classes[large] / classes[small], classes[large] / sum(classes.values())
    sentence = f"{ratio:.2g} {large}s for each {small}: always answering {large} would be right {100 * share:.0f} % of the time."
    if ratio < 1.05:
        sentence = "The classes are of equal size." if ratio == 1 else "The classes are of nearly equal size."
    return {"ratio": ratio, "larger": large, "smaller": small, "sentence": sentence}


def records(rows: Sequence[Row], facts: Sequence[Facts], groups: dict[str, list[list[int]]]) -> list[dict[str, Any]]:
    """Return everything known of each file; copies carry the number of their group."""
    number = {kind: {index: place for place, group in enumerate(groups[kind], 1) for index in group} for kind in groups}
    return [
        {"path": row.path, "label": row.label, "split": row.split, "sha256": row.sha256}
        | asdict(fact)
        | {"bits_per_pixel": fact.bits_per_pixel, "exif": fact.exif, "icc": fact.icc, "comments": fact.comments}
        | {f"{kind}_group": number[kind].get(index) for kind in ("exact", "near")}
        for index, (row, fact) in enumerate(zip(rows, facts, strict=True))
    ]


def joined(value: Any) -> Any:
    """Return a list as one text for a cell."""
    return "; ".join(map(str, value)) if isinstance(value, list) else value
