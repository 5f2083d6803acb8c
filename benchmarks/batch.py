"""Overlays of many images: wall time against the map pass alone, and memory against the number of images."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import memory as used

SIZE, IMAGES, ROUNDS = 1024, 48, 3
FEW, MANY, SMALL = 200, 2000, 256  # images for the memory, and their side


def drawn(folder: Path, count: int, size: int) -> Path:
    """Write JPEG files with the size that photographs have."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (size // 10, size // 10, 3), np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{index}.jpg", quality=90)
    return folder


def compare() -> dict[str, float]:
    """Return seconds an image and the ratio: decode to written JPEG, five layers, against the maps alone."""
    import keras

    from models import build
    from xai import wrap
    from xai.maps.mapped import compute
    from xai.maps.memory import batch_size
    from xai.overlays import write_overlays

    keras.utils.set_random_seed(0)
    detector = wrap(build("alexnet18", SIZE))
    layers, size = detector.select("conv"), batch_size(detector)
    with tempfile.TemporaryDirectory() as name:
        folder = drawn(Path(name) / "in", IMAGES, SIZE)
        batch = np.random.default_rng(0).uniform(0, 255, (size, SIZE, SIZE, 3)).astype(np.float32)

        def maps() -> None:
            for _ in range(IMAGES // size):
                compute(detector, batch, layers, ["hirescam"])

        def overlays() -> None:
            out = tempfile.mkdtemp(dir=name)  # a folder of its own each time: overlays that are there are not drawn again
            write_overlays(detector, [folder], out, layers="conv", methods=["hirescam"], batch_size=size)

        rounds = []
        for number in range(ROUNDS + 1):
            row = []
            for job in (maps, overlays):
                started = time.perf_counter()
                job()
                row.append(time.perf_counter() - started)
            if number:  # the first compiles
                rounds.append(row)
    alone, whole = np.median(rounds, 0)
    return {
        "map pass alone, ms an image": float(alone / IMAGES * 1000),
        "decode, map, draw, encode, write five overlays, ms an image": float(whole / IMAGES * 1000),
        "overlays / map pass": float(np.median([b / a for a, b in rounds])),
    }


def peak(count: int) -> dict[str, Any]:
    """Write overlays of so many small images in this process and return its peak memory."""

    from models import build
    from xai import wrap
    from xai.overlays import write_overlays

    with tempfile.TemporaryDirectory() as name:
        folder = drawn(Path(name) / "in", count, SMALL)
        write_overlays(wrap(build("alexnet18", SMALL)), [folder], Path(name) / "out", layers="conv", methods=["hirescam"], batch_size=32)
    return {"mib": used.peak() / 2**20}


def memory() -> dict[str, float]:
    """Return the peak memory of few and of many images, each in a process of its own."""
    found = {}
    for count in (FEW, MANY):
        done = subprocess.run([sys.executable, "-m", "benchmarks.batch", str(count)], capture_output=True, text=True, check=True)
        found[count] = json.loads(done.stdout.splitlines()[-1])["mib"]
    return {
        f"peak memory of {FEW} images at {SMALL}, MiB": found[FEW],
        f"peak memory of {MANY} images, MiB": found[MANY],
        "many / few": found[MANY] / found[FEW],
    }


if __name__ == "__main__":
    from xai.backend import import_quietly

    import_quietly()
    print(json.dumps(peak(int(sys.argv[1]))))
