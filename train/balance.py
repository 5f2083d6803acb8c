"""Classes of unequal size in training: fewer rows, repeated rows, or weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from train.manifest import CLASSES, Manifest
from xai.errors import DataError

WAYS = ("none", "class-weight", "undersample", "oversample")


def balanced(manifest: Manifest, how: str, seed: int) -> Manifest:
    """Return the manifest with as many training rows of each class; other splits stay as they are.

    Args:
        manifest: split.
        how: "undersample" draws rows of the larger class, none twice; "oversample" repeats rows of the
            smaller class, each as often as any other or once more; "none" and "class-weight" change no row.
        seed: of the draw.

    Returns:
        Rows in the order they had, repeats side by side.

    Raises:
        DataError: an unknown way, or a class that has no training rows.
    """
    if how not in WAYS:
        raise DataError(f"balance '{how}' is not known; expected one of: {', '.join(WAYS)}")
    if how in ("none", "class-weight"):
        return manifest
    kept = [index for index, row in enumerate(manifest.rows) if row.split != "train"]
    places = training(manifest)
    sizes = [len(found) for found in places]
    for number, found in enumerate(places):
        generator = np.random.default_rng([seed, number])
        wanted = min(sizes) if how == "undersample" else max(sizes)
        whole, rest = divmod(wanted, len(found))
        kept += found * whole + generator.permutation(found)[:rest].tolist()
    return replace(manifest, rows=tuple(manifest.rows[index] for index in sorted(kept)))


def class_weights(manifest: Manifest) -> dict[int, float]:
    """Return a weight per class with which both count the same and an image counts 1 on average.

    Args:
        manifest: split; training rows count.

    Returns:
        Index in `CLASSES` -> weight: all images / (2 x images of the class).

    Raises:
        DataError: a class has no training rows.

    Example:
        >>> from train.manifest import Row
        >>> rows = tuple(Row(str(n), "real" if n < 30 else "fake", "train") for n in range(40))
        >>> class_weights(Manifest(Path(), rows))[1]
        2.0
    """
    sizes = [len(found) for found in training(manifest)]
    return {number: sum(sizes) / (len(sizes) * size) for number, size in enumerate(sizes)}


def training(manifest: Manifest) -> list[list[int]]:
    """Return the numbers of the training rows of each class."""
    places = [[i for i, row in enumerate(manifest.rows) if row.split == "train" and row.label == label] for label in CLASSES]
    for label, found in zip(CLASSES, places, strict=True):
        if not found:
            raise DataError(f"the training split holds no {label} images; both classes are needed to balance them")
    return places
