"""Maps at a layer's resolution from its activations and the logit's gradient there.

Every method has one signature: `(activations, gradients) -> maps`, TensorFlow
tensors `(N, h, w, C)` to float32 `(N, h, w)`, raw and signed. Positive speaks for
fake. Nothing is clipped, normalised or resized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


def activation(activations: Any, gradients: Any) -> Any:
    """Average a layer's channels: where it responds, whether or not that is used.

    Args:
        activations: `(N, h, w, C)`, the layer's output.
        gradients: not read.

    Returns:
        `(N, h, w)`, in the layer's own unit.
    """
    return tf.reduce_mean(activations, -1)


def gradcam(activations: Any, gradients: Any) -> Any:
    """Weight channels by their mean gradient and sum them, without the final ReLU.

    Exact for a head that pools over all places; where the head reads each place with
    its own weights (Flatten) the average can erase or move the evidence.

    Args:
        activations: `(N, h, w, C)`.
        gradients: `(N, h, w, C)`, d logit / d activations.

    Returns:
        `(N, h, w)`, signed. The paper's map is its positive part.

    Reference:
        Selvaraju et al., Grad-CAM, 2017, arXiv:1610.02391.
    """
    weights = tf.reduce_mean(gradients, (1, 2))  # (N, C)
    return tf.squeeze(tf.matmul(activations, weights[:, None, :, None]), -1)


def hirescam(activations: Any, gradients: Any) -> Any:
    """Sum activation x gradient over channels: each place keeps its own gradient.

    For a network that is linear (piecewise, without biases) after the layer, the map
    sums to the logit.

    Args:
        activations: `(N, h, w, C)`.
        gradients: `(N, h, w, C)`, d logit / d activations.

    Returns:
        `(N, h, w)`, signed, in logits. The paper's map is its positive part.

    Reference:
        Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020, arXiv:2011.08891.
    """
    return tf.reduce_sum(activations * gradients, -1)


@dataclass(frozen=True, slots=True)
class Method:
    """A map method: its formula, whether it needs the gradient, whether it has a sign."""

    formula: Callable[[Any, Any], Any]
    gradient: bool = True
    signed: bool = True


METHODS: dict[str, Method] = {
    "activation": Method(activation, gradient=False, signed=False),
    "gradcam": Method(gradcam),
    "hirescam": Method(hirescam),
}
