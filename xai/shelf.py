"""The folder `shards/` of a run: what an earlier run with other parameters left there, and how it is removed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xai import store


@dataclass(frozen=True, slots=True)
class Shelf:
    """Knows which files were used since it was opened: all that is made or found again is touched.

    Args:
        folder: `shards/`.
        opened: nanoseconds, by the clock of the disk it lies on.
    """

    folder: Path
    opened: int

    @classmethod
    def open(cls, out: Path) -> Shelf:
        """Begin to watch a run's shards; what a killed run left half-written goes."""
        folder = store.make_folder(out / "shards")
        store.sweep(out)
        mark = folder / f".{secrets.token_hex(4)}.tmp"
        mark.touch()
        opened = mark.stat().st_mtime_ns
        mark.unlink()
        return cls(folder, opened)

    def clean(self, say: Callable[[str], None]) -> None:
        """Remove all that was not used."""
        old = [path for path in self.folder.iterdir() if path.is_file() and path.stat().st_mtime_ns < self.opened]
        size = sum(path.stat().st_size for path in old)
        for path in old:
            path.unlink()
        if old:
            say(f"removed {len(old)} files of earlier runs with other parameters ({size / 1e6:,.0f} MB)")
