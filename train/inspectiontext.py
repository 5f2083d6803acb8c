"""An inspection as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from train.filefacts import amount
from train.leakwords import written
from xai.errors import readable

WIDTH = 110
SHOWN = 6  # rows of one kind; the page has more
KINDS = (
    ("sizes", "size"),
    ("formats", "format"),
    ("modes", "mode"),
    ("suffixes", "ending"),
    ("compression", "compression"),
    ("metadata", "beside pixels"),
)


def text(inspection: dict[str, Any]) -> str:
    """Return an inspection as text: what there is, what was copied, what gives the classes away, what to do."""
    parts = [headline(inspection), counts(inspection), copies(inspection), leak(inspection["leak"]), advice(inspection["findings"])]
    return "\n\n".join(part for part in parts if part)


def headline(inspection: dict[str, Any]) -> str:
    """Return what was inspected, in two or three lines."""
    images = inspection["images"]
    lines = [f"{inspection['data']}: {images['readable']:,} images, {amount(inspection['bytes']['all']['sum'])}", inspection["layout"]]
    if images["inspected"] < images["found"]:
        lines.append(f"{images['inspected']:,} of {images['found']:,} files, chosen with seed {inspection['seed']}")
    if images["unreadable"]:
        lines.append(f"{images['unreadable']:,} more cannot be read")
    return readable_lines(lines)


def counts(inspection: dict[str, Any]) -> str:
    """Return the table of everything that is counted per class."""
    groups = list(inspection["bytes"])
    groups = groups if len(groups) > 1 else ["all"]
    rows = [("", *groups), ("images", *(f"{inspection['bytes'][group]['count']:,}" for group in groups))]
    for name, parts in inspection["splits"].items():
        rows.append((f"  {name}", *(f"{sum(parts.values()) if group == 'all' else parts.get(group, 0):,}" for group in groups)))
    rows.append(("file size", *(ranged(inspection["bytes"][group], amount) for group in groups)))
    rows.append(("bits per pixel", *(ranged(inspection["bits_per_pixel"][group], lambda value: f"{value:.2f}") for group in groups)))
    for key, name in KINDS:
        for kind in inspection[key][:SHOWN]:
            rows.append((name, *(f"{kind[group]:,}" for group in groups), kind["name"]))
            name = ""
        if len(inspection[key]) > SHOWN:
            rows.append(("", *(f"{sum(kind[group] for kind in inspection[key][SHOWN:]):,}" for group in groups), "others"))
    return columns(rows)


def copies(inspection: dict[str, Any]) -> str:
    """Return the table of exact and near copies."""
    found = inspection["duplicates"]
    rows: list[tuple[str, ...]] = [("copies", "groups", "files", "across splits", "across classes")]
    for kind, name in (("exact", "file for file"), ("near", "near copies")):
        part = found[kind]
        rows.append(
            (name, *(f"{count:,}" for count in (len(part["groups"]), part["files"], len(part["across_splits"]), len(part["across_classes"]))))
        )
    return columns(rows)


def leak(found: dict[str, Any] | None) -> str:
    """Return the table of the leak test."""
    if not found or not found["families"]:
        return ""
    lead = f"What file facts alone give away (AUC: 0.5 nothing, 1 everything; {found['images']:,} files, {found['folds']} folds, 95 % intervals)"
    rows = [(f["name"], written(f), f["verdict"] if f["interval"] else "–", f["difference"]) for f in found["families"]]
    return f"{lead}\n{columns(rows, left=(0, 2, 3))}"


def advice(findings: Sequence[dict[str, str]]) -> str:
    """Return the findings, numbered, each with what to do."""
    if not findings:
        return "Nothing stands out."
    lines = []
    for number, finding in enumerate(findings, 1):
        start = f"{number}. "
        for text, first, hanging in ((f"{finding['severity']}: {finding['what']}", start, 0), (finding["do"], " " * len(start) + "→ ", 2)):
            rest = " " * (len(start) + hanging)
            lines += textwrap.wrap(readable(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False)
    return "\n".join(lines)


def ranged(spread: dict[str, float], shown: Any) -> str:
    """Return a median with the range around it."""
    return f"{shown(spread['median'])} ({shown(spread['low'])} to {shown(spread['high'])})"


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """Return rows as aligned text.

    Numbers stand to the right; the first column, those in `left`, and cells that only some rows have, to the left.

    Example:
        >>> print(columns([("", "all"), ("images", "12")]))
                all
        images   12
    """
    count = max(map(len, rows))
    numeric = min(map(len, rows))
    widths = [max((len(row[place]) for row in rows if place < len(row)), default=0) for place in range(count)]
    lines = []
    for row in rows:
        cells = [
            readable(cell).ljust(width) if place == 0 or place in left or place >= numeric else readable(cell).rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def readable_lines(lines: Sequence[str]) -> str:
    """Return lines that any terminal takes; empty ones are left out."""
    return "\n".join(readable(line) for line in lines if line)
