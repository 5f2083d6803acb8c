"""Draw face portraits with exact region masks and, in the fakes, one planted artefact.

The truth about such a picture is known: which pixels are hair, which are eyes, and which were
tampered with. That makes it a ruler for detectors and for the maps that claim to explain them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from train.artefacts import ARTEFACTS, GROUPS, Artefact, plant
from train.drawing import REGIONS, Colour, Person, mix, render, scaled

__all__ = ["ARTEFACTS", "ATTRIBUTES", "GROUPS", "REGIONS", "VERSION", "Artefact", "Portrait", "draw", "write"]

VERSION = 1
"""Version of the renderer; the same seed draws the same picture as long as it stays."""

ATTRIBUTES: tuple[str, ...] = ("ears", "earrings", "glasses", "teeth")
"""What not everybody shows, and what a data set may ask of all its persons."""

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
# Bytes to a standard normal variable: noise costs one table look-up a value.
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])


@dataclass(frozen=True, slots=True)
class Portrait:
    """Hold a drawn portrait and the truth about it.

    Attributes:
        image: uint8 RGB (S, S, 3).
        labels: uint8 (S, S), indices into `REGIONS`; of the person before anything was planted.
        artefact: bool (S, S), True where an artefact was painted; all False for a real portrait.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    artefact: npt.NDArray[np.bool_]


def draw(seed: int, size: int, artefact: Artefact | None = None, *, needs: Collection[str] = ()) -> Portrait:
    """Draw one portrait.

    Outside the artefact's mask, a fake equals, value for value, the real portrait with the same seed and
    the same `needs`.

    Args:
        seed: decides the person, the light and the noise; 0 or more.
        size: side of the image, pixels; 64 or more.
        artefact: what to plant; None draws a real portrait.
        needs: attributes that the person must have, of `ATTRIBUTES`; those that the artefact
            needs (`artefact.needs`) are added.

    Returns:
        The image, its labels and the artefact's mask.

    Raises:
        ValueError: a negative seed, a size below 64, or an unknown attribute.

    Example:
        >>> portrait = draw(7, 64, Artefact.of("checkerboard"))
        >>> portrait.image.shape, bool(portrait.artefact.any())
        ((64, 64, 3), True)
    """
    _check_size(size)
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed!r}")
    unknown = sorted(set(needs) - set(ATTRIBUTES))
    if unknown:
        raise ValueError(f"attribute {unknown[0]!r} is unknown; expected one of: {', '.join(ATTRIBUTES)}")
    person = _person(seed, {*needs, *(artefact.needs if artefact else ())})
    picture, labels = render(person, size)
    image = picture.astype(np.int16)
    mask = np.zeros((size, size), bool)
    if artefact is not None:
        image, mask = plant(artefact, person, image, labels, np.random.default_rng([seed, 2]))
    # The noise has its own stream: nothing that happened before can shift it.
    rng = np.random.default_rng([seed, 1])
    table = np.rint(_NORMAL * rng.uniform(1.2, 3.2)).astype(np.int16)
    grain = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    noisy = np.asarray(cv2.add(image, cv2.LUT(grain, table), dtype=cv2.CV_8U), np.uint8)
    return Portrait(noisy, labels, mask)


def _person(seed: int, needs: Collection[str]) -> Person:
    """Invent a person. Forced attributes use up the same random numbers as free ones."""
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


