"""Maps against hand-computed numbers, closed forms and an independent implementation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from PIL import Image

from models import build
from tests.conftest import compute, tiny_model
from xai import wrap
from xai.errors import LayerError, WhyfakeError
from xai.maps import cam
from xai.maps.memory import batch_size
from xai.maps.methods import METHODS, pairs, resolve
from xai.maps.onepass import activations

ALL = ["activation", "gradcam", "hirescam"]


def test_hand_computed_maps(tiny, tiny_image):
    """conv is 4 and 8 everywhere; the head takes 3 x red at cell (1, 2) and -2 x green at (3, 0), bias 0.5."""
    logits, maps = compute(tiny, tiny_image, ["conv"], ALL)
    assert logits.tolist() == [3 * 4 - 2 * 8 + 0.5]
    assert maps["conv", "activation"].tolist() == [[[6.0] * 4] * 4]
    exact = np.zeros((4, 4))
    exact[1, 2], exact[3, 0] = 3 * 4, -2 * 8
    assert maps["conv", "hirescam"][0].tolist() == exact.tolist()
    # mean gradients are 3/16 and -2/16: the same weight everywhere, the place is lost
    assert maps["conv", "gradcam"][0].tolist() == np.full((4, 4), 4 * 3 / 16 - 8 * 2 / 16).tolist()


def test_channels_are_the_layer_itself(tiny, tiny_image):
    values = activations(tiny, tiny_image, ["conv"])["conv"]
    assert values.shape == (1, 4, 4, 2)
    assert values[0, 0, 0].tolist() == [4, 8]


@pytest.fixture(scope="module")
def small():
    """A random network with three convolutions, a pool and a flatten head."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((40, 36, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, 2, activation="relu", name="c0"),
            layers.Conv2D(12, 3, activation="relu", padding="same", name="c1"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(6, 3, activation="relu", name="c2"),
            layers.Flatten(),
            layers.Dense(10, activation="relu"),
            layers.Dense(1, activation="sigmoid", name="out"),
        ]
    )
    return wrap(model)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(0, 255, (5, 40, 36, 3)).astype(np.float32)


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def test_r1_gradcam_equals_hirescam_before_a_pooling_head(tiny_image):
    detector = wrap(tiny_model("pooling"))
    rng = np.random.default_rng(0)
    _, maps = compute(detector, rng.uniform(0, 9, (3, 8, 8, 3)).astype(np.float32), ["conv"], ALL)
    # pooling divides by 16 cells in both; the two maps are the same numbers
    assert relative(maps["conv", "gradcam"], maps["conv", "hirescam"]) < 1e-6


def test_r2_gradcam_equals_tf_keras_vis_at_every_convolution(small, images):
    from tf_keras_vis.gradcam import Gradcam

    linear = keras.models.clone_model(small.model)
    linear.set_weights(small.model.get_weights())
    linear.layers[-1].activation = keras.activations.linear
    linear = keras.Model(linear.inputs, linear.outputs)
    _, maps = compute(small, images, ["c0", "c1", "c2"], ["gradcam"])
    for name in ("c0", "c1", "c2"):
        other = Gradcam(linear, clone=True)(
            lambda out: out[:, 0], images, penultimate_layer=name, expand_cam=False, normalize_cam=False, seek_penultimate_conv_layer=False
        )
        assert relative(np.maximum(maps[name, "gradcam"], 0), other) <= 1e-5


def test_r3_real_is_minus_fake(small, images):
    _, fake = compute(small, images, ["c0", "c2"], ["gradcam", "hirescam"])
    _, real = compute(small, images, ["c0", "c2"], ["gradcam", "hirescam"], target="real")
    for pair in fake:
        assert np.array_equal(real[pair], -fake[pair])


def test_r4_a_constant_on_the_logit_changes_no_map(small, images):
    """The saturated detector (probability 1.0 in float32) keeps its map: the logit is explained."""
    shifted = keras.models.clone_model(small.model)
    weights = small.model.get_weights()
    weights[-1] = weights[-1] + 40
    shifted.set_weights(weights)
    sure = wrap(shifted)
    logits, maps = compute(sure, images, ["c2"], ["hirescam", "gradcam"])
    _, original = compute(small, images, ["c2"], ["hirescam", "gradcam"])
    assert (logits > 30).all()
    assert (np.asarray(shifted(images)) == 1).all()
    for pair in maps:
        assert np.array_equal(maps[pair], original[pair])


