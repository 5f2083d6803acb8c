"""Weights drawn anew in place, layer after layer from the logit down, and put back whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai.detector import Detector
from xai.graph import Step

MOST = 8  # stages of a cascade; a deep network has a hundred layers, and its maps are gone after the first few


@dataclass(frozen=True, slots=True)
class Weighted:
    """A layer with weights.

    Args:
        name: of its use nearest the logit.
        variables: those that no layer nearer the logit holds as well.
    """

    name: str
    variables: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A set of layers that are randomised together.

    Args:
        name: the last layer of the cascade that is randomised; '' where this is no stage of it.
        chosen: places in the cascade of the randomised layers, in order.
        above: the mapped layers above which this is all there is.
    """

    name: str
    chosen: tuple[int, ...]
    above: tuple[str, ...]


def cascade(detector: Detector) -> list[Weighted]:
    """Return the layers with weights from the logit to the image: the flat graph, in reverse.

    A layer that is used several times stands where it is met first; a variable that two layers share, with the first of them.

    Args:
        detector: of any Keras model; a black box has none.
    """
    if not detector.gradients:
        return []
    leading = detector.graph.upstream(detector.head.step) | {detector.head.step.name}
    seen: set[int] = set()
    found = []
    for step in reversed(detector.graph.steps):
        fresh = [variable for variable in weights(step) if id(variable) not in seen] if step.name in leading else []
        if fresh:
            found.append(Weighted(step.name, tuple(fresh)))
            seen.update(map(id, fresh))
    return found


def weights(step: Step) -> list[Any]:
    """Return a step's variables, without those of random number generators; none for a plain operation."""
    return list(getattr(step.operation, "weights", ()))


def over(detector: Detector, order: Sequence[Weighted], layer: str) -> tuple[int, ...]:
    """Return the places in a cascade of what lies above a layer: all but the layer and what leads to it.

    Branches beside the layer count as above it: its own output does not depend on them. A layer that is used
    above and below is left alone.

    Args:
        detector: of the cascade.
        order: from `cascade`.
        layer: the name of a mapped layer.
    """
    own = next(step for step in detector.graph.steps if step.name == layer)
    below = detector.graph.upstream(own) | {layer}
    intact = {id(variable) for step in detector.graph.steps if step.name in below for variable in weights(step)}
    return tuple(place for place, weighted in enumerate(order) if not any(id(variable) in intact for variable in weighted.variables))


def plan(detector: Detector, order: Sequence[Weighted], layers: Sequence[str], most: int = MOST) -> list[Stage]:
    """Return the stages to run, smaller ones first.

    Args:
        detector: of the cascade.
        order: from `cascade`.
        layers: the mapped layers, each of which gets the stage in which all above it is randomised.
        most: stages of the cascade: the logit's own layer, every layer, and evenly between.

    Returns:
        The stages; none without weights. A mapped layer above which no weights lie is in none of them.
    """
    counts = sorted({round(count) for count in np.linspace(1, len(order), min(most, len(order)))})
    names = {tuple(range(count)): order[count - 1].name for count in counts}
    above: dict[tuple[int, ...], list[str]] = {chosen: [] for chosen in names}
    for layer in layers:
        if chosen := over(detector, order, layer):
            above.setdefault(chosen, []).append(layer)
    return [Stage(names.get(chosen, ""), chosen, tuple(above[chosen])) for chosen in sorted(above, key=lambda chosen: (len(chosen), chosen))]


@contextmanager
def randomised(order: Sequence[Weighted], seed: int = 0) -> Iterator[Callable[[Collection[int]], None]]:
    """Lend the network's weights for randomising; they are put back, bit by bit, whatever happens.

    The variables are assigned, so that a compiled pass sees the new values and nothing is compiled again. Nobody
    else may use the network meanwhile. A layer's new weights depend on the seed and its place alone: they are
    the same in every stage.

    Args:
        order: from `cascade`.
        seed: of the draw.

    Yields:
        A function that takes places in the cascade and makes those layers, and no others, random.

    Reference:
        Adebayo et al., Sanity checks for saliency maps, 2018, arXiv:1810.03292. The paper initialises layers as before
        training; here they are redrawn from their own values (see `redrawn`).
    """
    kept: dict[int, list[np.ndarray]] = {}

    def randomise(chosen: Collection[int]) -> None:
        for place in [place for place in kept if place not in chosen]:
            for variable, values in zip(order[place].variables, kept[place], strict=True):
                variable.assign(values)
            del kept[place]
        for place in chosen:
            if place not in kept:
                kept[place] = [variable.numpy() for variable in order[place].variables]  # all, before the first one is changed
                for variable, values in zip(order[place].variables, redrawn(kept[place], [seed, place]), strict=True):
                    variable.assign(values)

    try:
        yield randomise
    finally:
        try:
            randomise(())
        except BaseException:  # a second Ctrl-C while the weights are being put back
            randomise(())
            raise


def redrawn(tensors: Sequence[np.ndarray], seed: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield other weights of the same kind for one layer.

    A kernel (two axes or more) is drawn from a normal distribution with its own mean and standard deviation. Everything
    else (biases, scales, offsets and statistics of a normalisation) is permuted, vectors of one length alike, so that
    what belongs to one channel stays together. Nothing has to be known of the layer or of its initialiser, which foreign
    layers do not have or do not tell, and activations stay in the range of the trained network: initialisers give zero
    biases and unit statistics, with which a network trained with batch normalisation can die or overflow. What is
    constant stays so.

    Args:
        tensors: of the layer, any shapes and types.
        seed: of the draw.

    Example:
        >>> kernel, bias = redrawn([np.full((2, 2), 3.0, np.float32), np.float32([1, 2])], [0, 0])
        >>> kernel.tolist(), sorted(bias.tolist())
        ([[3.0, 3.0], [3.0, 3.0]], [1.0, 2.0])
    """
    rng = np.random.default_rng(seed)
    orders: dict[int, np.ndarray] = {}
    for values in tensors:
        if values.ndim >= 2 and values.dtype.kind in "fV":  # V: bfloat16
            wide = values.astype(np.float32)
            drawn = rng.standard_normal(values.shape, np.float32)
            yield (drawn * wide.std(dtype=np.float64).astype(np.float32) + wide.mean(dtype=np.float64).astype(np.float32)).astype(values.dtype)
            continue
        if values.size not in orders:
            orders[values.size] = rng.permutation(values.size)
        yield values.ravel()[orders[values.size]].reshape(values.shape)
