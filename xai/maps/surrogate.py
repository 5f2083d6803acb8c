"""LIME and Kernel SHAP: a linear model of the logit over segments that are shown or hidden.

A weight belongs to its segment: it is painted on each of the segment's pixels, not divided
among them. A sum over pixels therefore counts the weight of a large segment more often.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import cv2
import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, Logits, checked, sweep
from xai.maps.fills import fills_of
from xai.maps.segments import UNCUT, segments_of

Play = Callable[[np.ndarray], np.ndarray]  # coalitions, bool (n, M): which segments are shown -> logits, float64 (n,)
Fit = tuple[np.ndarray, np.ndarray, float]  # weights (M,), their standard errors (M,), a number on the quality


def lime(
    logits: Logits,
    images: np.ndarray,
    *,
    samples: int = 500,
    segments: str | np.ndarray = "slic",
    count: int = 49,
    fill: str | np.ndarray = "blur",
    low: float = 0.0,
    kernel_width: float = 0.25,
    ridge: float = 1.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Answer:
    """Map the weights of a ridge regression on random coalitions near the image.

    Each segment is shown or hidden with equal chance; a coalition's weight is exp(-d²/width²),
    d its cosine distance to the whole image. Deviations from the paper: the logit rather than
    the probability, ridge on all segments rather than lasso on a few.

    Args:
        logits: float32 `(n, H, W, 3)` -> `(n,)`, the logit of fake.
        images: float32 `(N, H, W, 3)`, as the network wants them.
        samples: coalitions asked about, the whole image first; at least the segments + 2.
        segments: "slic", "grid" or labels `(H, W)` or `(N, H, W)`, as in `xai.maps.segments`; where they are all
            below 0 the map stays empty.
        count: about how many segments; not read where labels are given.
        fill, low: what hides, as in `xai.maps.fills.fill`.
        kernel_width: of the weights. The authors' package takes their square root, so its 0.25 is 0.354 here.
        ridge: penalty on the squared weights, 0 or more.
        seed: of the coalitions.
        batch_size: images asked about at once.

    Returns:
        Maps `(N, H, W)`, signed, in logits per segment; positive: the segment speaks for fake.
        extras: "r2" `(N,)`, at most 1: the weighted share of the logit's variance that the linear model
        explains (NaN where the logit is constant); "standard_error" `(N, H, W)`, in logits: how far other
        coalitions would move the weights, without the bias towards zero that ridge brings.

    Raises:
        WhyfakeError: an option out of its range.

    Reference:
        Ribeiro et al., "Why should I trust you?" Explaining the predictions of any classifier, 2016,
        arXiv:1602.04938.

    Example:
        >>> image = np.array([[[[1, 0, 0], [5, 0, 0]]]], np.float32)
        >>> answer = lime(lambda x: x.sum((1, 2, 3)), image, samples=20, segments="grid", count=2, fill="black", ridge=0)
        >>> answer.maps.round(4).tolist(), answer.extras["r2"].round(4).tolist()
        ([[[1.0, 5.0]]], [1.0])
    """
    if kernel_width <= 0 or ridge < 0:
        raise WhyfakeError(f"kernel width {kernel_width} and ridge {ridge}; expected more than 0, and 0 or more")

    def fit(play: Play, parts: int) -> Fit:
        if samples < parts + 2:
            raise WhyfakeError(f"{samples} samples for {parts} segments; expected at least {parts + 2}")
        shown = np.random.default_rng(seed).random((samples, parts)) < 0.5
        shown[0] = True
        distance = 1 - np.sqrt(shown.mean(1))
        values = play(shown)
        return regression(shown, values - values[0], np.exp(-((distance / kernel_width) ** 2)), ridge)

    return painted(logits, images, fit, "r2", segments, count, fill, low, batch_size)


def kernel_shap(
    logits: Logits,
    images: np.ndarray,
    *,
    samples: int = 500,
    segments: str | np.ndarray = "slic",
    count: int = 49,
    fill: str | np.ndarray = "blur",
    low: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Answer:
    """Map the segments' Shapley values: each one's mean effect over all orders of being shown.

    Least squares on coalitions under the Shapley kernel; the values sum to logit(image) -
    logit(fill) by construction. Up to log2(samples) segments all coalitions are asked about and
    the values are exact; beyond, coalitions are drawn from the kernel, each with its complement.

    Args:
        logits: float32 `(n, H, W, 3)` -> `(n,)`, the logit of fake.
        images: float32 `(N, H, W, 3)`, as the network wants them.
        samples: images asked about at most, the whole image and the fill among them; at least
            2^M or 4 M for M segments, whichever is less.
        segments: "slic", "grid" or labels `(H, W)` or `(N, H, W)`, as in `xai.maps.segments`; where they are all
            below 0 the map stays empty.
        count: about how many segments; not read where labels are given.
        fill, low: what hides, as in `xai.maps.fills.fill`.
        seed: of the coalitions.
        batch_size: images asked about at once.

    Returns:
        Maps `(N, H, W)`, signed, in logits per segment; positive: the segment speaks for fake.
        extras: "completeness_error" `(N,)`, in logits: |sum of the values - (logit(image) - logit(fill))|,
        which is rounding; "standard_error" `(N, H, W)`, in logits: how far other coalitions would
        move the values, 0 where they are exact.

    Raises:
        WhyfakeError: too few samples.

    Reference:
        Lundberg and Lee, A unified approach to interpreting model predictions, 2017, arXiv:1705.07874;
        Covert and Lee, Improving KernelSHAP, 2021, arXiv:2012.01536, for the complements.

    Example:
        >>> image = np.array([[[[1, 0, 0], [5, 0, 0]]]], np.float32)
        >>> kernel_shap(lambda x: x[:, 0, 0, 0] * x[:, 0, 1, 0], image, segments="grid", count=2, fill="black").maps.tolist()
        [[[2.5, 2.5]]]
    """

    def fit(play: Play, parts: int) -> Fit:
        if samples < min(2**parts, 4 * parts):
            raise WhyfakeError(f"{samples} samples for {parts} segments; expected at least {min(2**parts, 4 * parts)}")
        exact = 2**parts <= samples
        shown, weights = every(parts) if exact else drawn(parts, (samples - 2) // 2, np.random.default_rng(seed))
        empty, full, *values = play(np.concatenate([np.zeros((1, parts), bool), np.ones((1, parts), bool), shown]))
        phi, errors = constrained(shown, np.array(values) - empty, weights, full - empty)
        return phi, np.zeros(parts) if exact else errors, abs(float(phi.astype(np.float32).sum(dtype=np.float64)) - (full - empty))

    return painted(logits, images, fit, "completeness_error", segments, count, fill, low, batch_size)


def painted(
    logits: Logits,
    images: np.ndarray,
    fit: Callable[[Play, int], Fit],
    quality: str,
    segments: str | np.ndarray,
    count: int,
    fill: str | np.ndarray,
    low: float,
    batch_size: int,
) -> Answer:
    """Fit each image's segments and paint their weights; `quality` names the fit's number among the extras."""
    images = checked(images)
    maps, errors, numbers = np.zeros(images.shape[:3], np.float32), np.zeros(images.shape[:3], np.float32), np.zeros(len(images), np.float32)
    pieces = zip(images, segments_of(images, segments, count), fills_of(images, fill, low), strict=True)
    for index, (image, labels, hidden) in enumerate(pieces):
        if labels.max() == UNCUT:
            numbers[index] = np.nan
            continue
        weights, deviations, numbers[index] = fit(game(logits, image, hidden, labels, batch_size), int(labels.max()) + 1)
        maps[index], errors[index] = weights[labels], deviations[labels]
    return Answer(maps, {quality: numbers, "standard_error": errors})


def game(logits: Logits, image: np.ndarray, hidden: np.ndarray, labels: np.ndarray, batch_size: int) -> Play:
    """Return the function that gives coalitions of an image's segments their logits."""
    places = labels.astype(np.intp)
    mask = np.empty(labels.shape, np.uint8)

    def play(coalitions: np.ndarray) -> np.ndarray:
        def draw(index: int, out: np.ndarray) -> None:
            np.take(coalitions[index].view(np.uint8), places, out=mask, mode="clip")
            out[...] = hidden
            cv2.copyTo(image, mask, out)

        return sweep(logits, labels.shape, len(coalitions), draw, batch_size)

    return play