def test_r7_linear_network_hirescam_sums_to_the_logit():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((12, 12, 3)), layers.Conv2D(4, 3, use_bias=False, name="c"), layers.Conv2D(5, 3, use_bias=False, name="d"), layers.Flatten(),
         layers.Dense(1, use_bias=False, activation="sigmoid")]
    )  # fmt: skip
    detector = wrap(model)
    batch = np.random.default_rng(0).uniform(0, 1, (4, 12, 12, 3)).astype(np.float32)
    logits, maps = compute(detector, batch, ["c", "d"], ["hirescam"])
    for name in ("c", "d"):
        assert np.allclose(maps[name, "hirescam"].sum((1, 2)), logits, atol=1e-5)


CLOSED = {
    "activation": lambda a, w, total: a.mean(-1),
    "activation_max": lambda a, w, total: a.max(-1),
    "activation_top:channels=3": lambda a, w, total: a[..., np.argsort(w.mean((0, 1)))[-3:]].mean(-1),
    "gradcam": lambda a, w, total: a @ w.mean((0, 1)),
    "gradcampp": lambda a, w, total: np.einsum("nijc,nc->nij", a, np.where(w > 0, w**3 / (2 * w**2 + total * w**3), 0).sum((1, 2))),
    "xgradcam": lambda a, w, total: np.einsum("nijc,nc->nij", a, (a * w).sum((1, 2)) / a.sum((1, 2))),
    "hirescam": lambda a, w, total: (a * w).sum(-1),
    "gradient_x_activation": lambda a, w, total: (a * w).sum(-1),
    "layercam": lambda a, w, total: (a * np.maximum(w, 0)).sum(-1),
}


