"""ResNet50 from scratch, the body as Keras has it."""

from __future__ import annotations

import keras
from keras import layers

SMALLEST = 32


def build(size: int = 64, *, momentum: float = 0.9) -> keras.Model:
    """Build the network: Keras' own ResNet50 body without weights, global average pooling, one unit.

    Args:
        size: side of the square input in pixels, 32 or more.
        momentum: of the running averages in batch normalisation; Keras' own 0.99 lags
            behind for the few hundred steps that small data sets give.

    Returns:
        A Functional model with a nested body, RGB in [0, 255] to the probability of fake.

    Raises:
        ValueError: too small a size.

    Reference:
        He et al., Deep residual learning for image recognition, 2015, arXiv:1512.03385.
    """
    if size < SMALLEST:
        raise ValueError(f"resnet50 needs images of at least {SMALLEST} pixels a side; got {size}")
    body = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(size, size, 3))
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum
    image = keras.Input((size, size, 3), name="image")
    x = body(layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(image))
    x = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid", name="dense")(x), name="resnet50")
