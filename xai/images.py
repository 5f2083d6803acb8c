"""Find and decode images: whatever the file holds, upright 8-bit RGB comes out, or one clear reason."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile, UnidentifiedImageError

from xai.errors import DataError, ImageError
from xai.places import File, Place

SUFFIXES = frozenset(""".png .jpg .jpeg .jpe .jfif .webp .bmp .dib .tif .tiff .gif .ppm .pgm .pbm .pnm .jp2 .avif""".split())
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 100_000_000  # 10,000 x 10,000: above, a few kilobytes can ask for gigabytes
MAX_SIDE = 65_000  # what JPEG, and so an overlay, can hold
MIN_SIDE = 8
TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}  # EXIF orientation -> what turns the image upright

# Odd metadata is no matter for a warning; what matters raises. Once for the process, since
# warning filters are not safe to change in decoding threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning)

# A file cut short must be reported, not shown with a grey lower half.
ImageFile.LOAD_TRUNCATED_IMAGES = False


def find(sources: Iterable[str | Path]) -> list[File]:
    """List the images in files, folders, tar archives and HDF5 files, here or behind URLs.

    Files named outright are always taken; in folders only image endings count, searched to any
    depth, hidden files and folders are passed over, and a link to a folder is not followed.
    A folder without images of its own that holds tar archives stands for these.

    Args:
        sources: a path, a `.tar` file or a pattern such as "shard-{000..009}.tar", an HDF5 file
            ("faces.h5", or "faces.h5::name" of a data set in it), or a URL of any of these.

    Returns:
        Paths, or places in archives and behind URLs, sorted within each source, without repeats.

    Raises:
        DataError: a source does not exist, cannot be listed, or nothing was found.
    """
    found: dict[File, None] = {}
    sources = list(sources)
    for source in sources:
        found.update(dict.fromkeys(inside(source)))
    if not found:
        from xai.remote import shown

        where = ", ".join(f"'{shown(str(s)) if '://' in str(s) else s}'" for s in sources)
        raise DataError(f"no images in {where}; expected files ending in .png, .jpg, .webp, …")
    return list(found)


def inside(source: str | Path) -> Iterable[File]:
    """Return the images that one source holds."""
    from xai import archives

    if archives.kind(source) != "path":
        return archives.images_of(source)
    path = Path(source)
    if path.is_dir():
        return sorted(walk(path)) or archives.images_in(archives.tars_in(path))
    if path.exists():
        return [path]
    raise DataError(f"'{path}' does not exist; give an image or a folder of images")


def walk(folder: Path) -> list[Path]:
    """List the image files below a folder, unsorted; unreadable subfolders are errors."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"'{folder}' cannot be listed: {error.strerror}; check its rights") from None
    found = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                found += walk(entry)
        elif entry.suffix.lower() in SUFFIXES:
            found.append(entry)
    return found


def read(path: str | File) -> np.ndarray:
    """Decode an image by its content, whatever its name ends in.

    Rotation marks (EXIF) are applied; 16-bit and float greys are scaled to 8 bits;
    CMYK and palettes are converted; transparency is laid on white; of several
    frames the first is taken.

    Args:
        path: a file, or a place in an archive or behind a URL.

    Returns:
        uint8 `(height, width, 3)`, RGB, in [0, 255].

    Raises:
        ImageError: with the reason, fit for `skipped.csv`.
    """
    if isinstance(path, Place):
        return decoded(path, path.content())
    path = Path(path)
    with reasons():
        if not path.is_file():
            raise ImageError("not a file (a folder, a broken link or gone)")
        if path.stat().st_size == 0:
            raise ImageError("the file is empty (0 bytes)")
        try:
            with Pillow.open(path, formats=FORMATS) as image:
                return upright(image)
        except UnidentifiedImageError:
            with path.open("rb") as file:
                raise ImageError(f"not an image: {guess(file.read(64))}") from None


