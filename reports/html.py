"""The page: numbers and pictures put into the templates, written in one piece."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from reports import (
    alerts,
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
    plots,
    tables,
    trust,
    words,
)
from reports import data as dataset
from reports.drawn import MapFile
from reports.run import Run, read
from reports.sections import Section, show
from reports.shelf import HOME, Shelf, discard, replacing, single
from xai import store

HERE = Path(__file__).parent
NOTHING_ELSE = ("default-src 'none'", "style-src 'unsafe-inline'", "base-uri 'none'", "form-action 'none'")


def render(directory: str | Path, layout: str = "auto", sections: Sequence[Section] = ()) -> Path:
    """Write the page of a run directory: `index.html`, or for many images `report/`, with an `index.html` that leads there.

    The page is a pure function of the other files: the same files give the same bytes.

    Args:
        directory: what `whyfake audit --out` wrote.
        layout: "single" for one file, "folder" for a folder that can be given away, "auto" for one file up to 60 images.
        sections: further ones, shown before how it was made.

    Returns:
        The page's path.

    Raises:
        RunError: a needed file is missing or damaged; the old page, if any, stays.
    """
    run = read(directory)
    index = run.directory / "index.html"
    if single(layout, len(run.images)):
        content = page(gather(run, Shelf(), sections))
        store.write_bytes(index, content.encode("utf-8", "replace"))
        discard(run.directory)
        return index
    with replacing(run.directory) as folder:
        content = page(gather(run, Shelf(folder), sections))
        (folder / "index.html").write_bytes(content.encode("utf-8", "replace"))
    store.write_bytes(index, environment().get_template("forward.html").render(address=f"{HOME}/index.html").encode())
    return run.directory / HOME / "index.html"


def gather(run: Run, shelf: Shelf, sections: Sequence[Section] = ()) -> dict[str, Any]:
    """Return everything that the templates show; what is too large for the page's text goes to the shelf."""
    model = run.record["model"] or {}
    height, width = (int(side) for side in (model.get("input") or (1, 1))[:2])
    with MapFile(run.directory / "maps.h5") as maps:
        maps.check(len(run.images))
        means = filmstrip.means(run, maps)
        signs = filmstrip.signed(run, means)
        choice = gallery.choose(run)
        # The images are most of the work, and encoders let other threads go on.
        with ThreadPoolExecutor(1) as beside:
            images = beside.submit(gallery.payload, run, maps, choice, signs, shelf)
            believed = trust.trust(run)
            strip = filmstrip.cells(run, maps, means, signs)
            boxes = [gallery.percents(maps.box(layer, method)) for layer, method in gallery.first_methods(run).items()]
            faces = gallery.faces(run, maps, (height, width))
            grids, grids_left_out = channels.images(run, shelf)
            found, chunks = images.result()
        regions = (found["regions"] or {}).get("names", [])
        data = gallery.stored(shelf, found, chunks)
    spot = context.focus(run, means)
    return {
        "run": run,
        "model": model,
        "threshold": run.threshold,
        "aspect": f"{width} / {height}",
        "data_name": (run.record.get("data") or {}).get("name") or "the images",
        "verdict": context.verdict(run, spot),
        "tiles": context.tiles(run, spot),
        "alerts": alerts.alerts(run, spot),
        "anchors": alerts.ANCHORS,
        "dataset": dataset.data(run),
        "up": "" if shelf.inside else "../",  # from the page to the run directory
        "focus": spot,
        "signs": signs,
        "faces": {group: charts.uri(charts.jpeg(Image.fromarray(face), quality=72), "image/jpeg") for group, face in faces.items()},
        "stretched": bool((run.record.get("options") or {}).get("stretch")),
        "boxes": boxes,
        "cells": strip,
        "kinds": filmstrip.KINDS,
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
        "drawn_curves": plots.plots(run),
        "plots": plots,
        "channels": grids,
        "features": channels.features(run),
        "channels_left_out": grids_left_out,
        "choice": choice,
        "choices": {key: sorted({run.images[row].get(key, "") for row in choice.rows}) for key in ("label", "prediction", "outcome", "split")},
        "labelled": any(run.images[row].get("label") for row in choice.rows),
        "regions": regions,
        "data": data,
        "palettes": charts.palettes(),
        "command": making.command(run),
        "sections": making.sections(run),
        "layer_rows": making.layers(run),
        "record": making.whole(run),
        "extra": show(run, sections),
    }


def page(content: dict[str, Any]) -> str:
    """Return the page as text."""
    scripts = [static("report.js"), static("data.js"), static("gallery.js"), static("viewer.js"), static("figures.js"), static("tables.js")]
    styles = [static("report.css"), static("gallery.css"), static("charts.css"), static("tables.css")]
    beside = "" if content["data"] is not None else " 'self'"
    hashes = " ".join(f"'sha256-{digest(script)}'" for script in [*scripts, tables.bundle()])
    return (
        environment()
        .get_template("page.html")
        .render(
            content,
            # The style sheets and the scripts hold no text from the run.
            scripts=[Markup(script) for script in scripts],
            library=tables.packed(),
            styles=[Markup(style) for style in styles],
            # Only these scripts may run, and nothing may be loaded but what lies beside the page.
            policy="; ".join([f"img-src data: blob:{beside}", f"script-src {hashes}{beside}", *NOTHING_ELSE]),
            words=words,
        )
    )


def static(name: str) -> str:
    """Return a script or a style sheet."""
    return (HERE / "static" / name).read_text(encoding="utf-8")


def digest(script: str) -> str:
    """Return a script's SHA-256 as a content security policy writes it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def environment() -> Environment:
    """Return the templates, with everything from a run escaped."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"plain": tables.plain, "rank": tables.rank}
    return templates
