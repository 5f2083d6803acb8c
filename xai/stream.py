"""Images on their way to the network: decoded in the background, a bounded number ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from xai.crop import Box
from xai.detector import Detector
from xai.errors import ImageError
from xai.images import read
from xai.maps.memory import batch_size as fitting
from xai.places import File, readers
from xai.progress import bar

BUDGET = 256 * 2**20  # bytes of decoded originals in one batch
AHEAD = 16  # images decoded before they are asked for


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded images on their way to the network.

    Args:
        indices: of the paths that were read.
        images: per image what `keep` returned, by default the pixels of its view (the image, or
            the face it is cropped to), uint8 `(h, w, 3)`, RGB.
        inputs: float32 `(n, height, width, 3)` as the network wants them.
        skipped: index -> reason.
        boxes: per image where the view lies on it; None where it is the whole image.
    """

    indices: list[int]
    images: list[Any]
    inputs: np.ndarray
    skipped: dict[int, str]
    boxes: list[Box | None] = field(default_factory=list)


def batches(
    detector: Detector,
    paths: Sequence[File],
    batch_size: int | None = None,
    *,
    keep: Callable[[int, np.ndarray, Box | None], Any] = lambda index, view, box: view,
    label: str = "",
    quiet: bool = True,
    workers: int = 2,
) -> Iterator[Batch]:
    """Decode images in the background and yield them in batches, in order.

    A batch is closed early when the originals in it grow large, so that memory does not
    depend on how many images there are and little on how big they are.

    Args:
        detector: says what the pixels must look like.
        paths: files, or places in archives and behind URLs.
        batch_size: images a batch at most; default by the network's input size.
        keep: what of each image to hand on: called with its index, its view and where that lies on it, in the decoding threads.
        label: shown on the progress bar.
        quiet: no progress bar.
        workers: decoding threads; more behind a network.
    """
    size = batch_size or fitting(detector)

    def decode(index: int, path: File) -> tuple[Any, np.ndarray, Box | None] | str:
        try:
            view, box = detector.preprocessing.view(read(path))
            return keep(index, view, box), detector.preprocessing.prepare(view), box
        except ImageError as error:
            return str(error)

    workers = readers(paths, workers)
    with ThreadPoolExecutor(workers) as pool, bar(len(paths), label, quiet=quiet) as progress:
        waiting = iter(enumerate(paths))
        ahead: deque[tuple[int, Future]] = deque()
        indices, images, inputs, boxes, skipped, weight = [], [], [], [], {}, 0
        while True:
            missing = min(size, AHEAD) + workers - len(ahead)
            ahead.extend((index, pool.submit(decode, index, path)) for index, path in islice(waiting, missing))
            if not ahead:
                break
            index, future = ahead.popleft()
            result = future.result()
            if isinstance(result, str):
                skipped[index] = result
            else:
                indices.append(index)
                images.append(result[0])
                inputs.append(result[1])
                boxes.append(result[2])
                weight += getattr(result[0], "nbytes", 0)
            if len(indices) + len(skipped) >= size or weight >= BUDGET:
                yield Batch(indices, images, stacked(inputs, detector), skipped, boxes)
                progress.update(len(indices) + len(skipped))
                indices, images, inputs, boxes, skipped, weight = [], [], [], [], {}, 0
        if indices or skipped:
            yield Batch(indices, images, stacked(inputs, detector), skipped, boxes)
            progress.update(len(indices) + len(skipped))


def stacked(inputs: list[np.ndarray], detector: Detector) -> np.ndarray:
    """Return prepared images as one array, also where there are none."""
    return np.stack(inputs) if inputs else np.zeros((0, *detector.size, 3), np.float32)
