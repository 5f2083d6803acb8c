"""What stands in for the hidden part of an image.

No fill is neutral: a detector of generated faces may take a grey patch or a smooth one
for a trace. Each measures "what if this had been so instead", and the name says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from xai.errors import WhyfakeError

FILLS = ("mean", "black", "blur")
BLUR = 16  # a blur's sigma is the longer side divided by this: half of a patch of 1/8, so that nothing of it stays
FINE = 4.0  # sigma in pixels from which on a blur is computed on a smaller image


def fill(image: np.ndarray, kind: str | np.ndarray, low: float = 0.0) -> np.ndarray:
    """Return what stands in for the pixels of an image.

    Args:
        image: float32 `(H, W, 3)`, any range.
        kind: "mean" (the image's own mean colour), "black" (`low` everywhere), "blur" (the image
            under a Gaussian whose sigma is the longer side / 16), or an array that broadcasts to
            the image: a number, a colour `(3,)`, another image.
        low: the value of black in the image's range, `Preprocessing.low`: 0 for [0, 255] and
            [0, 1], -1 for [-1, 1].

    Returns:
        float32 `(H, W, 3)`, a new array, in the image's range.

    Raises:
        WhyfakeError: an unknown kind, or an array that does not fit.

    Example:
        >>> image = np.array([[[0, 2, 4], [2, 4, 6]]], np.float32)
        >>> fill(image, "mean").tolist()
        [[[1.0, 3.0, 5.0], [1.0, 3.0, 5.0]]]
        >>> fill(image, "black", low=-1.0)[0, 0].tolist()
        [-1.0, -1.0, -1.0]
    """
    if isinstance(kind, str):
        if kind not in FILLS:
            raise WhyfakeError(f"fill '{kind}' is not known; expected {', '.join(FILLS)} or an array")
        if kind == "blur":
            return blurred(image)
        values = image.mean((0, 1)) if kind == "mean" else np.asarray(low)
    else:
        values = np.asarray(kind)
    try:
        return np.array(np.broadcast_to(values, image.shape), np.float32, order="C")
    except ValueError as error:
        raise WhyfakeError(f"a fill of shape {values.shape} does not fit; expected one that broadcasts to {image.shape}") from error


def fills_of(images: np.ndarray, kind: str | np.ndarray, low: float = 0.0) -> Iterator[np.ndarray]:
    """Yield the fill of each image.

    Args:
        images: float32 `(N, H, W, 3)`.
        kind: as in `fill`, or an array `(N, H, W, 3)`: one of its own for each image.
        low: as in `fill`.

    Yields:
        float32 `(H, W, 3)`.

    Raises:
        WhyfakeError: an unknown kind, or an array that does not fit.
    """
    single = isinstance(kind, str) or np.ndim(kind) < 4
    if not single and len(kind) != len(images):
        raise WhyfakeError(f"fills for {len(kind)} images; expected one for each of {len(images)}")
    for index, image in enumerate(images):
        yield fill(image, kind if single else kind[index], low)


def blurred(image: np.ndarray) -> np.ndarray:
    """Return an image under a strong Gaussian, sigma = longer side / 16 pixels.

    A wide kernel on a large image takes seconds and shows nothing that a smaller image
    would not: where sigma passes 4 pixels, the image is shrunk (areas averaged) until it is 4,
    blurred, and enlarged (bilinear).

    Args:
        image: float32 `(H, W, 3)`.

    Returns:
        float32 `(H, W, 3)`, in the image's range.
    """
    height, width = image.shape[:2]
    sigma = max(height, width) / BLUR
    shrink = max(1.0, sigma / FINE)
    small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    part = image if shrink == 1 else cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    part = cv2.GaussianBlur(part, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT)
    return part if shrink == 1 else cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)


def veil(image: np.ndarray, hidden: np.ndarray) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return a painter of an image seen through a mask.

    Args:
        image, hidden: float32 `(H, W, 3)`, shown where the mask is 1 and where it is 0.

    Returns:
        `paint(mask, out)`: writes mask * image + (1 - mask) * hidden into `out`, float32
        `(H, W, 3)`; the mask is float32 `(H, W)`.

    Example:
        >>> out = np.empty((1, 2, 3), np.float32)
        >>> paint = veil(np.full((1, 2, 3), 8, np.float32), np.full((1, 2, 3), 4, np.float32))
        >>> paint(np.array([[1, 0.25]], np.float32), out)
        >>> out[..., 0].tolist()
        [[8.0, 5.0]]
    """
    difference = image - hidden
    lit = bool(hidden.any())

    def paint(mask: np.ndarray, out: np.ndarray) -> None:
        cv2.merge([mask, mask, mask], out)  # a mask broadcast over three channels is four times slower in NumPy
        np.multiply(out, difference, out=out)
        if lit:
            np.add(out, hidden, out=out)

    return paint