def regression(shown: np.ndarray, values: np.ndarray, weights: np.ndarray, ridge: float) -> Fit:
    """Fit a weighted ridge regression with a free intercept.

    Args:
        shown: bool `(n, M)`.
        values, weights: float64 `(n,)`.
        ridge: penalty on the squared coefficients.

    Returns:
        Coefficients and their standard errors `(M,)`, weighted R².

    Reference:
        White, A heteroskedasticity-consistent covariance matrix estimator, 1980, doi:10.2307/1912934,
        for the errors: a linear model's residuals are no noise of one size here.

    Example:
        >>> shown = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool)
        >>> slopes, errors, r2 = regression(shown, np.array([1.0, 3, 2, 4]), np.ones(4), 0.0)
        >>> slopes.round(6).tolist(), errors.round(6).tolist(), round(r2, 6)
        ([1.0, 2.0], [0.0, 0.0], 1.0)
    """
    count, parts = shown.shape
    share = weights / weights.sum()
    design, aim = shown - share @ shown, values - share @ values  # about their weighted means: the intercept is free
    inverse = np.linalg.pinv(design.T @ (weights[:, None] * design) + ridge * np.eye(parts), hermitian=True)
    slopes = inverse @ (design.T @ (weights * aim))
    residual = aim - design @ slopes
    pulls = (weights * residual)[:, None] * (design @ inverse)  # what each coalition adds to the estimate's error
    errors = np.sqrt((pulls**2).sum(0) * count / max(1, count - parts - 1))
    total = weights @ aim**2
    return slopes, errors, float(1 - weights @ residual**2 / total) if total > 0 else float("nan")


