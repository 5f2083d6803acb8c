"""Fine-tunes a copy of a user's own model on planted artefacts; the model itself is never touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from train.manifest import Manifest
from train.pipeline import feed
from xai.compiled import Compiled
from xai.detector import Detector
from xai.errors import ModelError, WhyfakeError

GOOD = 0.02  # mean loss of an epoch, below which a planted artefact is learnt


def tune(
    detector: Detector, manifest: Manifest, *, epochs: int, learning_rate: float, batch_size: int, seed: int, say: Callable[[str], None]
) -> Detector:
    """Train a detector's own weights on the training images of a manifest, through its logit.

    Batch normalisation keeps its statistics and dropout stays off, as in use, so that any Keras model can be
    tuned: nested, without a loss, with one or two outputs. Stops early once the loss is next to nothing.

    Args:
        detector: freshly loaded for this: its weights change.
        manifest: labelled, split.
        epochs: at most.
        learning_rate: of Adam.
        batch_size: images a step.
        seed: of the order.
        say: told a line per epoch.

    Returns:
        The detector, named by its new weights.

    Raises:
        ModelError: a black box, or no weights that can be trained.
        WhyfakeError: the loss is no number.
    """
    if not detector.gradients:
        raise ModelError(f"'{detector.name}' is a black box, which cannot be trained; give a Keras model, or the NAME of a network")
    variables = list({id(one): one for step in detector.graph.steps for one in getattr(step.operation, "trainable_variables", ())}.values())
    if not variables:
        raise ModelError(f"'{detector.name}' has no weights that can be trained; set 'trainable' on its layers and save it again")
    scaled = detector.preprocessing
    source = feed(manifest.select("train"), scaled, batch_size, shuffle=seed)
    adam = keras.optimizers.Adam(learning_rate)
    adam.build(variables)
    slope = (scaled.high - scaled.low) / 255

    def logit(images: Any) -> Any:
        values = {detector.graph.inputs[0]: images * slope + scaled.low}
        for _ in detector.graph.run(values, until=detector.head.step.outputs[0]):
            pass
        return detector.head.logit(detector.graph, values, detector.sign)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logit(images)))
        adam.apply(tape.gradient(loss, [one.value for one in variables], unconnected_gradients="zero"), variables)
        return loss

    for epoch in range(epochs):
        losses = [float(step(images, labels)) for images, labels in source.epoch(epoch)]
        if not losses or not np.isfinite(losses).all():
            raise WhyfakeError("fine-tuning gave no finite loss; try a smaller --learning-rate")
        say(f"epoch {epoch + 1}  loss {np.mean(losses):.4f}")
        if np.mean(losses) < GOOD:
            break
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in variables)).hexdigest()
    return replace(detector, sha256=digest, compiled=Compiled())
