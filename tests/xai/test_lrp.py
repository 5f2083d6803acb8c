"""Layer-wise relevance propagation against hand-computed numbers, identities and plain NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from models import NAMES, build
from models.autoencoder import encoder
from xai import wrap
from xai.errors import LayerError, ModelError, WhyfakeError
from xai.maps import lrp as module
from xai.maps.lrp import COMPOSITES


def lrp(*args, **options):
    return module.lrp(*args, **options).maps


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def pictures(count, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, height, width, 3)).astype(np.float32)


def tiny(shape, body, *weights):
    """Return a detector of that input and these layers, their weights given as flat lists."""
    model = keras.Sequential([keras.Input(shape), *body])
    model.set_weights([np.reshape(np.array(values, np.float32), place.shape) for place, values in zip(model.weights, weights, strict=True)])
    return wrap(model)


@pytest.fixture(scope="module")
def integers():
    """Two pixels, of which red counts, two 1 x 1 convolutions, one unit; all weights are integers.

    First convolution, two channels: red, and red - 6, ReLU. Second: p - q, and q - p, ReLU.
    The unit adds 2 x first - 4 x second over both pixels.
    """
    body = [layers.Conv2D(2, 1, activation="relu"), layers.Conv2D(2, 1, activation="relu", use_bias=False), layers.Flatten()]
    unit = layers.Dense(1, "sigmoid")
    return tiny((1, 2, 3), [*body, unit], [1, 1, 0, 0, 0, 0], [0, -6], [1, -1, -1, 1], [2, -4, 2, -4], [1])


REDS = np.array([[[[8, 0, 0], [2, 0, 0]]]], np.float32)
# first: (8, 2) and (2, 0); second: (8 - 2, 0) and (2, 0); logit: 2 * 6 + 2 * 2 + 1 = 17, of which the bias keeps 1


def test_hand_computed_epsilon(integers):
    """The unit hands 12 and 4 to the pixels' first channels of the second convolution.

    Pixel 0: 12 goes to p = 8 and q = 2 as 8 / 6 and -2 / 6: 16 and -4. p is red alone: 16. q is
    red - 6 = 2: red gets 8 / 2 of -4, -16, and the bias the rest. Together 0. Pixel 1: 4, all to red.
    """
    assert integers.logits(REDS).tolist() == [17]
    assert np.allclose(lrp(integers, REDS, composite="epsilon"), [[[0, 4]]], atol=1e-4)
    assert np.allclose(lrp(integers, REDS), [[[12, 4]]], atol=1e-4)  # flat: all that reached a cell is its one pixel's


def test_hand_computed_gamma_and_flat():
    """One row of three pixels, both convolutions read two cells, no biases.

    Cells: a = 1 + 2 = 3 and b = 2 + 3 = 5 (red sums). The second convolution reads both as 2 a - b = 1.
    Gamma 1: 4 a - b = 7, so a gets 12 / 7 and b -5 / 7 of the logit 1. Flat: pixels get a / 2, (a + b) / 2, b / 2.
    Epsilon: a gets 6, b -5; red 1 gets 6 * 1 / 3, red 2 gets 6 * 2 / 3 - 5 * 2 / 5, red 3 gets -5 * 3 / 5.
    """
    first, second = (layers.Conv2D(1, (1, 2), activation=name, use_bias=False) for name in ("relu", None))
    body = [first, second, layers.Flatten(), layers.Dense(1, "sigmoid", use_bias=False)]
    detector = tiny((1, 3, 3), body, [1, 0, 0, 1, 0, 0], [2, -1], [1])
    image = np.array([[[[1, 0, 0], [2, 0, 0], [3, 0, 0]]]], np.float32)
    assert np.allclose(lrp(detector, image, gamma=1), [[[6 / 7, (12 - 5) / 14, -5 / 14]]], atol=1e-5)
    assert np.allclose(lrp(detector, image, composite="epsilon"), [[[2, 4 - 2, -3]]], atol=1e-4)


def test_epsilon_is_relative_to_the_layer():
    """One layer: z = 3 and 4 on two units whose root mean square is sqrt(12.5); a map is z / (z + epsilon rms) of each logit."""
    detector = tiny((1, 1, 3), [layers.Flatten(), layers.Dense(2, "softmax", use_bias=False)], [3, 4, 0, 0, 0, 0])
    image = np.array([[[[1, 0, 0]]]], np.float32)
    size = np.sqrt(12.5)
    for scale in (1, 1000):
        expected = scale * (4 * 4 / (4 + 0.5 * size) - 3 * 3 / (3 + 0.5 * size))
        assert np.allclose(lrp(detector, scale * image, epsilon=0.5), expected, rtol=1e-5)


def bias_free(units=1):
    """A random ReLU network without biases: padding, strides, a maximum, a sum of branches, batch normalisation, means."""
    keras.utils.set_random_seed(4)
    image = keras.Input((20, 18, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(6, 3, 2, padding="same", use_bias=False, activation="relu")(x)
    y = layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
    y = layers.LeakyReLU(0.1)(layers.BatchNormalization()(y))
    z = layers.SeparableConv2D(6, 3, padding="same", use_bias=False, depth_multiplier=2)(x)
    x = layers.Activation("relu")(layers.Add()([x, y, z]))
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(x))
    w = layers.DepthwiseConv2D(3, use_bias=False, depth_multiplier=2, padding="same")(x)
    x = layers.Concatenate()([layers.BatchNormalization()(w), layers.Cropping2D(0)(x)])
    x = layers.AveragePooling2D(2)(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Dense(9, use_bias=False, activation="relu")(x)
    return wrap(keras.Model(image, layers.Dense(units, "sigmoid" if units == 1 else "softmax", use_bias=False)(x)))


def gradient_times_input(detector, images):
    """The logit's gradient through the model itself, times the pixels, summed over colours."""
    final = detector.model.layers[-1]
    body = keras.Model(detector.model.inputs, final.input)
    pixels = tf.Variable(images)
    with tf.GradientTape() as tape:
        logits = tf.matmul(body(pixels), final.kernel)
        logit = logits[:, -1] - (logits[:, 0] if final.units == 2 else 0)
    return (tape.gradient(logit, pixels) * pixels).numpy().sum(-1)


