"""The unit of work of an audit: some images in, one HDF5 file out, whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import miniature, overlay, store
from xai.aggregate import Moments, members, outcome
from xai.crop import Box
from xai.detector import Detector, score
from xai.errors import ImageError, readable
from xai.maps.methods import pairs, parse
from xai.maps.placement import Placement
from xai.modelfile import sha256
from xai.regions.attention import Ground
from xai.regions.collect import Collector
from xai.regions.source import Source
from xai.stream import batches

TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True, slots=True)
class Item:
    """One image of an audit.

    Args:
        index: its row in the data set.
        file: where it is.
        path: relative to the data folder, as shown.
        label: "real", "fake" or "".
        sha256: of its bytes.
        split: it was in when the model was trained on it, else "".
    """

    index: int
    file: Path
    path: str
    label: str
    sha256: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What is computed for every image; part of a shard's identity.

    Args:
        layers, methods: to map.
        sides: of the small copies for the page: a picture's in pixels, a map's in cells.
        source: of face parts.
        stretch: whether maps are stretched over the image.
    """

    layers: tuple[str, ...]
    methods: tuple[str, ...]
    sides: tuple[int, int]
    source: Source | None = None
    stretch: bool = False

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (layer, method) to map."""
        return pairs(self.layers, self.methods)

    def texts(self) -> list[str]:
        """Return the methods' options that are words; some name files."""
        return [value for text in self.methods for value in parse(text).options.values() if isinstance(value, str)]


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


