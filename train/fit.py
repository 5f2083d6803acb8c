"""Train a detector and leave everything another person needs beside it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models import build
from train import checkpoint, datasets, loop
from train.balance import balanced, class_weights
from train.datasets import Manifest
from train.distribute import policy
from train.evaluate import forget, logits_of, write_evaluation
from train.loop import Phase, Plan, Say
from train.options import Options
from train.pictures import curves
from train.team import crew
from xai import store
from xai.calibration import fit_temperature
from xai.crop import ready
from xai.detector import wrap
from xai.errors import DataError, WhyfakeError
from xai.metrics import brief, measure
from xai.modelfile import CARD, sha256
from xai.preprocess import Preprocessing
from xai.provenance import versions

FILES = ("encoder", "weights")  # choices that name a trained part


@dataclass(frozen=True, slots=True)
class Trained:
    """What training left.

    Args:
        model: the path of `model.keras`.
        card: the content of `detector.json`, with the metrics in brief.
        metrics: of `xai.metrics.measure`, by split.
        skipped: images that could not be read, path -> reason.
    """

    model: Path
    card: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    skipped: dict[str, str]


def fit(
    name: str,
    data: str | Path,
    out: str | Path,
    options: Options,
    *,
    resume: bool = False,
    say: Say = lambda line: None,
    quiet: bool = True,
) -> Trained:
    """Train a network on real and fake images.

    Adam on cross-entropy; stops when the calibrated validation loss no longer falls and keeps the
    weights that had the lowest. A pretrained network's own part is frozen at first.

    Args:
        name: of a network in `models`.
        data: what `datasets.scan` understands.
        out: gets `model.keras`, `model.weights.h5`, `detector.json`, `manifest.csv`,
            `history.csv`, `curves.png`, `layers.csv`, `network.png`, and the test set's
            `metrics.json` with tables and pictures (where there is none, the validation images').
        options: how.
        resume: go on after the last whole epoch of a training that was stopped.
        say: told a line per epoch.
        quiet: no progress bar.

    Returns:
        The paths and the card.

    Raises:
        WhyfakeError: the data cannot be split, the network cannot take the size, a worker was lost, …
        train.team.Done: this is a worker, but not the chief, who alone has results.
    """
    if name == "autoencoder":
        raise WhyfakeError("an autoencoder tells no classes apart; 'whyfake train autoencoder IMAGES' trains one")
    team = crew(options, say)
    out = store.make_folder(out) if team.chief else Path(out)
    manifest = datasets.prepared(data, seed=options.seed, test=options.test, valid=options.valid, positive=options.positive, quiet=quiet)
    remarks = datasets.remarks(manifest.layout)
    for remark in remarks if team.chief else ():
        say(remark)
    learnt = balanced(reduced(manifest, options), options.balance, options.seed)
    for part in ("train", "valid"):
        if set(learnt.select(part).counts()) != set(datasets.CLASSES):
            left = "; ".join([f"'{data}' leaves {learnt.select(part).counts() or 'nothing'} in its {part} split", *remarks])
            raise DataError(f"{left}; both classes are needed there")
    with team.scope():
        model = built(name, options)
    origins = started_from(name, options, manifest, say)
    preprocessing = preparation(name, options)
    training = team.feed(learnt.select("train"), preprocessing, options.batch_size, shuffle=options.seed, augment=options.augment)
    validation = team.feed(manifest.select("valid"), preprocessing, options.batch_size)
    weighted = class_weights(learnt) if options.balance == "class-weight" else None
    loss = "binary_crossentropy" if model.output_shape[-1] == 1 else "sparse_categorical_crossentropy"
    plan = Plan(phases(name, options), options.patience, options.momentum(training.count), loss, class_weights=weighted)
    plan = replace(plan, key=identity(name, options, learnt), enough=options.enough)
    if team.chief and not resume:
        forget(out)
    try:
        rows = loop.run(model, training, validation, plan, out, crew=team, resume=resume, say=say, quiet=quiet)
    except checkpoint.Finished as done:
        say(str(done))
        return kept(out, done.card)
    team.finish(say)
    model = exported(model, name, options)
    card = {
        "name": name,
        "input": [options.size, options.size, 3],
        "colour_order": preprocessing.colour_order,
        "range": [preprocessing.low, preprocessing.high],
        "crop": preprocessing.crop,
        "resize": preprocessing.resize,
        "positive": "fake",
        "threshold": 0.5,
        "layout": manifest.layout,
        "classes": {part: learnt.select(part).counts() for part in learnt.counts("split")},
        "manifest": "manifest.csv",
        "manifest_sha256": manifest.digest(),
        "identity": plan.key,
        "seed": options.seed,
        "parameters": model.count_params(),
        "training": options.record() | {"epochs": len(rows), "epochs_at_most": options.epochs, "best_epoch": loop.best_epoch(rows)},
        "history": rows,
        "versions": versions(),
        **origins,
    }
    trained = save(model, manifest, out, card, {**training.skipped, **validation.skipped}, quiet)
    checkpoint.remove(out)
    return trained


def kept(out: Path, card: dict[str, Any]) -> Trained:
    """Return what an earlier training left; only one split was measured in full."""
    path = out / "metrics.json"
    metrics = store.read_json(path) if path.exists() else {}
    part = (metrics.get("about") or {}).get("split", "test")
    return Trained(out / "model.keras", card, {part: metrics} if metrics else {}, checkpoint.skipped_in(out))


def reduced(manifest: Manifest, options: Options) -> Manifest:
    """Return the manifest with at most `options.images` training rows, validation and test as they are."""
    if options.images is None:
        return manifest
    kept = {row.path for row in datasets.limited(manifest.select("train"), options.images, options.seed).rows}
    return replace(manifest, rows=tuple(row for row in manifest.rows if row.split != "train" or row.path in kept))


def built(name: str, options: Options) -> Any:
    """Build a network in the precision that was asked for, seeded.

    Raises:
        WhyfakeError: an unknown name, a size it cannot take, …
    """
    import keras

    keras.utils.set_random_seed(options.seed)
    try:
        with policy(options.precision):
            model = build(name, options.size, **options.network)
    except ValueError as error:
        raise WhyfakeError(str(error)) from None
    if options.precision != "float32":
        # a sigmoid in half precision is exactly 0 or 1 long before it is sure, and has no slope there
        model.layers[-1].dtype_policy = keras.DTypePolicy("float32")
    return model


def preparation(name: str, options: Options) -> Preprocessing:
    """Return what a network expects of its pixels: scaling is inside ours, the channels' order may not be."""
    ready(options.crop)
    order = "RGB"
    if name.startswith("transfer:"):
        from models.transfer import preprocessing

        order = preprocessing(name.removeprefix("transfer:"))["colour_order"]
    return Preprocessing(options.size, options.size, order, crop=options.crop)


def backbone(name: str, options: Options) -> dict[str, Any]:
    """Return what transfer learning started from: the backbone, its weights, and its own scaling, which is inside the model."""
    from models.transfer import preprocessing

    own = preprocessing(name.removeprefix("transfer:"))
    return {"name": name.removeprefix("transfer:"), "weights": Path(str(options.network.get("weights", "imagenet"))).name, **own}


def started_from(name: str, options: Options, manifest: Manifest, say: Say) -> dict[str, Any]:
    """Return what the card says of the trained part that a network starts from; nothing of one that has none."""
    if name.startswith("transfer:"):
        return {"backbone": backbone(name, options)}
    if "encoder" in options.network:
        from train.autoencode import origin

        return {"encoder": origin(options.network["encoder"], manifest.select("test"), say)}
    return {}


def phases(name: str, options: Options) -> tuple[Phase, ...]:
    """Return one phase, or two where a pretrained part is frozen first and tuned later."""
    if not name.startswith("transfer:") or options.network.get("weights") == "none" or options.frozen < 1:
        return (Phase(options.epochs, options.learning_rate),)
    from models.transfer import freeze, unfreeze

    first = min(options.frozen, options.epochs)
    return Phase(first, 10 * options.learning_rate, freeze), Phase(options.epochs, options.learning_rate, unfreeze)


def identity(name: str, options: Options, manifest: Manifest) -> str:
    """Return a hash of what decides a training, so that another one cannot be resumed."""
    kept = {key: value for key, value in options.record().items() if key != "epochs"}
    kept["network"] = {key: content(str(value)) if key in FILES else str(value) for key, value in options.network.items()}
    rows = [(row.path, row.label, row.split, row.sha256) for row in manifest.rows]
    return hashlib.sha256(json.dumps([name, kept, rows], sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def content(path: str) -> str:
    """Return the SHA-256 of a file, or of the model in a folder: it may lie elsewhere, or be another one, when the training goes on.

    Example:
        >>> content("imagenet")  # no file
        'imagenet'
    """
    file = Path(path) / "model.keras" if Path(path).is_dir() else Path(path)
    return sha256(file) if file.is_file() else path


def exported(model: Any, name: str, options: Options) -> Any:
    """Return the model as it is kept: full precision, no particular device, and never compiled.

    Whoever opens the file needs Keras alone, not our optimizer, and gets no state of a training that is over.
    """
    plain = built(name, replace(options, precision="float32"))
    plain.set_weights(model.get_weights())
    return plain


def save(model: Any, manifest: Manifest, out: Path, card: dict[str, Any], skipped: dict[str, str], quiet: bool) -> Trained:
    """Measure the trained network on its own splits and write model, weights, card, tables and pictures."""
    write_model(model, out)
    write_network(model, out, card["name"])
    manifest.write(out / "manifest.csv")
    detector = wrap(model, name=card["name"], card=card)
    answers = {}
    for part in ("valid", "test"):
        rows = manifest.select(part)
        if not rows.rows:
            continue
        logits, read, missed = logits_of(detector, rows, quiet=quiet)
        skipped |= missed
        if read:
            answers[part] = logits, read, missed
    temperature = None
    if "valid" in answers:
        logits, read, _ = answers["valid"]
        temperature = fit_temperature([row.label for row in read], logits)
    metrics = {}
    for part, (logits, read, _) in answers.items():
        metrics[part] = measure([row.label for row in read], logits, card["threshold"], temperature=temperature, seed=card["seed"])
    part = "test" if "test" in answers else "valid"  # in full on what was held out, or on what there is
    logits, read, missed = answers[part]
    about = {"split": part, "trained_on": len(read) if part == "valid" else 0}
    write_evaluation(out, read, logits, metrics[part] | {"about": about}, missed)
    card = card | {
        "temperature": temperature,
        "metrics": {part: brief(found) for part, found in metrics.items()},
        "model_sha256": sha256(out / "model.keras"),
    }
    store.write_json(out / CARD, card)
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    store.write_bytes(out / "curves.png", curves(card["history"], card["name"]))
    return Trained(out / "model.keras", card, metrics, skipped)


def write_model(model: Any, out: Path, stem: str = "model") -> Path:
    """Write a model whole, and its weights alone beside it."""
    with store.atomic(out / f"{stem}.keras") as temporary:
        model.save(temporary)
    with store.atomic(out / f"{stem}.weights.h5") as temporary:
        # Keras insists on the double ending, the temporary name has one
        weights = temporary.with_suffix(".weights.h5")
        model.save_weights(weights)
        os.replace(weights, temporary)
    return out / f"{stem}.keras"


def write_network(model: Any, out: Path, name: str) -> None:
    """Write the network's picture and its table of layers."""
    from models.describe import picture, table

    rows = table(model)
    store.write_table(out / "layers.csv", tuple(rows[0]), ([text(value) for value in row.values()] for row in rows))
    store.write_bytes(out / "network.png", picture(model, name))


def text(value: Any) -> Any:
    """Return a shape as words, anything else as it is.

    Example:
        >>> text((28, 28, 6))
        '28 x 28 x 6'
    """
    return " x ".join(map(str, value)) if isinstance(value, (tuple, list)) else value


def seconds_per_epoch(rows: list[dict[str, float]]) -> float:
    """Return the median time of an epoch, which the first, compiling one does not disturb."""
    return float(np.median([row["seconds"] for row in rows]))
