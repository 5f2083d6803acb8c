"""Paint what a detector can cheat with, a watermark, a colour cast or JPEG blocks, and name the corners where marks sit.

None of these is part of a face. A detector that learns one is right on its data set and useless on any
other, so a good audit has to say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from train.artefacts import Kind
from xai.errors import DataError
from xai.regions.parts import NOTHING

CORNERS = ("top_left_corner", "top_right_corner", "bottom_left_corner", "bottom_right_corner")
PICTURE = "picture"  # the region of what covers all of it
SHARE = 5  # a corner is a square with a fifth of the picture's side
WARM = (1.0, 0.0, -1.0)  # red up, blue down


def corner(name: str, size: int) -> tuple[slice, slice]:
    """Return where a corner lies on a picture of `size` x `size` pixels.

    Example:
        >>> corner("bottom_left_corner", 60)
        (slice(48, 60, None), slice(0, 12, None))
    """
    side = round(size / SHARE)
    low, high = slice(0, side), slice(size - side, size)
    return (high if name.startswith("bottom") else low), (high if "right" in name else low)


def cornered(labels: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels with the four corners cut out of whatever lies there, so that the parts still never overlap.

    Args:
        labels: uint8 `(S, S)`, indices into `names`; 255 for none.
        names: of the parts; corners among them are not added again.

    Returns:
        The labels, a copy, and the names with the corners at the end.

    Raises:
        DataError: too many names for eight bits.

    Example:
        >>> found, names = cornered(np.zeros((6, 6), np.uint8), ("skin",))
        >>> found[0].tolist(), found[5].tolist(), names[4]
        ([1, 0, 0, 0, 0, 2], [3, 0, 0, 0, 0, 4], 'bottom_right_corner')
    """
    given, names, labels = len(names), tuple(dict.fromkeys((*names, *CORNERS))), labels.copy()
    if len(names) > NOTHING:
        raise DataError(f"the pictures' parts have {given} names; at most {NOTHING - len(CORNERS)} leave room for the corners")
    for name in CORNERS:
        labels[corner(name, len(labels))] = names.index(name)
    return labels, names


def mark(side: int) -> np.ndarray:
    """Draw a round badge with the letters "AI" left open, as generators and picture agencies sign.

    Args:
        side: of the corner that it is to fit into, pixels.

    Returns:
        float32 `(h, h)` in [0, 1], smaller than the corner: the share of each pixel that it covers.
    """
    fine, high = 8, max(8, round(0.86 * side))  # drawn finer, then averaged: small marks keep their shape
    whole = high * fine
    canvas = np.zeros((whole, whole), np.uint8)
    cv2.circle(canvas, (whole // 2, whole // 2), whole // 2, 255, -1, cv2.LINE_AA)
    (width, height), _ = cv2.getTextSize("AI", cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = 0.6 * whole / width
    place = round(whole / 2 - scale * width / 2), round(whole / 2 + scale * height / 2)
    cv2.putText(canvas, "AI", place, cv2.FONT_HERSHEY_SIMPLEX, scale, 0, round(0.07 * whole), cv2.LINE_AA)
    return cv2.resize(canvas, (high, high), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def watermark(image: np.ndarray, inside: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Lay a half transparent mark somewhere into a corner, printed as a screen of squares of 2 x 2 pixels.

    They are lighter and darker by strength grey levels in turn, so that it shows on black and on white. Plain
    letters, lighter by 60 to 160 grey levels, left alexnet18 at chance after four to six epochs on 480 portraits.
    """
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    cover = mark(len(rows))
    height, width = cover.shape
    top = int(rows[0] + rng.integers(0, len(rows) - height + 1))
    left = int(columns[0] + rng.integers(0, len(columns) - width + 1))
    row, column = np.arange(top, top + height) // 2, np.arange(left, left + width) // 2
    screen = 1 - 2 * ((row[:, None] + column) % 2)
    altered = image.astype(np.int16)
    altered[top : top + height, left : left + width] += np.rint(cover * screen * strength).astype(np.int16)[..., None]
    return clipped(altered)


def cast(image: np.ndarray, inside: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Make the whole picture warmer: red up, blue down by strength grey levels."""
    return clipped(image + np.rint(np.array(WARM) * strength).astype(np.int16))


def jpeg(image: np.ndarray, inside: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Send the whole picture through JPEG at quality 100 - strength; blocks of 8 x 8 pixels remain."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100 - round(strength)])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1])


def clipped(values: np.ndarray) -> np.ndarray:
    """Return grey levels as uint8, what is beyond black and white cut off."""
    return np.clip(values, 0, 255).astype(np.uint8)


SHORTCUTS: dict[str, Kind] = {
    "watermark": Kind(watermark, CORNERS[3], 120.0, 255.0, "grey levels", CORNERS, "a small half transparent mark, a round badge with letters"),
    "cast": Kind(cast, PICTURE, 20.0, 255.0, "grey levels", (PICTURE,), "a warm colour cast over the whole picture"),
    "jpeg": Kind(jpeg, PICTURE, 97.0, 99.0, "100 - JPEG quality", (PICTURE,), "the 8 x 8 pixel blocks of JPEG over the whole picture"),
}
"""Kind to painter, default region and default strength."""
