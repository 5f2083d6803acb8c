"""Images on their way to the network: decoded in the background, a bounded number ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from xai.detector import Detector
from xai.errors import ImageError
from xai.images import read
from xai.progress import bar


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded images on their way to the network.

    Args:
        indices: of the paths that were read.
        images: uint8 `(h, w, 3)`, RGB, each at its own size.
        inputs: float32 `(n, height, width, 3)` as the network wants them.
        skipped: index -> reason.
    """

    indices: list[int]
    images: list[np.ndarray]
    inputs: np.ndarray
    skipped: dict[int, str]


def batches(
    detector: Detector,
    paths: Sequence[Path],
    batch_size: int | None = None,
    *,
    label: str = "",
    quiet: bool = True,
    workers: int = 2,
) -> Iterator[Batch]:
    """Decode images in the background and yield them in batches, in order.

    Args:
        detector: says what the pixels must look like.
        paths: files.
        batch_size: images a batch; default by the network's input size.
        label: shown on the progress bar.
        quiet: no progress bar.
        workers: decoding threads.
    """
    from xai.maps.onepass import batch_size as fitting

    size = batch_size or fitting(detector)
    prepare = detector.preprocessing.prepare

    def decode(path: Path) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            image = read(path)
            return image, prepare(image)
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(workers) as pool, bar(len(paths), label, quiet=quiet) as progress:
        waiting = iter(enumerate(paths))
        ahead: list[tuple[int, Future]] = []
        while True:
            # at most two batches are decoded ahead, so memory does not grow with the number of images
            ahead += [(index, pool.submit(decode, path)) for index, path in islice(waiting, 2 * size - len(ahead))]
            if not ahead:
                return
            now, ahead = ahead[:size], ahead[size:]
            ahead += [(index, pool.submit(decode, path)) for index, path in islice(waiting, size)]
            done = [(index, future.result()) for index, future in now]
            good = [(index, result) for index, result in done if not isinstance(result, str)]
            inputs = np.stack([result[1] for _, result in good]) if good else np.zeros((0, *detector.size, 3), np.float32)
            yield Batch(
                [index for index, _ in good],
                [result[0] for _, result in good],
                inputs,
                {index: result for index, result in done if isinstance(result, str)},
            )
            progress.update(len(now))
