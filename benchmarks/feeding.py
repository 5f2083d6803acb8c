"""How long a training step waits for its images at 1024 x 1024, decoded anew every epoch.

The steps are driven by hand, so that the time in `next` (waiting for data) and the time in
the step are told apart. Two passes over the same files: with our input, and with one batch
kept in memory, which no input can beat; decoding takes its share of the same cores, so the
second ratio is the whole price of reading from disk.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZE, BATCH, IMAGES = 1024, 16, 96


def drawn(folder: Path) -> Path:
    """Write JPEG files of 1024 x 1024 with the size that photographs have, in two classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for label in ("real", "fake"):
        (folder / label).mkdir(parents=True)
        for index in range(IMAGES // 2):
            coarse = Image.fromarray(random.integers(0, 256, (96, 96, 3), np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            coarse.save(folder / label / f"{index}.jpg", quality=90)
    return folder


def driven(model: Any, batches: Any) -> tuple[float, float, int]:
    """Train on batches one by one; return seconds waited, seconds in steps, and how many counted.

    The first two are left out: they compile the step and fill the pipeline.
    """
    waited = worked = 0.0
    source, count = iter(batches), 0
    while True:
        start = time.perf_counter()
        batch = next(source, None)
        if batch is None:
            return waited, worked, count - 2
        middle = time.perf_counter()
        model.train_on_batch(*batch)
        end = time.perf_counter()
        count += 1
        if count > 2:
            waited, worked = waited + middle - start, worked + end - middle


def compare(data: str | Path | None = None) -> dict[str, float]:
    """Return the shares of waiting; `data` is a folder of classes, by default drawn files."""
    import keras

    import train.pipeline
    from models import build
    from train.datasets import scan
    from train.pipeline import feed
    from xai.preprocess import Preprocessing

    train.pipeline.CACHE_SHARE = 0.0  # what does not fit into memory is the case that counts
    with tempfile.TemporaryDirectory() as place:
        manifest = scan(data or drawn(Path(place) / "data"))
        model = build("alexnet18", SIZE)
        model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
        source = feed(manifest, Preprocessing(SIZE, SIZE), BATCH, shuffle=0)
        first = next(iter(source.epoch()))
        kept = [first] * (source.count // BATCH)
        _, alone, steps = driven(model, kept)
        waited, worked, fed = driven(model, (batch for batch in source.epoch(1) if len(batch[1]) == BATCH))
    return {
        "a step with a batch in memory, s": alone / steps,
        "a step with images from disk, s": (waited + worked) / fed,
        "of which waiting for data, %": 100 * waited / (waited + worked),
        "from disk / in memory": (waited + worked) / fed / (alone / steps),
    }
