"""Every network of the registry at its smallest size: builds, trains, maps, saves and reloads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import xai
from models import NAMES, build
from models.registry import NETWORKS, entry
from models.transfer import norms, parts
from tests.conftest import compute
from xai.detector import score, wrap

OTHERS = ("alexnet18", "autoencoder", "encoder-classifier")  # they have their own tests
SMALL = [name for name in NAMES if name not in OTHERS]
TRANSFER = {"MobileNetV2": 32, "EfficientNetV2B0": 32, "ResNet50": 32, "Xception": 71}  # backbone -> smallest side
LIGHT = {"dense": 32}  # thousands of units prove nothing here


@pytest.fixture(autouse=True)
def eager():
    """Run step by step: compiling deep networks takes longer than the few steps here."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def small(name):
    """Return the network at 32 pixels with few dense units."""
    return build(name, 32, **(LIGHT if NETWORKS[name].module in ("models.vgg", "models.alexnet", "models.cnn") else {}))


def red_means_fake(size, count):
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("float32")
    labels = np.arange(count) % 2
    images[labels == 1, :, :, 0] = 255
    return images, labels


def check(model, images, labels, folder, steps=3):
    """Train a few steps, map the last convolution, save, reload."""
    model.compile(keras.optimizers.SGD(1e-3), "binary_crossentropy")
    before = [weight.numpy() for weight in model.trainable_weights]
    losses = [float(model.train_on_batch(images, labels)) for _ in range(steps)]
    assert np.isfinite(losses).all()
    assert any(not np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_weights, strict=True))
    detector = wrap(model)
    layer = detector.select("last")[0]
    logits, maps = compute(detector, images, [layer], ["gradcam", "hirescam"])
    assert maps[layer, "hirescam"].shape == (len(images), *detector.layers[layer].shape[:2])
    assert all(np.isfinite(values).all() for values in maps.values())
    assert np.allclose(score(logits), np.asarray(model(images, training=False)).ravel(), atol=1e-5)
    model.save(folder / "model.keras")
    assert np.array_equal(xai.load(folder).logits(images), detector.logits(images))
    return detector


@pytest.mark.parametrize("name", SMALL)
def test_trains_maps_saves_and_reloads(name, tmp_path):
    keras.utils.set_random_seed(0)
    check(small(name), *red_means_fake(32, 4), tmp_path)


@pytest.mark.parametrize("backbone", list(TRANSFER))
def test_transfer_trains_maps_saves_and_reloads(backbone, tmp_path):
    keras.utils.set_random_seed(0)
    model = build(f"transfer:{backbone}", TRANSFER[backbone], weights="none")
    for layer in norms(parts(model)):
        layer.momentum = 0.1  # so that the averages fit after one step
    detector = check(model, *red_means_fake(TRANSFER[backbone], 4), tmp_path, steps=1)
    assert detector.head.kind == "global pooling"
    assert len(detector.select("auto")) >= 4
    assert all("/" in name for name in detector.select("conv"))  # they lie in the nested backbone
    assert not any("not known" in why for why in detector.refused.values())


def test_a_transfer_network_is_reached_by_name():
    assert entry("transfer:Xception").size == 299
    assert entry("transfer:MobileNetV2").options == {"backbone": "MobileNetV2"}
    with pytest.raises(ValueError, match=r"network 'transfer' is not known; expected one of: alexnet18, .*transfer:BACKBONE"):
        entry("transfer")


@pytest.mark.parametrize(
    ("name", "convolutions", "head"),
    [
        ("lenet", 2, "flatten"),
        ("alexnet", 5, "flatten"),
        ("vgg16_bn", 13, "flatten"),
        ("inception", 57, "global pooling"),
        ("resnet50", 53, "global pooling"),
        ("cnn", 4, "flatten"),
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


@pytest.mark.parametrize(("name", "known"), [("lenet", "none"), ("cnn", "dense, dropout")])
def test_options_that_a_network_does_not_have(name, known):
    with pytest.raises(ValueError, match=f"network '{name}' has no option 'head'; expected {known}"):
        build(name, 32, head="conv")


def test_default_size_is_the_projects():
    assert build("lenet").input_shape == (None, 64, 64, 3)
