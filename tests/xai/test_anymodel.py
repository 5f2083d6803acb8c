"""Models that come from elsewhere: several outputs, code in them, channels first, half precision."""

import keras
import numpy as np
import pytest
from keras import layers

import xai
from xai import modelfile
from xai.detector import score, wrap
from xai.errors import LayerError, ModelError
from xai.head import choose_output
from xai.maps.mapped import compute
from xai.rebuild import channels_last

IMAGES = np.random.default_rng(0).uniform(0, 2, (3, 8, 8, 3)).astype(np.float32)


def logit(probability):
    return np.log(probability) - np.log1p(-probability)


def chain(*body, size=8, shape=None):
    return keras.Sequential([keras.Input(shape or (size, size, 3)), *body])


# Several outputs


def two_headed(answer):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 2, 2, name="conv")(image)
    age = layers.Dense(1, name="age")(layers.GlobalAveragePooling2D(name="gap")(layers.Conv2D(3, 1, name="side")(x)))
    fake = layers.Dense(1, activation="sigmoid", name="fake")(layers.Flatten()(x))
    return keras.Model(image, answer(age, fake))


@pytest.mark.parametrize("answer", [lambda age, fake: [age, fake], lambda age, fake: {"years": age, "score": fake}])
@pytest.mark.parametrize("output", ["named", "index"])
def test_an_output_is_chosen(answer, output):
    model = two_headed(answer)
    as_dict = isinstance(model.output, dict)
    name, place = ("score", 0) if as_dict else ("fake", 1)  # Keras sorts a dict's outputs by key
    detector = wrap(model, output=name if output == "named" else place)
    expected = model(IMAGES)[name if as_dict else place]
    assert np.allclose(score(detector.logits(IMAGES)), np.asarray(expected).ravel(), atol=1e-6)
    assert detector.head.kind == "flatten" and list(detector.layers) == ["conv"]
    with pytest.raises(LayerError, match="'side' is the logit's own layer or does not lead to it"):
        detector.select("side")


def test_the_other_head_is_of_another_kind():
    assert wrap(two_headed(lambda age, fake: [age, fake]), output="age").head.kind == "global pooling"


def test_several_outputs_and_none_chosen():
    with pytest.raises(ModelError, match=r"the model has 2 outputs \(age, fake\); say which one speaks of fake with --output NAME or INDEX"):
        wrap(two_headed(lambda age, fake: [age, fake]))


@pytest.mark.parametrize("output", ["cat", "2", "-1", 7])
def test_no_such_output(output):
    with pytest.raises(ModelError, match=f"output '{output}' is not in the model; expected one of: a, b, or an index from 0 to 1"):
        choose_output(["a", "b"], output)


def test_a_name_goes_before_an_index():
    assert choose_output(["1", "x"], "1") == 0 and choose_output(["x", "x"], 1) == 1


# Code in a model


def lambda_file(path, where="middle"):
    lam = layers.Lambda(lambda x: x * 2, name="twice")
    body = [layers.Conv2D(2, 2, name="before"), layers.Conv2D(2, 2, name="after"), layers.Flatten(), layers.Dense(1)]
    body.insert(1 if where == "middle" else 4, lam)
    model = chain(*body)
    model.save(path)
    return model


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_lambda_runs_only_if_trusted(tmp_path, name):
    model = lambda_file(tmp_path / name)
    with pytest.raises(ModelError, match=r"holds a Lambda layer, which is code: loading it runs code from whoever saved it; .* --trust"):
        xai.load(tmp_path / name)
    detector = xai.load(tmp_path / name, trust=True)
    assert np.allclose(detector.logits(IMAGES), np.asarray(model(IMAGES)).ravel(), atol=1e-5)
    assert detector.select("auto") == ["before"]
    assert compute(detector, IMAGES, ["before"], ["hirescam"]).maps["before", "hirescam"].shape == (3, 7, 7)
    with pytest.raises(LayerError, match=r"layer 'after' cannot be mapped: 'twice' \(Lambda\) is of a kind whose geometry is not known"):
        detector.select("after")


def test_a_lambda_at_the_end_may_hide_a_sigmoid(tmp_path):
    lambda_file(tmp_path / "m.keras", "end")
    with pytest.raises(ModelError, match=r"ends in 'twice' \(Lambda\), which is code: whether its answer is a logit cannot be read"):
        xai.load(tmp_path / "m.keras", trust=True)


