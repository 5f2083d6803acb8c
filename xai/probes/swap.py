"""A part of one face in the place of the same part of another, painted so that nothing else changes.

Only what the donor has of the same part is used; where its part ends, more of it is taken from further
inside. So a donor's nose never comes along with its skin, and no trace of one part enters by another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from xai.probes.shift import Region, Shift, Window, margin, members_mask, spread, step, taken, usable, within
from xai.regions.parts import NOTHING, OUTSIDE, Parts

FADE = 128  # a region fades over this part of the picture's shorter side, or over half its inner radius
RING = 64  # the ring beside a region is as wide as this part of the shorter side, 2 pixels at least
SHARE = 0.5  # of the ring that must be the same part of the face in both, or the region's own colours are compared
GAIN, LIFT = 1.25, 0.05  # a donor's light is multiplied or divided by this at most, and this part of the range added or taken


@dataclass(frozen=True, slots=True)
class Face:
    """A picture as the network wants it, and its parts on the same pixels.

    Args:
        image: float32 `(H, W, 3)`, any range.
        parts: labels `(H, W)`.
    """

    image: np.ndarray
    parts: Parts


def region(mask: np.ndarray) -> Region | None:
    """Return a region that fades towards its own edge, inside; its core is replaced in full.

    It does not fade at the picture's edge, where nothing lies beside it.

    Args:
        mask: bool `(H, W)`.

    Returns:
        None where the mask is empty.

    Example:
        >>> region(np.ones((1, 3), bool)).alpha.tolist()
        [[1.0, 1.0, 1.0]]
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return None
    window = slice(y, y + height), slice(x, x + width)
    wide = margin(window, 1, mask.shape)
    if mask[wide].all():
        return Region(mask, window, np.ones((height, width), np.float32))
    depth = cv2.distanceTransform(mask[wide].view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    fade = min(min(mask.shape) / FADE, float(depth.max()) / 2)
    alpha = np.clip(depth / np.float32(fade), 0, 1)[within(window, wide)]
    return Region(mask, window, np.ascontiguousarray(alpha, np.float32))


def paint(out: np.ndarray, content: np.ndarray, place: Region) -> None:
    """Paint content `(h, w, 3)` of a region's window into an image `(H, W, 3)`; outside its mask no bit changes."""
    part, alpha = out[place.window], place.alpha
    y, x = np.nonzero((alpha > 0) & (alpha < 1))
    rim = part[y, x] + alpha[y, x, None] * (content[y, x] - part[y, x])
    cv2.copyTo(content, (alpha == 1).view(np.uint8), part)
    part[y, x] = rim


def content(target: Face, donor: Face, shift: Shift, place: Region, members: Sequence[int] | None, low: float, high: float) -> np.ndarray:
    """Return what of a donor comes into a region of the target: its own part, in the target's light.

    Args:
        target: the face to be changed.
        donor: the face whose part is taken; it `cover`s some of the region.
        shift: from the donor to the target.
        place: where.
        members: indices of the parts that the region is made of; None takes whatever the donor has there.
        low, high: the range of pixel values.

    Returns:
        float32 `(h, w, 3)`, of the region's window.
    """
    size = target.image.shape[:2]
    ring = max(2, min(size) // RING)
    wide = margin(place.window, 2 * ring, size)
    mask, own = place.mask[wide], usable(donor.parts, shift, members, wide)
    theirs = taken(donor.image, shift, wide, low)
    pair = compared(target.parts, taken(donor.parts.labels, shift, wide, NOTHING), wide, mask, ring)
    before, after = means(theirs, mask & own if pair is None else pair), means(target.image[wide], mask if pair is None else pair)
    return relit(spread(theirs, own, mask, step(size))[within(place.window, wide)], before, after, low, high)


def compared(parts: Parts, labels: np.ndarray, wide: Window, mask: np.ndarray, ring: int) -> np.ndarray | None:
    """Return the pixels beside a mask that are the same part of the face in both, bool `(h, w)`.

    None where they are few: a background, hair or the skin as a whole has mostly other things beside it,
    whose colours say nothing about the light.
    """
    beside = cv2.dilate(mask.view(np.uint8), np.ones((2 * ring + 1, 2 * ring + 1), np.uint8)).view(bool) & ~mask
    face = [index for index, name in enumerate(parts.names) if name not in OUTSIDE]
    pair = beside & (parts.labels[wide] == labels) & members_mask(labels, face)
    return pair if pair.sum() >= max(8, SHARE * beside.sum()) else None


def means(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean colour of `(h, w, 3)` under a mask, float64 `(3,)`."""
    return np.array(cv2.mean(np.ascontiguousarray(values), mask.astype(np.uint8))[:3])


def relit(values: np.ndarray, before: np.ndarray, after: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values whose mean colour is taken from `before` to `after`, as more or less light would, kept in the range.

    Light multiplies, counted from black (`low`), by 1.25 at most either way; of the rest, 5 % of the range at
    most is added. A complexion that differs by more stays: an eye lit to suit it would end in plain white or black.

    Example:
        >>> relit(np.full((1, 1, 3), 10, np.float32), np.full(3, 10.0), np.full(3, 12.0), 0, 255)[0, 0].tolist()
        [12.0, 12.0, 12.0]
    """
    dark = 0.02 * (high - low)
    gain = np.clip((after - low + dark) / (before - low + dark), 1 / GAIN, GAIN)
    lift = np.clip(after - gain * before, -LIFT * abs(high - low), LIFT * abs(high - low))
    lit = cv2.transform(values, np.column_stack([np.diag(gain), lift]))
    return np.clip(lit, min(low, high), max(low, high), out=lit)
