"""`maps.h5`: what all shards gave, in the order of the data."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import keptmaps, miniature, store
from xai.aggregate import GROUPS, Moments, Part, of_group
from xai.counts import Counts
from xai.errors import RunError
from xai.gather import Gathered, Listing
from xai.keptmaps import placed
from xai.maps.placement import Placement
from xai.regions.collect import Measured, aligned_sums, read_measures, write_measures
from xai.regions.differences import write_differences

TEXT = h5py.string_dtype("utf-8")
SHARES = (0.5, 0.9, 0.99)  # quantiles that `summary.json` tells of a map's positive values

Pair = tuple[str, str]


def merge(
    shards: Sequence[Path],
    found: Listing,
    pairs: Sequence[Pair],
    where: Mapping[str, Placement],
    parts: tuple[str, ...] | None,
    dtype: str,
    out: Path,
) -> tuple[list[dict[str, Any]], Measured | None, list[dict[str, Any]]]:
    """Join shards into `maps.h5`.

    Args:
        shards: their files, in any order.
        found: their rows.
        pairs: (layer, method) of the maps.
        where: placement by layer.
        parts: names of the face parts; None without.
        dtype: of the maps that are kept in full.
        out: the run directory.

    Returns:
        The rows of `summary.json`'s `maps`, what was measured on face parts (None without them), and the rows of its `aligned`.

    Raises:
        RunError: too little room on the disk.
    """
    spare(shards, out)
    aligned = aligned_sums(shards, pairs) if parts is not None else {}
    with store.atomic(out / "maps.h5") as temporary, h5py.File(temporary, "w") as target, Gathered(shards, found.order) as gathered:
        for name in ("index", "path", "label", "logit", "score"):
            text = name in ("path", "label")
            target.create_dataset(f"images/{name}", data=found.rows.column(name), dtype=TEXT if text else None)
        copy_kept(target, gathered, pairs, where, dtype)
        miniature.join(gathered, pairs, target)
        told = write_moments(target, shards, pairs, where)
        if parts is not None:
            write_measures(target, gathered, parts, pairs)
        differences = write_differences(target, aligned, pairs) if parts is not None else []
    return told, None if parts is None else read_measures(out / "maps.h5", pairs, aligned), differences


def spare(shards: Sequence[Path], out: Path) -> None:
    """Refuse to begin where the disk is too full: HDF5 cannot be trusted to survive a full disk."""
    files = [path for shard in shards for path in (shard, shard.with_suffix(".maps")) if path.exists()]
    need, free = 1.1 * sum(path.stat().st_size for path in files), shutil.disk_usage(out).free
    if free < need:
        raise RunError(f"the disk of '{out}' has {free / 1e9:.2f} GB left, {need / 1e9:.2f} are needed; free some and run the same command")


def copy_kept(target: h5py.File, gathered: Gathered, pairs: Sequence[Pair], where: Mapping[str, Placement], dtype: str) -> None:
    """Copy the maps that were kept in full, packed as they are: `maps/<layer>/<method>`, and in 16 bits their scales."""
    data = {pair: keptmaps.create(target, pair, where[pair[0]], dtype) for pair in pairs}
    kept = {number: gathered.file(number)["kept/row"][:] for number in gathered.used() if "kept" in gathered.file(number)}
    held = {number: dict(zip(rows.tolist(), range(len(rows)), strict=True)) for number, rows in kept.items()}
    images = [row for row, (number, own) in enumerate(gathered.order.tolist()) if own in held.get(number, ())]
    scales = {pair: np.ones(len(images), np.float32) for pair in pairs}
    for stored in data.values():
        stored.resize(len(images), 0)
    by_shard: dict[int, list[tuple[int, int]]] = {}
    for new, row in enumerate(images):
        number, own = gathered.order[row].tolist()
        by_shard.setdefault(number, []).append((new, held[number][own]))
    for number, places in by_shard.items():
        file = gathered.file(number)
        with gathered.shards[number].with_suffix(".maps").open("rb") as spool:
            for pair in pairs:
                at, scale = file[f"kept/place/{store.home(*pair)}"][:], file[f"kept/scale/{store.home(*pair)}"][:]
                for new, old in places:
                    spool.seek(int(at[old, 0]))
                    data[pair].id.write_direct_chunk((new, 0, 0), spool.read(int(at[old, 1])))
                    scales[pair][new] = scale[old]
    if np.dtype(dtype) == np.float16:
        for pair in pairs:
            target[f"maps_scale/{store.home(*pair)}"] = scales[pair]
    keptmaps.name_dimensions(target, where, np.array(images, np.int64))


def write_moments(target: h5py.File, shards: Sequence[Path], pairs: Sequence[Pair], where: Mapping[str, Placement]) -> list[dict[str, Any]]:
    """Write each group's mean, deviation and counts of values, and return the rows of `summary.json`'s `maps`."""
    moments, counts = added(shards, "moments", pairs, Moments.read), added(shards, "counts", pairs, Counts.read)
    told = []
    for group in GROUPS:
        for pair in pairs:
            own, values = of_group(group, moments.get(pair, {})), of_group(group, counts.get(pair, {}))
            if own is not None and values is not None:
                told.append(write_mean(target, group, pair, own, values, where[pair[0]]))
    return told


def added(shards: Sequence[Path], kind: str, pairs: Sequence[Pair], read: Callable[[dict[str, np.ndarray]], Part]) -> dict[Pair, dict[str, Part]]:
    """Return one kind of sums of all shards, by (layer, method) and outcome."""
    found: dict[Pair, dict[str, Part]] = {}
    for path in shards:
        with h5py.File(path, "r") as file:
            for name in file.get(kind, ()):
                key = "" if name == "unlabelled" else name
                for pair in pairs:
                    if (place := file[f"{kind}/{name}"].get(store.home(*pair))) is not None:
                        part, table = read({own: place[own][()] for own in place}), found.setdefault(pair, {})
                        table[key] = table[key].merge(part) if key in table else part
    return found


def write_mean(target: h5py.File, group: str, pair: Pair, moments: Moments, counts: Counts, placement: Placement) -> dict[str, Any]:
    """Write a group's mean, deviation and counts of values and return its summary row."""
    for kind, values in (("mean", moments.mean), ("std", moments.std)):
        data = target.create_dataset(f"{kind}/{group}/{store.home(*pair)}", data=values.astype(np.float32))
        placed(data, placement)
        data.attrs["count"], data.attrs["empty"] = moments.count, moments.empty
    for key, values in counts.arrays().items():
        target[f"counts/{group}/{store.home(*pair)}/{key}"] = values
    row: dict[str, Any] = {"group": group, "layer": pair[0], "method": pair[1], "count": moments.count, "empty": moments.empty}
    if not moments.count:
        return row | {"peak": None, "mean_maximum": None, "quantiles": None}
    cell = np.unravel_index(int(np.argmax(moments.mean)), moments.mean.shape)
    centre = placement.centre((float(cell[0]), float(cell[1])))
    peak = [centre[axis] / placement.image[axis] for axis in (0, 1)]
    return row | {"peak": peak, "mean_maximum": float(moments.mean.max()), "quantiles": {str(q): counts.quantile(q, positive=True) for q in SHARES}}
