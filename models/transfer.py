"""Transfer learning: any backbone of `keras.applications` under a new head, with its own pixel scaling inside."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

NATIVE = 224  # side in pixels that most backbones were trained at; the others:
SIDES = {
    "Xception": 299,
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "NASNetLarge": 331,
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
}
DEVIATION = (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, in [0, 1]


def build(size: int | None = None, *, backbone: str, weights: str | Path = "imagenet", dropout: float = 0.2) -> keras.Model:
    """Build the network: scaling, the backbone without its top, global average pooling, dropout, one unit.

    With weights the backbone's batch normalisation is frozen and so keeps, in inference
    mode, the averages it came with (calling the backbone with training=False would not
    do: `fit` overrules it in Keras 3). Without, it trains normally, with a running-average
    momentum of 0.9: Keras' 0.99 lags behind for the few hundred steps that small data
    sets give.

    Args:
        size: side of the square input in pixels; None for the backbone's own.
        backbone: a name of `keras.applications`, such as "MobileNetV2".
        weights: "imagenet" (fetched by Keras), "none", or a file: `.weights.h5` or `.h5`
            with or without the top, or a `.keras` model that holds the backbone.
        dropout: rate before the last layer, in [0, 1).

    Returns:
        A Functional model with the backbone nested; its pixels are in [0, 255], in the
        order that `preprocessing(backbone)` names, its answer the probability of fake.

    Raises:
        ValueError: an unknown backbone, too small a size, or weights that cannot be had.

    Reference:
        Kornblith, Shlens and Le, Do better ImageNet models transfer better?, 2018,
        arXiv:1805.08974.
    """
    wanted = preprocessing(backbone)
    size = native(backbone) if size is None else size
    body = pretrained(backbone, size, weights)
    image = keras.Input((size, size, 3), name="image")
    x = image
    if set(wanted["scale"]) != {1.0} or set(wanted["offset"]) != {0.0}:
        x = layers.Rescaling(wanted["scale"], wanted["offset"], name="rescaling")(x)
    for layer in norms(body):
        if str(weights) == "none":
            layer.momentum = 0.9
        else:
            layer.trainable = False
    x = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(body(x))
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(1, activation="sigmoid", dtype="float32", name="dense")(x)
    return keras.Model(image, x, name=f"transfer_{backbone}".lower())


def names() -> tuple[str, ...]:
    """Return the backbones that Keras has.

    Example:
        >>> "MobileNetV2" in names()
        True
    """
    found = vars(keras.applications)
    return tuple(sorted(name for name in found if name[0].isupper() and callable(found[name])))


def known(backbone: str) -> str:
    """Return the name of a backbone that exists.

    Raises:
        ValueError: an unknown name; the message lists those there are.
    """
    if backbone in names():
        return backbone
    lowered = {name.lower(): name for name in names()}
    near = difflib.get_close_matches(backbone.lower(), lowered, n=1)
    guess = f"did you mean {lowered[near[0]]}? " if near else ""
    raise ValueError(f"backbone '{backbone}' is not known; {guess}expected one of: {', '.join(names())}")


def native(backbone: str) -> int:
    """Return the side in pixels that a backbone was trained at.

    Example:
        >>> native("MobileNetV2"), native("Xception")
        (224, 299)

    Raises:
        ValueError: an unknown name.
    """
    return SIDES.get(known(backbone), NATIVE)


def preprocessing(backbone: str) -> dict[str, Any]:
    """Return what a backbone wants its pixels to be, found by asking its own `preprocess_input`.

    Black, red, green and blue images go through it; what comes back tells order,
    factor and offset of each channel.

    Args:
        backbone: a name of `keras.applications`.

    Returns:
        "colour_order" ("RGB" or "BGR"), "scale" and "offset", a number per channel in
        that order: the backbone reads `pixel * scale + offset`, pixels in [0, 255].

    Raises:
        ValueError: an unknown name, or a scaling that is not of this form.

    Example:
        >>> preprocessing("ResNet50")
        {'colour_order': 'BGR', 'scale': [1.0, 1.0, 1.0], 'offset': [-103.939, -116.779, -123.68]}
    """
    prepare = home(backbone).preprocess_input
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])[:, None, None, :].astype(np.float32)  # (4, 1, 1, 3)
    seen = np.asarray(prepare(probes.copy()), np.float64)[:, 0, 0]
    factors = (seen[1:] - seen[0]) / 255  # (colour, channel)
    for order, matrix in (("RGB", factors), ("BGR", factors[::-1])):
        scale = np.diag(matrix)
        if scale.all() and np.allclose(matrix, np.diag(scale), atol=1e-6):
            return {"colour_order": order, "scale": tidy(scale), "offset": tidy(seen[0])}
    raise ValueError(f"the pixel scaling of '{backbone}' mixes colours; it cannot be a factor and an offset per channel")


def tidy(values: np.ndarray) -> list[float]:
    """Return numbers without the noise of float32."""
    return [float(f"{value:.7g}") + 0.0 for value in values]


def home(backbone: str) -> Any:
    """Return the module that defines a backbone and its `preprocess_input`."""
    return sys.modules[getattr(keras.applications, known(backbone)).__module__]


def parts(model: keras.Model) -> keras.Model:
    """Return the backbone of a network from `build`, or of one that was saved and loaded.

    Raises:
        ValueError: no backbone in it.
    """
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if len(nested) != 1:
        raise ValueError(f"'{model.name}' has {len(nested)} nested models; expected one, the backbone")
    return nested[0]


def freeze(model: keras.Model) -> None:
    """Keep the backbone's weights as they are, so that only the head learns; compile afterwards."""
    parts(model).trainable = False


