"""VGG16, plain and with batch normalisation after each convolution."""

from __future__ import annotations

import keras
from keras import layers

SMALLEST = 32
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters, convolutions


def build(size: int = 64, *, batch_norm: bool = False, dense: int = 4096, dropout: float = 0.5) -> keras.Model:
    """Build the network: thirteen 3 x 3 convolutions in five blocks, three dense layers.

    Batch normalisation uses a running-average momentum of 0.9: with Keras' 0.99 the
    averages lag behind for the few hundred steps that small data sets give.

    Args:
        size: side of the square input in pixels, 32 or more.
        batch_norm: normalise after each convolution, before its ReLU.
        dense: units of the two hidden dense layers.
        dropout: rate after each of those, in [0, 1).

    Returns:
        A Sequential model, RGB in [0, 255] to the probability of fake.

    Raises:
        ValueError: too small a size.

    Reference:
        Simonyan and Zisserman, Very deep convolutional networks for large-scale image
        recognition, 2014, arXiv:1409.1556.
    """
    if size < SMALLEST:
        raise ValueError(f"vgg16 needs images of at least {SMALLEST} pixels a side; got {size}")
    body: list[layers.Layer] = []
    for block, (filters, count) in enumerate(BLOCKS, 1):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            if batch_norm:
                body += [
                    layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name),
                    layers.BatchNormalization(momentum=0.9, name=f"block{block}_bn{index}"),
                    layers.ReLU(name=f"block{block}_relu{index}"),
                ]
            else:
                body.append(layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=name))
        body.append(layers.MaxPooling2D(2, name=f"block{block}_pool"))
    head = [
        layers.Flatten(name="flatten"),
        layers.Dense(dense, activation="relu", kernel_initializer="he_normal", name="dense"),
        layers.Dropout(dropout, name="dropout"),
        layers.Dense(dense, activation="relu", kernel_initializer="he_normal", name="dense_1"),
        layers.Dropout(dropout, name="dropout_1"),
        layers.Dense(1, activation="sigmoid", name="dense_2"),
    ]
    start = [keras.Input((size, size, 3), name="image"), layers.Rescaling(1 / 255, name="rescaling")]
    return keras.Sequential([*start, *body, *head], name="vgg16_bn" if batch_norm else "vgg16")
