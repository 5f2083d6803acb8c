"""Write data sets for a self-test: real and fake pictures that differ by one planted artefact in a known region."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from train.plants import Plant
from train.sitters import Drawn, Photos, Sitter, Sitters
from xai import store
from xai.errors import DataError, RunError, listed
from xai.places import File
from xai.regions.labels import LEGEND
from xai.regions.source import Source, open_source

VERSION = 1  # of what is painted; the same arguments write the same files as long as it stays
RECORD = "plants.json"
FEWEST = 40  # photos: fewer do not train a detector
TRACES = 0.9  # of the fakes that must differ from their real picture
AT_ONCE = 32  # pictures in memory
EMPTY = "the plant left no trace"
COLOURS = [0, 0, 0, *np.random.default_rng(0).integers(40, 256, 3 * 255).tolist()]  # of label images, for the eye only


@dataclass(frozen=True, slots=True)
class Planted:
    """A data set with one plant.

    Attributes:
        folder: holds real/, fake/, masks/labels/, masks/artefacts/, legend.json and plants.json.
        plant: what the fakes carry.
        counts: pictures of each class, "real" and "fake".
        skipped: path (a seed, of portraits) -> reason.
    """

    folder: Path
    plant: Plant
    counts: dict[str, int]
    skipped: dict[str, str]


def write(
    folder: str | os.PathLike[str],
    plant: Plant,
    *,
    count: int,
    size: int,
    seed: int = 0,
    photos: Sequence[File] | None = None,
    source: Source | None = None,
    root: Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> Planted:
    """Write a data set, or return the one that the same arguments wrote there before.

    Every person is shown once, as real or as fake, and which of the two is random: nothing but the
    plant tells the classes apart. The labels of all pictures name the four corners, where watermarks
    sit, beside the parts of the face. The folder appears when all is in it.

    Args:
        folder: new, empty, or written here before.
        plant: what the fakes carry.
        count: pictures in all, half of each class (the real ones get the odd one), 2 or more. Of photos,
            at most: as many as can be used.
        size: side of the pictures, pixels; 64 or more.
        seed: decides everything that is random; 0 or more.
        photos: of real faces, 40 or more; None draws portraits.
        source: says which pixels of a photo are which part; None is the face mesh.
        root: folder that the source's paths are relative to; None is the folder that all photos lie in.
        progress: called with the number of pictures finished since the last call.

    Returns:
        What was written.

    Raises:
        DataError: arguments out of range, something else in the folder, a plant that cannot be painted
            or leaves no trace, or too few photos that can be used.
        ModelError: photos need the mesh, and a package of it is not installed.
        RunError: the folder cannot be written.
    """
    if count < 2 or size < 64 or seed < 0:
        raise DataError(f"expected a count of 2 or more, a size of 64 or more and a seed of 0 or more, got {count}, {size} and {seed}")
    folder = Path(os.path.abspath(folder))
    sitters = seat(plant, count, size, seed, photos, source, root)
    wanted = store.plain({"version": VERSION, "plant": plant.text, "count": count, "size": size, "seed": seed, **sitters.record()})
    known = found(folder, wanted)
    if known is not None:
        return Planted(folder, plant, known["counts"], known["skipped"])
    store.make_folder(folder.parent)
    staging = folder.with_name(f".{folder.name}.plants.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for place in ("real", "fake", "masks/labels/real", "masks/labels/fake", "masks/artefacts/fake"):
            store.make_folder(staging / place)
        origins, skipped = pictures(staging, sitters, count, progress)
        counts = {kind: sum(name.startswith(kind) for name in origins) for kind in ("real", "fake")}
        check(plant, counts, skipped, photos)
        about = {"counts": counts, "skipped": skipped, "planted": plant.sentence, "regions": plant.members(sitters.names), "origins": origins}
        store.write_json(staging / LEGEND, dict(enumerate(sitters.names)))
        store.write_json(staging / RECORD, {**wanted, **about})
        if folder.exists():
            folder.rmdir()
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Planted(folder, plant, counts, skipped)


def seat(plant: Plant, count: int, size: int, seed: int, photos: Sequence[File] | None, source: Source | None, root: Path | None) -> Sitters:
    """Return the pictures to begin with; arguments and errors as in `write`."""
    if photos is None:
        return Drawn.of(plant, count, size, seed)
    if len(photos) < FEWEST:
        raise DataError(f"a self-test on photos needs {FEWEST} or more, got {len(photos)}; give more, or none to draw portraits")
    source = source or open_source("mesh")
    assert source is not None  # "mesh" raises where there is none
    return Photos.of(plant, size, seed, photos, source, root)


def found(folder: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of the data set that is wanted, if it is there; None for a new or empty folder.

    Raises:
        DataError: there is something else.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise DataError(f"'{folder}' is a file; expected a new or empty folder")
    inside = sorted(entry.name for entry in folder.iterdir())
    if not inside:
        return None
    if RECORD not in inside:
        raise DataError(f"'{folder}' is not empty ({listed(inside, 3)}); expected a new or empty folder: choose another, or delete it first")
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        other = [key for key in wanted if known[key] != wanted[key]]
        if not other:
            return {"counts": dict(known["counts"]), "skipped": dict(known["skipped"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{folder / RECORD}' is damaged ({error!r}); delete the folder '{folder}' and try again") from None
    first = other[0]
    raise DataError(
        f"'{folder}' holds another data set: its {first} is {known[first]}, expected {wanted[first]}; give another folder, or delete this one"
    )


def pictures(staging: Path, sitters: Sitters, count: int, progress: Callable[[int], object] | None) -> tuple[dict[str, str], dict[str, str]]:
    """Write pictures and masks until there are enough; real and fake take turns among those that can be used.

    Returns:
        Class and name of every picture -> where it comes from; where it comes from -> reason, of those skipped.
    """
    origins: dict[str, str] = {}
    skipped: dict[str, str] = {}
    used = 0

    def save(job: tuple[str, Sitter]) -> bool:
        name, sitter = job
        image = sitter.image
        if name.startswith("fake"):
            image, mask = sitters.tampered(sitter)
            if not mask.any():
                return False
            save_pixels(staging / "masks" / "artefacts" / name, mask.astype(np.uint8) * 255)
        save_pixels(staging / name, image)
        save_labels(staging / "masks" / "labels" / name, sitter.labels)
        return True

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(sitters), AT_ONCE):
            batch = range(first, min(first + AT_ONCE, len(sitters)))
            jobs: list[tuple[str, Sitter]] = []
            sources: list[str] = []
            for index, sitter in zip(batch, pool.map(sitters.sit, batch), strict=True):
                if isinstance(sitter, str):
                    skipped[sitters.origin(index)] = sitter
                elif used < count:
                    kind = ("real", "fake")[used % 2]
                    jobs.append((f"{kind}/{kind}_{used // 2:05d}.png", sitter))
                    sources.append(sitters.origin(index))
                    used += 1
            for (name, _), origin, written in zip(jobs, sources, pool.map(save, jobs), strict=True):
                if written:
                    origins[name] = origin
                else:
                    skipped[origin] = EMPTY
                if written and progress is not None:
                    progress(1)
            if used >= count:
                break
    return dict(sorted(origins.items())), skipped


def check(plant: Plant, counts: Mapping[str, int], skipped: Mapping[str, str], photos: Sequence[File] | None) -> None:
    """Refuse a data set that could not be learnt from.

    Raises:
        DataError: too few photos, or fakes without a trace of the plant.
    """
    traceless = sum(reason == EMPTY for reason in skipped.values())
    if counts["fake"] < TRACES * (counts["fake"] + traceless):
        total = counts["fake"] + traceless
        raise DataError(f"'{plant.text}' left no trace on {traceless} of {total} fakes; give it a strength above {plant.strength:g}")
    if photos is not None and sum(counts.values()) < FEWEST:
        reasons = listed([f"{reason} ({number})" for reason, number in Counter(skipped.values()).most_common()], 3)
        raise DataError(
            f"{sum(counts.values())} of {len(photos)} photos can be used: {reasons}; "
            f"a self-test needs {FEWEST} or more: give more photos of faces, another region, or none to draw portraits"
        )


def save_pixels(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels, RGB or grey, as PNG."""
    if not cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise RunError(f"'{path}' cannot be written; is the disk full?")


def save_labels(path: Path, labels: np.ndarray) -> None:
    """Write labels as a PNG with a palette."""
    picture = Pillow.fromarray(labels, "P")
    picture.putpalette(COLOURS)
    try:
        picture.save(path, compress_level=1)
    except OSError as error:
        raise RunError(f"'{path}' cannot be written: {error.strerror}") from None
