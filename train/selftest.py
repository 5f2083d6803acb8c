"""Which map tells the truth on an architecture: plants artefacts, trains on them and scores every map against the truth."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from train import leaderboard
from train.planted import examine
from train.planting import Planted, seat, write
from train.plants import DEFAULTS, Plant
from train.scoring import Scores
from train.selftestwords import sentences, text
from xai import notebook, store
from xai.errors import DataError, WhyfakeError
from xai.images import find
from xai.places import File, weight
from xai.progress import bar
from xai.provenance import machine, versions
from xai.recommend import architecture, remember
from xai.regions.source import open_source
from xai.version import VERSION

LEARNT = 0.95  # accuracy on held-out images, below which a detector says nothing about maps
TRIES = (1.0, 1.5, 2.25)  # times the strength; the next where the one before was not learnt
ENOUGH = 1e-3  # validation loss from which a detector knows the artefact
FORMAT = 1  # of what is kept, and of what it means


@dataclass(frozen=True, slots=True)
class Settings:
    """How a self-test runs.

    Args:
        size: side of the images in pixels; None: that of the model, or 256.
        plants: as in `train.plants.Plant.parse`; each gets a data set and a detector of its own.
        count: images a data set, half of them fake.
        images: held-out fakes that the quick methods are scored on.
        slow: of those, how many go to methods that ask the network hundreds of times for one map.
        effects: held-out images whose regions are swapped, half of each class.
        epochs: of a training, at most.
        learning_rate: of Adam.
        batch_size: images a training step.
        seed: of everything.
        photos: a folder of real photos to plant in, in place of drawn portraits.
        keep: keep the planted images.
        foreign: of a model from elsewhere: positive, colour_order, value_range, mean, std, crop, resize, output, trust, as in `xai.detector.load`.
        network: arguments of the network's own `build`.
    """

    size: int | None = None
    plants: tuple[str, ...] = tuple(plant.text for plant in DEFAULTS)
    count: int = 600
    images: int = 40
    slow: int = 1
    effects: int = 16
    epochs: int = 12
    learning_rate: float = 3e-4
    batch_size: int = 8
    seed: int = 0
    photos: str | None = None
    keep: bool = False
    foreign: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selftested:
    """What a self-test found: its folder, and the content of `selftest.json`."""

    folder: Path
    summary: dict[str, Any]

    def _repr_html_(self) -> str:
        """Show in a notebook what the command prints."""
        return notebook.pre(text(self.summary)) + notebook.page_link(self.folder)


def selftest(
    what: str, out: str | Path, settings: Settings, *, command: Sequence[str] = (), say: Callable[[str], None] = lambda line: None, quiet: bool = True
) -> Selftested:
    """Test which map method and layer finds a planted artefact on an architecture.

    For every plant a data set is made whose fakes differ from its reals by that artefact alone, a detector is trained
    on it, and every method's map at every layer is scored against the artefact's mask on held-out fakes. What is done
    is kept: the same command goes on after a stop.

    Args:
        what: a network's NAME, trained from its start, or the path of a model, of which a copy is fine-tuned.
        out: gets `selftest.json`, `leaderboard.csv`, and a folder for every plant.
        settings: how.
        command: the words of the command line.
        say: told what happens.
        quiet: no progress bar.

    Raises:
        WhyfakeError: an unknown name or model, a black box, an unknown plant, …
    """
    started = time.perf_counter()
    plants = list(dict.fromkeys(Plant.parse(text) for text in settings.plants))
    if not plants:
        raise DataError("nothing to plant; name at least one plant, such as checkerboard:eyes")
    subject = opened(what, settings)
    out = store.make_folder(out)
    size = settings.size or subject.size
    settings = replace(settings, size=size)
    for plant in plants if settings.photos is None else ():
        seat(plant, settings.count, size, settings.seed, None, None, None)  # an unknown region is told now, not when its turn comes
    records = [learnt_and_scored(subject, plant, out, settings, say, quiet) for plant in plants]
    found = concluded(subject, records, out, settings)
    found |= {"command": [Path(word).name if "/" in word else word for word in command], "seconds": round(time.perf_counter() - started, 1)}
    found["sentences"] = sentences(found)
    store.write_json(out / "selftest.json", found)
    store.write_table(out / "leaderboard.csv", leaderboard.FIELDS, ([row[name] for name in leaderboard.FIELDS] for row in found["rows"]))
    if found["recommended"] is not None:
        remember(memory(subject, found))
    return Selftested(out, store.plain(found))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested.

    Args:
        name: for people.
        network: a name that `models.build` knows; '' for a model.
        path: of the model; '' for a network.
        size: side of its input in pixels.
        architecture: its fingerprint.
        layers: names of all that can be mapped, in order.
        chosen: those that are scored.
        key: what decides the results, beside the settings.
    """

    name: str
    network: str
    path: str
    size: int
    architecture: str
    layers: tuple[str, ...]
    chosen: tuple[str, ...]
    key: str


