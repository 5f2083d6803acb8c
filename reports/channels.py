"""What channels answer and look for: the activation grids that the audit drew, and pictures made to excite them."""

from __future__ import annotations

from dataclasses import dataclass

from reports import charts
from reports.run import Run, read_json
from reports.shelf import Shelf
from xai.errors import RunError

# Grids on the page, pixels of their width, WebP quality: they are the heaviest part of it.
INSIDE, BESIDE = (12, 800, 60), (24, 1100, 82)
MADE, SMALL = 8, 128  # made pictures of a layer, and their longer side in pixels
AGAIN = "run 'whyfake features MODEL --out RUN/features' again"


@dataclass(frozen=True, slots=True)
class Grid:
    """One layer's channels: the layer, the address of a WebP picture, and (width, height) in pixels."""

    layer: str
    picture: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Image:
    """One image's grids, in the order of the network."""

    row: int
    path: str
    grids: tuple[Grid, ...]


def images(run: Run, shelf: Shelf) -> tuple[list[Image], int]:
    """Return the grids that are shown, by image, and how many were left out; a page of one file has room for fewer."""
    most, width, quality = INSIDE if shelf.inside else BESIDE
    folder = run.directory / "channels"
    there = {path.name for path in folder.glob("*.png")}
    shown, left, out = [], most, 0
    for row, entry in enumerate(run.images):
        grids: list[Grid] = []
        for layer in [str(layer["name"]) for layer in run.record["layers"]]:
            path = folder / f"{entry['index']}__{layer.replace('/', '+')}.png"
            if path.name not in there:
                continue
            if not left:
                out += 1
                continue
            content, size = charts.grid(path, width, quality)
            grids.append(Grid(layer, shelf.picture(f"channels/{row}-{len(grids)}.webp", content), size))
            left -= 1
        if grids:
            shown.append(Image(row, entry["path"], tuple(grids)))
    return shown, out


@dataclass(frozen=True, slots=True)
class Made:
    """A picture made to excite a channel: the layer, the channel, a JPEG `data:` address, and (width, height) in pixels."""

    layer: str
    channel: int
    picture: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Features:
    """What `whyfake features MODEL --out RUN/features` left.

    Args:
        pictures: the first ones of every layer, small.
        total: channels in all.
        page: its address from the run directory; empty text without one.
    """

    pictures: tuple[Made, ...]
    total: int
    page: str


def features(run: Run, most: int = MADE) -> Features | None:
    """Return the pictures of what channels look for; None where the run directory holds none.

    Args:
        run: the run.
        most: pictures of a layer.

    Raises:
        RunError: there are some, and their record or a picture is damaged.
    """
    folder = run.directory / "features"
    if not (folder / "features.json").is_file():
        return None
    found = read_json(folder, "features.json", ("layers",), AGAIN)
    shown, total = [], 0
    try:
        for layer in found["layers"]:
            made = [channel for channel in layer["channels"] if channel["picture"]]
            total += len(layer["channels"])
            for channel in made[:most]:
                picture = charts.opened(folder / str(channel["picture"]))
                picture.thumbnail((SMALL, SMALL))
                shown.append(Made(str(layer["name"]), int(channel["channel"]), charts.uri(charts.jpeg(picture), "image/jpeg"), picture.size))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"features.json in {folder} has an entry that lacks {error}; {AGAIN}") from error
    return Features(tuple(shown), total, "features/index.html" if (folder / "index.html").is_file() else "")
