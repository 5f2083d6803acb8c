"""Layer-wise relevance propagation: the logit handed back, layer by layer, to the pixels.

Each step of the flat graph gives what it received to its inputs by one rule:

* epsilon: in proportion to the inputs' contributions, `x_j w_jk / z_k`;
* gamma: the same, contributions of the output's own sign counted 1 + gamma times;
* flat: in equal parts, whatever the inputs and weights.

Nothing is added on the way. Biases keep their part: where there are none, a map sums
to the logit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xai.detector import Detector, finite
from xai.errors import LayerError, WhyfakeError, listed
from xai.graph import Graph, Step, without_activation
from xai.maps.answer import Answer

COMPOSITES = ("epsilon-gamma-flat", "epsilon")
WEIGHTED = frozenset(["Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"])
NORM = "BatchNormalization"
# activations that rise through zero, spelt as Keras' functions, layers and operations but for capitals and '_'
RISING = frozenset("linear relu relu6 leakyrelu prelu elu selu tanh hardtanh softsign".split())
# no more than their input where a network is used, not trained
PASSES = frozenset(
    "Activation Identity Dropout SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise ActivityRegularization "
    "RandomFlip RandomRotation RandomTranslation RandomZoom RandomContrast RandomBrightness".split()
)
# every number of the output is one of the inputs' numbers, or a border's zero
ROUTES = frozenset(
    "Flatten Reshape Permute Transpose Squeeze ExpandDims GetItem Stack Concatenate ZeroPadding2D Cropping2D MaxPooling2D GlobalMaxPooling2D".split()
)
SUMS = frozenset(["Add", "Subtract", "Average", "AveragePooling2D", "GlobalAveragePooling2D", "UpSampling2D", "Mean", "Sum", NORM])
SCALES = frozenset("Rescaling Normalization Multiply Divide TrueDivide Add Subtract Negative".split())  # of one input
KNOWN = WEIGHTED | PASSES | ROUTES | SUMS | SCALES
PIXELS = 1024 * 1024  # of images that go back at once: every layer's output is held

Rule = Callable[[Sequence[Any], Any], list[Any]]  # (inputs, relevance of the output) -> relevance of each input


@dataclass(frozen=True, slots=True)
class Options:
    """What tells two propagations through one detector apart; see `lrp`."""

    composite: str
    epsilon: float
    gamma: float


@dataclass(frozen=True, slots=True)
class Hop:
    """One way back: the slot whose relevance is handed on, the slots that get it, and the rule."""

    output: int
    inputs: tuple[int, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Affine:
    """What a layer with weights computes before its activation, in float32."""

    apply: Callable[[Any, Any], Any]
    kernel: Any
    bias: Any

    def __call__(self, x: Any) -> Any:
        return self.apply(x, self.kernel) + self.bias


def lrp(
    detector: Detector,
    images: np.ndarray,
    *,
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    composite: str = COMPOSITES[0],
    batch_size: int | None = None,
) -> Answer:
    """Share out the logit of fake among the pixels, by layer-wise relevance propagation.

    Two softmax units start with their own logits, z_fake and -z_real: by the epsilon rule
    that is what one unit with the difference of their weights would hand back.

    Differs from zennit's composite of the name: batch normalisation right after a
    convolution or dense layer is one layer with it, elsewhere a layer by the epsilon rule;
    zeros that a layer pads the image with take no relevance; epsilon is relative.

    Args:
        detector: the detector; the compiled propagation is kept for the next call.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        epsilon: 0 or more, added to the size of divisors, in units of the root mean
            square of the layer's output on that image. 0.25 is Montavon's smoother map.
        gamma: 0 or more, how much more contributions of the output's sign count.
        composite: "epsilon-gamma-flat" (dense layers epsilon, convolutions gamma, the
            first flat) or "epsilon". In both, sums and means go by epsilon, activations
            and the scaling of pixels pass relevance on, a maximum's goes to the winner.
        batch_size: images at once; default about a million pixels, 32 images at most.

    Returns:
        Maps `(N, height, width)`, signed, in logits, summed over colours.

    Raises:
        WhyfakeError: an unknown composite or an impossible number.
        LayerError: the logit depends on a layer that no rule is known for.
        ModelError: the network gives NaN or infinity.

    Example:
        >>> from xai import wrap
        >>> unit = keras.layers.Dense(1, "sigmoid", use_bias=False, kernel_initializer="ones")
        >>> detector = wrap(keras.Sequential([keras.Input((1, 2, 3)), keras.layers.Flatten(), unit]))
        >>> lrp(detector, np.array([[[[1, 2, 3], [0, 0, -1]]]], np.float32)).maps.round(3).tolist()
        [[[6.0, -1.0]]]

    Reference:
        Bach et al., On pixel-wise explanations for non-linear classifier decisions by
        layer-wise relevance propagation, 2015, doi:10.1371/journal.pone.0130140.
        Montavon et al., Layer-wise relevance propagation, 2019, doi:10.1007/978-3-030-28954-6_10.
        Anders et al., Software for dataset-wide XAI: from local explanations to global
        insights with Zennit, CoRelAy, and ViRelAy, 2021, arXiv:2106.13200.
    """
    if composite not in COMPOSITES:
        raise WhyfakeError(f"composite '{composite}' is not known; expected {listed(COMPOSITES)}")
    for name, value, least in (("epsilon", epsilon, 0), ("gamma", gamma, 0), ("batch_size", 1 if batch_size is None else batch_size, 1)):
        if not (math.isfinite(value) and value >= least):
            raise WhyfakeError(f"{name} is {value}; expected a number, {least} or more")
    options = Options(composite, float(epsilon), float(gamma))
    if ("lrp", options) not in detector.compiled:
        detector.compiled["lrp", options] = build(detector, options)
    height, width = detector.size
    count = batch_size or int(np.clip(PIXELS // (height * width), 1, 32))
    maps = np.empty((len(images), height, width), np.float32)
    for start in range(0, len(images), count):
        part = slice(start, start + count)
        maps[part] = detector.compiled["lrp", options](tf.convert_to_tensor(images[part], tf.float32)).numpy()
    return Answer(detector.sign * finite(maps))  # every rule is linear in what it hands on


def build(detector: Detector, options: Options) -> Callable[[Any], Any]:
    """Compile the propagation: images -> maps of the logit of unit 1, or of a single unit."""
    graph, head, (last,) = detector.graph, detector.head, detector.head.step.outputs
    hops = plan(graph, head.step, options)

    def propagate(images: Any) -> Any:
        values = {graph.inputs[0]: images}
        for _ in graph.run(values, until=last):
            pass
        (out,) = head.step.call(values, without_activation(head.step.operation) if head.strip else None)
        start = tf.reshape(tf.cast(out, tf.float32), (-1, head.units)) * ([1.0] if head.units == 1 else [-1.0, 1.0])
        relevance = {last: tf.reshape(start, tf.shape(out))}
        for hop in reversed(hops):
            if hop.output not in relevance:
                continue  # all of it went around this step, as around a convolution under its batch normalisation
            sources = [tf.cast(values[slot], tf.float32) for slot in hop.inputs]
            for slot, share in zip(hop.inputs, hop.rule(sources, relevance.pop(hop.output)), strict=True):
                relevance[slot] = relevance[slot] + share if slot in relevance else share
        return tf.reduce_sum(relevance[graph.inputs[0]], -1)

    shape = (None, *detector.size, 3)
    return tf.function(propagate, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)


def plan(graph: Graph, last: Step, options: Options) -> list[Hop]:
    """Choose every step's rule, from the image to the logit."""
    needed = graph.upstream(last) | {last.name}
    steps = [step for step in graph.steps if step.name in needed]
    for step in steps:
        refuse(step, step.name == last.name)
    return [hop(graph, step, options) for step in steps]