def opened(what: str, settings: Settings) -> Subject:
    """Return what is tested, or say that there is no such thing."""
    from models.registry import NETWORKS
    from xai.detector import load, wrap
    from xai.items import known

    named = what in NETWORKS or what.startswith("transfer:")
    if named:
        told = [name for name, value in settings.foreign.items() if value]
        if told:
            raise WhyfakeError(
                f"--{told[0].replace('value_', '').replace('_', '-')} is for models from elsewhere; '{what}' is built as whyfake has it"
            )
        if what in ("autoencoder", "encoder-classifier"):
            raise WhyfakeError(f"'{what}' cannot be trained on its own; train it first and give the path of its model")
        from train.fit import built

        detector = wrap(built(what, options(what, settings, settings.size or 256)), name=what)
    else:
        if not Path(what).exists():
            raise WhyfakeError(f"'{what}' is neither a network nor a model: expected one of {', '.join(NETWORKS)}, transfer:BACKBONE, or a path")
        detector = load(what, size=settings.size, **settings.foreign)
        if not detector.gradients:
            raise WhyfakeError(f"'{what}' is a black box, which cannot be trained; give a Keras model, or the NAME of a network")
        if detector.size[0] != detector.size[1]:
            raise WhyfakeError(f"'{what}' takes images of {detector.size[1]} x {detector.size[0]} pixels; a self-test needs square ones")
    return Subject(
        detector.name, what if named else "", "" if named else what, detector.size[0], architecture(detector.graph),
        tuple(detector.layers), tuple(detector.select("auto")), what if named else json.dumps(known(detector), sort_keys=True),
    )  # fmt: skip


def options(name: str, settings: Settings, size: int) -> Any:
    """Return how a network is trained on a planted artefact: in small steps, for as long as it is at chance, until it knows it."""
    from train.options import Options

    network = ({"weights": "none"} if name.startswith("transfer:") else {}) | settings.network
    return Options(
        size=size, epochs=settings.epochs, patience=settings.epochs, learning_rate=settings.learning_rate, batch_size=settings.batch_size, average=0,
        seed=settings.seed, test=0.2, network=network, enough=ENOUGH,
    )  # fmt: skip


def learnt_and_scored(
    subject: Subject, plant: Plant, out: Path, settings: Settings, say: Callable[[str], None], quiet: bool
) -> tuple[dict[str, Any], Scores | None]:
    """Do everything for one plant, or read what an earlier run left; stronger where the artefact is not learnt."""
    record: dict[str, Any] = {}
    scores = None
    for factor in TRIES:
        stronger = strengthened(plant, factor)
        if stronger is None:
            break
        folder = out / stronger.name
        key = identity(subject, stronger, settings)
        record = store.read_json(folder / "plant.json") if (folder / "plant.json").exists() else {}
        scores = Scores.read(folder / "scores.npz")
        if record.get("key") == key and (scores is not None or not record["learnt"]):
            say(f"{stronger.text}: done in an earlier run, accuracy {record['accuracy']:.3f}")
        else:
            shutil.rmtree(folder / "shards", ignore_errors=True)
            record, scores = once(subject, stronger, folder, settings, say, quiet)
            if scores is not None:
                scores.write(folder / "scores.npz")
            store.write_json(folder / "plant.json", record | {"key": key})
        if record["learnt"]:
            break
        say(f"{stronger.text}: accuracy {record['accuracy']:.3f} on {record['held_out']} held-out images, so it was not learnt")
    return record, scores


def strengthened(plant: Plant, factor: float) -> Plant | None:
    """Return a plant so many times stronger; None beyond its kind's limit."""
    try:
        return replace(plant, strength=float(f"{plant.strength * factor:.4g}"))
    except DataError:
        return None


def identity(subject: Subject, plant: Plant, settings: Settings) -> str:
    """Return a hash of what decides a plant's results."""
    kept = {name: value for name, value in asdict(settings).items() if name not in ("plants", "keep", "photos")}
    photos = [[path.name, weight(path)] for path in pictures(settings)] if settings.photos else None
    return hashlib.sha256(json.dumps([FORMAT, subject.key, plant.text, kept, photos], sort_keys=True).encode()).hexdigest()


def pictures(settings: Settings) -> list[File]:
    """Return the photos to plant in."""
    return find([str(settings.photos)])


