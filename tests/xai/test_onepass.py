"""The one pass over batches of changing length."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.conftest import compute
from xai import wrap
from xai.maps import onepass

METHODS = ["activation", "gradcam", "gradcampp", "xgradcam", "hirescam", "layercam"]


def test_short_batches_are_filled_up_to_one_that_was_met():
    lengths = []

    def run(images):
        lengths.append(len(images))
        return tf.reduce_sum(tf.convert_to_tensor(images), (1, 2, 3)), [tf.convert_to_tensor(images)[..., 0]]

    work, images = onepass.Filled(run), np.random.default_rng(0).normal(size=(9, 4, 4, 3)).astype(np.float32)
    for count in (4, 3, 2, 1, 1, 5, 9, 8, 3):
        logits, maps = work(images[:count])
        assert np.allclose(logits, images[:count].sum((1, 2, 3)), rtol=1e-5)
        assert np.array_equal(maps[0], images[:count, ..., 0])
    assert lengths == [4, 4, 4, 1, 1, 5, 9, 9, 4]  # each length met once is compiled; none costs more than twice its images


@pytest.mark.parametrize("smallest", [1, 10**9])
def test_filled_or_not_the_maps_are_those_of_each_image(monkeypatch, smallest):
    monkeypatch.setattr(onepass, "FUSED", smallest)
    keras.utils.set_random_seed(0)
    body = [layers.Conv2D(4, 3, 2, activation="relu", name="c0"), layers.Conv2D(3, 3, activation="relu", name="c1"), layers.Flatten()]
    detector = wrap(keras.Sequential([keras.Input((16, 16, 3)), *body, layers.Dense(1, activation="sigmoid")]))
    images = np.random.default_rng(0).uniform(0, 2, (4, 16, 16, 3)).astype(np.float32)
    logits, maps = compute(detector, images, ["c0", "c1"], METHODS)
    kept = detector.compiled["one pass", ("c0", "c1"), tuple(METHODS), "fake"]
    assert isinstance(kept, onepass.Filled) == (smallest == 1)
    for count in (3, 1, 2):
        some, few = compute(detector, images[:count], ["c0", "c1"], METHODS)
        assert np.allclose(some, logits[:count], rtol=1e-5)
        for pair, values in few.items():
            assert values.shape[0] == count and np.allclose(values, maps[pair][:count], rtol=1e-4, atol=1e-6)
