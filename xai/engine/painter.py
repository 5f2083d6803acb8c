"""The unit of work of `explain`: some images in, their overlays and one small file that says so out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from xai import overlay, store
from xai.aggregate import is_empty
from xai.detector import Detector
from xai.engine.shard import TEXT, UNREACHED, Made, sealed, unreached, whole
from xai.items import Item, digest, hashed, known
from xai.keptmaps import Spool
from xai.maps import mapped
from xai.maps.fuse import FUSED, fuse
from xai.maps.methods import INPUT, METHODS, beside, pairs, parse
from xai.maps.placement import Placement
from xai.modelfile import sha256
from xai.naming import overlay_name
from xai.stream import batches

FORMAT = 2  # of the overlays and of the file that says so

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn of every image; part of a shard's identity.

    Args:
        layers, methods, target: as in `mapped.compute`.
        signed: show evidence for real as well, in diverging colours; fused maps have no sign.
        opacity: of the strongest value.
        fused: one overlay per method: all layers fused.
        maps: also keep the raw maps.
    """

    layers: tuple[str, ...]
    methods: tuple[str, ...]
    target: str
    signed: bool
    opacity: float
    fused: bool
    maps: bool

    def record(self) -> dict[str, object]:
        """Return all that decides the pictures beside the detector and the images."""
        texts = [value for text in self.methods for value in parse(text).options.values() if isinstance(value, str)]
        return asdict(self) | {"donors": [sha256(value) for value in texts if Path(value).is_file()], "format": FORMAT}


class Painter:
    """Draws the overlays of shards, one shard after another.

    Args:
        detector: the detector; already stretching where that is asked for.
        drawing: what to draw.
        out: the folder.
        batch_size: images a pass.
        workers: threads that decode, and as many that draw and write.
    """

    def __init__(self, detector: Detector, drawing: Drawing, out: Path, batch_size: int | None = None, workers: int = 2) -> None:
        self.detector, self.drawing, self.out, self.batch_size, self.workers = detector, drawing, out, batch_size, workers
        self.where = mapped.placements(detector, drawing.layers, drawing.methods)
        self.true = mapped.true_placements(detector, drawing.layers, drawing.methods)
        self.asked = pairs(drawing.layers, drawing.methods)
        self.kept = [*self.asked, *beside(self.asked)]
        if drawing.fused:
            fused = fused_maps({pair: np.zeros((0, *self.where[pair[0]].cells)) for pair in self.asked}, self.where)
            self.kept += [pair for pair in fused if pair[0] == FUSED]
            self.true = self.where | self.true
        placed = [[layer, place.stride, place.offset] for layer, place in self.where.items()]  # stretched ones differ
        self.decisive = [known(detector), drawing.record(), placed]

    def __call__(self, items: Sequence[Item], progress: Callable[[int], object] = lambda count: None) -> Made:
        """Draw the images of a shard, or find that all of it is there.

        Args:
            items: the images; `path` is the stem of their overlays' names.
            progress: told how many more are done.
        """
        items = hashed(items)
        name = digest([*self.decisive, [[item.path, item.sha256] for item in items]])
        path = self.out / "shards" / f"{name}.h5"
        damaged = path.exists() and not (whole(path) and self.drawn(path))
        if path.exists() and not damaged and not unreached(path):
            store.touch(path)
            progress(len(items))
            return Made(name, len(items), again=True)
        with ExitStack() as stack:
            spool = None
            if self.drawing.maps:
                temporary = stack.enter_context(store.atomic(path.with_suffix(".maps")))
                spool = Spool(stack.enter_context(temporary.open("wb")), self.kept, "float32")
            content = self.draw(items, spool, progress)
        store.write_bytes(path, content)
        return Made(name, len(items), damaged=damaged)

    def drawn(self, path: Path) -> bool:
        """Say whether all overlays of a shard are still there."""
        with h5py.File(path, "r") as file:
            names = [raw.decode("utf-8", "surrogateescape") for raw in file["items/path"][:][file["place"][:]]]
            shown = json.loads(file.attrs["shown"])
        return all((self.out / overlay_name(name, layer, method)).exists() for name in names for layer, method in shown)

    def draw(self, items: Sequence[Item], spool: Spool | None, progress: Callable[[int], object]) -> memoryview:
        """Decode, map, draw and write, all at once; return the file that says so."""
        places: list[int] = []
        skipped: dict[int, str] = {}
        numbers: list[np.ndarray] = []
        empty: list[np.ndarray] = []
        columns, shown_pairs = ["logit"], self.asked

        def write(index: int, image: np.ndarray, pair: Pair, values: np.ndarray) -> None:
            signed = self.drawing.signed and pair[0] != FUSED and METHODS[parse(pair[1]).name].signed
            picture = overlay.overlay(image, values, self.where[pair[0]], signed=signed, opacity=self.drawing.opacity)
            store.write_bytes(self.out / overlay_name(items[index].path, *pair), overlay.encode(picture))

        with ThreadPoolExecutor(self.workers) as pool:
            pending: list[Future] = []
            for batch in batches(self.detector, [item.file for item in items], self.batch_size, workers=self.workers):
                skipped |= batch.skipped
                if batch.indices:
                    found = mapped.compute(
                        self.detector, batch.inputs, self.drawing.layers, self.drawing.methods, self.drawing.target, self.batch_size
                    )
                    shown = fused_maps(found.maps, self.where) if self.drawing.fused else found.maps
                    kept = found.maps | found.beside() | shown
                    for place in range(len(batch.indices)) if spool is not None else ():
                        spool.add(len(places) + place, {pair: kept[pair][place] for pair in self.kept})  # type: ignore[union-attr]
                    for future in pending:  # the previous batch is on disk before the next one queues up
                        future.result()
                    more = found.columns()
                    columns, shown_pairs = ["logit", *more], list(shown)
                    numbers.append(np.stack([np.asarray(values, np.float64) for values in (found.logits, *more.values())], 1))
                    empty.append(np.stack([is_empty(values) for values in shown.values()], 1))
                    places += batch.indices
                    pending = [
                        pool.submit(write, index, image, pair, values[place])
                        for place, (index, image) in enumerate(zip(batch.indices, batch.images, strict=True))
                        for pair, values in shown.items()
                    ]
                progress(len(batch.indices) + len(batch.skipped))
            for future in pending:
                future.result()
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.create_dataset("items/path", data=[item.path.encode("utf-8", "surrogateescape") for item in items], dtype=TEXT)
            file["place"] = np.array(places, np.int64)
            file["numbers"] = np.concatenate([np.zeros((0, len(columns))), *numbers])
            file["empty"] = np.concatenate([np.zeros((0, len(shown_pairs)), bool), *empty])
            for key, value in (("columns", columns), ("shown", shown_pairs), ("skipped", skipped)):
                file.attrs[key] = json.dumps(value)
            file.attrs["unreached"] = any(UNREACHED in reason for reason in skipped.values())
            if spool is not None:
                spool.write(file)
        return sealed(buffer)


def fused_maps(maps: Mapping[Pair, np.ndarray], where: dict[str, Placement]) -> dict[Pair, np.ndarray]:
    """Return every method's maps of all layers as one, those of the image itself as they are, and add the fused placement to `where`."""
    fused = {pair: values for pair, values in maps.items() if pair[0] == INPUT}
    for method in dict.fromkeys(method for layer, method in maps if layer != INPUT):
        layers = [layer for layer, name in maps if name == method]
        fused[FUSED, method], where[FUSED] = fuse([maps[layer, method] for layer in layers], [where[layer] for layer in layers])
    return fused
