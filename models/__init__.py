"""The networks by name: `build(name, size)` gives a Keras model that takes RGB pixels in [0, 255]."""

from models.registry import NAMES, build

__all__ = ["NAMES", "build"]
