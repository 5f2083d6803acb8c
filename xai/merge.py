"""Runs of the same model and options on different images, made on different machines say, as one run."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import raw, store
from xai.audit import Audited, emptied, write_images
from xai.claims import parse_claims
from xai.engine.shard import whole
from xai.errors import RunError, listed
from xai.gather import Listing, listing
from xai.keptmaps import stored_placement
from xai.mapfile import merge
from xai.maps.methods import pairs
from xai.provenance import Request, manifest_digest, shown
from xai.recommend import Recommendation
from xai.rows import Rows
from xai.study import study
from xai.summary import summarise, telling
from xai.trust.sanity import Sanity
from xai.trust.study import conclude
from xai.trust.study import forget as forget_trust


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Args:
        folder: its directory.
        record, summary: `run.json` and `summary.json`.
        shards: its partial results.
    """

    folder: Path
    record: dict[str, Any]
    summary: dict[str, Any]
    shards: list[Path]


@dataclass(frozen=True, slots=True)
class Parts:
    """Who said the parts of the faces."""

    kind: str
    names: tuple[str, ...]


def merge_runs(
    folders: Sequence[str | Path], out: str | Path, *, command: Sequence[str] = (), say: Callable[[str], None] = lambda line: None
) -> Audited:
    """Join runs: counts, means, tables and pictures are those of one run over all their images.

    What was measured on a sample of each run (swapped parts, faithfulness) is pooled; the sanity checks, which test
    the model and the maps rather than the images, are those of the run with most images checked.

    Args:
        folders: run directories that `audit` or `merge` wrote, with their `shards/`.
        out: the merged run directory.
        command: the words of the command line.
        say: told what happens.

    Raises:
        RunError: a run is unfinished or damaged, they differ in more than their images, or share some.
    """
    runs = [read(Path(folder)) for folder in dict.fromkeys(map(str, folders))]
    out = store.make_folder(out)
    if any(out.resolve() == run.folder.resolve() for run in runs):
        raise RunError(f"'{out}' is one of the runs to be merged; give another --out")
    first = agreed(runs)
    shards = list({path.name: path for run in runs for path in run.shards}.values())
    kind = (first.summary["parts"] or {}).get("kind", "")
    parts = Parts(kind, tuple(first.summary["parts"]["names"])) if kind else None
    found = listing(shards, first.record["model"]["threshold"], kind, seen(runs), by_path=True)
    apart(found, shards, runs)
    shards = [linked(path, out / "shards") for path in shards]
    say(f"{len(found.rows)} images of {len(runs)} runs, {len(shards)} shards")
    options = first.record["options"]
    layers, methods = tuple(layer["name"] for layer in first.record["layers"]), tuple(options["methods"])
    maps = pairs(layers, methods)
    with h5py.File(first.folder / "maps.h5", "r") as file:
        where = {layer: stored_placement(file[f"maps/{store.home(layer, method)}"]) for layer, method in maps}
    told, measured, differences = merge(shards, found, maps, where, parts.names if parts else None, options["maps_dtype"], out)
    words = list(dict.fromkeys(claim for run in runs for claim in run.record["options"]["claims"]))
    request = Request(donors=options["donors"], seed=options["seed"], regions=options["regions"])
    swapped = lambda wanted: raw.pooled_effects([run.folder for run in runs])  # noqa: E731
    studied = study(found.rows, measured, parts, parse_claims(words, parts), tuple(first.record["trusted"]), swapped, request, out)  # type: ignore[arg-type]
    trust = believed(runs, maps, out)
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(found.skipped.items()))
    sizes = [f"{run.folder.name} ({run.summary['images']['read']:,} images)" for run in runs]
    notes = [f"merged from {len(runs)} runs: {', '.join(sizes)}"]
    notes += [note for note in first.summary["notes"] if note.startswith("the model came without a card")]
    summary = store.plain(
        summarise(found.rows, found.skipped, told, studied | {"aligned": differences, "trust": trust}, first.record["model"]["threshold"], notes)
    )
    write_images(out, found.rows)
    copy_channels(runs, found.rows, out)
    store.write_json(out / "run.json", recorded(runs, first, found, words, shards, command))
    store.write_json(out / "summary.json", summary)
    return Audited(out, summary, found.skipped)


