"""Where in a data set each channel is strongest, from one pass; memory does not grow with the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from xai.detector import Detector, finite
from xai.items import Item
from xai.maps.onepass import activations, trace
from xai.maps.placement import Axis, Placement
from xai.stream import batches

Box = tuple[int, int, int, int]


class Strongest:
    """The images in which each channel of a layer is strongest, while the images stream by.

    Args:
        channels: of the layer.
        top: images kept per channel.

    Example:
        >>> best = Strongest(channels=1, top=2)
        >>> best.update([0, 1, 2], np.array([[3.0], [0.0], [5.0]]), np.array([[7], [0], [4]]))
        >>> best.of(0)
        [(5.0, 2, 4), (3.0, 0, 7)]
        >>> best.active.tolist(), best.maximum.tolist()
        ([2], [5.0])
    """

    def __init__(self, channels: int, top: int) -> None:
        self.top = top
        self.count = 0
        self.active = np.zeros(channels, np.int64)  # images in which the channel is above 0 somewhere
        self.mean = np.zeros(channels)  # of the images' maxima
        self.squares = np.zeros(channels)
        self.values = np.zeros((0, channels), np.float32)  # (k, C), the strongest first
        self.images = np.zeros((0, channels), np.int64)
        self.cells = np.zeros((0, channels), np.int64)

    def update(self, images: Sequence[int], peaks: np.ndarray, cells: np.ndarray) -> None:
        """Take in a batch.

        Args:
            images: the number of each image.
            peaks: `(N, C)`, each channel's maximum over places.
            cells: `(N, C)`, where it is, counted row by row.
        """
        number, mean = len(peaks), peaks.mean(0, dtype=np.float64)
        gap, both = mean - self.mean, self.count + number
        self.squares += ((peaks - mean) ** 2).sum(0) + gap**2 * (self.count * number / both)
        self.mean += gap * (number / both)
        self.count = both
        self.active += (peaks > 0).sum(0)
        rows = np.broadcast_to(np.asarray(images)[:, None], peaks.shape)
        joined = [np.concatenate(pair) for pair in ((self.values, peaks), (self.images, rows), (self.cells, cells))]
        order = np.argsort(-joined[0], axis=0, kind="stable")[: self.top]  # of equals the earlier image
        self.values, self.images, self.cells = (np.take_along_axis(table, order, 0) for table in joined)

    @property
    def maximum(self) -> np.ndarray:
        """Each channel's maximum over all images and places, `(C,)`."""
        return self.values[0]

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each channel's maxima between images, `(C,)`."""
        return np.sqrt(self.squares / max(self.count, 1))

    def of(self, channel: int, signed: bool = False) -> list[tuple[float, int, int]]:
        """Return (activation, image, cell) of a channel's images, the strongest first; only above 0 unless `signed`."""
        columns = (table[:, channel].tolist() for table in (self.values, self.images, self.cells))
        return [entry for entry in zip(*columns, strict=True) if signed or entry[0] > 0]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over the images found.

    Args:
        best: by layer.
        logits: of fake, by item number, of the images that were read.
        skipped: path -> reason.
    """

    best: dict[str, Strongest]
    logits: dict[int, float]
    skipped: dict[str, str]


def look(detector: Detector, items: Sequence[Item], layers: Sequence[str], top: int, batch_size: int | None, quiet: bool) -> Survey:
    """Run the network over the images once and keep where each channel is strongest."""
    best = {name: Strongest(detector.layers[name].shape[2], top) for name in layers}
    logits: dict[int, float] = {}
    skipped: dict[str, str] = {}
    paths = [item.file for item in items]
    for batch in batches(detector, paths, batch_size, keep=lambda *view: None, label="looking", quiet=quiet):
        skipped |= {items[index].path: reason for index, reason in batch.skipped.items()}
        if batch.indices:
            answers, found = peaks(detector, batch.inputs, layers)
            logits |= dict(zip(batch.indices, answers.tolist(), strict=True))
            for name, (values, cells) in found.items():
                best[name].update(batch.indices, values, cells)
    return Survey(best, logits, skipped)


def peaks(detector: Detector, images: np.ndarray, layers: Sequence[str]) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Return the logits and each channel's maximum over places, from one forward pass.

    Args:
        detector: the detector; its compiled pass is kept for the next batch.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        layers: names from `detector.select`.

    Returns:
        Logits of fake `(N,)` and, by layer, the maxima `(N, C)` and their cells `(N, C)`, counted row by row.
    """
    key = ("peaks", tuple(layers))
    if key not in detector.compiled:

        def forward(images: Any) -> Any:
            kept, logits = trace(detector, images, layers)
            flat = [tf.reshape(tf.cast(kept[name], tf.float32), (-1, int(np.prod(kept[name].shape[1:3])), kept[name].shape[3])) for name in layers]
            return logits, [(tf.reduce_max(values, 1), tf.argmax(values, 1)) for values in flat]

        shape = (None, *detector.size, 3)
        detector.compiled[key] = tf.function(forward, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    logits, found = detector.compiled[key](tf.convert_to_tensor(images, tf.float32))
    return finite(logits.numpy()), {name: (values.numpy(), cells.numpy()) for name, (values, cells) in zip(layers, found, strict=True)}


def signed(detector: Detector, layers: Sequence[str], seed: int = 0) -> dict[str, bool]:
    """Say which layers give negative values, on a picture of noise: there, 0 does not mean that a channel is off."""
    noise = np.random.default_rng(seed).integers(0, 256, (1, *detector.size, 3))
    return {name: bool((values < 0).any()) for name, values in activations(detector, detector.preprocessing.scale(noise), layers).items()}


def seen(placement: Placement, cell: tuple[int, int]) -> Box:
    """Return what a cell sees of the image: its receptive field, cut off at the border.

    Args:
        placement: of the cell's layer.
        cell: (row, column).

    Returns:
        (top, left, bottom, right) in pixels of the network's input, bottom and right not included.

    Example:
        >>> axis = Axis(stride=2.0, offset=1.0, field=4.0)
        >>> seen(Placement(axis, axis, cells=(4, 4), image=(8, 8)), (0, 2))
        (0, 3, 3, 7)
    """
    centre = placement.centre(cell)
    spans = [span(axis, middle, side) for axis, middle, side in zip((placement.y, placement.x), centre, placement.image, strict=True)]
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def span(axis: Axis, middle: float, side: int) -> tuple[int, int]:
    """Return the whole pixels of one axis that a field around its middle touches; at least one."""
    low = int(np.clip(np.floor(middle - axis.field / 2), 0, side - 1))
    return low, int(np.clip(np.ceil(middle + axis.field / 2), low + 1, side))
