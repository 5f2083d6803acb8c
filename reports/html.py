"""The page: numbers and pictures put into the templates, written in one piece."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import (
    aligned,
    attention,
    channels,
    charts,
    context,
    filmstrip,
    gallery,
    making,
    parts,
    performance,
    trust,
    words,
)
from reports.drawn import MapFile
from reports.run import Run, read
from xai import store

HERE = Path(__file__).parent


def render(directory: str | Path) -> Path:
    """Write `index.html` of a run directory.

    The page is a pure function of the other files: the same files give the same bytes.

    Args:
        directory: what `whyfake audit --out` wrote.

    Returns:
        The page's path.

    Raises:
        RunError: a needed file is missing or damaged; the old page, if any, stays.
    """
    run = read(directory)
    content = page(gather(run)).encode("utf-8", "replace")
    return store.write_bytes(run.directory / "index.html", content)


def gather(run: Run) -> dict[str, Any]:
    """Return everything that the templates show."""
    model = run.record["model"] or {}
    height, width = (int(side) for side in (model.get("input") or (1, 1))[:2])
    choice = gallery.choose(run)
    cards, faces = gallery.cards(run, choice.rows, (height, width))
    believed = trust.trust(run)  # first: what it says of the maps stands in other parts too
    with MapFile(run.directory / "maps.h5") as maps:
        means = filmstrip.means(run, maps)
        signs = filmstrip.signed(run, means)
        data = gallery.payload(run, maps, cards, signs)
    spot = context.focus(run, means)
    grids, grids_left_out = channels.images(run)
    behind = {}
    for group in run.groups:
        members = [face for card, face in zip(cards, faces, strict=True) if group in ("all", card.label, card.outcome)]
        if members:
            behind[group] = charts.uri(charts.mean_face(members), "image/jpeg")
    return {
        "run": run,
        "model": model,
        "threshold": run.threshold,
        "aspect": f"{width} / {height}",
        "data_name": (run.record.get("data") or {}).get("name") or "the images",
        "verdict": context.verdict(run, spot),
        "tiles": context.tiles(run, spot),
        "notes": [str(note) for note in run.summary.get("notes") or ()],
        "focus": spot,
        "signs": signs,
        "faces": behind,
        "stretched": bool((run.record.get("options") or {}).get("stretch")),
        "areas": [layer["area"] for layer in data["layers"]],
        "cells": filmstrip.cells(run, means, signs),
        "attention": attention.tables(run),
        "parts_record": run.summary.get("parts"),
        "verdicts": run.summary.get("verdicts") or (),
        "pairs": parts.pairs(run),
        "effects": parts.effects(run),
        "differences": parts.differences(run),
        "aligned": aligned.differences(run),
        "trust": believed,
        "marks": trust.marks(run),
        "measures": performance.table(run),
        "confusion": performance.confusion(run),
        "scores": performance.scores(run),
        "curves": performance.curves(run),
        "channels": grids,
        "channels_left_out": grids_left_out,
        "choice": choice,
        "cards": cards,
        "data": data,
        "palettes": charts.palettes(),
        "command": making.command(run),
        "sections": making.sections(run),
        "layer_rows": making.layers(run),
        "record": making.whole(run),
    }


def page(content: dict[str, Any]) -> str:
    """Return the page as text."""
    script = (HERE / "static" / "report.js").read_text(encoding="utf-8")
    style = (HERE / "static" / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment()
        .get_template("page.html")
        .render(
            content,
            # The style sheet and the script are ours and hold no text from the run.
            script=Markup(script),
            style=Markup(style),
            # Only this one script may run, and nothing may be loaded from anywhere.
            policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            words=words,
        )
    )


@cache
def environment() -> Environment:
    """Return the templates, with everything from a run escaped."""
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
