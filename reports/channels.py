"""The activation grids of chosen images: every channel of a layer, as the audit drew it."""

from __future__ import annotations

from dataclasses import dataclass

from reports import charts
from reports.run import Run

MOST = 24  # grids on the page; they are the heaviest part of it


@dataclass(frozen=True, slots=True)
class Grid:
    """One layer's channels: the layer, a WebP `data:` address, and (width, height) in pixels."""

    layer: str
    picture: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Image:
    """One image's grids, in the order of the network."""

    row: int
    path: str
    grids: tuple[Grid, ...]


def images(run: Run, most: int = MOST) -> tuple[list[Image], int]:
    """Return the grids that are shown, by image, and how many were left out."""
    folder = run.directory / "channels"
    shown, left, out = [], most, 0
    for row, entry in enumerate(run.images):
        grids = []
        for layer in [str(layer["name"]) for layer in run.record["layers"]]:
            path = folder / f"{entry['index']}__{layer.replace('/', '+')}.png"
            if not path.is_file():
                continue
            if not left:
                out += 1
                continue
            content, size = charts.grid(path)
            grids.append(Grid(layer, charts.uri(content, "image/webp"), size))
            left -= 1
        if grids:
            shown.append(Image(row, entry["path"], tuple(grids)))
    return shown, out
