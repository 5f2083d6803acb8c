"""Names of networks and where they are built; a network's file is imported when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A network by name.

    Args:
        module: has `build(size, **options)`.
        size: side of the input that its project used, in pixels.
        options: arguments of `build` that make it this network.
        batch: images a training step, as its project took or two cores and 24 GB can.
    """

    module: str
    size: int
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 64


NETWORKS = {
    "alexnet18": Entry("models.alexnet18", 1024, batch=16),
    "lenet": Entry("models.lenet", 64),
    "alexnet": Entry("models.alexnet", 64),
    "alexnet_bn": Entry("models.alexnet", 64, {"batch_norm": True}),
    "inception": Entry("models.inception", 64),
    "vgg16": Entry("models.vgg", 64),
    "vgg16_bn": Entry("models.vgg", 64, {"batch_norm": True}),
    "resnet50": Entry("models.resnet", 64),
    "cnn": Entry("models.cnn", 300, batch=32),
    "autoencoder": Entry("models.autoencoder", 256, batch=32),
    "encoder-classifier": Entry("models.encoder", 256, batch=32),
}
NAMES = tuple(NETWORKS)


def entry(name: str) -> Entry:
    """Return a network's entry.

    Args:
        name: one of `NAMES`, or `transfer:` and a backbone of `keras.applications`.

    Raises:
        ValueError: an unknown name or backbone.

    Example:
        >>> entry("transfer:Xception").size
        299
    """
    kind, colon, backbone = name.partition(":")
    if kind == "transfer" and colon:
        module = import_module("models.transfer")
        return Entry("models.transfer", module.native(backbone), {"backbone": backbone}, batch=32)
    if name not in NETWORKS:
        raise ValueError(f"network '{name}' is not known; expected one of: {', '.join(NAMES)}, transfer:BACKBONE (such as transfer:MobileNetV2)")
    return NETWORKS[name]


def build(name: str, size: int | None = None, **options: Any) -> Any:
    """Build a network, untrained.

    Args:
        name: one of `NAMES`, or `transfer:` and a backbone of `keras.applications`.
        size: side of its square input in pixels; default the size of its project.
        options: the network's own arguments.

    Returns:
        A `keras.Model`: float `(N, size, size, 3)`, in [0, 255], RGB (a backbone's order
        is in `models.transfer.preprocessing`), to the probability of fake `(N, 1)`;
        "encoder-classifier" to those of real and fake `(N, 2)`, "autoencoder" to the
        image in [0, 1].

    Raises:
        ValueError: an unknown name, a size that the network cannot take, or options that
            do not fit.
    """
    found = entry(name)
    make = import_module(found.module).build
    known = [key for key in signature(make).parameters if key != "size"]
    for key in options:
        if key not in known:
            raise ValueError(f"network '{name}' has no option '{key}'; expected {', '.join(known) or 'none'}")
    return make(found.size if size is None else size, **(found.options | options))
