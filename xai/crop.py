"""The face as a square box: found, enlarged by a fixed margin, kept inside the image."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from types import ModuleType

import numpy as np

from xai.errors import FACELESS, ModelError, NoFaceError
from xai.faces import OUTLINE, Face

CROPS = ("none", "centre", "mtcnn", "mesh")
SMALLEST = 8  # pixels a side, as for any image
KNOWN = 65_536  # boxes remembered: a second epoch, and pictures drawn at the end, need no second search
LOCK = Lock()
BOXES: dict[tuple[str, tuple[int, ...], bytes], Box | None] = {}  # None: no face


@dataclass(frozen=True, slots=True)
class Box:
    """A square part of an image.

    Args:
        top, left: of its first pixel.
        side: in pixels.
        image: `(height, width)` of the image it is a part of.
    """

    top: int
    left: int
    side: int
    image: tuple[int, int]

    def cut(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Return the part of an image, or of anything that lies over it, inside the box.

        Args:
            values: any dtype, height and width at `axis` and the one behind it. Their
                size may differ from the image's (a smaller label image): the box scales along.
            axis: of the height.

        Returns:
            A copy, at least one pixel each way.

        Example:
            >>> masks = np.arange(16).reshape(1, 4, 4)
            >>> Box(2, 4, 4, image=(8, 8)).cut(masks, axis=1).tolist()
            [[[6, 7], [10, 11]]]
        """
        spans = []
        for start, whole, there in zip((self.top, self.left), self.image, values.shape[axis : axis + 2], strict=True):
            first = min(round(start * there / whole), there - 1)
            spans.append(slice(first, max(round((start + self.side) * there / whole), first + 1)))
        return np.ascontiguousarray(values[(slice(None),) * axis + tuple(spans)])


def square(face: Face, size: tuple[int, int], margin: float = OUTLINE) -> Box:
    """Return the square around a face.

    Its side is the longer side of the face's box times the margin, in whole pixels. Where it
    reaches over the image it is moved inside; where it is larger than the image's shorter side
    it shrinks to that.

    Args:
        face: from a finder.
        size: `(height, width)` of the image, pixels.
        margin: 1 keeps the face's own size.

    Example:
        >>> square(Face(40, 45, 60, 55, 0.9), (100, 100))  # 20 high: 24 around (50, 50)
        Box(top=38, left=38, side=24, image=(100, 100))
        >>> square(Face(0, 90, 20, 100, 0.9), (100, 100))  # moved down and to the left
        Box(top=0, left=76, side=24, image=(100, 100))
    """
    height, width = size
    side = whole(max(face.bottom - face.top, face.right - face.left) * margin)
    side = min(max(side, SMALLEST), height, width)
    top = min(max(whole((face.top + face.bottom - side) / 2), 0), height - side)
    left = min(max(whole((face.left + face.right - side) / 2), 0), width - side)
    return Box(top, left, side, (height, width))


def whole(value: float) -> int:
    """Return the nearest whole number, halves upward."""
    return math.floor(value + 0.5)


def find_box(image: np.ndarray, crop: str) -> Box:
    """Return the square around an image's largest face, or in its middle.

    Args:
        image: uint8 `(h, w, 3)`, RGB.
        crop: "centre", "mtcnn" or "mesh".

    Raises:
        NoFaceError: no face was found.
        ModelError: the finder's package is not installed, or no such finder.
    """
    who = finder(crop)
    image = np.ascontiguousarray(image)
    key = crop, image.shape, hashlib.blake2b(image.data, digest_size=16).digest()
    with LOCK:
        known = key in BOXES
        box = BOXES.get(key)
    if not known:
        face = who.find(image)
        box = None if face is None else square(face, image.shape[:2], who.MARGIN)
        with LOCK:
            while len(BOXES) >= KNOWN:
                BOXES.pop(next(iter(BOXES)))
            BOXES[key] = box
    if box is None:
        raise NoFaceError(f"{FACELESS} by {crop}")
    return box


def finder(crop: str) -> ModuleType:
    """Return a finder: a module with `find(image) -> Face | None`, `ready()` and the `MARGIN` of its boxes.

    Raises:
        ModelError: no such finder.

    Example:
        >>> finder("haar")
        Traceback (most recent call last):
        ...
        xai.errors.ModelError: crop 'haar' is not known; expected one of: none, centre, mtcnn, mesh
    """
    if crop not in CROPS[1:]:
        raise ModelError(f"crop '{crop}' is not known; expected one of: {', '.join(CROPS)}")
    return import_module(f"xai.faces.{crop}")


def ready(crop: str) -> None:
    """Load a crop's finder now, so that a missing package is said before any work; "none" needs nothing.

    Raises:
        ModelError: the finder's package is not installed, or no such finder.
    """
    if crop != "none":
        finder(crop).ready()
