"""The page of a data set: what `whyfake inspect --out` wrote, for reading."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reports import words
from reports.run import read_json
from reports.sheet import Picture, Section, Table, page
from xai import store
from xai.errors import listed

AGAIN = "run 'whyfake inspect DATA --out DIR' again"
GROUPS, FILES = 100, 200  # rows at most of the tables of copies and of skipped files; the folder's other files have them all
KINDS = (
    ("sizes", "Sizes, in pixels"),
    ("formats", "Formats"),
    ("modes", "Modes"),
    ("suffixes", "Endings"),
    ("compression", "JPEG compression"),
    ("metadata", "Beside the pixels"),
)
PICTURES = (("bytes.png", "File sizes, each class as shares of its own"), ("quality.png", "JPEG quality, where it can be told"))

NEEDED = "data layout images classes splits bytes bits_per_pixel quality duplicates leak findings skipped imbalance".split()


def render(directory: str | Path) -> Path:
    """Write `index.html` of a folder that an inspection left.

    Args:
        directory: has `inspection.json`; the pictures beside it are shown where they are there.

    Returns:
        The page's path.

    Raises:
        RunError: `inspection.json` is missing or damaged.
    """
    folder = Path(directory)
    found = read_json(folder, "inspection.json", (*NEEDED, *(key for key, _ in KINDS)), AGAIN)
    images, leak, classes = found["images"], found["leak"], found["classes"]
    worst = [f for f in found["findings"] if f["severity"] != "note"]
    name = str(found["data"] or "the data set")
    told = worst[0]["what"] if worst else "Nothing serious stands out." if found["findings"] else "Nothing stands out."
    more = f"{words.plural(len(worst) - 1, 'more serious finding')} below." if len(worst) > 1 else ""
    lead = [told, more, found["layout"]]
    tiles = [
        (
            "Images",
            words.number(images["readable"]),
            f"{words.number(images['unreadable'])} more unreadable" if images["unreadable"] else "all readable",
        ),
        *([("Classes", " : ".join(words.number(count) for count in classes.values()), " : ".join(classes))] if classes else []),
        *([("File size alone", *area(leak))] if leak and leak["families"] else []),
        ("Copies", words.number(sum(len(found["duplicates"][kind]["groups"]) for kind in ("exact", "near"))), "groups, exact and near"),
    ]
    content = page(
        f"What is in {name}?",
        "\n".join(line for line in lead if line),
        tiles,
        [advice(found), leaked(folder, found), stored(folder, found), copied(found), skipped(found), made(found)],
        eyebrow="Inspection of a data set",
    )
    return store.write_bytes(folder / "index.html", content.encode("utf-8", "replace"))


def advice(found: dict[str, Any]) -> Section:
    """Return the findings, the worst first."""
    rows = [(finding["severity"], finding["what"], finding["do"]) for finding in found["findings"]]
    if not rows:
        return Section("Findings", "Nothing stands out.")
    return Section("Findings", items=(Table("The worst first", ("How bad", "What was found", "What to do"), rows),))


def area(leak: dict[str, Any]) -> tuple[str, str]:
    """Return the AUC of file size and its interval as texts."""
    family = next(family for family in leak["families"] if family["name"] == "file size")
    return words.fixed(family["auc"]), f"AUC, 0.5 is chance; {bounds(family)}"


def bounds(family: dict[str, Any]) -> str:
    """Return an interval of an AUC as text."""
    return f"{words.fixed(family['interval'][0])} to {words.fixed(family['interval'][1])}" if family["interval"] else words.NONE


def leaked(folder: Path, found: dict[str, Any]) -> Section:
    """Return what file facts alone give away."""
    leak = found["leak"]
    if not leak:
        return Section("")
    if not leak["families"]:
        return Section("Leaks", leak["sentence"])
    rows = [(f["name"], words.fixed(f["auc"]), bounds(f), f["verdict"], f["difference"]) for f in leak["families"]]
    lead = (
        "How well a small model tells real from fake from file facts alone, without one pixel: AUC is the area under the ROC curve, "
        f"0.5 is chance, 1 is without fail. {words.number(leak['images'])} files, each judged by models that did not see it "
        f"({leak['folds']} folds, drawn {leak['rounds']} times); of files with the same content one was taken. Intervals are 95 %."
    )
    table = Table("File facts", ("Facts", "AUC", "Interval", "Verdict", "How the classes differ"), rows)
    return Section("Leaks", f"{leak['sentence']}\n{lead}", (table, *shown(folder, (("leak.png", "AUC with its interval"),))))


def stored(folder: Path, found: dict[str, Any]) -> Section:
    """Return how many files there are of each kind, and how large."""
    groups = ["all", *found["classes"]]
    heads = tuple(words.group(group)[0] for group in groups)
    rows = [("all", *(words.number(found["bytes"][group]["count"]) for group in groups))] if found["splits"] == {} else []
    for name, parts in found["splits"].items():
        rows.append((name, *(words.number(sum(parts.values()) if group == "all" else parts.get(group, 0)) for group in groups)))
    items: list[Table | Picture] = [Table("Images per split" if found["splits"] else "Images", ("Split", *heads), rows)]
    measures = [
        ("File size, KB: median", *(words.number(found["bytes"][group]["median"] / 1000) for group in groups)),
        ("File size, KB: range", *(span(found["bytes"][group], 1000) for group in groups)),
        ("Bits per pixel: median", *(words.fixed(found["bits_per_pixel"][group]["median"]) for group in groups)),
        ("Bits per pixel: range", *(span(found["bits_per_pixel"][group], decimals=2) for group in groups)),
        ("JPEG quality: median", *(words.number(found["quality"][group].get("median")) for group in groups)),
        ("JPEG quality: range", *(span(found["quality"][group]) for group in groups)),
    ]
    items.append(Table("Measures", ("", *heads), measures))
    for key, title in KINDS:
        kinds = [(kind["name"], *(words.number(kind[group]) for group in groups)) for kind in found[key]]
        if kinds:
            items.append(Table(title, ("Kind", *heads), kinds))
    return Section("Files", found["imbalance"]["sentence"] if found["imbalance"] else "", (*items, *shown(folder, PICTURES)))


def span(spread: dict[str, Any], unit: float = 1, decimals: int | None = None) -> str:
    """Return the range of values as text."""
    if spread.get("low") is None:
        return words.NONE
    shown = words.number if decimals is None else partial(words.fixed, decimals=decimals)
    return f"{shown(spread['low'] / unit)} to {shown(spread['high'] / unit)}"


def copied(found: dict[str, Any]) -> Section:
    """Return the copies: how many, and which."""
    rows, groups = [], []
    for kind, name in (("exact", "file for file"), ("near", "near copies")):
        part = found["duplicates"][kind]
        numbers = (len(part["groups"]), part["files"], len(part["across_splits"]), len(part["across_classes"]))
        rows.append((name, *map(words.number, numbers)))
        across = {tuple(group): "splits" for group in part["across_splits"]} | {tuple(group): "classes" for group in part["across_classes"]}
        # Those that do harm are told first.
        ranked = sorted(part["groups"], key=lambda group: tuple(group) not in across)
        groups += [(name, words.number(len(group)), across.get(tuple(group), words.NONE), listed(group, 6)) for group in ranked]
    items = [Table("Copies", ("Kind", "Groups", "Files", "Across splits", "Across classes"), rows)]
    if groups:
        note = f"The first {GROUPS} of {len(groups)}; inspection.json has all." if len(groups) > GROUPS else ""
        items.append(Table("Groups", ("Kind", "Files", "Across", "Paths"), groups[:GROUPS], note))
    lead = "Near copies are the same picture saved, scaled, cropped or mirrored again." if groups else "No picture was found twice."
    return Section("Copies", lead, tuple(items))


def skipped(found: dict[str, Any]) -> Section:
    """Return what could not be read."""
    rows = list(found["skipped"].items())
    if not rows:
        return Section("")
    note = f"The first {FILES} of {len(rows)}; skipped.csv has all." if len(rows) > FILES else ""
    return Section("Unreadable", "These files are in none of the numbers.", (Table("Unreadable files", ("File", "Reason"), rows[:FILES], note),))


def made(found: dict[str, Any]) -> Section:
    """Return how the inspection was made."""
    images = found["images"]
    rows = [
        ("whyfake", str(found.get("whyfake") or words.NONE)),
        ("files found", words.number(images["found"])),
        ("files inspected", words.number(images["inspected"])),
        ("limit", words.number(found.get("limit"))),
        ("seed", words.number(found.get("seed"))),
        ("label 1 stands for", str(found.get("positive") or words.NONE)),
    ]
    return Section("How it was made", items=(Table("Inspection", ("Setting", "Value"), rows, "files.csv has every fact of every file."),))


def shown(folder: Path, names: Sequence[tuple[str, str]]) -> tuple[Picture, ...]:
    """Return those of the pictures that are in the folder."""
    return tuple(Picture(title, (folder / name).read_bytes()) for name, title in names if (folder / name).is_file())
