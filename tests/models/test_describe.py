"""A network's table, multiply-adds and picture."""

import io

import keras
import pytest
from keras import layers
from PIL import Image

from models import build
from models.describe import detail, multiply_adds, picture, table
from models.picture import layered, staged
from models.transfer import freeze


def test_lenet_by_hand():
    """60 x 60 places x 5 x 5 x 3 x 6, 26 x 26 x 5 x 5 x 6 x 16, 13 x 13 x 16 x 120, 120 x 84, 84."""
    rows = table(build("lenet", 64))
    assert [row["multiply_adds"] for row in rows if row["multiply_adds"]] == [1_620_000, 1_622_400, 324_480, 10_080, 84]
    assert multiply_adds(build("lenet", 64)) == 3_577_044
    assert rows[1] == {
        "name": "conv2d",
        "kind": "Conv2D",
        "detail": "5 × 5, relu",
        "shape": [60, 60, 6],
        "parameters": 456,
        "trainable": True,
        "multiply_adds": 1_620_000,
    }


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(4, 3, padding="same"), 64 * 9 * 6 * 4),
        (layers.Conv2D(4, 3, 2, padding="same"), 16 * 9 * 6 * 4),
        (layers.Conv2D(4, 3, groups=2, padding="same"), 64 * 9 * 3 * 4),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), 64 * 9 * 6 * 2),
        (layers.SeparableConv2D(4, 3, padding="same"), 64 * (9 * 6 + 6 * 4)),
        (layers.Conv2DTranspose(4, 2, 2), 64 * 4 * 6 * 4),  # each of the 64 input cells gives 2 x 2 outputs
        (layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same")), 64 * 9 * 6 * 4),
        (layers.Dense(5), 64 * 6 * 5),
        (layers.BatchNormalization(), 0),
    ],
)
def test_kinds_by_hand(layer, expected):
    assert multiply_adds(keras.Sequential([keras.Input((8, 8, 6)), layer])) == expected


@pytest.mark.parametrize(
    ("name", "options", "low", "high"),
    [
        ("vgg16", {"dense": 32}, 15.3, 15.4),  # its two dense layers of 4,096 are 0.12 more
        ("resnet50", {}, 3.8, 4.1),
        ("inception", {}, 1.4, 1.6),
        ("transfer:MobileNetV2", {"weights": "none"}, 0.295, 0.305),
    ],
)
def test_published_figures_at_224(name, options, low, high):
    assert low < multiply_adds(build(name, 224, **options)) / 1e9 < high


def test_nested_layers_are_unrolled_and_none_is_lost():
    model = build("transfer:MobileNet", 32, weights="none")
    freeze(model)
    rows = table(model)
    assert sum(row["parameters"] for row in rows) == model.count_params()
    assert rows[1]["name"] == "mobilenet_1.00_32/conv1"
    assert rows[-1] | {"multiply_adds": 0} == {
        "name": "dense",
        "kind": "Dense",
        "detail": "sigmoid",
        "shape": [1],
        "parameters": 1025,
        "trainable": True,
        "multiply_adds": 0,
    }
    assert not any(row["trainable"] for row in rows[:-1])


def test_a_layer_that_is_called_twice_works_twice():
    image = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same")
    assert multiply_adds(keras.Model(image, shared(shared(image)))) == 2 * 64 * 9 * 9
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1)])
    assert multiply_adds(keras.Model(image, inner(inner(inner(image))))) == 3 * 64 * 9


def test_any_size_has_no_number():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3)])
    assert table(model)[0]["multiply_adds"] is None
    with pytest.raises(ValueError, match="takes images of any size"):
        multiply_adds(model)


def test_details_in_words():
    assert detail(layers.Conv2D(4, (3, 5), 2, dilation_rate=1, groups=2, activation="relu")) == "3 × 5, stride 2, 2 groups, relu"
    assert detail(layers.Conv2D(4, 3, dilation_rate=2)) == "3 × 3, dilation 2"
    assert detail(layers.MaxPooling2D(3, 2)) == "3 × 3, stride 2"
    assert detail(layers.MaxPooling2D(2)) == "2 × 2"
    assert detail(layers.UpSampling2D(2)) == "2 × 2"
    assert detail(layers.Dropout(0.25)) == "rate 0.25"
    assert detail(layers.BatchNormalization()) == detail(layers.ReLU()) == ""


def test_blocks_of_a_small_network_are_its_layers():
    blocks = layered(table(build("vgg16", 64, dense=8)))
    assert [(block.shape, block.count) for block in blocks] == [
        ((64, 64, 64), 2),
        ((32, 32, 128), 2),
        ((16, 16, 256), 3),
        ((8, 8, 512), 3),
        ((4, 4, 512), 3),
        ((8,), 2),
        ((1,), 1),
    ]
    assert blocks[4].then == ("max pool 2×2", "flatten")


def test_blocks_of_a_deep_network_are_its_resolutions():
    blocks = staged(table(build("resnet50", 64)))
    assert [(block.shape, block.count) for block in blocks] == [
        ((32, 32, 64), 1),
        ((16, 16, 256), 10),
        ((8, 8, 512), 13),
        ((4, 4, 1024), 19),
        ((2, 2, 2048), 10),
        ((1,), 1),
    ]
    gated = staged(table(build("transfer:EfficientNetV2B0", 64, weights="none")))
    assert [block.shape[0] for block in gated] == [32, 16, 8, 4, 2, 1]  # the gates' 1 x 1 maps are no resolution


@pytest.mark.parametrize("name", ["lenet", "autoencoder", "inception"])
def test_picture_is_a_png_and_the_same_every_time(name):
    model = build(name, 64)
    data = picture(model, name)
    width, height = Image.open(io.BytesIO(data)).size
    assert 700 < width < 1400 and 350 < height < 700
    assert data == picture(model, name)