def refuse(step: Step, last: bool) -> None:
    """Raise where no rule is known; the last step's activation is left out, so any will do."""
    name, what = fused(step), step.kind
    if not last and name and plain(name) not in RISING:
        what += f" with activation {name}"
    elif getattr(step.layer, "data_format", "") == "channels_first" or (what == NORM and step.layer.axis not in (-1, len(step.shape) - 1)):
        what += " over another axis than the last"
    elif what in SCALES - SUMS and len(step.inputs) > 1:
        what += f" of {len(step.inputs)} inputs"
    elif what in ("Divide", "TrueDivide") and id(step.arguments.args[0]) not in step.slots:
        what += " of a constant by it"
    elif len(step.outputs) == 1 and (what in KNOWN or plain(what) in RISING):
        return
    raise LayerError(
        f"layer '{step.name}' ({what}) has no rule to hand relevance on; expected convolutions, dense layers, batch normalisation, "
        "poolings, sums and activations that rise through zero, such as ReLU; methods by gradients, such as 'hirescam', take any network"
    )


def fused(step: Step) -> str:
    """Return the name of the activation that a step carries, '' where it has none."""
    function = getattr(step.layer, "activation", None)
    return getattr(function, "__name__", type(function).__name__) if function is not None else ""


def plain(name: str) -> str:
    """Return an activation's name as `RISING` spells it."""
    return name.lower().replace("_", "")


