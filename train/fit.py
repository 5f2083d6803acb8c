"""Train a detector and leave everything another person needs beside it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import build
from models.registry import entry
from train import datasets
from train.datasets import Manifest
from train.evaluate import curves, logits_of, write_evaluation
from train.pipeline import Feed, feed
from xai import store
from xai.detector import wrap
from xai.errors import DataError, WhyfakeError
from xai.metrics import measure
from xai.modelfile import CARD, sha256
from xai.preprocess import Preprocessing
from xai.provenance import versions

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to train; recorded on the card.

    Args:
        size: side of the input in pixels.
        epochs: at most.
        batch_size: None: 16, fewer above 1024 pixels so that memory stays level.
        learning_rate: of Adam.
        patience: epochs without a better validation loss before training stops.
        seed: of the split, the start and the order.
        test: share of each class set aside first.
        valid: share of the rest for validation.
        flip: mirror training images at random.
        average: epochs over which the weights are averaged (exponentially) for validation and
            for the saved model; 0 keeps Adam's own. Averaging steadies small data sets.

    Reference:
        Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """

    size: int
    epochs: int = 40
    batch_size: int | None = None
    learning_rate: float = 1e-4
    patience: int = 8
    seed: int = 0
    test: float = 0.15
    valid: float = 0.2
    flip: bool = False
    average: float = 1.5

    def batch(self) -> int:
        """Images a step."""
        return self.batch_size or int(np.clip(16 * 1024**2 // self.size**2, 1, 16))

    def momentum(self, images: int) -> float:
        """Momentum of the weights' moving average for that many training images; 0 for none.

        Example:
            >>> round(Options(256, batch_size=16).momentum(1088), 4)  # 68 steps an epoch, 102 averaged
            0.9902
        """
        steps = self.average * -(-images // self.batch())
        return max(0.0, 1 - 1 / steps) if steps > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Trained:
    """What training left.

    Args:
        model: the path of `model.keras`.
        card: the content of `detector.json`.
        skipped: images that could not be read, path -> reason.
    """

    model: Path
    card: dict[str, Any]
    skipped: dict[str, str]


def fit(name: str, data: str | Path, out: str | Path, options: Options, *, say: Say = lambda line: None, quiet: bool = True) -> Trained:
    """Train a network on a folder of real and fake images.

    Adam on binary cross-entropy; stops when the validation loss no longer falls and
    keeps the weights that had the lowest.

    Args:
        name: of a network in `models`.
        data: a folder that `datasets.scan` understands.
        out: gets `model.keras`, `model.weights.h5`, `detector.json`, `manifest.csv`,
            `history.csv`, `curves.png`, and the test set's `metrics.json` with pictures.
        options: how.
        say: told a line per epoch.
        quiet: no progress bar.

    Returns:
        The paths and the card.

    Raises:
        WhyfakeError: the data cannot be split, the network cannot take the size, …
    """
    import keras

    out = store.make_folder(out)
    manifest = datasets.split(datasets.hashed(datasets.scan(data)), seed=options.seed, test=options.test, valid=options.valid)
    for part in ("train", "valid"):
        if set(manifest.select(part).counts()) != set(datasets.CLASSES):
            raise DataError(f"'{data}' leaves {manifest.select(part).counts() or 'nothing'} in its {part} split; both classes are needed there")
    keras.utils.set_random_seed(options.seed)
    try:
        model = build(name, options.size)
    except ValueError as error:
        raise WhyfakeError(str(error)) from None
    preprocessing = Preprocessing(options.size, options.size)
    training = feed(manifest.select("train"), preprocessing, options.batch(), shuffle=options.seed, flip=options.flip)
    validation = feed(manifest.select("valid"), preprocessing, options.batch())
    momentum = options.momentum(training.count)
    adam = keras.optimizers.Adam(options.learning_rate, use_ema=momentum > 0, ema_momentum=momentum or 0.99)
    model.compile(adam, "binary_crossentropy", metrics=["accuracy"])
    watch = watcher(options, training.count, out / "history.csv", say, quiet)
    # the averaged weights are swapped in first, so that they are what is validated and kept
    callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if momentum else []
    callbacks += [watch, keras.callbacks.EarlyStopping("val_loss", patience=options.patience)]
    try:
        with warnings.catch_warnings():
            # how many images there are is known only when all have been read, since bad ones drop out
            warnings.filterwarnings("ignore", "Your input ran out of data|Early stopping conditioned on metric")
            model.fit(training.dataset, validation_data=validation.dataset, epochs=options.epochs, verbose=0, shuffle=False, callbacks=callbacks)
    except (ValueError, RuntimeError) as error:
        unreadable(data, training)
        raise WhyfakeError(f"training stopped: {' '.join(str(error).split())[:300]}") from None
    unreadable(data, training)
    unreadable(data, validation)
    if watch.best is None:
        raise WhyfakeError("training gave no finite validation loss; try a smaller --learning-rate")
    model.set_weights(watch.best)
    card = {
        "name": name,
        "input": [options.size, options.size, 3],
        "colour_order": "RGB",
        "range": [0, 255],
        "positive": "fake",
        "threshold": 0.5,
        "classes": {part: manifest.select(part).counts() for part in manifest.counts("split")},
        "manifest": "manifest.csv",
        "manifest_sha256": manifest.digest(),
        "seed": options.seed,
        "parameters": model.count_params(),
        "training": {
            "epochs": len(watch.rows),
            "best_epoch": best_epoch(watch.rows),
            "batch_size": options.batch(),
            "learning_rate": options.learning_rate,
            "patience": options.patience,
            "flip": options.flip,
            "average_epochs": options.average,
            "test_share": options.test,
            "valid_share": options.valid,
        },
        "history": watch.rows,
        "versions": versions(),
    }
    return save(model, manifest, out, card, {**training.skipped, **validation.skipped}, quiet)


def native_size(name: str) -> int:
    """Return the input side that a network's project used, in pixels.

    Raises:
        WhyfakeError: an unknown name.
    """
    try:
        return entry(name).size
    except ValueError as error:
        raise WhyfakeError(str(error)) from None


def unreadable(data: str | Path, source: Feed) -> None:
    """Raise where not one image of a split could be read."""
    if len(source.skipped) >= source.count:
        path, reason = next(iter(sorted(source.skipped.items())))
        raise DataError(f"none of {source.count} images of a split of '{data}' could be read; {path}: {reason}")


def best_epoch(rows: list[dict[str, float]]) -> int:
    """Return the epoch (from 1) whose weights were kept."""
    return int(np.argmin([row["val_loss"] for row in rows])) + 1


def save(model: Any, manifest: Manifest, out: Path, card: dict[str, Any], skipped: dict[str, str], quiet: bool) -> Trained:
    """Measure the trained network on its own splits and write model, weights, card and pictures."""
    with store.atomic(out / "model.keras") as temporary:
        model.save(temporary)
    with store.atomic(out / "model.weights.h5") as temporary:
        # Keras insists on the double ending, the temporary name has one
        weights = temporary.with_suffix(".weights.h5")
        model.save_weights(weights)
        os.replace(weights, temporary)
    manifest.write(out / "manifest.csv")
    detector = wrap(model, name=card["name"], card=card)
    metrics = {}
    for part in ("valid", "test"):
        rows = manifest.select(part)
        if not rows.rows:
            continue
        logits, read, missed = logits_of(detector, rows, quiet=quiet)
        skipped |= missed
        if not read:
            continue
        metrics[part] = measure([row.label for row in read], logits, card["threshold"])
        if part == "test":
            write_evaluation(out, read, logits, metrics[part], missed)
    card = card | {"metrics": metrics, "model_sha256": sha256(out / "model.keras")}
    store.write_json(out / CARD, card)
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    store.write_bytes(out / "curves.png", curves(card["history"], card["name"]))
    return Trained(out / "model.keras", card, skipped)


def watcher(options: Options, images: int, path: Path, say: Say, quiet: bool) -> Any:
    """Return the Keras callback that shows a bar, writes `history.csv` and says a line per epoch."""
    import keras

    from xai.progress import bar

    class Watcher(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.rows: list[dict[str, float]] = []
            self.best: list[np.ndarray] | None = None
            self.lowest = float("inf")

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.bar = bar(images, f"epoch {epoch + 1} of at most {options.epochs}", quiet=quiet)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.bar.update(min(options.batch(), images - self.bar.n))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.bar.close()
            row = {name: float((logs or {}).get(name, np.nan)) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
            self.rows.append({"epoch": epoch + 1, **row})
            if row["val_loss"] < self.lowest:
                self.lowest, self.best = row["val_loss"], self.model.get_weights()
            store.write_table(path, tuple(self.rows[0]), (tuple(row.values()) for row in self.rows))
            say(
                f"epoch {epoch + 1:>3}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.3f}  "
                f"validation loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.3f}"
            )

    return Watcher()
