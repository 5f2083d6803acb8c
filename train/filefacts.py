"""What a file says about itself before a pixel of it is decoded: size, format, compression, metadata."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from xai.errors import ImageError
from xai.images import FORMATS, decoded, orientation, read
from xai.places import File, Place, readers
from xai.progress import bar

SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
# How the segments of a JPEG start and what PNG's chunks and Pillow's other readers call them -> the name shown.
SEGMENTS = {b"JFIF": "JFIF", b"Adobe": "Adobe", b"Exif": "Exif", b"ICC_PROFILE": "ICC", b"http://ns.adobe.com/x": "XMP"}
SEGMENTS |= {b"Photoshop": "Photoshop", b"MPF": "MPF", b"JP": "C2PA"}
CHUNKS = {b"eXIf": "Exif", b"iCCP": "ICC", b"sRGB": "sRGB", b"gAMA": "gamma", b"pHYs": "density", b"tIME": "time", b"caBX": "C2PA"}
INFO = {"exif": "Exif", "icc_profile": "ICC", "xmp": "XMP", "comment": "comment"}
PIXELS = "pixels"  # the format of an image that is stored as its bare numbers
BASICS = ("JFIF", "Adobe")  # part of how JPEG is written, not metadata about the picture


@dataclass(frozen=True, slots=True)
class Facts:
    """What one image file says about itself.

    Args:
        bytes: of the file; of bare pixels, of their numbers.
        width, height: in pixels, as stored (before any rotation mark).
        mode: Pillow's name of the pixel format: RGB, L, P, CMYK, …
        format: of the content, whatever the name ends in: JPEG, PNG, …; "pixels" where there never was a file to be seen.
        suffix: the name's ending in lower case.
        suffix_fits: whether the ending belongs to the content.
        quality: of a JPEG, 1 to 100, where its tables are the standard ones up to rounding, None otherwise.
        step: mean quantisation step of a JPEG's brightness table, 1 and up; None otherwise.
        subsampling: of a JPEG's colours: 4:4:4, 4:2:2, 4:2:0, or "" (other formats, greys, rare kinds).
        progressive: a JPEG in several passes or an interlaced PNG.
        metadata: names of what stands beside the pixels, sorted: Exif, ICC, comment, text:<keyword>, …
        metadata_bytes: their sum.
        orientation: EXIF rotation mark, 1 is upright.
    """

    bytes: int
    width: int
    height: int
    mode: str
    format: str
    suffix: str
    suffix_fits: bool
    quality: int | None = None
    step: float | None = None
    subsampling: str = ""
    progressive: bool = False
    metadata: tuple[str, ...] = ()
    metadata_bytes: int = 0
    orientation: int = 1

    @property
    def exif(self) -> bool:
        """Whether there is an EXIF block."""
        return "Exif" in self.metadata

    @property
    def icc(self) -> bool:
        """Whether there is a colour profile."""
        return "ICC" in self.metadata

    @property
    def comments(self) -> int:
        """How many comments and text chunks there are."""
        return sum(name == "comment" or name.startswith("text:") for name in self.metadata)

    @property
    def bits_per_pixel(self) -> float:
        """File size for each pixel, in bits."""
        return 8 * self.bytes / (self.width * self.height)


def survey(paths: Sequence[File], quiet: bool = True) -> tuple[list[Facts | None], dict[int, str]]:
    """Read the facts of many files.

    Args:
        paths: the files, or places in archives and behind URLs.
        quiet: no progress bar.

    Returns:
        A record per path, None where the header cannot be read, and index -> reason of those.
    """

    def one(path: File) -> Facts | str:
        try:
            return facts(path)
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(readers(paths)) as pool, bar(len(paths), "reading headers", quiet=quiet) as progress:
        found: list[Facts | str] = []
        for result in pool.map(one, paths):
            found.append(result)
            progress.update()
    return [None if isinstance(f, str) else f for f in found], {i: f for i, f in enumerate(found) if isinstance(f, str)}


def facts(path: str | File) -> Facts:
    """Read a file's facts from its header; the pixels stay undecoded.

    An image in an archive is read whole. One that is stored as bare pixels has only its size and
    mode: how it was once saved cannot be told.

    Args:
        path: the file, or a place in an archive or behind a URL.

    Returns:
        The facts. A file whose header is whole but whose pixels are not has facts too.

    Raises:
        ImageError: the reason that `xai.images.read` gives.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (16, 8)).save(Path(folder) / "a.png", "JPEG", quality=83)
        ...     found = facts(Path(folder) / "a.png")
        >>> found.format, found.suffix_fits, found.quality, found.subsampling, (found.width, found.height)
        ('JPEG', False, 83, '4:2:0', (16, 8))
    """
    if isinstance(path, Place):
        stored = path.content()
        if isinstance(stored, np.ndarray):
            return bare(path, stored)
        try:
            with Image.open(io.BytesIO(stored), formats=FORMATS) as image:
                found = gathered(io.BytesIO(stored), len(stored), path.suffix.lower(), image)
                return found if found.suffix else replace(found, suffix_fits=True)  # rows of HDF5 files are called by numbers
        except Exception:  # as below
            decoded(path, stored)
            raise ImageError("damaged or unsupported: its header cannot be read") from None
    path = Path(path)
    if not path.is_file():  # a pipe would be waited for
        read(path)
    try:
        with Image.open(path, formats=FORMATS) as image, path.open("rb") as file:
            return gathered(file, os.stat(path).st_size, path.suffix.lower(), image)
    except Exception:  # a header raises whatever its broken part makes it raise; the reader says it in words
        read(path)
        raise ImageError("damaged or unsupported: its header cannot be read") from None


def bare(place: Place, stored: np.ndarray) -> Facts:
    """Return the facts of an image that is stored as pixels."""
    image = place.home.picture(stored)
    return Facts(stored.nbytes, image.width, image.height, image.mode, PIXELS, place.suffix.lower(), suffix_fits=True)


def gathered(file: BinaryIO, size: int, suffix: str, image: Image.Image) -> Facts:
    """Return the facts of an opened image, its file given once more, with its size and ending."""
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG that carries a second picture
    parts = list(extras(file, image))
    quality, step, subsampling = None, None, ""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        quality, step = compression(tuple(tuple(image.quantization[key]) for key in sorted(image.quantization)))
        subsampling = SUBSAMPLING.get(JpegImagePlugin.get_sampling(image), "") if image.layers == 3 else ""
    names = {name for name, _ in parts}
    return Facts(
        bytes=size,
        width=image.width,
        height=image.height,
        mode=image.mode,
        format=kind,
        suffix=suffix,
        suffix_fits=fits(suffix, kind),
        quality=quality,
        step=step,
        subsampling=subsampling,
        progressive=bool(image.info.get("progressive") or image.info.get("interlace")),
        metadata=tuple(sorted(names)),
        metadata_bytes=sum(size for name, size in parts if name not in BASICS),
        # Without an Exif block Pillow would decode a whole PNG to look for one.
        orientation=orientation(image) if "Exif" in names or kind == "TIFF" else 1,
    )


def extras(file: BinaryIO, image: Image.Image) -> Iterator[tuple[str, int]]:
    """Yield name and bytes of everything in a file that is neither pixels nor needed to decode them."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        for marker, content in image.applist:
            known = (name for start, name in SEGMENTS.items() if content.startswith(start))
            yield ("comment" if marker == "COM" else next(known, marker)), len(content)
    elif isinstance(image, PngImagePlugin.PngImageFile):
        yield from chunks(file)
    else:
        for key, name in INFO.items():
            if key in image.info:
                yield name, len(image.info[key])


