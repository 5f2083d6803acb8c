"""The faithfulness table, each map beside two that know nothing, and the curves it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xai.detector import score
from xai.inference import mean_interval, mean_test
from xai.multiple import holm
from xai.regions.table import LEAST
from xai.trust.faithful import AS_IS, CURVES
from xai.trust.measure import Faithfulness
from xai.trust.nulls import NULLS
from xai.trust.scores import METRICS, scores

GROUPS = ("both", "fake", "real")
FIELDS = (
    "group", "layer", "method", "metric", "images", "empty", "value", "low", "high",
    "over_random", "over_random_low", "over_random_high", "over_region", "over_region_low", "over_region_high", "p", "p_holm",
)  # fmt: skip
CURVE_FIELDS = ("group", "layer", "method", "curve", "fraction", "logit", "logit_low", "logit_high", "probability")


def faithful_rows(found: Faithfulness) -> list[dict[str, Any]]:
    """Return the faithfulness table.

    `over_random` and `over_region` are a map's advantage over that null, image by image, turned so that
    positive is better whatever the metric. `p` is the greater of the two two-sided p values of the advantages: a map
    must beat both nulls. One that is on average no better than a null has 1 against it, so that being
    reliably worse never counts; in the direction that counts, a test at 5 % is then one at 2.5 %. Each group is one
    family, all its maps and metrics, corrected by Holm's method.

    Args:
        found: of the sampled images.

    Returns:
        Rows with the fields of `FIELDS`; None where too few images have a value. A metric that no image of a
        group has is left out. The nulls' own rows come last in each metric, at layer "".
    """
    measured, table = scores(found), []
    for group, chosen in groups(found):
        empty = found.found.empty[chosen].sum(0)
        block = [row for name in METRICS for row in compared(found, group, name, measured[name][chosen], empty)]
        adjusted = holm(np.array([np.nan if row["p"] is None else row["p"] for row in block]))
        table += [row | {"p_holm": number(p)} for row, p in zip(block, adjusted, strict=True)]
    return table


def compared(found: Faithfulness, group: str, name: str, values: np.ndarray, empty: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield the rows of one metric, from values `(N, M)`."""
    if np.isnan(values).all():
        return
    metric, images = METRICS[name], (~np.isnan(values)).sum(0)
    ends = dict(zip(("value", "low", "high"), interval(values, metric.bounds), strict=True))
    worst = np.zeros(values.shape[1])
    for null in NULLS:
        advantage = metric.better * (values - values[:, [found.rows.index(("", null))]])
        mean, low, high = interval(advantage)
        ends |= {f"over_{null}": mean, f"over_{null}_low": low, f"over_{null}_high": high}
        p = np.where(mean > 0, mean_test(advantage, strict=True), 1)
        worst = np.maximum(worst, np.where(images >= LEAST, p, np.nan))
    for place, (layer, method) in enumerate(found.rows):
        row = dict.fromkeys(FIELDS) | {"group": group, "layer": layer, "method": method, "metric": name}
        row |= {"images": int(images[place]), "empty": int(empty[place])}
        row |= {key: number(column[place]) for key, column in ends.items() if layer or key in ("value", "low", "high")}
        yield row | {"p": number(worst[place]) if layer else None}


def curve_rows(found: Faithfulness) -> list[dict[str, Any]]:
    """Return the mean curves: the own class's logit and probability at each fraction of pixels changed.

    Returns:
        Rows with the fields of `CURVE_FIELDS`, those of "road" beginning with the images as they are; None
        where too few images have a value. A curve that no image of a group has is left out.
    """
    start = np.where(found.found.empty, np.nan, found.found.whole[:, [AS_IS]])[..., None]
    curves = {curve: (found.fractions, found.found.curves[:, :, column]) for column, curve in enumerate(CURVES)}
    if found.road:
        curves["road"] = (0.0, *found.road), np.concatenate([start, found.found.road], -1)
    table = []
    for group, chosen in groups(found):
        for curve, (fractions, logits) in curves.items():
            values = logits[chosen]
            flat = values.reshape(len(values), -1)  # (N, M * F)
            columns = *interval(flat), interval(score(flat))[0]
            for place, (layer, method) in enumerate(found.rows):
                for step, fraction in enumerate(fractions):
                    logit, low, high, probability = (number(column[place * len(fractions) + step]) for column in columns)
                    if logit is not None:
                        named = group, layer, method, curve, float(fraction), logit, low, high, probability
                        table.append(dict(zip(CURVE_FIELDS, named, strict=True)))
    return table


def groups(found: Faithfulness) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each group that has images and which they are, bool `(N,)`."""
    for group in GROUPS:
        chosen = np.array([group in ("both", label) for label in found.labels], bool)
        if chosen.any():
            yield group, chosen


def interval(values: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each column's mean and interval, from `(N, C)`; of few images no interval."""
    mean, low, high = mean_interval(values, bounds=bounds)
    enough = (~np.isnan(values)).sum(0) >= LEAST
    return mean, np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def number(value: float) -> float | None:
    """Return a number for a table; None for NaN."""
    return None if np.isnan(value) else float(value)
