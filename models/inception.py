"""Inception v1 (GoogLeNet) for images of 32 pixels and more."""

from __future__ import annotations

import keras
from keras import layers

SMALLEST = 32
MODULES = {  # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def build(size: int = 64, *, dropout: float = 0.4) -> keras.Model:
    """Build the network: a stem, nine inception modules, global average pooling, one unit.

    The paper's two auxiliary classifiers and its local response normalisation are left
    out: the first help only while training deep from scratch at 224 pixels, the second
    is no longer used.

    Args:
        size: side of the square input in pixels, 32 or more.
        dropout: rate before the last layer, in [0, 1).

    Returns:
        A Functional model, RGB in [0, 255] to the probability of fake.

    Raises:
        ValueError: too small a size.

    Reference:
        Szegedy et al., Going deeper with convolutions, 2014, arXiv:1409.4842.
    """
    if size < SMALLEST:
        raise ValueError(f"inception needs images of at least {SMALLEST} pixels a side; got {size}")
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescaling")(image)
    x = convolution(x, 64, 7, "stem_1", stride=2)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool_1")(x)
    x = convolution(x, 64, 1, "stem_2")
    x = convolution(x, 192, 3, "stem_3")
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool_2")(x)
    for name, widths in MODULES.items():
        if name in ("4a", "5a"):
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool_{name[0]}")(x)
        x = module(x, widths, f"inception_{name}")
    x = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid", name="dense")(x), name="inception")


def convolution(x: keras.KerasTensor, filters: int, kernel: int, name: str, stride: int = 1) -> keras.KerasTensor:
    """Apply a padded convolution with ReLU."""
    layer = layers.Conv2D(filters, kernel, stride, padding="same", activation="relu", kernel_initializer="he_normal", name=name)
    return layer(x)


def module(x: keras.KerasTensor, widths: tuple[int, ...], name: str) -> keras.KerasTensor:
    """Apply one inception module: four branches, joined over channels."""
    one, reduce3, three, reduce5, five, project = widths
    branches = [
        convolution(x, one, 1, f"{name}_1x1"),
        convolution(convolution(x, reduce3, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
        convolution(convolution(x, reduce5, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
        convolution(layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x), project, 1, f"{name}_project"),
    ]
    return layers.Concatenate(name=name)(branches)
