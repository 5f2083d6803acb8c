"""The one pass's methods: numbers by hand, identities, and tf-keras-vis as an independent implementation."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from tests.conftest import compute, tiny_model
from xai import wrap
from xai.errors import WhyfakeError
from xai.maps.methods import METHODS, parse

ONE_PASS = [name for name, method in METHODS.items() if method.one_pass]


def test_hand_computed_maps(tiny, tiny_image):
    """conv is 4 and 8 everywhere; the gradient is 3 in channel 0 at (1, 2), -2 in channel 1 at (3, 0), else 0."""
    _, maps = compute(tiny, tiny_image, ["conv"], ["activation_max", "activation_top", "xgradcam", "gradcampp", "layercam"])
    assert maps["conv", "activation_max"][0].tolist() == [[8.0] * 4] * 4
    assert maps["conv", "activation_top"][0].tolist() == [[4.0] * 4] * 4  # only channel 0 speaks for fake
    # weights: 4 * 3 / (16 * 4) and 8 * -2 / (16 * 8)
    assert maps["conv", "xgradcam"][0].tolist() == [[4 * 3 / 16 - 8 / 8] * 4] * 4
    # alpha g = g / (2 + S g) with S = 16 * 4; channel 1 has no positive gradient
    assert np.allclose(maps["conv", "gradcampp"][0], 4 * 3 / (2 + 64 * 3), rtol=1e-6)
    exact = np.zeros((4, 4))
    exact[1, 2] = 4 * 3
    assert maps["conv", "layercam"][0].tolist() == exact.tolist()


def test_the_number_of_top_channels_is_an_option():
    """Three channels with mean gradients 2, 1 and -1: the best one, the best two, never the third."""
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Conv2D(3, 1, use_bias=False, name="conv"), layers.GlobalAveragePooling2D(), layers.Dense(1, name="out")]
    )
    model.get_layer("conv").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    model.get_layer("out").set_weights([np.array([[2.0], [1.0], [-1.0]]), np.zeros(1)])
    image = np.ones((1, 4, 4, 3), np.float32) * np.array([1, 3, 9], np.float32)
    _, maps = compute(wrap(model), image, ["conv"], ["activation_top:channels=1", "activation_top:channels=2", "activation_top"])
    assert [float(values[0, 0, 0]) for values in maps.values()] == [1.0, 2.0, 2.0]


def test_dead_network_gives_zero_maps_without_nan():
    model = tiny_model()
    model.get_layer("out").set_weights([np.zeros((32, 1)), np.array([5.0])])
    _, maps = compute(wrap(model), np.zeros((2, 8, 8, 3), np.float32), ["conv"], ONE_PASS)
    assert all(not values.any() for values in maps.values())


def network(head: str = "flatten"):
    keras.utils.set_random_seed(4)
    end = [layers.Flatten()] if head == "flatten" else [layers.GlobalAveragePooling2D()]
    return keras.Sequential(
        [
            keras.Input((32, 28, 3)),
            layers.Conv2D(8, 3, 2, activation="relu", name="c0"),
            layers.Conv2D(12, 3, activation="relu", padding="same", name="c1"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(6, 3, activation="relu", name="c2"),
            *end,
            layers.Dense(1, activation="sigmoid", name="out"),
        ]
    )


@pytest.fixture(scope="module")
def detector():
    return wrap(network())


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(0, 2, (3, 32, 28, 3)).astype(np.float32)


def linear_twin(model):
    """The same network with a linear output in a plain functional model, as tf-keras-vis needs it."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.layers[-1].activation = keras.activations.linear
    return keras.Model(twin.inputs, twin.outputs)


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("name", ["c0", "c1", "c2"])
def test_r2_gradcampp_and_layercam_equal_tf_keras_vis(detector, images, name):
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam

    images = images / 20  # their alphas divide by 2 + S g: weak activations keep that far from zero, so that float32 can be compared
    logits, maps = compute(detector, images, [name], ["gradcampp:alphas=normalised", "layercam"])
    options = {"penultimate_layer": name, "expand_cam": False, "normalize_cam": False, "seek_penultimate_conv_layer": False}
    theirs = GradcamPlusPlus(linear_twin(detector.model), clone=True)(lambda out: out[:, 0], images, **options)
    # tf-keras-vis explains exp(logit): one positive factor an image
    assert relative(np.maximum(maps[name, "gradcampp:alphas=normalised"], 0), theirs / np.exp(logits)[:, None, None]) <= 1e-5
    theirs = Layercam(linear_twin(detector.model), clone=True)(lambda out: out[:, 0], images, **options)
    assert relative(maps[name, "layercam"], theirs) <= 1e-5


