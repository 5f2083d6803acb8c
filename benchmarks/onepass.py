"""Five convolutions at 1024 x 1024: one pass of ours against one tf-keras-vis call per layer.

Both explain the same linear output of the same `alexnet18` on the same images. Each
round times both in turn, so a drifting machine hits both; the ratio is the median of
the rounds' ratios. The maps are compared as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZE, BATCH, ROUNDS = 1024, 4, 7


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def setting() -> tuple[Any, Any, np.ndarray, list[str]]:
    """Return the detector, its linear twin for tf-keras-vis, a batch of images and the layers."""
    import keras

    from models import build
    from xai import wrap

    keras.utils.set_random_seed(0)
    model = build("alexnet18", SIZE)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.layers[-1].activation = keras.activations.linear
    detector = wrap(model)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    return detector, keras.Model(twin.inputs, twin.outputs), images, detector.select("conv")


def bare(detector: Any, layers: list[str]) -> Callable[[Any], Any]:
    """Return the least that any method needs: the compiled forward pass and the gradients at all layers."""
    import tensorflow as tf

    from xai.maps.onepass import trace

    @tf.function(autograph=False)
    def work(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            kept, logits = trace(detector, images, layers, tape)
        # a sum keeps the gradients from being pruned and from being copied out
        return logits, [tf.reduce_sum(slope) for slope in tape.gradient(logits, [kept[layer] for layer in layers])]

    return work


def compare() -> dict[str, float]:
    """Return the ratios and the largest relative difference of the Grad-CAM maps."""
    from tf_keras_vis.gradcam import Gradcam

    from xai.maps.mapped import compute

    detector, twin, images, layers = setting()
    other = Gradcam(twin, clone=True)

    def theirs() -> dict[str, np.ndarray]:
        return {
            layer: other(
                lambda out: out[:, 0], images, penultimate_layer=layer, seek_penultimate_conv_layer=False, expand_cam=False, normalize_cam=False
            )
            for layer in layers
        }

    def ours() -> Any:
        return compute(detector, images, layers, ["gradcam", "hirescam"])

    least = bare(detector, layers)
    maps, references = ours().maps, theirs()
    least(images)
    gap = max(
        float(np.abs(np.maximum(maps[layer, "gradcam"], 0) - references[layer]).max() / max(np.abs(references[layer]).max(), 1e-30))
        for layer in layers
    )
    rounds = [(timed(ours), timed(theirs), timed(lambda: least(images))) for _ in range(ROUNDS)]
    ours_s, theirs_s, least_s = (float(np.median(column)) for column in zip(*rounds, strict=True))
    return {
        "ours, ms an image": ours_s / BATCH * 1000,
        "tf-keras-vis, ms an image": theirs_s / BATCH * 1000,
        "bare forward + gradient, ms an image": least_s / BATCH * 1000,
        "tf-keras-vis / ours": float(np.median([b / a for a, b, _ in rounds])),
        "ours / bare": float(np.median([a / c for a, _, c in rounds])),
        "largest relative difference of Grad-CAM": gap,
    }
