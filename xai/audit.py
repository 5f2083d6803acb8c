"""From a data set to a run directory: maps, means, numbers and pictures of all its images."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xai import miniature, notebook, overlay, store
from xai.claims import parse_claims
from xai.detector import Detector
from xai.engine.engines import LOCAL, Engine
from xai.engine.shard import Made
from xai.errors import DataError, ImageError, nothing_left, readable
from xai.gather import listing
from xai.heap import trim
from xai.images import read
from xai.items import Item, Work, digest, known
from xai.mapfile import merge
from xai.maps.mapped import placements
from xai.maps.methods import parse, resolve, selected
from xai.maps.placement import Placement
from xai.progress import bar
from xai.provenance import Request, provenance
from xai.regions.source import open_source
from xai.rows import Rows
from xai.shelf import Shelf
from xai.study import study, swap, trusted
from xai.summary import summarise, telling, uncarded
from xai.trust.study import believe

SHARD = 256  # images of one shard: what a stop costs at most
LARGE = 10**9  # bytes of maps from which on their size is said beforehand
BESIDE = ("activation", "gradcam", "hirescam")  # shown with the method to trust: what others publish, and what is right on any head


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit found: the run directory, `summary.json`'s content, skipped path -> reason."""

    folder: Path
    summary: dict[str, Any]
    skipped: dict[str, str]

    def _repr_html_(self) -> str:
        """Show in a notebook what was found, and where the page is."""
        found, trust = self.summary, self.summary.get("trust") or {}
        sentences = [found.get("finding"), *(found.get("verdicts") or ()), trust.get("meaning"), *(found.get("notes") or ())]
        return notebook.paragraphs(sentences) + notebook.table(tiles(found)) + notebook.page_link(self.folder)


