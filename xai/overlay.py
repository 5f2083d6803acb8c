"""Maps as pictures: placed, coloured, blended over the image, or as a labelled grid."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from xai.maps.placement import Placement

SEQUENTIAL, DIVERGING = "viridis", "PuOr_r"


@lru_cache(maxsize=8)
def table(name: str) -> np.ndarray:
    """Return a Matplotlib colour map as uint8 `(256, 3)`, RGB."""
    import matplotlib

    colours = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return np.rint(colours * 255).astype(np.uint8)


def to_levels(values: np.ndarray, limit: float, signed: bool) -> np.ndarray:
    """Scale map values to colour levels.

    Args:
        values: float, any shape.
        limit: the value (its magnitude when signed) that gets the last colour.
        signed: zero in the middle of the colour map instead of at its start.

    Returns:
        uint8, same shape, in [0, 255].

    Example:
        >>> to_levels(np.array([-2.0, 0.0, 2.0]), 2.0, signed=True).tolist()
        [0, 128, 255]
    """
    values = np.asarray(values, np.float32)
    if limit <= 0:
        return np.full(values.shape, 128 if signed else 0, np.uint8)
    if not signed:
        positive = cv2.threshold(values, 0, 0, cv2.THRESH_TOZERO)[1]
        return cv2.convertScaleAbs(positive, alpha=255 / limit).reshape(values.shape)
    return cv2.convertScaleAbs(np.maximum(values, -limit), alpha=127.5 / limit, beta=127.5).reshape(values.shape)


def colour(values: np.ndarray, limit: float | None = None, signed: bool = False, name: str = "") -> np.ndarray:
    """Colour a map.

    Args:
        values: float `(h, w)`.
        limit: value of the last colour; default the map's largest (magnitude when signed).
        signed: use a diverging colour map with zero in its middle.
        name: a Matplotlib colour map instead of the default, which is safe for the colour-blind.

    Returns:
        uint8 `(h, w, 3)`, RGB.
    """
    if limit is None:
        limit = float(np.abs(values).max() if signed else values.max()) if values.size else 0.0
    return table(name or (DIVERGING if signed else SEQUENTIAL))[to_levels(values, limit, signed)]


def overlay(
    image: np.ndarray,
    values: np.ndarray,
    placement: Placement,
    *,
    signed: bool = False,
    opacity: float = 0.6,
    name: str = "",
) -> np.ndarray:
    """Lay a map over its image, each cell at its true place, at the image's own resolution.

    The stronger the map, the more of its colour shows; where it is zero, or the layer has
    no cell, the image is untouched.

    Args:
        image: uint8 `(H, W, 3)`, RGB.
        values: float `(h, w)`, raw.
        placement: of the map's layer.
        signed: show negative values too (diverging colours); otherwise only positive ones.
        opacity: of the strongest value, in [0, 1].
        name: a Matplotlib colour map instead of the default.

    Returns:
        uint8 `(H, W, 3)`, RGB.
    """
    placed = spread(values, placement, (image.shape[0], image.shape[1]))
    limit = float(np.abs(placed).max() if signed else placed.max(initial=0))
    if limit <= 0:
        return image.copy()
    levels = to_levels(placed, limit, signed)
    paint, fade = blending(name or (DIVERGING if signed else SEQUENTIAL), signed, opacity)
    stays = cv2.merge([cv2.LUT(levels, fade)] * 3)
    return cv2.add(cv2.multiply(image, stays, scale=1 / 255), cv2.applyColorMap(levels, paint))


def spread(values: np.ndarray, placement: Placement, size: tuple[int, int]) -> np.ndarray:
    """Return `placement.show(values, size)`, float32 `(height, width)`, with the layer's border rounded to whole pixels.

    OpenCV's resizing interpolates between the middles of cells and repeats the outer ones
    up to their own border, which is what `show` does, several times faster.
    """
    spans = [span(placement, axis, size[axis]) for axis in (0, 1)]
    if any(end - start < cells for (start, end), cells in zip(spans, placement.cells, strict=True)):
        return placement.show(values, size)  # several cells a pixel have to be averaged
    (top, bottom), (left, right) = spans
    drawn = cv2.resize(values.astype(np.float32, copy=False), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    if (top, left, bottom, right) == (0, 0, *size):
        return drawn
    canvas = np.zeros(size, np.float32)
    inside = drawn[max(-top, 0) : size[0] - top, max(-left, 0) : size[1] - left]
    canvas[max(top, 0) : max(top, 0) + inside.shape[0], max(left, 0) : max(left, 0) + inside.shape[1]] = inside
    return canvas


def span(placement: Placement, axis: int, size: int) -> tuple[int, int]:
    """Return where a layer's cells begin and end on an axis of a canvas, in whole pixels; may lie outside it."""
    scale, stride = size / placement.image[axis], placement.stride[axis]
    start = placement.offset[axis] - stride / 2
    return round(start * scale), round((start + placement.cells[axis] * stride) * scale)


