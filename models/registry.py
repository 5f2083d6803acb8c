"""Names of networks and where they are built; a network's file is imported when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A network by name.

    Args:
        module: has `build(size, **options)`.
        size: side of the input that its project used, in pixels.
        options: arguments of `build` that make it this network.
    """

    module: str
    size: int
    options: dict[str, Any] = field(default_factory=dict)


NETWORKS = {
    "alexnet18": Entry("models.alexnet18", 1024),
    "lenet": Entry("models.lenet", 64),
    "alexnet": Entry("models.alexnet", 64),
    "alexnet_bn": Entry("models.alexnet", 64, {"batch_norm": True}),
    "inception": Entry("models.inception", 64),
    "vgg16": Entry("models.vgg", 64),
    "vgg16_bn": Entry("models.vgg", 64, {"batch_norm": True}),
    "resnet50": Entry("models.resnet", 64),
}
NAMES = tuple(NETWORKS)


def entry(name: str) -> Entry:
    """Return a network's entry.

    Raises:
        ValueError: an unknown name.
    """
    if name not in NETWORKS:
        raise ValueError(f"network '{name}' is not known; expected one of: {', '.join(NAMES)}")
    return NETWORKS[name]


def build(name: str, size: int | None = None, **options: Any) -> Any:
    """Build a network, untrained.

    Args:
        name: one of `NAMES`.
        size: side of its square input in pixels; default the size of its project.
        options: the network's own arguments.

    Returns:
        A `keras.Model`: float `(N, size, size, 3)`, RGB in [0, 255], to the probability
        of fake `(N, 1)`.

    Raises:
        ValueError: an unknown name, or a size that the network cannot take.
    """
    found = entry(name)
    return import_module(found.module).build(found.size if size is None else size, **(found.options | options))
