"""The upright face: places in its own frame, rectangles of it as pixels, and those laid back on the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xai.regions import meshpoints

OUTSIDE = -3.0  # log odds around what is laid on a picture


@dataclass(frozen=True, slots=True)
class Frame:
    """The upright face: its outline's middle is the origin, the eyes' line the horizontal.

    Args:
        origin: (y, x) in pixels of the image.
        axes: down and right, `(2, 2)`: the pixels (y, x) of the image that a unit takes.
        unit: pixels of the image; the root mean square distance of the outline from its middle, about half a face.
    """

    origin: np.ndarray
    axes: np.ndarray
    unit: float

    @classmethod
    def of(cls, points: np.ndarray) -> Frame:
        """Return the frame of a mesh, pixels (y, x)."""
        points = points.astype(np.float64)
        outline, across = points[list(meshpoints.OUTLINE)], points[263] - points[33]
        origin = outline.mean(0)
        unit = max(float(np.sqrt(((outline - origin) ** 2).sum(1).mean())), 1e-9)
        y, x = across / max(float(np.hypot(*across)), 1e-9) * unit
        return cls(origin, np.array([[x, -y], [y, x]]), unit)

    def inward(self, points: np.ndarray) -> np.ndarray:
        """Return pixels `(..., 2)` (y, x) of the image in units of the frame."""
        return (points - self.origin) @ self.axes.T / self.unit**2

    def outward(self, places: np.ndarray) -> np.ndarray:
        """Return places of the frame as pixels of the image."""
        return places @ self.axes + self.origin


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of the upright face as pixels.

    Args:
        frame: of the face.
        top, left: its corner, in units.
        detail: pixels a unit.
        size: `(h, w)` in pixels.
    """

    frame: Frame
    top: float
    left: float
    detail: int
    size: tuple[int, int]

    def matrix(self) -> np.ndarray:
        """Return what turns (x, y, 1) of the view's pixels, counted by their middles, into those of the image."""
        axes = self.frame.axes / self.detail
        corner = self.frame.outward(np.array([self.top, self.left])) + axes.sum(0) / 2 - 0.5
        return np.array([[axes[1, 1], axes[0, 1], corner[1]], [axes[1, 0], axes[0, 0], corner[0]]])

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Return the view of an image; a fine one is reduced by whole factors first, so that nothing is lost between samples."""
        matrix = self.matrix()
        factor = max(1, int(self.frame.unit / self.detail))
        if factor > 1:
            height, width = (side // factor * factor for side in image.shape[:2])
            image = cv2.resize(image[:height, :width], (width // factor, height // factor), interpolation=cv2.INTER_AREA)
            matrix = matrix / factor
            matrix[:, 2] += 0.5 / factor - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix, self.size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Return places of the frame `(..., 2)` as pixels (y, x) of the view."""
        return (places - (self.top, self.left)) * self.detail

    def lay(self, values: np.ndarray, corner: tuple[int, int], size: tuple[int, int], scale: tuple[float, float]) -> Patch | None:
        """Return a part of the view, beginning at its pixel `corner`, as part of a picture `size` that shows the image at `scale` (down, across)."""
        matrix = self.matrix()
        matrix[:, 2] += matrix[:, :2] @ np.array(corner[::-1]) + 0.5
        matrix = matrix * np.array(scale[::-1])[:, None] - [[0, 0, 0.5], [0, 0, 0.5]]
        h, w = values.shape
        corners = matrix @ np.array([[0, w - 1, 0, w - 1], [0, 0, h - 1, h - 1], [1, 1, 1, 1]])  # (x, y)
        left, top = np.maximum(np.floor(corners.min(1)).astype(int), 0).tolist()
        right, bottom = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, size[::-1]).tolist()
        if right <= left or bottom <= top:
            return None
        matrix[:, 2] -= left, top
        laid = cv2.warpAffine(
            values, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=OUTSIDE
        )
        return Patch(top, left, laid)


@dataclass(frozen=True, slots=True)
class Patch:
    """Log odds, float32 `(h, w)`, of the pixels of a picture from (top, left) on; all others lie outside the area."""

    top: int
    left: int
    values: np.ndarray

    def of(self, picture: np.ndarray) -> np.ndarray:
        """Return the part of a picture `(h, w)` that the patch lies on, not a copy."""
        h, w = self.values.shape
        return picture[self.top : self.top + h, self.left : self.left + w]


def fill(picture: np.ndarray, polygon: np.ndarray, value: float) -> None:
    """Fill a polygon `(n, 2)` in place; pixels (y, x), pixel i spans [i, i + 1).

    Example:
        >>> picture = np.zeros((4, 4), np.uint8)
        >>> fill(picture, np.array([[0.5, 1.5], [0.5, 2.5], [2.5, 2.5], [2.5, 1.5]]), 7)
        >>> picture.tolist()
        [[0, 7, 7, 0], [0, 7, 7, 0], [0, 7, 7, 0], [0, 0, 0, 0]]
    """
    corners = np.round((np.asarray(polygon)[:, ::-1] - 0.5) * 16).clip(-1e6, 1e6).astype(np.int32)
    cv2.fillPoly(picture, [corners], value, shift=4)
