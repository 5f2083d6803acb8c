"""The plain page for everything that is no audit: a title, tiles, and sections of tables and pictures."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from reports import charts, html, words
from xai.errors import RunError

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LONG = 30  # characters
KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
# A number with its sign, decimals, exponent and unit ("−1.5", "12k", "99.5%", "256×256"), or a short word between numbers ("to", "of", "MB").
NUMBER = re.compile(r"[<>≤≥≈~±+−-]*\d([\d.,:/×x+−–-]*\d)?([a-zA-Zµ]{0,3}|%)|[×±%/·–−]|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|[a-zA-Zµ]{1,3}(/s)?")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its caption.

    Args:
        title: the caption, also read out to who cannot see it.
        data: the file's bytes: PNG, JPEG or WebP. Shown at its own size, smaller where there is no room.
        note: a sentence under the caption.
    """

    title: str
    data: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Args:
        title: the caption.
        header: one heading per column.
        rows: one cell per heading; the first names the row.
        note: a sentence under the table.
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What is neither picture nor table: a template of its own, which finds its content as `item.content`."""

    template: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a page; it stands in the page's navigation."""

    title: str
    lead: str = ""
    items: tuple[Picture | Table | Part, ...] = ()


def page(
    title: str,
    lead: str,
    tiles: Sequence[tuple[str, str, str]],
    sections: Sequence[Section],
    *,
    eyebrow: str = "",
    notes: Sequence[str] = (),
    command: str = "",
    style: str = "",
) -> str:
    """Return a self-contained HTML page that looks like the audit's.

    Every text is escaped, nothing is loaded and no script runs.

    Args:
        title: the heading.
        lead: what was found, in plain sentences; a line break starts a paragraph.
        tiles: label, value, note of the large numbers at the top.
        sections: what follows; those without a lead and items are left out.
        eyebrow: a small line above the heading.
        notes: warnings, each in a box of its own.
        command: how it was made, as one would type it.
        style: more CSS, for parts; must hold no text from outside.

    Returns:
        The page.

    Raises:
        RunError: a picture is not a PNG, JPEG or WebP.
        ValueError: a table's row has not one cell per heading.

    Example:
        >>> table = Table("Sizes", ("Size", "Images"), [("256 × 256", "800")])
        >>> text = page("A data set", "800 images.", [("Images", "800", "")], [Section("Sizes", items=(table,))])
        >>> text.startswith("<!doctype html>"), "256 × 256" in text, "<script" in text
        (True, True, False)
    """
    folder = html.HERE / "static"
    return (
        html.environment()
        .get_template("sheet.html")
        .render(
            title=title,
            lead=[line for line in lead.splitlines() if line.strip()],
            tiles=tiles,
            sections=[shown(section) for section in sections if section.lead or section.items],
            eyebrow=eyebrow,
            notes=notes,
            command=command,
            policy=POLICY,
            # The style sheets are ours and hold no text from outside.
            style=Markup("\n".join([*((folder / name).read_text(encoding="utf-8") for name in ("report.css", "sheet.css")), style])),
        )
    )


def shown(section: Section) -> dict[str, Any]:
    """Return a section as the template takes it."""
    items = [drawn(item) if isinstance(item, Picture) else set_out(item) if isinstance(item, Table) else of_its_own(item) for item in section.items]
    return {"title": section.title, "lead": [line for line in section.lead.splitlines() if line.strip()], "cells": items}


def drawn(picture: Picture) -> dict[str, Any]:
    """Return a picture with its `data:` address and its own size in pixels."""
    try:
        with Image.open(io.BytesIO(picture.data), formats=tuple(KINDS)) as image:
            kind, size = KINDS[str(image.format)], image.size
    except (UnidentifiedImageError, OSError, ValueError):
        raise RunError(f"picture '{picture.title}' cannot be read; expected a PNG, JPEG or WebP; make it again") from None
    return {"kind": "picture", "title": picture.title, "note": picture.note, "uri": charts.uri(picture.data, kind), "size": size}


def of_its_own(part: Part) -> dict[str, Any]:
    """Return a part as its template takes it."""
    return {"kind": "part", "template": part.template, "content": part.content}


def set_out(table: Table) -> dict[str, Any]:
    """Return a table with the alignment of each column."""
    for index, row in enumerate(table.rows):
        if len(row) != len(table.header):
            raise ValueError(f"row {index} of table '{table.title}' has {len(row)} cells; expected {len(table.header)}, one per heading")
    sides = [side([row[place] for row in table.rows]) if place else "" for place in range(len(table.header))]
    # Where there is no room, a table of texts stands one cell under the other; one of numbers is scrolled.
    stacked = "long" in sides and "num" not in sides
    return {"kind": "table", "title": table.title, "note": table.note, "header": table.header, "rows": table.rows, "sides": sides, "stacked": stacked}


def side(cells: Sequence[str]) -> str:
    """Return how a column is set: "num" to the right, "long" with room for sentences, or ""."""
    return "num" if numeric(cells) else "long" if max(map(len, cells), default=0) > LONG else ""


def numeric(cells: Sequence[str]) -> bool:
    """Say whether a column is one of numbers: at least half of the cells that hold something.

    Example:
        >>> numeric(["0.81 (0.75 to 0.86)", "–", ""]), numeric(["12 of 40", "failed"]), numeric(["jpg", "png"])
        (True, True, False)
    """
    filled = [cell for cell in cells if cell.strip() not in ("", words.NONE)]
    return bool(filled) and 2 * sum(map(number_like, filled)) >= len(filled)


def number_like(cell: str) -> bool:
    """Say whether a text is a number, a range, a share or a size.

    Example:
        >>> [number_like(text) for text in ("1,280", "−0.5", "99.5 %", "84.7 to 93.1 %", "256 × 256", "3.2 MB", "1.23 × 10⁻⁷")]
        [True, True, True, True, True, True, True]
        >>> [number_like(text) for text in ("conv2d", "jpg", "0001.jpg", "3 layers", "")]
        [False, False, False, False, False]
    """
    parts = cell.replace("(", " ").replace(")", " ").replace("[", " ").replace("]", " ").replace(";", " ").split()
    return bool(parts) and any(c.isdigit() for c in parts[0]) and all(NUMBER.fullmatch(part.rstrip(",*")) for part in parts)
