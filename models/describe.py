"""What a network is made of: its layers as a table, its multiply-adds, its picture. Works on any Keras model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

KERNELS = frozenset("Conv1D Conv2D Conv3D DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D Dense".split())
TRANSPOSED = frozenset("Conv1DTranspose Conv2DTranspose Conv3DTranspose".split())


def table(model: keras.Model) -> list[dict[str, Any]]:
    """Describe every layer, those of nested models in their place.

    Args:
        model: a built Sequential or Functional model.

    Returns:
        A row per layer, from input to output: "name" (nested models' names before it),
        "kind" (the Keras class), "detail" (window, stride and the like, in words), "shape" of the output without the batch, "parameters",
        "trainable" (whether training changes any of them), and "multiply_adds" per image:
        of convolutions and dense layers, 0 for all others, None where the shape is not
        known before the model runs. A layer that is called several times has one row,
        with the multiply-adds of all its calls, each taken to be as large as the first.

    Example:
        >>> image = keras.Input((8, 8, 3))
        >>> rows = table(keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(image)))
        >>> rows[-1]["shape"], rows[-1]["parameters"], rows[-1]["multiply_adds"]  # 36 places x 9 x 3 x 4
        ([6, 6, 4], 112, 3888)
    """
    return [
        {
            "name": name,
            "kind": type(inside(layer)).__name__,
            "detail": detail(inside(layer)),
            "shape": shape_of(layer.output),
            "parameters": layer.count_params(),
            "trainable": bool(layer.trainable_weights),
            "multiply_adds": cost(layer, calls),
        }
        for name, layer, calls in unrolled(model)
    ]


def detail(layer: keras.layers.Layer) -> str:
    """Return a layer's settings in words: window first, then what differs from the plain case (a pool's stride is its window)."""
    parts = []
    pool = getattr(layer, "pool_size", None)
    window = layer.size if isinstance(layer, keras.layers.UpSampling2D) else getattr(layer, "kernel_size", pool)
    if window is not None:
        parts.append(" × ".join(map(str, window)))
    stride = max(pair(getattr(layer, "strides", 1)))
    if stride != max(pair(pool or 1)):
        parts.append(f"stride {stride}")
    if max(pair(getattr(layer, "dilation_rate", 1))) > 1:
        parts.append(f"dilation {max(pair(layer.dilation_rate))}")
    if getattr(layer, "groups", 1) not in (1, None):
        parts.append(f"{layer.groups} groups")
    if isinstance(layer, keras.layers.Dropout):
        parts.append(f"rate {layer.rate:g}")
    function = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if function != "linear":
        parts.append(function)
    return ", ".join(parts)


def pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a setting per axis; Keras keeps some as one number."""
    return (value,) if isinstance(value, int) else tuple(value)


def picture(model: keras.Model, name: str) -> bytes:
    """Draw a network: blocks from left to right, as high as their maps and as wide as their channels.

    Args:
        model: a built Sequential or Functional model of a fixed input size.
        name: for the title.

    Returns:
        A PNG. Deep networks have a block per resolution.

    Raises:
        ValueError: the model takes images of any size.
    """
    from models.picture import draw

    work = multiply_adds(model)
    subtitle = f"{readable(model.count_params())} parameters, {readable(work)} multiply-adds an image"
    image = [int(side or 0) for side in shape_of(model.inputs)]
    return draw(table(model), image, name, subtitle)


def readable(count: int) -> str:
    """Return a large number in words.

    Example:
        >>> readable(11_685_937), readable(337_721), readable(3_744_899_584)
        ('11.7 million', '337,721', '3.74 billion')
    """
    if count >= 10**9:
        return f"{count / 10**9:.3g} billion"
    return f"{count / 10**6:.3g} million" if count >= 10**6 else f"{count:,}"


def multiply_adds(model: keras.Model) -> int:
    """Return the multiply-adds of one image: those of convolutions and dense layers.

    Args:
        model: a built Sequential or Functional model of a fixed input size.

    Raises:
        ValueError: the model takes images of any size, so the number is not fixed.
    """
    costs = [row["multiply_adds"] for row in table(model)]
    if None in costs:
        raise ValueError(f"'{model.name}' takes images of any size; its multiply-adds are known only once the size is")
    return sum(costs)


def unrolled(model: keras.Model, prefix: str = "", times: int = 1) -> Iterator[tuple[str, keras.layers.Layer, int]]:
    """Give every layer but inputs with its full name and how often one image passes it."""
    calls = {}
    if not isinstance(model, keras.Sequential):
        calls = {entry["name"]: len(entry.get("inbound_nodes") or [0]) for entry in model.get_config().get("layers", [])}
    for layer in model.layers:
        often = times * calls.get(layer.name, 1)
        if isinstance(layer, keras.Model):
            yield from unrolled(layer, f"{prefix}{layer.name}/", often)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield prefix + layer.name, layer, often


def inside(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return the layer that a `SpectralNormalization` wraps, or the layer."""
    return layer.layer if isinstance(layer, keras.layers.SpectralNormalization) else layer


def shape_of(tensors: Any) -> list[int | None]:
    """Return a shape without the batch; the first one's where a layer gives several."""
    first = keras.tree.flatten(tensors)[0]
    return list(first.shape[1:])


def cost(layer: keras.layers.Layer, calls: int) -> int | None:
    """Return a layer's multiply-adds per image: its kernels' sizes times the places they act on."""
    kind = type(inside(layer)).__name__
    if kind not in KERNELS | TRANSPOSED:
        return 0
    places = shape_of(layer.input if kind in TRANSPOSED else layer.output)[:-1]
    if None in places:
        return None
    kernels = sum(math.prod(weight.shape) for weight in inside(layer).weights if is_kernel(weight))
    return calls * kernels * math.prod(places)  # type: ignore[arg-type]


def is_kernel(weight: Any) -> bool:
    """Say whether a weight multiplies inputs; a bias does not."""
    return len(weight.shape) > 1 and weight.name.endswith("kernel")
