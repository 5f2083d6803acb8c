"""Where a layer's unit ends: behind the normalisation, the sum or joining, and the activation that follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xai.graph import Graph, Step

if TYPE_CHECKING:
    from xai.detector import Layer

IDLE = frozenset(["Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Identity"])  # leave values as they are


def unit_ends(graph: Graph, layers: Mapping[str, Layer], logit: Step) -> dict[str, str]:
    """Find what the rest of the network reads of each layer.

    A convolution's own output is one branch of a residual block, one slice of a dense one, and
    lacks the activation where a normalisation comes in between; Grad-CAM and its kin are meant
    for what the following layers read. So steps are followed as long as each is the only
    reader, keeps the grid, and neither convolves nor pools.

    Args:
        graph: the flat graph.
        layers: by name, those that can be mapped.
        logit: the step that computes the logit; what it does not depend on is no reader.

    Returns:
        From each layer's name to that of its unit's last step, often its own.
    """
    reached = graph.upstream(logit) | {logit.name}
    steps = [step for step in graph.steps if step.name in reached]
    readers: dict[int, list[Step]] = {}
    for step in steps:
        for slot in set(step.inputs):
            readers.setdefault(slot, []).append(step)
    ends: dict[str, str] = {}
    for step in reversed(steps):  # what comes later is settled first
        if step.name in layers:
            after = readers.get(step.outputs[0], [])
            beyond = ends.get(after[0].name, "") if len(after) == 1 and continues(layers[step.name], layers.get(after[0].name)) else ""
            ends[step.name] = beyond or ("" if step.kind in IDLE else step.name)
    return {name: ends.get(name) or name for name in layers}


def continues(layer: Layer, after: Layer | None) -> bool:
    """Say whether a layer works on another's cells one by one, or joins them with others of the same places."""
    if after is None or "Conv" in after.kind or "Pool" in after.kind:
        return False
    here, there = layer.placement, after.placement
    return (here.cells, here.stride, here.offset) == (there.cells, there.stride, there.offset)
