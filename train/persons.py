"""Invent the person of a portrait: pose, light, shapes and colours from one seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from train.drawing import Colour, Person, mix, scaled

_SKINS: tuple[Colour, ...] = (
    (255, 226, 208), (248, 208, 182), (238, 190, 158), (222, 168, 130),
    (198, 140, 102), (166, 112, 78), (132, 86, 60), (104, 68, 50),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = (
    (42, 34, 34), (66, 46, 36), (98, 66, 44), (136, 82, 50), (160, 78, 42),
    (182, 142, 90), (222, 188, 128), (156, 154, 154), (216, 212, 206),
)  # fmt: skip
_IRISES: tuple[Colour, ...] = ((92, 58, 34), (122, 82, 44), (84, 118, 150), (98, 128, 84), (112, 122, 128))
_STYLES = ("crop", "short", "swept", "bob", "long", "curly", "afro", "bun")


def person(seed: int, needs: Collection[str]) -> Person:
    """Invent a person.

    Forced attributes use up the same random numbers as free ones: asking for one changes nothing else.

    Args:
        seed: decides everything; 0 or more.
        needs: attributes that the person must have, of `train.portraits.ATTRIBUTES`.

    Returns:
        The person, without any artefact.

    Example:
        >>> bool(person(0, ("glasses",)).glasses), person(0, ("glasses",)).hair == person(0, ()).hair
        (True, True)
    """
    rng = np.random.default_rng([seed, 0])

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def normal(spread: float, limit: float) -> float:
        return float(np.clip(rng.normal(0, spread), -limit, limit))

    def pick(options: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
        p = None if weights is None else np.asarray(weights) / np.sum(weights)
        return options[int(rng.choice(len(options), p=p))]

    def colour(low: float, high: float) -> Colour:
        red, green, blue = (float(c) for c in rng.uniform(low, high, 3))
        grey = (red + green + blue) / 3
        return mix((red, green, blue), (grey, grey, grey), 0.4)

    tone = between(0, len(_SKINS) - 1.001)
    skin = mix(_SKINS[int(tone)], _SKINS[int(tone) + 1], tone % 1)
    dark = tone > 4
    hair = mix(pick(_HAIRS, (3, 3, 3, 2, 1, 2, 2, 1, 1) if not dark else (6, 4, 1, 0.4, 0, 0.2, 0.2, 1, 0.4)),
               colour(30, 200), 0.07)  # fmt: skip
    style = pick(_STYLES, (2, 3, 3, 2, 4, 2, 2.5 if dark else 0.3, 1))
    short = style in ("crop", "short", "swept", "afro", "bun")
    stand = {"crop": 0.026, "short": 0.07, "swept": 0.075, "afro": 0.11, "curly": 0.075}
    volume = stand.get(style, 0.055) * between(0.85, 1.2)
    fall = {"bob": between(0.22, 0.32), "curly": between(0.2, 0.45)}
    length = 0.0 if short else fall.get(style, between(0.42, 0.6))
    fringe = style in ("bob", "long") and rng.random() < 0.4
    part = between(-0.5, 0.5) if style in ("swept", "long", "bob") else normal(0.08, 0.15)
    middle = between(-0.165, -0.155) if fringe else between(-0.285, -0.225)
    roundness = between(5, 8) if fringe else between(2.2, 4.5)
    free = rng.random(5)
    earrings = "earrings" in needs or free[0] < 0.3
    tucked = short or earrings or "ears" in needs or free[1] < 0.35
    smiling = "teeth" in needs or free[2] < 0.55
    glasses = "glasses" in needs or free[4] < 0.25
    opening = between(0.036, 0.055) * smiling
    wall = colour(70, 225)
    red = pick([(190, 70, 76), (176, 84, 80), (160, 60, 80)])
    return Person(
        seed=seed,
        shift=(normal(0.01, 0.02), normal(0.008, 0.016)),
        scale=between(0.96, 1.04),
        roll=normal(0.05, 0.12),
        yaw=normal(0.17, 0.4),
        light=(pick([-1, 1]) * between(0.35, 0.9), between(-0.6, -0.2)),
        blur=between(0.35, 0.8),
        face=(between(0.268, 0.298), between(0.08, 0.24), between(0.345, 0.375)),
        eye=(between(0.118, 0.129), between(0.063, 0.069), between(0.030, 0.037), between(-0.002, 0.008)),
        brow=(between(0.066, 0.074), between(0.008, 0.022), between(0.013, 0.024)),
        nose=(between(0.044, 0.062), between(0.085, 0.105)),
        mouth=(between(0.085, 0.11) + 0.012 * smiling, between(0.005, 0.03), opening, between(0.018, 0.028)),
        stubble=between(0.08, 0.2) if style in ("crop", "short", "swept") and free[3] < 0.45 else 0.0,
        style=style,
        volume=volume,
        hairline=(middle, part, roundness),
        length=length,
        tucked=tucked,
        earring=str(pick(["stud", "drop", "hoop"] if earrings else [""] * 3)),
        glasses=str(pick(["round", "square", "oval"] if glasses else [""] * 3)),
        collar=pick(["crew", "vee", "shirt"]),
        pattern=pick([0, 1, 2], (3, 1, 1)),
        backdrop=pick([0, 1, 2, 3]),
        skin=skin,
        hair=hair,
        iris=mix(pick(_IRISES, (3, 2, 2, 1, 1) if not dark else (6, 1, 0.2, 0.2, 0.1)), colour(40, 140), 0.12),
        lips=mix(scaled(skin, 0.78), red, between(0.35, 0.75)),
        cloth=colour(40, 235),
        metal=pick([(226, 184, 84), (206, 210, 218), (214, 150, 120)]),
        frame=pick([(30, 28, 32), (92, 54, 34), (70, 76, 92), (150, 40, 48)]),
        walls=(wall, mix(scaled(wall, between(0.5, 0.8)), colour(40, 220), 0.3)),
    )
