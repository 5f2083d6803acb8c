"""HDF5 files of images: stacks of pixels, or encoded images as bytes."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from PIL import Image as Pillow

from xai import remote
from xai.errors import DataError, ImageError, listed, readable
from xai.images import MAX_PIXELS, MAX_SIDE, MIN_SIDE
from xai.places import Home, Place, unique

KEPT = 4  # files held open in a process
CACHE = 2**26  # bytes of decompressed chunks kept for each: a chunk often holds many images
CHANNELS = (1, 3, 4)
SAMPLE = 16  # images that tell the range of floats
NAMES = "path paths filepath imagepath filename filenames file files name names imagename imagenames".split()
BESIDE = frozenset("mask masks label labels seg segmentation landmarks heatmap heatmaps depth".split())  # stacks of what is no photo
MODEL = ("model_config", "layer_names", "keras_version")
STARTS = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P5", b"P6", b"\0\0\0\x0cjP")
ENDED = (b"\xff\xd8", b"\x89PNG", b"GIF8")  # their last byte is never 0
EXPECTED = "a data set of pixels (N, height, width, 3) or (N, height, width), or of encoded images"

lock = threading.RLock()  # HDF5 itself does one thing at a time
held: OrderedDict[str, tuple[Any, h5py.File, dict[str, h5py.Dataset]]] = OrderedDict()  # a data set's chunks are kept while it is open


def renewed() -> None:
    """Forget the parent's open files and lock in a forked process, where they must not be used."""
    global lock
    lock = threading.RLock()
    held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renewed)


@dataclass(frozen=True, slots=True)
class Stack(Home):
    """A data set of images in an HDF5 file; an image's `start` is its row.

    Args:
        file: a path or a URL.
        data: name of the data set.
        encoded: its rows are the bytes of image files; otherwise pixels.
        fixed: bytes that each of these has, zeros added; 0 where each has its own.
        first: the channels come before height and width.
        top: the value that stands for white: 1, 255 or 65535; 0 where rows are encoded.
    """

    file: str
    data: str
    encoded: bool = False
    fixed: int = 0
    first: bool = False
    top: int = 255

    def __str__(self) -> str:
        return f"{remote.shown(self.file) if remote.is_url(self.file) else readable(self.file)}::{readable(self.data)}"

    @property
    def far(self) -> bool:
        """Whether it is read over a network."""
        return remote.is_url(self.file) and not self.file.startswith("memory:")

    def content(self, place: Place) -> bytes | np.ndarray:
        """Return a row: bytes of an image file, or pixels as they are stored."""
        try:
            with lock:
                row = self.row(place.start)
        except ImageError:
            raise
        except (FileNotFoundError, DataError):
            raise
        except Exception as error:  # a damaged file makes HDF5 raise whatever it raises
            raise ImageError(f"'{self}', row {place.start}, cannot be read ({reason(error)}); copy or download the file again") from None
        return as_bytes(row, self.fixed) if self.encoded else np.asarray(row)

    def row(self, number: int) -> Any:
        """Return a row as it is stored; over a network a second time where it fails."""
        try:
            return dataset(self.file, self.data)[number]
        except Exception:
            forget(self.file)
            if not self.far:
                raise
            remote.read(self.file, "", 0, 1)  # says so if the network is down
            return dataset(self.file, self.data)[number]

    def picture(self, values: np.ndarray) -> Pillow.Image:
        """Return stored pixels as an image of Pillow's, 8 bits a channel.

        Raises:
            ImageError: NaN, or values that do not lie in the range of the others.
        """
        if values.ndim == 3:
            values = np.moveaxis(values, 0, -1) if self.first else values
            values = values[..., 0] if values.shape[-1] == 1 else values
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ImageError("its pixels hold NaN or infinite values")
            low, high = float(values.min()), float(values.max())
            if low < -1e-3 * self.top or high > 1.001 * self.top:
                raise ImageError(f"its pixels go from {low:.3g} to {high:.3g}; the data set's others lie in [0, {self.top}]")
        if values.dtype != np.uint8:
            values = np.rint(np.clip(values.astype(np.float64) * (255 / self.top), 0, 255)).astype(np.uint8)
        return Pillow.fromarray(np.ascontiguousarray(values))


@dataclass(slots=True)
class Contents:
    """What an HDF5 file holds.

    Args:
        stack: its data set of images.
        images: a place per row, named by the file where it has names, else by number.
        columns: the data sets beside it that were asked for, as texts, by name.
    """

    stack: Stack
    images: list[Place]
    columns: dict[str, list[str]] = field(default_factory=dict)


