"""Workflow: a sample of images in, how faithful each method's maps are out; goes on where it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai import store
from xai.detector import score
from xai.errors import ImageError, readable
from xai.images import read
from xai.maps.answer import ask
from xai.maps.memory import batch_size as fitting
from xai.maps.methods import pairs, parse
from xai.modelfile import sha256
from xai.probes.donors import CLASSES, stream
from xai.progress import bar
from xai.stream import batches
from xai.trust import passes
from xai.trust.faithful import FRACTIONS, ROAD_FRACTIONS, SQUARES, Found, Pair, Settings, Subject, Trial

if TYPE_CHECKING:
    from xai.items import Item

SHARD = 16  # images whose results are written at once
FORMAT = 1  # of a shard; also changed when the same input gives other results


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How faithful the maps of a sample are, raw: means, intervals and tests are made of it elsewhere.

    All logits speak of the image's own class: they are the logit of fake for a fake, and minus that for a real.

    Args:
        rows: (layer, method) of the maps, the nulls "random" and "region" last, at layer "".
        fractions, road: of all pixels, that were deleted or inserted, and imputed.
        threshold: scores of fake from here on are called fake.
        index: int64 `(N,)`: the images' items.
        paths, labels: of the images; an unlabelled one has the class the network gives it.
        donor: int64 `(N,)`: the donors' items, of the other class; -1 for none.
        found: of all images, arrays with the image in front.
        skipped: path -> reason of the images that are left out.
    """

    rows: tuple[Pair, ...]
    fractions: tuple[float, ...]
    road: tuple[float, ...]
    threshold: float
    index: np.ndarray
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    donor: np.ndarray
    found: Found
    skipped: dict[str, str] = field(default_factory=dict)


def measure(
    detector: Any,
    items: Sequence[Item],
    layers: Sequence[str],
    methods: Sequence[str],
    out: str | Path,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    quiet: bool = True,
    fractions: Sequence[float] = FRACTIONS,
    road: Sequence[float] = ROAD_FRACTIONS,
    squares: int = SQUARES,
) -> Faithfulness:
    """Test whether what each map marks is what the network uses.

    Costs, with the usual fractions, 28 passes through the network per image for each map and each of the
    two nulls, and 11 that they share. Memory holds the maps of one batch as they are, one of them placed,
    and one pass. Results are written in shards; a run that was stopped goes on behind the last whole one.

    Args:
        detector: the detector, or a black box for methods that need only its answers.
        items: the images; donors come from among them, so another sample gives other shards.
        layers, methods: as in `xai.maps.mapped.compute`.
        out: the run directory; gets `shards/faith-<hash>.npz`.
        seed: of all that is drawn.
        batch_size: images a pass; default by the network's input size.
        quiet: no progress bar.
        fractions: of all pixels, from 0 to 1, deleted and inserted.
        road: fractions that are imputed, above 0 and below 1.
        squares: replaced for infidelity.

    Returns:
        The results, in the order of the items.

    Raises:
        WhyfakeError: an unknown method, nothing to judge, or fractions that do not rise.
        LayerError: an unknown layer.
    """
    settings = Settings(tuple(pairs(layers, methods)), tuple(fractions), tuple(road), squares, seed)
    size = batch_size or fitting(detector)
    known, skipped = judged(detector, items, size)
    described = {"format": FORMAT, "settings": astuple(settings), "detector": decisive(detector), "maps": files(methods)}
    described["pool"] = [identity(item) for item in known]
    shards = []
    with bar(len(known), "testing maps", quiet=quiet) as progress:
        for start in range(0, len(known), SHARD):
            some = known[start : start + SHARD]
            name = hashlib.sha256(json.dumps(store.plain(described | {"items": [identity(item) for item in some]}), sort_keys=True).encode())
            path = Path(out) / "shards" / f"faith-{name.hexdigest()[:20]}.npz"
            shard = load(path, settings)
            if shard is None:
                store.write_bytes(path, run(detector, some, known, layers, methods, settings, size, progress.update))
                shard = load(path, settings)
            else:
                store.touch(path)
                progress.update(len(some))
            assert shard is not None
            shards.append(shard)
    return joined(shards, known, settings, detector.threshold, skipped)


def decisive(detector: Any) -> dict[str, Any]:
    """Return all of a detector that decides its answers and maps."""
    from xai.items import known

    return known(detector)


def files(methods: Sequence[str]) -> list[str]:
    """Return the hashes of the files that methods' options name."""
    texts = [value for text in methods for value in parse(text).options.values() if isinstance(value, str)]
    return [sha256(value) for value in texts if Path(value).is_file()]


def identity(item: Item) -> list[Any]:
    """Return what decides an image's pixels and class."""
    return [item.index, item.path, item.label, item.sha256]


def judged(detector: Any, items: Sequence[Item], batch_size: int) -> tuple[list[Item], dict[str, str]]:
    """Return the images, each with a class: its own or, without one, that which the network gives it; and those that cannot be read."""
    found, skipped = list(items), {}
    nameless = [place for place, item in enumerate(items) if item.label not in CLASSES]
    lost = set()
    for batch in batches(detector, [items[place].file for place in nameless], batch_size):
        for index, reason in batch.skipped.items():
            lost.add(nameless[index])
            skipped[readable(items[nameless[index]].path)] = reason
        if batch.indices:
            fake = score(ask(detector.logits, batch.inputs)) >= detector.threshold
            for index, called in zip(batch.indices, fake, strict=True):
                found[nameless[index]] = replace(items[nameless[index]], label="fake" if called else "real")
    return [item for place, item in enumerate(found) if place not in lost], skipped


