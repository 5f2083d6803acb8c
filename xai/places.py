"""Where an image is when it is no file of its own: in a tar archive, in an HDF5 file, behind a URL.

An image is a `Path` or a `Place`. Both have `name`, `suffix`, `as_posix()` and `read_bytes()`; a
place can be hashed, compared and pickled, holds no open file, and takes about as much memory as a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from xai.errors import DataError, ImageError, WhyfakeError

LARGEST = 2**30  # bytes of one image: more is read into memory for nobody
FAR = 16  # images fetched at once from behind a URL, where waiting is most of the time


class Unreachable(DataError):
    """The network is down: one image after the other cannot be read, so that to go on would only list all as unreadable."""


class Home:
    """What holds images; each kind says how it reads one."""

    __slots__ = ()

    def content(self, place: Place) -> bytes | np.ndarray:
        """Return what is stored of an image: the bytes of a file, or pixels as they are."""
        raise NotImplementedError

    def picture(self, values: np.ndarray) -> Any:
        """Return stored pixels as an image of Pillow's; for homes that store pixels."""
        raise NotImplementedError

    @property
    def far(self) -> bool:
        """Whether it is read over a network."""
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """An image inside something else.

    Args:
        home: what holds it; shared by all images in it.
        inner: its name there, parts separated by "/".
        start: where it begins: a byte of an archive, a row of a data set.
        size: in bytes as stored; -1 where only reading tells.

    Example:
        >>> from xai.tarfiles import Tar
        >>> place = Place(Tar("train-000.tar", 20480), "real/0001.PNG", 1536, 700)
        >>> str(place), place.name, place.stem, place.suffix
        ('train-000.tar/real/0001.PNG', '0001.PNG', '0001', '.PNG')
    """

    home: Home
    inner: str
    start: int = 0
    size: int = -1

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """The last part of its name without the ending."""
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        """The ending of its name, "" where there is none."""
        return PurePosixPath(self.path).suffix

    @property
    def path(self) -> str:
        """Its name inside its home, fit to be shown and to be joined to a folder."""
        return harmless(self.inner)

    def __str__(self) -> str:
        return f"{self.home}/{self.path}"

    def as_posix(self) -> str:
        """Return what `str` gives, as a path does."""
        return str(self)

    def content(self) -> bytes | np.ndarray:
        """Read it; any thread may.

        Returns:
            The bytes of an image file, or pixels as they are stored.

        Raises:
            ImageError: what holds it is gone, cut short, changed, or cannot be reached.
            Unreachable: nor can the images before it; no error of this image.
        """
        if self.size > LARGEST:
            raise ImageError(f"{self.size / 2**30:.1f} GB, more than 1; no image is so large")
        try:
            return self.home.content(self)
        except (ImageError, Unreachable):
            raise
        except WhyfakeError as error:
            raise ImageError(str(error)) from None
        except FileNotFoundError:
            raise ImageError(f"'{self.home}' is gone; put it back or list the images again") from None
        except MemoryError:
            raise ImageError("too large for this machine's memory; make it smaller") from None
        except OSError as error:
            reason = error.strerror or " ".join(str(error).split())[:120] or type(error).__name__
            raise ImageError(f"'{self.home}' cannot be read: {reason}") from None

    def read_bytes(self) -> bytes:
        """Return its bytes; of stored pixels the numbers as they lie in memory, row by row.

        Raises:
            ImageError: as `content`.
        """
        stored = self.content()
        return np.ascontiguousarray(stored).tobytes() if isinstance(stored, np.ndarray) else stored

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, the same as that of a file with them; of stored pixels, of type, shape and values.

        Raises:
            ImageError: as `content`.
        """
        stored = self.content()
        if isinstance(stored, np.ndarray):
            stored = f"{stored.dtype.str} {stored.shape}\n".encode() + np.ascontiguousarray(stored).tobytes()
        return hashlib.sha256(stored).hexdigest()


File = Path | Place


def harmless(name: str) -> str:
    """Return a name from an archive or a bucket as a path that stays where it is joined to.

    Example:
        >>> [harmless(name) for name in ("./real/1.png", "/etc/x.png", "a/../../x.png", "a//b.png")]
        ['real/1.png', 'etc/x.png', 'a/_../_../x.png', 'a/b.png']
    """
    if not name.startswith(("/", "./")) and "//" not in name and "/./" not in name and ".." not in name and "\0" not in name:
        return name  # nearly all are: nothing to do for a million of them
    parts = ("_.." if part == ".." else part for part in name.replace("\0", "_").split("/") if part not in ("", "."))
    return "/".join(parts)


def unique(names: Iterable[str]) -> list[str]:
    """Return harmless names, a number added to those that stood there before.

    Example:
        >>> unique(["a/1.png", "a//1.png", "2"])
        ['a/1.png', 'a/1~2.png', '2']
    """
    seen: dict[str, int] = {}
    found: list[str] = []
    for name in map(harmless, names):
        shown = name
        while shown in seen:
            seen[name] += 1
            path = PurePosixPath(name)
            shown = path.with_name(f"{path.stem}~{seen[name]}{path.suffix}").as_posix()
        seen[shown] = 1
        found.append(shown)
    return found


def hidden(name: str) -> bool:
    """Whether a name lies in what is passed over in folders too: names that begin with a dot, macOS' second copies.

    Example:
        >>> [hidden(name) for name in ("real/1.png", "./real/1.png", "real/._1.png", ".cache/1.png", "__MACOSX/1.png", "../1.png")]
        [False, False, True, True, True, False]
    """
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in name.split("/"))


def readers(files: Sequence[File], least: int = 4) -> int:
    """Return how many threads should read these: more where each waits for a network.

    Example:
        >>> readers([Path("a.png")])
        4
    """
    return max(least, FAR) if files and isinstance(files[0], Place) and files[0].home.far else least


def weight(file: File) -> int:
    """Return how many bytes an image takes where it is; -1 where that is not known, or it is gone."""
    if isinstance(file, Place):
        return file.size
    return file.stat().st_size if file.is_file() else -1
