"""A donor moved over a target by whole pixels, and what it has there of a part.

It is never resampled: detectors of generated faces look at the finest detail, which interpolation
destroys, so that a fake's part would no longer be a fake's. The shift is a multiple of a power of two
(4 pixels at 224 and 256, 16 at 1024), because the traces of upsampling lie on such a grid, and a network's
strides see where on it. What fits less well for that is made up for by continuing the donor's part.

Measured on `alexnet18` at 256 with a checkerboard of period 4 planted on the eyes (logits 13 and -11): a real
face's eyes put into a fake change the logit by -22 and a fake's into a real one by +19; with another fake's
eyes in a fake, which should change nothing, it is -2. With shifts of whole pixels on no grid: +2 and -18; with
donors warped by an affine map: +1 and -20. `python -m benchmarks.planted` gives the whole table.

Reference: Popescu and Farid, Exposing Digital Forgeries by Detecting Traces of Resampling, 2005,
doi:10.1109/TSP.2004.839932.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from xai.regions.parts import Parts

STEP = 48  # shifts are multiples of the largest power of two up to this part of the shorter side
COVER = 0.25  # share of a region that the donor's own must cover
ROUNDS = 4  # times that a part is continued from further inside; each doubles it

Window = tuple[slice, slice]
Shift = tuple[int, int]  # pixels down and right


@dataclass(frozen=True, slots=True)
class Region:
    """Where something is painted.

    Args:
        mask: bool `(H, W)`.
        window: its bounding box, rows and columns.
        alpha: float32 `(h, w)` in [0, 1] over the window: how much of the new is seen; 0 outside the mask.
    """

    mask: np.ndarray
    window: Window
    alpha: np.ndarray


def members_mask(labels: np.ndarray, members: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where labels are among some, bool `(h, w)`; 255 is none of them."""
    table = np.zeros(256, np.uint8)
    table[list(members)] = 1
    return cv2.LUT(np.ascontiguousarray(labels), table).view(bool)


def margin(window: Window, pixels: int, size: tuple[int, ...]) -> Window:
    """Return a window that is larger on all sides, inside a picture of `size`."""
    y, x = (slice(max(0, span.start - pixels), min(length, span.stop + pixels)) for span, length in zip(window, size[:2], strict=True))
    return y, x


def within(window: Window, wide: Window) -> Window:
    """Return a window as counted inside another."""
    y, x = (slice(span.start - outer.start, span.stop - outer.start) for span, outer in zip(window, wide, strict=True))
    return y, x


def step(size: Sequence[int]) -> int:
    """Return the grid of shifts in pixels for a picture of `(H, W)`.

    Example:
        >>> step((64, 64)), step((224, 224)), step((1024, 768))
        (1, 4, 16)
    """
    return 1 << max(0, int(min(size[:2]) / STEP).bit_length() - 1)


def rounded(shift: np.ndarray, grid: int) -> Shift:
    """Return a shift as the nearest multiple of a grid.

    Example:
        >>> rounded(np.array([5.9, -6.1]), 4)
        (4, -8)
    """
    down, right = (int(grid * np.rint(value / grid)) for value in shift)
    return down, right


def usable(parts: Parts, shift: Shift, members: Sequence[int] | None, window: Window) -> np.ndarray:
    """Return where a shifted donor shows some of its parts.

    Args:
        parts: the donor's own.
        shift: from the donor to the target.
        members: indices of the parts; None for all of its picture.
        window: of the target.

    Returns:
        bool `(h, w)`, of the window.
    """
    there, inside = source(window, shift, parts.labels.shape)
    found = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), bool)
    labels = parts.labels[there]
    found[inside] = True if members is None else members_mask(labels, members) if labels.size else False
    return found


def source(window: Window, shift: Shift, size: Sequence[int]) -> tuple[Window, Window]:
    """Return a window of the target as the shifted donor's pixels, as far as it has any, and where these lie in the window."""
    spans = []
    for span, by, length in zip(window, shift, size, strict=True):
        start, stop = min(max(span.start - by, 0), length), max(min(span.stop - by, length), 0)
        spans.append((slice(start, max(start, stop)), slice(start + by - span.start, max(start, stop) + by - span.start)))
    return (spans[0][0], spans[1][0]), (spans[0][1], spans[1][1])


def taken(values: np.ndarray, shift: Shift, window: Window, fill: float) -> np.ndarray:
    """Return a window of the target as cut from a shifted donor, `fill` where the donor has nothing."""
    there, inside = source(window, shift, values.shape[:2])
    found = np.full((window[0].stop - window[0].start, window[1].stop - window[1].start, *values.shape[2:]), fill, values.dtype)
    found[inside] = values[there]
    return found


def cover(parts: Parts, shift: Shift, members: Sequence[int] | None, place: Region) -> float:
    """Return the share of a region that a donor's own part covers; arguments as in `usable`."""
    mask = place.mask[place.window]
    return float((mask & usable(parts, shift, members, place.window)).sum() / mask.sum())


def spread(values: np.ndarray, known: np.ndarray, wanted: np.ndarray, grid: int = 1) -> np.ndarray:
    """Return values continued from where they are known to where they are wanted.

    A missing pixel takes the one about as far behind the edge as it lies before it: as in a mirror, but
    moved by multiples of the grid, so that a regular pattern goes on as it is.

    Args:
        values: `(h, w, C)`.
        known, wanted: bool `(h, w)`.
        grid: pixels.

    Returns:
        `(h, w, C)`; of no meaning where they are neither.

    Example:
        >>> row = np.repeat(np.float32([[1, 2, 3, 9, 9, 9]])[..., None], 3, -1)
        >>> spread(row, np.array([[1, 1, 1, 0, 0, 0]], bool), np.ones((1, 6), bool))[0, :, 0].tolist()
        [1.0, 2.0, 3.0, 2.0, 1.0, 2.0]
    """
    missing = np.flatnonzero(wanted & ~known)
    if not len(missing) or not known.any():
        return values
    height, width = known.shape
    values, known = np.ascontiguousarray(values).copy(), known.copy()
    flat, there = values.reshape(-1, values.shape[-1]), known.reshape(-1)
    for turn in range(ROUNDS):
        # every pixel's nearest known one, by number; the numbers follow the known pixels row by row
        _, numbers = cv2.distanceTransformWithLabels((~known).view(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        nearest = np.flatnonzero(known)[numbers.reshape(-1)[missing] - 1]
        (y, x), (near_y, near_x) = divmod(missing, width), divmod(nearest, width)
        from_y, from_x = y + outward(2 * (near_y - y), grid), x + outward(2 * (near_x - x), grid)
        good = (from_y >= 0) & (from_x >= 0) & (from_y < height) & (from_x < width)
        behind = np.where(good, from_y * width + from_x, nearest)
        good &= there[behind]
        last = turn == ROUNDS - 1 or not good.any()
        flat[missing if last else missing[good]] = flat[np.where(good, behind, nearest) if last else behind[good]]
        if last or good.all():
            break
        there[missing[good]] = True
        missing = missing[~good]
    return values


def outward(distance: np.ndarray, grid: int) -> np.ndarray:
    """Return distances as multiples of a grid, away from 0.

    Example:
        >>> outward(np.array([-5, 0, 2, 4]), 4).tolist()
        [-8, 0, 4, 4]
    """
    return np.sign(distance) * -(-np.abs(distance) // grid) * grid
