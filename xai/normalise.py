"""A mean and a deviation per channel, as networks pretrained on ImageNet want them, as the detector's own first step.

Inside the detector, pixels stay in one range for all colours: noise, fills, swapped parts and maps of the image
mean the same for every model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from xai.graph import Graph, flatten
from xai.preprocess import Preprocessing

NAME = "input_normalisation"


def normalised(graph: Graph, seen: Preprocessing) -> Graph:
    """Return the graph with a first step that takes the mean off and divides by the deviation.

    Args:
        graph: of one input, `(N, height, width, 3)`.
        seen: its `mean` and `std`; where they change nothing, the graph itself is returned.
    """
    if not seen.normalisation():
        return graph
    import keras

    mean, std = np.array(seen.mean), np.array(seen.std)
    image = keras.Input((seen.height, seen.width, 3))
    answer = keras.layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), name=NAME, dtype="float32")(image)
    (step,) = flatten(keras.Model(image, answer)).steps
    (old,) = graph.inputs
    slots = [slot for one in graph.steps for slot in (*one.inputs, *one.outputs)]
    new = max([old, *slots]) + 1
    first = replace(step, slots=dict.fromkeys(step.slots, new), inputs=(new,), outputs=(old,))
    return replace(graph, inputs=[new], steps=[first, *graph.steps])


def normalising(function: Callable[[np.ndarray], Any], seen: Preprocessing) -> Callable[[np.ndarray], Any]:
    """Return a function of images, float32 `(N, height, width, 3)`, that gets them less the mean and divided by the deviation."""
    if not seen.normalisation():
        return function
    mean, std = np.array(seen.mean, np.float32), np.array(seen.std, np.float32)
    return lambda images: function((images - mean) / std)
