"""Tar archives and pictures for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(number: int, side: int = 12) -> np.ndarray:
    """Return a picture of random pixels, uint8 `(side, side, 3)`, another for every number."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)


def encoded(number: int, kind: str = "PNG", side: int = 12) -> bytes:
    """Return such a picture as a file."""
    file = io.BytesIO()
    Image.fromarray(pixels(number, side)).save(file, kind)
    return file.getvalue()


def tarred(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar archive of names, or whole headers, with their contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def packed(file: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    """Write a tar archive."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(tarred(members, form))
    return file


def classed(start: int = 0, count: int = 3, ending: str = "cls") -> list[tuple[str | tarfile.TarInfo, bytes]]:
    """Return the members of a WebDataset shard: `count` reals and as many fakes, each with its label."""
    members: list[tuple[str | tarfile.TarInfo, bytes]] = []
    for number in range(start, start + 2 * count):
        label = ("real", "fake")[number % 2]
        text = label if ending == "cls" else f'{{"label": "{label}", "caption": "a face"}}'
        members += [(f"{number:04}.png", encoded(number)), (f"{number:04}.{ending}", text.encode())]
    return members


@contextmanager
def memory() -> Iterator[Callable[[Mapping[str, bytes]], None]]:
    """Give a function that puts objects into fsspec's memory://, which is emptied at the end."""
    import fsspec

    system = fsspec.filesystem("memory")

    def put(objects: Mapping[str, bytes]) -> None:
        for name, content in objects.items():
            system.pipe_file(f"/{name}", content)

    try:
        yield put
    finally:
        system.store.clear()
        system.pseudo_dirs[:] = [""]
