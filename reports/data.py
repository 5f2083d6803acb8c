"""What data an audit saw: images per class and split, sizes, endings, faces, copies, and what an inspection found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from reports import words
from reports.run import Run, read_json

AGAIN = "run 'whyfake inspect DATA --out RUN/inspect' again"
CLASSES = ("real", "fake")
SPLITS = {"train": "training", "valid": "early stopping", "test": "test", "": "not in training"}
SHOWN = 8  # rows of a table; what is rarer is counted together
NAMED = 10  # groups of copies that are named


@dataclass(frozen=True, slots=True)
class Counts:
    """A table of counts: how many images of each class are of each kind.

    Args:
        title: what is counted.
        kinds: per kind its name and a count per column, the commonest kind first.
    """

    title: str
    kinds: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Copies:
    """Images that have the same bytes.

    Args:
        groups: paths of each group of copies, the ones across classes first; at most `NAMED`.
        total: groups in all.
        files: images in them.
        across: groups with images of both classes.
    """

    groups: tuple[tuple[str, ...], ...]
    total: int
    files: int
    across: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `whyfake inspect DATA --out RUN/inspect` left.

    Args:
        name: of the data set.
        findings: (severity, what, do), the worst first.
        page: its address from the run directory; empty text without one.
    """

    name: str
    findings: tuple[tuple[str, str, str], ...]
    page: str


@dataclass(frozen=True, slots=True)
class Data:
    """What the page says of the data.

    Args:
        columns: names of the classes that occur, or one for all images.
        totals: images per column.
        tables: splits, sizes, endings and, where face parts were looked for, faces.
        copies: None where there are none.
        hash: of the data's manifest, empty text where it is not known.
        inspection: None where there is none.
    """

    columns: tuple[str, ...]
    totals: tuple[int, ...]
    tables: tuple[Counts, ...]
    copies: Copies | None
    hash: str
    inspection: Inspection | None


def data(run: Run) -> Data:
    """Return what is known of the data of a run."""
    labels = [row.get("label") or "" for row in run.images]
    columns = tuple(name for name in CLASSES if name in labels) or ("",)
    told = [counts("In the model’s training", run, columns, split)] if any(row.get("split") for row in run.images) else []
    told += [counts("Picture size, in pixels", run, columns, size), counts("File ending", run, columns, ending)]
    if run.summary.get("parts") and run.images and "parts" in run.images[0]:
        told.append(counts("Face", run, columns, lambda row: "found" if row.get("parts") else "not found"))
    return Data(
        columns=tuple(words.group(name or "all")[0] for name in columns),
        totals=tuple(labels.count(name) for name in columns),
        tables=tuple(told),
        copies=copies(run),
        hash=str((run.record.get("data") or {}).get("manifest_sha256") or ""),
        inspection=inspection(run),
    )


def counts(title: str, run: Run, columns: tuple[str, ...], kind: Callable[[Mapping[str, str]], str]) -> Counts:
    """Count the kinds of images per class, the commonest first; beyond `SHOWN` the rest is one row."""
    found = Counter((kind(row), row.get("label") or "") for row in run.images)
    whole = Counter(kind(row) for row in run.images)
    ranked = sorted(whole, key=lambda name: (-whole[name], name))
    rows = [(name, tuple(found[name, column] for column in columns)) for name in ranked[:SHOWN]]
    if rest := ranked[SHOWN:]:
        rows.append((f"{len(rest)} others", tuple(sum(found[name, column] for name in rest) for column in columns)))
    return Counts(title, tuple(rows))


def split(row: Mapping[str, str]) -> str:
    """Return which split of the training an image was in, in words."""
    name = row.get("split") or ""
    return SPLITS.get(name, name)


def size(row: Mapping[str, str]) -> str:
    """Return an image's size in words.

    Example:
        >>> size({"width": "1024", "height": "768"}), size({})
        ('1024 × 768', 'not known')
    """
    width, height = row.get("width"), row.get("height")
    return f"{width} × {height}" if width and height else "not known"


def ending(row: Mapping[str, str]) -> str:
    """Return the ending of an image's name.

    Example:
        >>> ending({"path": "fake/0001.JPG"}), ending({"path": "fake/0001"})
        ('.jpg', 'none')
    """
    return PurePosixPath(row["path"]).suffix.lower() or "none"


def copies(run: Run) -> Copies | None:
    """Return the images that have the same bytes; None where all differ."""
    members: dict[str, list[int]] = {}
    for place, content in enumerate(run.images.column("sha256")):
        if content:
            members.setdefault(content, []).append(place)
    groups = [[run.images[place] for place in group] for group in members.values() if len(group) > 1]
    if not groups:
        return None
    across = [len({row.get("label") for row in group if row.get("label")}) > 1 for group in groups]
    order = sorted(range(len(groups)), key=lambda index: not across[index])  # stable
    named = tuple(tuple(row["path"] for row in groups[index]) for index in order[:NAMED])
    return Copies(named, len(groups), sum(map(len, groups)), sum(across))


def inspection(run: Run) -> Inspection | None:
    """Return what an inspection of the data found; None where the run directory holds none.

    Raises:
        RunError: there is one, and it is damaged.
    """
    folder = run.directory / "inspect"
    if not (folder / "inspection.json").is_file():
        return None
    found = read_json(folder, "inspection.json", ("data", "findings"), AGAIN)
    said = [entry for entry in found["findings"] or () if isinstance(entry, Mapping)]
    findings = tuple((str(entry.get("severity") or ""), str(entry.get("what") or ""), str(entry.get("do") or "")) for entry in said)
    return Inspection(str(found["data"] or ""), findings, "inspect/index.html" if (folder / "index.html").is_file() else "")


def apart(run: Run, kind: Callable[[Mapping[str, str]], str]) -> tuple[float, str, str]:
    """Return how far the classes differ in a kind of image: total variation, and the commonest kind of fakes and of reals.

    Returns:
        In [0, 1]: 0 where a kind says nothing of the class, 1 where it gives the class away.
    """
    shares: dict[str, Counter[str]] = {name: Counter(kind(row) for row in run.images if row.get("label") == name) for name in CLASSES}
    if not all(shares.values()):
        return 0.0, "", ""
    total = {name: sum(own.values()) for name, own in shares.items()}
    kinds = set(shares["real"]) | set(shares["fake"])
    distance = sum(abs(shares["fake"][name] / total["fake"] - shares["real"][name] / total["real"]) for name in kinds) / 2
    fake, real = (min(shares[name], key=lambda one: (-shares[name][one], one)) for name in ("fake", "real"))
    return distance, fake, real


def about(row: Mapping[str, str]) -> str:
    """Return an image's size to the next power of two of its pixels, where every picture has a size of its own.

    Example:
        >>> about({"width": "300", "height": "200"}), about({"width": "260", "height": "240"})
        ('about 256 × 256', 'about 256 × 256')
    """
    pixels = (words.real(row.get("width")) or 0) * (words.real(row.get("height")) or 0)
    if pixels <= 0:
        return "not known"
    side = 2 ** (round(math.log2(pixels)) / 2)
    return f"about {side:.0f} × {side:.0f}"
