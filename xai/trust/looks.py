"""The maps of a sample, batch by batch: looked at once, or again and under noise as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from xai.detector import Detector
from xai.maps.memory import batch_size as fitting
from xai.trust.similarity import pooled
from xai.trust.stability import RADIUS, Pair, Stability, stability

Progress = Callable[[int], object]


def portions(detector: Detector, targets: Sequence[str], batch_size: int | None) -> Iterator[tuple[np.ndarray, str]]:
    """Yield batches of images of one target: their places and the target. Always the same, so that nothing is compiled twice."""
    size = batch_size or fitting(detector)
    for target in ("fake", "real"):
        places = np.flatnonzero(np.array(targets) == target)
        for start in range(0, len(places), size):
            yield places[start : start + size], target


def careful(
    detector: Detector,
    images: np.ndarray,
    targets: Sequence[str],
    layers: Sequence[str],
    methods: Sequence[str],
    seed: int,
    batch_size: int | None,
    progress: Progress | None,
    draws: int,
) -> tuple[dict[Pair, np.ndarray], dict[Pair, Stability]]:
    """Return the maps, pooled, and their stability, both by (layer, method); batch by batch, for a map may have a million cells."""
    from xai.maps.mapped import compute

    pre = detector.preprocessing
    parts: dict[Pair, list[tuple[np.ndarray, np.ndarray, Stability]]] = {}
    for places, target in portions(detector, targets, batch_size) if methods else ():

        def mapper(some: np.ndarray, target: str = target) -> dict[Pair, np.ndarray]:
            found = compute(detector, some, layers, methods, target=target, batch_size=batch_size).maps
            if progress:
                progress(len(some))
            return found

        found, calm = stability(mapper, images[places], RADIUS * abs(pre.high - pre.low), draws=draws, seed=seed, numbers=places.tolist())
        for pair, values in found.items():
            parts.setdefault(pair, []).append((places, pooled(values), calm[pair]))
    maps, calms = {}, {}
    for pair, some in parts.items():
        back = np.argsort(np.concatenate([places for places, _, _ in some]))
        maps[pair] = np.concatenate([values for _, values, _ in some])[back]
        fields = ("sensitivity", "lipschitz", "difference", "peak")
        calms[pair] = Stability(*(np.concatenate([getattr(calm, name) for _, _, calm in some])[back] for name in fields))
    return maps, calms


def look(
    detector: Detector,
    images: np.ndarray,
    targets: Sequence[str],
    layers: Sequence[str],
    methods: Sequence[str],
    batch_size: int | None,
    progress: Progress | None,
) -> dict[Pair, np.ndarray]:
    """Return the maps by (layer, method), pooled, `(N, h, w)`."""
    from xai.maps.mapped import compute

    maps: dict[Pair, np.ndarray] = {}
    for places, target in portions(detector, targets, batch_size):
        for pair, values in compute(detector, images[places], layers, methods, target=target, batch_size=batch_size).maps.items():
            values = pooled(values)
            maps.setdefault(pair, np.zeros((len(images), *values.shape[1:]), np.float32))[places] = values
        if progress:
            progress(len(places))
    return maps
