"""Describe a person, and hold the canvas on which the picture and the label of every pixel are painted.

A :class:`Person` is a plain record of shapes and colours; :func:`train.parts.render` turns it into pixels.
Every part is a polygon that is filled at the same time in the picture and in the label image,
on a canvas larger than the result, so the labels are the drawing and not a guess about it.

Shapes live in head coordinates: the side of the image is 1, the origin is the middle of the face,
x grows to the viewer's right and y grows downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]  # (n, 2), x and y
Image = npt.NDArray[Any]  # (H, W, 3) or (H, W)
Colour = tuple[float, float, float]  # RGB in [0, 255]

REGIONS: tuple[str, ...] = (
    "background", "skin", "hair", "left_eye", "right_eye", "left_brow", "right_brow", "nose",
    "mouth", "teeth", "left_ear", "right_ear", "earrings", "glasses", "neck", "clothing",
)  # fmt: skip
SIDES = ((-1, "left"), (1, "right"))
EYE, BROW, NOSE, MOUTH, OUTLINE, BEHIND = 0.10, 0.10, 0.16, 0.11, 0.03, -0.01  # depths


@dataclass(frozen=True, slots=True)
class Person:
    """Describe one portrait: pose, light, shapes (image side = 1), colours (RGB, 0 to 255)."""

    seed: int
    shift: tuple[float, float]
    scale: float
    roll: float  # radians
    yaw: float  # positive: the face turns to the viewer's right
    light: tuple[float, float]  # where the light comes from, x and y
    blur: float  # standard deviation of the lens blur, in 512ths of the image side
    face: tuple[float, float, float]  # half width, taper of the jaw, y of the chin
    eye: tuple[float, float, float, float]  # x, half width, half height, tilt
    brow: tuple[float, float, float]  # height above the eye, arch, thickness
    nose: tuple[float, float]  # half width, y of the tip
    mouth: tuple[float, float, float, float]  # half width, smile, opening, fullness
    stubble: float
    style: str
    volume: float  # how far the hair stands off the skull
    hairline: tuple[float, float, float]  # y at the middle, parting, roundness
    length: float  # y where the hair at the back ends
    tucked: bool  # the ears can be seen
    earring: str  # "", "stud", "drop" or "hoop"
    glasses: str  # "", "round", "square" or "oval"
    collar: str
    pattern: int
    backdrop: int
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    cloth: Colour
    metal: Colour
    frame: Colour
    walls: tuple[Colour, Colour]
    # What an artefact alters; the values of a real portrait are these.
    highlights: tuple[float, float] = (0.0, 0.0)  # displacement left and right, in iris radii
    merged: float = 0.0  # 1: no gaps between the teeth
    gap: float = 0.0  # 1: an arc of the spectacle rim is missing
    melt: float = 0.0  # 1: the earrings have run into what is behind them


def mix(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    """Return the colour that lies `share` of the way from `a` to `b`."""
    red, green, blue = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return red, green, blue


def scaled(colour: Sequence[float], factor: float) -> Colour:
    """Return the colour made lighter or darker by a factor."""
    red, green, blue = (min(255.0, c * factor) for c in colour)
    return red, green, blue


def points(x: npt.ArrayLike, y: npt.ArrayLike) -> Points:
    """Join two coordinate lists into (n, 2)."""
    return np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), axis=-1)


def ellipse(x: float, y: float, rx: float, ry: float, n: int = 40) -> Points:
    """Return the outline of an ellipse."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return points(x + rx * np.cos(t), y + ry * np.sin(t))


def ribbon(line: Points, width: npt.ArrayLike) -> Points:
    """Return the outline of a stroke along `line`; `width` may change along it."""
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    offset = across * (np.broadcast_to(np.asarray(width, float), len(line))[:, None] / 2)
    return np.concatenate([line + offset, (line - offset)[::-1]])


