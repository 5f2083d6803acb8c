"""The unit of work of an audit: some images in, one HDF5 file out, whole or not there. The same on every engine."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import miniature, overlay, store
from xai.aggregate import Moments, outcome
from xai.counts import Counts
from xai.crop import Box
from xai.detector import Detector, score
from xai.errors import ImageError
from xai.items import Item, Work, hashed, identity, known
from xai.keptmaps import Spool
from xai.maps.placement import Placement
from xai.regions.attention import Ground
from xai.regions.collect import Collector
from xai.regions.source import Source
from xai.stream import Batch, batches
from xai.threads import alone

TEXT = h5py.string_dtype("utf-8", None)
MARK = b"whyfake\0"  # stands with a checksum behind a shard's last byte
UNREACHED = "cannot be reached"  # of an image behind a network: in its reason


@dataclass(frozen=True, slots=True)
class Made:
    """A shard that is there.

    Args:
        name: its file is `shards/<name>.h5`.
        images: that went in.
        again: whether it was there already.
        damaged: whether one stood there that had to be thrown away.
    """

    name: str
    images: int
    again: bool = False
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a decoded image until its maps are there.

    Args:
        shape: of its view.
        small: a small copy as JPEG.
        ground: its parts, or why there are none.
    """

    shape: tuple[int, ...]
    small: bytes
    ground: Ground | str

    @property
    def nbytes(self) -> int:
        """Bytes it takes in memory."""
        return len(self.small) + (0 if isinstance(self.ground, str) else self.ground.nbytes)


def grounded(source: Source, item: Item, view: np.ndarray, box: Box | None, size: tuple[int, int]) -> Ground | str:
    """Return the parts of an image, ready to be compared with its maps, or why there are none."""
    try:
        return Ground.of(source.parts(item.path, view, box), size)
    except ImageError as error:
        return str(error)


class Worker:
    """Makes shards, one after another, with a model that is loaded once.

    Args:
        detector: the detector; already stretching where that is asked for.
        work: what to compute.
        out: the run directory.
        batch_size: images a pass.
    """

    def __init__(self, detector: Detector, work: Work, out: str | Path, batch_size: int | None = None) -> None:
        from xai.maps import mapped

        self.detector, self.work, self.folder, self.batch_size = detector, work, Path(out) / "shards", batch_size
        self.known = known(detector)
        self.placements = mapped.placements(detector, work.layers, work.methods)

    def __call__(self, items: Sequence[Item], progress: Callable[[int], object] = lambda count: None) -> Made:
        """Make the shard of some images, or find that it is there.

        Args:
            items: the images.
            progress: told how many more are done.
        """
        items = hashed(items)
        name = identity(self.known, self.work, items)
        path = self.folder / f"{name}.h5"
        damaged = path.exists() and not whole(path)
        if path.exists() and not damaged and not unreached(path):
            for one in (path, path.with_suffix(".maps")):
                store.touch(one)
            progress(len(items))
            return Made(name, len(items), again=True)
        with ExitStack() as stack:
            spool = None
            if any(item.kept for item in items):
                temporary = stack.enter_context(store.atomic(path.with_suffix(".maps")))
                spool = Spool(stack.enter_context(temporary.open("wb")), self.work.pairs, self.work.dtype)
            content = Content(self.detector, items, self.work, self.placements, spool)
            self.fill(content, items, progress)
        store.write_bytes(path, content.file())
        return Made(name, len(items), damaged=damaged)

    def fill(self, content: Content, items: Sequence[Item], progress: Callable[[int], object]) -> None:
        """Decode and map the images; what is made of a batch's maps is made while the next one is mapped."""
        from xai.maps import mapped

        def keep(index: int, view: np.ndarray, box: Box | None) -> Kept:
            small = overlay.encode(overlay.thumbnail(view, self.work.sides[0]), quality=85)
            ground = grounded(self.work.source, items[index], view, box, self.detector.size) if self.work.source else ""
            return Kept(view.shape, small, ground)

        with ThreadPoolExecutor(1) as pool, alone():
            waiting: Future | None = None
            for batch in batches(self.detector, [item.file for item in items], self.batch_size, keep=keep):
                found = None
                if batch.indices:
                    found = mapped.compute(self.detector, batch.inputs, self.work.layers, self.work.methods, batch_size=self.batch_size)
                if waiting is not None:
                    progress(waiting.result())
                waiting = pool.submit(content.add, batch, found)
            if waiting is not None:
                progress(waiting.result())