class Doubling(layers.Layer):
    def call(self, inputs):
        return inputs * 2


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("trust", [False, True])
def test_an_unknown_class_says_how_to_bring_it(tmp_path, name, trust):
    model = chain(Doubling(), layers.Flatten(), layers.Dense(1))
    model.save(tmp_path / name)
    with pytest.raises(ModelError, match=r"uses 'Doubling', which is no part of Keras .*custom_objects\.py.*xai\.wrap") as caught:
        xai.load(tmp_path / name, trust=trust)
    assert "\n" not in str(caught.value)
    assert np.allclose(wrap(model).logits(IMAGES), np.asarray(model(IMAGES)).ravel(), atol=1e-5)


CODE = """
import keras
from keras import layers
print("run")
class Scaled(layers.Layer):
    def __init__(self, factor=2, **options):
        super().__init__(**options)
        self.factor = factor
    def call(self, inputs):
        return inputs * self.factor
    def get_config(self):
        return super().get_config() | {"factor": self.factor}
def squared(x):
    return x * x
"""


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_classes_and_functions_beside_a_model_are_run_for_trust_alone(tmp_path, name, capsys):
    (tmp_path / "custom_objects.py").write_text(CODE)
    own = modelfile.defined(tmp_path / "custom_objects.py")
    assert {"Scaled", "squared"} <= set(own)
    model = chain(layers.Conv2D(2, 2, activation=own["squared"]), own["Scaled"](3), layers.Flatten(), layers.Dense(1))
    model.save(tmp_path / name)
    capsys.readouterr()
    with pytest.raises(ModelError, match="say --trust"):
        xai.load(tmp_path / name)
    assert "run" not in capsys.readouterr().out
    detector = xai.load(tmp_path / name, trust=True)
    assert capsys.readouterr().out == "run\n"
    assert np.allclose(detector.logits(IMAGES), np.asarray(model(IMAGES)).ravel(), rtol=1e-5)


def test_code_beside_a_model_that_fails(tmp_path):
    chain(layers.Flatten(), layers.Dense(1)).save(tmp_path / "m.keras")
    (tmp_path / "custom_objects.py").write_text("import nothing_of_that_name")
    with pytest.raises(ModelError, match=r"custom_objects\.py' fails: ModuleNotFoundError: .*; mend it"):
        xai.load(tmp_path / "m.keras", trust=True)
    xai.load(tmp_path / "m.keras")


def test_an_unknown_class_at_the_end():
    with pytest.raises(ModelError, match=r"ends in 'doubling\w*' \(Doubling\), which is code"):
        wrap(chain(layers.Flatten(), layers.Dense(1), Doubling()))


def test_a_sigmoid_inside_a_wrapper_is_left_out():
    dense = layers.SpectralNormalization(layers.Dense(1, activation="sigmoid"))
    model = chain(layers.Conv2D(2, 2, name="conv"), layers.Flatten(), dense)
    expected = np.asarray(model(IMAGES, training=False)).ravel()
    detector = wrap(model)
    assert "input of the sigmoid" in detector.head.text
    assert np.allclose(detector.logits(IMAGES), logit(expected), atol=1e-5)
    assert np.array_equal(np.asarray(model(IMAGES, training=False)).ravel(), expected) and dense.layer.activation.__name__ == "sigmoid"


@pytest.mark.parametrize(("name", "message"), [("a.pt", "torch.onnx.export"), ("a.tflite", "xai.blackbox"), ("a.txt", "SavedModel folder$")])
def test_other_files_say_what_to_do(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=f"is no model file; expected .keras or .h5.*{message}"):
        xai.load(tmp_path / name)


# Channels first


def first_model(flatten, size=4):
    """3 x 4 x 4 images; channel 0 sums red, channel 1 green, over 2 x 2 pixels; two cells are read."""
    image = keras.Input((3, size, size))
    x = layers.Conv2D(2, 2, 2, activation="relu", data_format="channels_first", name="conv")(image)
    model = keras.Model(image, layers.Dense(1, activation="sigmoid", name="out")(flatten(x)))
    kernel = np.zeros((2, 2, 3, 2), np.float32)
    kernel[..., 0, 0] = kernel[..., 1, 1] = 1
    model.get_layer("conv").set_weights([kernel, np.zeros(2)])
    return model


