"""Where a detector of generated faces looks, on any Keras model.

Example:
    import xai

    detector = xai.load("runs/alexnet18/model.keras")
    result = xai.explain(detector, ["a.png", "b.png"], methods=["hirescam"], layers="conv")
    result.maps["conv2d_4", "hirescam"]  # (N, h, w) float32, signed
    result.save("out/")
"""

from xai.detector import Detector, load, wrap
from xai.errors import WhyfakeError
from xai.explain import Explanation, explain, write_overlays
from xai.images import find, read
from xai.version import VERSION as __version__

__all__ = [
    "Detector",
    "Explanation",
    "WhyfakeError",
    "__version__",
    "explain",
    "find",
    "load",
    "read",
    "wrap",
    "write_overlays",
]
