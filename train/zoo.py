"""Several networks under one protocol on one split, side by side."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.checkpoint import skipped_in, table
from train.fit import built, fit, preparation, seconds_per_epoch
from train.loop import Say
from train.manifest import Manifest
from train.options import Options, claimed, recipe
from xai import store
from xai.detector import Detector, load
from xai.errors import DataError, WhyfakeError
from xai.modelfile import CARD, sha256
from xai.notebook import Told
from xai.provenance import machine, versions

USUAL = ("lenet", "alexnet", "alexnet_bn", "inception", "vgg16", "vgg16_bn", "resnet50")  # the published comparison at 64 x 64
FIELDS = (
    "name", "images", "size", "parameters", "multiply_adds", "epochs", "best_epoch", "seconds_per_epoch", "seconds", "images_per_second",
    "valid_accuracy", "count", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "roc_auc", "roc_auc_low", "roc_auc_high",
    "called_fake", "p_against_best",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entrant:
    """One training of the comparison.

    Args:
        name: of the network.
        folder: where it is trained.
        options: how.
    """

    name: str
    folder: Path
    options: Options


def entrants(
    names: Sequence[str],
    out: Path,
    size: int | None,
    batch_size: int | None,
    shares: Sequence[float],
    weights: str,
    choices: dict[str, Any],
    count: int,
) -> list[Entrant]:
    """Return every training that is asked for: each network, at each share of the training images.

    Args:
        names: of networks.
        out: their folders' parent.
        size, batch_size: of all; None: each network's own.
        shares: of the training images, in (0, 1]; 1 is always among them.
        weights: of transfer learning.
        choices: other fields of `Options`.
        count: training images there are.
    """
    found = []
    for share in sorted({*shares, 1.0}):
        for name in names:
            images = None if share == 1 else max(2, round(count * share))
            network = {"weights": weights} if name.startswith("transfer:") else {}
            options = recipe(name, size=size, batch_size=batch_size, images=images, network=network, **choices)
            ending = "" if images is None else f"-{images}"
            found.append(Entrant(name, out / f"{name.replace(':', '-')}{ending}", options))
    return found


def compare(
    data: str | Path,
    out: str | Path,
    *,
    names: Sequence[str] = USUAL,
    size: int | None = None,
    batch_size: int | None = None,
    shares: Sequence[float] = (),
    weights: str | None = None,
    frozen: int | None = None,
    say: Say = lambda line: None,
    quiet: bool = True,
    **choices: Any,
) -> dict[str, Any]:
    """Train networks under one protocol and measure them on one test set.

    The split depends on the data and the seed alone, so that it is the same for all.
    Trainings that are done are kept, one that was stopped goes on: the same command
    always finishes the comparison.

    Args:
        data: what `datasets.scan` understands.
        out: gets a folder a network, `zoo.json`, `zoo.csv` and pictures.
        names: of networks.
        size, batch_size: of all; None: each network's own.
        shares: of the training images to train on as well, in (0, 1), for learning curves.
        weights, frozen: of transfer learning: "imagenet" (as where None is given), "none" or a file; as in `Options`.
        say: told what happens.
        quiet: no progress bar.
        choices: other fields of `train.options.Options`, the same for all.

    Returns:
        What stands in `zoo.json`: the protocol and a row a training.

    Raises:
        WhyfakeError: a network that is unknown or cannot be built, data that cannot be split, …
    """
    import keras

    from train import datasets
    from train.zoopictures import accuracies, efforts, learning

    own = claimed(names, {"weights": weights, "frozen": frozen})
    out = store.make_folder(out)
    weights = own.pop("weights", "imagenet")
    choices |= own
    base = recipe(names[0], size=size, **choices)
    manifest = datasets.prepared(data, seed=base.seed, test=base.test, valid=base.valid, positive=base.positive, quiet=quiet)
    if not manifest.select("test").rows:
        raise DataError("a comparison needs a test set; give --test-share above 0, or a layout with test/")
    rows: list[dict[str, Any]] = []
    answers: dict[str, dict[str, bool]] = {}
    skipped: dict[str, str] = {}
    asked = entrants(names, out, size, batch_size, shares, weights, choices, len(manifest.select("train").rows))
    cards = [finished(entrant, manifest) for entrant in asked]
    buildable(entrant for entrant, card in zip(asked, cards, strict=True) if card is None)
    for entrant, card in zip(asked, cards, strict=True):
        if card is None:
            say(f"{entrant.folder.name}: training at {entrant.options.size} x {entrant.options.size}")
            keras.backend.clear_session()
            card = fit(entrant.name, data, entrant.folder, entrant.options, resume=True, say=say, quiet=quiet).card
        else:
            say(f"{entrant.folder.name}: already there")
        rows.append(row_of(entrant, card))
        skipped |= skipped_in(entrant.folder)
        answers[entrant.folder.name] = right_answers(entrant.folder)
    compare_with_best(rows, answers)
    protocol = base.record() | {"size": size, "batch_size": batch_size, "images": None}
    result = {
        "data": Path(data).resolve().name,
        "layout": manifest.layout,
        "splits": {part: manifest.select(part).counts() for part in manifest.counts("split")},
        "manifest_sha256": manifest.digest(),
        "protocol": protocol,
        "rows": rows,
        "skipped": skipped,
        "versions": versions(),
        "machine": machine(),
    }
    store.write_table(out / "zoo.csv", FIELDS, ([row[name] for name in FIELDS] for row in rows))
    whole = [row for row in rows if row["images"] == row["train_images"]]
    store.write_bytes(out / "accuracy.png", accuracies(whole))
    store.write_bytes(out / "effort.png", efforts(whole))
    if len(whole) < len(rows):
        store.write_bytes(out / "learning.png", learning(rows))
    store.write_json(out / "zoo.json", result)
    return Told(result, text)


def buildable(waiting: Iterable[Entrant]) -> None:
    """Build every network once, so that none is trained for hours before another turns out to be impossible.

    Raises:
        WhyfakeError: names all that are.
    """
    import keras

    wrong = {}
    for entrant in {entrant.name: entrant for entrant in waiting}.values():
        try:
            if len(built(entrant.name, entrant.options).output_shape) != 2:
                raise WhyfakeError(f"an {entrant.name} tells no classes apart")
            preparation(entrant.name, entrant.options)
        except WhyfakeError as error:
            wrong[entrant.name] = str(error)
        keras.backend.clear_session()
    if wrong:
        raise WhyfakeError(f"nothing was trained, as {' and '.join(wrong)} cannot be: {'; '.join(wrong.values())}")


def finished(entrant: Entrant, manifest: Manifest) -> dict[str, Any] | None:
    """Return the card of a training that is done, if it is this one.

    Raises:
        DataError: the folder holds another training.
    """
    path = entrant.folder / CARD
    if not path.exists():
        return None
    card: dict[str, Any] = store.read_json(path)
    mine = json.loads(json.dumps(store.plain(entrant.options.record() | {"epochs_at_most": entrant.options.epochs})))
    theirs = card.get("training", {})
    # What an older version did not know is as it was.
    differing = [key for key, value in mine.items() if key != "epochs" and theirs.get(key, value) != value]
    if card.get("name") != entrant.name or card.get("manifest_sha256") != manifest.digest() or differing:
        what = f"with another '{differing[0]}'" if differing else "on other data"
        raise DataError(f"'{entrant.folder}' holds a training {what}; give another --out, or remove that folder")
    splits = {row["path"]: row["split"] for row in table(entrant.folder / "manifest.csv")}
    if splits != {row.path: row.split for row in manifest.rows}:
        raise DataError(f"'{entrant.folder}' holds a training on another split of these images; give another --out, or remove that folder")
    if card.get("model_sha256") != sha256(entrant.folder / "model.keras"):
        return None
    return card


def row_of(entrant: Entrant, card: dict[str, Any]) -> dict[str, Any]:
    """Return what the comparison shows of one training; all speeds are measured here and now."""
    from models.describe import multiply_adds

    detector = load(entrant.folder)
    test, history = card["metrics"]["test"], card["history"]
    confusion = test["confusion"]
    area = test["roc_auc_interval"] or (None, None)
    train_images = sum(card["classes"]["train"].values())
    return {
        "name": entrant.name,
        "folder": entrant.folder.name,
        "images": train_images,
        "train_images": train_images if entrant.options.images is None else None,
        "size": entrant.options.size,
        "parameters": card["parameters"],
        "multiply_adds": multiply_adds(detector.model),
        "epochs": len(history),
        "best_epoch": card["training"]["best_epoch"],
        "seconds_per_epoch": seconds_per_epoch(history),
        "seconds": sum(row["seconds"] for row in history),
        "images_per_second": images_per_second(detector),
        "valid_accuracy": card["metrics"]["valid"]["accuracy"],
        "count": test["count"],
        "accuracy": test["accuracy"],
        "accuracy_low": test["accuracy_interval"][0],
        "accuracy_high": test["accuracy_interval"][1],
        "balanced_accuracy": test["balanced_accuracy"],
        "roc_auc": test["roc_auc"],
        "roc_auc_low": area[0],
        "roc_auc_high": area[1],
        "called_fake": (confusion["TP"] + confusion["FP"]) / test["count"],
        "p_against_best": None,
    }


def images_per_second(detector: Detector, batch: int = 16, repeats: int = 3) -> float:
    """Return how many prepared images a second the network answers, the best of some passes of 16."""
    images = np.random.default_rng(0).uniform(0, 255, (batch, *detector.size, 3)).astype(np.float32)
    detector.logits(images)  # builds the graph
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        detector.logits(images)
        times.append(time.perf_counter() - started)
    return batch / min(times)


def right_answers(folder: Path) -> dict[str, bool]:
    """Return, by path, whether a test image was answered right."""
    return {row["path"]: (float(row["score"]) >= 0.5) == (row["label"] == "fake") for row in table(folder / "predictions.csv")}


def compare_with_best(rows: list[dict[str, Any]], answers: dict[str, dict[str, bool]]) -> None:
    """Add to every row how likely its distance to the best is by chance alone.

    All answer the same images, so only those count on which exactly one of the two is
    right: an exact, two-sided McNemar test, not corrected for the number of networks.

    Reference:
        McNemar, Note on the sampling error of the difference between correlated
        proportions or percentages, 1947.
    """
    from scipy.stats import binomtest

    best = max(rows, key=lambda row: (row["images"], row["accuracy"]))  # of those trained on all images, as text and page have it
    first = answers[best["folder"]]
    for row in rows:
        other = answers[row["folder"]]
        common = first.keys() & other.keys()
        won = sum(first[path] and not other[path] for path in common)
        lost = sum(other[path] and not first[path] for path in common)
        if row is not best:
            row["p_against_best"] = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def parse_shares(text: str) -> list[float]:
    """Read `0.25,0.5`.

    Raises:
        WhyfakeError: not numbers above 0 and up to 1.
    """
    shares = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            shares.append(float(part))
        except ValueError:
            raise WhyfakeError(f"share '{part}' is no number; expected such as 0.25,0.5") from None
        if not 0 < shares[-1] <= 1:
            raise WhyfakeError(f"share {part} of the training images means nothing; expected numbers above 0 and up to 1")
    return shares


def text(result: dict[str, Any]) -> str:
    """Return a comparison as a plain table, the best first, most training images first."""
    rows = sorted(result["rows"], key=lambda row: (-row["images"], -row["accuracy"]))
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'network':<{width}}  images  accuracy  95 % interval   ROC AUC  95 % interval   parameters  multiply-adds  s/epoch  images/s"]
    lines += [
        f"{row['name']:<{width}}  {row['images']:>6}  {row['accuracy']:>8.3f}  {span(row, 'accuracy')}"
        f"  {known(row['roc_auc']):>7.3f}  {span(row, 'roc_auc')}  {row['parameters']:>10,}  {row['multiply_adds']:>13,}"
        f"  {row['seconds_per_epoch']:>7.1f}  {row['images_per_second']:>8.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def span(row: dict[str, Any], name: str) -> str:
    """Return the interval of a value of a row."""
    return f"{known(row[f'{name}_low']):.3f} to {known(row[f'{name}_high']):.3f}"


def known(value: float | None) -> float:
    """Return a number, NaN for none."""
    return float("nan") if value is None else value
