"""A mean and a deviation per channel: Keras' own preprocessing, and the same maps as of a model that has them inside."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from keras.applications.imagenet_utils import preprocess_input
from PIL import Image

import xai
from xai.items import known
from xai.normalise import NAME, normalised

CAFFE = {"colour_order": "BGR", "mean": (103.939, 116.779, 123.68)}
TORCH = {"value_range": (0.0, 1.0), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
MODES = [("tf", {"value_range": (-1.0, 1.0)}), ("caffe", CAFFE), ("torch", TORCH)]


def stack(*before):
    """A small network behind some layers, the same weights each time."""
    keras.utils.set_random_seed(3)
    image = keras.Input((12, 12, 3), name="image")
    x = image
    for layer in before:
        x = layer(x)
    x = layers.Conv2D(4, 3, activation="relu", padding="same", name="conv")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(layers.MaxPooling2D(2, name="pool")(x))
    return keras.Model(image, layers.Dense(1, activation="sigmoid", name="out", kernel_initializer="he_normal")(x), name="net")


@pytest.fixture
def picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    return tmp_path / "a.png", image


@pytest.mark.parametrize(("mode", "said"), MODES)
def test_the_modes_of_keras(picture, mode, said):
    path, image = picture
    model = stack()
    inner = keras.Model(model.inputs, model.get_layer("gap").output)
    weights, bias = model.get_layer("out").get_weights()
    expected = inner.predict(preprocess_input(image[None].astype(np.float32), mode=mode), verbose=0) @ weights + bias
    for detector in (xai.wrap(model, **said), xai.blackbox(lambda x: inner.predict(x, verbose=0) @ weights + bias, 12, **said)):
        assert xai.explain(detector, [path], methods=["occlusion"]).logits[0] == pytest.approx(expected[0, 0], rel=1e-4, abs=1e-4)


def test_maps_are_those_of_a_model_that_normalises_itself(picture):
    """By every kind of method, with whatever it paints over the image, which is the same picture to both."""
    path, _ = picture
    mean, std = np.array(TORCH["mean"]), np.array(TORCH["std"])
    inside = layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), name="inside")
    own = xai.wrap(stack(inside), value_range=(0.0, 1.0))
    told = xai.wrap(stack(), **TORCH)
    methods = [
        "activation", "gradcam", "hirescam", "layercam", "lrp", "saliency", "gradient_x_input", "integrated_gradients:baseline=black",
        "smoothgrad:samples=4", "occlusion:fill=black", "rise:masks=64:fill=black",
    ]  # fmt: skip
    ours, theirs = (xai.explain(detector, [path], layers="conv", methods=methods) for detector in (told, own))
    assert ours.maps.keys() == theirs.maps.keys() and len(ours.maps) == len(methods)
    for pair, values in theirs.maps.items():
        assert np.abs(values).max() > 0, pair
        np.testing.assert_allclose(ours.maps[pair], values, rtol=1e-4, atol=1e-5 * np.abs(values).max(), err_msg=str(pair))


def test_the_model_and_its_layers_stay_as_they_are():
    model = stack()
    plain, told = xai.wrap(model), xai.wrap(model, **CAFFE)
    assert normalised(plain.graph, plain.preprocessing) is plain.graph
    assert [layer.name for layer in model.layers] == ["image", "conv", "pool", "gap", "out"]
    assert list(told.layers) == [NAME, *plain.layers] and told.layers["conv"].placement == plain.layers["conv"].placement
    assert told.preprocessing.prepare(np.full((12, 12, 3), 7, np.uint8)).tolist() == np.full((12, 12, 3), 7).tolist()


def test_the_card_says_it_and_it_tells_detectors_apart():
    model = stack()
    carded = xai.wrap(model, card={"mean": [1, 2, 3], "std": [4, 5, 6]})
    assert (carded.preprocessing.mean, carded.preprocessing.std) == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert carded.preprocessing.text() == "12 x 12, RGB, 0 to 255, less 1 2 3, divided by 4 5 6, crop: none, resize: area"
    records = [
        json.dumps(known(detector))
        for detector in (carded, xai.wrap(model), xai.wrap(model, mean=np.array([1, 2, 3])), xai.wrap(model, std=(4, 5, 6)))
    ]
    assert len(set(records)) == 4
    for wrong in ({"mean": (1, 2)}, {"std": (1, 0, 1)}, {"mean": (1, 2, float("nan"))}):
        with pytest.raises(xai.errors.ModelError, match="impossible preprocessing"):
            xai.wrap(model, **wrong)


def test_by_the_command_line(whyfake, picture, tmp_path):
    path, _ = picture
    stack().save(tmp_path / "net.keras")
    told = ("--colour-order", "BGR", "--mean", *CAFFE["mean"], "--resize", "nearest")
    result = whyfake("audit", tmp_path / "net.keras", path.parent, *told, "--out", tmp_path / "run", "--checks", 0, "--effects", 0)
    assert result.exit_code == 0, result.output
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["preprocessing"]["mean"] == list(CAFFE["mean"]) and run["preprocessing"]["std"] == [1, 1, 1]
    assert "BGR in [0, 255], less 103.939 116.779 123.68, resized by nearest" in (tmp_path / "run" / "summary.json").read_text()
