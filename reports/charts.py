"""Pictures for the page: maps as small grey images, colour tables, thumbnails, curves."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reports.run import AGAIN
from xai.errors import RunError

# The browser colours the grey maps; the signed ones are centred on their middle stop.
PALETTES = {
    "viridis": ("viridis", False),
    "magma": ("magma", False),
    "cividis": ("cividis", False),
    "jet": ("jet", False),  # on request only: its bright bands show edges that the map does not have
    "purple-orange": ("PuOr_r", True),
    "blue-red": ("RdBu_r", True),
}
STOPS = 17  # odd: a diverging table has a stop exactly at zero


def grey(values: np.ndarray, signed: bool) -> tuple[np.ndarray, float]:
    """Scale a map to 8-bit grey by its own strongest value.

    Args:
        values: float `(height, width)`.
        signed: True: 128 is zero, 255 and 1 are plus and minus the scale.
            False: 0 is zero or less, 255 the scale.

    Returns:
        uint8 `(height, width)` and the scale, in the map's unit; 0 for a blank map.

    Example:
        >>> grey(np.array([[0.0, 1.0, 2.0]]), signed=False)
        (array([[  0, 128, 255]], dtype=uint8), 2.0)
        >>> grey(np.array([[-4.0, 0.0, 2.0]]), signed=True)
        (array([[  1, 128, 192]], dtype=uint8), 4.0)
    """
    scale = float(np.abs(values).max() if signed else values.max(initial=0.0))
    parts = values / scale if scale > 0 else np.zeros_like(values)
    levels = 128 + 127 * parts if signed else 255 * np.clip(parts, 0, 1)
    return np.rint(levels).astype(np.uint8), scale


def lossless(pixels: np.ndarray, transparent: bool = False) -> bytes:
    """Encode grey uint8 `(height, width)` as WebP that keeps every level; `transparent`: nothing is shown at level 0."""
    file = io.BytesIO()
    image = Image.fromarray(pixels).convert("RGB")
    if transparent:
        image.putalpha(Image.fromarray(np.where(pixels > 0, 255, 0).astype(np.uint8)))
    image.save(file, "WEBP", lossless=True, quality=40, method=1)
    return file.getvalue()


def jpeg(image: Image.Image, quality: int = 80) -> bytes:
    """Encode a picture as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def uri(content: bytes, kind: str) -> str:
    """Return bytes as a `data:` address.

    Example:
        >>> uri(b"abc", "image/png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def opened(path: Path) -> Image.Image:
    """Read a picture of the run directory, RGB or grey."""
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path.parent.name}/{path.name} in {path.parent.parent} cannot be read as an image ({type(error).__name__}); {AGAIN}"
        ) from error


def grid(path: Path, width: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    """Return a channel grid at most `width` pixels wide, as WebP, with its (width, height)."""
    image = opened(path)
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=4)
    return file.getvalue(), image.size


def palettes() -> list[dict[str, object]]:
    """Return the colour maps as the tables of an SVG filter.

    Returns:
        Per colour map: `name`, `signed`, `red`, `green`, `blue` and `alpha` (space-separated
        values in [0, 1]) and `stops` (CSS colours). Weak values let the face show through.
    """
    from matplotlib import colormaps

    tables = []
    for name, (source, signed) in PALETTES.items():
        colours = colormaps[source](np.linspace(0, 1, STOPS))[:, :3]  # (STOPS, 3)
        position = np.linspace(-1, 1, STOPS) if signed else np.linspace(0, 1, STOPS)
        alpha = np.minimum(1.0, 0.1 + 1.5 * np.abs(position))
        red, green, blue, opaque = (" ".join(f"{value:.3f}" for value in column) for column in (*colours.T, alpha))
        stops = ["#" + "".join(f"{round(255 * part):02x}" for part in c) for c in colours]
        tables.append({"name": name, "signed": signed, "red": red, "green": green, "blue": blue} | {"alpha": opaque, "stops": stops})
    return tables


def polyline(values: Sequence[float], low: float, high: float, width: int, height: int) -> str:
    """Return a curve as the points of an SVG polyline, `high` at the top.

    Example:
        >>> polyline([0.0, 1.0, 0.5], 0.0, 1.0, 100, 40)
        '0.0,40.0 50.0,0.0 100.0,20.0'
    """
    step = width / max(1, len(values) - 1)
    span = (high - low) or 1.0
    return " ".join(f"{i * step:.1f},{height * (1 - (value - low) / span):.1f}" for i, value in enumerate(values))