def smooth(corners: Sequence[tuple[float, float]], steps: int = 8) -> Points:
    """Return a closed Catmull-Rom curve through the corners."""
    p = np.asarray(corners, float)
    a, b, c, d = (np.roll(p, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
    return ((curve + (3 * b - a - 3 * c + d) * t**3) / 2).reshape(-1, 2)


class Canvas:
    """Hold the oversized picture and its labels while the parts are filled in, back to front."""

    def __init__(self, person: Person, size: int) -> None:
        # Small pictures need more samples a pixel for thin parts to keep their area.
        self.factor = 4 if size <= 160 else 2
        self.person = person
        self.side = size * self.factor
        self.image: Image = np.empty((self.side, self.side, 3), np.uint8)
        self.labels: Image = np.zeros((self.side, self.side), np.uint8)

    def place(self, shape: Points, depth: float | None) -> Points:
        """Turn head coordinates into image coordinates; `depth` None is the body, unturned."""
        p = self.person
        if depth is None:
            return shape * p.scale + 0.5 + np.asarray(p.shift) * 0.8
        x = turned(shape[:, 0], p.yaw, depth)
        y = shape[:, 1]
        cos, sin = np.cos(p.roll) * p.scale, np.sin(p.roll) * p.scale
        return points(x * cos - y * sin, x * sin + y * cos) + 0.5 + np.asarray(p.shift)

    def fill(
        self,
        shape: Points,
        paint: Colour | Image | None,
        region: str = "",
        depth: float | None = EYE,
        inside: Sequence[str] = (),
    ) -> None:
        """Fill a polygon with a colour or a coarse picture, and label it.

        Args:
            shape: outline, (n, 2), head coordinates.
            paint: a colour; a coarse uint8 picture (T, T, 3) of the whole canvas; None to label only.
            region: the label; empty leaves the labels alone.
            depth: how far in front of the turning axis; None for the body.
            inside: only pixels that carry one of these labels are touched.
        """
        pixels = self.place(shape, depth) * self.side - 0.5
        if isinstance(paint, tuple) and not inside:
            fixed = [np.rint(pixels * 16).astype(np.int32)]
            cv2.fillPoly(self.image, fixed, tuple(round(c) for c in paint), shift=4)
            if region:
                cv2.fillPoly(self.labels, fixed, REGIONS.index(region), shift=4)
            return
        low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, self.side)
        if (high <= low).any():
            return
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        labels, image = self.labels[box], self.image[box]
        mask: Image = np.zeros(labels.shape, np.uint8)
        cv2.fillPoly(mask, [np.rint((pixels - low) * 16).astype(np.int32)], 255, shift=4)
        if inside:
            table: Image = np.zeros(256, np.uint8)
            table[[REGIONS.index(name) for name in inside]] = 255
            mask &= cv2.LUT(labels, table)
        if isinstance(paint, tuple):
            rgb = tuple(round(c) for c in paint)
            cv2.copyTo(np.full(image.shape, rgb, np.uint8), mask, image)
        elif paint is not None:
            ratio = len(paint) / self.side
            matrix = np.array([[ratio, 0, 0], [0, ratio, 0]])
            matrix[:, 2] = (low + 0.5) * ratio - 0.5
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            shape_out = (image.shape[1], image.shape[0])
            tone = cv2.warpAffine(paint, matrix, shape_out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            cv2.copyTo(tone, mask, image)
        if region:
            cv2.copyTo(np.full_like(labels, REGIONS.index(region)), mask, labels)

    def stroke(self, line: Points, width: npt.ArrayLike, paint: Colour, **where: Any) -> None:
        """Fill a line of the given width."""
        # OpenCV also fills the pixels that the outline itself passes through: take that off again.
        thin = np.maximum(np.asarray(width) - 0.7 / self.side, 0.3 / self.side)
        self.fill(ribbon(line, thin), paint, **where)

    def result(self) -> tuple[Image, Image]:
        """Return the picture through the lens and its labels, both at the final size."""
        size = self.side // self.factor
        image = cv2.resize(self.image, (size, size), interpolation=cv2.INTER_AREA)
        sigma = 0.2 + self.person.blur * size / 512
        labels = self.labels[self.factor // 2 :: self.factor, self.factor // 2 :: self.factor]
        return cv2.GaussianBlur(image, (0, 0), sigma), np.ascontiguousarray(labels)


def turned(x: Any, yaw: float, depth: float) -> Any:
    """Return x after the head turned: the nearer a point, the further it moves."""
    return x + yaw * depth * (1 - (x / 0.5) ** 2)
