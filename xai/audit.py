"""From a data set to a run directory: maps, means, numbers and pictures of all its images."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import miniature, notebook, overlay, store
from xai.aggregate import GROUPS, Moments
from xai.claims import parse_claims
from xai.detector import Detector
from xai.errors import DataError, ImageError, RunError, nothing_left
from xai.images import read
from xai.maps.mapped import placements
from xai.maps.methods import parse, resolve, selected
from xai.maps.placement import Placement
from xai.progress import bar
from xai.provenance import Request, provenance
from xai.regions.collect import Measured, joined, write_shares
from xai.regions.differences import write_differences
from xai.regions.source import open_source
from xai.shard import TEXT, Item, Work, create, identity, placed, read_moments, run_shard, whole
from xai.study import study
from xai.summary import summarise, telling
from xai.trust.study import believe

SHARD = 256  # images; fewer where maps are large
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
    data_name: str = "",
    root: str | Path | None = None,
    batch_size: int | None = None,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Audited:
    """Map every image, merge, and write the run directory (all but the page itself).

    Shards that are already there are kept, so the same command goes on after a kill.

    Args:
        detector: the detector.
        items: the images, hashed.
        out: the run directory.
        request: what to do.
        data_name: shown in the report.
        root: the data folder, which may bring label images of its own.
        batch_size: images a pass.
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
    work = Work(layers, methods, miniature.sides(len(items)), source, request.stretch)
    shards = run_shards(detector, items, work, out, batch_size, quiet, say)
    clock["maps"] = time.perf_counter()
    rows, skipped = read_rows(shards)
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    if not rows:
        raise DataError(f"{nothing_left(len(items), skipped)}; '{out / 'skipped.csv'}' says why")
    maps, measured, differences = merge(shards, rows, work, placements(detector, layers, work.methods), out)
    clock["merge"] = time.perf_counter()
    found = study(detector, items, rows, measured, source, claims, request, out, batch_size=batch_size, quiet=quiet, say=say)
    clock["parts"] = time.perf_counter()
    trust = believe(detector, items, rows, layers, methods, request, out, batch_size=batch_size, quiet=quiet, say=say)
    clock["trust"] = time.perf_counter()
    summary = store.plain(summarise(detector, rows, skipped, maps, found | {"aligned": differences, "trust": trust}))
    write_images(out, rows, work)
    write_channels(detector, {item.index: item for item in items}, rows, layers, out)
    clock["pictures"] = time.perf_counter()
    marks = list(clock.values())
    seconds = {name: round(b - a, 2) for name, a, b in zip(list(clock)[1:], marks, marks[1:], strict=False)}
    request = replace(request, methods=tuple(parse(text).text for text in methods))
    store.write_json(out / "run.json", provenance(detector, items, rows, skipped, request, layers, data_name, started, seconds))
    store.write_json(out / "summary.json", summary)
    return Audited(out, summary, skipped)


