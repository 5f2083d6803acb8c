"""Small copies of maps, to be looked at: a page of thousands of images cannot read every map in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import h5py
import numpy as np

from xai import store

if TYPE_CHECKING:
    from xai.gather import Gathered

Pair = tuple[str, str]

STEPS = 32767  # levels on each side of zero
FEW, SOME = 60, 1000  # images: up to so many a page is one file, and has room for more detail
TOGETHER = 64  # maps a chunk: they are read many at once


def sides(images: int) -> tuple[int, int]:
    """Return how large the small copies of a run are: the fewer images, the more detail there is room for.

    Args:
        images: in the run.

    Returns:
        The most pixels a side of a picture, and the most cells a side of a map.

    Example:
        >>> sides(20), sides(1000), sides(10_000)
        ((1024, 96), (1024, 48), (256, 32))
    """
    return (1024, 96) if images <= FEW else (1024, 48) if images <= SOME else (256, 32)


def shape(cells: tuple[int, int], most: int) -> tuple[int, int]:
    """Return the height and width of a small copy; what is small already stays.

    Example:
        >>> shape((512, 256), 32), shape((13, 13), 32), shape((1, 400), 32)
        ((32, 16), (13, 13), (1, 32))
    """
    factor = max(1.0, max(cells) / most)
    return max(1, round(cells[0] / factor)), max(1, round(cells[1] / factor))


def shrink(maps: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Average maps over areas and keep them as whole parts of each map's strongest value.

    Args:
        maps: float32 `(N, h, w)`, signed; what is not finite counts as zero.
        most: cells a side.

    Returns:
        int16 `(N, h', w')` in [-32767, 32767], and float32 `(N,)`: the absolute value that 32767 stands for; 0 for a
        map of zeros.

    Example:
        >>> values, scale = shrink(np.array([[[0.0, -2.0], [1.0, 0.0]]], np.float32), 32)
        >>> values.tolist(), scale.tolist()
        ([[[0, -32767], [16384, 0]]], [2.0])
        >>> shrink(np.array([[[1.0, 3.0], [1.0, 3.0]]], np.float32), 1)[1].tolist()
        [2.0]
    """
    maps = maps.astype(np.float32, copy=False)
    if not np.isfinite(maps.sum()):  # the sum is the cheaper look
        maps = np.nan_to_num(maps, posinf=0, neginf=0)
    height, width = shape((maps.shape[1], maps.shape[2]), most)
    if (height, width) != maps.shape[1:]:
        small = [cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA) for values in maps]
        maps = np.array(small, np.float32).reshape(-1, height, width)
    scale = np.maximum(maps.max((1, 2), initial=0.0), -maps.min((1, 2), initial=0.0))  # (N,)
    parts = maps / np.where(scale > 0, scale, 1)[:, None, None]
    return np.rint(parts * STEPS).astype(np.int16), scale.astype(np.float32)


def write(
    file: h5py.File,
    images: Sequence[bytes],
    small: Mapping[Pair, Sequence[tuple[np.ndarray, np.ndarray]]],
    cells: Mapping[Pair, tuple[int, int]],
    most: int,
) -> None:
    """Write the small copies of a shard: `pictures/bytes` one behind the other, `pictures/end`, `small/…` and `scale/…`.

    Args:
        file: the shard.
        images: encoded pictures.
        small: by (layer, method) what `shrink` gave, batch by batch.
        cells: of the maps in full.
        most: cells a side.
    """
    file["pictures/bytes"] = np.frombuffer(b"".join(images), np.uint8)
    file["pictures/end"] = np.cumsum([len(image) for image in images], dtype=np.int64)
    for pair, parts in small.items():
        empty = np.zeros((0, *shape(cells[pair], most)), np.int16)
        file[f"small/{store.home(*pair)}"] = np.concatenate([empty, *(values for values, _ in parts)])
        file[f"scale/{store.home(*pair)}"] = np.concatenate([np.zeros(0, np.float32), *(scale for _, scale in parts)])


def write_pictures(file: h5py.File, name: str, pictures: Sequence[np.ndarray]) -> None:
    """Write encoded pictures, uint8 `(bytes,)` each."""
    stored = file.create_dataset(name, (len(pictures),), h5py.vlen_dtype(np.uint8))
    for place, picture in enumerate(pictures):
        stored[place] = picture


def join(gathered: Gathered, pairs: Sequence[Pair], target: h5py.File) -> None:
    """Write the small maps and the pictures of all shards in the order of the rows: `images/picture`, `small/…`, `scale/…`.

    Where shards were made with different room for detail, all get that of the least.
    """
    whole = len(gathered)
    pictures = target.create_dataset("images/picture", (whole,), h5py.vlen_dtype(np.uint8))
    for start, part in gathered.blocks():
        for place, picture in enumerate(part.pictures()):
            pictures[start + place] = picture
    for pair in pairs:
        cells = min(gathered.shapes(f"small/{store.home(*pair)}"))
        chunks = (max(1, min(TOGETHER, whole)), *cells)
        # Not packed: that took a third of the merge's time to save a tenth.
        small = target.create_dataset(f"small/{store.home(*pair)}", (whole, *cells), np.int16, chunks=chunks)
        small.attrs["steps"] = STEPS
        scales = target.create_dataset(f"scale/{store.home(*pair)}", (whole,), np.float32)
        for start, part in gathered.blocks():
            values, scale = part.small(pair, cells)
            small[start : start + len(values)] = values
            scales[start : start + len(values)] = scale


def coarser(values: np.ndarray, scale: np.ndarray, cells: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return small maps with fewer cells still."""
    if values.shape[1:] == cells:
        return values, scale
    maps = values.astype(np.float32) / STEPS * scale[:, None, None]
    return shrink(maps, max(cells))
