"""All layers and all methods from one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xai.detector import Detector, finite
from xai.errors import LayerError, WhyfakeError, listed
from xai.maps.cam import METHODS

Maps = dict[tuple[str, str], np.ndarray]


def compute(
    detector: Detector,
    images: np.ndarray,
    layers: Sequence[str],
    methods: Sequence[str],
    target: str = "fake",
) -> tuple[np.ndarray, Maps]:
    """Map a batch: every layer x method at once.

    Args:
        detector: the detector; its compiled pass is kept for the next batch.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        layers: names from `detector.select`.
        methods: names from `METHODS`.
        target: "fake", or "real" for the opposite sign of every method that uses the gradient.

    Returns:
        The logits of fake `(N,)` and, by (layer, method), float32 `(N, h, w)` maps.

    Raises:
        WhyfakeError: an unknown method or target.
        LayerError: an unknown layer, or one that the logit does not depend on.
    """
    key = (tuple(layers), tuple(methods), target)
    if key not in detector.compiled:
        detector.compiled[key] = build(detector, *key)
    logits, maps = detector.compiled[key](tf.convert_to_tensor(images, tf.float32))
    pairs = [(layer, method) for layer in layers for method in methods]
    return finite(logits.numpy()), {pair: values.numpy() for pair, values in zip(pairs, maps, strict=True)}


def build(detector: Detector, layers: tuple[str, ...], methods: tuple[str, ...], target: str) -> Callable[[Any], Any]:
    """Compile the pass: images -> (logits, maps in the order layer by layer, method by method)."""
    for method in methods:
        if method not in METHODS:
            raise WhyfakeError(f"method '{method}' is not known; expected {listed(METHODS)}")
    for layer in layers:
        if layer not in detector.layers:
            raise LayerError(f"layer '{layer}' cannot be mapped; expected {listed(detector.layers)}")
    if target not in ("fake", "real"):
        raise WhyfakeError(f"target '{target}' is not known; expected fake or real")
    backward = any(METHODS[method].gradient for method in methods)

    def one_pass(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            activations, logits = trace(detector, images, layers, tape if backward else None)
            aim = logits if target == "fake" else -logits
        sources = [activations[layer] for layer in layers]
        gradients = tape.gradient(aim, sources) if backward else [None] * len(layers)
        maps = []
        for layer, gradient in zip(layers, gradients, strict=True):
            if backward and gradient is None:
                raise LayerError(f"the logit does not depend on layer '{layer}'; leave it out")
            values = tf.cast(activations[layer], tf.float32)
            slope = tf.cast(gradient, tf.float32) if backward else None
            maps += [METHODS[method].formula(values, slope) for method in methods]
        return logits, maps

    shape = (None, *detector.size, 3)
    return tf.function(one_pass, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)


def trace(detector: Detector, images: Any, layers: Sequence[str], tape: Any | None = None) -> tuple[dict[str, Any], Any]:
    """Run the network, keeping the named layers' outputs `(N, h, w, C)`, and return the logits `(N,)`."""
    wanted, kept = set(layers), {}
    values = {detector.graph.inputs[0]: images}
    for step in detector.graph.run(values, until=detector.head.step.outputs[0]):
        if step.name in wanted:
            kept[step.name] = values[step.outputs[0]]
            if tape is not None:
                tape.watch(kept[step.name])
    missing = wanted - set(kept)
    if missing:
        raise LayerError(f"the logit does not depend on layer '{missing.pop()}'; leave it out")
    return kept, detector.head.logit(detector.graph, values, detector.sign)


def activations(detector: Detector, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """Return every channel of the named layers.

    Args:
        detector: the detector.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        layers: names from `detector.select`.

    Returns:
        By layer, float32 `(N, h, w, C)`.
    """
    kept, _ = trace(detector, tf.convert_to_tensor(images, tf.float32), layers)
    return {name: tf.cast(values, tf.float32).numpy() for name, values in kept.items()}


def batch_size(detector: Detector) -> int:
    """Return how many images go through the pass at once: about four million pixels, 32 at most."""
    height, width = detector.size
    return int(np.clip(4 * 1024 * 1024 // (height * width), 1, 32))
