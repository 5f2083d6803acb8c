"""A few drawn faces to try the page with."""

from __future__ import annotations

from pathlib import Path

from reports.web.refusal import Refusal

HOME = Path(__file__).parent / "samples"


def names() -> list[str]:
    """Return their names."""
    return sorted(path.stem for path in HOME.glob("*.jpg"))


def picture(name: str) -> bytes:
    """Return one as a JPEG.

    Raises:
        Refusal: there is none of that name.
    """
    if name not in names():
        raise Refusal(404, "there is no such sample")
    return (HOME / f"{name}.jpg").read_bytes()