def tiles(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the first numbers of `summary.json`, in words."""
    images, metrics = summary["images"], summary.get("metrics") or {}
    shown = [("Images read", f"{images['read']:,}"), ("Skipped", f"{images['skipped']:,}")]
    for key, where in (("held_out", "not in training"), ("all", "all images")):
        if found := metrics.get(key):
            low, high = found["accuracy_interval"]
            shown.append((f"Accuracy, {where}", f"{found['accuracy']:.1%} of {found['count']:,} (95 % {low:.1%} to {high:.1%})"))
            shown += [(f"ROC AUC, {where}", f"{found['roc_auc']:.3f}")] if found.get("roc_auc") is not None else []
    return shown


def seen_in_training(detector: Detector) -> dict[str, str]:
    """Return content hash -> split from the manifest beside the model; empty where there is none."""
    if not detector.card or not detector.card.get("manifest") or not detector.path:
        return {}
    path = Path(detector.path).parent / Path(str(detector.card["manifest"])).name
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["sha256"]: row["split"] for row in csv.DictReader(file) if row.get("sha256")}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{path}' is no manifest of a training ({error}); mend or remove it") from None


def audit(
    detector: Detector,
    items: Sequence[Item],
    out: str | Path,
    request: Request,
    *,
    seen: Mapping[str, str] | None = None,
    engine: Engine = LOCAL,
    data_name: str = "",
    root: str | Path | None = None,
    batch_size: int | None = None,
    clean: bool = False,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Audited:
    """Map every image, merge, and write the run directory (all but the page itself).

    Shards that are already there are kept, so the same command goes on after a kill.

    Args:
        detector: the detector.
        items: the images; read lazily, so that millions can be given.
        out: the run directory.
        request: what to do.
        seen: content hash -> the split an image was in when the model was trained.
        engine: where the shards are made.
        data_name: shown in the report.
        root: the data folder, which may bring label images of its own.
        batch_size: images a pass.
        clean: remove what earlier runs with other parameters left in `shards/`.
        quiet: no progress bar.
        say: told what happens.

    Raises:
        WhyfakeError: nothing could be read, an unknown layer, a full disk, …
    """
    started = time.time()
    out = store.make_folder(out)
    detector = detector.stretch() if request.stretch else detector
    methods = resolve(request.methods, detector, BESIDE, request.seed)
    layers = tuple(selected(detector, request.layers, methods))
    if not items:
        raise DataError("no images to audit")
    source = open_source(request.regions, request.masks, root)
    if source is not None and source.kind == "labels" and not any(source.identity(item.path) for item in items):
        wanted = Path(items[0].path).with_suffix(".png")
        raise DataError(f"no image has a label image; that of '{items[0].path}' should be '{wanted}' in the folder given by --masks")
    claims = parse_claims(request.claims, source)
    clock = {"start": time.perf_counter()}
    work = Work(layers, methods, miniature.sides(len(items)), source, request.stretch, request.maps_dtype)
    where = placements(detector, layers, work.methods)
    say_size(items, work, where, say)
    shelf = Shelf.open(out)
    made, failed = make(detector, items, work, out, engine, batch_size, quiet, say)
    trim()
    clock["maps"] = time.perf_counter()
    shards = [out / "shards" / f"{one.name}.h5" for one in made]
    found = listing(shards, detector.threshold, source.kind if source else "", seen)
    rows, skipped = found.rows, found.skipped | failed
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    if not len(rows):
        raise DataError(f"{nothing_left(len(items), skipped)}; '{out / 'skipped.csv'}' says why")
    maps, measured, differences = merge(shards, found, work.pairs, where, source.names if source else None, work.dtype, out)
    trim()
    clock["merge"] = time.perf_counter()
    context: dict[str, Any] = {
        "detector": detector,
        "items": items,
        "rows": rows,
        "request": request,
        "out": out,
        "batch_size": batch_size,
        "quiet": quiet,
        "say": say,
    }
    parts = study(rows, measured, source, claims, trusted(detector), partial(swap, source=source, **context), request, out)
    clock["parts"] = time.perf_counter()
    trust = believe(layers=layers, methods=methods, **context)
    trim()
    clock["trust"] = time.perf_counter()
    summary = store.plain(summarise(rows, skipped, maps, parts | {"aligned": differences, "trust": trust}, detector.threshold, uncarded(detector)))
    write_images(out, rows)
    write_channels(detector, items, rows, layers, out)
    clock["pictures"] = time.perf_counter()
    marks = list(clock.values())
    seconds = {name: round(b - a, 2) for name, a, b in zip(list(clock)[1:], marks, marks[1:], strict=False)}
    request = replace(request, methods=tuple(parse(text).text for text in methods))
    record = provenance(detector, rows, skipped, found.lost, request, layers, data_name, started, seconds)
    record["trusted"] = trusted(detector)
    record["shards"] = {"work": digest([known(detector), work.record()]), "images": len(items), "names": [one.name for one in made]}
    store.write_json(out / "run.json", record)
    store.write_json(out / "summary.json", summary)
    if clean:
        shelf.clean(say)
    trim()
    return Audited(out, summary, skipped)


def make(
    detector: Detector, items: Sequence[Item], work: Work, out: Path, engine: Engine, batch_size: int | None, quiet: bool, say: Callable[[str], None]
) -> tuple[list[Made], dict[str, str]]:
    """Make the shards that are missing.

    Returns:
        All of them in the order of the data, and path -> reason of images whose shard could not be made.
    """
    parts = [items[start : start + SHARD] for start in range(0, len(items), SHARD)]
    made: dict[int, Made] = {}
    failed: dict[str, str] = {}
    with bar(len(items), "mapping", quiet=quiet) as progress:
        for number, result in engine.run(detector, work, parts, out, batch_size, progress.update):
            if isinstance(result, Made):
                made[number] = result
            else:
                failed |= {readable(item.path): f"its shard could not be made: {result.reason}" for item in parts[number]}
    if failed:
        say(f"{len(parts) - len(made)} of {len(parts)} shards could not be made; the same command tries them again")
    again, damaged = (sum(getattr(one, name) for one in made.values()) for name in ("again", "damaged"))
    if damaged:
        say(f"{damaged} damaged shard{'s were' if damaged > 1 else ' was'} made again")
    if again:
        say(f"went on from an earlier run: {again} of {len(parts)} shards were there")
    return [made[number] for number in sorted(made)], failed


def say_size(items: Sequence[Item], work: Work, where: Mapping[str, Placement], say: Callable[[str], None]) -> None:
    """Say beforehand how much room the maps in full may take, where that matters."""
    cells = sum(int(np.prod(where[layer].cells)) for layer, _ in work.pairs)
    each = cells * np.dtype(work.dtype).itemsize
    kept = sum(item.kept for item in items)
    if each * len(items) > LARGE:
        whole, asked = (each * count / 1e9 for count in (len(items), kept))
        say(f"maps in full: of {kept:,} of {len(items):,} images, {asked:,.1f} GB before compression (all: {whole:,.1f} GB)")


def emptied(folder: Path) -> Path:
    """Return a folder without the files of an earlier run, which may show other images."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
    return store.make_folder(folder)


def write_images(out: Path, rows: Rows) -> None:
    """Write `images.csv`."""
    header = list(rows.columns)
    store.write_table(out / "images.csv", header, (list(row.values()) for row in rows))


def write_channels(detector: Detector, items: Sequence[Item], rows: Rows, layers: Sequence[str], out: Path) -> None:
    """Write the channel grids of the surest fake and real and, where there are any, the worst mistakes."""
    from xai.maps.onepass import activations

    folder = emptied(out / "channels")
    for row in telling(rows) if layers else ():
        item = items[row["index"]]
        try:
            inputs = detector.preprocessing.prepare(detector.preprocessing.view(read(item.file))[0])[None]
        except ImageError:  # it could be read when it was mapped, and its maps stay
            continue
        for layer, values in activations(detector, inputs, layers).items():
            title = f"{layer}: {row['label'] or 'image'} {item.index}, score {row['score']:.3f}"
            sheet = overlay.channel_grid(values[0], detector.layers[layer].placement, title)
            store.write_bytes(folder / f"{item.index}__{store.encode(layer)}.png", overlay.encode(sheet, ".png"))
