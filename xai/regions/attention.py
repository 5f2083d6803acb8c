"""How much of a map's positive mass lies on each part, and how much would by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xai.maps.placement import Placement
from xai.regions.frame import Frame
from xai.regions.null import GRID, centred, moved, shares
from xai.regions.parts import NOTHING, Parts

SIDE = 64, 256  # cells a side on which mass is measured: half of the image's pixels, but not fewer nor more than these
ANCHORED = 128  # pixels a side of labels that are good enough for the middles of eyes, nose and mouth

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """The parts of an image, ready to be compared with its maps.

    Args:
        labels: uint8 `(h, w)`.
        masks: float32 `(R, h', w')`: the share of each cell of a grid that a part covers.
        chance: float32 `(R, g * g)`, how often each cell is covered by the part moved at random.
        area: share of the image per part, float32 `(R,)`.
        centre: share of a look at the middle per part, float32 `(R,)`.
        frame: where the mean face's frame lies on the image; None where it cannot be aligned.
    """

    labels: np.ndarray
    masks: np.ndarray
    chance: np.ndarray
    area: np.ndarray
    centre: np.ndarray
    frame: Frame | None

    @property
    def nbytes(self) -> int:
        """Bytes it takes in memory."""
        return self.labels.nbytes + self.masks.nbytes + self.chance.nbytes

    @classmethod
    def of(cls, parts: Parts, image: tuple[int, int]) -> Ground:
        """Prepare the parts of an image; `image` is the network's input size."""
        height, width = (int(np.clip(side // 2, *SIDE)) for side in image)
        masks = shares(parts, (height, width))
        small = parts.resized((min(ANCHORED, parts.labels.shape[0]), min(ANCHORED, parts.labels.shape[1])))
        chance = moved(masks, parts.names).reshape(len(masks), -1)
        return cls(parts.labels, masks, chance, masks.mean((1, 2)), centred(masks), Frame.of(small, image))


def attend(maps: Mapping[Pair, np.ndarray], placements: Mapping[str, Placement], ground: Ground) -> dict[Pair, np.ndarray]:
    """Measure the maps of one image.

    A cell's positive value is shared out over the pixels it covers; mass that falls outside the
    image is left out.

    Args:
        maps: by (layer, method), float `(h, w)`, raw.
        placements: by layer.
        ground: of the image.

    Returns:
        By (layer, method), float64 `(2 R + 1,)`: the share of the positive mass on each part, the share
        its mask would hold moved at random, and the part that holds the map's highest cell (-1: none).
        NaN, NaN, -1 for an empty map.

    Example:
        >>> from xai.maps.placement import stretched
        >>> parts = Parts(np.uint8([[0, 1]]), ("left", "right"), np.ones(2, np.float32))
        >>> found = attend({("a", "b"): np.array([[1.0, 3.0]])}, {"a": stretched((1, 2), (1, 2))}, Ground.of(parts, (1, 2)))
        >>> found["a", "b"][[0, 1, 4]].round(4).tolist()  # a cell keeps 6/7 of its mass on its own pixel
        [0.3214, 0.6786, 1.0]
    """
    found = {pair: np.full(2 * len(ground.area) + 1, np.nan) for pair in maps}
    for pair in found:
        found[pair][-1] = -1
    height, width = ground.masks.shape[1:]
    shown: list[Pair] = []
    fine, rough, peaks = [], [], []
    for layer in dict.fromkeys(layer for layer, _ in maps):
        pairs = [pair for pair in maps if pair[0] == layer]
        values = np.stack([maps[pair] for pair in pairs])
        flat = values.reshape(len(pairs), -1)
        cells = flat.argmax(1)
        highest = flat[np.arange(len(pairs)), cells]
        some = np.flatnonzero(highest > 0)
        shown += [pairs[index] for index in some]
        positive = np.maximum(values[some], 0, dtype=np.float32) / highest[some, None, None].astype(np.float32)
        placed = placements[layer].place(positive, (height, width))
        fine.append(placed.reshape(len(some), height * width))
        peaks.append(labels_at(cells[some], placements[layer], ground.labels))
        rough.append(placements[layer].place(positive, (GRID, GRID)).reshape(len(some), GRID * GRID))
    every, coarse = (np.concatenate([*parts, np.zeros((0, size), np.float32)]) for parts, size in ((fine, height * width), (rough, GRID * GRID)))
    with np.errstate(invalid="ignore"):  # all of it outside the image
        mass = every @ ground.masks.reshape(len(ground.area), -1).T / every.sum(1)[:, None]
        chance = coarse @ ground.chance.T / coarse.sum(1)[:, None]
    measured = np.concatenate([mass, chance, np.concatenate([*peaks, np.zeros(0)])[:, None]], 1, dtype=np.float64)
    return found | dict(zip(shown, measured, strict=True))


def labels_at(cells: np.ndarray, placement: Placement, labels: np.ndarray) -> np.ndarray:
    """Return the part on which each cell's centre lies, int `(k,)`, -1 for none; cells are counted row by row."""
    at = []
    for axis, index in zip((0, 1), np.unravel_index(cells, placement.cells), strict=True):
        centre = placement.stride[axis] * index + placement.offset[axis]
        at.append(np.clip(centre * labels.shape[axis] / placement.image[axis], 0, labels.shape[axis] - 1).astype(int))
    found = labels[at[0], at[1]].astype(int)
    return np.where(found == NOTHING, -1, found)
