"""Pictures made to excite a channel, by tf-keras-vis' activation maximisation.

The library is given a model of its own that runs the detector's steps up to the layer, so
nested models work and the detector is left as it is. What it leaves to the caller is done
here: it clips only its result, so every step's picture is clipped; its jitter is unseeded and
drifts, so this one is seeded and taken back; its regularisers have fixed weights, so the
score is brought to one scale for all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tf_keras_vis.activation_maximization import ActivationMaximization
from tf_keras_vis.activation_maximization.regularizers import Norm, TotalVariation2D

from xai.detector import Detector
from xai.features.strongest import Box, seen
from xai.graph import without_activation
from xai.maps.memory import batch_size as fitting

NOISE = 0.02  # standard deviation of the start around mid grey; the range of a pixel is -1 to 1
RATE = 0.1  # root mean square of the first step; the last is a tenth of it
VARIATION, NORM = 0.1, 0.05  # weights, where 1 is what the score would gain if the channel were linear
SHIFT, FIELDS = 8, 16  # pixels at most, and how many of them a field must hold
CALM = 0.75  # share of the steps with shifts


@dataclass(frozen=True, slots=True)
class Made:
    """Pictures of some channels, cut to what the cell that was maximised sees.

    Args:
        channels: their numbers.
        pictures: uint8 `(n, h, w, 3)`, RGB, pixels of the network's input.
        reached: `(n,)`, the cell's activation.
        moved: bool `(n,)`, whether any pixel of the start changes the channel.
    """

    channels: tuple[int, ...]
    pictures: np.ndarray
    reached: np.ndarray
    moved: np.ndarray


def maximise(
    detector: Detector, layer: str, channels: Sequence[int], *, steps: int = 96, seed: int = 0, batch_size: int | None = None
) -> Iterator[Made]:
    """Make a picture per channel that excites the layer's middle cell: of what that cell sees, the rest of the image grey.

    Gradient ascent from mid grey with a little noise. Before the layer's activation, where it has
    one: a channel that is 0 on grey still has a gradient there. The gradient of each spatial
    frequency is divided by that frequency, as natural pictures' spectra fall; else noise wins.

    Args:
        detector: the detector.
        layer: a name from `detector.select`.
        channels: their numbers.
        steps: of the ascent.
        seed: of the noise and the shifts.
        batch_size: channels at a time; default as the memory allows.

    Yields:
        The pictures of some channels, in order.

    Reference:
        Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017, doi:10.23915/distill.00007.
    """
    placement = detector.layers[layer].placement
    cell = (placement.cells[0] // 2, placement.cells[1] // 2)
    box = seen(placement, cell)
    rising, answering = prober(detector, layer, box, True), prober(detector, layer, box, False)
    size = batch_size or fitting(detector)
    for first in range(0, len(channels), size):
        yield ascend(detector, tuple(channels[first : first + size]), cell, rising, answering, steps, seed)


def prober(detector: Detector, layer: str, box: Box, bare: bool) -> Any:
    """Return a Keras model from pictures in [-1, 1], with grey around them, to a layer's output.

    It shares the detector's weights and leaves its layers as they are.

    Args:
        detector: the detector.
        layer: a name from `detector.select`.
        box: where the picture lies on the image.
        bare: leave out the layer's activation function.
    """
    pixels = detector.preprocessing
    middle, half = (pixels.low + pixels.high) / 2, (pixels.high - pixels.low) / 2
    top, left, bottom, right = box
    around = [[0, 0], [top, pixels.height - bottom], [left, pixels.width - right], [0, 0]]
    step = next(step for step in detector.graph.steps if step.name == layer)
    operation = without_activation(step.operation) if bare and getattr(step.operation, "activation", None) else None

    def forward(pictures: Any) -> Any:
        values = {detector.graph.inputs[0]: middle + half * tf.pad(pictures, around)}
        for _ in detector.graph.run(values, until=step.outputs[0]):
            pass
        return tf.cast(step.call(values, operation)[0], tf.float32)

    shape = (None, bottom - top, right - left, 3)
    compiled = tf.function(forward, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    image = keras.Input(shape[1:], dtype="float32", name="picture")
    output = keras.layers.Lambda(compiled, output_shape=detector.layers[layer].shape, dtype="float32", name="probe")(image)
    return keras.Model([image], [output])  # lists, as the library calls it with one


def ascend(detector: Detector, channels: tuple[int, ...], cell: tuple[int, int], rising: Any, answering: Any, steps: int, seed: int) -> Made:
    """Run the ascent for the channels of one batch."""
    places = tf.constant([[row, *cell, channel] for row, channel in enumerate(channels)])
    field = tuple(rising.inputs[0].shape[1:3])
    noise = np.random.default_rng(seed).normal(0, NOISE, (1, *field, 3)).astype(np.float32)
    start = np.repeat(noise, len(channels), 0)  # the same for all, so that a batch changes nothing
    reach = slopes(rising, start, places)
    scale = tf.constant(np.where(reach > 0, reach, 1))
    found = ActivationMaximization(rising)(
        lambda output: tf.gather_nd(output, places) / scale,
        seed_input=start,
        input_range=(-1.0, 1.0),
        input_modifiers=[Shift(min(SHIFT, max(field) // FIELDS), int(CALM * steps), seed), clip],
        regularizers=[TotalVariation2D(VARIATION), Norm(NORM, p=2)],
        steps=steps,
        optimizer=tf.optimizers.SGD(RATE),
        gradient_modifier=smoother(field, steps),
    )
    found = np.asarray(found)
    reached = tf.gather_nd(answering([found]), places).numpy()
    low, high = detector.preprocessing.low, detector.preprocessing.high
    pictures = detector.preprocessing.unscale((low + high) / 2 + (high - low) / 2 * found)
    return Made(channels, pictures, reached, reach > 0)


def slopes(model: Any, pictures: np.ndarray, places: Any) -> np.ndarray:
    """Return what each place would gain if it were linear and every pixel moved by 1: the sum of |gradient|, `(n,)`."""
    with tf.GradientTape() as tape:
        variable = tf.constant(pictures)
        tape.watch(variable)
        values = tf.gather_nd(model([variable]), places)
    return tf.reduce_sum(tf.abs(tape.gradient(values, variable)), (1, 2, 3)).numpy()


def clip(pictures: Any) -> Any:
    """Return the pictures with every pixel in its range."""
    return tf.clip_by_value(pictures, -1.0, 1.0)


class Shift:
    """Moves the pictures by a few pixels, another way before each step, and back in the end.

    A picture that excites its channel only at one exact place is mostly noise.

    Args:
        most: pixels.
        steps: with shifts; after them the pictures lie where they began.
        seed: of the shifts.
    """

    def __init__(self, most: int, steps: int, seed: int) -> None:
        self.most, self.left, self.random = most, steps, np.random.default_rng(seed)
        self.at = np.zeros(2, np.int64)

    def __call__(self, pictures: Any) -> Any:
        """Return the pictures, moved on from where they are."""
        new = self.random.integers(-self.most, self.most + 1, 2) if self.left > 0 else np.zeros(2, np.int64)
        self.left -= 1
        moved = tf.roll(pictures, (new - self.at).tolist(), [1, 2])
        self.at = new
        return moved


def smoother(size: tuple[int, int], steps: int) -> Callable[[Any], Any]:
    """Return what turns gradients into steps: fewer fine details, one length for all, shorter by and by.

    Args:
        size: of the pictures, in pixels.
        steps: of the ascent.
    """
    height, width = size
    frequency = np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None] ** 2)
    falling = tf.constant(1 / np.maximum(frequency, 1 / max(size)), tf.complex64)
    lengths = iter(np.linspace(1, 0.1, steps).astype(np.float32))

    def step(gradient: Any) -> Any:
        planes = tf.transpose(gradient, (0, 3, 1, 2))  # (n, 3, H, W)
        planes = tf.signal.irfft2d(tf.signal.rfft2d(planes) * falling, [height, width])
        power = tf.reduce_mean(planes**2, (1, 2, 3), keepdims=True)
        return tf.transpose(planes / (tf.sqrt(power) + 1e-20), (0, 2, 3, 1)) * next(lengths)

    return step