def decoded(place: Place, stored: bytes | np.ndarray) -> np.ndarray:
    """Decode what `place.content()` gave; returns and raises as `read`."""
    if not isinstance(stored, np.ndarray):
        return decode(stored)
    with reasons():
        return upright(place.home.picture(stored))


def decode(content: bytes, pixels: int = MAX_PIXELS, side: int = MAX_SIDE) -> np.ndarray:
    """Decode an image in memory; returns and raises as `read`.

    Args:
        content: of the file.
        pixels, side: more of them are refused before anything is decoded.
    """
    with reasons():
        if not content:
            raise ImageError("the file is empty (0 bytes)")
        try:
            with Pillow.open(io.BytesIO(content), formats=FORMATS) as image:
                return upright(image, pixels, side)
        except UnidentifiedImageError:
            raise ImageError(f"not an image: {guess(content[:64])}") from None
        except Pillow.DecompressionBombError:
            raise ImageError(f"more than {pixels:,} pixels; make it smaller") from None


@contextmanager
def reasons() -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError` of one line."""
    try:
        yield
    except ImageError:
        raise
    except Pillow.DecompressionBombError:
        raise ImageError(f"more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except MemoryError:
        raise ImageError("too large for this machine's memory; make it smaller") from None
    except Exception as error:  # a decoder raises whatever the broken part makes it raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if "truncated" in reason.lower() or isinstance(error, EOFError):
            raise ImageError("the file is cut short (truncated); copy or download it again") from None
        raise ImageError(f"damaged or unsupported: {reason}") from None


def upright(image: Pillow.Image, most: int = MAX_PIXELS, side: int = MAX_SIDE) -> np.ndarray:
    """Return an opened image as upright uint8 RGB `(height, width, 3)`; of more pixels or a longer side it is refused."""
    width, height = image.size
    if width * height > most:
        raise ImageError(f"{width:,} x {height:,} pixels, more than {most:,}; make it smaller")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed")
    if max(width, height) > side:
        raise ImageError(f"{width:,} x {height:,} pixels; no side may be longer than {side:,}; cut or shrink it")
    image.load()
    turn = TURNS.get(orientation(image))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I") or image.mode == "F":
        return grey(np.asarray(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Pillow.new("RGBA", image.size, "white")
        image = Pillow.alpha_composite(ground, image)
    return np.array(image.convert("RGB"))


def orientation(image: Pillow.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or the EXIF is damaged."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # the pixels are fine; only the note about them is not
        return 1


def grey(values: np.ndarray) -> np.ndarray:
    """Scale one channel of 16 or 32 bits to uint8 RGB.

    16-bit files span [0, 65535]; floats within [0, 1] span that, other values their own range.

    Example:
        >>> grey(np.array([[0, 65535]], np.uint16))[0, :, 0].tolist()
        [0, 255]
    """
    levels = values.astype(np.float64)
    if not np.isfinite(levels).all():
        raise ImageError("its pixels hold NaN or infinite values")
    low, high = levels.min(), levels.max()
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255 and values.dtype.kind == "f":
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scaled = (levels - low) / max(high - low, 1e-12) * 255
    return np.repeat(np.rint(scaled).astype(np.uint8)[..., None], 3, axis=-1)


def guess(head: bytes) -> str:
    """Say in words what a file that is no image seems to be, by its first 64 bytes."""
    known = (
        (b"<!DOCTYPE", "an HTML page"),
        (b"<html", "an HTML page"),
        (b"<svg", "an SVG drawing"),
        (b"<?xml", "an XML file"),
        (b"%PDF", "a PDF"),
        (b"PK", "a zip archive"),
        (b"\x89HDF", "an HDF5 file"),
        (b"version https://git-lfs", "a Git LFS pointer; fetch the real file"),
    )
    for start, name in known:
        if head.lower().startswith(start.lower()):
            return f"it is {name}"
    if head[4:8] == b"ftyp":
        return "it is a video or HEIC file; convert it to PNG or JPEG"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "it is a text file"
    return "its content is of no known image format, or its first bytes are damaged"
