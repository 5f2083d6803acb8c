"""What a name given by the user means: files and folders, tar shards, HDF5 files, URLs of any of these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from posixpath import splitext
from urllib.parse import urlsplit

from xai import remote
from xai.errors import DataError, readable
from xai.images import SUFFIXES
from xai.places import Place

HDF5 = (".h5", ".hdf5", ".hdf")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{},]*(?:,[^{},]*)+)\}")
MOST = 100_000  # archives that one pattern may name
SCANS = 4  # archives listed at once


def kind(source: str | Path) -> str:
    """Return what a name stands for.

    Returns:
        "tar" (an archive, or a pattern of several), "hdf5", "url" (anything else behind one) or "path".

    Raises:
        DataError: a compressed archive.

    Example:
        >>> [kind(name) for name in ("a/shard-{00..09}.tar", "a.h5::train/images", "s3://bucket/faces", "faces")]
        ['tar', 'hdf5', 'url', 'path']
    """
    text = str(source)
    if Path(text).is_dir():
        return "path"
    ending = text.lower()
    if remote.is_url(text):
        ending = remote.shown(text).lower() if remote.scheme(text) in remote.WEB else ending
    if ending.endswith(COMPRESSED):
        from xai.tarfiles import compressed

        raise DataError(compressed(shown(text)))
    if ending.endswith(".tar"):
        return "tar"
    if split_off(text)[0].lower().endswith(HDF5) or ending.endswith(HDF5):
        return "hdf5"
    return "url" if remote.is_url(text) else "path"


def shown(name: str) -> str:
    """Return a path or URL fit to be shown."""
    return remote.shown(name) if remote.is_url(name) else readable(name)


def split_off(text: str) -> tuple[str, str]:
    """Return file and data set of "file.h5::name"; the name is "" where none is given.

    Example:
        >>> split_off("a.h5::train/images"), split_off("a.h5")
        (('a.h5', 'train/images'), ('a.h5', ''))
    """
    file, mark, name = text.rpartition("::")
    return (file, name.strip("/")) if mark and file.lower().endswith(HDF5) else (text, "")


def expanded(pattern: str) -> list[str]:
    """Return the archives that a pattern names, in its order.

    Args:
        pattern: a path or URL; {000..009} counts, {a,b} lists.

    Raises:
        DataError: too many, or one that does not exist.

    Example:
        >>> expanded("s3://faces/{train,test}-{08..10}.tar")[2:4]
        ['s3://faces/train-10.tar', 's3://faces/test-08.tar']
    """
    names = [pattern]
    while not os.path.exists(pattern) and any(RANGE.search(name) for name in names):
        names = [other for name in names for other in opened(name)]
        if len(names) > MOST:
            raise DataError(f"'{shown(pattern)}' names more than {MOST:,} archives; give a folder of them")
    names = list(dict.fromkeys(names))
    for name in names:
        if not remote.is_url(name) and not os.path.isfile(name):
            of = f" (of '{readable(pattern)}')" if len(names) > 1 else ""
            raise DataError(f"'{readable(name)}'{of} does not exist; give a .tar file, a pattern such as shard-{{000..009}}.tar, or a folder")
    return names


def opened(name: str) -> list[str]:
    """Return a name once for every value of its first pair of braces; itself where it has none."""
    found = RANGE.search(name)
    if found is None:
        return [name]
    first, last, several = found.groups()
    values: Sequence[str] = several.split(",") if several is not None else ()
    if first is not None:
        width = len(first) if first.startswith("0") or last.startswith("0") else 0
        step = 1 if int(last) >= int(first) else -1
        if abs(int(last) - int(first)) >= MOST:
            raise DataError(f"'{shown(name)}' names more than {MOST:,} archives; give a folder of them")
        values = [f"{number:0{width}}" for number in range(int(first), int(last) + step, step)]
    return [name[: found.start()] + value + name[found.end() :] for value in values]


def tars_in(folder: Path) -> list[str]:
    """Return the tar archives at any depth of a folder, sorted; hidden ones and links to folders are passed over.

    Raises:
        DataError: all of them are compressed.
    """
    found, packed = [], ""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(".tar") and not name.startswith("."):
                found.append(f"{place}/{name}")
            elif name.lower().endswith(COMPRESSED):
                packed = f"{place}/{name}"
    if packed and not found:
        from xai.tarfiles import compressed

        raise DataError(compressed(readable(packed)))
    return sorted(found)


def images_of(source: str | Path) -> Iterator[Place]:
    """Yield the images of a source of another kind than "path", sorted by name within each archive.

    Args:
        source: a tar file or a pattern of several, an HDF5 file, or a URL.

    Raises:
        DataError: missing, damaged, or nothing that can be listed.
    """
    text = str(source)
    what = kind(source)
    if what == "tar":
        yield from images_in(expanded(text))
    elif what == "hdf5":
        from xai import hdf5files

        yield from hdf5files.scanned(*split_off(text)).images
    elif remote.scheme(text) in remote.WEB or splitext(urlsplit(text).path)[1].lower() in SUFFIXES:
        yield remote.one(text)
    else:
        home = remote.Bucket(text.rstrip("/"))
        keys = remote.listing(text)
        images = [Place(home, key, 0, size) for key, size in keys.items() if splitext(key)[1].lower() in SUFFIXES]
        yield from images or images_in([f"{home.url}/{key}" for key in keys if key.lower().endswith(".tar")])


def images_in(files: Sequence[str]) -> Iterator[Place]:
    """Yield the images of some tar archives."""
    from xai.tarfiles import scanned

    with ThreadPoolExecutor(SCANS) as pool:
        for contents in pool.map(scanned, files):
            yield from (contents.images[name] for name in sorted(contents.images))
