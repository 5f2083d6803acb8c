"""Workflow: a few images in, whether each method's maps depend on the network, and hold still, out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai.detector import Detector
from xai.errors import DataError, WhyfakeError
from xai.inference import mean_interval
from xai.maps.methods import INPUT, Spec, parse
from xai.trust.baselines import BASELINES, baselines
from xai.trust.looks import Progress, careful, look
from xai.trust.randomise import Stage, cascade, plan, randomised
from xai.trust.similarity import flat, spearman, ssim
from xai.trust.stability import DRAWS, Pair, Stability

QUICK = 8  # passes through the network for one map; methods that take more are slow
SAME = 0.5  # rank correlation above which a map has not changed
ABOVE, TWIN = "above", "random twin"
SIMILAR_FIELDS = (
    "layer", "method", "test", "against", "order", "images", "undefined", "rank", "rank_low", "rank_high", "ssim", "ssim_low", "ssim_high"
)  # fmt: skip
STABLE_FIELDS = (
    "layer", "method", "images", "sensitivity", "sensitivity_low", "sensitivity_high", "lipschitz", "lipschitz_low", "lipschitz_high", "difference"
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sanity:
    """What the checks found.

    Args:
        similar: rows with the fields of `SIMILAR_FIELDS`. `test` is "randomised", `against` the last layer of the cascade
            that was randomised, or "above": everything above the map's layer, the layer and what leads to it left alone;
            `order` counts the randomised layers. Or `test` is "baseline", `against` one of "edges", "centre", "mean face"
            and "random twin", the map of the network with every layer randomised. `images` are those whose own map is not
            constant, `undefined` those of them where the other is constant: without a rank, but changed all the same.
        stable: rows with the fields of `STABLE_FIELDS`; `difference` of two looks at the same images, as a share of the largest value.
        untested: method or test -> why it was left out.
        stages: the `against` of the cascade, from the logit to the image.
    """

    similar: list[Row]
    stable: list[Row]
    untested: dict[str, str]
    stages: list[str]

    def verdicts(self) -> dict[Pair, bool]:
        """Return by (layer, method) whether the map does not change when the network is randomised; empty where that was not tested."""
        found: dict[Pair, dict[str, Row]] = {}
        for row in self.similar:
            if row["against"] in (ABOVE, TWIN):
                found.setdefault((row["layer"], row["method"]), {})[row["against"]] = row
        return {pair: unchanged(rows.get(ABOVE), rows.get(TWIN)) for pair, rows in found.items()}


def unchanged(row_above: Mapping[str, Any] | None, row_all: Mapping[str, Any] | None) -> bool:
    """Say whether a map does not change when everything above its layer, or everything, is randomised.

    It does not where the lower end of the mean rank correlation stays above 0.5. Images whose map turned constant have
    changed and count as 0. Without an interval nothing is said against the method.

    Args:
        row_above: of `Sanity.similar`, against "above"; None where it was not tested.
        row_all: against "random twin", or the last stage.

    Example:
        >>> unchanged({"rank_low": 0.9, "images": 16, "undefined": 0}, None), unchanged({"rank_low": 0.9, "images": 16, "undefined": 8}, None)
        (True, False)
    """
    rows = [row for row in (row_above, row_all) if row is not None and row["rank_low"] is not None]
    return any(row["rank_low"] * (1 - row["undefined"] / row["images"]) > SAME for row in rows)


def sanity(
    detector: Detector,
    images: np.ndarray,
    targets: Sequence[str],
    layers: Sequence[str],
    methods: Sequence[str],
    *,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
    draws: int = DRAWS,
    slow: bool = False,
) -> Sanity:
    """Check every method at every layer: against a randomised network, against baselines, under noise, and twice the same.

    The network's weights are changed in place and put back whatever happens; nobody else may use it meanwhile. Intervals
    are over images, for the one draw of weights that the seed gives. Maps of more than 64 cells a side are averaged before
    they are compared with others; stability is measured on the maps as they are.

    Args:
        detector: the detector, or a black box, which cannot be randomised.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`, some 16.
        targets: per image "fake" or "real", the class whose evidence is mapped.
        layers, methods: as in `xai.maps.mapped.compute`.
        seed: of weights and noise.
        batch_size: images a pass; default as the memory allows.
        progress: called with the number of images mapped, `looks(...)` times every image in all.
        draws: noisy copies of an image, 1 or more.
        slow: check methods too that take more than eight passes a map.

    Returns:
        What was found.

    Raises:
        DataError: no images, or other targets than "fake" and "real".
        WhyfakeError: no draws, or a method that the network itself, not randomised, has no maps for.
    """
    from xai.maps.mapped import placements

    if not len(images) or len(images) != len(targets) or not set(targets) <= {"fake", "real"}:
        raise DataError(f"{len(images)} images and {len(targets)} targets; expected a target, fake or real, for each of one image or more")
    chosen, untested = quick(methods, slow)
    maps, calm = careful(detector, images, targets, layers, chosen, seed, batch_size, progress, draws)
    known = baselines(images, detector.preprocessing, placements(detector, layers, chosen))
    similar = [similar_row(pair, "baseline", name, 0, values, known[pair[0]][name]) for pair, values in maps.items() for name in BASELINES]
    order = cascade(detector)
    stages = plan(detector, order, layers) if maps else []
    untested |= missing(detector, stages, {layer for layer, _ in maps})
    with randomised(order, seed) as randomise:
        for stage in stages:
            randomise(stage.chosen)
            try:
                others = look(detector, images, targets, layers, chosen, batch_size, progress)
            except WhyfakeError as error:  # random weights can overflow
                untested[f"randomised: {stage.name or 'above ' + ', '.join(stage.above)}"] = str(error)
                continue
            similar += stage_rows(stage, len(order), maps, others)
    return Sanity(similar, [stable_row(pair, found) for pair, found in calm.items()], untested, [stage.name for stage in stages if stage.name])


def quick(methods: Sequence[str], slow: bool) -> tuple[list[str], dict[str, str]]:
    """Return the methods to check, and why the others are not.

    Example:
        >>> quick(["hirescam", "rise"], slow=False)
        (['hirescam'], {'rise': 'it asks the network hundreds of times for one map; slow=True checks it'})
    """
    reasons = {} if slow else {spec.text: why for spec in map(parse, methods) if (why := costly(spec))}
    return [text for text in methods if parse(text).text not in reasons], reasons


def costly(spec: Spec) -> str:
    """Return why a method is slow; '' where it is not."""
    if spec.method.needs == "logits":
        return "it asks the network hundreds of times for one map; slow=True checks it"
    passes = int(spec.options.get("samples", spec.options.get("steps", 1)))
    return f"it takes {passes} passes for one map, more than {QUICK}; slow=True checks it" if passes > QUICK else ""


def looks(detector: Detector, layers: Sequence[str], draws: int = DRAWS) -> int:
    """Return how often `sanity` maps every image, for a progress bar."""
    return 2 + draws + len(plan(detector, cascade(detector), layers))


def missing(detector: Detector, stages: Sequence[Stage], layers: set[str]) -> dict[str, str]:
    """Return the tests that cannot be done, and why."""
    if not layers:
        return {}
    if not stages:
        why = "the network has no weights" if detector.gradients else "the weights of a black box cannot be changed"
        return {"randomised": why, TWIN: why}
    reached = {layer for stage in stages for layer in stage.above} | {INPUT}
    return {f"{ABOVE}: {layer}": "no weights lie between the layer and the logit" for layer in sorted(layers - reached)}


def stage_rows(stage: Stage, layers: int, maps: Mapping[Pair, np.ndarray], others: Mapping[Pair, np.ndarray]) -> Iterator[Row]:
    """Yield the rows of one stage: of the cascade, of the layers above which it is all, of the random twin."""
    whole = len(stage.chosen) == layers
    for pair, values in maps.items():
        against = [("randomised", stage.name)] if stage.name else []
        if pair[0] in stage.above or (whole and pair[0] == INPUT):
            against.append(("randomised", ABOVE))
        if whole:
            against.append(("baseline", TWIN))
        row = similar_row(pair, "", "", len(stage.chosen), values, others[pair]) if against else {}
        yield from (row | {"test": test, "against": name} for test, name in against)


def similar_row(pair: Pair, test: str, against: str, order: int, maps: np.ndarray, others: np.ndarray) -> Row:
    """Return how alike maps `(N, h, w)` are to others, with 95 % intervals over images; None where nothing can be said."""
    said = ~flat(maps)
    rank = spearman(maps, others)
    alike = np.where(maps.max((1, 2)) > 0, ssim(maps, others), np.nan)
    alike[~said] = np.nan
    undefined = int((said & np.isnan(rank)).sum())
    row = {"layer": pair[0], "method": pair[1], "test": test, "against": against, "order": order, "images": int(said.sum()), "undefined": undefined}
    return row | measured("rank", rank, (-1, 1)) | measured("ssim", alike, (-1, 1))


def stable_row(pair: Pair, found: Stability) -> Row:
    """Return how stable maps are, with 95 % intervals over images; empty maps are left out of the sensitivity."""
    peak = float(found.peak.max())
    row = {"layer": pair[0], "method": pair[1], "images": int((~np.isnan(found.sensitivity)).sum())}
    row |= measured("sensitivity", found.sensitivity, (0, np.inf)) | measured("lipschitz", found.lipschitz, (0, np.inf))
    return row | {"difference": float(found.difference.max()) / peak if peak else 0.0}


def measured(name: str, values: np.ndarray, bounds: tuple[float, float]) -> dict[str, float | None]:
    """Return a mean over images `(N,)` and the ends of its interval as fields of a row."""
    found = zip((name, f"{name}_low", f"{name}_high"), mean_interval(values[:, None], bounds=bounds), strict=True)
    return {field: None if np.isnan(value[0]) else float(value[0]) for field, value in found}
