"""Names of networks and where they are built; a network's file is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

FILES = {"alexnet18": "models.alexnet18"}
NAMES = tuple(FILES)


def build(name: str, size: int, **options: Any) -> Any:
    """Build a network, untrained.

    Args:
        name: one of `NAMES`.
        size: side of its square input in pixels.
        options: the network's own arguments.

    Returns:
        A `keras.Model`: float `(N, size, size, 3)`, RGB in [0, 255], to the probability
        of fake `(N, 1)`.

    Raises:
        ValueError: an unknown name, or a size that the network cannot take.
    """
    if name not in FILES:
        raise ValueError(f"network '{name}' is not known; expected one of: {', '.join(NAMES)}")
    return import_module(FILES[name]).build(size, **options)