def test_channels_first_by_hand():
    """Flatten reads channel, row, column: weight 1 is channel 0 at (0, 1), weight 6 channel 1 at (1, 0)."""
    model = first_model(layers.Flatten(data_format="channels_last"))
    weights = np.zeros((8, 1), np.float32)
    weights[1], weights[6] = 3, -2
    model.get_layer("out").set_weights([weights, np.float32([0.5])])
    detector = wrap(model)
    image = np.zeros((1, 4, 4, 3), np.float32)
    image[..., 0], image[..., 1] = 1, 2  # so that the convolution gives 4 and 8 everywhere
    found = compute(detector, image, ["conv"], ["hirescam"])
    assert detector.size == (4, 4) and detector.head.kind == "flatten" and detector.layers["conv"].shape == (2, 2, 2)
    assert found.logits.tolist() == [3 * 4 - 2 * 8 + 0.5]
    assert found.maps["conv", "hirescam"][0].tolist() == [[0, 12], [-16, 0]]
    assert detector.layers["conv"].placement.offset == (1, 1)
    assert model.get_layer("conv").data_format == "channels_first"


def test_channels_first_own_flatten_puts_channels_last():
    """With its own channels_first, Flatten reads row, column, channel: weight 2 is channel 0 at (0, 1)."""
    model = first_model(layers.Flatten(data_format="channels_first"))
    weights = np.zeros((8, 1), np.float32)
    weights[2] = 3
    model.get_layer("out").set_weights([weights, np.float32([0.5])])
    image = np.ones((1, 4, 4, 3), np.float32)
    assert compute(wrap(model), image, ["conv"], ["hirescam"]).maps["conv", "hirescam"][0].tolist() == [[0, 12], [0, 0]]


def long_first():
    image = keras.Input((3, 8, 8))
    x = layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3, padding="same", data_format="channels_first", name="a")(layers.Rescaling(0.5)(image)))
    x = layers.MaxPooling2D(2, data_format="channels_first")(layers.ReLU()(x))
    y = layers.DepthwiseConv2D(3, padding="same", data_format="channels_first", name="b")(layers.ZeroPadding2D(1, data_format="channels_first")(x))
    y = layers.Cropping2D(1, data_format="channels_first")(y)
    x = layers.Concatenate(axis=1)([layers.Add()([x, y]), layers.SeparableConv2D(3, 1, data_format="channels_first", name="c")(y)])
    x = layers.Permute((2, 3, 1))(layers.UpSampling2D(2, data_format="channels_first")(x))
    x = layers.Conv2D(2, 3, name="d")(x)
    return keras.Model(image, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def test_channels_first_same_answers_as_the_same_weights_channels_last():
    """The oracle is built by hand: the same layers, channels last, with the same weights."""
    model = long_first()
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1, values.shape) for values in model.get_weights()])
    image = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(layers.Rescaling(0.5)(image)))
    x = layers.MaxPooling2D(2)(layers.ReLU()(x))
    y = layers.Cropping2D(1)(layers.DepthwiseConv2D(3, padding="same")(layers.ZeroPadding2D(1)(x)))
    x = layers.UpSampling2D(2)(layers.Concatenate()([layers.Add()([x, y]), layers.SeparableConv2D(3, 1)(y)]))
    oracle = keras.Model(image, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x))))
    oracle.set_weights(model.get_weights())
    detector, expected = wrap(model), wrap(oracle)
    assert np.allclose(detector.logits(IMAGES), expected.logits(IMAGES), rtol=1e-5)
    assert detector.select("conv") == ["a", "b", "c", "d"]
    assert [layer.placement for layer in detector.layers.values() if layer.kind != "Identity"] == [
        layer.placement for layer in expected.layers.values()
    ]
    for mine, theirs in zip(detector.select("conv"), expected.select("conv"), strict=True):
        a, b = (compute(d, IMAGES, [layer], ["gradcam"]).maps[layer, "gradcam"] for d, layer in ((detector, mine), (expected, theirs)))
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_channels_first_of_any_size():
    image = keras.Input((3, None, None))
    x = layers.GlobalMaxPooling2D(data_format="channels_first")(layers.Conv2D(2, 3, data_format="channels_first", name="c")(image))
    detector = wrap(keras.Model(image, layers.Dense(1)(x)), size=8)
    assert detector.layers["c"].shape == (6, 6, 2) and detector.logits(IMAGES).shape == (3,)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (lambda: layers.Reshape((8, 4, 4)), "Reshape"),
        (lambda: layers.Conv2D(2, 1, data_format="channels_last"), "Conv2D"),
        (lambda: layers.Dense(3), "Dense"),
        (lambda: layers.LayerNormalization(axis=[1, 2, 3]), "LayerNormalization"),
        (lambda: layers.Lambda(lambda x: x), "Lambda"),
        (lambda: layers.Activation("softmax"), "Activation"),
    ],
)
def test_channels_first_layers_that_cannot_be_turned(layer, kind):
    first = layers.Conv2D(8, 2, 2, data_format="channels_first")
    model = chain(first, layer(), layers.Flatten(), layers.Dense(1), shape=(3, 8, 8))
    with pytest.raises(ModelError, match=rf"takes channels first, \(3, height, width\), and its layer '.*' \({kind}\) cannot be turned"):
        wrap(model)