def scanned(file: str, wanted: str = "", columns: Collection[str] = ()) -> Contents:
    """Find the images of an HDF5 file and what stands beside them.

    Args:
        file: a path or a URL.
        wanted: the data set of images; by default the only one there is.
        columns: names (lower case, without "_" and "-") of one value per image that are read too:
            from the images' own group, or one above it.

    Raises:
        DataError: missing, damaged, a Keras model, no images or several data sets of them, or a column of another length.
    """
    with lock:
        forget(file)  # it may have been written anew
        try:
            data = chosen(opened(file), file, wanted)
            stack = described(data, file)
            beside = dict(texts(data, file, columns))
            count = len(data)
            each = -1 if stack.encoded else int(np.prod(data.shape[1:])) * data.dtype.itemsize
        except DataError:
            raise
        except FileNotFoundError:
            raise DataError(f"'{shown(file)}' does not exist; give an HDF5 file") from None
        except Exception as error:  # as above
            raise DataError(f"'{shown(file)}' is damaged or no HDF5 file ({reason(error)}); copy or download it again") from None
        finally:
            forget(file)  # held open only where it is read
    digits = len(str(count - 1))
    numbers = (f"{row:0{digits}}" for row in range(count))
    given: list[str] = next((beside[name] for name in NAMES if name in beside), [])
    names = unique(name.replace("\\", "/") or number for name, number in zip(given, numbers, strict=True)) if given else numbers
    places = [Place(stack, name, row, each) for row, name in enumerate(names)]
    return Contents(stack, places, {name: values for name, values in beside.items() if name in columns})


def chosen(whole: h5py.File, file: str, wanted: str) -> h5py.Dataset:
    """Return the data set of images: the one asked for, or the only one."""
    if wanted:
        data = whole.get(wanted)
        if not isinstance(data, h5py.Dataset):
            raise DataError(f"'{shown(file)}' has no data set '{readable(wanted)}'; found: {listed(inside(whole))}")
        if not is_images(data):
            raise DataError(f"'{shown(file)}::{readable(wanted)}' has shape {data.shape} of {data.dtype}; expected {EXPECTED}")
        return data
    found = [data for data in sets(whole) if is_images(data) and not set(re.split(r"[^a-z]+", data.name.lower())) & BESIDE]
    if len(found) == 1:
        return found[0]
    if any(name in whole.attrs for name in MODEL) or "model_weights" in whole:
        raise DataError(f"'{shown(file)}' is a Keras model, no data set; give a folder, a CSV, .tar or HDF5 file of images as DATA")
    if not found:
        raise DataError(f"'{shown(file)}' holds no images: expected {EXPECTED}; found: {listed(inside(whole), 8) or 'nothing'}")
    names = listed((f"{shown(file)}::{readable(data.name.strip('/'))}" for data in found), 6)
    raise DataError(f"'{shown(file)}' has {len(found)} data sets of images; give one of: {names}")


def sets(whole: h5py.File) -> list[h5py.Dataset]:
    """Return all data sets of a file; links to elsewhere are not followed."""
    found: list[h5py.Dataset] = []
    whole.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found


def inside(whole: h5py.File) -> Iterator[str]:
    """Yield the data sets of a file with their shapes, in words."""
    for data in sets(whole):
        yield f"{readable(data.name.strip('/'))} {data.shape} {data.dtype}"


def is_images(data: h5py.Dataset) -> bool:
    """Whether a data set looks like a stack of pictures or of encoded ones."""
    if data.shape is None or not data.size or (data.id.get_storage_size() == 0 and not data.is_virtual):
        return False
    if data.ndim == 1 and bytelike(data):
        return is_encoded(as_bytes(data[0], 0))
    if data.dtype.kind not in "uf" or (data.dtype not in (np.uint8, np.uint16) and data.dtype.kind == "u") or data.ndim not in (3, 4):
        return False
    sides = sized(data.shape)
    return sides is not None and min(sides) >= MIN_SIDE and max(sides) <= MAX_SIDE and sides[0] * sides[1] <= MAX_PIXELS


def is_encoded(head: bytes) -> bool:
    """Whether bytes begin as an image file does; text never does.

    Example:
        >>> is_encoded(b"\\x89PNG\\r\\n\\x1a\\n"), is_encoded(b"BMW/1.png")
        (True, False)
    """
    binary = any(byte < 9 or byte > 126 for byte in head[:64])
    return binary and (head.startswith(STARTS) or head[4:8] == b"ftyp")