def test_independent_numpy_formulas(detector, images):
    """Grad-CAM++ as printed, with g², g³ and the division, and XGrad-CAM, from a gradient taken by another model."""
    import tensorflow as tf

    model = linear_twin(detector.model)
    first = keras.Model(model.inputs, model.get_layer("c1").output)
    values = first([images])
    with tf.GradientTape() as tape:
        tape.watch(values)
        x = values
        for name in ("pool", "c2", "flatten", "out"):
            x = next(layer for layer in model.layers if layer.name.startswith(name))(x)
    g, a = tape.gradient(x, values).numpy().astype(np.float64), values.numpy().astype(np.float64)
    total = a.sum((1, 2), keepdims=True)
    alpha = np.divide(g**2, 2 * g**2 + total * g**3, out=np.zeros_like(g), where=g > 0)
    weights = (alpha * np.maximum(g, 0)).sum((1, 2))
    _, maps = compute(detector, images, ["c1"], ["gradcampp", "xgradcam", "layercam", "activation_max"])
    assert relative(maps["c1", "gradcampp"], np.einsum("nhwc,nc->nhw", a, weights)) <= 1e-5
    weights = np.divide((a * g).sum((1, 2)), a.sum((1, 2)), out=np.zeros(weights.shape), where=a.sum((1, 2)) > 0)
    assert relative(maps["c1", "xgradcam"], np.einsum("nhwc,nc->nhw", a, weights)) <= 1e-5
    assert relative(maps["c1", "layercam"], (a * np.maximum(g, 0)).sum(-1)) <= 1e-5
    assert np.array_equal(maps["c1", "activation_max"], values.numpy().max(-1))