@pytest.mark.parametrize("units", [1, 2])
def test_epsilon_without_biases_is_gradient_times_input_and_conserves(units):
    detector = bias_free(units)
    images = pictures(3, 20, 18)
    maps = lrp(detector, images, composite="epsilon", epsilon=1e-9)
    assert relative(maps, gradient_times_input(detector, images)) < 1e-4
    for composite in COMPOSITES:
        assert relative(lrp(detector, images, composite=composite).sum((1, 2)), detector.logits(images)) < 1e-4


def windows(x, side, stride):
    """Yield every cell of a valid convolution or pool with the window that it reads."""
    for i in range((x.shape[0] - side) // stride + 1):
        for j in range((x.shape[1] - side) // stride + 1):
            yield (i, j), (slice(i * stride, i * stride + side), slice(j * stride, j * stride + side))


def convolve(x, kernel, bias, stride):
    cells = {cell: np.tensordot(x[window], kernel, 3) + bias for cell, window in windows(x, len(kernel), stride)}
    rows, columns = (last + 1 for last in max(cells))
    return np.array(list(cells.values())).reshape(rows, columns, -1)


def back(x, kernel, bias, stride, relevance, epsilon, gamma):
    """Share out a convolution's relevance, one cell after the other; gamma 0 is the epsilon rule."""
    z = convolve(x, kernel, bias, stride)
    cells = list(windows(x, len(kernel), stride))
    parts = [x[window][..., None] * kernel for _, window in cells]
    parts = [part * np.where(part * z[cell] > 0, 1 + gamma, 1) for part, (cell, _) in zip(parts, cells, strict=True)]
    bias = bias * np.where(bias * z > 0, 1 + gamma, 1)
    divisor = np.array([part.sum((0, 1, 2)) for part in parts]).reshape(z.shape) + bias
    divisor += np.sign(divisor) * epsilon * np.sqrt((divisor**2).mean())
    given = np.zeros_like(x)
    for part, (cell, window) in zip(parts, cells, strict=True):
        given[window] += (part * relevance[cell] / divisor[cell]).sum(-1)
    return given


def by_hand(model, image, composite, epsilon, gamma):
    """The whole propagation through the network below, in float64 and without TensorFlow."""
    weights = [np.asarray(value, np.float64) for value in model.get_weights()]
    (k0, b0), (k1, b1), (k2, b2), (k3, b3) = [weights[i : i + 2] for i in range(0, 8, 2)]
    x0 = np.asarray(image, np.float64) / 255
    x1 = np.maximum(convolve(x0, k0, b0, 2), 0)
    x2 = convolve(x1, k1, b1, 1)  # no activation: the pool reads values of both signs
    pooled = {cell: x2[window].max((0, 1)) for cell, window in windows(x2, 2, 2)}
    x3 = np.array(list(pooled.values())).reshape(3, 3, -1)
    x4 = np.maximum(convolve(x3, k2, b2, 1), 0)
    head = k3.reshape(*x4.shape, 1)  # a dense layer is a convolution of one cell
    gamma = 0 if composite == "epsilon" else gamma
    r4 = back(x4, head, b3, 1, convolve(x4, head, b3, 1), epsilon, 0)
    r3 = back(x3, k2, b2, 1, r4, epsilon, gamma)
    r2 = np.zeros_like(x2)
    for cell, window in windows(x2, 2, 2):
        r2[window] += np.where(x2[window] == pooled[cell], r3[cell], 0)
    r1 = back(x1, k1, b1, 1, r2, epsilon, gamma)
    if composite == "epsilon":
        return back(x0, k0, b0, 2, r1, epsilon, 0).sum(-1)
    return back(np.ones_like(x0), np.ones_like(k0), 0 * b0, 2, r1, 0, 0).sum(-1)


@pytest.fixture(scope="module")
def small():
    """Valid convolutions with biases and strides, one without activation, a maximum, a dense head."""
    keras.utils.set_random_seed(5)
    body = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, 2, activation="relu", bias_initializer="normal", name="c0"),
        layers.Conv2D(5, 2, bias_initializer="normal", name="c1"),
        layers.MaxPooling2D(2),
        layers.Conv2D(6, 2, activation="relu", bias_initializer="normal", name="c2"),
        layers.Flatten(),
    ]
    return wrap(keras.Sequential([keras.Input((17, 17, 3)), *body, layers.Dense(1, "sigmoid", bias_initializer="normal")]))


