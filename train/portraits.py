"""Draw face portraits with exact region masks and, in the fakes, one planted artefact.

The truth about such a picture is known: which pixels are hair, which are eyes, and which were
tampered with. That makes it a ruler for detectors and for the maps that claim to explain them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from train.artefacts import ARTEFACTS, GROUPS, Artefact, plant
from train.drawing import REGIONS
from train.parts import render
from train.persons import person

__all__ = ["ARTEFACTS", "ATTRIBUTES", "GROUPS", "REGIONS", "VERSION", "Artefact", "Portrait", "draw", "write"]

VERSION = 1
"""Version of the renderer; the same seed draws the same picture as long as it stays."""

ATTRIBUTES: tuple[str, ...] = ("ears", "earrings", "glasses", "teeth")
"""What not everybody shows, and what a data set may ask of all its persons."""

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
    sitter = person(seed, {*needs, *(artefact.needs if artefact else ())})
    picture, labels = render(sitter, size)
    image = picture.astype(np.int16)
    mask = np.zeros((size, size), bool)
    if artefact is not None:
        image, mask = plant(artefact, sitter, image, labels, np.random.default_rng([seed, 2]))
    # The noise has its own stream: nothing that happened before can shift it.
    rng = np.random.default_rng([seed, 1])
    table = np.rint(_NORMAL * rng.uniform(1.2, 3.2)).astype(np.int16)
    grain = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    noisy = np.asarray(cv2.add(image, cv2.LUT(grain, table), dtype=cv2.CV_8U), np.uint8)
    return Portrait(noisy, labels, mask)


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
