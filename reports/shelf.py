"""Where a page keeps what is too large for its text: inside itself, or in files beside it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reports import charts
from xai.errors import RunError
from xai.miniature import FEW

LAYOUTS = ("auto", "single", "folder")
KINDS = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}
HOME = "report"
STALE = 86_400  # seconds after which a folder that was not finished is nobody's
MARK = "data/images.js"  # only a folder that has this is ours to replace


@dataclass(frozen=True, slots=True)
class Shelf:
    """Takes pictures and data, and says how the page refers to them.

    Args:
        folder: where files go; None for a page that holds everything itself.
    """

    folder: Path | None = None

    @property
    def inside(self) -> bool:
        """Whether the page is one file."""
        return self.folder is None

    def picture(self, name: str, content: bytes) -> str:
        """Return the address of a picture.

        Args:
            name: a path with `/`, such as "sheets/view-0.webp".
            content: the encoded picture.
        """
        if self.folder is None:
            return charts.uri(content, KINDS[Path(name).suffix])
        return self.write(name, content)

    def write(self, name: str, content: bytes) -> str:
        """Write a file beside the page and return its address."""
        assert self.folder is not None, "a page of one file has nothing beside it"
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)  # and not the folder itself: should it be gone, half a page must not take its place
        path.write_bytes(content)
        return name


def single(layout: str, images: int) -> bool:
    """Say whether a page is one file.

    Example:
        >>> single("auto", 60), single("auto", 61), single("single", 10_000), single("folder", 1)
        (True, False, True, False)
    """
    return images <= FEW if layout == "auto" else layout == "single"


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `report/` when all went well.

    Args:
        directory: the run directory.

    Raises:
        RunError: something else has that name, the disk is full, or another took the folder away; the old page stays.
    """
    home = directory / HOME
    if home.exists() and not (home / MARK).is_file():
        raise RunError(f"'{home}' is no page of whyfake's; move it away, or ask for one file (--single-file)")
    for left in directory.glob(f".{HOME}-*"):
        if time.time() - left.stat().st_mtime > STALE:  # a younger one may be another's at work
            shutil.rmtree(left, ignore_errors=True)
    fresh = None
    try:
        fresh = Path(tempfile.mkdtemp(prefix=f".{HOME}-", dir=directory))
        yield fresh
        fresh.chmod(0o755)  # mkdtemp's folders are for the owner alone, and this one is made to be given away
        old = fresh.with_name(fresh.name + "-old")
        if home.exists():
            home.rename(old)
        try:
            fresh.rename(home)
        except OSError:
            if old.exists():
                old.rename(home)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"the page could not be written to '{home}' ({error.strerror or error}); make room or wait for the other run, then render it again"
        ) from error
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)


def discard(directory: Path) -> None:
    """Remove the folder of an earlier page, and only such a one."""
    if (directory / HOME / MARK).is_file():
        shutil.rmtree(directory / HOME)
