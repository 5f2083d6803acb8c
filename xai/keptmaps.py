"""Maps kept in full: packed one by one, spooled to a plain file, and laid into HDF5 as they are."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import h5py
import numpy as np

from xai import store
from xai.maps.fuse import FUSED
from xai.maps.placement import Axis, Placement

Pair = tuple[str, str]

LEVEL = 1  # of gzip: the higher ones take several times as long for a few percent
HIGHEST = 32768.0  # what the strongest value of a map becomes, at most, where it is kept in 16 bits
FEW, MANY = 1_000, 10**9


def chosen(labels: Sequence[str], keep: str, seed: int) -> np.ndarray:
    """Say per image whether its maps are kept in full, bool `(N,)`.

    Args:
        labels: of the images.
        keep: "all", "none", or "sample": up to 1,000 images, drawn at random, half of each class.
        seed: of the draw.

    Example:
        >>> chosen(["real", "fake"], "sample", 0).tolist(), chosen(["real"], "none", 0).tolist()
        ([True, True], [False])
        >>> chosen(["real", "fake"] * 1000, "sample", 0).sum()
        np.int64(1000)
    """
    count = len(labels)
    if keep == "none" or (keep == "sample" and count > FEW):
        kept = np.zeros(count, bool)
        if keep == "sample":
            named = np.array(labels, dtype=str)
            order = np.random.default_rng([seed, 9]).permutation(count)
            classes = [order[named[order] == name] for name in dict.fromkeys(labels)]
            quota = FEW // len(classes)
            for own in classes:
                kept[own[:quota]] = True
            rest = order[~kept[order]]  # where a class is small, the others fill up
            kept[rest[: FEW - int(kept.sum())]] = True
        return kept
    return np.ones(count, bool)


def halved(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a map in 16 bits, and what it must be multiplied with: a power of two, so that no bit is lost but those that do not fit.

    Example:
        >>> half, scale = halved(np.array([[3e-9, -1e-9]], np.float32))
        >>> bool(np.allclose(half.astype(np.float32) * scale, [[3e-9, -1e-9]], rtol=1e-3))
        True
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not (0 < largest < np.inf):
        return values.astype(np.float16), 1.0
    scale = 2.0 ** np.ceil(np.log2(largest / HIGHEST))
    return (values / scale).astype(np.float16), float(scale)


def packed(values: np.ndarray) -> bytes:
    """Return a map as HDF5's filters shuffle and gzip write a chunk of it; done here, it leaves other threads free to work."""
    apart = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize).T
    return zlib.compress(np.ascontiguousarray(apart).tobytes(), LEVEL)


class Spool:
    """Writes packed maps one behind the other into a plain file.

    Args:
        file: open for writing.
        pairs: (layer, method) of the maps.
        dtype: "float32" or "float16".
    """

    def __init__(self, file: BinaryIO, pairs: Sequence[Pair], dtype: str) -> None:
        self.file, self.dtype, self.size = file, np.dtype(dtype), 0
        self.rows: list[int] = []
        self.places: dict[Pair, list[tuple[int, int]]] = {pair: [] for pair in pairs}
        self.scales: dict[Pair, list[float]] = {pair: [] for pair in pairs}

    def add(self, row: int, maps: Mapping[Pair, np.ndarray]) -> None:
        """Write the maps `(h, w)` of one image, the shard's so many-th."""
        self.rows.append(row)
        for pair, values in maps.items():
            stored, scale = halved(values) if self.dtype == np.float16 else (values.astype(np.float32, copy=False), 1.0)
            data = packed(stored)
            self.file.write(data)
            self.places[pair].append((self.size, len(data)))
            self.scales[pair].append(scale)
            self.size += len(data)

    def write(self, shard: h5py.File) -> None:
        """Write into a shard where everything lies: `kept/row`, `kept/place/…`, `kept/scale/…`."""
        shard["kept/row"] = np.array(self.rows, np.int64)
        shard["kept"].attrs["size"] = self.size
        for pair in self.places:
            shard[f"kept/place/{store.home(*pair)}"] = np.array(self.places[pair], np.int64).reshape(-1, 2)
            shard[f"kept/scale/{store.home(*pair)}"] = np.array(self.scales[pair], np.float32)


def create(file: h5py.File, pair: Pair, placement: Placement, dtype: str = "float32") -> h5py.Dataset:
    """Create an empty, growing set of maps, one compressed chunk a map: `maps/<layer>/<method>` `(0, h, w)`."""
    h, w = placement.cells
    data = file.create_dataset(
        f"maps/{store.home(*pair)}",
        (0, h, w),
        dtype,
        maxshape=(None, h, w),
        chunks=(1, h, w),
        compression="gzip",
        compression_opts=LEVEL,
        shuffle=True,
    )
    placed(data, placement)
    return data


def name_dimensions(file: h5py.File, where: Mapping[str, Placement], rows: np.ndarray) -> None:
    """Name the dimensions of all maps, so that xarray and other readers of netCDF know what they read.

    Writes `maps/image` `(K,)`, the row of each map's image in `images.csv`, and per layer `maps/<layer>/y` and `x`:
    the centres of its cells, in pixels of the network's input.

    Args:
        file: with its maps in it.
        where: placement by layer.
        rows: of the images whose maps there are, int64 `(K,)`.
    """
    maps = file["maps"]
    maps["image"] = rows
    maps["image"].make_scale("image")
    for layer, placement in where.items():
        group = maps.get(store.encode(layer))
        if group is None:
            continue
        stored = list(group.values())
        for axis, name in enumerate(("y", "x")):
            group[name] = placement.offset[axis] + placement.stride[axis] * np.arange(placement.cells[axis], dtype=np.float64)
            group[name].make_scale(name)
            group[name].attrs["units"] = "pixels of the network's input"
        for data in stored:
            for dimension, scale in zip(data.dims, (maps["image"], group["y"], group["x"]), strict=True):
                dimension.label = scale.name.rsplit("/", 1)[1]
                dimension.attach_scale(scale)


def placed(data: h5py.Dataset, placement: Placement) -> None:
    """Write where the cells lie beside the maps."""
    data.attrs["stride"], data.attrs["offset"] = placement.stride, placement.offset
    data.attrs["input"] = placement.image


def tell(file: h5py.File, where: Mapping[str, Placement], stretched: bool) -> None:
    """Write beside the maps how many pixels a cell sees, and whether their overlays are drawn stretched instead of placed."""
    for layer, placement in where.items():
        for data in file["maps"].get(store.encode(layer), {}).values():
            if data.ndim == 3:
                data.attrs["stretched"] = int(stretched)  # netCDF has no booleans
                if layer != FUSED:  # its cells see what those of several layers see
                    data.attrs["receptive_field"] = placement.receptive_field


def stored_placement(data: h5py.Dataset) -> Placement:
    """Return where the cells of stored maps lie."""
    stride, offset, image = ([float(end) for end in data.attrs[name]] for name in ("stride", "offset", "input"))
    height, width = data.shape[-2:]
    return Placement(Axis(stride[0], offset[0]), Axis(stride[1], offset[1]), (height, width), (int(image[0]), int(image[1])))


def append_maps(file: h5py.File, maps: Mapping[Pair, np.ndarray]) -> None:
    """Append a batch of maps `(n, h, w)` each."""
    for pair, values in maps.items():
        data = file[f"maps/{store.home(*pair)}"]
        start = len(data)
        data.resize(start + len(values), 0)
        for place, one in enumerate(values):
            data.id.write_direct_chunk((start + place, 0, 0), packed(one.astype(data.dtype, copy=False)))
