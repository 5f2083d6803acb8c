"""Layers built anew where the user's own would give wrong or no maps: in float32, channels last.

Only a graph's steps change hands; names, connections and the user's model stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from xai.errors import ModelError
from xai.graph import Graph, Step
from xai.maps.geometry import MERGES, POINTWISE

HALVES = ("float16", "bfloat16")
AXES = {1: 3, 2: 1, 3: 2, -1: 2, -2: 1, -3: 3}  # where channels, rows and columns go
AXIAL = frozenset(["BatchNormalization", "LayerNormalization", "GroupNormalization", "Concatenate", "Softmax"])
SHAPED = frozenset(["PReLU", "Normalization", "Dense", "UnitNormalization", "LayerScale", "Stack"])  # pointwise, but channels must come last
LAST_AXIS = ("softmax", "log_softmax", "sparsemax", "glu")  # activations over the last axis, whatever it holds
TO_LAST = {"Permute": ("dims", (2, 3, 1)), "Transpose": ("axes", (0, 2, 3, 1))}


def rebuilt(layer: Any, change: Callable[[Any], Any], shape: Any = None) -> Any:
    """Return a layer with the same weights, its configuration changed; the layer itself is left alone.

    Args:
        layer: a built Keras layer.
        change: from a configuration to the wanted one.
        shape: its input's, where that changes too.
    """
    twin = type(layer).from_config(change(layer.get_config()))
    weights = layer.get_weights()
    if weights:
        if shape is None:
            twin.build_from_config(layer.get_build_config())
        else:
            twin.build(shape)
        twin.set_weights(weights)
    return twin


def in_float32(graph: Graph) -> Graph:
    """Return the graph with layers of half precision computing in float32, as which their weights are kept.

    A gradient per cell is small (a thousandth divided by the cells of a pooled layer) and
    becomes zero in float16; maps of a trained network would be empty.
    """
    twins: dict[int, Any] = {}

    def whole(config: Any) -> Any:
        if isinstance(config, list):
            return [whole(value) for value in config]
        if not isinstance(config, dict):
            return config
        return {key: "float32" if key == "dtype" and any(half in str(value) for half in HALVES) else whole(value) for key, value in config.items()}

    def converted(step: Step) -> Step:
        if getattr(step.operation, "compute_dtype", None) not in HALVES:
            return step
        if id(step.operation) not in twins:
            try:
                twins[id(step.operation)] = rebuilt(step.operation, whole)
            except Exception:  # code of the user's own that cannot be built from its configuration runs as it is
                twins[id(step.operation)] = step.operation
        return replace(step, operation=twins[id(step.operation)])

    return replace(graph, steps=[converted(step) for step in graph.steps])


def channels_last(graph: Graph) -> Graph:
    """Return the graph of a channels-first model for images `(N, height, width, 3)`; its input is `(N, 3, height, width)`.

    Raises:
        ModelError: a layer of which it is not known how to turn it round.
    """
    first = {graph.inputs[0]}  # slots whose values were channels first
    shapes: dict[int, tuple[int | None, ...]] = {}
    twins: dict[int, Any] = {}
    steps = []
    for step in graph.steps:
        turned = [slot in first for slot in step.inputs]
        operation, shape = step.operation, step.shape
        if any(turned):
            if id(operation) not in twins:
                twins[id(operation)] = turn(step, all(turned), shapes.get(step.inputs[0]))
            operation = twins[id(operation)]
            if len(shape) == 4 and step.kind not in TO_LAST:
                shape = (shape[0], shape[2], shape[3], shape[1])
                first.update(step.outputs)
        shapes.update(dict.fromkeys(step.outputs, shape))
        steps.append(replace(step, operation=operation, shape=shape))
    return replace(graph, steps=steps)


def turn(step: Step, together: bool, shape: tuple[int | None, ...] | None) -> Any:
    """Return a step's operation for channels last.

    Args:
        step: the step, in the channels-first graph.
        together: all its inputs are images or maps, none of another layout.
        shape: of its first input, channels last; None for the image.
    """
    import keras

    layer, kind = step.operation, step.kind
    axis = getattr(layer, "axis", None)
    squash = getattr(getattr(layer, "activation", None), "__name__", "")
    plain = together and layer is step.layer and not arrays(step) and squash not in LAST_AXIS
    if plain and kind in TO_LAST and tuple(getattr(layer, TO_LAST[kind][0])) == TO_LAST[kind][1]:
        return keras.layers.Identity(name=layer.name)
    if plain and getattr(layer, "data_format", None) == "channels_first":
        return rebuilt(layer, lambda config: config | {"data_format": "channels_last"}, shape or (None, *step_size(step), 3))
    if plain and kind == "Flatten":
        return from_last(keras)(name=layer.name)
    if plain and kind in AXIAL and hasattr(layer, "get_weights") and isinstance(axis, int) and axis in AXES:
        return rebuilt(layer, lambda config: config | {"axis": AXES[axis]}, shape or (None, *step_size(step), 3))
    if plain and kind == "Rescaling" and np.ndim(layer.scale) == np.ndim(layer.offset) == 0:
        return layer
    if plain and kind in (POINTWISE | MERGES) - AXIAL - SHAPED - {"Rescaling"} and not hasattr(layer, "data_format"):
        return layer
    raise ModelError(
        f"the model takes channels first, (3, height, width), and its layer '{step.name}' ({kind}) cannot be turned to channels last; "
        "build it with data_format='channels_last', or hand a function that calls it to xai.blackbox"
    )


def step_size(step: Step) -> tuple[int | None, int | None]:
    """Return the (height, width) of a step that reads the image itself."""
    image = step.arguments.keras_tensors[0]
    return image.shape[2], image.shape[3]


def arrays(step: Step) -> bool:
    """Say whether a call has arrays among its arguments, which may be laid out channels first."""
    import keras

    values = keras.tree.flatten((step.arguments.args, step.arguments.kwargs))
    return any(np.ndim(value) > 0 for value in values if not keras.utils.is_keras_tensor(value) and hasattr(value, "shape"))


def from_last(keras: Any) -> Any:
    """Return a Flatten layer that reads channels last and gives the order of channels first, which the Dense after it has learnt."""

    class Flatten(keras.layers.Flatten):
        def call(self, inputs: Any) -> Any:
            return super().call(keras.ops.transpose(inputs, (0, 3, 1, 2)))

    return Flatten
