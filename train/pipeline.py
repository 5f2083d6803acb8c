"""tf.data input that decodes with the very code that explaining uses, so that nothing is skewed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from train.datasets import CLASSES, Manifest
from xai.errors import ImageError
from xai.images import read
from xai.preprocess import Preprocessing

CACHE_SHARE = 0.25  # of the free memory; decoded pixels that fit are kept between epochs


@dataclass(slots=True)
class Feed:
    """An endless-epoch source of batches.

    Args:
        dataset: `tf.data.Dataset` of float32 images `(N, h, w, 3)` and labels `(N,)`, fake = 1.
        count: images listed.
        skipped: path -> reason, filled while images are read.
    """

    dataset: Any
    count: int
    skipped: dict[str, str] = field(default_factory=dict)


def feed(
    manifest: Manifest,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    shuffle: int | None = None,
    flip: bool = False,
) -> Feed:
    """Return batches of a manifest's images.

    Args:
        manifest: labelled rows.
        preprocessing: size and colour order; values stay in [0, 255].
        batch_size: images a batch.
        shuffle: a seed to shuffle anew every epoch; None keeps the order.
        flip: mirror each image left-right with probability one half.

    Returns:
        The feed. Unreadable images are left out and listed in `skipped`.
    """
    rows, skipped = manifest.rows, {}
    shape = (preprocessing.height, preprocessing.width, 3)

    def decode(index: np.ndarray) -> np.ndarray:
        row = rows[int(index)]
        try:
            image = preprocessing.fit(read(manifest.root / row.path))
        except ImageError as error:
            skipped[row.path] = str(error)
            return np.zeros((0, 0, 3), np.uint8)
        return image if preprocessing.colour_order == "RGB" else np.ascontiguousarray(image[..., ::-1])

    def example(index: Any, label: Any) -> tuple[Any, Any]:
        return tf.numpy_function(decode, [index], tf.uint8, stateful=False), label

    def shaped(image: Any, label: Any) -> tuple[Any, Any]:
        image = tf.ensure_shape(image, shape)
        return (tf.image.random_flip_left_right(image, seed=shuffle) if flip else image), label

    def floats(images: Any, labels: Any) -> tuple[Any, Any]:
        return tf.cast(images, tf.float32), labels

    labels = np.array([CLASSES.index(row.label) for row in rows], np.float32)
    data = tf.data.Dataset.from_tensor_slices((np.arange(len(rows)), labels))
    cached = len(rows) * int(np.prod(shape)) < CACHE_SHARE * psutil.virtual_memory().available
    if shuffle is not None and not cached:
        data = data.shuffle(len(rows), seed=shuffle, reshuffle_each_iteration=True)
    data = data.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    data = data.filter(lambda image, label: tf.size(image) > 0)
    if cached:
        data = data.cache()
        if shuffle is not None:
            data = data.shuffle(len(rows), seed=shuffle, reshuffle_each_iteration=True)
    data = data.map(shaped).batch(batch_size).map(floats).prefetch(2)
    return Feed(data, len(rows), skipped)
