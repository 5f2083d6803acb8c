"""Trace where every layer's cells lie, from a model's graph (no network is run)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xai.graph import Graph, Step
from xai.maps.placement import Axis, Placement

Axes = tuple[Axis, Axis]

POINTWISE = frozenset(
    """Rescaling Normalization BatchNormalization LayerNormalization GroupNormalization UnitNormalization
    Activation ReLU LeakyReLU PReLU ELU Softmax Dropout SpatialDropout2D AlphaDropout GaussianNoise
    GaussianDropout ActivityRegularization Identity Dense Relu Relu6 Sigmoid Silu Gelu Tanh Softplus
    HardSwish HardSigmoid Cast Negative Abs Sqrt Square LayerScale StochasticDepth""".split()
)
MERGES = frozenset("Add Subtract Multiply Average Maximum Minimum Concatenate Divide TrueDivide Stack CustomScaleLayer".split())
PLACELESS = frozenset(
    """Flatten Reshape GlobalAveragePooling2D GlobalMaxPooling2D Permute RepeatVector
    MultiHeadAttention Attention GetItem""".split()
)


def locate(graph: Graph, image: tuple[int, int]) -> dict[str, Placement | str]:
    """Say where the cells of every step of a graph lie on the image.

    Args:
        graph: the flat graph of a model with one channels-last image input.
        image: `(height, width)` of that input in pixels.

    Returns:
        Per step name its placement, or in words why its cells have no place.
    """
    axes: dict[int, Axes] = {graph.inputs[0]: (Axis(), Axis())}
    cells: dict[int, tuple[int, int]] = {graph.inputs[0]: image}
    placed: dict[str, Placement | str] = {}
    lost: dict[int, str] = {}
    for step in graph.steps:
        result = follow(step, axes, cells, lost)
        if isinstance(result, str):
            placed[step.name] = result
            lost.update(dict.fromkeys(step.outputs, result))
            continue
        height, width = step.shape[1:3]
        if height is None or width is None:
            placed[step.name] = "its size is not known before it runs"
            lost.update(dict.fromkeys(step.outputs, str(placed[step.name])))
            continue
        for slot in step.outputs:
            axes[slot], cells[slot] = result, (height, width)
        placed[step.name] = Placement(*result, cells=(height, width), image=image)
    return placed


def follow(step: Step, axes: dict[int, Axes], cells: dict[int, tuple[int, int]], lost: dict[int, str]) -> Axes | str:
    """Return the axes of a step's output, or why it has none."""
    sources = [slot for slot in step.inputs if slot in axes]
    if not sources:
        reasons = [lost[slot] for slot in step.inputs if slot in lost]
        return reasons[0] if reasons else f"'{step.name}' does not see the image"
    if step.kind == "GetItem" and takes_channels(step):
        return axes[sources[0]]
    if step.kind in PLACELESS or len(step.shape) != 4:
        return f"'{step.name}' ({step.kind}) mixes all places"
    if step.kind in MERGES or len(step.inputs) > 1:
        if step.kind not in MERGES:
            return f"'{step.name}' ({step.kind}) is of a kind whose geometry is not known"
        return union([axes[slot] for slot in sources])
    y, x = axes[sources[0]]
    if step.kind in POINTWISE or (step.kind.startswith("Random") and step.kind != "RandomCrop"):
        return y, x  # random layers do nothing outside training
    rule = RULES.get(step.kind)
    if rule is None:
        return f"'{step.name}' ({step.kind}) is of a kind whose geometry is not known"
    size = cells[sources[0]]
    return rule(step.layer, 0, y, size[0]), rule(step.layer, 1, x, size[1])


def takes_channels(step: Step) -> bool:
    """Say whether a GetItem picks channels only, `x[..., i]`, as `preprocess_input` does."""
    key = step.arguments.args[1] if len(step.arguments.args) > 1 else None
    return isinstance(key, tuple) and len(key) == 2 and key[0] is Ellipsis


def union(branches: list[Axes]) -> Axes:
    """Return the axes of merged branches: the middle of what they see together."""
    merged = []
    for parts in zip(*branches, strict=True):
        low = min(axis.offset - axis.field / 2 for axis in parts)
        high = max(axis.offset + axis.field / 2 for axis in parts)
        merged.append(Axis(max(axis.stride for axis in parts), (low + high) / 2, high - low))
    return merged[0], merged[1]


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the cells that padding 'same' puts before cell 0 (TensorFlow's rule)."""
    reach = dilation * (kernel - 1) + 1
    return max((-(-size // stride) - 1) * stride + reach - size, 0) // 2


def pair(value: Any) -> tuple[int, int]:
    """Return a setting per axis; Keras keeps some as one number."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def slide(layer: Any, i: int, axis: Axis, size: int) -> Axis:
    """A convolution or pooling window."""
    kernel = (getattr(layer, "kernel_size", None) or layer.pool_size)[i]
    stride, dilation = pair(layer.strides)[i], pair(getattr(layer, "dilation_rate", 1))[i]
    before = same_padding(size, kernel, stride, dilation) if layer.padding == "same" else 0
    return axis.window(kernel, stride, before, dilation)


def pad(layer: Any, i: int, axis: Axis, size: int) -> Axis:
    """Zeros put before and after."""
    return Axis(axis.stride, axis.offset - axis.stride * layer.padding[i][0], axis.field)


def crop(layer: Any, i: int, axis: Axis, size: int) -> Axis:
    """Cells cut off before and after."""
    return Axis(axis.stride, axis.offset + axis.stride * layer.cropping[i][0], axis.field)


def repeat(layer: Any, i: int, axis: Axis, size: int) -> Axis:
    """Upsampling: each cell becomes `size` cells that share its place."""
    step = axis.stride / layer.size[i]
    return Axis(step, axis.offset - axis.stride / 2 + step / 2, axis.field)


def spread(layer: Any, i: int, axis: Axis, size: int) -> Axis:
    """A transposed convolution: output k is fed by the inputs around (k + p - (K-1)/2) / s."""
    kernel, stride = layer.kernel_size[i], layer.strides[i]
    before = max(kernel - stride, 0) // 2 if layer.padding == "same" else 0
    step = axis.stride / stride
    field = axis.field + axis.stride * max(0, -(-kernel // stride) - 1)
    return Axis(step, axis.offset + step * (before - (kernel - 1) / 2), field)


RULES: dict[str, Callable[[Any, int, Axis, int], Axis]] = {
    "Conv2D": slide,
    "DepthwiseConv2D": slide,
    "SeparableConv2D": slide,
    "MaxPooling2D": slide,
    "AveragePooling2D": slide,
    "ZeroPadding2D": pad,
    "Cropping2D": crop,
    "UpSampling2D": repeat,
    "Conv2DTranspose": spread,
}
