"""A turned square of an image as a small picture, and places on it back on the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

EDGES = {"black": cv2.BORDER_CONSTANT, "repeat": cv2.BORDER_REPLICATE}


@dataclass(frozen=True, slots=True)
class Square:
    """A square on an image; may reach over its edges.

    Args:
        centre: (y, x) in pixels; pixel i spans [i, i + 1).
        side: in pixels.
        angle: by which it is turned clockwise, in radians.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0

    def outward(self, points: np.ndarray, size: int) -> np.ndarray:
        """Return points of a picture of this square as points of the image.

        Args:
            points: `(..., 2)`, pixels (y, x) of the picture.
            size: side of the picture in pixels.

        Returns:
            float64 `(..., 2)`, pixels (y, x) of the image.

        Example:
            >>> Square((10.0, 20.0), 8.0, np.pi / 2).outward(np.array([[2.0, 4.0]]), 4).tolist()  # the right middle points down
            [[14.0, 20.0]]
        """
        y, x = np.moveaxis((np.asarray(points, np.float64) - size / 2) * (self.side / size), -1, 0)
        sine, cosine = turn(self.angle)
        return np.stack([self.centre[0] + cosine * y + sine * x, self.centre[1] + cosine * x - sine * y], -1)


def turn(angle: float) -> tuple[float, float]:
    """Return sine and cosine, exact at right angles."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return (round(sine), round(cosine)) if min(abs(sine), abs(cosine)) < 1e-12 else (sine, cosine)


def cut_patch(image: np.ndarray, square: Square, size: int, edge: str = "repeat") -> np.ndarray:
    """Return a square of an image, upright.

    A large image is first reduced by averaging areas, so that nothing is lost between samples.

    Args:
        image: uint8 `(h, w, 3)`.
        square: where.
        size: side of the picture in pixels.
        edge: what lies beyond the image: "black" or "repeat" (its outer pixels).

    Returns:
        uint8 `(size, size, 3)`.
    """
    height, width = image.shape[:2]
    scale = size / square.side
    if scale < 1:
        shrunk = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
    across, down = image.shape[1] / width, image.shape[0] / height
    corners = square.outward(np.array([[0.5, 0.5], [0.5, 1.5], [1.5, 0.5]]), size) * (down, across) - 0.5  # where pixels (0, 0), (0, 1), (1, 0) lie
    origin, right, below = (corner[::-1] for corner in corners)
    matrix = np.stack([right - origin, below - origin, origin], 1)  # (2, 3), (x, y) of the picture -> (x, y) of the image
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=EDGES[edge])