def test_constants_laid_out_channels_first_are_refused():
    image = keras.Input((3, 8, 8))
    x = image - np.ones((1, 3, 1, 1), np.float32)
    with pytest.raises(ModelError, match="cannot be turned to channels last"):
        wrap(keras.Model(image, layers.Dense(1)(layers.Flatten()(x))))


def test_a_shared_layer_is_turned_once():
    image = keras.Input((3, 8, 8))
    conv = layers.Conv2D(3, 3, padding="same", data_format="channels_first", name="conv")
    graph = channels_last(wrap_graph(keras.Model(image, layers.Dense(1)(layers.Flatten(data_format="channels_first")(conv(conv(image)))))))
    first, second = graph.steps[:2]
    assert first.operation is second.operation is not conv and second.name == "conv#2"


def wrap_graph(model):
    from xai.graph import flatten

    return flatten(model)


# Half precision


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_maps_are_computed_in_float32(policy):
    """Each of 4096 pooled cells has the gradient 1e-4 / 4096, which is zero in float16."""
    image = keras.Input((64, 64, 3), dtype="float32")
    x = layers.Conv2D(1, 1, use_bias=False, name="conv", dtype=policy)(image)
    x = layers.BatchNormalization(name="norm", dtype=policy)(x)
    model = keras.Model(image, layers.Dense(1, name="out", dtype=policy)(layers.GlobalAveragePooling2D(dtype=policy)(x)))
    model.get_layer("conv").set_weights([np.float32([[[[1], [0], [0]]]])])
    model.get_layer("norm").set_weights([np.float32([value]) for value in (1, 0, 0, 1 - 1e-3)])
    model.get_layer("out").set_weights([np.float32([[1e-4]]), np.float32([0.25])])
    detector = wrap(model)
    found = compute(detector, np.ones((1, 64, 64, 3), np.float32), ["conv"], ["hirescam", "gradcam"])
    assert all(values.dtype == np.float32 for values in found.maps.values())
    assert np.allclose(found.maps["conv", "hirescam"], 1e-4 / 4096, rtol=1e-4, atol=0)
    assert np.allclose(found.logits, 0.25 + 1e-4, atol=1e-7, rtol=0)
    assert model.get_layer("conv").compute_dtype == policy.removeprefix("mixed_")


def test_a_wrapped_layer_of_half_precision():
    conv = layers.SpectralNormalization(layers.Conv2D(2, 2, name="inner", dtype="mixed_float16"), name="conv", dtype="mixed_float16")
    model = chain(conv, layers.Flatten(), layers.Dense(1, dtype="float32"))
    step = wrap(model).graph.steps[0]
    assert step.operation.compute_dtype == step.layer.compute_dtype == "float32"
    assert np.array_equal(step.layer.get_weights()[0], conv.layer.get_weights()[0])


def test_the_command_line_takes_both_options(whyfake, tmp_path):
    two_headed(lambda age, fake: [age, fake]).save(tmp_path / "two.keras")
    lambda_file(tmp_path / "code.keras")
    assert "--output" in whyfake("layers", tmp_path / "two.keras").output
    assert "input of the sigmoid in 'fake'" in whyfake("layers", tmp_path / "two.keras", "--output", "fake").output
    assert whyfake("layers", tmp_path / "code.keras").exit_code == 1
    assert "no map: 'twice' (Lambda)" in whyfake("layers", tmp_path / "code.keras", "--trust").output
