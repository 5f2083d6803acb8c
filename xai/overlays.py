"""Overlays of many images as files: decoding, the map pass, drawing and writing overlap; goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import keptmaps, store
from xai.detector import Detector, score
from xai.engine.painter import Drawing, Painter
from xai.engine.shard import TEXT, Made
from xai.errors import ImageError, nothing_left
from xai.gather import Gathered
from xai.images import find
from xai.items import Item
from xai.keptmaps import name_dimensions
from xai.mapfile import copy_kept, spare
from xai.maps.methods import resolve, selected
from xai.maps.placement import Placement
from xai.naming import output_names, outside
from xai.places import File
from xai.progress import bar
from xai.shelf import Shelf

SHARD = 256  # images: what a stop costs at most

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
    clean: bool = False,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write an overlay per image x layer x method, streaming: memory does not grow with the images.

    What is done stands in `shards/`: the same call goes on where it was stopped.

    Args:
        detector, sources, layers, methods, target, batch_size: as in `explain`.
        out: the folder; also gets `scores.csv` and `skipped.csv`.
        signed: show evidence for real as well, in diverging colours; fused maps have no sign.
        opacity: of the strongest value.
        fused: one overlay per image and method instead of one per layer: all layers fused; maps of the image itself as they are.
        maps: also write the raw maps, fused ones and what methods found beside, to `maps.h5`, with their true placements.
        limit: images at most.
        clean: remove from `shards/` what earlier runs with other options left; their pictures stay.
        workers: threads that decode, and as many that draw and write.
        quiet: no progress bar.
        say: told how many images there are.
    """
    methods = resolve(methods, detector)
    chosen = selected(detector, layers, methods)
    folder = store.make_folder(out)
    shelf = Shelf.open(folder)
    paths = outside(find(sources), folder)[:limit]
    names = output_names(paths)
    painter = Painter(detector, Drawing(tuple(chosen), tuple(methods), target, signed, opacity, fused, maps), folder, batch_size, workers)
    say(f"{len(paths)} images, {len(painter.asked)} map{'s' if len(painter.asked) > 1 else ''} each")
    made: list[Made] = []
    with bar(len(paths), "explaining", quiet=quiet) as progress:
        for start in range(0, len(paths), SHARD):
            part = [Item(index, paths[index], names[index], "") for index in range(start, min(start + SHARD, len(paths)))]
            made.append(painter(part, progress.update))
    again = sum(one.again for one in made)
    if again:
        say(f"went on from an earlier run: {again} of {len(made)} shards were there")
    shards = [folder / "shards" / f"{one.name}.h5" for one in made]
    found = tally_up(shards, paths)
    store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(found.skipped.items()))
    if not found.images:
        raise ImageError(f"{nothing_left(len(paths), found.skipped)}; '{folder / 'skipped.csv'}' says why")
    store.write_table(folder / "scores.csv", *scores(shards, paths))
    if maps:
        join_maps(shards, folder, painter)
    else:
        (folder / "maps.h5").unlink(missing_ok=True)  # of an earlier run, of other images perhaps
    if clean:
        shelf.clean(say)
    return found


def tally_up(shards: Sequence[Path], paths: Sequence[File]) -> Written:
    """Count what shards hold."""
    images = overlays = empty = start = 0
    skipped: dict[str, str] = {}
    for path in shards:
        with h5py.File(path, "r") as file:
            images, overlays, empty = images + len(file["place"]), overlays + file["empty"].size, empty + int(file["empty"][:].sum())
            skipped |= {str(paths[start + int(place)]): reason for place, reason in json.loads(file.attrs["skipped"]).items()}
            start += len(file["items/path"])
    return Written(images, overlays, empty, skipped)


def scores(shards: Sequence[Path], paths: Sequence[File]) -> tuple[list[str], Iterator[list[Any]]]:
    """Return the header and the rows of `scores.csv`: path, file stem of the overlays, logit, score, which maps were empty, what methods found."""
    header: list[str] = []
    for path in shards:
        with h5py.File(path, "r") as file:
            if len(file["place"]):
                beside = json.loads(file.attrs["columns"])[1:]
                header = [
                    "path",
                    "name",
                    "logit",
                    "score",
                    *(f"empty:{layer}:{method}" for layer, method in json.loads(file.attrs["shown"])),
                    *beside,
                ]

    def rows() -> Iterator[list[Any]]:
        start = 0
        for shard in shards:
            with h5py.File(shard, "r") as file:
                names, numbers, empty = file["items/path"][:], file["numbers"][:], file["empty"][:]
                for row, place in enumerate(file["place"][:].tolist()):
                    logit = float(numbers[row, 0])
                    name = names[place].decode("utf-8", "surrogateescape")
                    yield [
                        paths[start + place].as_posix(),
                        name,
                        logit,
                        float(score(np.array(logit))),
                        *empty[row].tolist(),
                        *numbers[row, 1:].tolist(),
                    ]
                start += len(names)

    return header, rows()


def join_maps(shards: Sequence[Path], folder: Path, painter: Painter) -> None:
    """Join the raw maps of all shards, with the placement beside each: `/maps/<layer>/<method>`, `/images`."""
    spare(shards, folder)
    names: list[bytes] = []
    logits, order = [np.zeros(0)], [np.zeros((0, 2), np.int64)]
    for number, path in enumerate(shards):
        with h5py.File(path, "r") as file:
            places = file["place"][:]
            names += file["items/path"][:][places].tolist()
            logits.append(file["numbers"][:, 0])
            order.append(np.stack([np.full(len(places), number), np.arange(len(places))], 1))
    with store.atomic(folder / "maps.h5") as temporary, h5py.File(temporary, "w") as target:
        with Gathered(shards, np.concatenate(order)) as gathered:
            copy_kept(target, gathered, painter.kept, painter.true, "float32")
        keptmaps.tell(target, painter.true, painter.where != painter.true)
        write_images(target, names, np.concatenate(logits))


def write_images(target: h5py.File, names: Sequence[str | bytes], logits: np.ndarray) -> None:
    """Write which images the maps are of."""
    target.create_dataset("images/name", data=names, dtype=TEXT)
    target.create_dataset("images/logit", data=logits.astype(np.float32))


def write_maps(
    path: Path, names: list[str], logits: np.ndarray, maps: Mapping[Pair, np.ndarray], where: Mapping[str, Placement], stretched: bool = False
) -> None:
    """Write raw maps that are in memory, as `join_maps` does."""
    if not names:
        return
    with store.atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for pair in maps:
            keptmaps.create(file, pair, where[pair[0]])
        keptmaps.append_maps(file, maps)
        name_dimensions(file, where, np.arange(len(names)))
        keptmaps.tell(file, where, stretched)
        write_images(file, names, logits)


def write_scores(
    folder: Path,
    names: Sequence[str],
    paths: Sequence[File],
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
