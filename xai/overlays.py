"""Overlays of many images as files: decoding, the map pass, drawing and writing overlap."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xai import overlay, store
from xai.aggregate import is_empty
from xai.detector import Detector, score
from xai.errors import DataError, ImageError, nothing_left
from xai.images import find
from xai.maps import mapped
from xai.maps.fuse import FUSED, fuse
from xai.maps.methods import INPUT, METHODS, pairs, parse, resolve, selected
from xai.maps.placement import Placement
from xai.shard import TEXT, append_maps, create
from xai.stream import batches

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch run left: how many images and pictures, and what was skipped and why."""

    images: int
    overlays: int
    empty: int
    skipped: dict[str, str]


def write_overlays(
    detector: Detector,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    layers: str = "auto",
    methods: Sequence[str] = ("auto",),
    target: str = "fake",
    signed: bool = False,
    opacity: float = 0.6,
    fused: bool = False,
    maps: bool = False,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int = 2,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write an overlay per image x layer x method, streaming: memory does not grow with the images.

    Args:
        detector, sources, layers, methods, target, batch_size: as in `explain`.
        out: the folder; also gets `scores.csv` and `skipped.csv`.
        signed: show evidence for real as well, in diverging colours; fused maps have no sign.
        opacity: of the strongest value.
        fused: one overlay per image and method instead of one per layer: all layers fused; maps of the image itself as they are.
        maps: also write the raw maps with their placements to `maps.h5`.
        limit: images at most.
        workers: threads that decode, and as many that draw and write.
        quiet: no progress bar.
        say: told how many images there are.
    """
    methods = resolve(methods, detector)
    chosen = selected(detector, layers, methods)
    folder = store.make_folder(out)
    paths = outside(find(sources), folder)[:limit]
    names = output_names(paths)
    where = mapped.placements(detector, chosen, methods)
    asked = pairs(chosen, methods)
    say(f"{len(paths)} images, {len(asked)} map{'s' if len(asked) > 1 else ''} each")
    skipped: dict[str, str] = {}
    rows: list[int] = []
    logits: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {}
    emptiness: dict[Pair, list[np.ndarray]] = {}

    def write(index: int, image: np.ndarray, layer: str, method: str, values: np.ndarray) -> None:
        shown = signed and layer != FUSED and METHODS[parse(method).name].signed
        picture = overlay.overlay(image, values, where[layer], signed=shown, opacity=opacity)
        store.write_bytes(folder / overlay_name(names[index], layer, method), overlay.encode(picture))

    with ThreadPoolExecutor(workers) as pool, keeping(folder / "maps.h5" if maps else None, where, asked) as keep:
        pending: list[Future] = []
        for batch in batches(detector, paths, batch_size, label="explaining", quiet=quiet, workers=workers):
            skipped |= {str(paths[index]): reason for index, reason in batch.skipped.items()}
            if not batch.indices:
                continue
            found = mapped.compute(detector, batch.inputs, chosen, methods, target, batch_size)
            keep([names[index] for index in batch.indices], found)
            shown = fused_maps(found.maps, where) if fused else found.maps
            for future in pending:  # the previous batch is on disk before the next one queues up
                future.result()
            logits.append(found.logits)
            rows += batch.indices
            for name, values in found.columns().items():
                columns.setdefault(name, []).append(values)
            for pair, values in shown.items():
                emptiness.setdefault(pair, []).append(is_empty(values))
            pending = [
                pool.submit(write, index, image, layer, method, shown[layer, method][place])
                for place, (index, image) in enumerate(zip(batch.indices, batch.images, strict=True))
                for layer, method in shown
            ]
        for future in pending:
            future.result()
    store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    if not rows:
        raise ImageError(f"{nothing_left(len(paths), skipped)}; '{folder / 'skipped.csv'}' says why")
    empty = {pair: np.concatenate(values) for pair, values in emptiness.items()}
    beside = {name: np.concatenate(values) for name, values in columns.items()}
    write_scores(folder, [names[i] for i in rows], [paths[i] for i in rows], np.concatenate(logits), empty, beside)
    return Written(len(rows), len(rows) * len(empty), int(sum(values.sum() for values in empty.values())), skipped)


def fused_maps(maps: Mapping[Pair, np.ndarray], where: dict[str, Placement]) -> dict[Pair, np.ndarray]:
    """Return every method's maps of all layers as one, those of the image itself as they are, and add the fused placement to `where`."""
    fused = {pair: values for pair, values in maps.items() if pair[0] == INPUT}
    for method in dict.fromkeys(method for layer, method in maps if layer != INPUT):
        layers = [layer for layer, name in maps if name == method]
        fused[FUSED, method], where[FUSED] = fuse([maps[layer, method] for layer in layers], [where[layer] for layer in layers])
    return fused


@contextmanager
def keeping(path: Path | None, where: Mapping[str, Placement], asked: Sequence[Pair]) -> Iterator[Callable[[list[str], mapped.Mapped], None]]:
    """Give a function that appends a batch's raw maps to an HDF5 file, whole or not there; without a path it does nothing."""
    if path is None:
        yield lambda names, found: None
        return
    with store.atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for layer, method in asked:
            create(file, f"maps/{store.home(layer, method)}", where[layer])
        names_data = file.create_dataset("images/name", (0,), TEXT, maxshape=(None,))
        logits_data = file.create_dataset("images/logit", (0,), np.float32, maxshape=(None,))

        def keep(names: list[str], found: mapped.Mapped) -> None:
            append_maps(file, found.maps)
            for data, values in ((names_data, names), (logits_data, found.logits)):
                data.resize(len(data) + len(names), 0)
                data[-len(names) :] = values

        yield keep


def write_maps(path: Path, names: list[str], logits: np.ndarray, maps: Mapping[Pair, np.ndarray], where: Mapping[str, Placement]) -> None:
    """Write raw maps at their own resolution, with the placement beside each: `/maps/<layer>/<method>`, `/images`."""
    if names:
        with keeping(path, where, list(maps)) as keep:
            keep(names, mapped.Mapped(logits, dict(maps)))


def write_scores(
    folder: Path,
    names: Sequence[str],
    paths: Sequence[Path],
    logits: np.ndarray,
    empty: Mapping[Pair, np.ndarray],
    beside: Mapping[str, np.ndarray],
) -> None:
    """Write `scores.csv`: path, file stem of the overlays, logit, score, which maps were empty, what methods found beside."""
    header = ["path", "name", "logit", "score", *(f"empty:{layer}:{method}" for layer, method in empty), *beside]
    scores = score(logits)
    rows = (
        [
            path.as_posix(),
            names[i],
            float(logits[i]),
            float(scores[i]),
            *(bool(values[i]) for values in empty.values()),
            *(float(values[i]) for values in beside.values()),
        ]
        for i, path in enumerate(paths)
    )
    store.write_table(folder / "scores.csv", header, rows)


def outside(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return the paths that are not below a folder: what a run wrote is not its input.

    Raises:
        DataError: none is left.
    """
    place = Path(os.path.abspath(folder))
    kept = [path for path in paths if place not in Path(os.path.abspath(path)).parents]
    if not kept:
        raise DataError(f"all {len(paths)} images lie in the output folder '{folder}'; give another --out")
    return kept


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a file stem per image that is unique: its path below the folder all share, '/' as '+'.

    Example:
        >>> output_names([Path("d/real/1.png"), Path("d/fake/1.png")])
        ['real+1.png', 'fake+1.png']
    """
    if not paths:
        return []
    paths = [Path(os.path.abspath(path)) for path in paths]  # relative and absolute ones may be mixed
    parents = [path.parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    names: list[str] = []
    seen: set[str] = set()
    for path in paths:
        name = "+".join(path.parts[shared:])
        if len(os.fsencode(name)) > 120 or name in seen:  # room for layer and method within 255 bytes
            mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
            name = f"{os.fsencode(name)[:100].decode('utf-8', 'ignore')}-{mark}"
        seen.add(name)
        names.append(name)
    return names


def overlay_name(name: str, layer: str, method: str) -> str:
    """Return the file name of one overlay: its parts fit into 255 bytes, a long one cut and told apart by a hash.

    Example:
        >>> overlay_name("a.png", "body/conv", "rise:masks=20")
        'a.png__body+conv__rise+masks+20.jpg'
    """
    plain = "".join(c if c.isalnum() or c in "._-" else "+" for c in method)
    return f"{name}__{cut(layer.replace('/', '+'), 60)}__{cut(plain, 60)}.jpg"


def cut(text: str, most: int) -> str:
    """Return a text of at most so many bytes, a longer one ending in a hash of the whole."""
    data = os.fsencode(text)
    return text if len(data) <= most else f"{data[: most - 13].decode('utf-8', 'ignore')}-{hashlib.sha256(data).hexdigest()[:12]}"
