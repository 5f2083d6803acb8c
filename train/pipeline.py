"""tf.data input that decodes with the very code that explaining uses, so that nothing is skewed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from train.augment import Augment
from train.datasets import CLASSES, Manifest
from xai.errors import ImageError
from xai.free import free
from xai.images import read
from xai.preprocess import Preprocessing

CACHE_SHARE = 0.25  # of the free memory; decoded pixels that fit are kept between epochs


@dataclass(frozen=True, slots=True)
class Part:
    """What one process of several takes of every batch: some of as many equal slices as there are replicas.

    Args:
        first: of its slices, from 0.
        count: of its slices, one a replica.
        replicas: slices of a batch, over all processes.
    """

    first: int
    count: int
    replicas: int

    def slices(self, size: int) -> list[tuple[int, int]]:
        """Return where each own slice of a batch of `size` images begins and ends.

        Sizes differ by one image at most. A last batch with fewer images than replicas goes
        whole to each of them: TensorFlow's convolutions take no empty batch.

        Example:
            >>> Part(0, 1, 2).slices(5), Part(1, 1, 2).slices(5), Part(1, 1, 2).slices(1)
            ([(0, 3)], [(3, 5)], [(0, 1)])
        """
        if size < self.replicas:
            return [(0, size)] * self.count
        least, more = divmod(size, self.replicas)
        cuts = [place * least + min(place, more) for place in range(self.first, self.first + self.count + 1)]
        return list(itertools.pairwise(cuts))

    def taken(self, data: Any, total: int, batch_size: int) -> tuple[Any, Any]:
        """Keep the own images of a `tf.data.Dataset` of `total`.

        Returns:
            The data set, and what maps an image's place in it (an int64 tensor) to its place among all.
        """
        whole, rest = divmod(total, batch_size)
        (start, stop), (begin, end) = span(self.slices(batch_size)), span(self.slices(rest))
        size = stop - start

        def own(place: Any, example: Any) -> Any:
            number, inside = place // batch_size, place % batch_size
            return tf.where(number < whole, (inside >= start) & (inside < stop), (inside >= begin) & (inside < end))

        def among_all(place: Any) -> Any:
            return tf.where(
                place < whole * size, place // size * batch_size + start + place % size, whole * batch_size + begin + place - whole * size
            )

        return data.enumerate().filter(own).map(lambda place, example: example), among_all


def span(slices: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return where slices side by side begin and end.

    Example:
        >>> span([(4, 6), (6, 7)])
        (4, 7)
    """
    return slices[0][0], slices[-1][1]


@dataclass(slots=True)
class Feed:
    """A source of batches, one tf.data set an epoch.

    Args:
        images: `tf.data.Dataset` of uint8 images `(h, w, 3)` and labels, decoded; None where order comes before decoding.
        order: `tf.data.Dataset` of what is decoded.
        decode: maps `order` to `images`.
        count: images listed.
        batch_size: images a batch.
        seed: of the order and the augmentation; None keeps the order.
        augment: what may happen to an image.
        target: what is learnt: the "label" (fake = 1), or the "image" itself in [0, 1].
        colours: their order in batches, "RGB" or "BGR"; before, while an image is changed, it is RGB.
        skipped: path -> reason, filled while images are read.
    """

    images: Any
    order: Any
    decode: Any
    count: int
    batch_size: int
    seed: int | None
    augment: Augment
    target: str
    colours: str = "RGB"
    skipped: dict[str, str] = field(default_factory=dict)

    def epoch(self, number: int = 0, part: Part | None = None) -> Any:
        """Return one epoch's batches: float32 images `(N, h, w, 3)` in [0, 255] and their targets.

        Order and augmentation depend on the seed and the epoch alone, so that a training
        that goes on after a kill sees what it would have seen.

        Args:
            number: of the epoch, from 0.
            part: take these slices of every batch alone, the others being another process's;
                asks for images that can all be read, or the others' places would shift.
        """
        data, among_all, size = self.order if self.images is None else self.images, lambda place: place, self.batch_size
        if self.seed is not None:
            mixed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            data = data.shuffle(self.count, seed=mixed, reshuffle_each_iteration=False)
        if part:
            data, among_all = part.taken(data, int(self.order.cardinality()), self.batch_size)
            start, stop = span(part.slices(self.batch_size))
            size = stop - start
        if self.images is None:
            data = self.decode(data)
        if self.augment:
            seed = np.random.SeedSequence([self.seed or 0, number, 1]).generate_state(1)[0] >> 1  # int32 holds 31 bits

            def changed(place: Any, example: Any) -> Any:
                image, label = example
                return self.augment.apply(image, tf.stack([int(seed), 100 * tf.cast(among_all(place), tf.int32)])), label

            data = data.enumerate().map(changed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return data.batch(size).map(self.finished).prefetch(2)

    def finished(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return a batch as the network takes it."""
        values = tf.cast(images if self.colours == "RGB" else images[..., ::-1], tf.float32)
        return values, (values / 255 if self.target == "image" else labels)


def feed(
    manifest: Manifest,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    shuffle: int | None = None,
    augment: Augment | None = None,
    target: str = "label",
) -> Feed:
    """Return batches of a manifest's images.

    Args:
        manifest: rows, labelled unless the target is the image.
        preprocessing: crop, size and colour order; values stay in [0, 255].
        batch_size: images a batch.
        shuffle: a seed to shuffle anew every epoch; None keeps the order.
        augment: random changes; none by default.
        target: "label" or "image".

    Returns:
        The feed. Unreadable images are left out and listed in `skipped`.
    """
    rows, skipped = manifest.rows, {}
    shape = (preprocessing.height, preprocessing.width, 3)

    def pixels(index: np.ndarray) -> np.ndarray:
        row = rows[int(index)]
        try:
            return preprocessing.fit(preprocessing.view(read(manifest.file(row)))[0])
        except ImageError as error:
            skipped[row.path] = str(error)
            return np.zeros((0, 0, 3), np.uint8)

    def example(index: Any, label: Any) -> tuple[Any, Any]:
        return tf.numpy_function(pixels, [index], tf.uint8, stateful=False), label

    def decode(data: Any) -> Any:
        data = data.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        data = data.filter(lambda image, label: tf.size(image) > 0)
        return data.map(lambda image, label: (tf.ensure_shape(image, shape), label))

    labels = np.array([row.label == CLASSES[1] for row in rows], np.float32)
    order = tf.data.Dataset.from_tensor_slices((np.arange(len(rows)), labels))
    cached = len(rows) * int(np.prod(shape)) < CACHE_SHARE * free()
    images = decode(order).cache() if cached else None
    return Feed(images, order, decode, len(rows), batch_size, shuffle, augment or Augment(), target, preprocessing.colour_order, skipped)
