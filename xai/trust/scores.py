"""From the logits of changed images to one number per image and map, for each way of asking whether a map is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xai.detector import score
from xai.inference import ANYTHING
from xai.trust.faithful import AS_IS, CURVES, DONATED
from xai.trust.measure import Faithfulness

SUFFICIENT = 0.05  # of all pixels, inserted into a donor
SHARE = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """A way of asking.

    Args:
        text: one line for people.
        better: 1 where more of it is better, -1 where less is.
        bounds: the least and the largest value that are possible.
    """

    text: str
    better: int
    bounds: tuple[float, float] = ANYTHING


METRICS = {
    "deletion_blur": Metric("mean change of the logit while the top pixels are blurred away", -1),
    "deletion_donor": Metric("mean change of the logit while the top pixels come from an image of the other class", -1),
    "insertion_blur": Metric("mean change of the logit while the top pixels are put into the blurred image", 1),
    "insertion_donor": Metric("mean change of the logit while the top pixels are put into an image of the other class", 1),
    "deletion_blur_probability": Metric("area under the curve of the probability, as published", -1, SHARE),
    "deletion_donor_probability": Metric("the same, with pixels of an image of the other class", -1, SHARE),
    "insertion_blur_probability": Metric("area under the curve of the probability, as published", 1, SHARE),
    "insertion_donor_probability": Metric("the same, into an image of the other class", 1, SHARE),
    "sufficiency": Metric("share of the logit's gap to an image of the other class that the top 5 % bring along", 1),
    "sufficiency_flips": Metric("the top 5 %, put into an image of the other class, turn its decision", 1, SHARE),
    "road": Metric("mean fall of the logit when the top pixels are imputed from their neighbours", 1),
    "average_drop": Metric("share of the probability lost when only what the map shows is seen", -1, SHARE),
    "average_increase": Metric("the probability rises when only what the map shows is seen", 1, SHARE),
    "average_gain": Metric("share of what the probability could rise that it rises by then", 1, SHARE),
    "infidelity": Metric("squared error of the falls that the map foretells when squares are blurred, logits squared", -1, (0.0, np.inf)),
}


def scores(of: Faithfulness) -> dict[str, np.ndarray]:
    """Return every metric for every image and map.

    Areas are by the trapezoid rule over the fraction of pixels, from 0 to 1. In logits, a curve counts from its
    own start: the image as it is for deletion, the baseline for insertion. `sufficiency` is of images that
    the network calls right and whose donor it calls right, since others have no gap to close.

    Returns:
        By the names of `METRICS`, float64 `(N, M)`; NaN for empty maps, where there is no donor, and, for
        sufficiency, where 0.05 is not among the fractions.

    Reference:
        Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018, arXiv:1806.07421.
        Rong et al., 2022, as in `xai.trust.road`. Chattopadhay et al., Grad-CAM++, 2018, arXiv:1710.11063 (drop, increase).
        Zhang et al., Opti-CAM: Optimizing saliency maps for interpretability, 2024, arXiv:2301.07002 (gain).
        Yeh et al., 2019, as in `xai.trust.infidelity`.
    """
    found, whole = of.found, of.found.whole
    result: dict[str, np.ndarray] = {}
    for column, curve in enumerate(CURVES):
        logits = found.curves[:, :, column]  # (N, M, F)
        result[curve] = np.trapezoid(logits - logits[..., :1], of.fractions, axis=-1)
        result[f"{curve}_probability"] = np.trapezoid(score(logits), of.fractions, axis=-1)
    result["sufficiency"], result["sufficiency_flips"] = sufficiency(of)
    result["road"] = whole[:, AS_IS, None] - found.road.mean(-1) if of.road else np.full(found.shown.shape, np.nan)
    before, after = whole[:, AS_IS, None], found.shown
    gone, won = score(before) - score(after), score(-before) - score(-after)  # the same but for rounding near 0 and near 1
    there = ~np.isnan(after)
    with np.errstate(invalid="ignore", divide="ignore"):
        result["average_drop"] = np.where(there, np.where(gone > 0, gone / score(before), 0), np.nan)
        result["average_gain"] = np.where(there, np.where(won > 0, won / score(-before), 0), np.nan)
    result["average_increase"] = np.where(there, after > before, np.nan)
    result["infidelity"] = found.infidelity
    return {name: result[name] for name in METRICS}


def sufficiency(of: Faithfulness) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the logit's gap that the top 5 % recover, and whether they turn the decision, each `(N, M)`."""
    whole = of.found.whole
    if SUFFICIENT not in of.fractions:
        none = np.full(of.found.shown.shape, np.nan)
        return none, none
    pasted = of.found.curves[:, :, CURVES.index("insertion_donor"), of.fractions.index(SUFFICIENT)]  # (N, M)
    counts = own_class(of, whole[:, AS_IS]) & ~own_class(of, whole[:, DONATED]) & np.isfinite(whole[:, DONATED])
    gap = np.where(counts, whole[:, AS_IS] - whole[:, DONATED], np.nan)[:, None]
    share = (pasted - whole[:, DONATED, None]) / gap
    return share, np.where(np.isnan(share), np.nan, own_class(of, pasted))


def own_class(of: Faithfulness, logits: np.ndarray) -> np.ndarray:
    """Say whether logits, turned to the images' own classes, are called that class, bool `(N, …)`."""
    turn = np.where(np.array(of.labels) == "fake", 1, -1).reshape(-1, *[1] * (logits.ndim - 1))
    with np.errstate(invalid="ignore"):
        return np.asarray((score(turn * logits) >= of.threshold) == (turn > 0))
