"""What every map method that only asks a function returns, and how the function is asked.

The function may be anything that takes pixels and gives a logit: a Keras detector's
`logits`, an ONNX file, a Python function. Perturbed images are written one after
another into one buffer of `batch_size` images, which is all the memory they take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from xai.errors import WhyfakeError

Logits = Callable[[np.ndarray], np.ndarray]  # float32 (n, H, W, 3) -> float32 (n,), the logit of fake


@dataclass(frozen=True, slots=True)
class Answer:
    """Maps of a batch, and what else the method found out.

    Args:
        maps: float32 `(N, h, w)`, raw; signed where the method has a sign, in logits where it is.
        extras: by name, a number per image `(N,)` or a map per image `(N, h, w)`.
    """

    maps: np.ndarray
    extras: dict[str, np.ndarray] = field(default_factory=dict)


def checked(images: np.ndarray) -> np.ndarray:
    """Return a batch as float32, or say what is wrong with it.

    Args:
        images: `(N, H, W, 3)`, any number type, as the network wants them.

    Returns:
        float32 `(N, H, W, 3)`; the same array where it is that already.

    Raises:
        WhyfakeError: another shape.

    Example:
        >>> checked(np.zeros((2, 4, 4, 3))).dtype
        dtype('float32')
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        raise WhyfakeError(f"images of shape {images.shape} cannot be explained; expected (N, height, width, 3)")
    return np.ascontiguousarray(images, np.float32)


def ask(logits: Logits, images: np.ndarray) -> np.ndarray:
    """Return the function's answer to a batch, checked.

    Args:
        logits: the function.
        images: float32 `(n, H, W, 3)`.

    Returns:
        float64 `(n,)`, in logits.

    Raises:
        WhyfakeError: an answer of another shape, or with NaN or infinity in it.

    Example:
        >>> ask(lambda images: images.sum((1, 2, 3)), np.ones((2, 1, 1, 3), np.float32)).tolist()
        [3.0, 3.0]
    """
    found = np.asarray(logits(images), np.float64)
    if found.shape != (len(images),):
        raise WhyfakeError(f"the function answers {len(images)} images with shape {found.shape}; expected ({len(images)},), a logit per image")
    if not np.isfinite(found).all():
        raise WhyfakeError("the function answers with NaN or infinity on some image; expected finite logits")
    return found


def sweep(logits: Logits, size: tuple[int, int], count: int, draw: Callable[[int, np.ndarray], None], batch_size: int) -> np.ndarray:
    """Return the logits of images that are drawn as they are needed.

    Args:
        logits: the function. Its input is a buffer that is written over afterwards: one that keeps
            its input copies it.
        size: `(H, W)` of the images, in pixels.
        count: how many.
        draw: `draw(index, out)` fills `out`, float32 `(H, W, 3)`; called with 0, 1, … in order.
        batch_size: images at once.

    Returns:
        float64 `(count,)`, in logits.

    Raises:
        WhyfakeError: a batch size below 1, or an answer that is no logit per image.

    Example:
        >>> sweep(lambda images: images[:, 0, 0, 0], (1, 1), 3, lambda index, out: out.fill(index), 2).tolist()
        [0.0, 1.0, 2.0]
    """
    if batch_size < 1:
        raise WhyfakeError(f"a batch size of {batch_size}; expected 1 or more")
    buffer = np.empty((min(batch_size, count), *size, 3), np.float32)
    found = np.empty(count)
    for start in range(0, count, batch_size):
        part = buffer[: count - start]
        for index, out in enumerate(part, start):
            draw(index, out)
        found[start : start + len(part)] = ask(logits, part)
    return found
