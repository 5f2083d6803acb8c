"""Every network of the registry at its smallest size: builds, trains, maps, saves and reloads."""

import keras
import numpy as np
import pytest

import xai
from models import NAMES, build
from models.registry import NETWORKS
from xai.detector import score, wrap
from xai.maps.onepass import compute

SMALL = [name for name in NAMES if name != "alexnet18"]  # it has its own tests, at 256
LIGHT = {"dense": 32}  # thousands of units prove nothing here


def small(name):
    """Return the network at 32 pixels with few dense units."""
    return build(name, 32, **(LIGHT if NETWORKS[name].module in ("models.vgg", "models.alexnet") else {}))


@pytest.mark.parametrize("name", SMALL)
def test_trains_maps_saves_and_reloads(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = small(name)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("float32")
    labels = np.arange(8) % 2
    images[labels == 1, :, :, 0] = 255  # red means fake
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    before = model.get_weights()
    losses = [float(model.train_on_batch(images, labels)) for _ in range(3)]
    assert np.isfinite(losses).all()
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    detector = wrap(model)
    layer = detector.select("last")[0]
    logits, maps = compute(detector, images, [layer], ["gradcam", "hirescam"])
    assert maps[layer, "hirescam"].shape == (8, *detector.layers[layer].shape[:2])
    assert np.allclose(score(logits), np.asarray(model(images, training=False)).ravel(), atol=1e-5)
    model.save(tmp_path / "model.keras")
    assert np.array_equal(xai.load(tmp_path).logits(images), detector.logits(images))


@pytest.mark.parametrize(
    ("name", "convolutions", "head"),
    [
        ("lenet", 2, "flatten"),
        ("alexnet", 5, "flatten"),
        ("vgg16_bn", 13, "flatten"),
        ("inception", 57, "global pooling"),
        ("resnet50", 53, "global pooling"),
    ],
)
def test_is_the_network_its_paper_describes(name, convolutions, head):
    detector = wrap(small(name))
    assert len(detector.select("conv")) == convolutions
    assert detector.head.kind == head


def test_batch_normalised_ones_have_a_quick_average():
    for name in ("alexnet_bn", "vgg16_bn", "resnet50"):
        found = [step.operation for step in wrap(small(name)).graph.steps if step.kind == "BatchNormalization"]
        assert found and all(layer.momentum == 0.9 for layer in found)
        reloaded = keras.models.model_from_json(small(name).to_json())
        again = [step.operation for step in wrap(reloaded).graph.steps if step.kind == "BatchNormalization"]
        assert all(layer.momentum == 0.9 for layer in again)


@pytest.mark.parametrize("name", SMALL)
def test_too_small(name):
    with pytest.raises(ValueError, match="at least 32 pixels a side; got 16"):
        build(name, 16)


def test_default_size_is_the_projects():
    assert build("lenet").input_shape == (None, 64, 64, 3)