@pytest.mark.parametrize("method", CLOSED)
def test_r7_linear_network_has_a_closed_form(method):
    """A convolution and a dense layer, nothing bent: the gradient is the dense layer's weights, whatever the image."""
    assert {text.partition(":")[0] for text in CLOSED} == {name for name, method in METHODS.items() if method.one_pass}
    rng = np.random.default_rng(7)
    images = rng.uniform(0, 1, (2, 9, 8, 3)).astype(np.float32)
    kernel = rng.uniform(0, 1, (3, 3, 3, 5)).astype(np.float32)  # positive, so that no formula divides by nearly nothing
    w = rng.normal(0, 1, (4, 3, 5)).astype(np.float32) + np.float32([1, 0.5, 0, 2, -1])
    model = keras.Sequential(
        [keras.Input((9, 8, 3)), layers.Conv2D(5, 3, 2, use_bias=False, name="conv"), layers.Flatten(), layers.Dense(1, use_bias=False)]
    )
    model.set_weights([kernel, w.reshape(-1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2))[:, ::2, ::2]  # (n, h, w, 3, rows, columns)
    a = np.einsum("nijcrs,rsck->nijk", windows, kernel, dtype=np.float64)
    logits, maps = compute(wrap(model), images, ["conv"], [method])
    assert np.allclose(logits, (a * w).sum((1, 2, 3)), rtol=1e-5)
    assert relative(maps["conv", method], CLOSED[method](a, w.astype(np.float64), a.sum((1, 2), keepdims=True))) <= 1e-5


def test_r9_dead_network_gives_empty_maps():
    from xai.aggregate import is_empty

    model = tiny_model()
    model.get_layer("out").set_weights([np.zeros((32, 1)), np.array([5.0])])
    _, maps = compute(wrap(model), np.ones((2, 8, 8, 3), np.float32), ["conv"], ["gradcam", "hirescam"])
    assert all(is_empty(values).all() for values in maps.values())


def test_independent_numpy_formulas(small, images):
    """The formulas again in NumPy on activations and finite-difference-free gradients from a second graph."""
    model = small.model
    head = keras.Sequential([keras.Input(model.get_layer("c2").output.shape[1:]), *model.layers[5:-1]])
    dense = model.layers[-1]
    layer = keras.Model(model.inputs[0], model.get_layer("c2").output)(images)
    with tf.GradientTape() as tape:
        tape.watch(layer)
        logit = tf.matmul(head(layer), dense.kernel) + dense.bias
    gradient, layer = tape.gradient(logit, layer).numpy(), layer.numpy()
    logits, maps = compute(small, images, ["c2"], ALL)
    assert np.allclose(logits, logit.numpy()[:, 0], atol=1e-5)
    assert np.allclose(maps["c2", "activation"], layer.mean(-1), atol=1e-5)
    assert np.allclose(maps["c2", "hirescam"], (layer * gradient).sum(-1), atol=1e-5)
    assert np.allclose(maps["c2", "gradcam"], np.einsum("nhwc,nc->nhw", layer, gradient.mean((1, 2))), atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(["c0", "c1", "c2", "pool"]), count=st.integers(1, 4))
def test_layer_order_does_not_matter(order, count):
    keras.utils.set_random_seed(1)
    detector = DETECTORS.setdefault("order", wrap(build_small()))
    batch = np.random.default_rng(5).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
    _, every = compute(detector, batch, ["c0", "c1", "c2", "pool"], ALL)
    _, some = compute(detector, batch, order[:count], ALL)
    for pair, values in some.items():
        assert np.allclose(values, every[pair], rtol=1e-5, atol=1e-6)


DETECTORS: dict = {}


def build_small():
    body = [
        layers.Conv2D(4, 3, 2, activation="relu", name="c0"),
        layers.Conv2D(4, 3, activation="relu", name="c1"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(3, 2, activation="relu", name="c2"),
        layers.Flatten(),
    ]
    return keras.Sequential([keras.Input((24, 24, 3)), *body, layers.Dense(1, activation="sigmoid")])


def test_batch_equals_singles(small, images):
    logits, maps = compute(small, images, ["c0", "c1", "c2"], ALL)
    for index, image in enumerate(images):
        one, single = compute(small, image[None], ["c0", "c1", "c2"], ALL)
        assert np.allclose(one[0], logits[index], rtol=1e-5)
        for pair in maps:
            assert np.allclose(single[pair][0], maps[pair][index], rtol=1e-4, atol=1e-6)


def test_the_model_is_not_changed(small, images):
    before = [value.copy() for value in small.model.get_weights()]
    nodes = [len(layer._inbound_nodes) for layer in small.model.layers]
    activation = small.model.layers[-1].activation
    compute(small, images, ["c0"], ALL)
    assert all(np.array_equal(a, b) for a, b in zip(before, small.model.get_weights(), strict=True))
    assert nodes == [len(layer._inbound_nodes) for layer in small.model.layers]
    assert small.model.layers[-1].activation is activation


def test_the_pass_is_compiled_once(small, images):
    compute(small, images, ["c0"], ["hirescam"])
    function = small.compiled["one pass", ("c0",), ("hirescam",), "fake"]
    compute(small, images[:2], ["c0"], ["hirescam"])
    assert function is small.compiled["one pass", ("c0",), ("hirescam",), "fake"]
    assert function.experimental_get_tracing_count() == 1


def test_alexnet18_maps_all_five_convolutions_at_once():
    detector = wrap(build("alexnet18", 256))
    names = detector.select("conv")
    assert names == ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"]
    _, maps = compute(detector, np.full((2, 256, 256, 3), 90, np.float32), names, ALL)
    assert [maps[name, "hirescam"].shape[1:] for name in names] == [(128, 128), (60, 60), (13, 13), (4, 4), (2, 2)]
    assert all(values.dtype == np.float32 for values in maps.values())


def test_default_batch_is_bounded_by_pixels():
    assert batch_size(wrap(build("alexnet18", 1024))) == 4
    assert batch_size(wrap(build("alexnet18", 256))) == 32


@pytest.mark.parametrize(
    ("layers_", "methods", "target", "error", "message"),
    [
        (["conv"], ["gradcamm"], "fake", WhyfakeError, "method 'gradcamm' is not known; expected auto or activation, activation_max"),
        (["nope"], ["gradcam"], "fake", LayerError, "layer 'nope' cannot be mapped; expected conv"),
        (["conv"], ["gradcam"], "cat", WhyfakeError, "target 'cat' is not known"),
    ],
)
def test_errors(tiny, tiny_image, layers_, methods, target, error, message):
    with pytest.raises(error, match=message):
        compute(tiny, tiny_image, layers_, methods, target)


@pytest.mark.parametrize("method", ["integrated_gradients:steps=2:baseline", "occlusion:patch=4:fill"])
def test_two_donors_of_one_file_name_are_refused(tiny, tiny_image, method, tmp_path):
    """A map bears its donor's file name: of two that bear the same one would be shown as the other."""
    asked = []
    for folder in ("d1", "d2"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((8, 8, 3), len(asked), np.uint8)).save(tmp_path / folder / "1.png")
        asked.append(f"{method}={tmp_path / folder / '1.png'}")
    message = rf"'{asked[0]}' and '{asked[1]}' would both be called '{method}=1.png'; rename one file"
    for refused in (lambda: compute(tiny, tiny_image, [], asked), lambda: resolve(asked, tiny), lambda: pairs([], asked)):
        with pytest.raises(WhyfakeError, match=message):
            refused()
    _, maps = compute(tiny, tiny_image, [], [asked[0], asked[0]])  # the same twice is one
    assert list(maps) == [("input", f"{method}=1.png")]


def test_every_formula_is_a_method_and_says_what_it_is():
    one_pass = {name for name, method in METHODS.items() if method.one_pass}
    assert one_pass == {*cam.WEIGHTS, *cam.MAPS}
    for formula in (*cam.WEIGHTS.values(), *cam.MAPS.values()):
        assert formula.__doc__