def chunks(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Yield name and bytes of a PNG's metadata, those behind the pixels too; pixels are stepped over."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            start = file.read(min(size, 80))
            keyword = start.split(b"\0")[0].decode("latin-1")
            yield ("XMP" if keyword.startswith("XML:com.adobe") else f"text:{keyword}"), size
            file.seek(size - len(start) + 4, 1)
            continue
        if kind in CHUNKS:
            yield CHUNKS[kind], size
        file.seek(size + 4, 1)


def fits(suffix: str, kind: str) -> bool:
    """Say whether a name's ending belongs to a format."""
    known = endings().get(suffix)
    return known == kind or {known, kind} == {"BMP", "DIB"}


@cache
def endings() -> dict[str, str]:
    """Return Pillow's table of endings: ".jpg" -> "JPEG"."""
    return Image.registered_extensions()


@cache
def compression(tables: tuple[tuple[int, ...], ...]) -> tuple[int | None, float | None]:
    """Return a JPEG's quality and its mean brightness step.

    Encoders round differently, so a step may be one off the standard one.

    Args:
        tables: quantisation tables of 64 steps each, the first for brightness, the others for colour.

    Returns:
        The quality in [1, 100] whose standard tables fit best, None where none fits
        (Photoshop's and many cameras' own tables), and the mean of the first table.

    Reference: ITU-T T.81, annex K, scaled as libjpeg does.

    Example:
        >>> compression((tuple(standard()[0][74].tolist()),))
        (75, 29.03125)
        >>> compression(((7,) * 64,))
        (None, 7.0)
    """
    if not tables:
        return None, None
    off = np.zeros(100, np.int64)  # (quality - 1,): how far the tables are from the standard ones
    for place, table in enumerate(tables):
        gaps = np.abs(standard() - np.asarray(table))  # (2, 100, 64)
        gaps = gaps[0] if place == 0 else gaps[np.argmin(gaps.sum(2), axis=0), np.arange(100)]  # colours may use the brightness table too
        off += np.where((gaps > 1).any(1), 1_000_000, gaps.sum(1))
    best = int(off.argmin())
    return best + 1 if off[best] < 1_000_000 else None, sum(tables[0]) / len(tables[0])


@cache
def standard() -> np.ndarray:
    """Return libjpeg's standard tables for brightness and colour, int64 `(2, 100, 64)`: quality q stands at q - 1."""
    tables = np.zeros((2, 100, 64), np.int64)
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            tables[:, quality - 1] = image.quantization[0], image.quantization[1]
    return tables


def amount(count: float) -> str:
    """Return a number of bytes as a reader meets it, in steps of 1,000.

    Example:
        >>> amount(560), amount(5_614), amount(106_000), amount(2_340_000)
        ('560 B', '5.6 KB', '106 KB', '2.3 MB')
    """
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 99.95 or unit == "B" else f"{value:.1f} {unit}"