@pytest.mark.parametrize(
    ("composite", "epsilon", "gamma"), [("epsilon", 0.1, 0.25), ("epsilon-gamma-flat", 0.1, 0.25), ("epsilon-gamma-flat", 1e-6, 2.0)]
)
def test_independent_numpy_implementation(small, composite, epsilon, gamma):
    images = pictures(2, 17, 17)
    expected = np.stack([by_hand(small.model, image, composite, epsilon, gamma) for image in images])
    assert relative(lrp(small, images, composite=composite, epsilon=epsilon, gamma=gamma), expected) <= 1e-4


@pytest.mark.parametrize("name", [*(name for name in NAMES if name != "autoencoder"), "transfer:MobileNetV2", "transfer:ResNet50"])
def test_every_network_conserves_the_logit_while_biases_are_zero(name):
    """Fresh networks have no biases, and batch normalisation with mean 0; rounding is measured against all that flows."""
    keras.utils.set_random_seed(0)
    size = 256 if name == "alexnet18" else 32  # the smallest that it takes
    options = {"encoder-classifier": {"encoder": encoder(size), "head": "conv"}}.get(name, {"weights": "none"} if ":" in name else {})
    detector = wrap(build(name, size, **options))
    images = pictures(1, size, size)
    maps = lrp(detector, images)
    assert maps.shape == (1, size, size) and maps.dtype == np.float32
    assert np.isfinite(maps).all() and maps.any()
    assert np.allclose(maps.sum((1, 2)), detector.logits(images), rtol=1e-3, atol=1e-5 * np.abs(maps).sum())


