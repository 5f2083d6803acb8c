"""Maps of the image itself from the logit's gradient at its pixels.

Every method takes `(detector, images, **options)` and returns an `Answer` with maps
`(N, height, width)` at the resolution of the network's input; gradients are per unit of
the network's input (one grey level where it takes [0, 255]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from xai.detector import Detector
from xai.errors import WhyfakeError
from xai.maps.answer import Answer
from xai.maps.fills import fills_of
from xai.maps.onepass import trace


def saliency(detector: Detector, images: np.ndarray, *, batch_size: int) -> Answer:
    """Take the largest magnitude of the gradient over a pixel's colours.

    Args:
        detector: the detector.
        images: float32 `(N, height, width, 3)`.
        batch_size: images a pass.

    Returns:
        Maps >= 0, in logits per unit of input.

    Reference:
        Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, 2014,
        arXiv:1312.6034.
    """
    return Answer(np.abs(gradients(detector, images, batch_size)).max(-1))


def gradient_x_input(detector: Detector, images: np.ndarray, *, batch_size: int) -> Answer:
    """Multiply pixel and gradient and sum over colours.

    Of a network that is piecewise linear without biases the map sums to the logit.

    Args:
        detector, images, batch_size: as in `saliency`.

    Returns:
        Signed maps, in logits.

    Reference:
        Shrikumar et al., Not just a black box, 2016, arXiv:1605.01713.
    """
    return Answer((images * gradients(detector, images, batch_size)).sum(-1))


def smoothgrad(detector: Detector, images: np.ndarray, *, samples: int, noise: float, seed: int, batch_size: int) -> Answer:
    """Average the gradient over noisy copies, then take the largest magnitude over colours.

    Args:
        detector, images, batch_size: as in `saliency`.
        samples: noisy copies.
        noise: standard deviation of the noise, as a share of the image's range of values.
        seed: of the noise.

    Returns:
        Maps >= 0, in logits per unit of input.

    Reference:
        Smilkov et al., SmoothGrad, 2017, arXiv:1706.03825.
    """
    return Answer(np.abs(noisy(detector, images, samples, noise, seed, batch_size)[0]).max(-1))


def vargrad(detector: Detector, images: np.ndarray, *, samples: int, noise: float, seed: int, batch_size: int) -> Answer:
    """Take the variance of the gradient over noisy copies, averaged over colours.

    Args:
        detector, images, samples, noise, seed, batch_size: as in `smoothgrad`.

    Returns:
        Maps >= 0, in squared logits per squared unit of input.

    Reference:
        Adebayo et al., Local explanation methods for deep neural networks lack sensitivity
        to parameter values, 2018, arXiv:1810.03307.
    """
    return Answer(noisy(detector, images, samples, noise, seed, batch_size)[1].mean(-1))


def integrated_gradients(detector: Detector, images: np.ndarray, *, steps: int, baseline: str | np.ndarray, batch_size: int) -> Answer:
    """Average the gradient on the straight way from a baseline to the image, times the way.

    The average is the trapezoidal rule over `steps` points. The maps sum to
    logit(image) - logit(baseline) but for the error of that rule, which is reported.

    Args:
        detector, images, batch_size: as in `saliency`.
        steps: points on the way, 2 or more.
        baseline: "black", "mean" (the image's mean colour), "blur", or pixels such as a real
            donor's, float32 `(height, width, 3)` or `(N, height, width, 3)`.

    Returns:
        Signed maps, in logits; extras: `baseline_logit` and `completeness_error`, (sum of
        the map) - (logit(image) - logit(baseline)), in logits.

    Raises:
        WhyfakeError: fewer steps, an unknown baseline.

    Reference:
        Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, 2017,
        arXiv:1703.01365.
    """
    if steps < 2:
        raise WhyfakeError(f"integrated gradients take 2 steps or more; got {steps}")
    weights = np.full(steps, 1 / (steps - 1), np.float32)
    weights[[0, -1]] /= 2
    shares = np.linspace(0, 1, steps, dtype=np.float32)
    work = kept(detector, "way", way)
    maps, gaps, starts = [], [], []
    starts_of = fills_of(images, baseline, detector.preprocessing.low)
    for image, start in zip(images, starts_of, strict=True):
        total, ends = np.zeros_like(image), np.zeros(2)
        for first in range(0, steps, batch_size):
            part = slice(first, first + batch_size)
            slope, logits = work(image, start, shares[part], weights[part])
            total += slope.numpy()
            if first == 0:
                ends[0] = logits[0]
            ends[1] = logits[-1]
        maps.append((total * (image - start)).sum(-1))
        gaps.append(maps[-1].sum(dtype=np.float64) - (ends[1] - ends[0]))
        starts.append(ends[0])
    return Answer(np.array(maps), {"baseline_logit": np.array(starts), "completeness_error": np.array(gaps)})


def gradients(detector: Detector, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return d logit / d pixel, float32 `(N, height, width, 3)`."""
    work = kept(detector, "slope", slope)
    parts = [work(tf.convert_to_tensor(images[start : start + batch_size], tf.float32)).numpy() for start in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.zeros_like(images)


def noisy(detector: Detector, images: np.ndarray, samples: int, noise: float, seed: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the gradient over noisy copies, each float32 `(N, height, width, 3)`.

    The noise of an image depends on the seed and the copy alone, so batches do not matter.
    """
    if samples < 1 or noise < 0:
        raise WhyfakeError(f"noisy copies: {samples} with noise {noise:g}; expected 1 or more, and noise of 0 or more")
    means, variances = [], []
    for image in images:
        spread = np.float32(noise * (image.max() - image.min()))
        generator = np.random.default_rng(seed)
        mean, squares, count = np.zeros_like(image), np.zeros_like(image), 0
        while count < samples:
            copies = generator.standard_normal((min(batch_size, samples - count), *image.shape), np.float32)
            copies *= spread
            copies += image
            for values in gradients(detector, copies, batch_size):  # Welford's update
                count += 1
                gap = values - mean
                mean += gap / count
                squares += gap * (values - mean)
        means.append(mean)
        variances.append(squares / samples)
    return np.array(means), np.array(variances)


def kept(detector: Detector, name: str, make: Callable[[Detector], Callable[..., Any]]) -> Callable[..., Any]:
    """Return a compiled function of the detector, made when first asked for."""
    if name not in detector.compiled:
        detector.compiled[name] = make(detector)
    return detector.compiled[name]


def slope(detector: Detector) -> Callable[[Any], Any]:
    """Compile images -> gradients."""

    def work(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = trace(detector, images, ())[1]
        return tape.gradient(logits, images)

    return tf.function(work, input_signature=[tf.TensorSpec((None, *detector.size, 3), tf.float32)], autograph=False)


def way(detector: Detector) -> Callable[..., Any]:
    """Compile (image, baseline, shares of the way, weights) -> (weighted sum of gradients, logits)."""

    def work(image: Any, start: Any, shares: Any, weights: Any) -> Any:
        images = start + shares[:, None, None, None] * (image - start)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = trace(detector, images, ())[1]
            aim = tf.reduce_sum(logits * weights)
        return tf.reduce_sum(tape.gradient(aim, images), 0), logits

    image, several = tf.TensorSpec((*detector.size, 3), tf.float32), tf.TensorSpec((None,), tf.float32)
    return tf.function(work, input_signature=[image, image, several, several], autograph=False)