class Content:
    """What the images of a shard gave, growing batch by batch; its maps are in memory only as sums and small copies.

    Args:
        detector: the detector.
        items: the images, hashed.
        work: what to compute.
        placements: by layer.
        spool: takes the maps that are kept in full; None where none are.
    """

    def __init__(self, detector: Detector, items: Sequence[Item], work: Work, placements: Mapping[str, Placement], spool: Spool | None) -> None:
        self.detector, self.items, self.work, self.placements, self.spool = detector, items, work, placements, spool
        self.places: list[int] = []
        self.skipped: dict[int, str] = {}
        self.missing: dict[int, str] = {}  # why an image has no parts
        self.names: list[str] = []
        self.numbers: list[np.ndarray] = []
        self.pictures: list[bytes] = []
        self.small: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {pair: [] for pair in work.pairs}
        self.moments: dict[tuple[str, tuple[str, str]], Moments] = {}
        self.counts: dict[tuple[str, tuple[str, str]], Counts] = {}
        self.collector = None if work.source is None else Collector(work.source.names, work.pairs, placements)

    def add(self, batch: Batch, found: Any) -> int:
        """Take in a batch of images and their maps; return how many images it had, unreadable ones included."""
        self.skipped |= batch.skipped
        if found is not None:
            columns = {"logit": found.logits, "height": [kept.shape[0] for kept in batch.images], "width": [kept.shape[1] for kept in batch.images]}
            columns |= {f"max:{layer}:{method}": values.max((1, 2)) for (layer, method), values in found.maps.items()} | found.columns()
            self.names = list(columns)
            self.numbers.append(np.stack([np.asarray(values, np.float64) for values in columns.values()], 1))
            calls = ["fake" if call else "real" for call in score(found.logits) >= self.detector.threshold]
            outcomes = np.array([outcome(self.items[index].label, call) for index, call in zip(batch.indices, calls, strict=True)])
            for pair, values in found.maps.items():
                self.small[pair].append(miniature.shrink(values, self.work.sides[1]))
                self.sum(pair, values, outcomes)
            for place, index in enumerate(batch.indices):
                self.one(index, batch.images[place], {pair: values[place] for pair, values in found.maps.items()})
        return len(batch.indices) + len(batch.skipped)

    def sum(self, pair: tuple[str, str], values: np.ndarray, outcomes: np.ndarray) -> None:
        """Add a batch's maps `(n, h, w)` of one pair to the sums and counts of their outcomes."""
        for name in np.unique(outcomes).tolist():
            own = values if (outcomes == name).all() else values[outcomes == name]
            self.moments.setdefault((name, pair), Moments(values.shape[1:])).add(own)
            self.counts.setdefault((name, pair), Counts()).add(own)

    def one(self, index: int, kept: Kept, maps: Mapping[tuple[str, str], np.ndarray]) -> None:
        """Take in one image's picture, its parts and, where they are wanted, its maps in full."""
        if self.spool is not None and self.items[index].kept:
            self.spool.add(len(self.places), maps)
        if self.collector is not None:
            ground = None if isinstance(kept.ground, str) else kept.ground
            if ground is None:
                self.missing[index] = str(kept.ground)
            self.collector.add(ground, maps, self.items[index].label)
        self.pictures.append(kept.small)
        self.places.append(index)

    def file(self) -> memoryview:
        """Return the shard as the bytes of an HDF5 file and a checksum behind them.

        It is built in memory and written at once: HDF5 cannot be trusted to survive a full disk while it is open.
        """
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for name in ("path", "label", "sha256"):
                file.create_dataset(f"items/{name}", data=[getattr(item, name).encode("utf-8", "surrogateescape") for item in self.items], dtype=TEXT)
            file["place"] = np.array(self.places, np.int64)
            file["numbers"] = np.concatenate([np.zeros((0, len(self.names))), *self.numbers])
            for name, value in (("columns", self.names), ("skipped", self.skipped), ("missing", self.missing)):
                file.attrs[name] = json.dumps(value)
            miniature.write(file, self.pictures, self.small, {pair: self.placements[pair[0]].cells for pair in self.work.pairs}, self.work.sides[1])
            file.attrs["unreached"] = any(UNREACHED in reason for reason in self.skipped.values())
            if self.spool is not None:
                self.spool.write(file)
            if self.collector is not None:
                self.collector.write(file)
            for kind, table in (("moments", self.moments), ("counts", self.counts)):
                for (name, pair), part in table.items():
                    place = file.create_group(f"{kind}/{name or 'unlabelled'}/{store.home(*pair)}")
                    for key, values in part.arrays().items():
                        place[key] = values
        return sealed(buffer)


def sealed(buffer: io.BytesIO) -> memoryview:
    """Return a file with a checksum behind its last byte, where HDF5 does not look."""
    tail = MARK + zlib.crc32(buffer.getbuffer()).to_bytes(4, "little")
    buffer.seek(0, io.SEEK_END)
    buffer.write(tail)
    return buffer.getbuffer()


def unreached(path: Path) -> bool:
    """Say whether the network kept an image from a shard, which is then worth another try."""
    with h5py.File(path, "r") as file:
        return bool(file.attrs.get("unreached", False))


def whole(path: Path) -> bool:
    """Say whether a shard is complete: the checksum at its end fits, and the maps beside it have their size."""
    try:
        content = memoryview(path.read_bytes())
        head, tail = content[: -len(MARK) - 4], content[-len(MARK) - 4 :]
        if bytes(tail) != MARK + zlib.crc32(head).to_bytes(4, "little"):
            return False
        with h5py.File(path, "r") as file:
            kept = int(file["kept"].attrs["size"]) if "kept" in file else 0
        return not kept or path.with_suffix(".maps").stat().st_size == kept
    except (OSError, KeyError, ValueError):
        return False
