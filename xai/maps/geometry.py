"""Trace where every layer's cells lie, from a model's graph (no network is run)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, gcd
from typing import Any

from xai.graph import Graph, Step, opaque
from xai.maps.placement import Axis, Placement

Axes = tuple[Axis, Axis]
Size = tuple[int, int]

POINTWISE = frozenset(
    """Rescaling Normalization BatchNormalization LayerNormalization GroupNormalization UnitNormalization
    Activation ReLU LeakyReLU PReLU ELU Softmax Dropout SpatialDropout2D AlphaDropout GaussianNoise
    GaussianDropout ActivityRegularization Identity Dense LayerScale StochasticDepth
    Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSwish HardSilu Sigmoid HardSigmoid SparseSigmoid LogSigmoid
    Tanh HardTanh TanhShrink SoftShrink HardShrink Threshold Softplus SparsePlus Softsign Squareplus
    Abs Absolute Fabs Negative Sign Reciprocal Square Sqrt Rsqrt Cbrt Exp Exp2 Expm1 Log Log10 Log1p Log2
    Clip Round Floor Ceil Trunc NanToNum Sin Cos Tan Sinh Cosh Arcsin Arccos Arctan Arcsinh Arccosh Arctanh
    Sinc Deg2rad Rad2deg Erf Erfc Erfinv LogicalNot Isfinite Isinf Isnan
    Cast SaturateCast StopGradient ConvertToTensor Copy Real""".split()
)
MERGES = frozenset(
    """Add Subtract Multiply Average Maximum Minimum Concatenate Divide TrueDivide Stack CustomScaleLayer
    DivideNoNan FloorDivide Mod Fmod Power Fmax Fmin Hypot Arctan2 Heaviside Logaddexp Logaddexp2 Where
    Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr LogicalXor""".split()
)
AXIAL = frozenset(  # keep every place where they work over the channels
    """RMSNormalization Normalize LogSoftmax Sparsemax Glu Flip Roll Sort Take Split Repeat Cumsum
    Mean Sum Prod Max Min Amax Amin Std Var Logsumexp Argmax Argmin""".split()
)
PLACELESS = frozenset(
    """Flatten Reshape GlobalAveragePooling2D GlobalMaxPooling2D Permute RepeatVector
    MultiHeadAttention Attention""".split()
)
REACHES = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}  # of a resizing kernel to each side, in cells


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
        for slot in step.outputs:
            axes[slot], cells[slot] = result, step.shape[1:3]  # type: ignore[assignment]
        placed[step.name] = Placement(*result, cells=step.shape[1:3], image=image)  # type: ignore[arg-type]
    return placed


def follow(step: Step, axes: dict[int, Axes], cells: dict[int, tuple[int, int]], lost: dict[int, str]) -> Axes | str:
    """Return the axes of a step's output, or why it has none."""
    sources = [slot for slot in step.inputs if slot in axes]
    if not sources:
        reasons = [lost[slot] for slot in step.inputs if slot in lost]
        return reasons[0] if reasons else f"'{step.name}' does not see the image"
    what = f"'{step.name}' ({step.kind})"
    if opaque(step.operation):
        return (
            f"{what} is a subclassed model, which keeps no layer graph, so its cells and those behind it have no known place; "
            "build it with keras.Input and keras.Model, or use a method of the image itself (saliency, occlusion, …), which needs no layer"
        )
    if step.kind == "GetItem":
        return sliced(step, axes[sources[0]], cells[sources[0]]) or f"{what} moves places or takes single ones"
    if step.kind in PLACELESS or len(step.shape) != 4:
        return f"{what} mixes all places"
    height, width = step.shape[1:3]
    if height is None or width is None:
        return f"the size of {what} is not known before it runs"
    if step.kind in MERGES:
        whole = [axes[slot] for slot in sources if cells[slot] == (height, width)]  # others are spread over all places, as a gate is
        return union(whole) if whole else f"{what} moves or repeats places"
    unknown = f"{what} is of a kind whose geometry is not known"
    if len(step.inputs) > 1:
        return unknown
    size = cells[sources[0]]
    y, x = axes[sources[0]]
    if step.kind in AXIAL:
        return (y, x) if over_channels(step.layer) else f"{what} works across places"
    if step.kind in POINTWISE or (step.kind.startswith("Random") and step.kind != "RandomCrop"):
        return y, x  # random layers do nothing outside training
    rule = RULES.get(step.kind)
    if rule is None:
        return unknown
    return rule(step.layer, 0, y, size, (height, width)), rule(step.layer, 1, x, size, (height, width))


def over_channels(layer: Any) -> bool:
    """Say whether an operation with an axis works over the last one of `(N, h, w, C)` only."""
    axis = layer.axis
    return all(one in (3, -1) for one in (axis if isinstance(axis, (list, tuple)) else [axis]))


