"""Train an autoencoder on unlabelled images: its encoder is what a classifier starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from train import checkpoint, datasets, loop
from train.datasets import Manifest
from train.distribute import scope
from train.fit import built, exported, identity, preparation, write_model, write_network
from train.loop import Phase, Plan, Say
from train.options import Options
from train.pictures import curves, figure, png
from train.pipeline import Feed, feed
from xai import store
from xai.errors import DataError
from xai.modelfile import sha256
from xai.provenance import versions

CARD = "autoencoder.json"
SHOWN = 8  # reconstructions in the picture


@dataclass(frozen=True, slots=True)
class Encoded:
    """What training left: the model's path, the content of `autoencoder.json`, skipped path -> reason."""

    model: Path
    card: dict[str, Any]
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
) -> Encoded:
    """Train an autoencoder: mean squared error between an image and what comes back of it.

    Args:
        name: "autoencoder".
        data: a folder of images; classes in it are not learnt from.
        out: gets `model.keras`, `autoencoder.json`, `manifest.csv`, `history.csv`, `curves.png`,
            `layers.csv`, `network.png`, `reconstructions.png`, `errors.csv` and `skipped.csv`.
        options: how; a test share is set aside for the error that is reported.
        resume, say, quiet: as in `train.fit.fit`.

    Raises:
        WhyfakeError: too few images, a size the network cannot take, …
    """
    out = store.make_folder(out)
    manifest = separated(data, options, quiet)
    preprocessing = preparation(name, options)

    def source(part: str, **more: Any) -> Feed:
        return feed(manifest.select(part), preprocessing, options.batch_size, target="image", **more)

    with scope(options.devices):
        model = built(name, options)
        training, validation = source("train", shuffle=options.seed, augment=options.augment), source("valid")
        phases = (Phase(options.epochs, options.learning_rate),)
        plan = Plan(phases, options.patience, options.momentum(training.count), "mse", metrics=(), calibrated=False)
        plan = replace(plan, key=identity(name, options, manifest))
        try:
            rows = loop.run(model, training, validation, plan, out, resume=resume, say=say, quiet=quiet)
        except checkpoint.Finished as done:
            say(str(done))
            return Encoded(out / "model.keras", done.card, checkpoint.skipped_in(out))
    model = exported(model, name, options)
    held_out = source("test")
    paths, errors, shown = reconstruct(model, held_out, manifest.select("test"))
    write_model(model, out)
    write_network(model, out, name)
    manifest.write(out / "manifest.csv")
    skipped = {**training.skipped, **validation.skipped, **held_out.skipped}
    low, high = mean_interval(errors, options.seed)
    card = {
        "name": name,
        "input": [options.size, options.size, 3],
        "colour_order": "RGB",
        "range": [0, 255],
        "crop": options.crop,
        "images": manifest.counts("split"),
        "manifest_sha256": manifest.digest(),
        "identity": plan.key,
        "seed": options.seed,
        "parameters": model.count_params(),
        "training": options.record() | {"epochs": len(rows), "epochs_at_most": options.epochs, "best_epoch": loop.best_epoch(rows)},
        "history": rows,
        "reconstruction": {
            "count": len(errors),
            "mse": float(errors.mean()),
            "mse_interval": [low, high],
            "psnr": float(-10 * np.log10(errors.mean())),
            "mean_colour_mse": float(shown["baseline"]),
        },
        "versions": versions(),
        "model_sha256": sha256(out / "model.keras"),
    }
    store.write_table(out / "errors.csv", ("path", "mse"), zip(paths, errors.tolist(), strict=True))
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    store.write_bytes(out / "reconstructions.png", pairs(shown["images"], shown["answers"], errors[: len(shown["images"])]))
    store.write_bytes(out / "curves.png", curves(rows, name))
    store.write_json(out / CARD, card)
    checkpoint.remove(out)
    return Encoded(out / "model.keras", card, skipped)


def separated(data: str | Path, options: Options, quiet: bool) -> Manifest:
    """Return the images, without labels, each in train, valid or test.

    Where they have classes (or splits), those are set aside that a classifier of the same seed
    and share sets aside: what its encoder has seen it must not be tested on.
    """
    manifest = datasets.scan(data, labelled=False, positive=options.positive)
    if set(manifest.counts()) == set(datasets.CLASSES):
        try:
            split = datasets.prepared(data, seed=options.seed, test=options.test, valid=options.valid, positive=options.positive, quiet=quiet)
            return replace(split, rows=tuple(replace(row, label="") for row in split.rows))
        except DataError:  # a class too small to be split; classes are no matter here
            pass
    return parted(datasets.hashed(manifest), options)


