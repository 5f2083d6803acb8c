"""The 18-layer AlexNet-inspired detector: 11,685,937 parameters at 1024 x 1024."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

SMALLEST = 256


def build(
    size: int = 1024,
    *,
    kernels: Sequence[int] = (2, 10, 6, 3, 3),
    strides: Sequence[int] = (2, 2, 2, 1, 1),
    pool_dropout: float = 0.0,
    dense_dropout: float = 0.5,
    head: str = "flatten",
) -> keras.Model:
    """Build the network: five unpadded convolutions, three pools, three dense layers.

    Weights start He-normal: with Keras' default (Glorot) start the network stayed at
    chance for 40 epochs on 256 x 256 faces. Dropout after the pools held it back there
    too, so its default rate is zero; the layers stand where the design has them.

    Args:
        size: side of the square input in pixels, 256 or more.
        kernels: of the five convolutions.
        strides: of the five convolutions.
        pool_dropout: rate after each pool, in [0, 1).
        dense_dropout: rate before each dense layer but the first, in [0, 1).
        head: "flatten", or "pooling": the mean over all places and one dense unit in place of the three dense
            layers, which treat every place alike. Not the 18-layer network any more.

    Returns:
        A Sequential model of 18 layers, RGB in [0, 255] to the probability of fake.

    Raises:
        ValueError: too small a size, not five kernels and strides, or an unknown head.

    Example:
        >>> build(1024).count_params()
        11685937
    """
    if len(kernels) != 5 or len(strides) != 5:
        raise ValueError(f"five kernels and five strides are needed; got {len(kernels)} and {len(strides)}")
    if head not in ("flatten", "pooling"):
        raise ValueError(f"head '{head}' is not known; expected flatten or pooling")
    if size < SMALLEST:
        raise ValueError(f"alexnet18 needs images of at least {SMALLEST} pixels a side; got {size} (its layers are unpadded)")

    def convolution(index: int, filters: int) -> layers.Layer:
        name = f"conv2d_{index}" if index else "conv2d"
        return layers.Conv2D(filters, kernels[index], strides[index], activation="relu", kernel_initializer="he_normal", name=name)

    def dense(units: int, name: str) -> layers.Layer:
        return layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=name)

    flat = [
        layers.Flatten(name="flatten"),
        dense(512, "dense"),
        layers.Dropout(dense_dropout, name="dropout_3"),
        dense(512, "dense_1"),
        layers.Dropout(dense_dropout, name="dropout_4"),
    ]
    try:
        return keras.Sequential(
            [
                keras.Input((size, size, 3), name="image"),
                layers.Rescaling(1 / 255, name="rescaling"),
                convolution(0, 16),
                convolution(1, 32),
                layers.MaxPooling2D(2, 2, name="max_pooling2d"),
                layers.Dropout(pool_dropout, name="dropout"),
                convolution(2, 64),
                layers.MaxPooling2D(3, 2, name="max_pooling2d_1"),
                layers.Dropout(pool_dropout, name="dropout_1"),
                convolution(3, 128),
                convolution(4, 128),
                layers.MaxPooling2D(2, 2, name="max_pooling2d_2"),
                layers.Dropout(pool_dropout, name="dropout_2"),
                *(flat if head == "flatten" else [layers.GlobalAveragePooling2D(name="pooling")]),
                layers.Dense(1, activation="sigmoid", name="dense_2" if head == "flatten" else "dense"),
            ],
            name="alexnet18",
        )
    except ValueError as error:
        if "zero or negative" in str(error) or "negative dimension" in str(error).lower():
            raise ValueError(f"{size} pixels run out with kernels {tuple(kernels)} and strides {tuple(strides)}; use a larger size") from None
        raise