def read(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        RunError: it is none, unfinished, or its shards are gone or damaged.
    """
    if not folder.is_dir():
        raise RunError(f"'{folder}' is no folder; give run directories that 'whyfake audit --out' wrote")
    for name in ("run.json", "summary.json", "images.csv", "maps.h5"):
        if not (folder / name).is_file():
            raise RunError(f"'{folder}' has no {name}: it is no finished run; run its audit again with the same command, then merge")
    record, summary = (store.read_json(folder / name) for name in ("run.json", "summary.json"))
    if not isinstance(record.get("shards"), dict):
        raise RunError(f"'{folder}' was made by an earlier whyfake; run its audit again, then merge")
    shards = [folder / "shards" / f"{name}.h5" for name in record["shards"]["names"]]
    for path in shards:
        if not whole(path):
            raise RunError(f"'{path}' is missing or damaged; run the audit of '{folder}' again with the same command, then merge")
    return Run(folder, record, summary, shards)


def agreed(runs: Sequence[Run]) -> Run:
    """Return the first run where all computed the same.

    Raises:
        RunError: they differ in the model or in what was computed, with the first difference.
    """
    first = runs[0]
    for other in runs[1:]:
        alike = [(run.record["shards"]["work"], run.record["options"]["maps_dtype"]) for run in (first, other)]
        if alike[0] == alike[1]:
            continue
        for what, one, two in (
            ("models", first.record["model"]["sha256"][:12], other.record["model"]["sha256"][:12]),
            *((f"preprocessing ({key})", value, other.record["preprocessing"].get(key)) for key, value in first.record["preprocessing"].items()),
            ("layers", *([layer["name"] for layer in run.record["layers"]] for run in (first, other))),
            *((f"options ({key})", first.record["options"][key], other.record["options"].get(key)) for key in ("methods", "stretch", "maps_dtype")),
            ("face parts", *((run.summary["parts"] or {}).get("kind") for run in (first, other))),
        ):
            if one != two:
                raise RunError(f"'{first.folder}' and '{other.folder}' have different {what}: {one} and {two}; only runs of the same can be merged")
        raise RunError(
            f"'{first.folder}' and '{other.folder}' were not computed alike (another version, or other label images); audit one of them again"
        )
    return first


def apart(found: Listing, shards: Sequence[Path], runs: Sequence[Run]) -> None:
    """Refuse runs that share images in different shards: their sums would count these twice."""
    paths, contents = found.rows.column("path"), found.rows.column("sha256")
    homes = {path.name: number for number, run in enumerate(runs) for path in run.shards}
    of_row = [homes[shards[number].name] for number in found.order[:, 0].tolist()]
    known: dict[tuple[str, str], int] = {}
    both = [path for path, content, run in zip(paths, contents, of_row, strict=True) if known.setdefault((path, content), run) != run]
    if both:
        raise RunError(f"{len(both)} images stand in more than one of the runs: {listed(both, 3)}; audit different images, then merge")


def seen(runs: Sequence[Run]) -> dict[str, str]:
    """Return content hash -> the split an image was in in training, from all runs."""
    found: dict[str, str] = {}
    for run in runs:
        with (run.folder / "images.csv").open(encoding="utf-8", newline="") as file:
            found |= {row["sha256"]: row["split"] for row in csv.DictReader(file) if row["split"]}
    return found


def linked(path: Path, folder: Path) -> Path:
    """Give a shard, and the maps that belong to it, a place in another folder too; copied only where the disk cannot link."""
    store.make_folder(folder)
    for one in (path.with_suffix(".maps"), path):
        target = folder / one.name
        if one.exists() and not target.exists():
            with store.atomic(target) as temporary:
                try:
                    os.link(one, temporary)
                except OSError:
                    shutil.copyfile(one, temporary)
    return folder / path.name


def believed(runs: Sequence[Run], maps: Sequence[tuple[str, str]], out: Path) -> dict[str, Any] | None:
    """Return what becomes of every map: faithfulness pooled, sanity checks of the run with most images checked."""
    forget_trust(out)
    tested = [run.summary["trust"] for run in runs if run.summary.get("trust")]
    if not tested:
        return None
    best = max(tested, key=lambda trust: trust["checked"])
    sanity = Sanity(best["similar"], best["stable"], best["untested"], best["stages"])
    known = None if best["recommended"] is None else Recommendation(**best["recommended"])
    return conclude(sanity, best["checked"], raw.pooled_faithful([run.folder for run in runs]), maps, known, out)


def copy_channels(runs: Sequence[Run], rows: Rows, out: Path) -> None:
    """Copy the channel pictures of the images that tell most: the surest of all are the surest of their own run."""
    folder = emptied(out / "channels")
    for row in telling(rows):
        for run in runs:
            with (run.folder / "images.csv").open(encoding="utf-8", newline="") as file:
                own = next((one["index"] for one in csv.DictReader(file) if (one["path"], one["sha256"]) == (row["path"], row["sha256"])), None)
            for path in (run.folder / "channels").glob(f"{own}__*.png") if own is not None else ():
                shutil.copyfile(path, folder / f"{row['index']}__{path.name.split('__', 1)[1]}")


def recorded(
    runs: Sequence[Run], first: Run, found: Listing, claims: Sequence[str], shards: Sequence[Path], command: Sequence[str]
) -> dict[str, Any]:
    """Return `run.json` of the merged run."""
    record = json.loads(json.dumps(first.record))
    labels = found.rows.column("label")
    contents = [*zip(labels, found.rows.column("sha256"), strict=True), *found.lost]
    keys = dict.fromkeys(key for run in runs for key in run.record["seconds"])
    record |= {
        "command": [shown(word) for word in command],
        "seconds": {key: round(sum(run.record["seconds"].get(key, 0) for run in runs), 2) for key in keys},
        "merged": [{"name": run.folder.name, "images": run.summary["images"]["read"], "machine": run.record["machine"]} for run in runs],
    }
    record["options"] |= {"claims": list(claims), "limit": None}
    record["data"] = {
        "name": " + ".join(dict.fromkeys(run.record["data"]["name"] for run in runs)),
        "images": len(found.rows),
        "skipped": len(found.skipped),
        "classes": {label: int(np.sum(labels == label)) for label in ("real", "fake") if np.any(labels == label)},
        "manifest_sha256": manifest_digest(contents),
    }
    record["shards"] = dict(first.record["shards"]) | {
        "images": len(found.rows) + len(found.skipped),
        "names": [path.stem for path in shards],
    }
    return record
