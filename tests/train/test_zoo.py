"""Networks side by side: one split, one protocol, and a command that can be run again."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import reports
from train import zoo
from train.augment import Augment
from xai.errors import DataError, WhyfakeError


@pytest.fixture(scope="module")
def compared(portraits, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "zoo"
    lines = []
    choices = {"size": 32, "batch_size": 8, "epochs": 2, "seed": 3, "augment": Augment(flip=0.5)}
    found = zoo.compare(portraits, out, names=["lenet", "inception"], shares=[0.5], say=lines.append, **choices)
    return out, found, lines, choices


def test_one_row_a_training(compared):
    out, found, _, _ = compared
    assert [(row["name"], row["images"]) for row in found["rows"]] == [("lenet", 14), ("inception", 14), ("lenet", 28), ("inception", 28)]
    assert len({row["count"] for row in found["rows"]}) == 1
    for row in found["rows"]:
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] and row["roc_auc_low"] <= row["roc_auc"] <= row["roc_auc_high"]
        assert row["seconds_per_epoch"] > 0 and row["images_per_second"] > 0 and row["multiply_adds"] > row["parameters"] / 10
    with (out / "zoo.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == [row["name"] for row in found["rows"]]
    assert {path.name for path in out.iterdir()} >= {"lenet", "inception", "lenet-14", "inception-14", "accuracy.png", "effort.png", "learning.png"}


def test_all_share_their_test_and_validation_images(compared):
    out, *_ = compared

    def images(folder):
        with (out / folder / "manifest.csv").open() as file:
            return {row["path"]: row["split"] for row in csv.DictReader(file)}

    first, *others = (images(name) for name in ("lenet", "inception", "lenet-14", "inception-14"))
    assert all(other == first for other in others)


def test_the_same_command_keeps_what_is_done(compared, portraits):
    out, found, _, choices = compared
    lines = []
    again = zoo.compare(portraits, out, names=["lenet", "inception"], shares=[0.5], say=lines.append, **choices)
    assert lines == [f"{name}: already there" for name in ("lenet-14", "inception-14", "lenet", "inception")]
    for a, b in zip(found["rows"], again["rows"], strict=True):
        assert {key: value for key, value in a.items() if key != "images_per_second"} == {k: v for k, v in b.items() if k != "images_per_second"}


def test_other_options_are_not_mixed_in(compared, portraits):
    out, _, _, choices = compared
    with pytest.raises(DataError, match=r"holds a training with another 'learning_rate'; give another --out"):
        zoo.compare(portraits, out, names=["lenet"], **(choices | {"learning_rate": 1e-3}))


def test_another_split_is_not_mixed_in(compared, portraits):
    """The digest is that of the images; who learnt from which stands in the manifest beside the model."""
    out, _, _, choices = compared
    path = out / "lenet" / "manifest.csv"
    whole = path.read_text()
    first = next(line for line in whole.splitlines() if ",test," in line)
    try:
        path.write_text(whole.replace(first, first.replace(",test,", ",train,")))
        with pytest.raises(DataError, match="lenet' holds a training on another split of these images; give another --out"):
            zoo.compare(portraits, out, names=["lenet"], **choices)
    finally:
        path.write_text(whole)


def test_what_cannot_be_built_is_found_before_anything_is_trained(portraits, tmp_path):
    """All of them in one line: too small an image, no classes, no encoder."""
    lines, names = [], ["lenet", "alexnet18", "autoencoder", "encoder-classifier"]
    with pytest.raises(WhyfakeError, match="nothing was trained, as alexnet18 and autoencoder and encoder-classifier cannot be") as found:
        zoo.compare(portraits, tmp_path, names=names, size=64, epochs=1, say=lines.append)
    for words in ("at least 256 pixels a side; got 64", "tells no classes apart", "needs the encoder of a trained autoencoder"):
        assert words in str(found.value)
    assert not lines and not list(tmp_path.iterdir())


def test_networks_share_all_devices_one_after_the_other(portraits, tmp_path, python):
    """Two logical processors, two networks in one process."""
    script = (
        "import tensorflow as tf; cpu = tf.config.list_physical_devices('CPU')[0];"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2);"
        "from train import zoo;"
        f"zoo.compare({str(portraits)!r}, {str(tmp_path)!r}, names=['lenet', 'cnn'], size=32, epochs=1, batch_size=16, devices='all')"
    )
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["name"] for row in json.loads((tmp_path / "zoo.json").read_text())["rows"]] == ["lenet", "cnn"]


def test_page(compared):
    out, *_ = compared
    text = reports.render(out).read_text(encoding="utf-8")
    assert "2 networks on portraits" in text and "Learning curve" in text and "McNemar" in text
    assert reports.render(out).read_text(encoding="utf-8") == text


def test_mcnemar_by_hand():
    """Best right on 10 that the other misses, wrong on 2 that it gets: p = 2 P(X <= 2 | 12, 1/2) = 0.03857."""
    images = [str(number) for number in range(20)]
    best = {name: int(name) < 14 for name in images}
    other = {name: int(name) < 4 or int(name) in (14, 15) for name in images}
    rows = [
        {"folder": "a", "accuracy": 0.7, "images": 9},
        {"folder": "b", "accuracy": 0.3, "images": 9},
        {"folder": "a2", "accuracy": 0.6, "images": 9},
    ]
    zoo.compare_with_best(rows, {"a": best, "b": other, "a2": best})
    assert "p_against_best" not in rows[0] and rows[1]["p_against_best"] == pytest.approx(158 / 4096) and rows[2]["p_against_best"] == 1


def test_text_and_shares(compared):
    _, found, _, _ = compared
    lines = zoo.text(found).splitlines()
    assert len(lines) == 5 and lines[0].startswith("network") and len({len(line) for line in lines}) == 1
    best = max(found["rows"], key=lambda row: (row["images"], row["accuracy"]))
    assert f"{best['roc_auc']:.3f}  {best['roc_auc_low']:.3f} to {best['roc_auc_high']:.3f}" in lines[1] and lines[0].count("95 % interval") == 2
    assert zoo.parse_shares("0.25, 0.5") == [0.25, 0.5] and zoo.parse_shares("") == []
    with pytest.raises(WhyfakeError, match="share 'half' is no number"):
        zoo.parse_shares("half")
    with pytest.raises(WhyfakeError, match="share 2 of the training images means nothing"):
        zoo.parse_shares("2")


def test_speed_is_positive_and_finite(tiny):
    assert 0 < zoo.images_per_second(tiny) < np.inf