def sized(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return height and width of a stack's pictures; None where it is no stack.

    Example:
        >>> sized((9, 64, 48, 3)), sized((9, 3, 64, 48)), sized((9, 64, 48)), sized((9, 64, 48, 7))
        ((64, 48), (64, 48), (64, 48), None)
    """
    if len(shape) == 3:
        return shape[1], shape[2]
    return shape[1:3] if shape[3] in CHANNELS else shape[2:4] if shape[1] in CHANNELS else None  # type: ignore[return-value]


def bytelike(data: h5py.Dataset) -> bool:
    """Whether the rows of a data set are bytes: variable lists of uint8, strings, or opaque."""
    opaque = data.dtype.kind == "V" and data.dtype.names is None
    return opaque or h5py.check_vlen_dtype(data.dtype) == np.uint8 or h5py.check_string_dtype(data.dtype) is not None


def as_bytes(row: Any, fixed: int) -> bytes:
    """Return a row as bytes, the zeros that fill up a row of fixed length taken away where a format never ends in one.

    Example:
        >>> as_bytes(np.void(b"\\xff\\xd8..\\xff\\xd9\\0\\0"), 8), as_bytes(b"RIFF1", 8)
        (b'\\xff\\xd8..\\xff\\xd9', b'RIFF1\\x00\\x00\\x00')
    """
    content = row.encode("utf-8", "surrogateescape") if isinstance(row, str) else row if isinstance(row, bytes) else np.asarray(row).tobytes()
    if not fixed:
        return content
    return content.rstrip(b"\0") if content.startswith(ENDED) else content.ljust(fixed, b"\0")


def described(data: h5py.Dataset, file: str) -> Stack:
    """Return how the images of a data set are stored; the range of floats is told by some of them."""
    name = data.name.strip("/")
    if data.ndim == 1:
        return Stack(file, name, encoded=True, fixed=data.dtype.itemsize if data.dtype.kind in "SV" else 0, top=0)
    first = data.ndim == 4 and data.shape[3] not in CHANNELS
    if data.dtype.kind == "u":
        return Stack(file, name, first=first, top=65535 if data.dtype == np.uint16 else 255)
    rows = sorted({round(row) for row in np.linspace(0, len(data) - 1, SAMPLE)})
    finite = [values[np.isfinite(values)] for values in (data[row] for row in rows)]
    ends = [(float(values.min()), float(values.max())) for values in finite if values.size] or [(0.0, 0.0)]
    low, high = (float(np.median(end)) for end in zip(*ends, strict=True))  # one image that is spoilt decides nothing
    if low < -0.01 or high > 255.5:
        usual = f"usually holds values from {low:.3g} to {high:.3g}; expected floats in [0, 1] or [0, 255], or uint8"
        raise DataError(f"'{shown(file)}::{name}' {usual}")
    return Stack(file, name, first=first, top=1 if high <= 1.001 else 255)


def texts(data: h5py.Dataset, file: str, columns: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the data sets beside one that have a value for each of its rows: name, and the values as texts."""
    group, own, names, seen = data.parent, True, {*columns, *NAMES}, set()
    while True:
        for key, item in group.items():
            name = re.sub(r"[-_\s]", "", key).lower()
            if name in names and name not in seen and isinstance(item, h5py.Dataset) and item != data and not is_images(item):
                rows = item.shape[0] if item.shape else 0
                flat = item.ndim == 1 or (item.ndim == 2 and item.shape[1] == 1)
                if rows == len(data) and flat:
                    seen.add(name)
                    yield name, [spoken(value) for value in np.asarray(item[()]).reshape(-1).tolist()]
                elif own and name in columns:
                    what = f"has {rows} values" if rows != len(data) else f"has shape {item.shape}"
                    raise DataError(f"'{shown(file)}': '{readable(item.name)}' {what} for {len(data)} images; one value per image is expected")
        if group.name == "/":
            return
        group, own = group.parent, False


def spoken(value: Any) -> str:
    """Return a value as a CSV file would hold it."""
    return value.decode("utf-8", "surrogateescape").strip() if isinstance(value, bytes) else str(value).strip()


def opened(file: str) -> h5py.File:
    """Return an open file, one of a few that are kept; the caller holds the lock."""
    stamp: Any = None if remote.is_url(file) else (lambda about: (about.st_mtime_ns, about.st_size, about.st_ino))(os.stat(file))
    if file in held and held[file][0] == stamp:
        held.move_to_end(file)
        return held[file][1]
    forget(file)
    source = remote.opened(file) if remote.is_url(file) else file
    held[file] = stamp, h5py.File(source, "r", rdcc_nbytes=CACHE), {}
    while len(held) > KEPT:
        held.popitem(last=False)[1][1].close()
    return held[file][1]


def dataset(file: str, name: str) -> h5py.Dataset:
    """Return a data set of a file that is held open; the caller holds the lock."""
    whole = opened(file)
    known = held[file][2]
    if name not in known:
        known[name] = whole[name]
    return known[name]


def forget(file: str) -> None:
    """Close a file that is held open."""
    if file in held:
        held.pop(file)[1].close()


def shown(file: str) -> str:
    """Return a file's name as it is shown."""
    return remote.shown(file) if remote.is_url(file) else readable(file)


def reason(error: Exception) -> str:
    """Return an error of HDF5's on one short line."""
    return re.sub(r"\s+", " ", str(error)).strip()[:120] or type(error).__name__
