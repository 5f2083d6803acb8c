"""The epochs of a training: what is kept, what is averaged, and going on after a kill."""

import csv
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from train import checkpoint, loop
from train.augment import Augment
from train.datasets import scan
from train.distribute import policy
from train.loop import Phase, Plan
from train.pipeline import feed
from xai.errors import RunError, WhyfakeError
from xai.preprocess import Preprocessing

PLAN = Plan((Phase(4, 1e-3),), patience=9, momentum=0.0, loss="binary_crossentropy", key="this")


def network(dropout=0.5):
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(1, activation="sigmoid", dtype="float32"),
        ]
    )


@pytest.fixture
def sources(portraits):
    manifest = scan(portraits)

    def make():
        return feed(manifest, Preprocessing(16, 16), 16, shuffle=0, augment=Augment(flip=0.5)), feed(manifest, Preprocessing(16, 16), 16)

    return make


@pytest.fixture(params=["float32", "mixed_float16", "mixed_bfloat16"])
def precision(request):
    """Build layers in each of the precisions."""
    with policy(request.param):
        yield request.param


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_a_stopped_training_goes_on_as_if_never_stopped(sources, tmp_path, momentum, precision):
    """Order, augmentation, dropout, Adam and its averages, the scale of the loss, the best weights: all as in one go."""
    plan = replace(PLAN, phases=(Phase(2, 1e-3), Phase(5, 1e-4)), momentum=momentum)
    whole = network()
    rows = loop.run(whole, *sources(), plan, tmp_path / "whole")

    def stop(line):
        if line.startswith("epoch   3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(network(), *sources(), plan, tmp_path / "halves", say=stop)
    lines = []
    resumed = network()
    again = loop.run(resumed, *sources(), plan, tmp_path / "halves", resume=True, say=lines.append)
    assert lines[0] == "going on after epoch 3" and len(lines) == 3
    assert [row["epoch"] for row in again] == [1, 2, 3, 4, 5] and [row["phase"] for row in again] == [1, 1, 2, 2, 2]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert [row[name] for row in again] == pytest.approx([row[name] for row in rows], rel=1e-5)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.allclose(a, b, atol=1e-6)


def test_history_is_written_every_epoch(sources, tmp_path):
    rows = loop.run(network(), *sources(), PLAN, tmp_path)
    with (tmp_path / "history.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in written] == pytest.approx([row["val_loss"] for row in rows])
    assert (tmp_path / checkpoint.NAME).exists()  # who called removes it when all is written


def test_training_ends_when_enough_is_learnt(sources, tmp_path):
    """At or below it, in the middle of a phase, and no phase follows; resumed, too, and not before."""
    plan = replace(PLAN, phases=(Phase(2, 1e-3), Phase(3, 1e-4)))
    whole = loop.run(network(), *sources(), plan, tmp_path / "whole")
    reached = [loop.criterion(row) for row in whole]
    second = min(reached[:2])
    rows = loop.run(network(), *sources(), replace(plan, enough=second * 1.0001), tmp_path / "enough")
    assert len(whole) == 3 and len(rows) == (1 if reached[0] == second else 2)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(network(), *sources(), replace(plan, enough=1e9), tmp_path / "stopped", say=stop)
    lines = []
    again = loop.run(network(), *sources(), replace(plan, enough=1e9), tmp_path / "stopped", resume=True, say=lines.append)
    assert lines == ["going on after epoch 1"] and len(again) == 1


def test_options_hand_on_what_is_enough(portraits, tmp_path):
    from train.fit import fit
    from train.options import recipe

    card = fit("lenet", portraits, tmp_path, recipe("lenet", size=32, epochs=5, seed=3, enough=1e9)).card
    assert card["training"]["epochs"] == 1 and card["training"]["enough"] == 1e9 and recipe("lenet").enough < 0


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_patience_and_best(sources, tmp_path):
    """At a huge learning rate the loss rises: training stops after the patience, with the best weights."""
    model = network()
    plan = replace(PLAN, phases=(Phase(30, 3.0),), patience=2)
    rows = loop.run(model, *sources(), plan, tmp_path)
    best = loop.best_epoch(rows)
    assert len(rows) == best + 2 < 30
    loss = model.evaluate(sources()[1].epoch(), verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(rows[best - 1]["val_loss"], rel=1e-4)


def test_the_average_is_lent_and_given_back():
    """One weight, two of Adam's first steps (the learning rate each) by hand: the first value, then 0.75 old + 0.25 new."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    loop.compile_model(model, replace(PLAN, momentum=0.75, loss="mse", metrics=()), Phase(1, 1.0))
    weight = model.trainable_variables[0]
    start = float(weight.numpy()[0, 0])
    for _ in range(2):
        model.optimizer.apply([keras.ops.ones((1, 1))], [weight])
    with loop.averaged(model, 0.75, loop.Statistics()):
        assert float(weight.numpy()[0, 0]) == pytest.approx(0.75 * (start - 1) + 0.25 * (start - 2), abs=1e-3)
    assert float(weight.numpy()[0, 0]) == pytest.approx(start - 2, abs=1e-3)


def test_statistics_go_with_the_averaged_weights(sources, tmp_path):
    """After two steps by hand, 0.75 old + 0.25 new; lent, and given back."""
    model = network()
    loop.compile_model(model, replace(PLAN, momentum=0.75), Phase(1, 1e-3))
    mean, variance = loop.Statistics.variables(model)
    kept = loop.Statistics()
    for value in (1.0, 3.0):
        mean.assign(np.full(4, value))
        kept.step(model, 0.75)
    model.optimizer.iterations.assign(2)
    with loop.averaged(model, 0.75, kept):
        assert mean.numpy().tolist() == [1.5] * 4 and variance.numpy().tolist() == [1.0] * 4
    assert mean.numpy().tolist() == [3.0] * 4


def test_averaging_does_not_touch_the_training(sources, tmp_path):
    """The average stands beside the weights: the training loss is that of a training without, the validation loss is not."""
    plain = loop.run(network(), *sources(), PLAN, tmp_path / "plain")
    beside = loop.run(network(), *sources(), replace(PLAN, momentum=0.8), tmp_path / "beside")
    assert [row["loss"] for row in beside] == pytest.approx([row["loss"] for row in plain], rel=1e-5)
    assert [row["val_loss"] for row in beside] != pytest.approx([row["val_loss"] for row in plain], rel=1e-3)


def test_phases_freeze_and_free(sources, tmp_path):
    def freeze(model):
        model.layers[1].trainable = False

    def free(model):
        model.layers[1].trainable = True

    model = network()
    before = model.layers[1].get_weights()[0]
    seen = []

    def look(line):
        seen.append(np.abs(model.layers[1].get_weights()[0] - before).max())

    loop.run(model, *sources(), replace(PLAN, phases=(Phase(1, 1e-2, freeze), Phase(2, 1e-2, free))), tmp_path, say=look)
    assert seen[0] == 0 and seen[1] > 0


def test_errors(sources, tmp_path, portraits):
    loop.run(network(), *sources(), PLAN, tmp_path)
    with pytest.raises(RunError, match="belongs to a training on other data or with other options"):
        loop.run(network(), *sources(), replace(PLAN, key="that"), tmp_path, resume=True)
    (tmp_path / checkpoint.NAME).write_bytes(b"cut short")
    with pytest.raises(RunError, match=r"is damaged .*; remove it and train from the start"):
        loop.run(network(), *sources(), PLAN, tmp_path, resume=True)
    broken = network()
    broken.layers[-1].set_weights([np.full_like(values, np.nan) for values in broken.layers[-1].get_weights()])
    with pytest.raises(WhyfakeError, match="no finite validation loss; try a smaller --learning-rate"):
        loop.run(broken, *sources(), replace(PLAN, phases=(Phase(1, 1e-3),)), tmp_path)


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0])
def test_calibrated_loss_is_the_loss_at_the_fitted_temperature(units, scale):
    """A detector too sure by any factor has the same calibrated loss; it agrees with the exact fit."""
    from train import calibrated
    from xai.calibration import fit_temperature

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    logits = np.clip(scale * (2 * labels - 1 + 1.5 * rng.standard_normal(500)), -15, 15)
    fake = 1 / (1 + np.exp(-logits))
    scores = fake[:, None] if units == 1 else np.stack([1 - fake, fake], 1)
    metric = calibrated.metric()
    for part in (slice(0, 130), slice(130, 500)):
        metric.update_state(labels[part, None] if units == 1 else labels[part], scores[part].astype(np.float32))
    temperature = fit_temperature(["fake" if label else "real" for label in labels], logits)
    exact = np.logaddexp(0, np.where(labels == 1, -logits, logits) / temperature).mean()
    assert float(metric.result()) == pytest.approx(exact, abs=1e-3)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_the_kept_epoch_is_chosen_by_the_calibrated_loss():
    rows = [{"val_loss": 0.6, "val_calibrated_loss": 0.6}, {"val_loss": 0.9, "val_calibrated_loss": 0.5}]
    assert loop.best_epoch(rows) == 2
    assert loop.best_epoch([{"val_loss": 0.6}, {"val_loss": 0.9}]) == 1  # an autoencoder
