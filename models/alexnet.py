"""AlexNet for small images, plain and with batch normalisation after each convolution."""

from __future__ import annotations

import keras
from keras import layers

SMALLEST = 32
ROWS = ((96, 11, 4, True), (256, 5, 1, True), (384, 3, 1, False), (384, 3, 1, False), (256, 3, 1, True))  # filters, kernel, stride, pool


def build(size: int = 64, *, batch_norm: bool = False, dense: int = 4096, dropout: float = 0.5) -> keras.Model:
    """Build the network: five padded convolutions, three pools, three dense layers.

    Differs from the paper in its padding, so that 64 pixels do not run out, and in
    leaving out local response normalisation and the split over two devices.

    Args:
        size: side of the square input in pixels, 32 or more.
        batch_norm: normalise after each convolution, before its ReLU (momentum 0.9).
        dense: units of the two hidden dense layers.
        dropout: rate before each of those, in [0, 1).

    Returns:
        A Sequential model, RGB in [0, 255] to the probability of fake.

    Raises:
        ValueError: too small a size.

    Reference:
        Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional
        neural networks, 2012.
    """
    if size < SMALLEST:
        raise ValueError(f"alexnet needs images of at least {SMALLEST} pixels a side; got {size}")
    body: list[layers.Layer] = []
    for index, (filters, kernel, stride, pool) in enumerate(ROWS):
        end = f"_{index}" if index else ""
        options = {"padding": "same", "kernel_initializer": "he_normal", "name": f"conv2d{end}"}
        if batch_norm:
            body += [
                layers.Conv2D(filters, kernel, stride, use_bias=False, **options),
                layers.BatchNormalization(momentum=0.9, name=f"batch_normalization{end}"),
                layers.ReLU(name=f"re_lu{end}"),
            ]
        else:
            body.append(layers.Conv2D(filters, kernel, stride, activation="relu", **options))
        if pool:
            body.append(layers.MaxPooling2D(3, 2, padding="same", name=f"max_pooling2d{end}"))
    head: list[layers.Layer] = [layers.Flatten(name="flatten")]
    for end in ("", "_1"):
        head += [
            layers.Dropout(dropout, name=f"dropout{end}"),
            layers.Dense(dense, activation="relu", kernel_initializer="he_normal", name=f"dense{end}"),
        ]
    head.append(layers.Dense(1, activation="sigmoid", name="dense_2"))
    start = [keras.Input((size, size, 3), name="image"), layers.Rescaling(1 / 255, name="rescaling")]
    return keras.Sequential([*start, *body, *head], name="alexnet_bn" if batch_norm else "alexnet")
