"""Whether a score of 0.9 is right nine times in ten: reliability, ECE, and the temperature that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xai import stats
from xai.errors import ModelError

if TYPE_CHECKING:
    from xai.detector import Detector

BINS = 15  # of equal width over the score in [0, 1]
CONFIDENT = 0.9  # a score from here on is sure of fake, one from 0.1 down is sure of real
LIMITS = (0.05, 20.0)  # of the temperature


def ece(labels: Sequence[str], logits: np.ndarray, temperature: float = 1.0) -> float:
    """Return the expected calibration error of the score of fake.

    The mean distance between a bin's mean score and its share of fakes, weighted by images, over 15
    bins of equal width. Guo et al. bin the confidence of the called class, max(p, 1 - p); binning the
    score itself also sees a detector that is too sure of fakes and too unsure of reals, which the
    confidence averages away.

    It can only be above zero, so on few images it is, for every detector: see `by_chance`. And it
    holds for the mix of the classes in the set: a score that is right where half are fake is too high
    where few are.

    Args:
        labels: "real" or "fake" per image.
        logits: of fake, `(N,)`.
        temperature: by which the logits are divided.

    Returns:
        In [0, 1].

    Raises:
        ValueError: no images.

    Reference:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, arXiv:1706.04599.

    Example:
        >>> ece(["fake", "real"], np.array([0.0, 0.0])), round(ece(["fake", "real"], np.array([50.0, 50.0])), 3)
        (0.0, 0.5)
    """
    from xai.detector import score

    truth = np.array([label == "fake" for label in labels])
    if not len(truth):
        raise ValueError("no images to measure")
    scores = score(np.asarray(logits, np.float64) / temperature)
    return float(np.abs(np.bincount(bins(scores), scores - truth, BINS)).sum() / len(truth))


def bins(scores: np.ndarray) -> np.ndarray:
    """Return the bin of each score, 0 to 14; a bin holds its upper edge, not its lower one (but the first holds 0).

    Example:
        >>> bins(np.array([0.0, 1 / 15, 0.5, 1.0])).tolist()
        [0, 0, 7, 14]
    """
    return np.searchsorted(edges()[1:-1], scores, side="left")


def edges() -> np.ndarray:
    """Return the edges of the bins, `(16,)`."""
    return np.linspace(0, 1, BINS + 1)


def by_chance(scores: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the ECE that a perfectly calibrated detector with these scores would show, `(resamples,)`.

    Labels are drawn with exactly the chance that the score states; what ECE is left is there because
    images are few. A measured ECE inside this range is no evidence of bad calibration.

    Args:
        scores: of fake, `(N,)`, in [0, 1].
        resamples: draws.
        seed: of the draws.

    Reference:
        Bröcker and Smith, Increasing the reliability of reliability diagrams, 2007, doi:10.1175/WAF993.1.

    Example:
        >>> float(by_chance(np.array([0.0, 1.0]), 3, seed=0).max())
        0.0
    """
    rng = np.random.default_rng(seed)
    scores = np.sort(scores)
    starts = np.unique(bins(scores), return_index=True)[1]
    expected = np.add.reduceat(scores, starts)
    step = max(1, stats.CELLS // len(scores))
    draws = []
    for start in range(0, resamples, step):
        # scores of exactly 1 are always fake: random() stays below 1
        fake = rng.random((min(step, resamples - start), len(scores))) < scores
        draws.append(np.abs(np.add.reduceat(fake, starts, axis=1, dtype=np.float64) - expected).sum(1) / len(scores))
    return np.concatenate(draws) if draws else np.zeros(0)


def fit_temperature(labels: Sequence[str], logits: np.ndarray) -> float:
    """Return the temperature that makes the scores most believable: `score(logits / temperature)`.

    The one number that minimises the log loss, fitted on images that were neither trained on nor
    are tested on. It changes no call at threshold 0.5 and no order, only how sure the scores are:
    above 1 the detector was too sure, below 1 too unsure.

    Args:
        labels: "real" or "fake" per image.
        logits: of fake, `(N,)`.

    Returns:
        A number in [0.05, 20]. The lower limit where every image is on its right side (the best would
        be 0: surer is always better), the upper one where the logits tell nothing or the wrong thing
        (the best would be infinite). 1 where there is nothing to fit: only one class, or all logits 0.

    Raises:
        ValueError: no images, or logits that are not finite.

    Reference:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, arXiv:1706.04599.
        Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning, 2005,
        doi:10.1145/1102351.1102430.

    Example:
        >>> labels, logits = ["fake", "fake", "fake", "real"], np.full(4, 2.0)  # says 0.88, is right on 0.75
        >>> round(fit_temperature(labels, logits), 3), float(round(2 / np.log(3), 3))
        (1.82, 1.82)
    """
    from scipy.optimize import minimize_scalar

    truth = np.array([label == "fake" for label in labels])
    logits = np.asarray(logits, np.float64)
    if not len(truth):
        raise ValueError("no images to fit a temperature on")
    if not np.isfinite(logits).all():
        raise ValueError("the logits hold NaN or infinity; expected finite numbers")
    if truth.all() or not truth.any() or not logits.any():
        return 1.0
    wrong = np.where(truth, -logits, logits)
    low, high = np.log(LIMITS)
    # one valley: the loss is convex in 1 / T, and so falls and then rises in log T too
    found = minimize_scalar(lambda t: np.logaddexp(0, wrong * np.exp(-t)).mean(), bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(min((low, high, found.x), key=lambda t: np.logaddexp(0, wrong * np.exp(-t)).mean())))


def temperature_of(detector: Detector) -> float | None:
    """Return the temperature on a detector's card; None without one.

    Raises:
        ModelError: it is no number above 0.
    """
    temperature = (detector.card or {}).get("temperature")
    if temperature is None:
        return None
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 < temperature < np.inf:
        raise ModelError(f"the card's 'temperature' is {temperature!r}; expected a number above 0; mend the card or train again")
    return float(temperature)


def at_limit(temperature: float) -> str:
    """Say why a temperature lies at a limit; '' where it does not.

    Example:
        >>> at_limit(1.5), at_limit(20.0)
        ('', 'at its upper limit: on the images it was fitted on, the logits told nothing')
    """
    if temperature >= LIMITS[1] * 0.999:
        return "at its upper limit: on the images it was fitted on, the logits told nothing"
    if temperature <= LIMITS[0] * 1.001:
        return "at its lower limit: the images it was fitted on were all told apart"
    return ""


def believed(truth: np.ndarray, logits: np.ndarray) -> stats.Statistic:
    """Return the statistic for `xai.stats.bootstrap` that says how far scores can be believed.

    Args:
        truth: whether each image is fake, `(N,)`.
        logits: of fake, `(N,)`, divided by the temperature where there is one.
    """
    from xai.detector import score

    scores = score(logits)
    own = bins(scores)[:, None] == np.arange(BINS)  # (N, bins)
    sure, right = confident(truth, logits)
    loss = np.logaddexp(0, np.where(truth, -logits, logits))
    per_image = np.stack([loss, (scores - truth) ** 2, *sure.values(), *right.values()], 1)
    # every measure follows from sums of these columns over the images drawn
    columns = np.concatenate([per_image, own, own * truth[:, None], own * scores[:, None]], axis=1)

    def measures(drawn: np.ndarray) -> dict[str, np.ndarray]:
        sums = drawn @ columns
        held, fakes, means = (sums[:, 8 + k * BINS : 8 + (k + 1) * BINS] for k in range(3))
        count = held.sum(1)
        shares = stats.ratio(fakes, held)
        return {
            "nll": sums[:, 0] / count,
            "brier": sums[:, 1] / count,
            "ece": np.abs(means - fakes).sum(1) / count,
            **{f"share {group}": sums[:, 2 + k] / count for k, group in enumerate(sure)},
            **{f"accuracy {group}": stats.ratio(sums[:, 5 + k], sums[:, 2 + k]) for k, group in enumerate(sure)},
            **{f"bin {b}": shares[:, b] for b in range(BINS)},
        }

    return measures


def confident(truth: np.ndarray, logits: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return which images have a score of at least 0.9 for a class, and which of them are of it; by class and together.

    Example:
        >>> sure, right = confident(np.array([True, True]), np.array([3.0, -3.0]))
        >>> sure["fake"].tolist(), sure["all"].tolist(), right["all"].tolist()
        ([True, False], [True, True], [True, False])
    """
    from xai.detector import score

    sure = {"real": score(-logits) >= CONFIDENT, "fake": score(logits) >= CONFIDENT}
    right = {"real": sure["real"] & ~truth, "fake": sure["fake"] & truth}
    return {"all": sure["real"] | sure["fake"], **sure}, {"all": right["real"] | right["fake"], **right}


def judge(found: stats.Found, truth: np.ndarray, logits: np.ndarray, seed: int, resamples: int) -> dict[str, Any]:
    """Return how far the scores can be believed, for JSON.

    Args:
        found: of `believed`'s statistic.
        truth, logits: as there.
        seed, resamples: of the draws; with 0 resamples the intervals are None.

    Returns:
        What `xai.metrics.measure` describes as `calibration`.
    """
    from xai.detector import score

    scores = score(logits)
    placed = bins(scores)
    sure, right = confident(truth, logits)
    chance = by_chance(scores, stats.fewer(resamples, len(scores)), seed)

    def entry(name: str, key: str, trials: tuple[int, int] | None = None) -> dict[str, Any]:
        value, draws = found[key]
        return stats.entry(name, value, stats.interval(value, draws), (lambda: stats.wilson(*trials)) if trials else None)

    def surely(group: str) -> dict[str, Any]:
        count, hits = int(sure[group].sum()), int(right[group].sum())
        share = entry("share", f"share {group}", (count, len(truth)))
        return {"count": count, **share, "right": hits, **entry("accuracy", f"accuracy {group}", (hits, count))}

    def record(b: int) -> dict[str, Any]:
        inside = placed == b
        count, fakes = int(inside.sum()), int(truth[inside].sum())
        low, high = (float(edge) for edge in edges()[b : b + 2])
        return {"low": low, "high": high, "count": count, "score": float(scores[inside].mean()), **entry("fake", f"bin {b}", (fakes, count))}

    return {
        **stats.entry("ece", found["ece"][0], ece_interval(*found["ece"], chance)),
        "ece_by_chance": [float(chance.mean()), float(np.quantile(chance, (1 + stats.LEVEL) / 2))] if len(chance) else None,
        **entry("nll", "nll"),
        **entry("brier", "brier"),
        "curve": [record(b) for b in np.unique(placed).tolist()],
        "confident": {"level": CONFIDENT, **surely("all"), "real": surely("real"), "fake": surely("fake")},
    }


def ece_interval(value: float, draws: np.ndarray, chance: np.ndarray) -> tuple[float, float] | None:
    """Return the interval of an ECE.

    Drawing images again shifts ECE upwards a second time, so the percentiles of the draws miss the truth nearly always on
    few images. This is the basic interval, which takes that shift off, with 0 as its low end
    where a perfectly calibrated detector may show as much. In simulation (100 to 1,600 images) it covered the true
    value in 80 to 99 of 100 cases, percentiles in 0 to 94; it may lie below the value measured.

    Args:
        value: measured.
        draws: of the bootstrap.
        chance: of `by_chance`.
    """
    ends = stats.interval(value, draws, "basic")
    if ends is None or not len(chance):
        return None
    low = 0.0 if value <= np.quantile(chance, (1 + stats.LEVEL) / 2) else max(0.0, ends[0])
    return low, max(low, ends[1])