def hop(graph: Graph, step: Step, options: Options) -> Hop:
    """Choose one step's rule."""
    inputs, (output,) = tuple(dict.fromkeys(step.inputs)), step.outputs
    source = graph.writer(inputs[0])
    if step.kind in WEIGHTED:
        return weighted(graph, step, options)
    if step.kind == NORM and source is not None and source.kind in WEIGHTED and fused(source) in ("", "linear"):
        return weighted(graph, source, options, step)
    pixels = step.kind in SCALES | {NORM} and len(inputs) == 1 and kinds_before(graph, step) <= PASSES | ROUTES | SCALES | {NORM}
    if pixels or step.kind in PASSES or plain(step.kind) in RISING:
        return Hop(output, inputs, lambda sources, relevance: [relevance])
    if step.kind in ROUTES:
        return Hop(output, inputs, lambda sources, relevance: routed(replay(step), sources, relevance))
    function = normalisation if step.kind == NORM else replay
    return Hop(output, inputs, lambda sources, relevance: shares(function(step), sources, relevance, options.epsilon))


def kinds_before(graph: Graph, step: Step) -> set[str]:
    """Return the kinds of all steps that a step's inputs come from."""
    names = graph.upstream(step)
    return {earlier.kind for earlier in graph.steps if earlier.name in names}


def never_negative(graph: Graph, slot: int) -> bool:
    """Say whether a ReLU, and nothing after it that could turn a sign, stands before a slot."""
    step = graph.writer(slot)
    if step is None:
        return False
    if plain(fused(step) or step.kind) in ("relu", "relu6"):
        return not getattr(getattr(step.layer, "activation", None) or step.layer, "negative_slope", 0)
    keeps = step.kind in PASSES | ROUTES | {"AveragePooling2D"} or (step.kind in ("Add", "Average") and len(step.inputs) > 1)
    return keeps and all(never_negative(graph, source) for source in step.inputs)


def weighted(graph: Graph, step: Step, options: Options, norm: Step | None = None) -> Hop:
    """Choose the rule of a convolution or dense layer, together with the batch normalisation that reads it."""
    output, inputs = (norm or step).outputs[0], step.inputs
    if options.composite == "epsilon" or step.kind == "Dense":
        return Hop(output, inputs, lambda sources, relevance: shares(affine(step, norm), sources, relevance, options.epsilon))
    if kinds_before(graph, step) & WEIGHTED:
        clipped = never_negative(graph, inputs[0])
        return Hop(output, inputs, lambda sources, relevance: gamma_rule(affine(step, norm), sources, relevance, options, clipped))
    source = graph.writer(inputs[0])
    if source is not None and source.kind == "ZeroPadding2D":
        return Hop(output, source.inputs, lambda sources, relevance: flat_rule(affine(step), replay(source), sources, relevance))
    return Hop(output, inputs, lambda sources, relevance: flat_rule(affine(step), tf.identity, sources, relevance))


def replay(step: Step) -> Callable[..., Any]:
    """Return a step as a function of the values that it reads, without the layer's cast to its own precision."""
    slots = tuple(dict.fromkeys(step.inputs))
    return lambda *sources: tf.cast(step.call(dict(zip(slots, sources, strict=True)), step.operation.call)[0], tf.float32)


