"""A classifier on the frozen encoder of an autoencoder that saw no labels."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

SMALLEST = 32
HEADS = ("dense", "conv")


def build(size: int = 256, *, encoder: keras.Model | str | Path = "", head: str = "dense", dropout: float = 0.2) -> keras.Model:
    """Build the network: the encoder, frozen, and one of two heads.

    The project that this stands for describes its second head: "conv" is a 3 x 3
    convolution of 64 with batch normalisation and ReLU, a pool, dense layers of 80 and
    30 with dropout between. Of its first head only the accuracy is known; "dense" is
    our reading, the same dense layers without the convolution. Frozen, the encoder's
    batch normalisation keeps its averages; the head's has a running-average momentum of
    0.9, since Keras' 0.99 lags behind for the few hundred steps that small data sets give.

    Args:
        size: side of the square input in pixels: that of the encoder.
        encoder: a trained autoencoder or its encoder, as a model, a `.keras` file or a
            folder with `model.keras`. It is copied, not changed.
        head: "dense" or "conv".
        dropout: rate between the dense layers, in [0, 1).

    Returns:
        A Functional model with the encoder nested, RGB in [0, 255] to the probabilities
        of real and fake, `(N, 2)`.

    Raises:
        ValueError: an unknown head, no encoder, no autoencoder, or one of another size.
    """
    if head not in HEADS:
        raise ValueError(f"head '{head}' is not known; expected one of: {', '.join(HEADS)}")
    if size < SMALLEST:
        raise ValueError(f"encoder-classifier needs images of at least {SMALLEST} pixels a side; got {size}")
    if encoder == "":
        raise ValueError(
            "encoder-classifier needs the encoder of a trained autoencoder; 'whyfake train autoencoder IMAGES' makes one, "
            "'whyfake train encoder-classifier DATA --encoder FILE' takes it"
        )
    trained = taken(encoder)
    if trained.input_shape[1:3] != (size, size):
        side = trained.input_shape[1]
        raise ValueError(
            f"the encoder takes images of {side} pixels a side, not {size}; build the classifier at {side}, or train an autoencoder at {size}"
        )
    body = keras.models.clone_model(trained)
    body.set_weights(trained.get_weights())
    body.trainable = False
    image = keras.Input((size, size, 3), name="image")
    x = body(image)
    if head == "conv":
        x = layers.Conv2D(64, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name="conv2d")(x)
        x = layers.BatchNormalization(momentum=0.9, name="batch_normalization")(x)
        x = layers.ReLU(name="re_lu")(x)
        x = layers.MaxPooling2D(2, name="max_pooling2d")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(80, activation="relu", kernel_initializer="he_normal", name="dense")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(30, activation="relu", kernel_initializer="he_normal", name="dense_1")(x)
    x = layers.Dense(2, activation="softmax", dtype="float32", name="dense_2")(x)
    return keras.Model(image, x, name=f"encoder_classifier_{head}")


def taken(source: keras.Model | str | Path) -> keras.Model:
    """Return the encoder of an autoencoder, read from its file where a path is given."""
    what = f"'{source.name}'" if isinstance(source, keras.Model) else f"'{source}'"
    model = source if isinstance(source, keras.Model) else opened(Path(source))
    if len(model.inputs) == 1 and len(model.outputs) == 1 and len(model.input_shape) == len(model.output_shape) == 4:
        if model.name == "encoder":
            return model
        inner = next((layer for layer in model.layers if layer.name == "encoder" and isinstance(layer, keras.Model)), None)
        if inner is not None and model.input_shape == model.output_shape:
            return inner
    raise ValueError(f"{what} is no autoencoder (it gives {model.output_shape}); expected what 'whyfake train autoencoder IMAGES' leaves")


def opened(path: Path) -> keras.Model:
    """Load a model file without its training state; never runs code stored in it."""
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"encoder '{path}' does not exist; give the .keras file or the folder that 'whyfake train autoencoder IMAGES' left")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the broken part raises
        raise ValueError(f"encoder '{path}' cannot be loaded: {' '.join(str(error).split())[:200]}") from None