def test_batch_normalisation_counts_as_one_layer_with_its_convolution():
    """The same numbers as a network whose convolution was scaled and shifted beforehand."""
    keras.utils.set_random_seed(6)
    shape, rng = (10, 10, 3), np.random.default_rng(1)
    first = [layers.Conv2D(4, 3, activation="relu"), layers.DepthwiseConv2D(3, depth_multiplier=2)]
    end = [layers.ReLU(), layers.Flatten(), layers.Dense(1, "sigmoid")]
    norm = layers.BatchNormalization(epsilon=0.0)
    plain = keras.Sequential([keras.Input(shape), *(type(layer).from_config(layer.get_config()) for layer in [*first, *end])])
    model = keras.Sequential([keras.Input(shape), *first, norm, *end])
    scale, shift, mean, deviation = (rng.normal(size=8) for _ in range(4))
    norm.set_weights([scale, shift, mean, deviation**2])
    kernel, bias = first[1].get_weights()
    factor = scale / np.abs(deviation)
    for old, new in zip([*first, *end], plain.layers, strict=True):
        new.set_weights(old.get_weights())
    plain.layers[1].set_weights([kernel * factor.reshape(4, 2), (bias - mean) * factor + shift])
    for composite in COMPOSITES:
        assert relative(*(lrp(wrap(network), pictures(2, 10, 10), composite=composite) for network in (model, plain))) < 1e-4


def test_a_nested_backbone_gives_the_same_map(small):
    """The small network again with its convolutions in a nested model, behind what `preprocess_input` leaves."""
    image = keras.Input((17, 17, 3))
    parts = [type(layer).from_config(layer.get_config()) for layer in small.model.layers[1:]]
    body, end = keras.Sequential([keras.Input(image.shape[1:]), *parts[:4]]), keras.Sequential(parts[4:])
    model = keras.Model(image, end(body(image / 127.5 - 1)))
    model.set_weights(small.model.get_weights())
    images = pictures(2, 17, 17)
    assert relative(lrp(wrap(model), (images / 255 + 1) * 127.5), lrp(small, images)) < 1e-4


@pytest.mark.parametrize("composite", COMPOSITES)
def test_batch_equals_singles(small, composite):
    images = pictures(5, 17, 17)
    maps = lrp(small, images, composite=composite)
    singles = np.concatenate([lrp(small, image[None], composite=composite) for image in images])
    assert relative(singles, maps) < 1e-5
    assert np.array_equal(lrp(small, images, composite=composite, batch_size=1), singles)
    assert lrp(small, images[:0], composite=composite).shape == (0, 17, 17)


def test_a_model_whose_one_means_real_has_the_opposite_sign(small):
    images = pictures(2, 17, 17)
    assert np.array_equal(lrp(wrap(small.model, positive="real"), images), -lrp(small, images))


def test_two_units_explain_their_difference():
    """By the epsilon rule two softmax units hand back what one unit with the difference of their weights does."""
    two = bias_free(2)
    body = keras.Model(two.model.inputs, two.model.layers[-1].input)
    unit = layers.Dense(1, "sigmoid", use_bias=False)
    one = wrap(keras.Model(body.inputs, unit(body.output)))
    kernel = two.model.layers[-1].get_weights()[0]
    unit.set_weights([kernel[:, 1:] - kernel[:, :1]])
    images = pictures(2, 20, 18)
    for composite in COMPOSITES:
        assert relative(lrp(two, images, composite=composite), lrp(one, images, composite=composite)) < 1e-4