def identity(detector: Detector, work: Work, items: Sequence[Item]) -> str:
    """Return a shard's name: a hash of what went in, so that changed input gives a new shard."""
    parts = {
        "detector": known(detector),
        "work": [work.layers, work.methods, work.sides, work.stretch],
        "donors": [sha256(value) for value in work.texts() if Path(value).is_file()],
        "parts": None if work.source is None else work.source.record(),
        "items": [[item.index, item.path, item.label, item.sha256, item.split] for item in items],
        "masks": [work.source.identity(item.path) for item in items] if work.source else None,
        "format": 5,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def known(detector: Detector) -> dict[str, Any]:
    """Return all of a detector that decides its answers and maps."""
    return {
        "model": detector.sha256 or weights_sha256(detector),
        "logit": detector.head.text,
        "preprocessing": detector.preprocessing.record(),
        "positive": detector.positive,
        "threshold": detector.threshold,
    }


def weights_sha256(detector: Detector) -> str:
    """Return a SHA-256 of the weights of a model that came from no file; of a function, of its answers to noise."""
    digest = hashlib.sha256()
    noise = np.random.default_rng(0).uniform(detector.preprocessing.low, detector.preprocessing.high, (2, *detector.size, 3))
    for values in detector.model.get_weights() if detector.gradients else [detector.logits(noise.astype(np.float32))]:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def run_shard(detector: Detector, items: Sequence[Item], work: Work, out: Path, name: str, batch_size: int | None, progress: Any) -> Path:
    """Map the images of one shard and write `shards/<name>.h5`, small copies for the page in it.

    The file is built in memory (its maps are bounded by the caller) and written at once:
    HDF5 cannot be trusted to survive a full disk while it is open.

    Args:
        detector: the detector.
        items: the images.
        work: what to compute.
        out: the run directory.
        name: from `identity`.
        batch_size: images a pass.
        progress: has `update(n)`.
    """
    from xai.maps import mapped

    placements, pairs = mapped.placements(detector, work.layers, work.methods), work.pairs
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    pictures: list[np.ndarray] = []
    collector = None if work.source is None else Collector(work.source.names, pairs, placements)

    def keep(index: int, view: np.ndarray, box: Box | None) -> Kept:
        small = overlay.encode(overlay.thumbnail(view, work.sides[0]), quality=85)
        return Kept(view.shape, small, grounded(work.source, items[index], view, box, detector.size) if work.source else "")

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for layer, method in pairs:
            create(file, f"maps/{store.home(layer, method)}", placements[layer])
        minis: dict[tuple[str, str], tuple[list[np.ndarray], list[np.ndarray]]] = {pair: ([], []) for pair in pairs}
        for batch in batches(detector, [item.file for item in items], batch_size, keep=keep):
            skipped |= {readable(items[index].path): reason for index, reason in batch.skipped.items()}
            if batch.indices:
                found = mapped.compute(detector, batch.inputs, work.layers, work.methods, batch_size=batch_size)
                logits, maps = found.logits, found.maps
                append_maps(file, maps)
                for pair, values in maps.items():
                    for column, part in zip(minis[pair], miniature.shrink(values, work.sides[1]), strict=True):
                        column.append(part)
                for place, index in enumerate(batch.indices):
                    item, kept = items[index], batch.images[place]
                    rows.append(record(detector, item, kept.shape, float(logits[place])))
                    rows[-1] |= {f"max:{layer}:{method}": float(maps[layer, method][place].max()) for layer, method in maps}
                    rows[-1] |= {column: float(values[place]) for column, values in found.columns().items()}
                    pictures.append(np.frombuffer(kept.small, np.uint8))
                    if collector is not None and work.source is not None:
                        ground = None if isinstance(kept.ground, str) else kept.ground
                        rows[-1] |= {"parts": work.source.kind if ground else "", "parts_missing": kept.ground if ground is None else ""}
                        collector.add(ground, {pair: values[place] for pair, values in maps.items()}, item.label)
            progress.update(len(batch.indices) + len(batch.skipped))
        file.attrs["rows"] = json.dumps(rows)
        file.attrs["skipped"] = json.dumps(skipped)
        miniature.write_pictures(file, "pictures", pictures)
        for pair, (small, scales) in minis.items():
            cells = miniature.shape(placements[pair[0]].cells, work.sides[1])
            file[f"small/{store.home(*pair)}"] = np.concatenate([np.zeros((0, *cells), np.int16), *small])
            file[f"scale/{store.home(*pair)}"] = np.concatenate([np.zeros(0, np.float32), *scales])
        if collector is not None:
            collector.write(file)
        write_moments(file, rows, work)
    return store.write_bytes(out / "shards" / f"{name}.h5", buffer.getbuffer())


def create(file: h5py.File, name: str, placement: Placement) -> h5py.Dataset:
    """Create an empty, growing set of maps, one compressed chunk a map."""
    h, w = placement.cells
    data = file.create_dataset(
        name, (0, h, w), np.float32, maxshape=(None, h, w), chunks=(1, h, w), compression="gzip", compression_opts=1, shuffle=True
    )
    placed(data, placement)
    return data


def placed(data: h5py.Dataset, placement: Placement) -> None:
    """Write where the cells lie beside the maps."""
    data.attrs["stride"], data.attrs["offset"] = placement.stride, placement.offset
    data.attrs["input"] = placement.image


def append_maps(file: h5py.File, maps: dict[tuple[str, str], np.ndarray]) -> None:
    """Append a batch of maps `(n, h, w)` each."""
    for (layer, method), values in maps.items():
        data = file[f"maps/{store.home(layer, method)}"]
        data.resize(len(data) + len(values), 0)
        data[-len(values) :] = values


def record(detector: Detector, item: Item, shape: tuple[int, ...], logit: float) -> dict[str, Any]:
    """Return an image's row of `images.csv`."""
    probability = float(score(np.array(logit)))
    prediction = "fake" if probability >= detector.threshold else "real"
    row = {key: value for key, value in asdict(item).items() if key != "file"} | {"path": readable(item.path)}
    return row | {
        "logit": logit,
        "score": probability,
        "prediction": prediction,
        "outcome": outcome(item.label, prediction),
        "width": shape[1],
        "height": shape[0],
    }


def write_moments(file: h5py.File, rows: list[dict[str, Any]], work: Work) -> None:
    """Write count, empty, mean and squared deviations per group x layer x method."""
    groups = members([row["label"] for row in rows], [row["outcome"] for row in rows]) if rows else {}
    for layer, method in work.pairs:
        maps = file[f"maps/{store.home(layer, method)}"][:]
        for group, chosen in groups.items():
            moments = Moments.of(maps[chosen])
            place = file.create_group(f"moments/{group}/{store.home(layer, method)}")
            place["mean"], place["squares"] = moments.mean, moments.squares
            place.attrs["count"], place.attrs["empty"] = moments.count, moments.empty


def read_moments(file: h5py.File, group: str, layer: str, method: str) -> Moments | None:
    """Return one group's moments from a shard; None where the shard has no such image."""
    place = file.get(f"moments/{group}/{store.home(layer, method)}")
    if place is None:
        return None
    return Moments(int(place.attrs["count"]), int(place.attrs["empty"]), place["mean"][:], place["squares"][:])


def whole(path: Path) -> bool:
    """Say whether a shard is there and complete; a damaged one is removed."""
    if not path.exists():
        return False
    try:
        with h5py.File(path, "r") as file:
            json.loads(file.attrs["rows"])
            return "pictures" in file
    except (OSError, KeyError, ValueError):
        path.unlink()
        return False
