"""Files that are whole or not there: written to a temporary name, then renamed."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xai.errors import RunError

TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.tmp(\..*)?")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it there at the end.

    The temporary name keeps the ending (some writers go by it) and starts with a dot.

    Raises:
        RunError: the disk is full or the folder cannot be written; nothing is left behind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     [entry.name for entry in Path(folder).iterdir()]
        ['a.txt']
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"the disk is full while writing '{path}'; free some room and run the same command") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise RunError(f"'{path}' cannot be written: {error.strerror}; give another --out") from None
        raise
    finally:
        with suppress(NotADirectoryError):  # a file stands where the folder should be
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file whole."""
    # a file name may hold bytes that are no UTF-8; they are shown as escapes
    return write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str | Path, data: bytes | memoryview) -> Path:
    """Write a binary file whole."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left in a folder and below; not to be called while another one writes there."""
    for path in folder.rglob(".*.tmp*"):
        if TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def touch(path: Path) -> None:
    """Mark a file as used now, if it is there: `--clean` takes those that were not."""
    with suppress(FileNotFoundError):
        os.utime(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write JSON that any reader takes: NaN and infinity become null, NumPy numbers plain."""
    return write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Return a value as JSON knows it.

    Example:
        >>> plain({"a": float("nan"), "b": (1, 2)})
        {'a': None, 'b': [1, 2]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return str(value) if isinstance(value, Path) else value


def write_table(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a CSV file; None becomes an empty cell, floats keep nine digits.

    A cell that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([cell(name) for name in header])
        writer.writerows([cell(value) for value in row] for row in rows)
    return Path(path)


def cell(value: Any) -> str:
    """Return one value as CSV text."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    if isinstance(value, bool):
        return str(int(value))
    return str(value) if isinstance(value, int) else f"{float(value):.9g}"


def read_json(path: str | Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunError: missing or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise RunError(f"'{path}' is missing; run the audit again with the same command")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"'{path}' is damaged ({error}); remove it and run the audit again") from None


def make_folder(path: str | Path) -> Path:
    """Create an output folder, or say why it cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "no right to write")
    except OSError as error:
        raise RunError(f"'{path}' cannot be written: {error.strerror}; give another --out") from None
    return path


def encode(layer: str) -> str:
    """Return a name as one HDF5 name: '/' would open a group."""
    return layer.replace("/", "+")


def home(layer: str, method: str) -> str:
    """Return where the maps of a layer and method lie below `maps`, `mean/<group>`, ….

    Example:
        >>> home("body/conv1", "hirescam")
        'body+conv1/hirescam'
    """
    return f"{encode(layer)}/{encode(method)}"
