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
        height, width = (int(np.clip(side // 2 // GRID * GRID, *SIDE)) for side in image)
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
    for layer in dict.fromkeys(layer for layer, _ in maps):
        pairs = [pair for pair in maps if pair[0] == layer]
        positive = np.stack([maps[pair] for pair in pairs]).clip(0)
        highest = positive.max((1, 2))
        pairs, positive = [pair for pair, top in zip(pairs, highest, strict=True) if top > 0], positive[highest > 0]
        if not pairs:
            continue
        positive = (positive / highest[highest > 0][:, None, None]).astype(np.float32, copy=False)
        height, width = ground.masks.shape[1:]
        fine = placements[layer].place(positive, (height, width))
        rough = fine.reshape(len(pairs), GRID, height // GRID, GRID, width // GRID).sum((2, 4)).reshape(len(pairs), -1)
        whole = rough.sum(1)[:, None]
        with np.errstate(invalid="ignore"):  # all of it outside the image
            mass = fine.reshape(len(pairs), -1) @ ground.masks.reshape(len(ground.area), -1).T / whole
            chance = rough @ ground.chance.T / whole
        for index, pair in enumerate(pairs):
            found[pair] = np.concatenate([mass[index], chance[index], [peak(maps[pair], placements[layer], ground.labels)]])
    return found


def peak(values: np.ndarray, placement: Placement, labels: np.ndarray) -> int:
    """Return the part that holds a map's highest cell, -1 for none."""
    centre = placement.centre(np.unravel_index(int(np.argmax(values)), values.shape))  # type: ignore[arg-type]
    row, column = (int(np.clip(at * n / whole, 0, n - 1)) for at, n, whole in zip(centre, labels.shape, placement.image, strict=True))
    return -1 if labels[row, column] == NOTHING else int(labels[row, column])
