"""Where the numbers are crunched: one device, all of one machine, or several machines as one; in full or mixed precision."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from xai.backend import import_quietly, silenced
from xai.errors import WhyfakeError


def scope(devices: str) -> Any:
    """Return the context in which a model is built, compiled and trained by one process.

    Args:
        devices: "one" or "all" of this machine.

    Raises:
        WhyfakeError: "workers", which take a `train.team.Team`.
    """
    if devices == "workers":
        raise WhyfakeError("this network is trained on one machine; expected --devices one or all")
    return mirrored().scope() if devices == "all" else nullcontext()


@functools.cache
def mirrored() -> Any:
    """Return what divides every step's batch among all GPUs of this machine, or its CPUs where it has none: `tf.distribute.MirroredStrategy`.

    One for all trainings of a process: a second strategy would number its sums over the devices
    from the start again, and TensorFlow take them for those of the first.
    """
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in found])


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


def prepare(devices: str) -> None:
    """Import TensorFlow without its start-up lines; for workers also without its first tensor, before which they have to meet."""
    if devices != "workers":
        import_quietly(training=True)
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