def constrained(shown: np.ndarray, values: np.ndarray, weights: np.ndarray, total: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve Kernel SHAP's least squares under the constraint that the values sum to `total`.

    Args:
        shown: bool `(n, M)`, neither empty nor full coalitions; row k and row k + n/2 are one draw.
        values: float64 `(n,)`, their logits less the empty one's.
        weights: float64 `(n,)`.
        total: the full coalition's logit less the empty one's.

    Returns:
        Shapley values and their standard errors, float64 `(M,)`.
    """
    parts = shown.shape[1]
    design = shown.astype(np.float64)
    # the constraint as one more row, which no solution under it can feel, makes a single segment's system solvable
    gram = design.T @ (weights[:, None] * design) + np.ones((parts, parts))
    inverse = np.linalg.pinv(gram, hermitian=True)
    spread = inverse.sum(1) / inverse.sum()  # how the solution moves when the sum is raised by one
    free = inverse @ (design.T @ (weights * values) + total)
    phi = free + spread * (total - free.sum())
    projected = inverse - np.outer(spread, inverse.sum(0))
    pulls = (weights * (values - design @ phi))[:, None] * (design @ projected.T)
    pairs = len(pulls) // 2
    errors = np.sqrt(((pulls[:pairs] + pulls[pairs:]) ** 2).sum(0) * pairs / max(1, pairs - parts + 1))
    return phi, errors


def every(parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all coalitions but the empty and the full one, bool `(2^M - 2, M)`, and their Shapley kernel weights.

    Example:
        >>> shown, weights = every(3)
        >>> shown.astype(int).tolist(), weights.round(3).tolist()
        ([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], [0.333, 0.333, 0.333, 0.333, 0.333, 0.333])
    """
    shown = (np.arange(1, 2**parts - 1)[:, None] >> np.arange(parts) & 1).astype(bool)
    kernel = [0.0, *((parts - 1) / (comb(parts, size) * size * (parts - size)) for size in range(1, parts))]
    return shown, np.array(kernel)[shown.sum(1)]


def drawn(parts: int, pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw coalitions from the Shapley kernel, then their complements, bool `(2 pairs, M)`; the weights are equal."""
    sizes = np.arange(1, parts)
    chances = 1 / (sizes * (parts - sizes))
    wanted = rng.choice(sizes, size=pairs, p=chances / chances.sum())
    ranks = rng.random((pairs, parts)).argsort(1)
    shown = ranks < wanted[:, None]
    return np.concatenate([shown, ~shown]), np.full(2 * pairs, 1 / (2 * pairs))
