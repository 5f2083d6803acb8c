"""The logit is found in any head, the class convention holds, bad models give one line."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import xai
from tests.conftest import compute, tiny_model
from xai.compiled import PASSES, Compiled
from xai.detector import score, wrap
from xai.errors import LayerError, ModelError


def body(last):
    """A network with one convolution that ends as `last` says."""
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Conv2D(2, 2, 2, activation="relu", name="conv")(image))
    return keras.Model(image, last(x))


IMAGES = np.random.default_rng(0).uniform(0, 2, (3, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "last",
    [
        lambda x: layers.Dense(1, activation="sigmoid")(x),
        lambda x: layers.Activation("sigmoid")(layers.Dense(1)(x)),
        lambda x: keras.ops.sigmoid(layers.Dense(1)(x)),
        lambda x: layers.Dropout(0.5)(layers.Dense(1, activation="sigmoid")(x)),
        lambda x: layers.Reshape((1,))(layers.Activation("sigmoid")(layers.Dense(1)(x))),
    ],
)
def test_one_sigmoid_unit(last):
    model = body(last)
    probability = np.asarray(model(IMAGES)).ravel()
    assert np.allclose(score(wrap(model).logits(IMAGES)), probability, atol=1e-6)
    assert np.allclose(score(wrap(model, positive="real").logits(IMAGES)), 1 - probability, atol=1e-6)


@pytest.mark.parametrize(
    "last",
    [
        lambda x: layers.Dense(2, activation="softmax")(x),
        lambda x: layers.Softmax()(layers.Dense(2)(x)),
        lambda x: layers.Activation("softmax")(layers.Dense(2)(x)),
        lambda x: layers.Activation("linear", dtype="float32")(layers.Dense(2, activation="softmax")(x)),
    ],
)
def test_two_softmax_units(last):
    model = body(last)
    assert np.allclose(score(wrap(model).logits(IMAGES)), np.asarray(model(IMAGES))[:, 1], atol=1e-6)


def test_linear_outputs_are_logits():
    model = body(layers.Dense(1))
    assert np.allclose(wrap(model).logits(IMAGES), np.asarray(model(IMAGES)).ravel(), atol=1e-6)


def test_nested_backbone_and_nested_head():
    backbone = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 2, 2, activation="relu", name="inner")], name="backbone")
    head = keras.Sequential([keras.Input((4, 4, 4)), layers.Flatten(), layers.Dense(1, activation="sigmoid")], name="head")
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, head(backbone(image)))
    detector = wrap(model)
    assert list(detector.layers) == ["backbone/inner"]
    assert detector.layers["backbone/inner"].placement.offset == (1, 1)
    logits, maps = compute(detector, IMAGES, ["backbone/inner"], ["hirescam"])
    assert np.allclose(score(logits), np.asarray(model(IMAGES)).ravel(), atol=1e-6)
    # bias-free after the layer? no: Dense has one, so the map sums to the logit minus that bias (zero at the start)
    assert np.allclose(maps["backbone/inner", "hirescam"].sum((1, 2)), logits, atol=1e-5)


def test_batch_normalisation_runs_as_in_use():
    body = [layers.Conv2D(4, 2), layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.9)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *body, layers.Dense(1, activation="sigmoid")])
    model.layers[1].set_weights([np.full(4, 2.0), np.full(4, 1.0), np.full(4, 0.5), np.full(4, 4.0)])
    assert np.allclose(score(wrap(model).logits(IMAGES)), np.asarray(model(IMAGES, training=False)).ravel(), atol=1e-6)


def test_select(tiny):
    assert tiny.select("conv") == tiny.select("last") == tiny.select("auto") == tiny.select("conv,conv") == ["conv"]
    with pytest.raises(LayerError, match="layer 'flat' cannot be mapped: 'flat' \\(Flatten\\) mixes all places"):
        tiny.select("flat")
    with pytest.raises(LayerError, match="layer 'conv9' is not in the model; expected auto, conv, last, all or names among: conv; 'whyfake layers"):
        tiny.select("conv9")
    with pytest.raises(LayerError, match="no layer was named"):
        tiny.select(" , ")


def test_auto_takes_one_convolution_per_resolution_of_a_deep_network():
    blocks = [layers.Conv2D(2, 3, 2 if i in (0, 5) else 1, padding="same", name=f"c{i}") for i in range(10)]
    detector = wrap(keras.Sequential([keras.Input((32, 32, 3)), *blocks, layers.Flatten(), layers.Dense(1, activation="sigmoid")]))
    assert detector.select("auto") == ["c4", "c9"]


def test_head_kind(tiny):
    assert tiny.head.kind == "flatten"
    assert wrap(tiny_model("pooling")).head.kind == "global pooling"
    assert "input of the sigmoid in 'out'" in tiny.head.text


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: body(lambda x: layers.Dense(3, activation="softmax")(x)), "ends in 3 softmax units; expected one sigmoid unit"),
        (lambda: body(lambda x: layers.Dense(1, activation="tanh")(x)), "ends in 'tanh'"),
        (lambda: body(lambda x: [layers.Dense(1)(x), layers.Dense(1)(x)]), "2 outputs"),
        (lambda: keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)]), "expected \\(None, height, width, 3\\)"),
        (lambda: keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D(), layers.Dense(1)]), "any size; say which"),
        (Subclassed, "keeps no layer graph"),
    ],
)
def test_models_that_are_no_detectors(make, message):
    with pytest.raises(ModelError, match=message):
        wrap(make())


def test_size_of_a_model_that_takes_any():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 2, name="c"), layers.GlobalAveragePooling2D(), layers.Dense(1)])
    assert wrap(model, size=16).size == (16, 16)
    with pytest.raises(ModelError, match="does not fit, leave it out"):
        wrap(body(layers.Dense(1)), size=16)


def test_load_reads_the_card(tmp_path):
    tiny_model().save(tmp_path / "model.keras")
    (tmp_path / "detector.json").write_text(
        json.dumps({"name": "mine", "positive": "real", "colour_order": "BGR", "range": [-1, 1], "threshold": 0.4})
    )
    detector = xai.load(tmp_path)
    assert (detector.name, detector.positive, detector.threshold) == ("mine", "real", 0.4)
    assert (detector.preprocessing.colour_order, detector.preprocessing.low) == ("BGR", -1)
    assert xai.load(tmp_path / "model.keras", positive="fake").sign == 1
    assert len(detector.sha256) == 64


@pytest.mark.filterwarnings("ignore")  # Keras calls its own .h5 format legacy
@pytest.mark.parametrize("name", ["a.keras", "b.h5"])
def test_keras_and_h5_give_the_same_logits(tmp_path, tiny, name):
    tiny.model.save(tmp_path / name)
    assert np.array_equal(xai.load(tmp_path / name).logits(IMAGES), tiny.logits(IMAGES))


def broken(folder, kind):
    """Write a model file that cannot be used and return its path."""
    path = folder / "m.keras"
    if kind == "missing":
        return folder / "gone.keras"
    if kind == "ending":
        (folder / "m.pt").write_bytes(b"x")
        return folder / "m.pt"
    if kind == "text":
        path.write_text("hello")
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "x")
    elif kind == "h5":
        path = folder / "m.h5"
        path.write_bytes(b"\x89HDF\r\n\x1a\nbroken")
    elif kind == "weights":
        import h5py

        path = folder / "w.h5"
        with h5py.File(path, "w") as file:
            file["layer"] = np.zeros(3)
    elif kind == "lambda":
        keras.Sequential([keras.Input((8, 8, 3)), layers.Lambda(lambda x: x * 2), layers.Flatten(), layers.Dense(1)]).save(path)
    elif kind == "cut":
        tiny_model().save(path)
        path.write_bytes(path.read_bytes()[:-2000])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist; give a .keras or .h5 file"),
        ("ending", "is no model file; expected .keras or .h5"),
        ("text", "damaged or no Keras model"),
        ("zip", "cannot be loaded"),
        ("h5", "cannot be loaded"),
        ("weights", "holds weights only; give the whole model"),
        ("lambda", "Lambda layer, which is code"),
        ("cut", "damaged or no Keras model"),
    ],
)
def test_broken_model_files(tmp_path, kind, message):
    with pytest.raises(ModelError, match=message) as caught:
        xai.load(broken(tmp_path, kind))
    assert "\n" not in str(caught.value)


def test_broken_card(tmp_path):
    tiny_model().save(tmp_path / "model.keras")
    (tmp_path / "detector.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        xai.load(tmp_path)


def test_random_layers_do_nothing_while_explaining():
    """Keras' augmentation layers train by default when they are called outside fit."""
    body = [
        layers.RandomFlip(),
        layers.RandomRotation(0.4),
        layers.Conv2D(2, 3, name="conv"),
        layers.Flatten(),
        layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *body])
    detector = wrap(model)
    assert np.array_equal(detector.logits(IMAGES), detector.logits(IMAGES))
    assert np.allclose(score(detector.logits(IMAGES)), model.predict(IMAGES, verbose=0).ravel(), atol=1e-6)
    assert detector.layers["conv"].placement.offset == (1.5, 1.5)


