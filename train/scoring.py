"""Scores every map of a detector against what was planted in the images it was trained on."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from xai import store
from xai.maps.methods import METHODS, pairs
from xai.stream import batches
from xai.trust.localise import METRICS, locate

Pair = tuple[str, str]

COLUMNS = (*METRICS, "area", "half", "empty")
SAMPLING = ("smoothgrad", "vargrad", "integrated_gradients")  # tens of backward passes a map
FEWER = 5  # times as few images go to those
AFFORDABLE = ("smoothgrad:samples=4", "vargrad:samples=4")  # the same in so few passes that an audit can do them for every image
ALIASES = ("gradient_x_activation",)  # hirescam by another name


@dataclass(frozen=True, slots=True)
class Scores:
    """What each map scored.

    Args:
        values: by (layer, method), float64 `(n, 8)` with the columns of `COLUMNS`, those of `xai.trust.localise.Located`;
            n may differ between methods.
    """

    values: dict[Pair, np.ndarray]

    def write(self, path: Path) -> None:
        """Write the scores whole."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {str(place): rows for place, rows in enumerate(self.values.values())}
        np.savez_compressed(buffer, names=np.array(json.dumps(list(self.values))), **arrays)
        store.write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Scores | None:
        """Return written scores; None where they are missing or damaged."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                names = json.loads(str(file["names"]))
                return cls({(layer, method): file[str(place)] for place, (layer, method) in enumerate(names)})
        except (OSError, KeyError, TypeError, ValueError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile):
            return None


def tiers(detector: Any, images: int, slow: int) -> list[tuple[tuple[str, ...], int]]:
    """Return which methods are scored on how many images, the cheap ones on all.

    Args:
        detector: a black box has only methods that need its answers.
        images: for methods of one backward pass.
        slow: for methods that ask the network hundreds of times for one map; 0 leaves them out.
    """
    usable = {name: method for name, method in METHODS.items() if name not in ALIASES and (detector.gradients or method.needs == "logits")}
    quick = tuple(name for name, method in usable.items() if method.needs != "logits" and name not in SAMPLING)
    quick += AFFORDABLE if detector.gradients else ()
    some = tuple(name for name in usable if name in SAMPLING)
    last = tuple(name for name, method in usable.items() if method.needs == "logits")
    return [(names, count) for names, count in ((quick, images), (some, max(slow, images // FEWER)), (last, slow)) if names and count]


def score(detector: Any, files: Sequence[Path], masks: Sequence[Path], layers: Sequence[str], images: int, slow: int, quiet: bool = True) -> Scores:
    """Map planted fakes with every method at every layer and score the maps against the masks.

    Args:
        detector: the detector.
        files, masks: of the fakes, in the same order.
        layers: names from `detector.select`.
        images, slow: how many go to which method, as in `tiers`.
        quiet: no progress bar.
    """
    from xai.maps.mapped import compute, placements

    found: dict[Pair, list[np.ndarray]] = {}
    for methods, count in tiers(detector, images, slow):
        where = placements(detector, layers, methods)
        for batch in batches(detector, files[:count], label=f"scoring {len(pairs(layers, methods))} maps", quiet=quiet):
            truth = np.stack([mask(masks[index], detector.size) for index in batch.indices])
            for pair, maps in compute(detector, batch.inputs, layers, methods).maps.items():
                located = locate(maps, where[pair[0]], truth)
                rows = np.stack([getattr(located, name).astype(np.float64) for name in COLUMNS], 1)
                found.setdefault(pair, []).append(rows)
    return Scores({pair: np.concatenate(rows) for pair, rows in found.items()})


def mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return an artefact's mask, bool `(H, W)`."""
    with Pillow.open(path) as image:
        values = np.asarray(image)
    return values > 0 if values.shape == size else cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0