def in_float64(model, name, images):
    """A layer's activations and the logit's gradient there, float64 all through, from a copy of the network."""
    import tensorflow as tf

    twin = keras.models.clone_model(model, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": "float64"}))
    twin.set_weights(model.get_weights())
    twin.layers[-1].activation = keras.activations.linear
    place = [layer.name for layer in twin.layers].index(name) + 1
    values = tf.constant(images.astype(np.float64))
    for layer in twin.layers[:place]:
        values = layer(values)
    with tf.GradientTape() as tape:
        tape.watch(values)
        logit = values
        for layer in twin.layers[place:]:
            logit = layer(logit)
    return values.numpy(), tape.gradient(logit, values).numpy()


@pytest.mark.parametrize("name", ["c0", "c1", "c2"])
@pytest.mark.parametrize("brightest", [0.1, 255])
def test_normalised_alphas_as_exactly_as_float32_can(detector, images, name, brightest):
    """They divide by a sum of 1 / (2 + S g), whose terms are huge and of both signs where S g is near -2: float32 loses digits there.

    `condition` says how many times a rounding of S g comes back in a channel's weight: 1 for dim images, up to thousands for bright ones.
    """
    images = images / 2 * np.float32(brightest)
    a, g = in_float64(detector.model, name, images)
    product = a.sum((1, 2), keepdims=True) * g
    alphas = np.where(g == 0, 0, 1 / (2 + product))
    weights = (alphas * np.maximum(g, 0)).sum((1, 2)) / alphas.sum((1, 2))
    condition = (alphas**2 * (2 + np.abs(product))).sum((1, 2)) / np.abs(alphas.sum((1, 2)))
    exact = np.einsum("nhwc,nc->nhw", a, weights)
    _, maps = compute(detector, images, [name], ["gradcampp:alphas=normalised", "gradcampp"])
    for index, own in enumerate(maps[name, "gradcampp:alphas=normalised"]):
        assert relative(own, exact[index]) <= 8 * np.finfo(np.float32).eps * condition[index].max()
    assert condition.max() < 2 if brightest < 1 else condition.max() > 5
    alike = np.corrcoef(maps[name, "gradcampp"].ravel(), exact.ravel())[0, 1]
    assert alike > 0.99 if brightest < 1 else alike < 0.3  # as printed, Grad-CAM++ of a bright image is another picture


def test_xgradcam_sums_to_the_same_as_hirescam(detector, images):
    """Sensitivity: both sum to the layer's sum of activation x gradient, where every channel responds somewhere."""
    _, maps = compute(detector, images, ["c1"], ["xgradcam", "hirescam"])
    assert np.allclose(maps["c1", "xgradcam"].sum((1, 2)), maps["c1", "hirescam"].sum((1, 2)), rtol=1e-4)


def test_r3_real_is_minus_fake_for_every_signed_method(detector, images):
    signed = [name for name in ONE_PASS if METHODS[name].signed]
    _, fake = compute(detector, images, ["c0", "c2"], signed)
    _, real = compute(detector, images, ["c0", "c2"], signed, target="real")
    assert all(np.array_equal(real[pair], -fake[pair]) for pair in fake)


def test_r4_a_constant_on_the_logit_changes_no_map(detector, images):
    shifted = keras.models.clone_model(detector.model)
    weights = detector.model.get_weights()
    weights[-1] = weights[-1] + 40
    shifted.set_weights(weights)
    _, before = compute(detector, images, ["c0", "c2"], ONE_PASS)
    _, after = compute(wrap(shifted), images, ["c0", "c2"], ONE_PASS)
    assert all(np.array_equal(before[pair], after[pair]) for pair in before)


UNLIKE = {
    "hirescam": 0.1,
    "gradient_x_input": 0.1,
    "integrated_gradients:steps=9": 0.1,
    "lrp": 0.15,
    "layercam": 0.3,
    "gradcam": 0.3,
    "xgradcam": 0.3,
}
ALIKE = ["activation", "gradcampp"]  # positive weights leave a channel's picture of the image as it is


@pytest.fixture(scope="module")
def likeness(detector):
    """By method, the mean rank correlation of a smooth image's map with those of networks of other weights.

    Smooth, as a face is: in noise even a picture of the pixels themselves would look unlike from network to network.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.stats import spearmanr

    rng = np.random.default_rng(2)
    smooth = np.stack([gaussian_filter(rng.normal(size=(32, 28, 3)), (4, 4, 0)) for _ in range(6)])
    smooth = ((smooth - smooth.min()) / np.ptp(smooth) * 2).astype(np.float32)
    _, before = compute(detector, smooth, ["c0"], [*ALIKE, *UNLIKE])

    def like(models):
        found = {method: [] for _, method in before}
        for model in models:
            for pair, maps in compute(wrap(model), smooth, ["c0"], [*ALIKE, *UNLIKE])[1].items():
                found[pair[1]] += [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(before[pair], maps, strict=True)]
        return {method: float(np.mean(values)) for method, values in found.items()}

    keras.utils.set_random_seed(99)
    near = keras.models.clone_model(detector.model)
    near.set_weights([value * rng.normal(1, 0.01, value.shape) for value in detector.model.get_weights()])
    return like([keras.models.clone_model(detector.model) for _ in range(12)]), like([near])


@pytest.mark.parametrize("method", UNLIKE)
def test_r10_randomised_weights_give_other_maps(likeness, method):
    """Near 0, where weights that are 1 % off leave the map as it was."""
    random, near = likeness
    assert abs(random[method]) < UNLIKE[method] and near[method] > 0.9


@pytest.mark.parametrize("method", ALIKE)
def test_r10_tells_maps_that_hardly_read_the_weights(likeness, method):
    assert likeness[0][method] > 0.45


def test_fused_and_plain_formulas_agree(detector, images, monkeypatch):
    """Large layers' formulas are compiled into one loop; the numbers are the same."""
    from xai.maps import onepass

    _, plain = compute(detector, images, ["c0", "c1"], ONE_PASS)
    monkeypatch.setattr(onepass, "FUSED", 1)
    _, fused = compute(wrap(detector.model), images, ["c0", "c1"], ONE_PASS)
    for pair in plain:
        assert np.allclose(fused[pair], plain[pair], rtol=1e-4, atol=1e-6 * np.abs(plain[pair]).max()), pair


@settings(max_examples=6, deadline=None)
@given(methods=st.lists(st.sampled_from(ONE_PASS), min_size=1, max_size=5, unique=True))
def test_methods_do_not_depend_on_each_other(methods):
    detector = KEPT.setdefault("detector", wrap(network()))
    batch = np.random.default_rng(5).uniform(0, 2, (2, 32, 28, 3)).astype(np.float32)
    if "all" not in KEPT:
        KEPT["all"] = compute(detector, batch, ["c1"], ONE_PASS)[1]
    for pair, values in compute(detector, batch, ["c1"], methods)[1].items():
        assert np.allclose(values, KEPT["all"][pair], rtol=1e-5, atol=1e-6)


KEPT: dict = {}


def test_float16_input_gives_the_maps_of_float32(detector, images):
    half = images.astype(np.float16)
    _, maps = compute(detector, half, ["c2"], ["hirescam"])
    _, full = compute(detector, half.astype(np.float32), ["c2"], ["hirescam"])
    assert np.array_equal(maps["c2", "hirescam"], full["c2", "hirescam"])
    _, exact = compute(detector, images, ["c2"], ["hirescam"])
    assert relative(maps["c2", "hirescam"], exact["c2", "hirescam"]) < 0.02


def test_options_are_read_with_their_kind():
    assert parse("smoothgrad:samples=8:noise=0.1").options == {"samples": 8, "noise": 0.1, "seed": 0}
    assert parse("occlusion:patch=16").options["patch"] == 16
    spec = parse("integrated_gradients:baseline=a/donor.png:steps=8")
    assert spec.options["baseline"] == "a/donor.png" and spec.text == "integrated_gradients:baseline=donor.png:steps=8"
    assert parse("integrated_gradients:baseline=donor.png").options["baseline"] == "donor.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gradcamm", "method 'gradcamm' is not known; expected auto or activation"),
        ("gradcam:masks=3", "method 'gradcam' has no option 'masks'; expected none, it has no options"),
        ("rise:masks=many", "option 'masks' of method 'rise' is 'many'; expected a whole number"),
        ("rise:keep=x", "expected a number"),
        ("rise:seed=-1", "option 'seed' of method 'rise' is '-1'; expected a whole number from 0"),
        ("smoothgrad:noise=nan", "option 'noise' of method 'smoothgrad' is 'nan'; expected a number"),
        ("lime:ridge=inf", "expected a number"),
        ("rise:masks=0", "method 'rise:masks=0': 0 masks; expected 2 or more"),
        ("rise:masks", "has no option 'masks'; expected masks"),
        ("gradcampp:alphas=mine", "expected paper or normalised"),
        ("activation_top:channels=0", "expected 1 or more"),
    ],
)
def test_errors(tiny, tiny_image, text, message):
    with pytest.raises(WhyfakeError, match=message):
        compute(tiny, tiny_image, ["conv"], [text])


def test_maps_that_are_not_finite_are_refused():
    """A square root at 0 has an infinite slope, though the logit is finite."""
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="zeros", name="conv")(image)
    x = keras.ops.sqrt(layers.ReLU()(x))
    model = keras.Model(image, layers.Dense(1, activation="sigmoid", kernel_initializer="ones")(layers.Flatten()(x)))
    with pytest.raises(WhyfakeError, match="method 'saliency' gives NaN or infinity at 'input'"):
        compute(wrap(model), np.ones((1, 4, 4, 3), np.float32), [], ["saliency"])


def test_a_seed_reaches_every_method_that_draws(detector):
    from xai.maps.methods import resolve

    asked = ["hirescam", "rise:masks=20", "rise:masks=30:seed=1"]
    assert resolve(asked, detector, seed=7) == ("hirescam", "rise:masks=20:seed=7", "rise:masks=30:seed=1")
    assert resolve(asked, detector) == tuple(asked)
