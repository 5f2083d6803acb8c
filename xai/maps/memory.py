"""How many images fit into one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai.free import free

PIXELS = 4 * 1024 * 1024  # more at once is no faster: early layers are far larger than the caches by then
MOST = 32
SHARE = 0.25  # of the free memory that one pass may take
COPIES = 3  # of every layer's output: the value, its gradient, and what the convolution works in


def batch_size(detector: Any) -> int:
    """Return how many images go through the pass at once.

    About four million pixels and 32 images at most, fewer where the layers' outputs and
    gradients would fill a quarter of the free memory.

    Args:
        detector: its graph's shapes are read; a black box goes by its pixels alone.
    """
    height, width = detector.size
    by_speed = int(np.clip(PIXELS // (height * width), 1, MOST))
    by_memory = int(SHARE * free() // (COPIES * image_bytes(detector)))
    return max(1, min(by_speed, by_memory))


def image_bytes(detector: Any) -> int:
    """Return the bytes of all layers' outputs for one image, in float32."""
    height, width = detector.size
    steps = detector.graph.steps if detector.gradients else []
    values = sum(int(np.prod([length or 1 for length in step.shape[1:]])) for step in steps)
    return 4 * (values + 3 * height * width)
