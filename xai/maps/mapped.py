"""A batch of images mapped with any methods: those of the one pass together, the others one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from xai.detector import Detector, finite
from xai.errors import ImageError, ModelError, WhyfakeError
from xai.images import read
from xai.maps.answer import Answer
from xai.maps.fills import FILLS
from xai.maps.geometry import locate
from xai.maps.memory import batch_size as fitting
from xai.maps.methods import INPUT, LAYERLESS, Spec, pairs, parse
from xai.maps.placement import Placement, pixels
from xai.maps.segments import PARTS, face_parts
from xai.preprocess import Preprocessing

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The maps of a batch.

    Args:
        logits: of fake, float32 `(N,)`.
        maps: by (layer, method), float32 `(N, h, w)`, raw; the image itself is the layer "input".
        extras: by (layer, method), what else a method found: numbers per image `(N,)` or
            maps `(N, h, w)`, by name.
    """

    logits: np.ndarray
    maps: dict[Pair, np.ndarray]
    extras: dict[Pair, dict[str, np.ndarray]] = field(default_factory=dict)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the extras that are a number per image `(N,)`, by `name:layer:method`."""
        return {
            f"{name}:{layer}:{method}": values for (layer, method), found in self.extras.items() for name, values in found.items() if values.ndim == 1
        }

    def beside(self) -> dict[Pair, np.ndarray]:
        """Return the extras that are a map per image `(N, h, w)`, by (layer, `method:name`)."""
        return {
            (layer, f"{method}:{name}"): values
            for (layer, method), found in self.extras.items()
            for name, values in found.items()
            if values.ndim == 3
        }


def compute(
    detector: Detector, images: np.ndarray, layers: Sequence[str], methods: Sequence[str], target: str = "fake", batch_size: int | None = None
) -> Mapped:
    """Map a batch at every layer with every method.

    Args:
        detector: the detector, or a black box for methods that need only its answers.
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        layers: names from `detector.select`; not read by methods of the image itself.
        methods: as in `xai.maps.methods.parse`.
        target: "fake", or "real" for the evidence for real.
        batch_size: changed images a pass, for methods that look at many for one map; default as the memory allows.

    Returns:
        The maps.

    Raises:
        WhyfakeError: an unknown method, option or target, two methods of one name, or a method that the model has no gradients for.
        LayerError: an unknown layer, or one that the logit does not depend on.
    """
    if target not in ("fake", "real"):
        raise WhyfakeError(f"target '{target}' is not known; expected fake or real")
    wanted, asked = pairs(layers, methods), {spec.text: spec for spec in map(parse, methods)}
    check(detector, asked.values())
    together = [spec for spec in asked.values() if spec.method.one_pass]
    maps: dict[Pair, np.ndarray] = {}
    extras: dict[Pair, dict[str, np.ndarray]] = {}
    logits = None
    if together and layers:
        from xai.maps.onepass import layer_maps

        logits, maps = layer_maps(detector, images, layers, together, target)
    if logits is None:
        logits = detector.logits(images)
    for pair in wanted:
        spec = asked[pair[1]]
        if not spec.method.one_pass:
            answer = single(detector, images, spec, pair[0], batch_size or fitting(detector))
            turn = -1 if target == "real" and spec.method.signed else 1
            maps[pair], extras[pair] = turn * answer.maps, answer.extras
    maps = {pair: maps[pair] for pair in wanted}
    refuse_nan(maps)
    return Mapped(finite(logits), maps, {pair: found for pair, found in extras.items() if found})


def refuse_nan(maps: Mapping[Pair, np.ndarray]) -> None:
    """Raise for the first map that holds NaN or infinity: it would count as empty, or spoil a mean."""
    for (layer, method), values in maps.items():
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():  # the sum is the cheaper look
            raise ModelError(
                f"method '{method}' gives NaN or infinity at '{layer}': the network's gradient is not finite there (a square root or a "
                f"division at 0, say); methods that need only answers work: {LAYERLESS}"
            )


def joined(parts: Sequence[Mapped], cells: Mapping[Pair, tuple[int, int]]) -> Mapped:
    """Return batches as one, also where there are none.

    Args:
        parts: the batches, in order, all with the same maps.
        cells: by (layer, method), the size of a map.
    """
    if not parts:
        return Mapped(np.zeros(0, np.float32), {pair: np.zeros((0, *size), np.float32) for pair, size in cells.items()})
    maps = {pair: np.concatenate([part.maps[pair] for part in parts]) for pair in cells}
    extras = {pair: {name: np.concatenate([part.extras[pair][name] for part in parts]) for name in found} for pair, found in parts[0].extras.items()}
    return Mapped(np.concatenate([part.logits for part in parts]), maps, extras)


def placements(detector: Detector, layers: Sequence[str], methods: Sequence[str]) -> dict[str, Placement]:
    """Return where the maps of every layer are drawn; of "input", every pixel is a cell."""
    return {layer: pixels(detector.size) if layer == INPUT else detector.layers[layer].placement for layer, _ in pairs(layers, methods)}


def true_placements(detector: Detector, layers: Sequence[str], methods: Sequence[str]) -> dict[str, Placement]:
    """Return where the cells of every mapped layer lie, also of a detector that draws its maps stretched."""
    drawn, known = placements(detector, layers, methods), locate(detector.graph, detector.size) if layers else {}
    return drawn | {layer: place for layer, place in known.items() if layer in drawn and isinstance(place, Placement)}


def check(detector: Detector, asked: Iterable[Spec]) -> None:
    """Raise for the first method that needs what a black box does not have."""
    for spec in asked:
        if not detector.gradients and (spec.method.needs != "logits" or spec.method.place == "layer"):
            why = "gradients" if spec.method.needs == "gradients" else "layers"
            raise WhyfakeError(f"method '{spec.name}' needs {why}, which a black box does not show; expected {LAYERLESS}")


def single(detector: Detector, images: np.ndarray, spec: Spec, layer: str, batch_size: int) -> Answer:
    """Run one method that is not of the one pass; what it finds wrong is said in its name."""
    try:
        return run(detector, images, spec, layer, batch_size)
    except WhyfakeError as error:
        raise type(error)(f"method '{spec.text}': {error}") from error


def run(detector: Detector, images: np.ndarray, spec: Spec, layer: str, batch_size: int) -> Answer:
    """Call a method with its options, and with what it needs of the detector."""
    module, name = spec.method.home.split(".")
    method: Callable[..., Answer] = getattr(import_module(f"xai.maps.{module}"), name)
    options: dict[str, Any] = dict(spec.options) | {"batch_size": batch_size}
    options |= {name: stand_in(detector, options[name]) for name in ("fill", "baseline") if name in options}
    if options.get("segments") in PARTS:
        options["segments"] = face_parts(detector.preprocessing.unscale(images), options["segments"])
    if layer != INPUT:
        from xai.maps.onepass import activations

        channels, where = activations(detector, images, [layer])[layer], true_placements(detector, [layer], [spec.text])[layer]
        return method(detector.logits, images, channels, where, **options | {"low": detector.preprocessing.low})
    if spec.method.needs == "gradients":
        return method(detector, images, **options)
    return method(detector.logits, images, **options | {"low": detector.preprocessing.low})


def stand_in(detector: Detector, kind: Any) -> Any:
    """Return a fill or baseline as the methods take it: the path of an image becomes its pixels, as the network wants them."""
    if not isinstance(kind, str) or kind in FILLS:
        return kind
    try:
        return donor(detector.preprocessing, kind, Path(kind).stat().st_mtime_ns)
    except (ImageError, OSError) as error:
        raise WhyfakeError(f"'{kind}' is neither {', '.join(FILLS)} nor an image ({error})") from None


@lru_cache(maxsize=8)
def donor(preprocessing: Preprocessing, path: str, changed: int) -> np.ndarray:
    """Return an image's pixels as the network wants them; read and cropped once, not for every batch and layer."""
    return preprocessing.prepare(preprocessing.view(read(path))[0])