def run(
    detector: Any,
    items: Sequence[Item],
    pool: Sequence[Item],
    layers: Sequence[str],
    methods: Sequence[str],
    settings: Settings,
    batch_size: int,
    progress: Callable[[int], object],
) -> bytes:
    """Test the maps of one shard's images and return its file."""
    from xai.maps import mapped

    low, high = detector.preprocessing.low, detector.preprocessing.high
    places: list[int] = []
    donors: list[int] = []
    trials: list[Trial] = []
    skipped: dict[str, str] = {}

    def changes() -> Iterator[passes.Change]:
        for batch in batches(detector, [item.file for item in items], min(batch_size, SHARD)):
            skipped.update({readable(items[index].path): reason for index, reason in batch.skipped.items()})
            labels = [items[index].label for index in batch.indices]
            maps = own_maps(detector, batch.inputs, labels, layers, methods, batch_size)
            placements = mapped.placements(detector, layers, methods)  # behind the maps, which say what is wrong with a layer
            for row, index in enumerate(batch.indices):
                pixels, lender = donor(detector, items[index], pool, settings.seed)
                own = {pair: values[row] for pair, values in maps.items()}
                subject = Subject(batch.inputs[row], labels[row], items[index].sha256 or items[index].path, own, pixels)
                trial = Trial(subject, settings)
                yield from trial.changes(subject, placements, low, high)
                places.append(index)
                donors.append(lender)
                trials.append(trial)
                progress(1)

    passes.run(detector.logits, detector.size, changes(), batch_size)
    progress(len(items) - len(trials))
    blank = Found.blank(settings, 0).columns()
    found = [trial.result().columns() for trial in trials]
    arrays: dict[str, Any] = {name: np.stack([one[name] for one in found]) if found else none for name, none in blank.items()}
    arrays |= {"place": np.array(places, np.int64), "donor": np.array(donors, np.int64), "skipped": np.array(json.dumps(skipped))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def own_maps(
    detector: Any, images: np.ndarray, labels: Sequence[str], layers: Sequence[str], methods: Sequence[str], batch_size: int
) -> dict[Pair, list[np.ndarray]]:
    """Return the maps of a batch, each image's of the evidence for its own class: by (layer, method), `(h, w)` per image."""
    from xai.maps import mapped

    maps: dict[Pair, list[np.ndarray]] = {pair: [np.zeros(0)] * len(labels) for pair in pairs(layers, methods)}
    for label in CLASSES:
        rows = [row for row, own in enumerate(labels) if own == label]
        if rows:
            for pair, values in mapped.compute(detector, images[rows], layers, methods, target=label, batch_size=batch_size).maps.items():
                for row, value in zip(rows, values, strict=True):
                    maps[pair][row] = value
    return maps


def donor(detector: Any, item: Item, pool: Sequence[Item], seed: int) -> tuple[np.ndarray | None, int]:
    """Return an image of the other class, drawn at random, and its index; the next one where one cannot be read; None and -1 without any."""
    others = {other.sha256 or other.path: other for other in pool if other.label != item.label}
    ordered = sorted(others.values(), key=lambda other: (other.sha256, other.path))
    for place in stream(seed, item.sha256 or item.path, "donor").permutation(len(ordered)):
        try:
            return detector.preprocessing.prepare(detector.preprocessing.view(read(ordered[place].file))[0]), ordered[place].index
        except ImageError:
            continue
    return None, -1


def load(path: Path, settings: Settings) -> dict[str, np.ndarray] | None:
    """Return a shard's arrays; None where it is not there or damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:  # given a path, NumPy leaves a damaged file open
            shard = {key: file[key] for key in ("place", "donor", "skipped", *Found.blank(settings, 0).columns())}
        json.loads(str(shard["skipped"]))
        return shard
    except (OSError, KeyError, ValueError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile):
        return None


def joined(
    shards: Sequence[Mapping[str, np.ndarray]], items: Sequence[Item], settings: Settings, threshold: float, skipped: Mapping[str, str]
) -> Faithfulness:
    """Return the results of all shards, in order."""
    blank = Found.blank(settings, 0).columns()
    chosen = [items[start * SHARD + place] for start, shard in enumerate(shards) for place in shard["place"]]
    reasons = (skipped, *(json.loads(str(shard["skipped"])) for shard in shards))
    return Faithfulness(
        rows=settings.rows,
        fractions=settings.fractions,
        road=settings.road,
        threshold=threshold,
        index=np.array([item.index for item in chosen], np.int64),
        paths=tuple(item.path for item in chosen),
        labels=tuple(item.label for item in chosen),
        donor=np.concatenate([np.zeros(0, np.int64), *(shard["donor"] for shard in shards)]),
        found=Found(**{name: np.concatenate([none, *(shard[name] for shard in shards)]) for name, none in blank.items()}),
        skipped={path: reason for part in reasons for path, reason in part.items()},
    )
