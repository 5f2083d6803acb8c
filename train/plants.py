"""Say what is planted into the fakes of a self-test, where and how strongly, and paint it.

A plant is an artefact on a part of the face (`train.artefacts`) or a shortcut beside it
(`train.shortcuts`). Whoever explains a detector that learnt one must point to its region.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from train.artefacts import ARTEFACTS, GROUPS, Artefact, Kind
from train.persons import person
from train.shortcuts import CORNERS, PICTURE, SHORTCUTS, clipped
from xai.errors import DataError
from xai.regions.parts import OUTSIDE, SETS

KINDS: dict[str, Kind] = {**ARTEFACTS, **SHORTCUTS}
"""Every kind of plant, artefacts first."""

PAINTED: tuple[str, ...] = ("checkerboard", "droplet", *SHORTCUTS)
"""The kinds that are painted on finished pixels, so on photos too; the others redraw a portrait."""

# What the parts of other sources are called, where they are not called as in portraits.
ALIASES = {"hair": ("hair_and_head",), "skin": ("forehead", "cheeks", "chin_and_jaw", "eye_surround", "face_boundary")}


@dataclass(frozen=True, slots=True)
class Plant:
    """Say what is planted, where and how strongly.

    Args:
        kind: one of `KINDS`.
        region: a part of the face or a set of parts, a corner, or "picture". Which parts there are
            depends on the data set; `members` finds out.
        strength: above 0, in the kind's own unit (`KINDS[kind].unit`).

    Raises:
        DataError: an unknown kind, a region that the kind cannot go to, or a strength out of range.

    Example:
        >>> Plant.parse("checkerboard:mouth")
        Plant(kind='checkerboard', region='mouth', strength=40.0)
        >>> Plant.parse("watermark").text
        'watermark:bottom_right_corner:120'
    """

    kind: str
    region: str
    strength: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"plant kind '{self.kind}' is not known; expected one of: {', '.join(KINDS)}")
        kind = KINDS[self.kind]
        if kind.regions and self.region not in kind.regions:
            raise DataError(f"'{self.kind}' cannot be planted on '{self.region}'; expected one of: {', '.join(kind.regions)}")
        if not re.fullmatch("[a-z][a-z0-9_]*", self.region) or (self.region == PICTURE and not kind.regions):
            raise DataError(f"'{self.kind}' cannot be planted on '{self.region}'; expected a part of the face such as eyes, mouth, nose, hair")
        if not (isfinite(self.strength) and 0 < self.strength <= kind.maximum):
            raise DataError(f"strength of '{self.kind}' must be above 0 and at most {kind.maximum:g} ({kind.unit}), got {self.strength:g}")

    @classmethod
    def parse(cls, text: str) -> Plant:
        """Return the plant of "kind", "kind:region" or "kind:region:strength"; what is left out or empty is the kind's own.

        Raises:
            DataError: not of that form, or as for the class.
        """
        name, *rest = (word.strip().lower() for word in text.split(":"))
        if not name or len(rest) > 2:
            raise DataError(f"'{text}' is no plant; expected kind, kind:region or kind:region:strength, such as checkerboard:eyes:40")
        if name not in KINDS:
            raise DataError(f"plant kind '{name}' is not known; expected one of: {', '.join(KINDS)}")
        region, strength = (*rest, "", "")[:2]
        try:
            value = float(strength) if strength else KINDS[name].strength
        except ValueError:
            raise DataError(
                f"strength '{strength}' of '{text}' is no number; expected {KINDS[name].unit}, such as {KINDS[name].strength:g}"
            ) from None
        return cls(name, region or KINDS[name].region, value)

    @property
    def text(self) -> str:
        """Return the canonical form, which `parse` reads."""
        return f"{self.kind}:{self.region}:{self.strength:.12g}"

    @property
    def name(self) -> str:
        """Return a name for its folder."""
        return self.text.replace(":", "-")

    @property
    def shortcut(self) -> bool:
        """Say whether it is a shortcut: nothing of the face itself."""
        return self.kind in SHORTCUTS

    @property
    def whole(self) -> bool:
        """Say whether it covers the whole picture, so that no region is right."""
        return self.region == PICTURE

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the attributes that a drawn person must have for the region to exist."""
        if self.shortcut or self.region not in GROUPS:
            return ()
        return Artefact(self.kind, self.region, self.strength).needs

    @property
    def sentence(self) -> str:
        """Return what is planted, in words."""
        return f"Every fake, and no real image, carries {KINDS[self.kind].sentence}, on: {self.region}."

    def members(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the parts that its region covers, of those that a data set names; all where it covers the whole picture.

        Raises:
            DataError: the data set has no such region.

        Example:
            >>> Plant.parse("checkerboard:mouth").members(("nose", "lips", "mouth_inside"))
            ('lips', 'mouth_inside')
        """
        if self.whole:
            return tuple(names)
        if self.region in names:
            return (self.region,)
        group = GROUPS.get(self.region, ())
        if group and set(group) <= set(names):
            return group
        if self.region == "face":
            wanted = tuple(name for name in names if name not in (*OUTSIDE, *CORNERS))
        else:
            wanted = (*SETS.get(self.region, ()), *ALIASES.get(self.region, ()))
        found = tuple(name for name in names if name in wanted)
        if not found:
            raise DataError(f"'{self.text}': there is no region '{self.region}'; expected one of: {', '.join(regions(names))}")
        return found


DEFAULTS: tuple[Plant, ...] = tuple(
    Plant.parse(text)
    for text in (
        "checkerboard:eyes:60", "checkerboard:mouth:80", "checkerboard:nose:60", "checkerboard:brows:80",
        "watermark:bottom_right_corner:120", "cast:picture:40", "jpeg:picture:97",
    )
)  # fmt: skip
"""What a self-test plants unless told otherwise, each in a data set of its own.

The smaller the region, the stronger: alexnet18 must learn each from 480 drawn portraits of 256 x 256 (learning rate
3e-4, batches of 16). Checkerboards and watermark reach 1.00 on 90 held-out images within 8 epochs, the cast 0.97;
JPEG blocks reach 0.93 in 8 and 0.98 in 16. No droplet is among them: at up to 255 grey levels none was learnt in 8.
"""


def regions(names: Sequence[str]) -> list[str]:
    """Return what a region can be called where parts have these names: the parts, and the sets that they make up.

    Example:
        >>> regions(("skin", "left_eye", "right_eye"))
        ['skin', 'left_eye', 'right_eye', 'eyes']
    """
    sets = [key for key, members in SETS.items() if key not in names and sum(member in names for member in members) > 1]
    return [*names, *sets, *(key for key, members in ALIASES.items() if key not in names and set(members) <= set(names))]


def paint(plant: Plant, image: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paint a plant on finished pixels.

    Args:
        plant: of a kind in `PAINTED`.
        image: uint8 `(S, S, 3)`, RGB.
        inside: bool `(S, S)`, its region.
        rng: chooses what the plant leaves open, such as the place of a droplet.

    Returns:
        The altered picture and where it was altered, bool `(S, S)`: never outside the region. What covers
        the whole picture is taken to have altered every pixel.
    """
    if plant.kind in SHORTCUTS:
        altered = SHORTCUTS[plant.kind].paint(image, inside, plant.strength, rng)
    else:
        # Neither looks at the person or the artefact's own region: the pixels are all they need.
        artefact = Artefact.of(plant.kind, strength=plant.strength)
        altered = clipped(ARTEFACTS[plant.kind].paint(artefact, person(0, ()), image.astype(np.int16), inside, rng))
    if plant.whole:
        return altered, np.ones_like(inside)
    mask = inside & (altered != image).any(-1)
    return np.where(mask[..., None], altered, image), mask
