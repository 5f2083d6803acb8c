"""What testing the maps costs: sanity and faithfulness of 64 images, beside the bare passes through the network."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attention import items_of
from models import build
from train.portraits import Artefact, write
from xai.detector import wrap
from xai.maps.memory import batch_size
from xai.maps.methods import pairs
from xai.trust.faithful import FRACTIONS, ROAD_FRACTIONS, SQUARES
from xai.trust.measure import measure
from xai.trust.study import check

SIZE, IMAGES = 256, 64
METHODS = ("activation", "gradcam", "hirescam")


def bare(detector: Any, count: int) -> float:
    """Return how long so many forward passes of one image take, in batches, in seconds; of a twentieth of them, scaled."""
    size = batch_size(detector)
    images = np.random.default_rng(0).uniform(0, 255, (size, SIZE, SIZE, 3)).astype(np.float32)
    detector.logits(images)
    rounds = max(1, count // size // 20)
    start = time.perf_counter()
    for _ in range(rounds):
        detector.logits(images)
    return (time.perf_counter() - start) / (rounds * size) * count


def compare() -> dict[str, float]:
    """Measure the tests of an untrained `alexnet18`, whose passes cost what a trained one's do, and the passes alone."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "faces", IMAGES, SIZE, artefact=Artefact.of("checkerboard"))
        items = items_of(Path(folder) / "faces", IMAGES)
        detector = wrap(build("alexnet18", SIZE))
        layers = detector.select("conv")
        targets = {item.index: item.label for item in items}
        check(detector, items[:2], targets, layers, METHODS, 0, None, True)  # compiled once in any audit, by the map pass
        start = time.perf_counter()
        check(detector, items, targets, layers, METHODS, 0, None, True)
        sane = time.perf_counter()
        measure(detector, items, layers, METHODS, Path(folder) / "run")
        faithful = time.perf_counter()
        maps = len(pairs(layers, METHODS)) + 2
        curves = 4 * (len(FRACTIONS) - 2) + len(ROAD_FRACTIONS) + 1
        passes = maps * curves + SQUARES + 3
        alone = bare(detector, passes * IMAGES)
    return {
        f"sanity of {IMAGES} images, seconds": sane - start,
        f"faithfulness of {IMAGES} images, seconds": faithful - sane,
        "passes an image": float(passes),
        "faithfulness / its passes alone": (faithful - sane) / alone,
    }


if __name__ == "__main__":
    from xai.backend import import_quietly

    import_quietly()
    for name, value in compare().items():
        print(f"{name}: {value:.3g}")
