"""The convolutional autoencoder: learns to redraw images without labels, so that its encoder can be reused."""

from __future__ import annotations

import keras
from keras import layers

SMALLEST = 32
DOWN, UP = (32, 64, 64), (64, 64, 32)  # filters of the encoder's and the decoder's blocks
MOMENTUM = 0.9


def build(size: int = 256) -> keras.Model:
    """Build the network: an encoder of three blocks, halving each time, and its mirror.

    The encoder is a nested model named "encoder" with the scaling inside, so that it
    can be taken out and reused (`models.encoder`). Batch normalisation uses a
    running-average momentum of 0.9: with Keras' 0.99 the averages lag behind for the
    few hundred steps that small data sets give. Convolutions that it follows have no bias.

    Args:
        size: side of the square input in pixels, 32 or more, a multiple of 8.

    Returns:
        A Functional model, RGB in [0, 255] to the same image in [0, 1], `(N, size, size, 3)`.

    Raises:
        ValueError: an impossible size.

    Example:
        >>> build(64).get_layer("encoder").output.shape
        (None, 8, 8, 64)
    """
    if size < SMALLEST:
        raise ValueError(f"autoencoder needs images of at least {SMALLEST} pixels a side; got {size}")
    if size % 8:
        raise ValueError(f"autoencoder halves its images three times; expected a multiple of 8 pixels a side, got {size}")
    image = keras.Input((size, size, 3), name="image")
    x = encoder(size)(image)
    for index, filters in enumerate(UP, 1):
        x = convolution(x, filters, f"decoder{index}")
        x = layers.UpSampling2D(2, name=f"decoder{index}_up")(x)
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="drawing_conv")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name="drawing_bn")(x)
    return keras.Model(image, layers.Activation("sigmoid", dtype="float32", name="drawing")(x), name="autoencoder")


def encoder(size: int) -> keras.Model:
    """Build the encoder alone: RGB in [0, 255] to `(N, size / 8, size / 8, 64)`."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescaling")(image)
    for index, filters in enumerate(DOWN, 1):
        x = convolution(x, filters, f"encoder{index}")
        x = layers.MaxPooling2D(2, name=f"encoder{index}_pool")(x)
    return keras.Model(image, x, name="encoder")


def convolution(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Apply a padded 3 x 3 convolution, batch normalisation and ReLU."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
