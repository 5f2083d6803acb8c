"""Backbones of `keras.applications`: what they want their pixels to be, their weights, freezing."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from models import build, transfer
from models.registry import entry
from xai.detector import wrap


def quick(weights="none", **options):
    return transfer.build(32, backbone="MobileNet", weights=weights, **options)


def test_preprocessing_is_found_by_asking():
    assert transfer.preprocessing("MobileNetV2") == {"colour_order": "RGB", "scale": [pytest.approx(1 / 127.5)] * 3, "offset": [-1.0] * 3}
    assert transfer.preprocessing("EfficientNetV2B0") == {"colour_order": "RGB", "scale": [1.0] * 3, "offset": [0.0] * 3}
    assert transfer.preprocessing("VGG16") == {"colour_order": "BGR", "scale": [1.0] * 3, "offset": [-103.939, -116.779, -123.68]}
    red = transfer.preprocessing("DenseNet121")
    assert red["scale"][0] == pytest.approx(1 / 255 / 0.229, rel=1e-6)
    assert red["offset"][0] == pytest.approx(-0.485 / 0.229, rel=1e-6)


@pytest.mark.parametrize("backbone", ["MobileNet", "ResNet50", "DenseNet121", "EfficientNetV2B0"])
def test_the_backbone_sees_what_its_own_function_would_give(backbone):
    """RGB pixels, put into the card's order and scaled by the model, against Keras on the same RGB."""
    wanted = transfer.preprocessing(backbone)
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("float32")
    given = images[..., ::-1] if wanted["colour_order"] == "BGR" else images
    seen = np.asarray(layers.Rescaling(wanted["scale"], wanted["offset"])(given))
    assert np.allclose(seen, transfer.home(backbone).preprocess_input(images.copy()), atol=1e-4)


def test_sides_are_those_of_keras():
    assert entry("transfer:MobileNet").size == keras.applications.MobileNet(weights=None).input_shape[1] == 224
    assert entry("transfer:EfficientNetV2B1").size == keras.applications.EfficientNetV2B1(weights=None).input_shape[1] == 240


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [name for name in transfer.names() if "XL" not in name and "NetV3" not in name])
def test_every_side_is_that_of_keras(backbone):
    assert getattr(keras.applications, backbone)(weights=None).input_shape[1] == transfer.native(backbone)


def test_parts_freeze_unfreeze():
    model = quick()
    body = transfer.parts(model)
    assert body.name.startswith("mobilenet")
    convolutions = [layer for layer in body.layers if "Conv" in type(layer).__name__]
    assert len(convolutions) == 27
    transfer.freeze(model)
    assert [weight.path.split("/")[0] for weight in model.trainable_weights] == ["dense", "dense"]
    for share, count in ((0.25, 7), (1, 27), (0.5, 14), (0, 0)):
        transfer.unfreeze(model, share)
        learning = [layer for layer in body.layers if layer.trainable_weights]
        assert learning == convolutions[27 - count :]
        assert len(model.trainable_weights) == count + 2  # none of them has a bias
    with pytest.raises(ValueError, match="share of layers to fine-tune is 2; expected 0 to 1"):
        transfer.unfreeze(model, 2)
    with pytest.raises(ValueError, match="'lenet' has 0 nested models; expected one"):
        transfer.parts(build("lenet", 32))


def test_batch_normalisation_learns_only_without_weights(tmp_path):
    scratch = quick()
    norms = [layer for layer in transfer.parts(scratch).layers if isinstance(layer, layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}
    transfer.parts(scratch).save_weights(tmp_path / "body.weights.h5")
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")

    def moved(model):
        """Say whether a step in training mode changes the first running average."""
        average = next(layer for layer in transfer.parts(model).layers if isinstance(layer, layers.BatchNormalization)).moving_mean
        before = average.numpy()
        model(images, training=True)
        return not np.array_equal(before, average.numpy())

    assert moved(scratch)
    assert not moved(quick(tmp_path / "body.weights.h5"))
    with_weights = quick(tmp_path / "body.weights.h5")
    transfer.freeze(with_weights)
    transfer.unfreeze(with_weights)
    assert not moved(with_weights)
    with_weights.save(tmp_path / "model.keras")
    assert not moved(keras.saving.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize("kind", ["body.weights.h5", "top.weights.h5", "body.h5", "top.h5", "model.keras", "body.keras"])
def test_weights_come_from_a_file(kind, tmp_path):
    keras.utils.set_random_seed(0)
    model = quick()
    body, path = transfer.parts(model), tmp_path / kind
    source = {"body": body, "model": model}.get(kind.split(".")[0])
    if source is None:
        source = keras.applications.MobileNet(weights=None)
        source.set_weights(body.get_weights() + source.get_weights()[len(body.weights) :])
    if kind.endswith(".weights.h5"):
        source.save_weights(path)
    else:
        source.save(path)
    found = transfer.parts(quick(path)).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, body.get_weights(), strict=True))


