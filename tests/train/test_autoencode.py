"""The autoencoder and what stands on its frozen encoder, end to end at a small size."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import reports
from train import autoencode, checkpoint, datasets, fit
from train.fit import identity
from train.manifest import Manifest
from train.options import Options
from xai import load
from xai.errors import DataError, WhyfakeError

OPTIONS = Options(size=32, epochs=25, patience=25, batch_size=8, learning_rate=1e-2, average=0)


@pytest.fixture(scope="module")
def encoded(portraits, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "autoencoder"
    return out, autoencode.fit("autoencoder", portraits, out, OPTIONS)


def test_it_learns_to_reconstruct(encoded, portraits):
    out, result = encoded
    found = result.card["reconstruction"]
    assert found["mse"] < found["mean_colour_mse"]  # better than one colour an image
    assert found["mse_interval"][0] <= found["mse"] <= found["mse_interval"][1]
    assert result.card["images"] == {"valid": 6, "train": 28, "test": 6} and found["count"] == 6
    with (out / "errors.csv").open() as file:
        errors = [float(row["mse"]) for row in csv.DictReader(file)]
    assert np.mean(errors) == pytest.approx(found["mse"], rel=1e-5)


def test_its_folder_and_page(encoded):
    out, _ = encoded
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "model.keras",
        "autoencoder.json",
        "manifest.csv",
        "history.csv",
        "curves.png",
        "layers.csv",
        "network.png",
        "reconstructions.png",
    }
    assert "resume.h5" not in names
    text = reports.render(out).read_text(encoding="utf-8")
    assert "Autoencoder at 32 × 32" in text and "encoder-classifier" in text
    assert reports.render(out).read_text(encoding="utf-8") == text


def test_a_finished_one_is_left_alone(encoded, portraits):
    out, result = encoded
    before, lines = result.model.read_bytes(), []
    again = autoencode.fit("autoencoder", portraits, out, replace(OPTIONS, epochs=30), resume=True, say=lines.append)
    assert len(lines) == 1 and lines[0].startswith(f"already finished after {len(result.card['history'])} epochs")
    assert again.model.read_bytes() == before and again.card == json.loads((out / "autoencoder.json").read_text()) and again.skipped == {}


@pytest.mark.parametrize("shares", [(0.15, 0.2), (0.4, 0.3)])
def test_it_sets_the_images_aside_that_its_classifier_is_tested_on(portraits, shares):
    options = Options(size=32, seed=3, test=shares[0], valid=shares[1])
    ours = autoencode.separated(portraits, options, quiet=True)
    theirs = datasets.prepared(portraits, seed=3, test=shares[0], valid=shares[1])
    assert {row.path: row.split for row in ours.rows} == {row.path: row.split for row in theirs.rows}
    assert {row.label for row in ours.rows} == {""}


def test_a_class_too_small_to_be_split_is_no_matter(portraits, tmp_path):
    shutil.copytree(portraits / "real", tmp_path / "real")
    (tmp_path / "fake").mkdir()
    shutil.copy(next((portraits / "fake").iterdir()), tmp_path / "fake" / "a.png")
    with pytest.raises(DataError):
        datasets.prepared(tmp_path, seed=0)
    found = autoencode.separated(tmp_path, Options(size=32), quiet=True).counts("split")
    assert set(found) == {"train", "valid", "test"}


def test_another_encoder_is_another_training_wherever_it_lies(tmp_path):
    """A training goes on with the encoder it began with, by content: moved it is the same, trained anew in the same place it is not."""

    def named(path):
        return identity("encoder-classifier", replace(OPTIONS, network={"encoder": str(path), "head": "conv"}), Manifest(tmp_path, ()))

    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.keras").write_bytes(content)
    first = named(tmp_path / "a")
    assert named(tmp_path / "b") == first == named(tmp_path / "b" / "model.keras") != named(tmp_path / "c")
    (tmp_path / "a" / "model.keras").write_bytes(b"two")
    assert named(tmp_path / "a") == named(tmp_path / "c")


def test_what_an_encoder_has_seen_is_said(portraits, tmp_path):
    """Of six test images by another seed the encoder has seen those that were not among its own: counted by hand, said, on the card."""
    folder, lines = tmp_path / "autoencoder", []
    made = autoencode.fit("autoencoder", portraits, folder, Options(size=32, epochs=1, batch_size=20, seed=0))
    network = {"encoder": str(folder)}
    card = fit.fit(
        "encoder-classifier", portraits, tmp_path / "one", Options(size=32, epochs=1, batch_size=20, seed=1, network=network), say=lines.append
    ).card
    tables = [checkpoint.table(tmp_path / name / "manifest.csv") for name in ("autoencoder", "one")]
    own, theirs = ({row["sha256"] for row in rows if row["split"] == "test"} for rows in tables)
    seen = len(theirs - own)
    assert seen and card["encoder"] == {"name": "autoencoder", "sha256": made.card["model_sha256"], "test_images": 6, "test_images_seen": seen}
    assert lines[0].startswith(f"warning: the encoder was trained on {seen} of the 6 test images") and "the same --seed and --test-share" in lines[0]
    tests = datasets.prepared(portraits, seed=0, test=0.15, valid=0.2).select("test")
    lines.clear()
    assert autoencode.origin(folder / "model.keras", tests, lines.append)["test_images_seen"] == 0 and not lines
    (folder / "manifest.csv").unlink()
    assert autoencode.origin(folder, tests, lines.append)["test_images_seen"] is None and "is not known" in lines[0]


@pytest.mark.parametrize("head", ["dense", "conv"])
def test_a_classifier_on_the_frozen_encoder(encoded, portraits, tmp_path, head):
    """The encoder's weights stay; the nested network is explained like any other."""
    out, result = encoded
    options = Options(size=32, epochs=2, batch_size=8, network={"encoder": str(out), "head": head})
    trained = fit.fit("encoder-classifier", portraits, tmp_path, options)
    kept = load_autoencoder(result.model).get_layer("encoder").get_weights()
    detector = load(trained.model)
    mine = next(layer for layer in detector.model.layers if layer.name == "encoder").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(kept, mine, strict=True))
    from xai import explain

    found = explain(detector, [portraits / "fake"], methods=["hirescam", "gradcam"], layers="conv")
    assert len(found.maps) == 2 * (3 if head == "dense" else 4) and all(np.isfinite(values).all() for values in found.maps.values())
    assert json.loads((tmp_path / "detector.json").read_text())["training"]["network"]["head"] == head


def load_autoencoder(path):
    import keras

    return keras.saving.load_model(path)


def test_errors(portraits, tmp_path):
    lone = tmp_path / "lone"
    lone.mkdir()
    (lone / "a.png").write_bytes(next((portraits / "fake").iterdir()).read_bytes())
    with pytest.raises(DataError, match="only 1 different images; at least 3"):
        autoencode.fit("autoencoder", lone, tmp_path / "out", Options(size=32))
    with pytest.raises(WhyfakeError, match="encoder"):
        fit.fit("encoder-classifier", portraits, tmp_path / "out", Options(size=32))
