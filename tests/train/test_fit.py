"""What training leaves: a model that loads, a card that says how, and the same pixels as explaining."""

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.augment import Augment
from train.datasets import Manifest, Row, hashed, scan
from train.evaluate import evaluate
from train.fit import fit
from train.options import Options, recipe
from xai import load
from xai.errors import DataError, WhyfakeError
from xai.images import read
from xai.metrics import brief


def test_everything_is_written(trained):
    names = {path.name for path in trained.folder.iterdir()}
    assert names >= {"model.keras", "model.weights.h5", "detector.json", "manifest.csv", "history.csv", "curves.png"}
    assert names >= {"metrics.json", "predictions.csv", "confusion.png", "roc.png", "skipped.csv"}
    assert not [name for name in names if name.startswith(".")]


def test_card(trained):
    card = json.loads((trained.folder / "detector.json").read_text())
    assert card["input"] == [256, 256, 3] and card["positive"] == "fake" and card["colour_order"] == "RGB" and card["range"] == [0, 255]
    assert card["parameters"] == 675_889 and card["seed"] == 3 and card["threshold"] == 0.5
    assert card["classes"] == {"train": {"real": 14, "fake": 14}, "test": {"real": 3, "fake": 3}, "valid": {"real": 3, "fake": 3}}
    assert len(card["manifest_sha256"]) == len(card["model_sha256"]) == 64
    assert set(card["metrics"]) == {"valid", "test"} and card["versions"]["keras"]
    assert [row["epoch"] for row in card["history"]] == [1, 2]


def test_history_and_lines(trained):
    with (trained.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[0]["val_loss"]) > 0
    assert trained.lines[0].startswith("epoch   1  loss ")


def test_best_weights_are_kept(trained):
    """The saved model has the validation loss of the best epoch, not of the last."""
    detector = load(trained.model)
    manifest = trained_manifest(trained)
    logits = detector.logits(np.stack([detector.preprocessing.prepare(read(manifest.root / row.path)) for row in manifest.rows]))
    truth = np.array([row.label == "fake" for row in manifest.rows])
    loss = np.mean(np.logaddexp(0, np.where(truth, -logits, logits)))
    history = trained.result.card["history"]
    best = min(history, key=lambda row: row["val_calibrated_loss"])
    assert trained.result.card["training"]["best_epoch"] == best["epoch"]
    assert loss == pytest.approx(best["val_loss"], rel=1e-3)


def trained_manifest(trained):
    """Return the validation rows as the manifest beside the model has them."""
    with (trained.folder / "manifest.csv").open() as file:
        rows = tuple(Row(**row) for row in csv.DictReader(file) if row["split"] == "valid")
    return Manifest(ROOT[0], rows)


ROOT: list = []


@pytest.fixture(autouse=True)
def root(portraits):
    ROOT[:] = [portraits]


