"""How well maps find a region that is known to be the reason: scores against a mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xai.maps.placement import Placement

METRICS = ("mass_accuracy", "rank_accuracy", "pointing", "exact", "iou")
TOLERANCE = 1 / 64  # of the longer side: 4 pixels at 256; half of the published 15 pixels on pictures of some 500


@dataclass(frozen=True, slots=True)
class Located:
    """Scores of maps against masks; every one 1 at best, NaN for an empty map or an empty mask.

    Args:
        mass_accuracy: relevance mass accuracy, float64 `(N,)` in [0, 1]: share of the positive mass on the mask.
        rank_accuracy: relevance rank accuracy, likewise: share of the K highest pixels on the mask of K pixels.
        pointing: pointing game, likewise: whether the highest cell's centre lies on the mask or within `TOLERANCE` of it: the
            window that sees an artefact straddles its border.
        exact: the same without tolerance.
        iou: intersection over union of the mask and the pixels above the best threshold, likewise.
        area: share of the image that the mask covers, `(N,)`.
        half: the smallest share of the image that holds half of the positive mass, `(N,)`: 0.5 for an even map.
        empty: whether the map has no positive value, bool `(N,)`.
    """

    mass_accuracy: np.ndarray
    rank_accuracy: np.ndarray
    pointing: np.ndarray
    exact: np.ndarray
    iou: np.ndarray
    area: np.ndarray
    half: np.ndarray
    empty: np.ndarray


def locate(maps: np.ndarray, placement: Placement, masks: np.ndarray) -> Located:
    """Score maps against the masks of what they should find.

    Maps are placed on the image, never stretched; only what is positive counts as found. Equal
    values are taken in every order at once: a score is what it would be on average if ties were
    broken at random, so a constant map scores as chance.

    Args:
        maps: float `(N, h, w)`, raw, any sign.
        placement: where their cells lie.
        masks: bool `(N, H, W)`, on the image that the network sees, any resolution.

    Returns:
        The scores.

    Raises:
        ValueError: as many masks as maps are expected.

    Reference:
        Arras, Osman and Samek, CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural network
        explanations, 2022, arXiv 2003.07258 (mass and rank accuracy). Zhang et al., Top-down neural attention by
        excitation backprop, 2018, arXiv 1608.00507 (pointing game, there with a tolerance of 15 pixels).

    Example:
        >>> from xai.maps.placement import pixels
        >>> mask = np.array([[[True, True], [False, False]]])
        >>> found = locate(np.array([[[3.0, 0.0], [1.0, -5.0]]]), pixels((2, 2)), mask)
        >>> found.mass_accuracy.round(3).tolist(), found.rank_accuracy.tolist(), found.pointing.tolist(), found.iou.round(3).tolist()
        ([0.679], [0.5], [1.0], [0.667])
    """
    if len(maps) != len(masks):
        raise ValueError(f"{len(maps)} maps and {len(masks)} masks; expected one mask a map")
    positive = np.maximum(maps, 0).astype(np.float32)
    height, width = masks.shape[1:]
    scores, half = np.full((len(METRICS), len(maps)), np.nan), np.full(len(maps), np.nan)
    empty = ~(positive > 0).any((1, 2))
    for index in np.flatnonzero(~empty & masks.any((1, 2))):
        mask, values = masks[index], positive[index] / positive[index].max()
        placed = placement.place(values, (height, width))
        high = np.sort(placed[placed > 0])
        if high.size:  # else all of it lies outside the image
            summed, inside = high[::-1].cumsum(dtype=np.float64), placed[mask]
            mass = min(1.0, inside.sum(dtype=np.float64) / summed[-1])
            hits = pointed(values, placement, close(mask)), pointed(values, placement, mask)
            scores[:, index] = mass, ranked(high, inside, placed.size), *hits, overlap(high, inside)
            half[index] = (np.searchsorted(summed, summed[-1] / 2) + 1) / placed.size
    return Located(scores[0], scores[1], scores[2], scores[3], scores[4], masks.mean((1, 2)), half, empty)


def close(mask: np.ndarray) -> np.ndarray:
    """Return where the pointing game counts a hit, bool `(H, W)`: the mask and what lies within the tolerance of it."""
    far = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(far <= TOLERANCE * max(mask.shape))


def ranked(high: np.ndarray, inside: np.ndarray, pixels: int) -> float:
    """Return the share of the K highest pixels that lie on a mask of K pixels, ties shared out.

    Args:
        high: the positive values of a placed map, ascending.
        inside: all its values on the mask, `(K,)`.
        pixels: of the map.
    """
    count = inside.size
    if count <= high.size:
        edge = high[high.size - count]  # the K-th highest value
        below, above = (int(np.searchsorted(high, edge, side)) for side in ("left", "right"))
        higher, level = high.size - above, above - below
    else:
        edge, higher, level = np.float32(0), high.size, pixels - high.size
    hits = int((inside > edge).sum()) + (count - higher) / level * int((inside == edge).sum())
    return float(hits / count)


def pointed(values: np.ndarray, placement: Placement, mask: np.ndarray) -> float:
    """Return whether the highest cell's centre lies on the mask; of cells that are equally high, the share."""
    cells = np.argwhere(values == values.max())
    at = []
    for axis in (0, 1):
        centre = placement.stride[axis] * cells[:, axis] + placement.offset[axis]
        at.append(np.clip(centre * mask.shape[axis] / placement.image[axis], 0, mask.shape[axis] - 1).astype(int))
    return float(mask[at[0], at[1]].mean())


def overlap(high: np.ndarray, inside: np.ndarray) -> float:
    """Return the highest intersection over union of the mask with the pixels from some positive value up.

    The best threshold is a value on the mask: a lower one that is not would only add pixels beside it.

    Args:
        high: the positive values of a placed map, ascending.
        inside: all its values on the mask.
    """
    levels, counts = np.unique(inside[inside > 0], return_counts=True)
    if not levels.size:
        return 0.0
    hits = counts[::-1].cumsum()[::-1]
    over = high.size - np.searchsorted(high, levels, "left")  # pixels from each threshold up, those on the mask among them
    return float((hits / (inside.size + over - hits)).max())
