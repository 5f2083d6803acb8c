"""What `auto` and `last` map: the end of a convolution's unit, which is what the rest of the network reads."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import compute
from xai import wrap
from xai.units import unit_ends


def ends(x, image, names):
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.Flatten()(x)))
    detector = wrap(model)
    found = unit_ends(detector.graph, detector.layers, detector.head.step)
    return [found[name] for name in names]


def conv(x, name, **options):
    return layers.Conv2D(4, 3, padding="same", name=name, **options)(x)


def test_behind_normalisation_and_activation_but_not_behind_a_pool():
    image = keras.Input((16, 16, 3))
    x = layers.ReLU(name="r1")(layers.BatchNormalization(name="n1")(conv(image, "c1")))
    x = layers.MaxPooling2D(2, name="p1")(layers.Dropout(0.1, name="d1")(x))
    x = layers.Dropout(0.1, name="d2")(conv(x, "c2", activation="relu"))
    x = layers.MaxPooling2D(3, 1, padding="same", name="p2")(x)  # keeps the grid
    x = layers.ReLU(name="r3")(layers.Dropout(0.1, name="d3")(conv(x, "c3")))
    assert ends(x, image, ["c1", "n1", "c2", "c3", "p1"]) == ["r1", "r1", "c2", "r3", "p1"]


def test_behind_a_sum_and_a_joining_of_branches():
    image = keras.Input((16, 16, 3))
    first = conv(image, "c1", activation="relu")
    x = layers.Add(name="sum")([conv(conv(first, "c2", activation="relu"), "c3"), first])
    x = layers.ReLU(name="out")(x)
    x = layers.Concatenate(name="joined")([conv(x, "a"), conv(x, "b"), layers.MaxPooling2D(3, 1, padding="same")(x)])
    # "c1" has two readers, and so has "out": each is an end
    assert ends(x, image, ["c1", "c2", "c3", "a", "b"]) == ["c1", "c2", "out", "joined", "joined"]


def test_what_the_logit_does_not_read_is_no_reader():
    image = keras.Input((8, 8, 3))
    x = conv(image, "c1")
    aside = layers.Dense(1, name="age")(layers.Flatten()(x))
    fake = layers.Dense(1, activation="sigmoid", name="fake")(layers.Flatten()(layers.ReLU(name="r1")(x)))
    detector = wrap(keras.Model(image, [aside, fake]), output="fake")
    assert detector.select("last") == detector.select("auto") == ["r1"] and detector.select("conv") == ["c1"]


BACKBONES = {"ResNet50": "conv5_block3_out", "DenseNet121": "relu", "MobileNetV2": "out_relu", "EfficientNetV2B0": "top_activation"}


@pytest.mark.parametrize(("backbone", "last"), BACKBONES.items())
def test_r1_at_the_last_layer_of_usual_backbones(backbone, last):
    """Behind it come a mean over all places and one dense unit, so there Grad-CAM is HiResCAM, and they sum to the logit."""
    keras.utils.set_random_seed(0)
    body = getattr(keras.applications, backbone)(weights=None, include_top=False, input_shape=(64, 64, 3), pooling="avg")
    detector = wrap(keras.Model(body.input, layers.Dense(1, activation="sigmoid")(body.output)))
    assert detector.select("last") == [last] and last in detector.select("auto")
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    logits, maps = compute(detector, images, [last], ["hirescam", "gradcam"])
    assert np.allclose(maps[last, "hirescam"], maps[last, "gradcam"], rtol=1e-3, atol=1e-5 * np.abs(maps[last, "gradcam"]).max())
    assert np.allclose(maps[last, "hirescam"].sum((1, 2)), logits, rtol=1e-3)


@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        (lambda x: layers.Flatten()(layers.AveragePooling2D(8)(x)), "global pooling"),
        (lambda x: layers.Reshape((4,))(layers.GlobalAveragePooling2D(keepdims=True)(x)), "global pooling"),
        (lambda x: keras.ops.mean(x, (1, 2)), "global pooling"),
        (lambda x: keras.ops.max(x, axis=(1, 2)), "global max pooling"),
        (lambda x: layers.Flatten()(layers.MaxPooling2D(8)(x)), "flatten"),
        (lambda x: layers.Flatten()(layers.AveragePooling2D(4)(x)), "flatten"),
        (lambda x: layers.Flatten()(layers.AveragePooling2D(2)(x)), "flatten"),
        (lambda x: layers.Flatten()(keras.ops.mean(x, axis=-1, keepdims=True)), "flatten"),
    ],
)
def test_how_space_is_given_up(pool, kind):
    image = keras.Input((8, 8, 3))
    assert wrap(keras.Model(image, layers.Dense(1, activation="sigmoid")(pool(conv(image, "c"))))).head.kind == kind
