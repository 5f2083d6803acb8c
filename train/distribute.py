"""Where the numbers are crunched: one device or all of one machine, in full or mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


def scope(devices: str) -> Any:
    """Return the context in which a model is built and compiled.

    Args:
        devices: "one", or "all" GPUs of this machine (its CPUs where it has none): every
            step's batch is divided among them (`tf.distribute.MirroredStrategy`).
    """
    if devices == "one":
        return nullcontext()
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in found]).scope()


@contextmanager
def policy(precision: str) -> Iterator[None]:
    """Build layers in a precision, for the time of a `with`."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
