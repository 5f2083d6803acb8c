"""Folders as the layouts see them: on disk, or only as the names in an archive or behind a URL."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, splitext

from train.words import SPLITS, meaning, words
from xai.errors import DataError
from xai.images import SUFFIXES, walk
from xai.places import File, Place

Image = tuple[str, str]  # its path from the data set's root, as rows have it, and from the folder that was asked


class Folder:
    """A folder of a data set; `str` shows where it is."""

    __slots__ = ()
    apart = True  # it can be given by itself

    @property
    def inner(self) -> str:
        """Its path from the data set's root, "" for the root itself."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Its own name, "" for the root."""
        return basename(self.inner)

    @property
    def own(self) -> str:
        """Its own name, the root's too."""
        return basename(self.whole)

    @property
    def whole(self) -> str:
        """Where it is, the same however it was given."""
        return str(self)

    def folders(self) -> dict[str, Folder]:
        """Return the visible folders in it by their names in lower case, sorted.

        Raises:
            DataError: it cannot be listed, or two names differ only in case, so that one would be lost.
        """
        raise NotImplementedError

    def images(self) -> list[Image]:
        """Return the images in it at any depth, unsorted."""
        raise NotImplementedError

    def tables(self) -> list[File]:
        """Return the CSV files directly in it, sorted."""
        return []

    def homes(self) -> list[str]:
        """Return what whole paths in a CSV file may begin with to lead into it."""
        return [str(self)]

    def has(self, path: str) -> bool:
        """Whether it has a file, whatever its ending, that is not among its images."""
        return False

    def beside(self, path: str) -> bool:
        """Whether the folder above it has a file."""
        return False

    def above(self) -> Folder:
        """Return the folder above it."""
        raise NotImplementedError


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a folder or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Disk(Folder):
    """A folder on disk.

    Args:
        path: where it is.
        root: the data set's.
    """

    path: Path
    root: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def inner(self) -> str:
        """Its path from the root."""
        return "" if self.path == self.root else self.path.relative_to(self.root).as_posix()

    @property
    def whole(self) -> str:
        """Its path without links."""
        return self.path.resolve().as_posix()

    def folders(self) -> dict[str, Folder]:
        """Return the folders in it; links to folders count."""
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if is_folder(entry)]
        except OSError as error:
            raise DataError(f"'{self}' cannot be listed: {error.strerror}; check its rights") from None
        return {name.lower(): Disk(self.path / name, self.root) for name in told_apart(names, self)}

    def images(self) -> list[Image]:
        """Return its image files."""
        found = ((path.relative_to(self.root).as_posix(), path) for path in walk(self.path))
        return [(name, name if self.path == self.root else path.relative_to(self.path).as_posix()) for name, path in found]

    def tables(self) -> list[File]:
        """Return its CSV files."""
        return [file for file in sorted(self.path.glob("*.[cC][sS][vV]")) if file.is_file() and not file.name.startswith(".")]

    def homes(self) -> list[str]:
        """Return its path as it was given, and without links."""
        return [self.path.absolute().as_posix(), self.whole]

    def has(self, path: str) -> bool:
        """Whether it has a file; one with a name longer than any file's is not there."""
        try:
            return (self.path / path).is_file()
        except OSError:
            return False

    def beside(self, path: str) -> bool:
        """Whether the folder above it has a file."""
        return Disk(self.path.resolve().parent, self.root).has(path)

    def above(self) -> Folder:
        """Return the folder above it, a root of its own."""
        path = self.path.resolve().parent
        return Disk(path, path)


class Named(Folder):
    """A folder that is known by the names in it.

    Args:
        home: where the root is, as shown.
        inner: the path from there.

    Example:
        >>> root = Named("faces.tar")
        >>> root.add("real/a/1.png")
        >>> root.add("real/2.png", "x.tar/real/2.png")
        >>> sorted(root.folders()["real"].images())
        [('real/a/1.png', 'a/1.png'), ('x.tar/real/2.png', '2.png')]
    """

    __slots__ = ("_inner", "home", "inside", "leaves", "lists")

    def __init__(self, home: str, inner: str = "") -> None:
        self.home, self._inner = home, inner
        self.inside: dict[str, Named] = {}
        self.leaves: list[tuple[str, str]] = []  # an image's own name, and its path as rows have it
        self.lists: list[Place] = []

    def __str__(self) -> str:
        return f"{self.home}/{self._inner}" if self._inner else self.home

    @property
    def inner(self) -> str:
        """Its path from the root."""
        return self._inner

    def add(self, where: str, path: str = "") -> None:
        """Put an image into the tree.

        Args:
            where: its path from here, by which it is sorted into classes and splits.
            path: from the root as rows have it; the same by default.
        """
        above, _, name = where.rpartition("/")
        self.descend(above).leaves.append((name, path or where))

    def descend(self, path: str) -> Named:
        """Return a folder below this one, made if it is new."""
        if not path:
            return self
        top, _, rest = path.partition("/")
        if top not in self.inside:
            self.inside[top] = type(self)(self.home, f"{self._inner}/{top}" if self._inner else top)
        return self.inside[top].descend(rest)

    def folders(self) -> dict[str, Folder]:
        """Return the folders in it."""
        return {name.lower(): self.inside[name] for name in told_apart(self.inside, self)}

    def images(self) -> list[Image]:
        """Return the images that were put into it."""
        found = [(path, name) for name, path in self.leaves]
        for name, folder in self.inside.items():
            found += [(path, f"{name}/{below}") for path, below in folder.images()]
        return found

    def tables(self) -> list[File]:
        """Return the CSV files that were put into it."""
        return list(self.lists)


class Packed(Named):
    """A folder in archives."""

    __slots__ = ()
    apart = False


class Unlisted(Named):
    """A folder behind a web address, which cannot be listed: every image that a CSV file names is taken to be there."""

    __slots__ = ()

    def has(self, path: str) -> bool:
        """Whether a path ends as an image does."""
        return splitext(path)[1].lower() in SUFFIXES


def told_apart(names: Iterable[str], folder: Folder) -> list[str]:
    """Return the visible names of folders, sorted.

    Raises:
        DataError: two that say something differ only in case.
    """
    found: dict[str, str] = {}
    for name in sorted(name for name in names if not name.startswith((".", "__"))):
        twin = found.get(name.lower())
        if twin is not None and (meaning(name) or set(words(name)) & set(SPLITS)):
            raise DataError(f"'{folder}' has both '{twin}/' and '{name}/'; keep one of them")
        found[name.lower()] = name
    return list(found.values())
