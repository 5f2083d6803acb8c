"""The parts of a face from the 468-point mesh, their borders corrected by what the picture shows."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from xai.faces import mesh
from xai.regions import borders, meshpoints
from xai.regions.parts import Parts
from xai.regions.upright import Frame, Patch, fill

# Left and right are the viewer's. In the order of the label values.
NAMES = (
    "background", "hair_and_head", "face_boundary", "forehead", "cheeks", "chin_and_jaw", "nose", "left_eye", "right_eye", "eye_surround",
    "left_brow", "right_brow", "lips", "mouth_inside", "left_ear", "right_ear",
)  # fmt: skip
LABELS = {name: index for index, name in enumerate(NAMES)}
LONGEST = 512  # pixels: the longer side of a label image at most
BAND = 0.03, 0.05  # of the face boundary: outward and inward, in units of the face's frame (half a face)
SMALLEST_GAP = 0.006  # open mouth, square units: below, the lips are closed
REDUCED = 256  # pixels: the longer side of an image is at least that when the mesh is fitted to a smaller one
ASKED = 3000  # pixels of an area, spread evenly, are asked how sure they are
# Zones that follow from the mesh alone, and how far to trust them beside those that were looked at.
GUESSED = {"hair_and_head": 0.5, "left_ear": 0.5, "right_ear": 0.5}
ORBITS = ("left_orbit", "right_orbit", "bridge")  # polygons of the part eye_surround
# Which area's border says how sure the pixels of a part are.
OF = dict.fromkeys(("face_boundary", "forehead", "cheeks", "chin_and_jaw", "eye_surround"), "face") | {"lips": "mouth"}
# The head around the face, in units of the frame: what at least half of the hand-labelled photos have
# inside hair, hat or face, seen from the outline's middle at these angles from upright, both sides alike.
HEAD = {0: 2.0, 15: 2.0, 30: 1.85, 45: 1.65, 60: 1.5, 75: 1.35, 90: 1.25, 105: 1.2, 120: 1.2, 135: 1.1, 150: 1.05, 165: 1.05, 180: 1.05}


def parts(image: np.ndarray) -> Parts | None:
    """Return the parts of the largest face.

    The mesh says where they are; around its outlines of face, nose, eyes, brows and mouth the
    pixels decide (`xai.regions.borders`). Head and ears are zones beside the face, not segments.

    Args:
        image: uint8 `(h, w, 3)`, RGB.

    Returns:
        Labels of the image's shape, its longer side 512 pixels at most, and in `NAMES`; None where no face
        is found. A part's confidence is the face's probability times the share of the part inside
        the picture, how little the head's turn has narrowed it against its counterpart, and the mean
        probability of its pixels; half of that for head and ears; 0 where it is absent.

    Raises:
        ModelError: an extra is not installed.

    Example:
        found = parts(xai.read("a.png"))
        if found is not None:
            nose = found.masks()[found.names.index("nose")]
    """
    fitted = fit(image)
    if fitted is None:
        return None
    points, probability = fitted
    size = working_size((image.shape[0], image.shape[1]))
    areas = borders.find(image, points, size)
    return paint(points * (np.array(size) / image.shape[:2]), size, areas, probability)


def fit(image: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return `mesh.fit(image)`, of a reduced image where the face is so large that nothing is lost."""
    factor = max(image.shape[:2]) // REDUCED
    if factor > 1:
        height, width = (side // factor for side in image.shape[:2])
        small = cv2.resize(image[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
        fitted = mesh.fit(small)
        if fitted is not None and np.ptp(fitted[0], 0).max() >= mesh.SIDE / mesh.ROOM:
            return fitted[0] * np.float32(factor), fitted[1]
    return mesh.fit(image)


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size `(h, w)` of the label image of an image of a size.

    Example:
        >>> working_size((1024, 768)), working_size((100, 200))
        ((512, 384), (100, 200))
    """
    scale = min(1.0, LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def paint(points: np.ndarray, size: tuple[int, int], areas: Mapping[str, Patch], probability: float) -> Parts:
    """Return the parts, painted one over the other.

    Args:
        points: of the mesh, `(468, 2)`, pixels (y, x) of a picture of that size.
        size: `(h, w)` of the label image.
        areas: from `borders.find` or `borders.plain`, on such a picture.
        probability: that there is a face.
    """
    points = points.astype(np.float64)
    frame = Frame.of(points)
    labels = np.zeros(size, np.uint8)
    polygons = zones(points, frame)
    for name in ("hair_and_head", "left_ear", "right_ear"):
        fill(labels, polygons[name], LABELS[name])
    if "face" in areas:
        face(labels, areas["face"], polygons, frame.unit)
    for name in ("nose", "left_brow", "right_brow", "left_eye", "right_eye", "mouth", "mouth_inside"):
        if name in areas:
            lies = areas[name].values > 0
            place = areas[name].of(labels)
            if name == "mouth_inside":
                lies &= place == LABELS["lips"]
                if lies.sum() < SMALLEST_GAP * frame.unit**2:
                    continue
            place[lies] = LABELS["lips" if name == "mouth" else name]
    return Parts(labels, NAMES, confidence(labels, polygons, areas, probability))


def face(labels: np.ndarray, area: Patch, polygons: Mapping[str, np.ndarray], unit: float) -> None:
    """Paint the skin in its zones, and the band along its border; the picture's own edge is no border."""
    inside = (area.values > 0).astype(np.uint8)
    zone = np.full(inside.shape, LABELS["cheeks"], np.uint8)
    for name, label in (("forehead", "forehead"), ("chin_and_jaw", "chin_and_jaw"), *((orbit, "eye_surround") for orbit in ORBITS)):
        fill(zone, polygons[name] - (area.top, area.left), LABELS[label])
    place = area.of(labels)
    width = 2 * round(1.5 * max(BAND) * unit) + 1
    share = cv2.blur(inside * np.uint8(255), (width, width), borderType=cv2.BORDER_REPLICATE)  # of the surroundings that is inside
    low, high = (255 * (0.5 + side * wide * unit / width) for side, wide in zip((-1, 1), BAND, strict=True))
    cv2.copyTo(zone, inside, place)
    cv2.copyTo(np.full_like(zone, LABELS["face_boundary"]), cv2.inRange(share, np.array(low), np.array(high)), place)


def zones(points: np.ndarray, frame: Frame) -> dict[str, np.ndarray]:
    """Return a polygon `(n, 2)` for every part, pixels (y, x); those on the skin reach over its border, which cuts them."""
    beyond = frame.outward(frame.inward(points) * 1.6)
    found = {name: points[list(area.outline)] for name, area in borders.AREAS.items()}
    found["forehead"] = np.concatenate([points[list(meshpoints.BROW_LINE)], beyond[list(meshpoints.TOP)]])
    found["chin_and_jaw"] = np.concatenate([points[list(meshpoints.MOUTH_LINE)], beyond[list(meshpoints.BOTTOM)]])
    found |= {name: points[list(outline)] for name, outline in zip(ORBITS, (*meshpoints.ORBITS, meshpoints.BRIDGE), strict=True)}
    around = np.radians(list(HEAD))
    half = np.stack([-np.cos(around), np.sin(around)], 1) * np.array(list(HEAD.values()))[:, None]
    found["hair_and_head"] = frame.outward(np.concatenate([half, half[-2:0:-1] * (1, -1)]))
    found |= dict(zip(("left_ear", "right_ear"), ears(points, frame), strict=True))
    return found


def ears(points: np.ndarray, frame: Frame) -> list[np.ndarray]:
    """Return a quadrangle beside the left and the right edge of the face, wider the more the head turns it to the viewer.

    The width was read off the hand-labelled ears: 0.16 of half a face when seen from the front.
    """
    places = frame.inward(points)
    (_, left), (_, right), (_, nose) = places[[234, 454, 1]]
    turn = 2 * (nose - (left + right) / 2) / max(right - left, 1e-9)  # positive: the nose points to the right, the left ear shows
    found = []
    for side, edge, shown in ((-1, 234, turn), (1, 454, -turn)):
        width = min(max(0.16 + 0.33 * shown, 0), 0.45)
        y, x = places[edge]
        found.append(frame.outward(np.array([[y - 0.2, x], [y - 0.2, x + side * width], [y + 0.45, x + side * width], [y + 0.45, x]])))
    return found


def confidence(labels: np.ndarray, polygons: Mapping[str, np.ndarray], areas: Mapping[str, Patch], probability: float) -> np.ndarray:
    """Return how far to trust each part, float32 `(R,)`, as `parts` describes it."""
    counts = cv2.calcHist([labels], [0], None, [len(NAMES)], [0, len(NAMES)]).ravel()  # a column before OpenCV 5
    found = np.where(counts > 0, np.float32(probability), np.float32(0))
    spans = {name: span(polygon, labels.shape) for name, polygon in polygons.items()}
    certain = {name: certainty(patch, labels) for name, patch in areas.items()}
    for name, index in LABELS.items():
        if not counts[index] or name == "background":
            continue
        area = OF.get(name, name)
        whole, seen = spans[name if name in spans else area]
        found[index] *= seen / max(whole, 1e-9) * GUESSED.get(name, 1.0)
        side, _, kind = name.partition("_")
        if side in ("left", "right") and name not in GUESSED:
            found[index] *= min(1.0, whole / max(spans[f"{'right' if side == 'left' else 'left'}_{kind}"][0], 1e-9))
        if area in certain and name != "face_boundary":  # where inside and outside meet, neither is sure
            found[index] *= certain[area][index]
    return found


def certainty(area: Patch, labels: np.ndarray) -> np.ndarray:
    """Return per label the mean probability that its pixels lie inside an area, `(R,)`; 1 where too few were asked."""
    step = max(1, round((area.values.size / ASKED) ** 0.5))
    asked = area.of(labels)[::step, ::step].ravel()
    sure = 1 / (1 + np.exp(-area.values[::step, ::step].ravel()))
    counts, sums = (np.bincount(asked, weights, len(NAMES)) for weights in (None, sure))
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def span(polygon: np.ndarray, size: tuple[int, ...]) -> tuple[float, float]:
    """Return the area of a polygon's convex hull, and of what of it lies inside a picture, in pixels.

    Example:
        >>> span(np.array([[0, -2], [0, 2], [4, 2], [4, -2]]), (4, 4))
        (16.0, 8.0)
    """
    hull = cv2.convexHull(polygon.astype(np.float32)[:, ::-1])
    whole = float(cv2.contourArea(hull))
    height, width = size
    if (polygon >= 0).all() and (polygon <= (height, width)).all():
        return whole, whole
    picture = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return whole, float(cv2.intersectConvexConvex(hull, picture)[0])