def test_any_size_model_is_placed_by_one_run():
    body = [
        layers.Conv2D(4, 2, 2, name="a"),
        layers.Conv2D(4, 10, 2, name="b"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(1, activation="sigmoid"),
    ]
    detector = wrap(keras.Sequential([keras.Input((None, None, 3)), *body]), size=64)
    assert detector.layers["b"].placement.offset == (10, 10) and detector.layers["b"].shape == (12, 12, 4)
    _, maps = compute(detector, np.ones((1, 64, 64, 3), np.float32), ["a", "b"], ["hirescam"])
    assert maps["b", "hirescam"].shape == (1, 12, 12)


def test_preprocess_input_and_wrapped_convolutions_keep_their_place():
    image = keras.Input((64, 64, 3))
    x = keras.applications.resnet50.preprocess_input(image)
    x = layers.SpectralNormalization(layers.Conv2D(4, 2, 2), name="spectral")(x)
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))
    detector = wrap(model)
    assert detector.select("auto") == ["spectral"]
    assert detector.layers["spectral"].placement.offset == (1, 1)


def test_a_last_convolution_that_is_the_logit_is_not_mapped():
    body = [layers.Conv2D(4, 2, 2, activation="relu", name="c"), layers.Conv2D(1, 4, activation="sigmoid", name="last"), layers.Flatten()]
    detector = wrap(keras.Sequential([keras.Input((8, 8, 3)), *body]))
    assert detector.select("auto") == ["c"]
    with pytest.raises(LayerError, match="is the logit's own layer"):
        detector.select("last,c")