def affine(step: Step, norm: Step | None = None) -> Affine:
    """Return a layer's present weights; with the batch normalisation that reads it, those of the two as one."""
    layer = step.layer
    if step.kind == "Dense":
        apply, kernel = keras.ops.matmul, floats(layer.kernel)
    else:
        call = keras.ops.depthwise_conv if step.kind == "DepthwiseConv2D" else keras.ops.conv
        options = {"strides": layer.strides, "padding": layer.padding, "data_format": layer.data_format, "dilation_rate": layer.dilation_rate}
        kernel = joined(layer) if step.kind == "SeparableConv2D" else floats(layer.kernel)

        def apply(x: Any, weights: Any) -> Any:
            return call(x, weights, **options)

    bias = floats(layer.bias) if layer.use_bias else tf.zeros(step.shape[-1])
    if norm is None:
        return Affine(apply, kernel, bias)
    scaled = normalisation(norm)
    over = tf.shape(kernel)[-2:] if step.kind == "DepthwiseConv2D" else (-1,)  # (channels, multiplier) count its outputs
    return Affine(apply, kernel * tf.reshape(scaled.kernel, over), scaled(bias))


def joined(layer: Any) -> Any:
    """Return the full convolution's kernel that a separable one factorises, `(h, w, in, out)`."""
    depthwise, pointwise = floats(layer.depthwise_kernel), floats(layer.pointwise_kernel)  # (h, w, in, m), (1, 1, in * m, out)
    _, _, channels, multiplier = depthwise.shape
    return tf.einsum("hwcm,cmo->hwco", depthwise, tf.reshape(pointwise, (channels, multiplier, -1)))


def normalisation(step: Step) -> Affine:
    """Return a batch normalisation in use: a factor and an offset per channel."""
    layer = step.layer
    factor = tf.math.rsqrt(floats(layer.moving_variance) + layer.epsilon)
    factor = factor * floats(layer.gamma) if layer.scale else factor
    offset = floats(layer.beta) if layer.center else 0.0
    return Affine(tf.multiply, factor, offset - floats(layer.moving_mean) * factor)


def floats(variable: Any) -> Any:
    """Return a variable's present value in float32."""
    return keras.ops.cast(variable, "float32")


def routed(function: Callable[..., Any], sources: Sequence[Any], relevance: Any) -> list[Any]:
    """Hand relevance to the numbers that came through: a maximum's to the winner."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        out = function(*sources)
    return tape.gradient(out, sources, relevance)


def shares(function: Callable[..., Any], sources: Sequence[Any], relevance: Any, epsilon: float) -> list[Any]:
    """Share out relevance in proportion to what each source contributes to a linear function: the epsilon rule."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        out = function(*sources)
    size = tf.sqrt(tf.reduce_mean(out**2, range(1, len(out.shape)), keepdims=True))
    ratio = tf.math.divide_no_nan(relevance, out + tf.where(out < 0, -epsilon, epsilon) * size)
    return [source * gradient for source, gradient in zip(sources, tape.gradient(out, sources, ratio), strict=True)]


def gamma_rule(layer: Affine, sources: Sequence[Any], relevance: Any, options: Options, clipped: bool) -> list[Any]:
    """Share out relevance, contributions (and a bias) of the output's sign counted 1 + gamma times.

    For inputs and outputs of at least 0 that is Montavon's rule; told apart by sign, the
    divisor is never smaller than the output. `clipped` inputs have no negative part.
    """
    rises, falls = tf.nn.relu(layer.kernel), -tf.nn.relu(-layer.kernel)
    above, below = tf.nn.relu(layer.bias), -tf.nn.relu(-layer.bias)

    def boosted(up: Any, down: Any | None = None) -> Any:
        plus, minus = layer.apply(up, rises) + above, layer.apply(up, falls) + below
        if down is not None:
            plus, minus = plus + layer.apply(down, falls), minus + layer.apply(down, rises)
        out = plus + minus
        return out + options.gamma * tf.where(out < 0, minus, plus)

    (x,) = sources
    parts = [x] if clipped else [tf.nn.relu(x), -tf.nn.relu(-x)]
    return [tf.add_n(shares(boosted, parts, relevance, options.epsilon))]


def flat_rule(layer: Affine, pad: Callable[[Any], Any], sources: Sequence[Any], relevance: Any) -> list[Any]:
    """Share out relevance equally among the cells that a convolution reads."""
    kernel = tf.ones_like(layer.kernel)
    return shares(lambda x: layer.apply(pad(x), kernel), [tf.ones_like(sources[0])], relevance, 0.0)
