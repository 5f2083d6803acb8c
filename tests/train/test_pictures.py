"""Pictures are drawn for every kind of result, and are the same each time."""

import io

import numpy as np
import pytest
from PIL import Image

from train import pictures
from xai.curves import curves
from xai.metrics import measure

LABELS = ["fake", "real"] * 20
LOGITS = np.random.default_rng(0).normal(0, 2, 40) + np.tile([1.5, -1.5], 20)


def size(data):
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG" and len(set(picture.convert("L").tobytes())) > 10
        return picture.size


def all_of(labels, logits, **options):
    """Every picture of an evaluation, by name."""
    metrics = measure(labels, logits, **({"resamples": 20} | options))
    drawn = {
        "confusion": pictures.confusion(metrics),
        "calibration": pictures.calibration(metrics),
        "scores": pictures.scores(labels, 1 / (1 + np.exp(-logits)), metrics),
    }
    if (found := curves(labels, logits, resamples=20)) is not None:
        drawn |= {"roc": pictures.roc(found[0], metrics), "pr": pictures.pr(found[1], metrics)}
    return drawn


def test_all_are_pictures_and_the_same_again():
    drawn = all_of(LABELS, LOGITS, temperature=2.0)
    assert set(drawn) == {"confusion", "calibration", "scores", "roc", "pr"}
    assert all(min(size(data)) > 400 for data in drawn.values())
    metrics = measure(LABELS, LOGITS, temperature=2.0, resamples=20)
    assert pictures.calibration(metrics) == drawn["calibration"]
    without = pictures.calibration(metrics | {"scaled": None})
    assert size(drawn["calibration"])[0] == 2 * size(without)[0]


def test_the_curve_that_the_kept_epoch_was_chosen_by_is_drawn():
    history = [{"epoch": n, "loss": 1 / n, "val_loss": abs(n - 3) + 1, "val_calibrated_loss": 1 / n} for n in range(1, 6)]
    plain = [{key: value for key, value in row.items() if key != "val_calibrated_loss"} for row in history]
    assert size(pictures.curves(history, "lenet")) == size(pictures.curves(plain, "lenet"))
    drawn = [np.asarray(Image.open(io.BytesIO(pictures.curves(rows, "lenet"))).convert("RGB")) for rows in (history, plain)]
    orange = [(abs(picture.astype(int) - (0xD9, 0x69, 0x1A)).sum(2) < 30).sum() for picture in drawn]
    assert orange[0] > 100 and orange[1] == 0


@pytest.mark.parametrize(
    ("labels", "logits"),
    [(["real"] * 3, np.array([-1.0, 0.5, 2.0])), (LABELS, np.full(40, 3.0)), (LABELS, np.full(40, -3.0)), (["fake", "real"], np.array([9.0, -9.0]))],
    ids=["one class", "all called fake", "all called real", "all right"],
)
def test_what_is_missing_or_certain_is_drawn_too(labels, logits):
    assert all(size(data) for data in all_of(labels, logits).values())


def test_without_intervals():
    metrics = measure(LABELS, LOGITS, resamples=0)
    roc, pr = curves(LABELS, LOGITS, resamples=0)
    assert all(
        size(data) for data in (pictures.confusion(metrics), pictures.calibration(metrics), pictures.roc(roc, metrics), pictures.pr(pr, metrics))
    )


def test_curves_of_a_training():
    rows = [{"epoch": k, "loss": 1 / k, "val_loss": 1 / k + 0.1 * k, "accuracy": 0.5, "val_accuracy": 0.6} for k in (1, 2, 3)]
    both = size(pictures.curves(rows, "lenet"))
    alone = size(pictures.curves([{k: v for k, v in row.items() if "accuracy" not in k} for row in rows], "autoencoder"))
    assert both[0] == 2 * alone[0] and size(pictures.curves(rows[:1], "one epoch")) == both


def test_figure_gives_one_or_many_axes():
    _, one = pictures.figure(2, 2)
    _, many = pictures.figure(2, 2, rows=2, columns=3)
    assert many.shape == (2, 3) and not isinstance(one, np.ndarray)
