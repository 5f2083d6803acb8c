"""One step of several processes: each takes its slices of a batch, and all end with the weights that one process would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from train import calibrated
from train.loop import Plan
from train.pipeline import Part


def build(model: Any, plan: Plan, spec: Any, strategy: Any, part: Part, slices: Any) -> dict[str, tuple[Callable[..., None], list[Any]]]:
    """Compile the steps of training and measuring.

    Args:
        model: compiled, made in the strategy's scope, and `align`ed.
        plan: how.
        spec: of the batches' images and targets.
        strategy: of several processes.
        part: of each batch that is this process's.
        slices: as `align` got it.

    Returns:
        By "train" and "measure": a function of images, targets, the own slices `(part.count, 2)`
        and the size of the whole batch, both int32, and the metrics that it moves, the loss first.
    """
    import keras
    import tensorflow as tf

    weights = [plan.class_weights[index] for index in sorted(plan.class_weights)] if plan.class_weights else None
    # one trace for whole and last batches: had one process a trace more than another, their sums would not meet
    batch = [tf.TensorSpec((None, *one.shape[1:]), one.dtype) for one in spec]
    signature = [*batch, tf.TensorSpec((part.count, 2), tf.int32), tf.TensorSpec((), tf.int32)]

    def losses(targets: Any, answers: Any) -> Any:
        """Of each image, as Keras' `compile` would have them: `(n,)`."""
        each = keras.losses.get(plan.loss)(targets[:, None] if plan.loss == "binary_crossentropy" else targets, answers)
        return tf.reduce_mean(tf.reshape(each, (tf.shape(each)[0], -1)), -1)

    def learn(images: Any, targets: Any, share: Any) -> tuple[Any, Any]:
        """Move the weights, on all replicas alike; `share` is by what this replica's sum is divided."""
        with tf.GradientTape() as tape:
            answers = model(images, training=True)
            each = losses(targets, answers)
            if weights:
                each = each * tf.gather(tf.constant(weights, each.dtype), tf.cast(targets, tf.int32))
            loss = tf.reduce_sum(each) / tf.cast(share, each.dtype)  # gradients are added up over the replicas, not averaged
        variables = model.trainable_variables
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return each, answers

    def replica(images: Any, targets: Any, own: Any, size: Any, training: bool) -> tuple[Any, Any, Any]:
        """Return losses, targets and answers that this replica counts."""
        place = number(part)
        start, first = own[place][0], own[place][0] - own[0][0]
        last = own[place][1] - own[0][0]
        images, targets = images[first:last], targets[first:last]
        slices.now = start, size
        whole = size < part.replicas  # every replica has all images: the gradient is shared out, and one counts them
        if training:
            each, answers = learn(images, targets, tf.where(whole, size * part.replicas, size))
        else:
            answers = model(images, training=False)
            each = losses(targets, answers)
        counted = tf.where(whole & (part.first + place > 0), 0, size)
        return each[:counted], targets[:counted], answers[:counted]

    def compiled(training: bool) -> tuple[Callable[..., None], list[Any]]:
        metrics = measures(plan, model)

        @tf.function(input_signature=signature, autograph=False)
        def step(*batch: Any) -> None:
            found = strategy.run(replica, args=(*batch, training))
            for each, targets, answers in zip(*map(strategy.experimental_local_results, found), strict=True):
                metrics[0].update_state(each)
                for metric in metrics[1:]:
                    metric.update_state(targets, answers)

        return step, metrics

    return {"train": compiled(True), "measure": compiled(False)}


def number(part: Part) -> int:
    """Return which of this process's replicas is being traced, from 0."""
    import tensorflow as tf

    return int(tf.get_static_value(tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group))) - part.first


def align(model: Any, slices: Any) -> None:
    """Make layers that look at the whole batch do so: moments over all replicas, and one draw of which each replica keeps its rows.

    Args:
        model: whose batch normalisation and random layers are changed, for training only.
        slices: with an attribute `now` while a replica is traced: the place of its first image in
            the batch, and the size of the whole batch.
    """
    import keras
    import tensorflow as tf

    def drawn_together(alone: Any) -> Any:
        def call(inputs: Any, *args: Any, training: Any = False, **options: Any) -> Any:
            if not training:
                return alone(inputs, *args, training=training, **options)
            (start, size), own = slices.now, tf.shape(inputs)[0]
            edges = [[start, size - start - own], *[[0, 0]] * (inputs.shape.rank - 1)]
            return alone(tf.pad(inputs, edges), *args, training=training, **options)[start : start + own]

        return call

    for layer in layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        if hasattr(layer, "seed_generator"):
            layer.call = drawn_together(layer.call)


def counters(model: Any) -> list[Any]:
    """Return what counts the steps: of the optimizer, and of every layer that draws."""
    return [model.optimizer.iterations, *(layer.seed_generator.state for layer in layers(model) if hasattr(layer, "seed_generator"))]


def layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model, those of nested models too."""
    for layer in model.layers:
        yield from layers(layer) if hasattr(layer, "layers") else (layer,)


def measures(plan: Plan, model: Any) -> list[Any]:
    """Return the metrics of a plan, the loss first: local to this process where made outside of a strategy's scope.

    Their states are sums, which may be added up over processes.
    """
    import keras

    accuracy = keras.metrics.BinaryAccuracy if model.output_shape[-1] == 1 else keras.metrics.SparseCategoricalAccuracy
    named = [accuracy(name=name) if name == "accuracy" else keras.metrics.get(name) for name in plan.metrics]
    return [keras.metrics.Mean(name="loss"), *named, *([calibrated.metric()] if plan.calibrated else [])]


def joined(batches: Iterator[Any], count: int) -> Any:
    """Return so many images and their targets as one batch, fewer where there are no more, None where there are none.

    A last batch that goes whole to every replica may come in pieces.
    """
    import tensorflow as tf

    pieces: list[Any] = []
    while sum(len(piece[0]) for piece in pieces) < count and (piece := next(batches, None)):
        pieces.append(piece)
    return tuple(tf.concat(found, 0) for found in zip(*pieces, strict=True)) if len(pieces) > 1 else next(iter(pieces), None)


def parts(values: np.ndarray, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Cut a vector into arrays of the shapes of others.

    Example:
        >>> parts(np.arange(3.0), [np.zeros(()), np.zeros((1, 2))])
        [array(0.), array([[1., 2.]])]
    """
    ends = np.cumsum([array.size for array in like])
    return [piece.reshape(array.shape) for piece, array in zip(np.split(values, ends[:-1]), like, strict=True)]
