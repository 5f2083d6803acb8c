"""Faces by BlazeFace (short range, 128 x 128): boxes and six points, in a few milliseconds.

Reference: Bazarevsky, Kartynnik, Vakunov, Raveendran, Grundmann, "BlazeFace: Sub-millisecond
Neural Face Detection on Mobile GPUs", 2019, arXiv 1907.05047.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from xai.faces import Face, largest
from xai.faces.lite import run
from xai.faces.patch import Square, cut_patch

MODEL = "face_detection_short_range"
SIDE = 128  # pixels the network sees
LEVELS = ((8, 2), (16, 6))  # stride in pixels, anchors at each place
LEAST = 0.5  # confidence
OVERLAP = 0.3  # intersection over union from which two boxes are one face


@dataclass(frozen=True, slots=True)
class Proposal:
    """A face that the mesh may refine.

    Args:
        face: its box.
        eyes: centres of the left and the right eye as the viewer sees them, float `(2, 2)`, pixels (y, x).
    """

    face: Face
    eyes: np.ndarray


def propose(image: np.ndarray) -> list[Proposal]:
    """Return the faces of an image, the largest first.

    The short-range network is made for portraits: pasted into a larger picture, faces were all
    found down to 17 % of the longer side and none below 9 %.

    Args:
        image: uint8 `(h, w, 3)`, RGB.

    Returns:
        In pixels of `image`; empty where there is no face.

    Raises:
        ModelError: an extra is not installed.
    """
    height, width = image.shape[:2]
    whole = Square((height / 2, width / 2), max(height, width))
    pixels = cut_patch(image, whole, SIDE, edge="black").astype(np.float32) / 127.5 - 1
    offsets, scores = run(MODEL, pixels)
    points, confidences = decode(offsets, scores)
    proposals = {}
    for place, confidence in blend(points, confidences):
        place = whole.outward(place, SIDE)
        (top, left), (bottom, right) = place[:2].tolist()
        face = Face(top, left, bottom, right, confidence)
        proposals[face] = Proposal(face, place[2:4])
    return [proposals[face] for face in largest(proposals)]


@cache
def anchors() -> np.ndarray:
    """Return the anchors' centres, float32 `(896, 2)`, pixels (y, x) of the 128 x 128 picture.

    Example:
        >>> anchors()[[0, 1, 2, 512]].tolist()  # two at each 8 x 8 block, then six at each 16 x 16 block
        [[4.0, 4.0], [4.0, 4.0], [4.0, 12.0], [8.0, 8.0]]
    """
    levels = []
    for stride, count in LEVELS:
        centres = (np.arange(SIDE // stride) + 0.5) * stride
        y, x = np.meshgrid(centres, centres, indexing="ij")
        levels.append(np.repeat(np.stack([y.ravel(), x.ravel()], 1), count, 0))
    return np.concatenate(levels).astype(np.float32)


def decode(offsets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn the network's outputs into places.

    Args:
        offsets: float32 `(896, 16)`: centre, size and six points as (x, y), pixels from the anchor.
        scores: float32 `(896, 1)`, logits.

    Returns:
        Places of the confident ones, float32 `(n, 8, 2)`, pixels (y, x): top left, bottom right,
        six points; and their confidences `(n,)`, in [0.5, 1].
    """
    confidences = 0.5 * (1 + np.tanh(0.5 * scores[:, 0]))
    chosen = np.flatnonzero(confidences >= LEAST)
    pairs = offsets[chosen].reshape(-1, 8, 2)[..., ::-1]  # (y, x)
    centres = anchors()[chosen]
    middle, half = pairs[:, 0] + centres, pairs[:, 1] / 2
    points = pairs[:, 2:] + centres[:, None]
    places = np.concatenate([(middle - half)[:, None], (middle + half)[:, None], points], 1)
    sound = (half > 0).all(1)
    return places[sound], confidences[chosen][sound]


def blend(places: np.ndarray, confidences: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Merge the boxes of each face into their mean, weighted by confidence, as the paper does.

    Args:
        places: `(n, 8, 2)` from `decode`.
        confidences: `(n,)`.

    Returns:
        Per face its place `(8, 2)` and the confidence of its surest box; the surest face first.
    """
    left, faces = np.argsort(-confidences, kind="stable"), []
    while len(left):
        same = overlaps(places[left[0]], places[left]) > OVERLAP
        same[0] = True
        group = left[same]
        faces.append((np.average(places[group], 0, confidences[group]), float(confidences[group[0]])))
        left = left[~same]
    return faces


def overlaps(place: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the intersection over union of one box with others, `(n,)` in [0, 1]."""
    shared = np.minimum(place[1], places[:, 1]) - np.maximum(place[0], places[:, 0])
    shared = np.maximum(shared, 0).prod(1)
    return shared / ((place[1] - place[0]).prod() + (places[:, 1] - places[:, 0]).prod(1) - shared)
