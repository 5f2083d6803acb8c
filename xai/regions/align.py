"""Faces laid over one another by their parts: eyes on eyes, nose on nose, mouth on mouth.

Points are (y, x) in pixels and pixel i spans [i, i + 1), so that the middle of the first pixel
is 0.5 and coordinates scale with the picture. A matrix takes such points to such points:
`target = matrix[:, :2] @ source + matrix[:, 2]`.
"""

from __future__ import annotations

import cv2
import numpy as np

from xai.regions.parts import SETS, Parts

ANCHORS: tuple[tuple[str, ...], ...] = (("left_eye",), ("right_eye",), ("nose",), (*SETS["mouth"], "mouth", "teeth"))
FLAT = 0.2  # points whose spread across is less than this share of that along say nothing about the direction across


def anchors(parts: Parts) -> np.ndarray:
    """Return the middles of both eyes, the nose and the mouth.

    Args:
        parts: of a face.

    Returns:
        float64 `(4, 2)`, pixels (y, x) of the label image; NaN where a part is missing.

    Example:
        >>> parts = Parts(np.uint8([[0, 255], [255, 1]]), ("left_eye", "nose"), np.ones(2, np.float32))
        >>> anchors(parts).tolist()
        [[0.5, 0.5], [nan, nan], [1.5, 1.5], [nan, nan]]
    """
    found = np.full((len(ANCHORS), 2), np.nan)
    for place, names in enumerate(ANCHORS):
        table = np.zeros(256, np.uint8)
        table[[index for index, name in enumerate(parts.names) if name in names]] = 1
        moments = cv2.moments(cv2.LUT(parts.labels, table), binaryImage=True)
        if moments["m00"]:
            found[place] = moments["m01"] / moments["m00"] + 0.5, moments["m10"] / moments["m00"] + 0.5
    return found


def align(source: np.ndarray, target: np.ndarray, *, affine: bool = True) -> np.ndarray | None:
    """Return the matrix that lays points over others, by least squares.

    Args:
        source, target: `(A, 2)`, pixels (y, x), in the same order; a pair with NaN in it is left out.
        affine: from four pairs on, and where they do not lie on a line, allow for shear and unequal
            scales too; otherwise, and from two pairs on, shift, turn and scale only.

    Returns:
        float64 `(2, 3)`, (y, x) to (y, x); None from fewer than two pairs, or where the points of
        one side are all the same.

    Example:
        >>> matrix = align(np.array([[0, 0], [0, 2]]), np.array([[1, 1], [1, 5]]))  # twice as large, shifted by 1
        >>> (matrix[:, :2] @ [3, 4] + matrix[:, 2]).round(6).tolist()
        [7.0, 9.0]
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    known = np.isfinite(source).all(1) & np.isfinite(target).all(1)
    if known.sum() < 2:
        return None
    source, target = source[known], target[known]
    middle, goal = source.mean(0), target.mean(0)
    centred, wanted = source - middle, target - goal
    along, across = np.linalg.svd(centred, compute_uv=False)
    if not (along > 1e-9 and np.ptp(target, 0).max() > 1e-9):
        return None
    if affine and len(source) >= 4 and across >= FLAT * along:
        linear = np.linalg.lstsq(centred, wanted, rcond=None)[0].T
    else:
        # a turn with a scale is one complex factor: y + ix of the target = factor * (y + ix) of the source
        here, there = centred @ [1, 1j], wanted @ [1, 1j]
        factor = np.vdot(here, there) / np.vdot(here, here)
        linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, goal - linear @ middle])