def run_shards(
    detector: Detector, items: Sequence[Item], work: Work, out: Path, batch_size: int | None, quiet: bool, say: Callable[[str], None]
) -> list[Path]:
    """Run the shards that are missing and return all of them in the order of the data."""
    where = placements(detector, work.layers, work.methods)
    cells = sum(int(np.prod(where[layer].cells)) for layer, _ in work.pairs)
    size = int(np.clip(1 << 26, cells, SHARD * cells) // max(cells, 1))  # at most a quarter of a gigabyte of float32 maps
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    paths, done = [], 0
    with bar(len(items), "mapping", quiet=quiet) as progress:
        for part in parts:
            name = identity(detector, work, part)
            path = out / "shards" / f"{name}.h5"
            if whole(path):
                done += 1
                progress.update(len(part))
            else:
                run_shard(detector, part, work, out, name, batch_size, progress)
            paths.append(path)
    if done:
        say(f"went on from an earlier run: {done} of {len(parts)} shards were there")
    return paths


def read_rows(shards: Sequence[Path]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return all image rows and path -> reason of what was skipped."""
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for path in shards:
        with h5py.File(path, "r") as file:
            rows += json.loads(file.attrs["rows"])
            skipped |= json.loads(file.attrs["skipped"])
    return rows, skipped


def merge(
    shards: Sequence[Path], rows: list[dict[str, Any]], work: Work, where: dict[str, Placement], out: Path
) -> tuple[list[dict[str, Any]], Measured | None, list[dict[str, Any]]]:
    """Join the shards into `maps.h5`.

    Returns:
        The rows of `summary.json`'s `maps`, what was measured on face parts (None without them), and the rows of its `aligned`.

    Raises:
        RunError: too little room on the disk.
    """
    need, free = sum(path.stat().st_size for path in shards), shutil.disk_usage(out).free
    if free < need * 1.1:
        raise RunError(f"the disk of '{out}' has {free / 1e9:.2f} GB left, {need * 1.1 / 1e9:.2f} are needed; free some and run the same command")
    pairs = work.pairs
    totals: dict[tuple[str, str, str], Moments] = {}
    with store.atomic(out / "maps.h5") as temporary, h5py.File(temporary, "w") as target:
        for name in ("index", "path", "label", "logit", "score"):
            text = name in ("path", "label")
            target.create_dataset(f"images/{name}", data=[row[name] for row in rows], dtype=TEXT if text else None)
        data = {pair: create(target, f"maps/{store.home(*pair)}", where[pair[0]]) for pair in pairs}
        for stored in data.values():
            stored.resize(len(rows), 0)
        place = 0
        for path in shards:
            with h5py.File(path, "r") as source:
                for layer, method in pairs:
                    end = copy_chunks(source[f"maps/{store.home(layer, method)}"], data[layer, method], place)
                    for group in GROUPS:
                        part = read_moments(source, group, layer, method)
                        if part is not None:
                            key = (group, layer, method)
                            totals[key] = totals[key].merge(part) if key in totals else part
            place = end
        miniature.join(shards, pairs, target)
        found = [
            write_mean(target, group, layer, method, totals[group, layer, method], where[layer])
            for group in GROUPS
            for layer, method in pairs
            if (group, layer, method) in totals
        ]
        if work.source is None:
            return found, None, []
        measured = joined(shards, work.source.names, pairs)
        write_shares(target, measured)
        return found, measured, write_differences(target, measured)


def emptied(folder: Path) -> Path:
    """Return a folder without the files of an earlier run, which may show other images."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
    return store.make_folder(folder)


def copy_chunks(source: h5py.Dataset, target: h5py.Dataset, place: int) -> int:
    """Copy compressed maps as they are, behind `place`; return the new end."""
    for index in range(len(source)):
        mask, data = source.id.read_direct_chunk((index, 0, 0))
        target.id.write_direct_chunk((place + index, 0, 0), data, mask)
    return place + len(source)


def write_mean(target: h5py.File, group: str, layer: str, method: str, moments: Moments, placement: Placement) -> dict[str, Any]:
    """Write a group's mean and deviation and return its summary row."""
    for kind, values in (("mean", moments.mean), ("std", moments.std)):
        data = target.create_dataset(f"{kind}/{group}/{store.home(layer, method)}", data=values.astype(np.float32))
        placed(data, placement)
        data.attrs["count"], data.attrs["empty"] = moments.count, moments.empty
    row: dict[str, Any] = {"group": group, "layer": layer, "method": method, "count": moments.count, "empty": moments.empty}
    if not moments.count:
        return row | {"peak": None, "mean_maximum": None}
    cell = np.unravel_index(int(np.argmax(moments.mean)), moments.mean.shape)
    centre = placement.centre((float(cell[0]), float(cell[1])))
    peak = [centre[axis] / placement.image[axis] for axis in (0, 1)]
    return row | {"peak": peak, "mean_maximum": float(moments.mean.max())}


def write_images(out: Path, rows: list[dict[str, Any]], work: Work) -> None:
    """Write `images.csv`."""
    header = ["index", "path", "label", "split", "logit", "score", "prediction", "outcome", "width", "height", "sha256"]
    header += [name for name in ("parts", "parts_missing") if name in rows[0]]
    header += [f"max:{layer}:{method}" for layer, method in work.pairs]
    header += [name for name in rows[0] if name.count(":") >= 2 and name not in header]  # what methods found beside their maps
    store.write_table(out / "images.csv", header, ([row[name] for name in header] for row in rows))


def write_channels(detector: Detector, items: dict[int, Item], rows: list[dict[str, Any]], layers: Sequence[str], out: Path) -> None:
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
