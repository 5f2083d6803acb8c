"""LeNet-5 with ReLU and max pooling, for small colour images."""

from __future__ import annotations

import keras
from keras import layers

SMALLEST = 32


def build(size: int = 64) -> keras.Model:
    """Build the network: two convolutions, two pools, three dense layers.

    Differs from the paper in its ReLUs, max pooling and colour input, as today's
    reimplementations do. As in the paper its input is centred: pixels become -1 to 1.

    Args:
        size: side of the square input in pixels, 32 or more.

    Returns:
        A Sequential model, RGB in [0, 255] to the probability of fake.

    Raises:
        ValueError: too small a size.

    Reference:
        LeCun et al., Gradient-based learning applied to document recognition, 1998.

    Example:
        >>> build(64).count_params()
        337721
    """
    if size < SMALLEST:
        raise ValueError(f"lenet needs images of at least {SMALLEST} pixels a side; got {size}")
    return keras.Sequential(
        [
            keras.Input((size, size, 3), name="image"),
            layers.Rescaling(1 / 127.5, offset=-1, name="rescaling"),
            layers.Conv2D(6, 5, activation="relu", name="conv2d"),
            layers.MaxPooling2D(2, name="max_pooling2d"),
            layers.Conv2D(16, 5, activation="relu", name="conv2d_1"),
            layers.MaxPooling2D(2, name="max_pooling2d_1"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, activation="relu", name="dense"),
            layers.Dense(84, activation="relu", name="dense_1"),
            layers.Dense(1, activation="sigmoid", name="dense_2"),
        ],
        name="lenet",
    )