def once(
    subject: Subject, plant: Plant, folder: Path, settings: Settings, say: Callable[[str], None], quiet: bool
) -> tuple[dict[str, Any], Scores | None]:
    """Make the data set, train, score; the images go again unless they are to be kept."""
    started = time.perf_counter()
    data = made(plant, folder / "data", settings, quiet)
    say(f"{plant.text}: training {subject.name} on {sum(data.counts.values())} images of {settings.size} x {settings.size}")
    record, scores = examine(subject, data, folder, settings, LEARNT, say=say, quiet=quiet)
    if not settings.keep:
        shutil.rmtree(folder / "data", ignore_errors=True)
    record |= {"seconds": round(time.perf_counter() - started, 1), "skipped": dict(data.skipped)}
    return record, scores


def made(plant: Plant, folder: Path, settings: Settings, quiet: bool) -> Planted:
    """Make a planted data set."""
    source = open_source("mesh", None) if settings.photos else None
    photos = pictures(settings) if settings.photos else None
    with bar(settings.count, f"planting {plant.name}", quiet=quiet) as progress:
        return write(
            folder, plant, count=settings.count, size=settings.size or 256, seed=settings.seed, photos=photos, source=source, progress=progress.update
        )


def concluded(subject: Subject, records: Sequence[tuple[dict[str, Any], Scores | None]], out: Path, settings: Settings) -> dict[str, Any]:
    """Return `selftest.json`: the leaderboard, what passes and fails, and what to use."""
    plants = [{key: value for key, value in record.items() if key != "key"} for record, _ in records]
    learnt = {record["text"]: scores.values for record, scores in records if scores is not None and record["learnt"]}
    local = {text: values for text, values in learnt.items() if not Plant.parse(text).whole and not Plant.parse(text).shortcut}
    marks = {text: values for text, values in learnt.items() if Plant.parse(text).shortcut and not Plant.parse(text).whole}
    rows = leaderboard.board(local or marks)
    if local:
        rows += [entry for entry in leaderboard.board(marks) if entry["plant"] != leaderboard.ALL]
    together = [entry for entry in rows if entry["plant"] == leaderboard.ALL]
    chosen = leaderboard.choose(together)
    judged = leaderboard.judged(together)
    found: dict[str, Any] = {
        "whyfake": VERSION, "subject": subject.name, "network": subject.network, "architecture": subject.architecture, "size": settings.size,
        "images": "photos" if settings.photos else "drawn portraits", "settings": asdict(settings) | {"photos": bool(settings.photos)},
        "plants": plants, "rows": rows, "methods": judged, "transferred": leaderboard.transferred(local), "recommended": None,
        "whole": {text: evenness(values) for text, values in learnt.items() if Plant.parse(text).whole},
        "versions": versions(), "machine": machine(),
    }  # fmt: skip
    if chosen is not None and together:
        best = max(together, key=lambda entry: entry["score"])
        regions = len(local or marks)
        why = (
            f"in a self-test of {subject.name} at {settings.size} x {settings.size} it pointed at what was planted in "
            f"{chosen['pointing']:.0%} of {chosen['images']} fakes ({regions} region{'s' if regions > 1 else ''}) and put "
            f"{chosen['mass_accuracy']:.0%} of its mass on {chosen['area_share']:.1%} of the picture"
        )
        found["recommended"] = {"method": chosen["method"], "layer": chosen["layer"], "score": chosen["score"], "best": best["score"], "why": why}
        found["recommended"] |= {"regret": 1 - chosen["score"] / best["score"], "best_method": best["method"], "best_layer": best["layer"]}
    return found


def memory(subject: Subject, found: dict[str, Any]) -> dict[str, Any]:
    """Return what audits are told: layers by their place among those that can be mapped, the image itself as -1."""

    def place(layer: str) -> int:
        return -1 if layer == "input" else subject.layers.index(layer)

    return {
        "architecture": subject.architecture, "network": subject.name, "size": found["size"], "images": found["images"],
        "method": found["recommended"]["method"], "layer": place(found["recommended"]["layer"]), "why": found["recommended"]["why"],
        **{
            key: {entry["method"]: [place(layer) for layer in entry[at]] for entry in found["methods"] if entry[at]}
            for key, at in (("passing", "layers"), ("failed", "fails_at"), ("unsure", "unsure_at"))
        },
    }  # fmt: skip


def evenness(values: Any) -> list[dict[str, Any]]:
    """Return, for what covers the whole picture, on how little of it half of each map lies: less than half is a focus that is not there."""
    found = [leaderboard.row("", pair, rows) for pair, rows in values.items()]
    return [{key: entry[key] for key in ("layer", "method", "images", "empty", "half_area")} for entry in found]
