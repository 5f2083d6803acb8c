"""Faces by MTCNN: three small networks, each checking what the one before proposed.

Reference: Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment Using Multitask
Cascaded Convolutional Networks", 2016, arXiv 1604.02878.
"""

from __future__ import annotations

import random
from functools import cache
from threading import Lock
from typing import Any

import cv2
import numpy as np

from xai.faces import OUTLINE, Face, largest, missing

MARGIN = OUTLINE
SIDE = 224  # shorter side of what MTCNN sees, pixels
LONGEST = 1024  # longer side at most
LOCK = Lock()


def find(image: np.ndarray) -> Face | None:
    """Return the largest face, None where there is none.

    The image is scaled to a shorter side of 224 pixels first: only a box is wanted, its place
    then does not depend on the resolution, and at that size the coarsest level of the package's
    image pyramid is just large enough for a face that fills the image. Portraits pasted into a
    larger picture were all found down to a face of 7 % of the shorter side.

    Args:
        image: uint8 `(h, w, 3)`, RGB (the package's order as well).

    Returns:
        The face, in pixels of `image`.

    Raises:
        ModelError: the package is not installed.
    """
    height, width = image.shape[:2]
    scale = min(SIDE / min(height, width), LONGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    with LOCK:
        found = network().detect_faces(small, fit_to_image=False, box_format="xyxy", output_type="numpy")
    down, across = height / size[1], width / size[0]
    faces = [Face(float(y0 * down), float(x0 * across), float(y1 * down), float(x1 * across), float(p)) for _, x0, y0, x1, y1, p, *_ in found]
    return next(iter(largest(faces)), None)


def ready() -> None:
    """Load the finder now.

    Raises:
        ModelError: the package is not installed.
    """
    with LOCK:
        network()


@cache
def network() -> Any:
    """Return the three networks, on the CPU and in full precision; leaves no trace in a training's settings or seeds."""
    try:
        from mtcnn import MTCNN
    except ImportError:
        raise missing("mtcnn", "mtcnn", "mtcnn") from None
    import keras

    policy, state = keras.config.dtype_policy(), random.getstate()  # Keras draws the seeds of first weights from `random`
    keras.config.set_dtype_policy("float32")
    try:
        return MTCNN(device="CPU:0")
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)
