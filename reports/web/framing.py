"""From an upload to what the network sees: as it is, cut around the face, or refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.web.refusal import Refusal
from xai.errors import ImageError, ModelError
from xai.faces import Face, centre

FRAME = 1.9  # a picture framed as FFHQ's is about so many times as high as its face from hairline to chin
NEARLY = 1.25  # up to so many times the network's size, pixels are cut out and not resampled: that would blur the traces looked for


@dataclass(frozen=True, slots=True)
class View:
    """What the network sees of an upload.

    Args:
        pixels: uint8 `(h, w, 3)`, RGB, not yet resized.
        box: top, left, height, width of it on the upload.
        note: what was done to the upload, "" for nothing.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    note: str = ""


def frame(image: np.ndarray, preprocessing: Any) -> View:
    """Return the part of an upload that the network is to see.

    What has the network's size is cut as the model's card says, and goes straight in where it says nothing. So is any
    picture where the card asks for a face. What is larger is cut around the face where one is found, else in the
    middle, as wide as the pictures that the network was trained on.

    Args:
        image: uint8 `(h, w, 3)`, RGB.
        preprocessing: the detector's.

    Raises:
        Refusal: it is smaller than the network's input, or has no face where the card asks for one.
    """
    height, width = image.shape[:2]
    need = preprocessing.height, preprocessing.width
    framed = preprocessing.crop in ("none", "centre")  # what it was trained on: pictures framed alike
    if not framed or (height, width) == need:
        try:
            pixels, box = preprocessing.view(image)
        except ImageError as error:
            raise Refusal(422, f"{error}, and this model sees faces only; send a picture of one face") from None
        if box is None:
            return View(image, (0, 0, height, width))
        what = "middle" if framed else "face"
        return View(pixels, (box.top, box.left, box.side, box.side), f"cut to the {what}: {box.side} × {box.side} of {width} × {height} pixels")
    share = centre.SHARE if preprocessing.crop == "centre" else 1.0
    if height < need[0] or width < need[1]:
        raise Refusal(422, f"the image has {width} × {height} pixels; this model needs at least {need[1]} × {need[0]}; send a larger one")
    face = found(image)
    box = window(face, (height, width), need, share)
    top, left, high, wide = box
    where = "around the face" if face else "from the middle, no face was found"
    cut = "" if (high, wide) == (height, width) else f"cut {where}: {wide} × {high} of {width} × {height} pixels"
    smaller = "" if (high, wide) == need else f"made smaller to {need[1]} × {need[0]}"
    note = ", then ".join(filter(None, [cut, smaller]))
    return View(np.ascontiguousarray(image[top : top + high, left : left + wide]), box, note)


def found(image: np.ndarray) -> Face | None:
    """Return the largest face; None also where the face mesh is not installed."""
    from xai.faces import mesh

    try:
        return mesh.find(image)
    except ModelError:
        return None


def window(face: Face | None, image: tuple[int, int], need: tuple[int, int], share: float = 1.0) -> tuple[int, int, int, int]:
    """Return where to cut: top, left, height and width, of the network's shape and never smaller than it.

    Args:
        face: to be in the middle; None for the image's middle.
        image: `(height, width)` of the upload, no side shorter than the network's.
        need: `(height, width)` of the network.
        share: of each side of a picture framed as FFHQ's, what the network sees in its middle.

    Example:
        >>> window(None, (300, 400), (256, 256))  # nearly the network's size: pixels stay as they are
        (22, 72, 256, 256)
        >>> window(None, (1000, 2000), (256, 256))
        (0, 500, 1000, 1000)
        >>> window(Face(100, 100, 500, 400, 0.9), (1000, 2000), (256, 256))
        (0, 0, 760, 760)
        >>> window(None, (1000, 2000), (256, 256), share=0.625)
        (188, 688, 625, 625)
    """
    most = min(image[0] / need[0], image[1] / need[1])
    wanted = most if face is None else FRAME * (face.bottom - face.top) / need[0]
    factor = min(max(share * wanted, 1.0), most)
    factor = 1.0 if factor < NEARLY else factor
    size = [min(math.floor(side * factor), whole) for side, whole in zip(need, image, strict=True)]
    middle = [side / 2 for side in image] if face is None else [(face.top + face.bottom) / 2, (face.left + face.right) / 2]
    start = [min(max(round(centre - side / 2), 0), whole - side) for centre, side, whole in zip(middle, size, image, strict=True)]
    return start[0], start[1], size[0], size[1]
