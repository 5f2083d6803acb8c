"""Faces by a mesh of 468 points: BlazeFace proposes, the mesh refines.

Reference: Kartynnik, Ablavatski, Grishchenko, Grundmann, "Real-time Facial Surface Geometry
from Monocular Video on Mobile GPUs", 2019, arXiv 1907.06724.
"""

from __future__ import annotations

import math

import numpy as np

from xai.faces import OUTLINE, Face, blazeface, lite
from xai.faces.blazeface import Proposal
from xai.faces.patch import Square, cut_patch

MARGIN = OUTLINE
MODEL = "face_landmark"
POINTS = 468
SIDE = 192  # pixels the network sees
ROOM = 1.5  # its square is so many times the proposed box, as in its training
LEAST = 0.5  # probability that there is a face in the square


def find(image: np.ndarray) -> Face | None:
    """Return the box around the mesh of the largest face, None where there is none.

    It spans from the hairline to the chin and from cheek to cheek, and depends on the face's
    outline alone, not on what a detector was taught to frame.

    Args:
        image: uint8 `(h, w, 3)`, RGB.

    Returns:
        The face, in pixels of `image`.

    Raises:
        ModelError: an extra is not installed.
    """
    fitted = fit(image)
    if fitted is None:
        return None
    points, confidence = fitted
    (top, left), (bottom, right) = points.min(0).tolist(), points.max(0).tolist()
    return Face(top, left, bottom, right, confidence)


def landmarks(image: np.ndarray) -> np.ndarray | None:
    """Return the 468 points of the mesh on the largest face.

    The points are numbered as in MediaPipe's canonical face model: 1 is the tip of the nose,
    10 the middle of the upper edge, 152 the chin, 33 and 263 the outer corners of the eyes
    (left and right as the viewer sees them), 61 and 291 those of the mouth. A point that the
    head hides lies where its surface would be; points may lie outside the image.

    Args:
        image: uint8 `(h, w, 3)`, RGB, at any resolution.

    Returns:
        float32 `(468, 2)`, pixels (y, x) of `image`, where pixel i spans [i, i + 1);
        None where there is no face.

    Raises:
        ModelError: an extra is not installed; the line says which and the command that brings it.

    Example:
        points = landmarks(xai.read("a.png"))
        if points is not None:
            nose_tip = points[1]  # (y, x)
    """
    fitted = fit(image)
    return None if fitted is None else fitted[0]


def fit(image: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return the points, float32 `(468, 2)` (y, x), and the confidence in [0, 1] of the largest face."""
    for proposal in blazeface.propose(image):
        square = surroundings(proposal)
        points, score = lite.run(MODEL, cut_patch(image, square, SIDE).astype(np.float32) / 255)
        confidence = 0.5 * (1 + math.tanh(0.5 * float(score.ravel()[0])))
        if confidence >= LEAST:
            flat = points.reshape(POINTS, 3)[:, 1::-1]  # depth is left out
            return square.outward(flat, SIDE).astype(np.float32), confidence
    return None


def surroundings(proposal: Proposal) -> Square:
    """Return the square that the mesh network wants: around the proposed box, the eyes level."""
    face, (left, right) = proposal.face, proposal.eyes
    centre = (face.top + face.bottom) / 2, (face.left + face.right) / 2
    side = ROOM * max(face.bottom - face.top, face.right - face.left)
    return Square(centre, side, math.atan2(right[0] - left[0], right[1] - left[1]))


def ready() -> None:
    """Load the finder now.

    Raises:
        ModelError: an extra is not installed.
    """
    lite.ready(blazeface.MODEL, MODEL)
