"""Name the artefacts that can be planted in a drawn portrait, and paint them.

Each is typical of StyleGAN: a checkerboard from upsampling, mismatched highlights in the eyes,
spectacles and earrings that fall apart, teeth without gaps, and the water droplet of the first
version. An artefact never leaves its region and changes nothing else in the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import cv2
import numpy as np

from train.drawing import REGIONS, Image, Person
from train.parts import render

GROUPS: dict[str, tuple[str, ...]] = {
    "eyes": ("left_eye", "right_eye"),
    "brows": ("left_brow", "right_brow"),
    "ears": ("left_ear", "right_ear"),
    "lips": ("mouth",),
    "face": ("skin", "left_eye", "right_eye", "left_brow", "right_brow", "nose", "mouth", "teeth"),
    **{name: (name,) for name in REGIONS},
}
"""Target name to the regions it covers; left and right as the viewer sees them."""

# A region that not everybody shows, and the attribute that makes it visible.
_SHOWN = {
    "left_ear": "ears",
    "right_ear": "ears",
    "ears": "ears",
    "earrings": "earrings",
    "glasses": "glasses",
    "teeth": "teeth",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """Describe a kind of artefact.

    Attributes:
        paint: returns the altered picture. Of artefacts: (artefact, person, image int16 (S, S, 3), inside
            bool (S, S), rng), and what it does outside the region is thrown away. Of shortcuts: (image
            uint8 (S, S, 3), inside bool (S, S), strength, rng).
        region: where it goes unless told otherwise.
        strength: how strong it is unless told otherwise.
        maximum: the largest strength.
        unit: what the strength counts.
        regions: the only regions it can go to; empty means any.
        sentence: what is planted, in words.
    """

    paint: Callable[..., Image]
    region: str
    strength: float
    maximum: float
    unit: str
    regions: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Artefact:
    """Say what is planted, where and how strongly.

    Args:
        kind: one of `ARTEFACTS`.
        region: a region or a group of regions, one of `GROUPS`.
        strength: 0 changes nothing at all. "checkerboard" and "droplet": grey levels, 0 to 255,
            rounded to whole levels. "highlight": displacement in iris radii, 0 to 1. "glasses",
            "earring", "teeth": share of the damage, 0 to 1.

    Raises:
        ValueError: unknown kind or region, a region the kind cannot go to, or a strength out of range.

    Example:
        >>> Artefact.of("checkerboard", region="hair")
        Artefact(kind='checkerboard', region='hair', strength=40.0)
    """

    kind: str
    region: str
    strength: float

    def __post_init__(self) -> None:
        if self.kind not in ARTEFACTS:
            raise ValueError(f"artefact kind {self.kind!r} is unknown; expected one of: {', '.join(ARTEFACTS)}")
        kind = ARTEFACTS[self.kind]
        if self.region not in GROUPS:
            raise ValueError(f"region {self.region!r} is unknown; expected one of: {', '.join(GROUPS)}")
        if kind.regions and self.region not in kind.regions:
            raise ValueError(f"artefact {self.kind!r} cannot be painted on region {self.region!r}; expected one of: {', '.join(kind.regions)}")
        if not (isfinite(self.strength) and 0 <= self.strength <= kind.maximum):
            raise ValueError(f"strength of {self.kind!r} must be from 0 to {kind.maximum:g} ({kind.unit}), got {self.strength!r}")

    @classmethod
    def of(cls, kind: str, region: str | None = None, strength: float | None = None) -> Artefact:
        """Return an artefact, with the kind's own region and strength where none is given."""
        if kind not in ARTEFACTS:
            raise ValueError(f"artefact kind {kind!r} is unknown; expected one of: {', '.join(ARTEFACTS)}")
        default = ARTEFACTS[kind]
        return cls(
            kind,
            default.region if region is None else region,
            default.strength if strength is None else float(strength),
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """Attributes that a person must have for the region to exist: real ones get them too."""
        return (_SHOWN[self.region],) if self.region in _SHOWN else ()


def checkerboard(artefact: Artefact, person: Person, image: Image, inside: Image, rng: np.random.Generator) -> Image:
    """Add a checkerboard of 2 x 2 pixel squares, alternately + and - strength grey levels.

    Squares of two pixels outlive a stride of 2; squares of one would be averaged away.
    """
    row, column = (np.arange(n, dtype=np.int16) // 2 for n in image.shape[:2])
    sign = 1 - 2 * ((row[:, None] + column) % 2)
    return image + (sign * round(artefact.strength))[..., None].astype(image.dtype)


def droplet(artefact: Artefact, person: Person, image: Image, inside: Image, rng: np.random.Generator) -> Image:
    """Add a bright-rimmed blob with a dark middle at a place where it fits into the region.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, arXiv 1912.04958.
    """
    size = len(image)
    radius = 0.045 * size * rng.uniform(0.85, 1.15)
    room = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rows, columns = np.nonzero(room >= min(radius, room.max()))
    pick = int(rng.random() * len(rows))
    row, column = np.indices(inside.shape)
    dy, dx = row - rows[pick], column - columns[pick]
    far = np.hypot(dy, dx) / radius
    ripple = 0.25 * np.cos(np.arctan2(dy, dx) * 3 + rng.uniform(0, 6))
    profile = np.exp(-(((far - 0.7) / 0.18) ** 2)) * (1 + ripple) - 0.9 * np.exp(-((far / 0.4) ** 2))
    delta = np.where(far < 1.1, profile, 0.0) * artefact.strength
    return image + np.rint(delta[..., None] * np.array([1.0, 0.92, 1.05])).astype(image.dtype)


def highlight(artefact: Artefact, person: Person, image: Image, inside: Image, rng: np.random.Generator) -> Image:
    """Move and enlarge the highlight of one eye; of "eyes" it is the left one, so that they differ."""
    s = artefact.strength
    moved = {"left_eye": (s, 0.0), "right_eye": (0.0, s), "eyes": (s, 0.0)}[artefact.region]
    return _redrawn(replace(person, highlights=moved), image)


def glasses(artefact: Artefact, person: Person, image: Image, inside: Image, rng: np.random.Generator) -> Image:
    """Leave out an arc of one rim and thin the frame, so that the two sides differ."""
    return _redrawn(replace(person, gap=artefact.strength), image)


def earring(artefact: Artefact, person: Person, image: Image, inside: Image, rng: np.random.Generator) -> Image:
    """Melt the earrings into what is behind them."""
    return _redrawn(replace(person, melt=artefact.strength), image)


def teeth(artefact: Artefact, person: Person, image: Image, inside: Image, rng: np.random.Generator) -> Image:
    """Merge the teeth into one plank without gaps."""
    return _redrawn(replace(person, merged=artefact.strength), image)


def _redrawn(person: Person, image: Image) -> Image:
    return render(person, len(image))[0].astype(image.dtype)


ARTEFACTS: dict[str, Kind] = {
    "checkerboard": Kind(
        checkerboard, "eyes", 40.0, 255.0, "grey levels", (),
        "a checkerboard of 2 x 2 pixel squares, alternately brighter and darker",
    ),
    "highlight": Kind(
        highlight, "eyes", 1.0, 1.0, "iris radii", ("eyes", "left_eye", "right_eye"),
        "iris highlights that do not match between the two eyes",
    ),
    "glasses": Kind(
        glasses, "glasses", 1.0, 1.0, "share of the damage", ("glasses",),
        "spectacles with a broken, uneven frame",
    ),
    "earring": Kind(
        earring, "earrings", 1.0, 1.0, "share of the damage", ("earrings",),
        "earrings that have melted",
    ),
    "teeth": Kind(
        teeth, "teeth", 1.0, 1.0, "share of the damage", ("teeth",),
        "teeth merged into one, without gaps",
    ),
    "droplet": Kind(
        droplet, "background", 70.0, 255.0, "grey levels", (),
        "a blob like a water droplet, with a bright rim",
    ),
}  # fmt: skip
"""Kind to painter, default region and default strength."""


def plant(artefact: Artefact, person: Person, image: Image, labels: Image, rng: np.random.Generator) -> tuple[Image, Any]:
    """Paint an artefact into a picture that has no camera noise yet.

    Args:
        artefact: what to paint.
        person: who is in the picture.
        image: int16 RGB (S, S, 3), not yet clipped.
        labels: uint8 (S, S), as :func:`train.parts.render` returns them.
        rng: chooses what the artefact leaves open, such as the place of a droplet.

    Returns:
        The altered picture, int16 (S, S, 3), and where it was altered, bool (S, S).
    """
    table = np.isin(REGIONS, GROUPS[artefact.region])
    inside = table[labels]
    if artefact.strength == 0 or not inside.any():
        return image, np.zeros_like(inside)
    altered = ARTEFACTS[artefact.kind].paint(artefact, person, image, inside, rng)
    # Channel by channel: any(axis=-1) over three values is several times slower.
    changed = cv2.absdiff(altered, image)
    mask = inside & (np.maximum(np.maximum(changed[..., 0], changed[..., 1]), changed[..., 2]) > 0)
    image = image.copy()
    image[mask] = altered[mask]
    return image, mask
