"""Maps of the image from gradients: closed forms, completeness, and tf-keras-vis as an independent implementation."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import compute
from tests.xai.test_cam import linear_twin, network, relative
from xai import wrap
from xai.errors import WhyfakeError
from xai.maps.mapped import compute as mapped

WEIGHTS = np.arange(1, 13, dtype=np.float32).reshape(2, 2, 3) - 6  # of a linear network on 2 x 2 images
IMAGE = np.array([[[1, 2, 3], [0, 1, 0]], [[5, 0, 0], [2, 2, 2]]], np.float32)


@pytest.fixture(scope="module")
def linear():
    """logit = sum of WEIGHTS x pixels + 7."""
    model = keras.Sequential([keras.Input((2, 2, 3)), layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    model.layers[-1].set_weights([WEIGHTS.reshape(-1, 1), np.array([7.0])])
    return wrap(model)


@pytest.fixture(scope="module")
def detector():
    return wrap(network())


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(0, 2, (3, 32, 28, 3)).astype(np.float32)


def one(detector, images, method):
    found = mapped(detector, images, [], [method])
    ((pair, values),) = found.maps.items()
    return values, found.extras.get(pair, {})


def test_r7_linear_network_by_hand(linear):
    batch = IMAGE[None]
    assert one(linear, batch, "saliency")[0][0].tolist() == np.abs(WEIGHTS).max(-1).tolist()
    assert one(linear, batch, "gradient_x_input")[0][0].tolist() == (WEIGHTS * IMAGE).sum(-1).tolist()
    assert one(linear, batch, "smoothgrad")[0][0].tolist() == np.abs(WEIGHTS).max(-1).tolist()
    assert not one(linear, batch, "vargrad")[0].any()  # the gradient is the same everywhere
    for baseline, start in (("black", 0), ("mean", IMAGE.mean((0, 1)))):
        values, extras = one(linear, batch, f"integrated_gradients:steps=2:baseline={baseline}")
        assert np.allclose(values[0], (WEIGHTS * (IMAGE - start)).sum(-1))
        assert extras["completeness_error"][0] == pytest.approx(0, abs=1e-5)
        assert extras["baseline_logit"][0] == pytest.approx((WEIGHTS * start).sum() + 7, abs=1e-5)


def test_gradient_x_input_sums_to_the_logit_without_biases(detector, images):
    logits, maps = compute(detector, images, [], ["gradient_x_input"])
    assert np.allclose(maps["input", "gradient_x_input"].sum((1, 2)), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("baseline", ["black", "mean", "blur"])
def test_r5_integrated_gradients_sum_to_the_difference_of_logits(detector, images, baseline):
    values, extras = one(detector, images, f"integrated_gradients:steps=128:baseline={baseline}")
    gap = detector.logits(images) - extras["baseline_logit"]
    assert np.allclose(values.sum((1, 2)) - gap, extras["completeness_error"], atol=1e-5)
    assert np.abs(extras["completeness_error"]).max() <= 0.01 * np.abs(gap).max()


def test_integrated_gradients_against_a_plain_loop(detector, images):
    """The trapezoidal rule written out, with tf-free gradients taken image by image."""
    import tensorflow as tf

    twin = linear_twin(detector.model)
    total = np.zeros((32, 28, 3))
    for step, share in enumerate(np.linspace(0, 1, 9)):
        point = tf.constant((share * images[:1]).astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(point)
            logit = twin([point])
        total += tape.gradient(logit, point).numpy()[0] / 8 * (0.5 if step in (0, 8) else 1)
    values, _ = one(detector, images[:1], "integrated_gradients:steps=9")
    assert relative(values[0], (total * images[0]).sum(-1)) <= 1e-5


def test_integrated_gradients_from_a_donor(detector, images, tmp_path):
    from PIL import Image

    donor = np.random.default_rng(0).integers(0, 255, (32, 28, 3), np.uint8)
    Image.fromarray(donor).save(tmp_path / "donor.png")
    _, extras = one(detector, images, f"integrated_gradients:baseline={tmp_path / 'donor.png'}")
    assert np.allclose(extras["baseline_logit"], detector.logits(donor[None].astype(np.float32)), rtol=1e-4)


def test_r2_saliency_equals_tf_keras_vis(detector, images):
    import tensorflow as tf
    from tf_keras_vis.saliency import Saliency

    theirs = Saliency(linear_twin(detector.model), clone=True)(
        lambda out: out[:, 0], [tf.constant(images)], gradient_modifier=tf.abs, normalize_map=False
    )
    values, _ = one(detector, images, "saliency")
    assert relative(values, np.asarray(theirs).reshape(values.shape)) <= 1e-5


def test_smoothgrad_and_vargrad_against_a_plain_loop(detector, images):
    from xai.maps.gradients import gradients

    generator = np.random.default_rng(3)
    spread = 0.1 * (images[0].max() - images[0].min())
    slopes = [gradients(detector, images[:1] + spread * generator.standard_normal((1, 32, 28, 3), np.float32), 1)[0] for _ in range(6)]
    values, _ = one(detector, images[:1], "smoothgrad:samples=6:noise=0.1:seed=3")
    assert relative(values[0], np.abs(np.mean(slopes, 0)).max(-1)) <= 1e-5
    values, _ = one(detector, images[:1], "vargrad:samples=6:noise=0.1:seed=3")
    assert relative(values[0], np.var(slopes, 0).mean(-1)) <= 1e-4


@pytest.mark.parametrize("method", ["saliency", "gradient_x_input", "smoothgrad:samples=5", "vargrad:samples=5", "integrated_gradients:steps=7"])
def test_batch_equals_singles_and_pass_size_does_not_matter(detector, images, method, monkeypatch):
    from xai.maps import mapped as module

    whole, _ = one(detector, images, method)
    for index in range(len(images)):
        single, _ = one(detector, images[index : index + 1], method)
        assert np.allclose(single[0], whole[index], rtol=1e-4, atol=1e-6 * np.abs(whole).max())
    monkeypatch.setattr(module, "fitting", lambda detector: 2)
    small, _ = one(detector, images, method)
    assert np.allclose(small, whole, rtol=1e-4, atol=1e-6 * np.abs(whole).max())


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
def test_r3_real_is_minus_fake(detector, images, method):
    _, fake = compute(detector, images, [], [method])
    _, real = compute(detector, images, [], [method], target="real")
    assert np.array_equal(real["input", method], -fake["input", method])


@pytest.mark.parametrize("method", ["saliency", "gradient_x_input", "smoothgrad", "vargrad", "integrated_gradients"])
def test_r4_a_saturated_detector_keeps_its_maps(detector, images, method):
    shifted = keras.models.clone_model(detector.model)
    weights = detector.model.get_weights()
    weights[-1] = weights[-1] + 40
    shifted.set_weights(weights)
    assert np.array_equal(one(detector, images, method)[0], one(wrap(shifted), images, method)[0])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("integrated_gradients:steps=1", "2 steps or more; got 1"),
        ("integrated_gradients:baseline=grey", "'grey' is neither mean, black, blur nor an image"),
        ("smoothgrad:samples=0", "expected 1 or more"),
        ("smoothgrad:noise=-1.0", "noise of 0 or more"),
    ],
)
def test_errors(linear, method, message):
    with pytest.raises(WhyfakeError, match=message):
        one(linear, IMAGE[None], method)
