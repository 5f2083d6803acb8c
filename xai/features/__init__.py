"""What a layer's channels look for: pictures made to excite them, and the data's own strongest places.

Example:
    from xai.features import write_features

    write_features(detector, items, "out/")  # pictures, crops and features.json
"""

from __future__ import annotations

from xai.features.write import Found, write_features

__all__ = ["Found", "write_features"]
