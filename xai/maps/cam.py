"""Maps at a layer's resolution from its activations and the logit's gradient there.

A formula takes a `View` of a layer and its options. Those in `WEIGHTS` return one
weight per channel, `(N, C)`; the map is the weighted sum of the channels. Those in
`MAPS` return the map itself, `(N, h, w)`. All are float32, raw: positive speaks for
fake, nothing is clipped, normalised or resized.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import tensorflow as tf

from xai.errors import WhyfakeError
from xai.maps.methods import Spec


class View:
    """A layer's activations and gradients, and the products several methods share, each computed once.

    Args:
        activations: float32 `(N, h, w, C)`, the layer's output.
        gradients: float32 `(N, h, w, C)`, d logit / d activations; None where no method reads them.
    """

    def __init__(self, activations: Any, gradients: Any) -> None:
        self.activations, self.gradients = activations, gradients

    @cached_property
    def product(self) -> Any:
        """Activation x gradient, `(N, h, w, C)`."""
        return self.activations * self.gradients

    @cached_property
    def positive(self) -> Any:
        """The positive part of the gradient, `(N, h, w, C)`."""
        return tf.nn.relu(self.gradients)

    @cached_property
    def total(self) -> Any:
        """Every channel's sum over places, `(N, C)`."""
        return tf.reduce_sum(self.activations, (1, 2))

    @cached_property
    def slope(self) -> Any:
        """Every channel's mean gradient, `(N, C)`."""
        return tf.reduce_mean(self.gradients, (1, 2))


def activation(view: View) -> Any:
    """Weigh all channels alike: where the layer responds, whether or not that is used."""
    channels = view.activations.shape[-1]
    return tf.fill((tf.shape(view.activations)[0], channels), 1.0 / channels)


def activation_top(view: View, channels: int) -> Any:
    """Average the channels with the largest positive mean gradient.

    Args:
        view: of the layer.
        channels: so many at most; fewer where fewer speak for fake, none gives a zero map.
    """
    best = tf.math.top_k(view.slope, min(channels, view.slope.shape[-1])).values[:, -1:]  # (N, 1)
    chosen = tf.cast((view.slope >= best) & (view.slope > 0), tf.float32)
    return chosen / tf.maximum(tf.reduce_sum(chosen, -1, keepdims=True), 1.0)


def gradcam(view: View) -> Any:
    """Weigh channels by their mean gradient, without the final ReLU.

    Exact for a head that pools over all places; where the head reads each place with
    its own weights (Flatten) the average can erase or move the evidence. The paper's
    map is the positive part of this one.

    Reference:
        Selvaraju et al., Grad-CAM, 2017, arXiv:1610.02391.
    """
    return view.slope


def gradcampp(view: View, alphas: str) -> Any:
    """Weigh channels by their positive gradients g, each by alpha = g² / (2 g² + S g³), S the channel's sum.

    The paper explains exp(logit), which multiplies the map of an image by one positive
    number that overflows for sure fakes; it is left out.

    Args:
        view: of the layer.
        alphas: "paper": as printed. "normalised": divided by their sum over places, negative
            gradients counted, as the authors' and tf-keras-vis' code does; it can divide by
            numbers near zero.

    Reference:
        Chattopadhyay et al., Grad-CAM++, 2018, arXiv:1710.11063, equations 8 and 19.
    """
    total = view.total[:, None, None, :]
    weighted = tf.reduce_sum(view.positive / nonzero(2.0 + total * view.positive), (1, 2))
    if alphas == "paper":
        return weighted
    used = tf.where(view.gradients == 0, 0.0, 1.0 / nonzero(2.0 + total * view.gradients))
    return weighted / nonzero(tf.reduce_sum(used, (1, 2)))


def xgradcam(view: View) -> Any:
    """Weigh channels by their gradient averaged over where they respond.

    A channel that sums to zero gets no weight.

    Reference:
        Fu et al., Axiom-based Grad-CAM, 2020, arXiv:2008.02312.
    """
    return tf.math.divide_no_nan(tf.reduce_sum(view.product, (1, 2)), view.total)


def activation_max(view: View) -> Any:
    """Take the strongest channel at each place."""
    return tf.reduce_max(view.activations, -1)


def hirescam(view: View) -> Any:
    """Sum activation x gradient over channels: each place keeps its own gradient.

    For a network that is linear (piecewise, without biases) after the layer, the map
    sums to the logit. The paper's map is the positive part of this one.

    Reference:
        Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020, arXiv:2011.08891.
    """
    return tf.reduce_sum(view.product, -1)


def layercam(view: View) -> Any:
    """Sum activation x positive gradient over channels.

    Reference:
        Jiang et al., LayerCAM, 2021, IEEE Transactions on Image Processing 30.
    """
    return tf.reduce_sum(view.activations * view.positive, -1)


def nonzero(values: Any) -> Any:
    """Return the values with ones where they are zero."""
    return tf.where(values == 0, tf.ones_like(values), values)


WEIGHTS: dict[str, Callable[..., Any]] = {
    "activation": activation,
    "activation_top": activation_top,
    "gradcam": gradcam,
    "gradcampp": gradcampp,
    "xgradcam": xgradcam,
}
MAPS: dict[str, Callable[..., Any]] = {
    "activation_max": activation_max,
    "hirescam": hirescam,
    "gradient_x_activation": hirescam,
    "layercam": layercam,
}


def apply(specs: Sequence[Spec], activations: Any, gradients: Any) -> list[Any]:
    """Return the map of every method for one layer.

    All channel-weighted methods share one matrix product, so the activations, which are
    far larger than the caches in early layers, are read once for them.

    Args:
        specs: methods of the one pass.
        activations: float32 `(N, h, w, C)`.
        gradients: the same shape, or None.

    Returns:
        float32 `(N, h, w)` per method, in their order.
    """
    view, done = View(activations, gradients), {}
    for spec in specs:
        if spec.name in MAPS:
            done[spec.text] = MAPS[spec.name](view, **spec.options)
    weighted = [spec for spec in specs if spec.name in WEIGHTS]
    if weighted:
        weights = tf.stack([WEIGHTS[spec.name](view, **checked(spec.options)) for spec in weighted], -1)  # (N, C, methods)
        shape = tf.shape(activations)
        places = tf.reshape(activations, (shape[0], shape[1] * shape[2], activations.shape[-1]))
        sums = tf.reshape(tf.matmul(places, weights), (shape[0], shape[1], shape[2], len(weighted)))
        done |= {spec.text: part for spec, part in zip(weighted, tf.unstack(sums, axis=-1), strict=True)}
    return [done[spec.text] for spec in specs]


def checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a method's options, or raise for values that mean nothing."""
    if options.get("alphas", "paper") not in ("paper", "normalised"):
        raise WhyfakeError(f"option 'alphas' of gradcampp is '{options['alphas']}'; expected paper or normalised")
    if options.get("channels", 1) < 1:
        raise WhyfakeError(f"option 'channels' of activation_top is {options['channels']}; expected 1 or more")
    return options
