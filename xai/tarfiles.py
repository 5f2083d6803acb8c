"""Tar archives of images (WebDataset shards): where each member lies, read without unpacking."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import basename, splitext
from typing import Any, BinaryIO

from xai import remote
from xai.errors import DataError, ImageError, readable
from xai.images import SUFFIXES
from xai.places import Home, Place, harmless, hidden

STARTS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}
NOTES = (".cls", ".json")  # members that stand beside an image and say what it is
NOTE_BYTES = 2**20
BESIDE = frozenset("mask masks seg segm segmentation label labels landmarks depth heatmap parts".split())  # "0001.mask.png" is no photo
BLOCK = 512

Note = Callable[[str, bytes], Any]  # a member's name and bytes -> what is kept of it


@dataclass(frozen=True, slots=True)
class Tar(Home):
    """A tar archive; an image's `start` is the byte where it begins.

    It is opened for each image and closed again, which takes 15 microseconds: nothing is held
    open, so any thread and any forked process may read, and an archive that vanishes is noticed.

    Args:
        file: a path or a URL.
        size: in bytes when its members were listed.
    """

    file: str
    size: int

    def __str__(self) -> str:
        return remote.shown(self.file) if remote.is_url(self.file) else readable(self.file)

    @property
    def far(self) -> bool:
        """Whether it is read over a network."""
        return remote.is_url(self.file) and not self.file.startswith("memory:")

    def content(self, place: Place) -> bytes:
        """Return a member's bytes."""
        if remote.is_url(self.file):
            data = remote.read(self.file, "", place.start, place.size) if place.size else b""
        else:
            with open(self.file, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    raise ImageError(f"'{self}' was changed or cut short since it was listed; copy it again, then run the same command")
                file.seek(place.start)
                data = file.read(place.size)
        if len(data) != place.size:
            raise ImageError(f"'{self}' is cut short (truncated) within this image; copy or download it again")
        return data


@dataclass(slots=True)
class Contents:
    """What a tar archive holds.

    Args:
        tar: the archive.
        images: its images by name (harmless), the last of each name, as unpacking would leave it.
        notes: what was kept of the members that say what an image is, by name.
        repeated: images whose name came again.
        special: links, sparse files and the like that are called as images are; they cannot be read in place.
        cut: the archive ends early.
    """

    tar: Tar
    images: dict[str, Place] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    repeated: int = 0
    special: int = 0
    cut: bool = False


def scanned(file: str, note: Note | None = None) -> Contents:
    """List the images of a tar archive, reading its headers once.

    Args:
        file: a path or a URL.
        note: called with the name and bytes of every `.cls` and `.json` member of at most 1 MB.

    Returns:
        The images in the order of the archive. One that ends early gives what it holds up to there.

    Raises:
        DataError: missing, compressed, no tar archive, or damaged inside.
    """
    with streamed(file) as (stream, size):
        tar = Tar(file, size)
        found = Contents(tar)
        head = stream.read(6)
        for start, kind in STARTS.items():
            if head.startswith(start):
                raise DataError(compressed(str(tar), kind))
        if not size:
            raise DataError(f"'{tar}' is empty (0 bytes); copy or download it again")
        stream.seek(0)
        for member in members(stream, found):
            keep(member, stream, found, note)
    return found


def keep(member: tarfile.TarInfo, stream: BinaryIO, found: Contents, note: Note | None) -> None:
    """Put a member into the contents if it is an image, or says what one is."""
    if "\0" in member.name:
        raise DataError(f"'{found.tar}' has a member whose name holds a zero byte: '{readable(member.name[:80])}'; pack it again")
    ending = splitext(member.name)[1].lower()
    if member.isdir() or hidden(member.name) or (ending not in SUFFIXES and ending not in NOTES):
        return
    name = harmless(member.name)
    if ending in NOTES:
        if note is not None and member.isreg() and not member.issparse() and member.size <= NOTE_BYTES:
            stream.seek(member.offset_data)
            content = stream.read(member.size)
            if len(content) == member.size:  # half a word may be another word
                found.notes[name] = note(name, content)
    elif set(basename(name).lower().split(".")[1:-1]) & BESIDE:
        return
    elif not member.isreg() or member.issparse():
        found.special += 1
    else:
        found.repeated += name in found.images
        found.images.pop(name, None)
        found.images[name] = Place(found.tar, name, member.offset_data, member.size)


def members(stream: BinaryIO, found: Contents) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive; `found.cut` becomes true where it ends early.

    Raises:
        DataError: no tar archive, or damaged inside.
    """
    try:
        tar = tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 (the stream is the caller's)
        last, count = -1, 0
        while True:
            tar.members.clear()  # type: ignore[attr-defined]  # a million of them are not kept
            try:
                member = tar.next()
            except tarfile.ReadError as error:
                if "unexpected end" not in str(error):
                    raise
                found.cut = True
                return
            if member is None:
                break
            if member.size < 0 or tar.offset <= last:  # a size below zero would lead round in circles
                raise tarfile.ReadError("a size that cannot be")
            yield member
            last, count = tar.offset, count + 1
        stream.seek(tar.offset)
        block = stream.read(BLOCK)
        found.cut = len(block) < BLOCK  # two empty blocks end a whole archive
        if len(block) == BLOCK and block.strip(b"\0"):
            raise tarfile.ReadError(f"no member begins at byte {tar.offset:,}, behind {count:,} that do")
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"'{found.tar}' is damaged or no tar archive ({reason}); copy or download it again") from None
    except OSError as error:
        raise DataError(f"'{found.tar}' cannot be read: {error.strerror or error}; check it and run the same command again") from None


@contextmanager
def streamed(file: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open an archive to be listed; with it comes its size in bytes."""
    if remote.is_url(file):
        size = remote.length(file)
        with remote.opened(file) as stream:
            yield stream, size
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 (closed below; what goes wrong inside is another matter)
    except OSError as error:
        raise DataError(f"'{readable(file)}' cannot be read: {error.strerror}; check its name and rights") from None
    with stream:
        yield stream, os.fstat(stream.fileno()).st_size


def compressed(name: str, kind: str = "") -> str:
    """Return the line for a compressed archive.

    Example:
        >>> compressed("a.tar.gz")
        "'a.tar.gz' is compressed: its images cannot be read one by one; uncompress it to a .tar file first (images gain nothing from it)"
    """
    how = f" with {kind}" if kind else ""
    return f"'{name}' is compressed{how}: its images cannot be read one by one; uncompress it to a .tar file first (images gain nothing from it)"
