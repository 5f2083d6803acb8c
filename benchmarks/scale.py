"""An audit of 1,000 and of 20,000 images: memory must not grow, and little may be lost on the map pass alone.

python -m benchmarks.scale --regions none
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE, DRAWN = 256, 64


def vary(sources: list[str], folder: str, numbers: range) -> None:
    """Write different pictures made of a few: shifted, mirrored, and of another tone."""
    for number in numbers:
        random = np.random.default_rng(number)
        source = Path(sources[number % len(sources)])
        image = cv2.imread(str(source))
        image = image[:, ::-1] if random.random() < 0.5 else image
        shift = np.float32([[1, 0, random.integers(-8, 9)], [0, 1, random.integers(-8, 9)]])
        image = cv2.warpAffine(image, shift, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        image = np.clip(image * random.uniform(0.8, 1.2) + random.uniform(-10, 10), 0, 255).astype(np.uint8)
        cv2.imwrite(f"{folder}/{source.parent.name}/{number:06d}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])


def data(folder: Path, count: int) -> Path:
    """Write so many different portraits, half of them fake, the cheap way."""
    from train.portraits import Artefact, write

    drawn = write(folder / "drawn", DRAWN, SIZE, artefact=Artefact.of("checkerboard"), seed=0)
    sources = [str(path) for pair in zip(*(sorted((drawn / label).iterdir()) for label in ("real", "fake")), strict=True) for path in pair]
    out = folder / f"faces{count}"
    for label in ("real", "fake"):
        (out / label).mkdir(parents=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(vary, sources, str(out)), [range(start, min(start + 500, count)) for start in range(0, count, 500)]))
    return out


def audited(model: Path, faces: Path, out: Path, options: list[str]) -> dict[str, float]:
    """Audit in a process of its own; return its peak memory, and the seconds of the whole and of its stages."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "cli", "audit", str(model), str(faces), "--out", str(out), "--quiet", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the audit ended with {status}: {' '.join(command)}")
    seconds = json.loads((out / "run.json").read_text())["seconds"]
    return {"MiB": used.ru_maxrss / 1024, "seconds": time.perf_counter() - start} | {f"{name} s": value for name, value in seconds.items()}


def apart(function: Callable[..., Any], *given: Any) -> Any:
    """Call a function in a process of its own: a child's peak memory begins with that of the process that starts it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def untrained(model: Path) -> None:
    """Save a detector that has learnt nothing."""
    from models import build

    build("alexnet18", SIZE).save(model)


def map_pass(model: Path, faces: Path, images: int) -> float:
    """Return the seconds that an image takes in the map pass alone: pixels at hand, maps thrown away."""
    from xai.audit import BESIDE
    from xai.backend import import_quietly

    import_quietly()
    from xai.detector import load
    from xai.images import find
    from xai.maps import mapped
    from xai.maps.methods import resolve, selected
    from xai.stream import batches

    detector = load(model)
    methods = resolve(("auto",), detector, BESIDE, 0)
    layers = selected(detector, "auto", methods)
    held = [batch.inputs for batch in batches(detector, find([faces])[:512])]
    mapped.compute(detector, held[0], layers, methods)
    start, done = time.perf_counter(), 0
    while done < images:
        for inputs in held:
            mapped.compute(detector, inputs, layers, methods)
            done += len(inputs)
    return (time.perf_counter() - start) / done


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--model", help="a detector; default an untrained alexnet18 of 256 x 256, whose passes cost what a trained one's do")
    parser.add_argument("--work", help="keep data and runs here; what is there is taken as it is")
    known, options = parser.parse_known_args()  # all else goes to the audits
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(known.work or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        model = Path(known.model) if known.model else folder / "model.keras"
        if not model.exists():
            apart(untrained, model)
        found: dict[int, dict[str, float]] = {}
        rates = []
        for count in (known.few, known.many):
            faces = folder / f"faces{count}"
            faces = faces if faces.exists() else apart(data, folder, count)
            rates.append(apart(map_pass, model, faces, 2048))  # before and after: the machine may have changed its mind
            found[count] = audited(model, faces, folder / f"run{count}", options)
            print(f"{count:,} images: " + ", ".join(f"{name} {value:,.1f}" for name, value in found[count].items()), flush=True)
        rates.append(apart(map_pass, model, faces, 2048))
    few, many = found[known.few], found[known.many]
    rate = sorted(rates)[1]
    print(f"map pass alone, ms an image: {', '.join(f'{1000 * one:.2f}' for one in rates)}")
    print(f"peak memory, {known.many:,} / {known.few:,} images: {many['MiB'] / few['MiB']:.3f}")
    print(f"throughput / map pass alone, the stage 'maps': {rate * known.many / many['maps s']:.3f}")
    print(f"throughput / map pass alone, maps and merge: {rate * known.many / (many['maps s'] + many['merge s']):.3f}")


if __name__ == "__main__":
    main()
