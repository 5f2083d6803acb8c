"""What face parts cost an audit: the same images mapped with and without them, and the swaps of one image."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from models import build
from train.portraits import Artefact, write
from xai import miniature
from xai.audit import make
from xai.detector import Detector, wrap
from xai.engine.engines import LOCAL
from xai.gather import listing
from xai.items import Item, Work
from xai.mapfile import merge
from xai.maps.mapped import placements
from xai.maps.methods import resolve
from xai.probes.measure import measure
from xai.regions.collect import Collector, Measured
from xai.regions.source import Mesh, Source, open_source
from xai.regions.table import regions
from xai.rows import Rows
from xai.study import study_tables

SIZE, DRAWN, IMAGES, ROUNDS = 256, 100, 1000, 5
BESIDE = ("activation", "gradcam")


def items_of(folder: Path, count: int) -> list[Item]:
    """Return portraits as an audit's images, over and over again."""
    paths = sorted(path for label in ("real", "fake") for path in (folder / label).iterdir())
    chosen = [paths[index % len(paths)] for index in range(count)]
    return [Item(index, path, f"{path.parent.name}/{path.name}", path.parent.name, f"{index:064x}") for index, path in enumerate(chosen)]


def seconds(detector: Any, items: list[Item], work: Work) -> tuple[float, float]:
    """Return how long maps and means take, and the region tables of them."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        rows, measured = joined(detector, items, work, Path(folder))
        mapped = time.perf_counter()
        if measured is not None:
            study_tables(measured, rows, 0)
        return mapped - start, time.perf_counter() - mapped


def joined(detector: Detector, items: Sequence[Item], work: Work, folder: Path, quiet: bool = True) -> tuple[Rows, Measured | None]:
    """Map images and join their shards; return their rows, and their maps against their parts."""
    made, _ = make(detector, items, work, folder, LOCAL, None, quiet, lambda line: None)
    shards = [folder / "shards" / f"{one.name}.h5" for one in made]
    found, names = listing(shards, detector.threshold, work.source.kind if work.source else ""), work.source.names if work.source else None
    return found.rows, merge(shards, found, work.pairs, placements(detector, work.layers, work.methods), names, work.dtype, folder)[1]


def compare() -> dict[str, float]:
    """Measure both side by side; the medians of some rounds, of ratios those of each round's own."""
    with tempfile.TemporaryDirectory() as folder:
        data = write(Path(folder) / "portraits", DRAWN, SIZE, artefact=Artefact.of("checkerboard"), seed=0)
        detector = wrap(build("alexnet18", SIZE))
        methods = resolve(("auto",), detector, BESIDE, 0)
        plain = Work(tuple(detector.select("auto")), methods, miniature.sides(IMAGES))
        labels: Source | None = open_source(data=data)
        items = items_of(data, IMAGES)
        seconds(detector, items[:64], plain)  # warm
        times: dict[str, list[float]] = {"plain": [], "attended": [], "parts": [], "tables": []}
        for _ in range(ROUNDS):
            times["plain"].append(seconds(detector, items, plain)[0])
            with patch.object(Collector, "align"):
                times["attended"].append(seconds(detector, items, replace(plain, source=labels))[0])
            with_parts, tables = seconds(detector, items, replace(plain, source=labels))
            times["parts"].append(with_parts)
            times["tables"].append(tables)
        every = {name: np.array(found) for name, found in times.items()}
        typical = {name: float(np.median(found)) for name, found in every.items()}
        mesh_s = seconds(detector, items[:200], replace(plain, source=Mesh()))[0] / 200
        assert labels is not None
        rows = regions(labels.names)
        start = time.perf_counter()
        found = measure(detector, items[:20], labels, rows, Path(folder) / "effects", pool=items[:DRAWN], donors=2)
        each = (time.perf_counter() - start) / max(1, int((found.area > 0).sum()))
    return {
        "maps and means of 1,000 images without parts, s": typical["plain"],
        "the same with attention to parts from label images, s": typical["attended"],
        "the same with differences on the mean face too, s": typical["parts"],
        "region tables with intervals and tests, s": typical["tables"],
        "attention and tables / without": float(np.median((every["attended"] + every["tables"]) / every["plain"])),
        "all of it / without": float(np.median((every["parts"] + every["tables"]) / every["plain"])),
        "an image with parts from the mesh, ms": 1000 * mesh_s,
        "an image without parts, ms": 1000 * typical["plain"] / IMAGES,
        "swaps of one region of one image (2 donors, 7 passes), ms": 1000 * each,
    }


if __name__ == "__main__":
    for name, value in compare().items():
        print(f"{name}: {value:.3g}")
