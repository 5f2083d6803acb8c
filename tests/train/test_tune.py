"""Fine-tuning a copy of a foreign model: whatever its output, scaling, nesting or convention, and nothing of the user's changes."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import xai
from train.datasets import scan, split
from train.tune import tune
from xai import wrap
from xai.detector import load
from xai.errors import ModelError, WhyfakeError

TRAINING = {"epochs": 8, "learning_rate": 3e-3, "batch_size": 4, "seed": 0}


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """40 images of 16 x 16; every fake has a bright red patch."""
    folder = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)
    for label in ("real", "fake"):
        (folder / label).mkdir()
        for index in range(20):
            image = rng.integers(40, 200, (16, 16, 3), np.uint8)
            if label == "fake":
                image[4:10, 4:10] = (255, 0, 0)
            Image.fromarray(image).save(folder / label / f"{index}.png")
    return split(scan(folder), seed=0, test=0.25, valid=0.2)


def head(kind):
    return {
        "sigmoid": lambda: [layers.Dense(1, activation="sigmoid")],
        "softmax": lambda: [layers.Dense(2, activation="softmax")],
        "linear": lambda: [layers.Dense(1)],
        "apart": lambda: [layers.Dense(2), layers.Activation("softmax")],
    }[kind]()


def network(kind="sigmoid", nested=False, normalised=True, frozen=False, scaled=False, seed=3):
    keras.utils.set_random_seed(seed)
    body = [
        layers.Conv2D(6, 3, 2, name="conv"),
        *([layers.BatchNormalization(name="norm")] if normalised else []),
        layers.ReLU(),
        layers.Dropout(0.9),
    ]
    if frozen:
        body[0].trainable = False
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(image) if scaled else image
    if nested:
        inner = keras.Sequential([keras.Input((16, 16, 3)), *body], name="body")
        body = [inner]
    for layer in [*body, layers.Flatten(), *head(kind)]:
        x = layer(x)
    return keras.Model(image, x)


def right(detector, manifest):
    """Return the share of held-out images whose logit has the right sign."""
    rows = manifest.select("test").rows
    images = [np.asarray(Image.open(manifest.root / row.path)) for row in rows]
    logits = detector.logits(np.stack([detector.preprocessing.prepare(image) for image in images]))
    return np.mean((logits > 0) == [row.label == "fake" for row in rows])


CONVENTIONS = [
    ({"kind": "sigmoid", "scaled": True}, {}),
    ({"kind": "softmax"}, {"value_range": (-1.0, 1.0)}),
    ({"kind": "sigmoid", "nested": True}, {"positive": "real", "value_range": (0.0, 1.0)}),
    ({"kind": "apart", "nested": True, "normalised": False}, {"positive": "real", "colour_order": "BGR", "value_range": (-1.0, 1.0)}),
    ({"kind": "linear", "frozen": True}, {"value_range": (0.0, 1.0)}),
]


@pytest.mark.parametrize(("build", "said"), CONVENTIONS, ids=["plain", "softmax", "positive real", "BGR", "frozen"])
def test_any_convention_is_learnt(dots, build, said):
    """Fake is positive afterwards, whatever the model's own high score means; its statistics and frozen layers stay as they were."""
    model = network(**build)
    before = {variable.path: variable.numpy() for variable in model.variables}
    detector, lines = wrap(model, **said), []
    tuned = tune(detector, dots, **TRAINING, say=lines.append)
    assert right(tuned, dots) == 1 and tuned.preprocessing == detector.preprocessing and tuned.positive == detector.positive
    still = {path for path, value in before.items() if (value == next(v for v in model.variables if v.path == path).numpy()).all()}
    assert {path for path in before if "moving_" in path} <= still
    assert any("conv/" in path for path in still) == bool(build.get("frozen")) and not [path for path in still if "dense" in path]
    assert lines[0].startswith("epoch 1  loss ") and len(lines) <= TRAINING["epochs"]
    assert not build.get("nested") or any(name.startswith("body/") for name in tuned.layers)


def test_the_file_is_not_touched(dots, tmp_path):
    network().save(tmp_path / "a.keras")
    before = (tmp_path / "a.keras").read_bytes()
    first = load(tmp_path / "a.keras")
    tuned = tune(load(tmp_path / "a.keras"), dots, **TRAINING, say=lambda line: None)
    assert (tmp_path / "a.keras").read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["a.keras"]
    assert len(tuned.sha256) == 64 and tuned.sha256 != first.sha256  # so that what is kept of one is not taken for the other's
    assert right(first, dots) < 1


def test_the_same_seed_gives_the_same_weights(dots):
    found = [tune(wrap(network()), dots, **(TRAINING | {"epochs": 2, "seed": seed}), say=lambda line: None).sha256 for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_it_stops_when_it_knows(dots):
    lines = []
    tune(wrap(network(), value_range=(0.0, 1.0)), dots, **(TRAINING | {"epochs": 60, "learning_rate": 0.01}), say=lines.append)
    assert len(lines) < 60 and float(lines[-1].split()[-1]) < 0.02 <= float(lines[-2].split()[-1])


def test_errors(dots):
    def quiet(line):
        pass

    with pytest.raises(ModelError, match="is a black box, which cannot be trained; give a Keras model, or the NAME of a network"):
        tune(xai.blackbox(lambda images: images[:, 0, 0, 0], 16), dots, **TRAINING, say=quiet)
    model = network()
    model.trainable = False
    with pytest.raises(ModelError, match="has no weights that can be trained; set 'trainable' on its layers and save it again"):
        tune(wrap(model), dots, **TRAINING, say=quiet)
    with pytest.raises(WhyfakeError, match="fine-tuning gave no finite loss; try a smaller --learning-rate"):
        tune(wrap(network(normalised=False)), dots, **(TRAINING | {"learning_rate": 1e38, "epochs": 20}), say=quiet)
