"""tf.data input that decodes with the very code that explaining uses, so that nothing is skewed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from train.augment import Augment
from train.datasets import CLASSES, Manifest
from xai.errors import ImageError
from xai.images import read
from xai.preprocess import Preprocessing

CACHE_SHARE = 0.25  # of the free memory; decoded pixels that fit are kept between epochs


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
    skipped: dict[str, str] = field(default_factory=dict)

    def epoch(self, number: int = 0) -> Any:
        """Return one epoch's batches: float32 images `(N, h, w, 3)` in [0, 255] and their targets.

        Order and augmentation depend on the seed and the epoch alone, so that a training
        that goes on after a kill sees what it would have seen.
        """
        data = self.order if self.images is None else self.images
        if self.seed is not None:
            mixed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            data = data.shuffle(self.count, seed=mixed, reshuffle_each_iteration=False)
        if self.images is None:
            data = self.decode(data)
        if self.augment:
            start = np.random.SeedSequence([self.seed or 0, number, 1]).generate_state(1)[0] >> 1  # int32 holds 31 bits

            def changed(place: Any, example: Any) -> Any:
                image, label = example
                return self.augment.apply(image, tf.stack([int(start), 100 * tf.cast(place, tf.int32)])), label

            data = data.enumerate().map(changed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return data.batch(self.batch_size).map(self.finished).prefetch(2)

    def finished(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return a batch as the network takes it."""
        values = tf.cast(images, tf.float32)
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
            image = preprocessing.fit(preprocessing.view(read(manifest.root / row.path))[0])
        except ImageError as error:
            skipped[row.path] = str(error)
            return np.zeros((0, 0, 3), np.uint8)
        return image if preprocessing.colour_order == "RGB" else np.ascontiguousarray(image[..., ::-1])

    def example(index: Any, label: Any) -> tuple[Any, Any]:
        return tf.numpy_function(pixels, [index], tf.uint8, stateful=False), label

    def decode(data: Any) -> Any:
        data = data.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        data = data.filter(lambda image, label: tf.size(image) > 0)
        return data.map(lambda image, label: (tf.ensure_shape(image, shape), label))

    labels = np.array([row.label == CLASSES[1] for row in rows], np.float32)
    order = tf.data.Dataset.from_tensor_slices((np.arange(len(rows)), labels))
    cached = len(rows) * int(np.prod(shape)) < CACHE_SHARE * psutil.virtual_memory().available
    images = decode(order).cache() if cached else None
    return Feed(images, order, decode, len(rows), batch_size, shuffle, augment or Augment(), target, skipped)
