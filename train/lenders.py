"""Faces of a data set that lend their parts to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from train.audit import Items
from train.datasets import hashed, limited, scan
from xai.errors import DataError
from xai.probes.donors import CLASSES, MOST, Donor, gather

READ = 4 * MOST  # images that are looked at: some have no face, some are copies


def lenders(data: str | Path, seed: int = 0) -> Callable[[Any, Any], dict[str, list[Donor]]]:
    """Return a function of a detector and a source of parts, which returns the faces that lend parts, by class.

    Args:
        data: a labelled data set.
        seed: of the draw.

    Raises:
        DataError: it cannot be read; from the function: a class without a face.
    """
    items = Items(hashed(limited(scan(data), READ, seed)))

    def lent(detector: Any, source: Any) -> dict[str, list[Donor]]:
        pools = gather(detector, items, source, seed=seed)
        if missing := [label for label in CLASSES if not pools.get(label)]:
            raise DataError(f"no face of a {missing[0]} image in '{data}' can lend its parts; give another --donors, or leave it out")
        return pools

    return lent