def sliced(step: Step, axes: Axes, size: tuple[int, int]) -> Axes | None:
    """Return the axes of `x[:, a:b:c, d:e:f, channels]`; None where places are not cut out in their order."""
    source, key = step.arguments.args[:2]
    parts = [*(key if isinstance(key, (tuple, list)) else [key]), ...]
    gap = next(index for index, part in enumerate(parts) if part is ...)
    rest = parts[gap + 1 : -1]
    parts = [*parts[:gap], *[slice(None)] * (len(source.shape) - gap - len(rest)), *rest]
    if len(parts) != len(source.shape) or parts[0] != slice(None) or not all(isinstance(part, slice) for part in parts[1:3]):
        return None
    cuts = [part.indices(count) for part, count in zip(parts[1:3], size, strict=True)]
    if min(step for _, _, step in cuts) < 0:
        return None
    y, x = (Axis(axis.stride * step, axis.offset + axis.stride * start, axis.field) for axis, (start, _, step) in zip(axes, cuts, strict=True))
    return y, x


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


def slide(layer: Any, i: int, axis: Axis, before: Size, after: Size) -> Axis:
    """A convolution or pooling window."""
    kernel = (getattr(layer, "kernel_size", None) or layer.pool_size)[i]
    stride, dilation = pair(layer.strides)[i], pair(getattr(layer, "dilation_rate", 1))[i]
    padding = same_padding(before[i], kernel, stride, dilation) if layer.padding == "same" else 0
    return axis.window(kernel, stride, padding, dilation)


def spread(layer: Any, i: int, axis: Axis, before: Size, after: Size) -> Axis:
    """A transposed convolution: the convolution from `after` to `before` cells, backwards."""
    kernel, stride, dilation = layer.kernel_size[i], layer.strides[i], pair(layer.dilation_rate)[i]
    padding = same_padding(after[i], kernel, stride, dilation) if layer.padding == "same" else 0
    step, common = axis.stride / stride, gcd(stride, dilation)
    taps = (kernel - 1) // (stride // common)  # that an output cell meets besides the first, each dilation / common input cells on
    middle = axis.offset + step * (padding - dilation * (kernel - 1) / 2)
    return Axis(step, middle, axis.field + axis.stride * taps * (dilation // common))


def pad(layer: Any, i: int, axis: Axis, before: Size, after: Size) -> Axis:
    """Cells put before and after: a layer says so per axis, `keras.ops.pad` also for images and channels."""
    first, _ = layer.padding[i] if hasattr(layer, "padding") else layer.pad_width[min(i + 1, len(layer.pad_width) - 1)]
    return Axis(axis.stride, axis.offset - axis.stride * first, axis.field)


def crop(layer: Any, i: int, axis: Axis, before: Size, after: Size) -> Axis:
    """Cells cut off before and after."""
    return Axis(axis.stride, axis.offset + axis.stride * layer.cropping[i][0], axis.field)


def crop_middle(layer: Any, i: int, axis: Axis, before: Size, after: Size) -> Axis:
    """Cells cut off around the middle; what is too small for that is first scaled up."""
    if before[0] >= after[0] and before[1] >= after[1]:
        return Axis(axis.stride, axis.offset + axis.stride * ((before[i] - after[i]) // 2), axis.field)
    return interpolate(axis, *fitted(i, before, after, crops=True), after[i])


def resize(layer: Any, i: int, axis: Axis, before: Size, after: Size) -> Axis:
    """Resizing or upsampling, of the whole or of what has the new shape."""
    crops, pads = (getattr(layer, f"{name}_to_aspect_ratio", False) for name in ("crop", "pad"))
    start, size = fitted(i, before, after, crops, pads)
    return interpolate(axis, start, size, after[i], layer.interpolation, getattr(layer, "antialias", False))


def fitted(i: int, before: Size, after: Size, crops: bool = False, pads: bool = False) -> Size:
    """Return the first cell and the number of cells that are resized: all, or as many as have the new shape's proportions."""
    wanted = before[1 - i] * after[i] // after[1 - i]
    margin = abs(before[i] - wanted) // 2
    if crops and wanted < before[i]:
        return margin, wanted
    if pads and wanted > before[i]:
        return -margin, before[i] + 2 * margin
    return 0, before[i]


def interpolate(axis: Axis, start: int, size: int, cells: int, kernel: str = "bilinear", antialias: bool = False) -> Axis:
    """Return the axis of `cells` cells drawn from `size` cells, the first of them `start`: k lies at (k + 1/2) * scale - 1/2."""
    scale = size / cells
    wide = max(scale, 1) if antialias else 1
    reach = REACHES[kernel] * wide if kernel in REACHES else {"nearest": 0.5, "area": (scale + 1) / 2}[kernel]
    places = [(k + 0.5) * scale - 0.5 for k in range(cells)]
    span = max(0, *(ceil(place + reach) - floor(place - reach) - 2 for place in places))  # from the first cell that counts to the last
    return Axis(axis.stride * scale, axis.offset + axis.stride * (start + places[0]), axis.field + axis.stride * span)


RULES: dict[str, Callable[[Any, int, Axis, Size, Size], Axis]] = {
    "Conv2D": slide,
    "DepthwiseConv2D": slide,
    "SeparableConv2D": slide,
    "MaxPooling2D": slide,
    "AveragePooling2D": slide,
    "Conv2DTranspose": spread,
    "ZeroPadding2D": pad,
    "Pad": pad,
    "Cropping2D": crop,
    "CenterCrop": crop_middle,
    "UpSampling2D": resize,
    "Resizing": resize,
    "Resize": resize,
}
