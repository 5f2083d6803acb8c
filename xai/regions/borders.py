"""Where a part truly ends: around each outline of the mesh, pixels are told apart by colour.

The mesh lies a few pixels off, and knows neither a fringe nor a hairline. So the face is turned
upright, and for every pixel near an outline a small network weighs how far inside it lies against
how it looks beside the face's own skin and beside what lies just outside. It has twelve hidden
units an area, fitted to the hand-labelled photos that `benchmarks/parts.py` names, and no more
freedom than a band along the outline.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from xai.regions import meshpoints
from xai.regions.upright import Frame, Patch, View, fill

FEATURES = 18
BLOCK = 700  # rows of a matrix product
WEIGHTS = Path(__file__).with_name("borders.json")
FOREHEAD = -0.6, 0.68  # above that height, in units of the frame, the mesh stops short of the mean hairline: by that share of what is above
SURE = 3.0  # log odds of what lies farther inside or outside than the band


@dataclass(frozen=True, slots=True)
class Area:
    """An area whose border is found.

    Args:
        outline: mesh points around it.
        side: -1 and 1 of the left and the right one of a pair, 0 where there is but one.
        weights: the network's name; both of a pair share one.
        convex: take the outline's convex hull.
        detail: pixels a unit at which it is looked at.
        band: how far from the outline the border may lie, in units.
        blur: by which the log odds are smoothed, in units.
    """

    outline: tuple[int, ...]
    weights: str
    side: int = 0
    convex: bool = False
    detail: int = 64
    band: float = 0.2
    blur: float = 0.015

    def polygon(self, points: np.ndarray) -> np.ndarray:
        """Return the outline's corners `(n, 2)`."""
        corners = points[list(self.outline)]
        return cv2.convexHull(corners.astype(np.float32))[:, 0] if self.convex else corners


AREAS = {
    "face": Area(meshpoints.OUTLINE, "face", detail=32, band=0.35, blur=0.04),
    "nose": Area(meshpoints.NOSE, "nose", band=0.1, blur=0.035),
    "left_brow": Area(meshpoints.BROWS[0], "brows", -1, convex=True, band=0.13, blur=0.012),
    "right_brow": Area(meshpoints.BROWS[1], "brows", 1, convex=True, band=0.13, blur=0.012),
    "left_eye": Area(meshpoints.EYES[0], "eyes", -1, detail=96, band=0.07, blur=0.01),
    "right_eye": Area(meshpoints.EYES[1], "eyes", 1, detail=96, band=0.07, blur=0.01),
    "mouth": Area(meshpoints.LIPS, "mouth", band=0.12),
    "mouth_inside": Area(meshpoints.GAP, "inside", band=0.1),
}


@dataclass(frozen=True, slots=True)
class Colours:
    """How the pixels of a view look.

    Args:
        smooth: CIELAB of 8 bits, smoothed, float32 `(h, w, 3)`.
        contrast: what the mean of the surroundings leaves over, float32 `(h, w, 3)`.
    """

    smooth: np.ndarray
    contrast: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray, detail: int) -> Colours:
        """Return the colours of a view's pixels, uint8 `(h, w, 3)`, RGB."""
        lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
        near = cv2.GaussianBlur(lab, (0, 0), 0.018 * detail)
        side = 2 * round(0.09 * detail) + 1
        return cls(near.astype(np.float32), cv2.subtract(lab, cv2.blur(lab, (side, side)), dtype=cv2.CV_32F))


@dataclass(frozen=True, slots=True)
class Look:
    """All that is seen of a face.

    Args:
        places: of the mesh points, `(468, 2)`, in units of the frame.
        views: by their detail, with their colours: the head roughly, the inner face closely, the eyes most closely.
        skin, spread: the face's own colour: median over points on it, and how far they are from it as a rule, CIELAB of 8 bits `(3,)`.
    """

    places: np.ndarray
    views: dict[int, tuple[View, Colours]]
    skin: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, points: np.ndarray) -> Look:
        """Look at the face of an image; arguments as in `find`."""
        frame = Frame.of(points)
        places = frame.inward(points)
        head = View(frame, -1.75, -1.6, 64, (208, 204))
        pixels = head.cut(image)
        small = cv2.resize(pixels, (102, 104), interpolation=cv2.INTER_AREA)
        eyes = View(frame, -0.7, -0.95, 96, (68, 182))
        view, colours = View(frame, -1.75 + 52 / 64, -1.6 + 36 / 64, 64, (144, 132)), Colours.of(pixels[52:196, 36:168], 64)
        spots = view.pixels(places[list(meshpoints.SKIN)]).clip(0, np.array(view.size) - 1).astype(int)
        samples = colours.smooth[spots[:, 0], spots[:, 1]]
        skin = np.median(samples, 0)
        seen = {
            32: (View(frame, -1.75, -1.6, 32, (104, 102)), Colours.of(small, 32)),
            64: (view, colours),
            96: (eyes, Colours.of(eyes.cut(image), 96)),
        }
        return cls(places, seen, skin, np.median(np.abs(samples - skin), 0) * 1.5 + 2)


@dataclass(frozen=True, slots=True)
class Band:
    """What is known of the pixels along one outline.

    Args:
        corner: of the rectangle around them in the view, pixels (y, x).
        inside: of the rectangle's pixels, whether they lie inside the outline, bool `(h, w)`.
        near: which of them, counted row by row, belong to the band, int `(n,)`.
        features: float32 `(n, 18)` of those that do.
    """

    corner: tuple[int, int]
    inside: np.ndarray
    near: np.ndarray
    features: np.ndarray