@lru_cache(maxsize=16)
def blending(name: str, signed: bool, opacity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return, by colour level, what is added to a pixel, uint8 `(256, 1, 3)`, and how much of it stays, of 255, uint8 `(256,)`."""
    levels = np.arange(256)
    strength = (np.abs(levels - 128) / 127 if signed else levels / 255).clip(0, 1)[:, None] * opacity  # (256, 1)
    paint, fade = np.rint(table(name) * strength), np.rint(255 * (1 - strength[:, 0]))
    return paint.astype(np.uint8)[:, None], fade.astype(np.uint8)


def channel_grid(activations: np.ndarray, placement: Placement, title: str, tile: int = 96, most: int = 256) -> np.ndarray:
    """Draw every channel of a layer as one labelled grid.

    Each tile shows one channel placed on the image, on its own scale from 0 (or its
    minimum) to its maximum; the label gives the channel's number and that maximum. A
    channel that is nowhere positive is marked 'dead'.

    Args:
        activations: float `(h, w, C)` of one image.
        placement: of the layer.
        title: the line above the grid.
        tile: side of a tile in pixels.
        most: channels drawn at most.

    Returns:
        uint8 `(height, width, 3)`, RGB.
    """
    channels = activations.shape[-1]
    shown = min(channels, most)
    columns = int(np.ceil(np.sqrt(shown * 1.6)))
    rows = -(-shown // columns)
    label, gap, top = 14, 4, 26
    sheet = np.full((top + rows * (tile + label + gap), columns * (tile + gap) + gap, 3), 255, np.uint8)
    more = "" if shown == channels else f" (first {shown})"
    write(sheet, f"{title}, {channels} channels{more}", 5, 18, 0.45)
    placed = placement.show(np.moveaxis(activations[..., :shown], -1, 0), (tile, tile))  # (C, tile, tile)
    for index in range(shown):
        y = top + (index // columns) * (tile + label + gap)
        x = gap + (index % columns) * (tile + gap)
        peak = float(activations[..., index].max())
        low = min(0.0, float(activations[..., index].min()))
        sheet[y : y + tile, x : x + tile] = colour(placed[index] - low, max(peak, 0.0) - low)
        write(sheet, f"{index}: {f'{peak:.3g}' if peak > 0 else 'dead'}", x, y + tile + 11, 0.34)
    return sheet


def write(sheet: np.ndarray, text: str, x: int, y: int, size: float) -> None:
    """Write one line of plain text on a sheet, in place; characters outside ASCII become '?'."""
    safe = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, safe, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (40, 40, 40), 1, cv2.LINE_AA)


def thumbnail(image: np.ndarray, longest: int) -> np.ndarray:
    """Return the image with its longest side at most `longest` pixels, uint8 `(h, w, 3)`."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def encode(image: np.ndarray, ending: str = ".jpg", quality: int = 90) -> bytes:
    """Encode RGB pixels as a file's bytes.

    Args:
        image: uint8 `(h, w, 3)`, RGB.
        ending: ".jpg" or ".png".
        quality: of JPEG, in [1, 100].

    Raises:
        ValueError: another ending.
    """
    if ending not in (".jpg", ".png"):
        raise ValueError(f"pictures are written as .jpg or .png, not '{ending}'")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if ending == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    _, data = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()