def write(
    directory: str | os.PathLike[str],
    count: int,
    size: int,
    *,
    artefact: Artefact | None = None,
    seed: int = 0,
    splits: tuple[float, float, float] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Write a data set of drawn portraits with all its masks.

    Every image has a person of its own, so no fake has a real twin. `portraits.json` comes last:
    where it is, the data set is whole.

    Args:
        directory: gets real/, fake/, masks/labels/, masks/artefacts/, legend.json and portraits.json.
        count: images in all, half of each class (the real ones get the odd one); 2 or more.
        size: side of the images, pixels; 64 or more.
        artefact: what the fakes carry; None is the checkerboard on the eyes.
        seed: decides every image.
        splits: shares of train, validation and test, which add up to 1; the classes then lie
            in train/, valid/ and test/. None makes no such folders.
        progress: called with the number of images finished since the last call.

    Returns:
        The directory.

    Raises:
        ValueError: arguments out of range, or a directory that has something in it.
        OSError: an image could not be written.
    """
    if count < 2:
        raise ValueError(f"count must be 2 or more (one real, one fake), got {count!r}")
    _check_size(size)
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed!r}")
    if splits is not None and (len(splits) != 3 or min(splits) < 0 or abs(sum(splits) - 1) > 1e-6):
        raise ValueError(f"splits must be three shares (train, validation, test) that add up to 1, got {splits!r}")
    artefact = artefact or Artefact.of("checkerboard")
    directory, staging = Path(directory), Path(directory, ".portraits.tmp")
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; expected a new or empty directory")
    found = sorted(p.name for p in directory.iterdir() if p != staging) if directory.exists() else []
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ValueError(
            f"directory {directory} is not empty (found {', '.join(found[:3])}{more}); "
            "expected a new or empty one: choose another, or delete it first"
        )
    shutil.rmtree(staging, ignore_errors=True)
    jobs = _jobs(count, seed, splits)

    def one(job: tuple[str, str, str, int]) -> None:
        folder, kind, name, own = job
        portrait = draw(own, size, artefact if kind == "fake" else None, needs=artefact.needs)
        _save(staging / folder / kind / name, portrait.image)
        _save(staging / "masks" / "labels" / kind / name, portrait.labels, palette=True)
        if kind == "fake":
            _save(staging / "masks" / "artefacts" / kind / name, portrait.artefact.astype(np.uint8) * 255)

    about = {
        "renderer": VERSION,
        "seed": seed,
        "size": size,
        "count": count,
        "splits": splits,
        "artefact": asdict(artefact),
        "attributes of every person": list(artefact.needs),
        "planted": f"Every fake, and no real image, carries {ARTEFACTS[artefact.kind].sentence}, on: {artefact.region}.",
    }
    try:
        for folder, kind, _, _ in jobs:
            for place in (Path(folder), Path("masks", "labels")):
                (staging / place / kind).mkdir(parents=True, exist_ok=True)
        (staging / "masks" / "artefacts" / "fake").mkdir(parents=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(one, jobs):
                if progress is not None:
                    progress(1)
        (staging / "legend.json").write_text(json.dumps(dict(enumerate(REGIONS)), indent=1) + "\n")
        (staging / "portraits.json").write_text(json.dumps(about, indent=1) + "\n")
        for path in sorted(staging.iterdir(), key=lambda p: p.name == "portraits.json"):
            path.rename(directory / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return directory


def _jobs(count: int, seed: int, splits: tuple[float, float, float] | None) -> list[tuple[str, str, str, int]]:
    """Return (split folder, class, file name, seed) of every image."""
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    jobs, half = [], (count + 1) // 2
    for kind, total, first in (("real", half, 0), ("fake", count - half, half)):
        ends = np.rint(np.cumsum(splits) * total) if splits else None
        for i in range(total):
            folder = "" if ends is None else ("train", "valid", "test")[int(np.searchsorted(ends, i, "right"))]
            jobs.append((folder, kind, f"{kind}_{i:05d}.png", int(seeds[first + i])))
    return jobs


def _save(path: Path, pixels: npt.NDArray[np.uint8], *, palette: bool = False) -> None:
    if palette:
        picture = PillowImage.fromarray(pixels, "P")
        picture.putpalette([0, 0, 0, *np.random.default_rng(0).integers(40, 256, 3 * len(REGIONS) - 3).tolist()])
        picture.save(path, compress_level=1)
        return
    out = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    if not cv2.imwrite(str(path), out, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"could not write {path}")


def _check_size(size: int) -> None:
    if size < 64:
        raise ValueError(f"size must be 64 pixels or more, got {size!r}")