def band(area: Area, look: Look) -> Band | None:
    """Return the band along an area's outline, None where its view does not show it.

    Of a pair the left one is seen as in a mirror, so that both sides look alike.
    """
    view, colours = look.views[area.detail]
    polygon = view.pixels(area.polygon(look.places))
    room = area.band * area.detail + 2
    top, left = (max(0, int(low - room)) for low in polygon.min(0))
    bottom, right = (min(size, int(high + room) + 1) for high, size in zip(polygon.max(0), view.size, strict=True))
    if bottom <= top or right <= left:
        return None
    inside = np.zeros((bottom - top, right - left), np.uint8)
    fill(inside, polygon - (top, left), 1)
    depth = (cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)) / area.detail
    near = np.flatnonzero(np.abs(depth) < area.band)
    smooth = colours.smooth[top:bottom, left:right]
    core, around = (
        np.array(cv2.mean(smooth, chosen.astype(np.uint8))[:3], np.float32)
        for chosen in (depth > min(0.5 * float(depth.max()), 0.06), (depth < -0.03) & (depth > -0.15))
    )
    y, x = np.divmod(near, right - left)
    middle = polygon.mean(0)
    beside = (x + (left + 0.5 - middle[1])) / area.detail
    deep = depth.ravel()[near]
    features = np.empty((len(near), FEATURES), np.float32)
    features[:, 0], features[:, 1], features[:, 2] = deep, (deep * 20).clip(-1, 1), (deep * 60).clip(-1, 1)
    features[:, 3] = (y + (top + 0.5 - middle[0])) / area.detail
    features[:, 4] = beside * area.side if area.side else np.abs(beside)
    # How far a pixel's colour is on the way from outside to inside; its distance from the skin's in two measures, and from the outside's.
    way = (core - around) / ((core - around) @ (core - around) + 60)
    scales = np.stack([way, *np.diag(1 / (look.spread * 3)), *np.eye(3) / 20, *np.eye(3) / 20], 1).astype(np.float32)  # (3, 10)
    zeros = np.concatenate([[around @ way], look.skin @ scales[:, 1:7], around @ scales[:, 7:]]).astype(np.float32)
    features[:, 5:15] = product(smooth.reshape(-1, 3).take(near, 0), scales) - zeros
    features[:, 15:] = colours.contrast[top:bottom, left:right].reshape(-1, 3).take(near, 0) / 10
    return Band((top, left), inside > 0, near, np.clip(features, -4, 4, out=features))


@cache
def networks() -> dict[str, tuple[np.ndarray, ...]]:
    """Return each network's weights: hidden `(18, n)`, their bias `(n,)`, output `(n,)`, its bias `()`."""
    stored = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {name: tuple(np.array(values, np.float32) for values in layers) for name, layers in stored.items()}


def odds(area: Area, found: Band) -> np.ndarray:
    """Return the log odds of a band's rectangle to lie inside, float32 `(h, w)`: smoothed, one piece, without holes."""
    hidden, bias, out, shift = networks()[area.weights]
    values = np.where(found.inside, np.float32(SURE), np.float32(-SURE))
    values.ravel()[found.near] = (product(np.maximum(product(found.features, hidden) + bias, 0), out) + shift).clip(-SURE, SURE)
    return one_piece(cv2.GaussianBlur(values, (0, 0), area.blur * area.detail))


def product(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the matrix product, by blocks so small that BLAS wakes no threads: they take longer to wake than to multiply."""
    return np.concatenate([rows[start : start + BLOCK] @ weights for start in range(0, len(rows), BLOCK)] or [rows @ weights])


def one_piece(values: np.ndarray) -> np.ndarray:
    """Return log odds whose positive ones are the largest connected piece, its holes filled.

    Example:
        >>> (one_piece(np.float32([[2, 2, 2, -1, 1], [2, -1, 2, -1, -1], [2, 2, 2, -1, -1]])) > 0).astype(int).tolist()
        [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    """
    edges, _ = cv2.findContours((values > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not edges:
        return values
    piece = np.zeros(values.shape, np.uint8)
    cv2.drawContours(piece, [max(edges, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return np.where(piece > 0, np.maximum(values, np.float32(0.01)), np.minimum(values, np.float32(-0.01)))


def find(image: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> dict[str, Patch]:
    """Return where each area lies; one that the picture does not show is left out.

    Args:
        image: uint8 `(h, w, 3)`, RGB.
        points: of the mesh, pixels (y, x) of the image.
        size: `(h, w)` of the picture on which the areas are wanted.
    """
    scale = size[0] / image.shape[0], size[1] / image.shape[1]
    look = Look.of(image, points)
    found = {}
    for name, area in AREAS.items():
        edge = band(area, look)
        patch = None if edge is None else look.views[area.detail][0].lay(odds(area, edge), edge.corner, size, scale)
        if patch is not None:
            found[name] = patch
    return found


def plain(points: np.ndarray, size: tuple[int, int]) -> dict[str, Patch]:
    """Return the areas as the mesh has them, for where there is no image to look at; only the forehead is raised to the usual hairline.

    Args:
        points: pixels (y, x) of a picture of that size `(h, w)`.
        size: as above.
    """
    frame = Frame.of(points)
    raised = frame.inward(points)
    raised[:, 0] += np.minimum(raised[:, 0] - FOREHEAD[0], 0) * FOREHEAD[1]
    raised = frame.outward(raised)
    found = {}
    for name, area in AREAS.items():
        values = np.full(size, -SURE, np.float32)
        fill(values, area.polygon(raised if name == "face" else points), SURE)
        found[name] = Patch(0, 0, values)
    return found