def test_imagenets_efficientnet_is_scaled_as_keras_does(tmp_path):
    """Its file keeps the deviation in the variance's place; Keras makes up for that only where it fetches the file."""
    body = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    scaling = next(layer for layer in body.layers if isinstance(layer, layers.Normalization))
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    scaling.set_weights([mean, deviation, np.int32(0)])
    body.save_weights(tmp_path / "body.weights.h5")
    model = transfer.build(32, backbone="EfficientNetB0", weights=tmp_path / "body.weights.h5")
    model.save(tmp_path / "model.keras")
    again = transfer.build(32, backbone="EfficientNetB0", weights=tmp_path / "model.keras")  # made up for once, not twice
    images = np.random.default_rng(0).uniform(0, 1, (1, 32, 32, 3)).astype("float32")
    for built in (model, again):
        first = next(layer for layer in transfer.parts(built).layers if isinstance(layer, layers.Normalization))
        assert np.allclose(np.asarray(first(images)), (images - mean) / deviation, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("mobilenetv2", {}, "backbone 'mobilenetv2' is not known; did you mean MobileNetV2? expected one of: ConvNeXt"),
        ("", {}, "backbone '' is not known; expected one of: ConvNeXt"),
        ("MobileNet", {"weights": "none"}, "MobileNet needs images of at least 32 pixels a side; got 16"),
        ("MobileNet", {"weights": "absent.h5"}, "weights 'absent.h5' do not exist; expected imagenet, none or a file of MobileNet's weights"),
    ],
)
def test_errors(backbone, options, message):
    with pytest.raises(ValueError) as caught:
        build(f"transfer:{backbone}", 16, **options)
    assert message in str(caught.value)


def test_weights_of_another_network(tmp_path):
    build("lenet", 32).save_weights(tmp_path / "lenet.weights.h5")
    with pytest.raises(
        ValueError, match=r"'lenet.weights.h5' does not hold the weights of MobileNet: .*; give the file that Keras has for MobileNet"
    ):
        quick(tmp_path / "lenet.weights.h5")
    build("lenet", 32).save(tmp_path / "lenet.keras")
    with pytest.raises(ValueError, match=r"'lenet.keras' does not hold the weights of MobileNet: no part of it has the \d+ weights"):
        quick(tmp_path / "lenet.keras")


def test_no_network_is_one_line_that_names_the_file(monkeypatch):
    def unreachable(**options):
        raise Exception("URL fetch failure on https://example.org/models/mobilenet_no_top.h5: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(transfer, "construct", lambda make, *rest, **options: unreachable())
    with pytest.raises(ValueError) as caught:
        quick("imagenet")
    assert str(caught.value) == (
        "the ImageNet weights of MobileNet could not be fetched: fetch https://example.org/models/mobilenet_no_top.h5 on a machine with network, "
        "bring the file here and say --weights FILE; or start without with --weights none"
    )


def test_weights_that_are_given_at_one_size_only(monkeypatch):
    """NASNet: fetched at its own size, copied into the network of the size that was asked for."""
    asked = []

    def construct(make, size, weights=None, top=False):
        asked.append((size, weights))
        if weights and size != 224:
            raise transfer.Unfit("input_shape should be (224, 224, 3)")
        return make(include_top=top, weights=None, input_shape=(size, size, 3))

    monkeypatch.setattr(transfer, "construct", construct)
    assert transfer.pretrained("MobileNet", 32, "imagenet").input_shape[1] == 32
    assert asked == [(32, "imagenet"), (224, "imagenet"), (32, None)]


def test_mixed_precision_keeps_the_answer_in_float32():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = quick()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model.outputs[0].dtype == "float32"
    assert wrap(model).select("last") == [f"{transfer.parts(model).name}/conv_pw_13_relu"]


def test_keras_warning_about_odd_sizes_is_not_passed_on():
    def make(**options):
        warnings.warn("`input_shape` is undefined or non-square, or `rows` is not in [96]. Weights for ...", stacklevel=2)
        return "made"

    assert transfer.construct(make, 100) == "made"
