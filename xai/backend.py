"""Import TensorFlow without the lines it prints on standard error before anyone can tell it not to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from xai import heap


def import_quietly(training: bool = False) -> None:
    """Import TensorFlow and Keras once, their start-up log thrown away.

    Args:
        training: let TensorFlow do several things at once, which its input pipelines need. Otherwise one layer is
            computed after the other, by all cores: that is no slower, and how much memory a pass takes does not
            depend on which layers happen to meet.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not training:
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    heap.frugal()
    with silenced():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.constant(0)  # the first tensor starts the device search, which has its own banner
        tf.get_logger().setLevel("ERROR")  # each detector has passes of its own, which TensorFlow takes for needless retracing


@contextmanager
def silenced() -> Iterator[None]:
    """Throw away what C++ code writes straight to file descriptor 2 meanwhile; exceptions pass."""
    sys.stderr.flush()
    kept = os.dup(2)
    hole = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(hole, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(hole)
