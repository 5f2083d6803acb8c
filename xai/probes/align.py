"""Faces laid over one another by their parts: eyes on eyes, nose on nose, mouth on mouth.

Points are (y, x) in pixels and pixel i spans [i, i + 1), so that the middle of the first pixel
is 0.5 and coordinates scale with the picture. A matrix takes such points to such points:
`target = matrix[:, :2] @ source + matrix[:, 2]`. `warp` alone knows how OpenCV counts.
"""

from __future__ import annotations

import cv2
import numpy as np

from xai.regions.parts import SETS, Parts

ANCHORS: tuple[tuple[str, ...], ...] = (("left_eye",), ("right_eye",), ("nose",), (*SETS["mouth"], "mouth", "teeth"))
FLAT = 0.2  # points whose spread across is less than this share of that along say nothing about the direction across
EDGES = {"black": cv2.BORDER_CONSTANT, "repeat": cv2.BORDER_REPLICATE, "mirror": cv2.BORDER_REFLECT_101}


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
        >>> moved([[3, 4]], matrix).round(6).tolist()
        [[7.0, 9.0]]
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


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return where a matrix takes points, `(..., 2)`, pixels (y, x)."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def residual(source: np.ndarray, target: np.ndarray, matrix: np.ndarray) -> float:
    """Return how far from their targets a matrix leaves the points: root mean square, pixels; pairs with NaN are left out."""
    squares = ((moved(source, matrix) - target) ** 2).sum(-1)
    return float(np.sqrt(np.nanmean(squares)))


def warp(values: np.ndarray, matrix: np.ndarray, size: tuple[int, int], *, edge: str = "mirror", smooth: bool = True) -> np.ndarray:
    """Return a picture, or what lies over it, as a matrix lays it on another.

    Cubic interpolation: a linear one blurs, and detectors of generated faces look at the finest
    detail. It overshoots at edges by a few percent; where a range matters, clip. A picture that
    shrinks to half or less is first averaged over areas, so that nothing is lost between samples.

    Args:
        values: `(h, w)` or `(h, w, C)` with up to 4 channels: uint8 or float32, of any range; or bool `(h, w)`.
        matrix: `(2, 3)` from `align`: pixels (y, x) of `values` to pixels of the result.
        size: `(H, W)` of the result.
        edge: what lies beyond `values`: "mirror", "repeat" (its outer pixels), "black" (0, False).
        smooth: False takes the nearest pixel, for labels; always so for bool.

    Returns:
        `(H, W)` or `(H, W, C)`, of the same type. Whole shifts are exact.

    Example:
        >>> warp(np.float32([[1, 2, 3]]), np.array([[1, 0, 0], [0, 1, 1]]), (1, 3), edge="repeat").tolist()  # one pixel to the right
        [[1.0, 1.0, 2.0]]
    """
    if values.dtype == bool:
        return warp(values.view(np.uint8), matrix, size, edge=edge, smooth=False).view(bool)
    matrix = np.asarray(matrix, np.float64)
    shrink = int(1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-6))
    if smooth and shrink >= 2:
        height, width = values.shape[:2]
        small = max(1, round(width / shrink)), max(1, round(height / shrink))
        values = cv2.resize(values, small, interpolation=cv2.INTER_AREA)
        matrix = matrix * (height / values.shape[0], width / values.shape[1], 1)
    # OpenCV takes (x, y) and counts from the middle of the first pixel
    linear = matrix[::-1, 1::-1]
    counted = np.column_stack([linear, matrix[::-1, 2] + linear.sum(1) / 2 - 0.5])
    flags = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return cv2.warpAffine(np.ascontiguousarray(values), counted, size[::-1], flags=flags, borderMode=EDGES[edge])
