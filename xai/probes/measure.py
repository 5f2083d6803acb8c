"""Workflow: images and their parts in, the effect of every region on every image out; goes on where it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai import store
from xai.errors import DataError, ImageError, readable
from xai.maps.memory import batch_size as fitting
from xai.probes.donors import BUDGET, CLASSES, MOST, Donor, gather
from xai.probes.effects import Effect, Effects, effects
from xai.probes.plan import USUAL, Rows, Subject
from xai.probes.swap import Face
from xai.progress import bar
from xai.stream import batches

if TYPE_CHECKING:
    from xai.items import Item
    from xai.regions.source import Source

SHARD = 16  # images whose effects are written at once
FORMAT = 1  # of a shard; also changed when the same input gives other effects


def measure(
    detector: Any,
    items: Sequence[Item],
    source: Source,
    rows: Rows,
    out: str | Path,
    *,
    donors: int = 3,
    seed: int = 0,
    kinds: Sequence[str] = USUAL,
    batch_size: int | None = None,
    pool: Sequence[Item] | None = None,
    most: int = MOST,
    budget: int = BUDGET,
    quiet: bool = True,
) -> Effects:
    """Measure the effect of every region on every image.

    Results are written in shards; a run that was stopped goes on behind the last whole one.

    Args:
        detector: the detector.
        items: the images; those of no known class are left out, since they have no opposite.
        source: of the parts.
        rows: region -> indices of its parts, such as `units(source.names)`.
        out: the run directory; gets `shards/effect-<hash>.npz`.
        donors, kinds, seed: as in `effects`.
        batch_size: images a pass; default by the network's input size.
        pool: images to draw donors from; default `items`.
        most, budget: donors of a class at most, and bytes of all.
        quiet: no progress bar.

    Returns:
        The effects, in the order of the items.

    Raises:
        DataError: no images of one class to draw donors from, or no rows.
        WhyfakeError: an unknown kind, fewer than one donor.
    """
    lenders = list(items if pool is None else pool)
    missing = [label for label in CLASSES if not any(item.label == label for item in lenders)]
    if missing or not rows:
        raise DataError(f"there are no {missing[0]} images to swap regions with; both classes are needed" if missing else "no regions to swap")
    skipped = {readable(item.path): "of no known class" for item in items if item.label not in CLASSES}
    known = [item for item in items if item.label in CLASSES]
    settings = described(detector, source, rows, kinds, donors, seed, lenders, most, budget)
    pools = cache(lambda: gather(detector, lenders, source, seed=seed, most=most, budget=budget))  # not read where every shard is there
    size = batch_size or fitting(detector)
    shards = []
    with bar(len(known), "swapping regions", quiet=quiet) as progress:
        for start in range(0, len(known), SHARD):
            some = known[start : start + SHARD]
            path = Path(out) / "shards" / f"effect-{name(settings, some, source)}.npz"
            shard = load(path)
            if shard is None:
                store.write_bytes(path, run(detector, some, source, rows, pools(), kinds, donors, seed, size, progress.update))
                shard = load(path)
            else:
                store.touch(path)
                progress.update(len(some))
            assert shard is not None
            shards.append(shard)
    return joined(shards, known, rows, kinds, donors, skipped)


def described(
    detector: Any, source: Source, rows: Rows, kinds: Sequence[str], donors: int, seed: int, lenders: Sequence[Item], most: int, budget: int
) -> dict[str, Any]:
    """Return what decides every shard's content but its own images."""
    from xai.items import known as decisive

    return {
        "format": FORMAT,
        "detector": decisive(detector),
        "source": source.record(),
        "rows": [[row, list(members)] for row, members in rows.items()],
        "kinds": list(kinds),
        "donors": [donors, most, budget, [[item.index, *known(item, source)] for item in lenders]],
        "seed": seed,
    }


def known(item: Item, source: Source) -> list[str]:
    """Return what decides an image's pixels, class and parts."""
    return [item.path, item.label, item.sha256, source.identity(item.path)]


def name(settings: Mapping[str, Any], items: Sequence[Item], source: Source) -> str:
    """Return a shard's name: a hash of what goes in, so that changed input gives a new shard."""
    parts = dict(settings) | {"items": [known(item, source) for item in items]}
    return hashlib.sha256(json.dumps(store.plain(parts), sort_keys=True).encode()).hexdigest()[:20]


def run(
    detector: Any,
    items: Sequence[Item],
    source: Source,
    rows: Rows,
    pools: Mapping[str, Sequence[Donor]],
    kinds: Sequence[str],
    donors: int,
    seed: int,
    batch_size: int,
    progress: Callable[[int], object],
) -> bytes:
    """Measure the images of one shard and return its file."""
    places: list[int] = []
    skipped: dict[str, str] = {}

    def subjects() -> Iterator[Subject]:
        for batch in batches(detector, [item.file for item in items], min(batch_size, SHARD)):
            skipped.update({readable(items[index].path): reason for index, reason in batch.skipped.items()})
            for index, view, inputs, box in zip(batch.indices, batch.images, batch.inputs, batch.boxes, strict=True):
                try:
                    parts = source.parts(items[index].path, view, box).resized(detector.size)
                except ImageError as error:
                    skipped[readable(items[index].path)] = str(error)
                    continue
                places.append(index)
                yield Subject(Face(inputs, parts), items[index].label, items[index].sha256 or items[index].path)

    found = effects(detector, subjects(), pools, rows, kinds=kinds, donors=donors, seed=seed, batch_size=batch_size, progress=progress)
    progress(len(items) - len(found))
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"place": np.array(places, np.int64), "skipped": np.array(json.dumps(skipped))}
    arrays |= columns(found, len(rows), len(kinds), donors)
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def columns(found: Sequence[Effect], rows: int, kinds: int, donors: int) -> dict[str, np.ndarray]:
    """Return effects as arrays with the image in front, also where there are none."""
    shape = rows, kinds, donors
    return {
        "logit": np.array([effect.logit for effect in found], np.float64),
        "delta": np.array([effect.delta for effect in found], np.float32).reshape(-1, *shape),
        "flipped": np.array([effect.flipped for effect in found], bool).reshape(-1, *shape),
        "donor": np.array([effect.donor for effect in found], np.int32).reshape(-1, *shape),
        "area": np.array([effect.area for effect in found], np.float32).reshape(-1, rows),
    }


def load(path: Path) -> dict[str, np.ndarray] | None:
    """Return a shard's arrays; None where it is not there or damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:  # given a path, NumPy leaves a damaged file open
            shard = {key: file[key] for key in ("place", "skipped", "logit", "delta", "flipped", "donor", "area")}
        json.loads(str(shard["skipped"]))
        return shard
    except (OSError, KeyError, ValueError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile):
        return None


def joined(
    shards: Sequence[Mapping[str, np.ndarray]], items: Sequence[Item], rows: Rows, kinds: Sequence[str], donors: int, skipped: Mapping[str, str]
) -> Effects:
    """Return the effects of all shards, in order."""
    none = columns([], len(rows), len(kinds), donors)
    columned = {key: np.concatenate([none[key], *(shard[key] for shard in shards)]) for key in none}
    chosen = [items[start * SHARD + place] for start, shard in enumerate(shards) for place in shard["place"]]
    return Effects(
        rows=tuple(rows),
        kinds=tuple(kinds),
        index=np.array([item.index for item in chosen], np.int64),
        paths=tuple(item.path for item in chosen),
        labels=tuple(item.label for item in chosen),
        skipped={path: reason for part in (skipped, *(json.loads(str(shard["skipped"])) for shard in shards)) for path, reason in part.items()},
        **columned,
    )
