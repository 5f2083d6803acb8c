"""The parts of a picture of a face: one label image, so that parts never overlap and leave nothing out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from xai.crop import Box

NOTHING = 255  # label of a pixel that belongs to no part
# Names that several sources share, so that one claim fits all of them. Left and right are the viewer's.
SETS: dict[str, tuple[str, ...]] = {
    "eyes": ("left_eye", "right_eye"),
    "brows": ("left_brow", "right_brow"),
    "ears": ("left_ear", "right_ear"),
    "mouth": ("lips", "upper_lip", "lower_lip", "mouth_inside"),
}
# What is not the face itself: every other part lies on it.
OUTSIDE = (
    "background", "hair", "hair_and_head", "hat", "left_ear", "right_ear", "earrings", "earring", "necklace", "neck", "cloth", "clothing",
    "top_left_corner", "top_right_corner", "bottom_left_corner", "bottom_right_corner",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one image.

    Args:
        labels: uint8 `(h, w)`, indices into `names`; 255 where a pixel belongs to none.
        names: of all parts that the source knows, also those this image lacks; the same for all its images.
        confidence: float32 `(R,)` in [0, 1]: how far the source itself trusts each part; 0 where it is absent.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    confidence: np.ndarray

    def cut(self, box: Box | None) -> Parts:
        """Return the parts of the image inside a box, as `Box.cut` cuts the image."""
        return self if box is None else replace(self, labels=box.cut(self.labels))

    def resized(self, size: tuple[int, int]) -> Parts:
        """Return the parts on another grid `(h, w)`; each of its points takes the label that lies there.

        Example:
            >>> parts = Parts(np.repeat(np.uint8([[0, 1]]), 4, 0), ("a", "b"), np.ones(2, np.float32))
            >>> parts.resized((2, 4)).labels.tolist()
            [[0, 0, 1, 1], [0, 0, 1, 1]]
        """
        if self.labels.shape == size:
            return self
        return replace(self, labels=cv2.resize(self.labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))

    def masks(self) -> np.ndarray:
        """Return a mask per part, bool `(R, h, w)`."""
        return self.labels[None] == np.arange(len(self.names), dtype=np.uint8)[:, None, None]

    def face(self) -> np.ndarray:
        """Return where the face itself is, bool `(h, w)`."""
        return np.isin(self.labels, [index for index, name in enumerate(self.names) if name not in OUTSIDE])


def units(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the rows of a region table: sets of parts and the parts that belong to no set.

    They are exclusive too. A set of which only one part is known, or whose name a part has, is no set.

    Example:
        >>> units(("skin", "left_eye", "right_eye", "nose"))
        {'skin': (0,), 'eyes': (1, 2), 'nose': (3,)}
    """
    rows: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(names):
        home = next((key for key, members in SETS.items() if name in members and joined(key, names)), name)
        rows[home] = (*rows.get(home, ()), index)
    return rows


def joined(key: str, names: Sequence[str]) -> bool:
    """Say whether a set stands for several of the names."""
    return key not in names and sum(name in SETS[key] for name in names) > 1