def unfreeze(model: keras.Model, share: float = 1.0) -> None:
    """Let the last layers of a backbone that came with weights learn; compile afterwards.

    Its batch normalisation stays frozen.

    Args:
        model: from `build`.
        share: of the backbone's other layers that have weights, counted from its end, in [0, 1].

    Raises:
        ValueError: an impossible share.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of layers to fine-tune is {share}; expected 0 to 1")
    body = parts(model)
    body.trainable = True
    still = set(norms(body))
    able = [layer for layer in body.layers if layer.weights and layer not in still]
    learning = set(able[len(able) - round(share * len(able)) :])
    for layer in body.layers:  # one by one: Keras does not pass on a value that the model has already
        layer.trainable = layer in learning


def norms(body: keras.Model) -> list[keras.layers.Layer]:
    """Return a backbone's batch normalisations."""
    return [layer for layer in body.layers if isinstance(layer, layers.BatchNormalization)]


def pretrained(backbone: str, size: int, weights: str | Path) -> keras.Model:
    """Return a backbone without its top, with its weights."""
    make = getattr(keras.applications, known(backbone))
    if str(weights) == "imagenet":
        try:
            return fetched(lambda side: construct(make, side, "imagenet"), backbone, size)
        except Unfit:  # NASNet's weights are only given at the size they were trained at
            original = fetched(lambda side: construct(make, side, "imagenet"), backbone, native(backbone))
        body = construct(make, size)
        body.set_weights(original.get_weights())
        return body
    if str(weights) != "none" and not Path(weights).is_file():
        raise ValueError(f"weights '{weights}' do not exist; expected imagenet, none or a file of {backbone}'s weights")
    body = construct(make, size)
    if str(weights) != "none":
        load(body, lambda: construct(make, native(backbone), top=True), Path(weights), backbone)
    return body


class Unfit(ValueError):
    """A size that a backbone cannot take with these weights."""


def construct(make: Callable[..., keras.Model], size: int, weights: str | None = None, top: bool = False) -> keras.Model:
    """Return a backbone as Keras builds it."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):  # Keras says on standard output that it downloads
            warnings.filterwarnings("ignore", ".*input_shape. is undefined or non-square")  # MobileNets take 224's weights at any size
            return make(include_top=top, weights=weights, input_shape=(size, size, 3))
    except ValueError as error:
        least = re.search(r"at least (\d+)x\1", str(error))
        if least:
            raise ValueError(f"{make.__name__} needs images of at least {least[1]} pixels a side; got {size}") from None
        raise Unfit(f"{make.__name__} does not take {size} x {size} images: {' '.join(str(error).split())[:200]}") from None


def fetched(build_at: Callable[[int], keras.Model], backbone: str, size: int) -> keras.Model:
    """Return a backbone with the weights that Keras fetches, or say which file to bring."""
    try:
        return build_at(size)
    except ValueError:
        raise
    except Exception as error:  # Keras raises a bare Exception where the network is missing
        reason = " ".join(str(error).split())
        address = re.search(r"https?://\S+", reason)
        what = (
            f"fetch {address[0].rstrip(':')} on a machine with network" if address else f"fetch its file on a machine with network ({reason[:200]})"
        )
        raise ValueError(
            f"the ImageNet weights of {backbone} could not be fetched: {what}, bring the file here and say --weights FILE; "
            "or start without with --weights none"
        ) from None


def load(body: keras.Model, whole: Callable[[], keras.Model], path: Path, backbone: str) -> None:
    """Put a file's weights into a backbone; `whole` builds the one with its top, for files that have one."""
    kept = body.get_weights()
    try:
        if path.suffix == ".keras":
            take(body, keras.saving.load_model(path, compile=False, safe_mode=True))
        else:
            body.load_weights(path)
    except Exception as first:  # Keras raises whatever the broken part raises
        try:
            if path.suffix == ".keras":
                raise
            body.set_weights(kept)
            full = whole()
            full.load_weights(path)
            take(body, full)
        except Exception:
            reason = " ".join(str(first).split())[:200]
            raise ValueError(
                f"'{path.name}' does not hold the weights of {backbone}: {reason}; give the file that Keras has for {backbone}"
            ) from None
    mend(body)


def take(body: keras.Model, other: keras.Model) -> None:
    """Copy the weights of the model, or the nested model, that starts with the same layers."""
    shapes = [weight.shape for weight in body.weights]
    for model in (other, *(layer for layer in other.layers if isinstance(layer, keras.Model))):
        if [weight.shape for weight in model.weights[: len(shapes)]] == shapes:
            return body.set_weights(model.get_weights()[: len(shapes)])
    raise ValueError(f"no part of it has the {len(shapes)} weights of {body.name}")


def mend(body: keras.Model) -> None:
    """Make up for a layer that Keras adds to EfficientNetB0 to B7 only where it fetches ImageNet's weights itself.

    Those weights keep the deviation where the variance belongs, and that layer divides
    by the root that is missing; squaring the numbers does the same.

    Reference:
        https://github.com/tensorflow/tensorflow/issues/49930
    """
    for layer in body.layers:
        if isinstance(layer, layers.Normalization) and layer.weights:
            mean, variance, *count = layer.get_weights()
            if np.allclose(variance, DEVIATION, atol=1e-3):
                layer.set_weights([mean, variance**2, *count])
            layer.finalize_state()  # it works with copies of its weights
