"""An evaluation leaves numbers, tables and pictures that agree with each other."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from train.datasets import Row, hashed, scan
from train.evaluate import evaluate, write_evaluation
from xai.calibration import temperature_of
from xai.errors import DataError, ModelError
from xai.metrics import measure

FILES = {
    "metrics.json", "metrics.csv", "predictions.csv", "calibration.csv", "skipped.csv",
    "confusion.png", "calibration.png", "scores.png", "roc.csv", "roc.png", "pr.csv", "pr.png",
}  # fmt: skip


@pytest.fixture
def faces(tmp_path):
    """Eight-pixel faces for the tiny detector: red speaks for fake, green for real."""
    rng = np.random.default_rng(0)
    for label, channel in (("real", 1), ("fake", 0)):
        folder = tmp_path / "faces" / label
        folder.mkdir(parents=True)
        for index in range(12):
            image = rng.integers(0, 3, (8, 8, 3), np.uint8)
            image[..., channel] += 1
            Image.fromarray(image).save(folder / f"{index}.png")
    return tmp_path / "faces"


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files_agree(tiny, faces, tmp_path):
    metrics, skipped = evaluate(replace(tiny, card={"temperature": 2.0}), faces, out=tmp_path / "out")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == FILES and not skipped
    written = json.loads((out / "metrics.json").read_text())
    about = written.pop("about")
    assert written | {"trained_on": 0} == metrics and about["data"] == "faces" and about["split"] == "all" and about["trained_on"] == 0
    assert about["manifest_sha256"] == hashed(scan(faces)).digest() != scan(faces).digest()
    predictions = rows_of(out / "predictions.csv")
    assert len(predictions) == metrics["count"] == 24
    logits = np.array([float(row["logit"]) for row in predictions])
    assert [float(row["scaled_score"]) for row in predictions] == pytest.approx((1 / (1 + np.exp(-logits / 2))).tolist(), abs=1e-6)
    right = sum((float(row["score"]) >= 0.5) == (row["label"] == "fake") for row in predictions)
    assert right / 24 == metrics["accuracy"]
    table = {(row["measure"], row["class"]): row for row in rows_of(out / "metrics.csv")}
    assert [float(table["recall", "fake"][key]) for key in ("value", "low")] == pytest.approx([metrics["recall"], metrics["recall_interval"][0]])
    assert sum(int(row["images"]) for row in rows_of(out / "calibration.csv")) == 2 * 24
    roc = rows_of(out / "roc.csv")
    area = np.trapezoid([float(r["true_positive_rate"]) for r in roc], [float(r["false_positive_rate"]) for r in roc])
    assert area == pytest.approx(metrics["roc_auc"])


def test_without_a_temperature(tiny, faces, tmp_path):
    metrics, _ = evaluate(tiny, faces, out=tmp_path / "out")
    assert metrics["scaled"] is None
    assert {row["scaled_score"] for row in rows_of(tmp_path / "out" / "predictions.csv")} == {""}


def test_one_class_leaves_no_stale_curves(tmp_path):
    rows, logits = [Row("a", "real"), Row("b", "fake")], np.array([-1.0, 1.0])
    write_evaluation(tmp_path, rows, logits, measure(["real", "fake"], logits, resamples=10), {})
    assert {path.name for path in tmp_path.iterdir()} == FILES
    write_evaluation(tmp_path, rows[:1], logits[:1], measure(["real"], logits[:1], resamples=10), {"b": "no image"})
    assert {path.name for path in tmp_path.iterdir()} == {name for name in FILES if not name.startswith(("roc", "pr."))}
    assert rows_of(tmp_path / "skipped.csv") == [{"path": "b", "reason": "no image"}]


def test_own_pictures_are_not_measured(tiny, faces):
    """Results written into the data folder are no images of the data set the next time."""
    first, _ = evaluate(tiny, faces, out=faces / "results")
    again, skipped = evaluate(tiny, faces, out=faces / "results")
    assert first == again and not skipped


def test_errors(tiny, tmp_path):
    for wrong in ("warm", 0, -1.0, True, float("inf")):
        with pytest.raises(ModelError, match=r"temperature.*expected a number above 0"):
            temperature_of(replace(tiny, card={"temperature": wrong}))
    assert temperature_of(replace(tiny, card={"temperature": None})) is temperature_of(tiny) is None
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_text("no image")
    with pytest.raises(DataError, match="none of the 2 images"):
        evaluate(tiny, tmp_path)
