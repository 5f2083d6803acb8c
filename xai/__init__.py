"""Where a detector of generated faces looks, on any Keras model.

Example:
    import xai

    detector = xai.load("runs/alexnet18/model.keras")
    result = xai.explain(detector, ["a.png", "b.png"], methods=["hirescam"], layers="conv")
    result.maps["conv2d_4", "hirescam"]  # (N, h, w) float32, signed
    result.save("out/")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xai.errors import WhyfakeError
from xai.version import VERSION as __version__

if TYPE_CHECKING:
    from xai.blackboxes import BlackBox, blackbox
    from xai.detector import Detector, load, wrap
    from xai.explanation import Explanation, explain
    from xai.features import write_features
    from xai.images import find, read
    from xai.overlays import write_overlays

__all__ = [
    "BlackBox",
    "Detector",
    "Explanation",
    "WhyfakeError",
    "__version__",
    "blackbox",
    "explain",
    "find",
    "load",
    "read",
    "wrap",
    "write_features",
    "write_overlays",
]

# Imported when first used: `whyfake --help` must not wait for NumPy and OpenCV.
HOMES = {
    "BlackBox": "xai.blackboxes",
    "blackbox": "xai.blackboxes",
    "Detector": "xai.detector",
    "load": "xai.detector",
    "wrap": "xai.detector",
    "Explanation": "xai.explanation",
    "explain": "xai.explanation",
    "write_features": "xai.features",
    "write_overlays": "xai.overlays",
    "find": "xai.images",
    "read": "xai.images",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in HOMES:
        raise AttributeError(f"module 'xai' has no attribute '{name}'")
    return getattr(import_module(HOMES[name]), name)