def test_weights_file_fits_the_network(trained):
    from models import build

    model = build("alexnet18", 256)
    model.load_weights(trained.folder / "model.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), load(trained.model).model.get_weights(), strict=True))


def test_the_model_opens_in_plain_keras(trained, python, tmp_path):
    """Whoever gets the file needs Keras alone."""
    script = f"import sys, keras; keras.saving.load_model({str(trained.model)!r}); print('train' in sys.modules)"
    done = subprocess.run([python, "-P", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "False\n"


def test_same_seed_same_split_other_seed_other_split(trained, portraits):
    from train.datasets import split

    manifest = hashed(scan(portraits))
    assert split(manifest, seed=3).select("test").rows == tuple(row for row in split(manifest, seed=3).rows if row.split == "test")
    with (trained.folder / "manifest.csv").open() as file:
        written = {row["path"]: row["split"] for row in csv.DictReader(file)}
    assert written == {row.path: row.split for row in split(manifest, seed=3).rows}


def test_unreadable_images_are_left_out_and_listed(portraits, tmp_path):
    root = copy(portraits, tmp_path, 8)
    (root / "fake" / "bad.png").write_text("no image")
    result = fit("alexnet18", root, tmp_path / "out", Options(size=256, epochs=1, test=0.2))
    assert list(result.skipped) == ["fake/bad.png"] and "text file" in result.skipped["fake/bad.png"]


def copy(portraits, tmp_path, count):
    """Copy a few portraits of each class."""
    root = tmp_path / "data"
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
        for path in sorted((portraits / label).iterdir())[:count]:
            (root / label / path.name).write_bytes(path.read_bytes())
    return root


def test_evaluate(trained, portraits, tmp_path):
    metrics, skipped = evaluate(load(trained.model), portraits, out=tmp_path, split="test", seed=3)
    assert metrics == trained.result.metrics["test"] | {"trained_on": 0} and not skipped
    assert brief(metrics) == trained.result.card["metrics"]["test"]
    assert {path.name for path in tmp_path.iterdir()} >= {"metrics.json", "metrics.csv", "predictions.csv", "confusion.png", "roc.png", "skipped.csv"}


def test_measuring_on_training_images_is_said(trained, portraits, tmp_path, whyfake):
    """On all of its own data, which is the default; on the terminal, in the result and on the page."""
    from reports.evaluation import render

    detector = load(trained.model)
    metrics, _ = evaluate(detector, portraits, out=tmp_path)
    assert metrics["trained_on"] == 34 and metrics["count"] == 40
    said = "34 of the 40 images were used in training or for early stopping; expect less on new ones"
    assert said in whyfake("evaluate", trained.model, portraits).stdout and said in metrics.text(metrics)
    assert said in render(tmp_path).read_text(encoding="utf-8")
    about = json.loads((tmp_path / "metrics.json").read_text())["about"]
    assert about["trained_on"] == 34 and about["manifest_sha256"] == detector.card["manifest_sha256"]
    metrics, _ = evaluate(detector, portraits, split="test")
    assert metrics["trained_on"] == 0 and "used in training" not in metrics.text(metrics)


def test_options_reach_the_network(portraits, tmp_path):
    """Fewer training images, balance, augmentation, mixed precision: on the card, and the kept model is in full precision."""
    options = recipe(
        "lenet", size=32, epochs=1, images=12, seed=3, balance="class-weight", augment=Augment.parse("flip,jpeg"), precision="mixed_bfloat16"
    )
    card = fit("lenet", portraits, tmp_path, options).card
    assert card["classes"]["train"] == {"real": 6, "fake": 6} and card["classes"]["test"] == {"real": 3, "fake": 3}
    assert card["training"]["augment"] == {"flip": 0.5, "jpeg": 60.0} and card["training"]["balance"] == "class-weight"
    assert card["layout"] and 0.05 <= card["temperature"] <= 20
    assert {str(layer.compute_dtype) for layer in load(tmp_path).model.layers} == {"float32"}
    with (tmp_path / "layers.csv").open() as file:
        assert [row["kind"] for row in csv.DictReader(file)].count("Conv2D") == 2


def test_all_devices_of_a_machine(portraits, tmp_path, python):
    """Two logical processors share every batch; what is kept loads on one."""
    script = (
        "import tensorflow as tf; cpu = tf.config.list_physical_devices('CPU')[0];"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2);"
        "from train.fit import fit; from train.options import recipe;"
        f"fit('lenet', {str(portraits)!r}, {str(tmp_path)!r}, recipe('lenet', size=32, epochs=2, batch_size=8, devices='all'))"
    )
    subprocess.run([python, "-c", script], check=True, capture_output=True, cwd=Path(__file__).parents[2])
    detector = load(tmp_path)
    assert detector.card["training"]["devices"] == "all" and np.isfinite(detector.logits(np.zeros((1, 32, 32, 3), np.float32))).all()


def test_a_stopped_training_goes_on(portraits, tmp_path):
    def stop(line):
        if line.startswith("epoch   2"):
            raise KeyboardInterrupt

    options = recipe("lenet", size=32, epochs=3, batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        fit("lenet", portraits, tmp_path, options, say=stop)
    assert not (tmp_path / "model.keras").exists() and (tmp_path / "resume.h5").exists()
    lines = []
    card = fit("lenet", portraits, tmp_path, options, resume=True, say=lines.append).card
    assert lines[0] == "going on after epoch 2" and card["training"]["epochs"] == 3 and not (tmp_path / "resume.h5").exists()


def given(portraits, root, **parts):
    """Lay portraits out in split folders: `train=(0, 10)` puts the first ten of each class there."""
    for part, (first, last) in parts.items():
        for label in ("real", "fake"):
            (root / part / label).mkdir(parents=True)
            for path in sorted((portraits / label).iterdir())[first:last]:
                (root / part / label / path.name).write_bytes(path.read_bytes())
    return root


def test_copies_across_a_given_split_are_not_learnt(portraits, tmp_path):
    """Said on the terminal, on the card and on the page; the model knows the test images as such, wherever their copies lie."""
    from reports.evaluation import render

    root, lines = given(portraits, tmp_path / "data", test=(0, 4), train=(2, 16)), []
    card = fit("lenet", root, tmp_path / "out", recipe("lenet", size=32, epochs=1), say=lines.append).card
    assert lines[0] == "left out as copies of images on another side: 4 of train" and lines[0] in card["layout"]
    assert card["classes"]["left out"] == {"real": 2, "fake": 2} and card["metrics"]["test"]["count"] == 8
    assert sum(card["classes"][part][label] for part in ("train", "valid") for label in ("real", "fake")) == 24
    assert "another side of the given split: 4 images." in render(tmp_path / "out").read_text(encoding="utf-8").replace("\u202f", " ")
    metrics, _ = evaluate(load(tmp_path / "out"), root / "test")
    assert metrics["trained_on"] == 0
    assert evaluate(load(tmp_path / "out"), root, split="test")[0]["count"] == 12  # the copies are the same images
    with pytest.raises(DataError, match=r"only 0 different 'real' images; .*; left out as copies of images on another side: 6 of train"):
        fit("lenet", given(portraits, tmp_path / "same", test=(0, 4), train=(0, 3)), tmp_path / "no", recipe("lenet", size=32, epochs=1))


def test_without_a_test_split_the_validation_images_are_measured(portraits, tmp_path):
    """And nothing of an earlier training in the same folder stays; a failure before the first epoch removes nothing."""
    from reports.evaluation import render

    options = recipe("lenet", size=32, epochs=1, batch_size=8)
    card = fit("lenet", portraits, tmp_path, options).card
    assert json.loads((tmp_path / "metrics.json").read_text())["about"] == {"split": "test", "trained_on": 0}
    render(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        fit("lenet", tmp_path / "gone", tmp_path, options)
    assert (tmp_path / "index.html").exists()

    def look(line):
        assert not {path.name for path in tmp_path.iterdir()} & {"metrics.json", "predictions.csv", "roc.png", "index.html"}

    again = fit("lenet", portraits, tmp_path, replace(options, test=0.0), say=look).card
    assert "test" in card["metrics"] and set(again["metrics"]) == {"valid"}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["about"] == {"split": "valid", "trained_on": 8} and brief(metrics) == again["metrics"]["valid"]
    text = render(tmp_path).read_text(encoding="utf-8")
    assert "lenet on its validation split" in text and "8 of the 8 images were used in training or for early stopping" in text
    assert fit("lenet", portraits, tmp_path, replace(options, test=0.0), resume=True).metrics == {"valid": metrics}


def test_a_finished_training_is_left_alone(portraits, tmp_path, whyfake):
    """--resume says that it is over, whatever --epochs asks now; of another training too; a damaged model is trained again."""
    words = ("train", "lenet", portraits, "--size", 32, "--batch-size", 8, "--out", tmp_path, "--resume")
    first = whyfake(*words, "--epochs", 1)
    assert first.exit_code == 0 and "epoch   1" in first.output
    before = (tmp_path / "model.keras").read_bytes()
    for epochs in (1, 3):
        again = whyfake(*words, "--epochs", epochs)
        assert again.exit_code == 0 and again.stderr.startswith("already finished after 1 epoch; without --resume it is trained again")
        assert again.stdout == first.stdout
    asked = json.loads(whyfake(*words, "--json").stdout)
    assert asked["epochs"] == 1 and asked["metrics"]["test"]["count"] == 6
    other = whyfake(*words, "--learning-rate", 1e-3)
    assert other.exit_code == 1 and "holds a finished training that is not this one" in other.output and "give another --out" in other.output
    assert (tmp_path / "model.keras").read_bytes() == before
    (tmp_path / "model.keras").write_bytes(b"damaged")
    assert "epoch   1" in whyfake(*words, "--epochs", 1).output


def test_transfer_learning_freezes_first(portraits, tmp_path, monkeypatch):
    """From a file of weights, as without a network: the backbone stays for the first phase and moves in the second."""
    import keras

    from models import build
    from models.transfer import parts

    keras.utils.set_random_seed(1)
    weights = tmp_path / "backbone.weights.h5"
    start = parts(build("transfer:MobileNetV2", 32, weights="none"))
    start.save_weights(weights)
    options = recipe("transfer:MobileNetV2", size=32, epochs=2, frozen=1, batch_size=8, network={"weights": str(weights)})
    card = fit("transfer:MobileNetV2", portraits, tmp_path / "out", options).card
    assert [row["phase"] for row in card["history"]] == [1, 2] and card["history"][0]["learning_rate"] == pytest.approx(1e-3)
    assert card["backbone"]["name"] == "MobileNetV2" and card["backbone"]["weights"] == "backbone.weights.h5" and card["backbone"]["scale"]
    assert load(tmp_path / "out").select("last")


def test_errors(trained, portraits, tmp_path):
    with pytest.raises(WhyfakeError, match="at least 256 pixels a side; got 128"):
        fit("alexnet18", portraits, tmp_path, Options(size=128))
    with pytest.raises(WhyfakeError, match="'nope' is not known; expected one of"):
        fit("nope", portraits, tmp_path, Options(size=256))
    with pytest.raises(DataError, match="does not exist"):
        fit("alexnet18", tmp_path / "gone", tmp_path, Options(size=256))
    root = tmp_path / "bad"
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
        for index in range(6):
            (root / label / f"{index}.png").write_text(f"{label}{index}")
    with pytest.raises(WhyfakeError, match=r"none of 8 images of a split could be read; .*text file"):
        fit("alexnet18", root, tmp_path / "out", Options(size=256, epochs=1))
    with pytest.raises(DataError, match="could be read"):
        evaluate(load(trained.model), root)


@pytest.mark.slow
def test_learns_a_planted_checkerboard(tmp_path):
    """400 portraits, a few epochs: the held-out accuracy is at least 0.95."""
    from train.portraits import write

    write(tmp_path / "data", 400, 512, seed=0)
    result = fit("alexnet18", tmp_path / "data", tmp_path / "out", Options(size=512, epochs=6, patience=2, learning_rate=3e-4, average=0, test=0.2))
    assert result.card["metrics"]["test"]["accuracy"] >= 0.95


def test_pictures_are_pictures(trained):
    for name in ("curves.png", "confusion.png", "roc.png"):
        with Image.open(trained.folder / name) as picture:
            assert min(picture.size) > 300