def origin(encoder: str | Path, tests: Manifest, say: Say) -> dict[str, Any]:
    """Return where a classifier's encoder comes from; say so where it has seen what the classifier is tested on.

    With another seed or share an autoencoder sets other images aside than its classifier does.

    Args:
        encoder: the autoencoder's model or folder, with `manifest.csv` beside the model.
        tests: the classifier's test images, hashed.
        say: told of it.

    Returns:
        "name", "sha256" of the file, "test_images", and of these "test_images_seen": those that
        the encoder was trained or validated on, None where that is not known.
    """
    path = Path(str(encoder))
    file = path / "model.keras" if path.is_dir() else path
    splits = {row.get("sha256"): row.get("split") for row in checkpoint.table(file.parent / "manifest.csv")}
    seen = sum(splits.get(row.sha256) in ("train", "valid") for row in tests.rows) if splits else None
    if seen is None:
        say(f"warning: no manifest.csv beside '{file}': whether the encoder was trained on test images is not known")
    elif seen:
        say(
            f"warning: the encoder was trained on {seen} of the {len(tests.rows)} test images, so what is measured on them says too much; "
            "train classifier and autoencoder with the same --seed and --test-share"
        )
    found = {"name": path.name, "sha256": sha256(file) if file.is_file() else None}
    return found | {"test_images": len(tests.rows), "test_images_seen": seen}


def parted(manifest: Manifest, options: Options) -> Manifest:
    """Put every image into train, valid or test, copies of a file together.

    Raises:
        DataError: too few images.
    """
    keys = sorted({datasets.key(row) for row in manifest.rows})
    order = np.random.default_rng([options.seed, 2]).permutation(len(keys))
    tests = max(1, round(len(keys) * options.test))
    valids = max(1, round((len(keys) - tests) * options.valid))
    if len(keys) - tests - valids < 1:
        raise DataError(f"only {len(keys)} different images; at least 3 are needed to train, validate and test")
    parts = {keys[index]: "test" if place < tests else "valid" if place < tests + valids else "train" for place, index in enumerate(order)}
    return replace(manifest, rows=tuple(replace(row, label="", split=parts[datasets.key(row)]) for row in manifest.rows))


def reconstruct(model: Any, source: Feed, manifest: Manifest) -> tuple[list[str], np.ndarray, dict[str, Any]]:
    """Run held-out images through the autoencoder.

    Returns:
        Their paths, the mean squared error of each (of values in [0, 1]) `(N,)`, and some of
        them for a picture, with the error of answering with each image's mean colour.
    """
    errors: list[np.ndarray] = []
    baseline: list[np.ndarray] = []
    images: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    for inputs, truth in source.epoch():
        answer, truth = np.asarray(model(inputs, training=False)), np.asarray(truth)
        errors.append(((answer - truth) ** 2).mean((1, 2, 3)))
        baseline.append(((truth.mean((1, 2), keepdims=True) - truth) ** 2).mean((1, 2, 3)))
        missing = SHOWN - sum(map(len, images))
        if missing > 0:
            images.append(truth[:missing])
            answers.append(answer[:missing])
    if not errors:
        raise DataError(f"none of the {source.count} held-out images could be read: {next(iter(source.skipped.items()))}")
    paths = [row.path for row in manifest.rows if row.path not in source.skipped]
    shown = {"images": np.concatenate(images), "answers": np.concatenate(answers), "baseline": np.concatenate(baseline).mean()}
    return paths, np.concatenate(errors), shown


def mean_interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean; of one value, that value."""
    from scipy.stats import bootstrap

    if len(values) < 2:
        return float(values.mean()), float(values.mean())
    found = bootstrap((values,), np.mean, method="percentile", n_resamples=2000, rng=seed, batch=200).confidence_interval
    return float(found.low), float(found.high)


def pairs(images: np.ndarray, answers: np.ndarray, errors: np.ndarray) -> bytes:
    """Draw originals above what came back of them; both float `(n, h, w, 3)` in [0, 1]."""
    sheet, axes = figure(1.6 * len(images), 3.6, rows=2, columns=len(images))
    for row, (name, pictures) in enumerate((("original", images), ("reconstructed", answers))):
        for place, picture in enumerate(pictures):
            cell = axes[row, place]
            cell.imshow(np.clip(picture, 0, 1))
            cell.set_xticks([])
            cell.set_yticks([])
            if place == 0:
                cell.set_ylabel(name)
    for place, error in enumerate(errors):
        axes[1, place].set_xlabel(f"error {error:.4f}")
    return png(sheet)