@pytest.mark.parametrize(
    "last",
    [
        lambda x: layers.GlobalAveragePooling2D()(layers.Conv2D(1, 1, activation="sigmoid")(x)),
        lambda x: 1 - layers.Dense(1, activation="sigmoid")(layers.Flatten()(x)),
    ],
)
def test_probabilities_are_not_taken_for_logits(last):
    image = keras.Input((8, 8, 3))
    with pytest.raises(ModelError, match="computes its answer from the sigmoid in"):
        wrap(keras.Model(image, last(layers.Conv2D(2, 2)(image))))


def test_max_pooling_is_not_called_averaging():
    image = keras.Input((8, 8, 3))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(2, 2)(image))
    detector = wrap(keras.Model(image, layers.Dense(1, activation="sigmoid")(x)))
    assert detector.head.kind == "global max pooling" and "not known" in detector.default_method()[1]
    assert "averages over all places" in wrap(tiny_model("pooling")).default_method()[1]


def test_no_convolution_no_map_one_line():
    detector = wrap(keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]))
    with pytest.raises(LayerError, match="has no convolution that can be mapped"):
        detector.select("auto")


def test_nan_is_said():
    model = tiny_model()
    model.get_layer("out").set_weights([np.full((32, 1), np.nan), np.zeros(1)])
    with pytest.raises(ModelError, match="answers with NaN"):
        wrap(model).logits(np.ones((1, 8, 8, 3), np.float32))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"model_sha256": "0" * 64}, "belongs to another model file"),
        ({"threshold": None}, "impossible 'threshold'"),
        ({"range": 5}, "impossible 'range'"),
        ({"range": ["a", "b"]}, "impossible 'range'"),
        ({"mean": 5}, "impossible 'mean'"),
        ({"mean": [1, 2]}, "impossible 'mean'"),
        ({"std": [1, 2, "a"]}, "impossible 'std'"),
        ({"std": [1, 2, 0]}, "impossible preprocessing"),
        ({"resize": "larger"}, "impossible 'resize'"),
        ({"positive": "cat"}, "impossible 'positive'"),
    ],
)
def test_impossible_cards(tmp_path, card, message):
    tiny_model().save(tmp_path / "model.keras")
    (tmp_path / "detector.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=message):
        xai.load(tmp_path)


def test_mixed_precision_maps_are_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = body(lambda x: layers.Dense(1, activation="sigmoid", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy("float32")
    logits, maps = compute(wrap(model), IMAGES, ["conv"], ["gradcam", "hirescam"])
    assert all(values.dtype == np.float32 for values in maps.values())
    assert np.allclose(score(logits), np.asarray(model(IMAGES)).ravel(), atol=1e-3)


def test_compiled_passes_are_kept_while_they_are_used():
    kept = Compiled()
    for number in range(PASSES):
        kept[number] = print
    assert kept[0] is print  # used again
    kept["new"] = print
    assert (0 in kept, 1 in kept, len(kept)) == (True, False, PASSES)
