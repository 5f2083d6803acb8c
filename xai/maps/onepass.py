"""All layers and all methods from one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xai.detector import Detector
from xai.errors import LayerError, listed
from xai.maps import cam
from xai.maps.methods import Spec

FUSED = 1 << 20  # values per image from which a layer's formulas are compiled into one loop


def layer_maps(
    detector: Detector, images: np.ndarray, layers: Sequence[str], specs: Sequence[Spec], target: str
) -> tuple[np.ndarray, dict[tuple[str, str], np.ndarray]]:
    """Map a batch at every layer with every method of the one pass.

    Args:
        detector: the detector; its compiled pass is kept for the next batch.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        layers: names from `detector.select`.
        specs: methods of the one pass.
        target: "fake" or "real".

    Returns:
        The logits of fake `(N,)` and, by (layer, method), float32 `(N, h, w)` maps.

    Raises:
        LayerError: an unknown layer, or one that the logit does not depend on.
    """
    key = ("one pass", tuple(layers), tuple(spec.text for spec in specs), target)
    if key not in detector.compiled:
        detector.compiled[key] = build(detector, tuple(layers), tuple(specs), target)
    logits, maps = detector.compiled[key](np.asarray(images, np.float32))
    named = [(layer, spec.text) for layer in layers for spec in specs]
    return logits.numpy(), {pair: values.numpy() for pair, values in zip(named, maps, strict=True)}


def build(detector: Detector, layers: tuple[str, ...], specs: tuple[Spec, ...], target: str) -> Callable[[Any], Any]:
    """Compile the pass: images -> (logits, maps in the order layer by layer, method by method)."""
    for layer in layers:
        if layer not in detector.layers:
            raise LayerError(f"layer '{layer}' cannot be mapped; expected {listed(detector.layers)}")
    backward = any(spec.method.needs == "gradients" for spec in specs)
    formulas = {layer: compiled(detector, layer, specs) for layer in layers}

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
            maps += formulas[layer](values, tf.cast(gradient, tf.float32)) if backward else formulas[layer](values, None)
        return logits, maps

    shape = (None, *detector.size, 3)
    run = tf.function(one_pass, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    return Filled(run) if any(fused(detector, layer) for layer in layers) else run


class Filled:
    """A pass that takes a short batch as a longer one it has met: fused loops are compiled anew for each number of images.

    Filled up it is at most doubled, so that one image after a batch of many does not cost as much.

    Args:
        run: images `(N, height, width, 3)` -> (logits `(N,)`, maps `(N, h, w)`).
    """

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self.run = run
        self.met: set[int] = set()

    def __call__(self, images: np.ndarray) -> tuple[Any, list[Any]]:
        count = len(images)
        size = min((known for known in tuple(self.met) if count <= known <= 2 * count), default=count)
        self.met.add(size)
        filled = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), images.dtype)]) if size > count else images
        logits, maps = self.run(filled)
        return logits[:count], [values[:count] for values in maps]


def compiled(detector: Detector, layer: str, specs: tuple[Spec, ...]) -> Callable[[Any, Any], list[Any]]:
    """Return the formulas of a layer, fused into few loops where reading its values costs more than the sums."""

    def formulas(values: Any, gradients: Any) -> list[Any]:
        return cam.apply(specs, values, gradients)

    return tf.function(formulas, jit_compile=True, autograph=False) if fused(detector, layer) else formulas


def fused(detector: Detector, layer: str) -> bool:
    """Say whether a layer is large enough for its formulas to be compiled into few loops."""
    return int(np.prod(detector.layers[layer].shape)) >= FUSED


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
    key = ("activations", tuple(layers))
    if key not in detector.compiled:

        def forward(images: Any) -> Any:
            kept, _ = trace(detector, images, layers)
            return [tf.cast(kept[name], tf.float32) for name in layers]

        shape = (None, *detector.size, 3)
        detector.compiled[key] = tf.function(forward, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    found = detector.compiled[key](tf.convert_to_tensor(images, tf.float32))
    return {name: values.numpy() for name, values in zip(layers, found, strict=True)}
