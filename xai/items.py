"""The images of an audit, what is computed of each, and the names under which that is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.errors import ImageError
from xai.maps.methods import pairs, parse
from xai.modelfile import sha256
from xai.places import File, readers
from xai.regions.source import Source

if TYPE_CHECKING:
    from xai.detector import Detector

FORMAT = 6  # of a shard; also changed when the same input gives other numbers
READERS = 4  # threads that read files to be hashed


@dataclass(frozen=True, slots=True)
class Item:
    """One image of an audit.

    Args:
        index: its row in the data set.
        file: where it is.
        path: relative to the data folder, as shown.
        label: "real", "fake" or "".
        sha256: of its content; "" where that is not known yet or could not be read.
        kept: whether its maps are kept in full.
    """

    index: int
    file: File
    path: str
    label: str
    sha256: str = ""
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Work:
    """What is computed for every image; part of a shard's identity.

    Args:
        layers, methods: to map.
        sides: of the small copies for the page: a picture's in pixels, a map's in cells.
        source: of face parts.
        stretch: whether maps are stretched over the image.
        dtype: of the maps that are kept in full: "float32" or "float16".
    """

    layers: tuple[str, ...]
    methods: tuple[str, ...]
    sides: tuple[int, int]
    source: Source | None = None
    stretch: bool = False
    dtype: str = "float32"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (layer, method) to map."""
        return pairs(self.layers, self.methods)

    def texts(self) -> list[str]:
        """Return the methods' options that are words; some name files."""
        return [value for text in self.methods for value in parse(text).options.values() if isinstance(value, str)]

    def record(self) -> dict[str, Any]:
        """Return what decides the numbers of an image beside the detector."""
        return {
            "layers": list(self.layers),
            "methods": list(self.methods),
            "donors": [sha256(value) for value in self.texts() if Path(value).is_file()],
            "parts": None if self.source is None else self.source.record(),
            "stretch": self.stretch,
            "format": FORMAT,
        }


def hashed(items: Sequence[Item]) -> list[Item]:
    """Return items with the SHA-256 of their content; one that cannot be read keeps ''."""

    def content(item: Item) -> Item:
        if item.sha256:
            return item
        try:
            return replace(item, sha256=sha256(item.file))
        except (OSError, ImageError):
            return item

    with ThreadPoolExecutor(readers([item.file for item in items[:1]], READERS)) as pool:
        return list(pool.map(content, items))


def identity(detector: dict[str, Any], work: Work, items: Sequence[Item]) -> str:
    """Return a shard's name: a hash of what went in, so that changed input gives a new shard.

    Args:
        detector: from `known`.
        work: what is computed.
        items: the images, hashed.
    """
    parts = {
        "detector": detector,
        "work": [work.record(), work.sides, work.dtype],
        "items": [[item.path, item.label, item.sha256, item.kept] for item in items],
        "masks": [work.source.identity(item.path) for item in items] if work.source else None,
    }
    return digest(parts)


def digest(parts: Any) -> str:
    """Return a short hash of anything JSON knows."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def known(detector: Detector) -> dict[str, Any]:
    """Return all of a detector that decides its answers and maps."""
    return {
        "model": detector.sha256 or weights_sha256(detector),
        "logit": detector.head.text,
        "preprocessing": detector.preprocessing.record(),
        "positive": detector.positive,
        "threshold": detector.threshold,
    }


def weights_sha256(detector: Detector) -> str:
    """Return a SHA-256 of the weights of a model that came from no file; of a function, of its answers to noise."""
    found = hashlib.sha256()
    noise = np.random.default_rng(0).uniform(detector.preprocessing.low, detector.preprocessing.high, (2, *detector.size, 3))
    for values in detector.model.get_weights() if detector.gradients else [detector.logits(noise.astype(np.float32))]:
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