def test_mixed_precision_gives_float32_relevance(small):
    parts = [type(layer).from_config(layer.get_config() | {"dtype": "mixed_bfloat16"}) for layer in small.model.layers]
    mixed = keras.Sequential([keras.Input((17, 17, 3)), *parts])
    mixed.set_weights(small.model.get_weights())
    maps = lrp(wrap(mixed), pictures(2, 17, 17))
    assert mixed.layers[1].compute_dtype == "bfloat16" and maps.dtype == np.float32
    assert relative(maps, lrp(small, pictures(2, 17, 17))) < 0.1


def gated(kind):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="swish" if kind == "swish" else "relu", name="conv")(image)
    if kind == "gate":
        x = layers.Multiply(name="gate")([x, layers.Conv2D(4, 1, activation="linear")(x)])
    if kind == "attention":
        x = layers.MultiHeadAttention(1, 2, name="look")(x, x)
    if kind == "inverse":
        x = 1.0 / (x + 1.0)
    if kind == "channels":
        x = layers.BatchNormalization(axis=1, name="rows")(x)
    return wrap(keras.Model(image, layers.Dense(1, "sigmoid")(layers.Flatten()(x))))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("swish", r"layer 'conv' \(Conv2D with activation silu\) has no rule to hand relevance on; expected convolutions, .*'hirescam'"),
        ("gate", r"layer 'gate' \(Multiply of 2 inputs\) has no rule"),
        ("attention", r"layer 'look' \(MultiHeadAttention\) has no rule"),
        ("inverse", r"layer 'true_divide\w*' \(TrueDivide of a constant by it\) has no rule"),
        ("channels", r"layer 'rows' \(BatchNormalization over another axis than the last\) has no rule"),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(kind, message):
    detector = gated(kind)
    with pytest.raises(LayerError, match=message):
        lrp(detector, pictures(1, 8, 8))
    assert not detector.compiled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"composite": "alpha-beta"}, "composite 'alpha-beta' is not known; expected epsilon-gamma-flat, epsilon"),
        ({"epsilon": -1.0}, "epsilon is -1.0; expected a number, 0 or more"),
        ({"gamma": float("nan")}, "gamma is nan; expected a number, 0 or more"),
        ({"batch_size": 0}, "batch_size is 0; expected a number, 1 or more"),
    ],
)
def test_impossible_options(integers, options, message):
    with pytest.raises(WhyfakeError, match=message):
        lrp(integers, REDS, **options)


def test_a_broken_model_is_an_error(integers):
    model = keras.models.clone_model(integers.model)
    model.set_weights([weights * np.nan for weights in integers.model.get_weights()])
    with pytest.raises(ModelError, match="NaN or infinity"):
        lrp(wrap(model), REDS)


def test_the_model_is_not_changed_and_the_pass_is_compiled_once(small):
    images = pictures(2, 17, 17)
    before = [value.copy() for value in small.model.get_weights()]
    kept = [(getattr(layer, "activation", None), len(layer._inbound_nodes)) for layer in small.model.layers]
    small.compiled.clear()
    lrp(small, images)
    lrp(small, images[:1])
    assert all(np.array_equal(a, b) for a, b in zip(before, small.model.get_weights(), strict=True))
    assert kept == [(getattr(layer, "activation", None), len(layer._inbound_nodes)) for layer in small.model.layers]
    ((key, function),) = small.compiled.items()
    assert key[0] == "lrp" and function.experimental_get_tracing_count() == 1


def test_new_weights_are_seen():
    """Weights are read when a map is made, not when the pass is compiled."""
    detector = tiny((1, 1, 3), [layers.Flatten(), layers.Dense(1, "sigmoid", use_bias=False)], [0, 0, 0])
    for weight in (1.0, 5.0):
        detector.model.layers[-1].set_weights([np.full((3, 1), weight, np.float32)])
        assert np.allclose(lrp(detector, np.ones((1, 1, 1, 3), np.float32)), 3 * weight, rtol=1e-4)
