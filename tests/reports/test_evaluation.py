"""The page of an evaluation says what its files say, warns where they cannot, and is the same each time."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from reports import words
from reports.evaluation import lead, notes, render
from xai import store
from xai.errors import RunError
from xai.metrics import measure

LABELS = ["fake", "real"] * 60
LOGITS = np.random.default_rng(0).normal(0, 1.5, 120) + np.tile([1.0, -1.0], 60)


def plainly(text):
    return text.replace(words.SPACE, " ")


@pytest.fixture
def folder(tmp_path):
    """What `write_evaluation` leaves, as far as the page reads it."""
    metrics = measure(LABELS, LOGITS, temperature=1.5, resamples=50)
    store.write_json(tmp_path / "metrics.json", metrics | {"about": {"model": "lenet", "data": "my <faces>", "split": "test", "trained_on": 0}})
    store.write_table(tmp_path / "skipped.csv", ("path", "reason"), [("real/bad.png", "a text file")])
    for name in ("confusion", "roc", "pr", "scores", "calibration"):
        Image.new("RGB", (40, 30), "white").save(tmp_path / f"{name}.png")
    return tmp_path


def test_page(folder):
    page = render(folder)
    text = plainly(page.read_text(encoding="utf-8"))
    assert page == folder / "index.html" and "lenet on my &lt;faces&gt;, test split" in text and "whyfake evaluate" in text
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f'<span class="value">{metrics["roc_auc"]:.3f}</span>' in text
    for part in ("macro average", "ROC AUC", "ECE by chance alone", "At temperature 1.50", "real/bad.png", "a text file", "Balanced accuracy"):
        assert part in text, part
    assert text.count("data:image/png") == 5 and "<script" not in text and "Options" not in text
    first = page.read_bytes()
    assert render(folder).read_bytes() == first


def test_training_folder(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["about"]
    store.write_json(folder / "metrics.json", metrics)
    card = {
        "name": "alexnet", "training": {"epochs": 12, "best_epoch": 9, "learning_rate": 0.0001, "augment": {"flip": True}},
        "classes": {"valid": {"real": 8, "fake": 9}, "train": {"real": 1000, "fake": 30}, "test": {"real": 60, "fake": 60}},
        "versions": {"keras": "3.15.0"}, "history": [{"epoch": 1, "val_loss": 0.5}],
    }  # fmt: skip
    store.write_json(folder / "detector.json", card)
    store.write_table(folder / "layers.csv", ("name", "multiply_adds"), [("conv1", 100), ("dense", 7)])
    for name in ("curves", "network"):
        Image.new("RGB", (50, 30), "white").save(folder / f"{name}.png")
    text = plainly(render(folder).read_text(encoding="utf-8"))
    assert "alexnet on its test split" in text and "whyfake train" in text and text.count("data:image/png") == 7
    for part in ("Trained for 12 epochs", "epoch 9 are kept", "learning rate", "augment.flip", "multiply-adds", "conv1", "3.15.0", "1,000"):
        assert part in text, part
    assert re.search(r"train</th>.*valid</th>.*test</th>", text, re.S)
    assert "had the lowest validation loss." in text and "Left out" not in text
    card["history"][0]["val_calibrated_loss"] = 0.4
    card["classes"]["left out"] = {"real": 1200, "fake": 34}
    store.write_json(folder / "detector.json", card)
    store.write_json(folder / "metrics.json", metrics | {"about": {"split": "valid", "trained_on": 120}})
    text = plainly(render(folder).read_text(encoding="utf-8"))
    assert "had the lowest validation loss at its best temperature." in text and "alexnet on its validation split" in text
    assert "Left out, as they are copies of images on another side of the given split: 1,234 images." in text and "left out</th>" in text
    assert "120 of the 120 images were used in training or for early stopping; expect less on new ones." in text


def test_lead_says_what_is_known():
    text = plainly(lead(measure(["fake"] * 50 + ["real"] * 50, np.array([4.0] * 50 + [-4.0] * 50), resamples=50)))
    assert text.startswith("It is right on 100 of 100 images: 100 % (96.3 to 100 %). It recognises 100 % (92.9 to 100 %) of the reals")
    assert "nothing speaks against taking them at their word" in text
    assert "more than the" in lead(measure(LABELS, 20 * LOGITS, resamples=50))
    unsure = plainly(lead(measure(LABELS, LOGITS / 100, resamples=0)))
    assert "No image gets a score that is 90 % sure." in unsure and "ECE" not in unsure


def test_notes():
    def found(*arguments, **options):
        return " ".join(notes(measure(*arguments, resamples=0, **options), 0))

    assert found(LABELS, LOGITS) == ""
    assert "There is no fake image" in found(["real"] * 120, LOGITS)
    assert "It calls every image fake" in found(LABELS, np.abs(LOGITS) + 1)
    assert "It calls every image real" in found(LABELS, -np.abs(LOGITS) - 1)
    assert "12 images are few" in found(LABELS[:12], LOGITS[:12])
    assert "told nothing" in found(LABELS, LOGITS, temperature=20.0)
    metrics = measure(LABELS, LOGITS, resamples=0) | {"about": {"trained_on": 30}}
    assert notes(metrics, 2) == [
        "30 of the 120 images were used in training or for early stopping; expect less on new ones.",
        "2 files could not be read; they are listed under Skipped.",
    ]


@pytest.mark.parametrize("logits", [LOGITS, np.abs(LOGITS), -np.abs(LOGITS)], ids=["both", "all fake", "all real"])
@pytest.mark.parametrize("labels", [LABELS, ["real"] * 120, ["fake"] * 120], ids=["mixed", "reals", "fakes"])
@pytest.mark.parametrize("resamples", [0, 10])
def test_every_kind_of_result_has_a_page(tmp_path, labels, logits, resamples):
    store.write_json(tmp_path / "metrics.json", measure(labels, logits, resamples=resamples))
    text = render(tmp_path).read_text(encoding="utf-8")
    assert "The detector on its test split" in text and "None%" not in text and "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)


def test_errors(folder):
    before = render(folder).read_bytes()
    metrics = json.loads((folder / "metrics.json").read_text())
    store.write_json(folder / "metrics.json", metrics | {"calibration": {}})
    with pytest.raises(RunError, match=r"metrics\.json or detector\.json in .* has an entry that lacks"):
        render(folder)
    store.write_json(folder / "metrics.json", {"count": 3})
    with pytest.raises(RunError, match="lacks 'counts'"):
        render(folder)
    assert (folder / "index.html").read_bytes() == before
    (folder / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        render(folder)
