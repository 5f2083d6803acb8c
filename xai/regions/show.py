"""Parts drawn over their pictures, each with a legend beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from xai import overlay, store
from xai.errors import DataError, ImageError, nothing_left
from xai.images import find, read
from xai.naming import cut, output_names, outside
from xai.places import File, Place
from xai.progress import bar
from xai.regions.parts import Parts
from xai.regions.source import Source, open_source

# Colours of which neighbours on a face differ in lightness as well as in hue: after Tol's schemes for the
# colour-blind (Paul Tol, "Colour Schemes", SRON technical note, 2021). Those not named take the others in turn.
COLOURS = {
    "background": (90, 90, 90), "hair_and_head": (136, 204, 238), "hair": (136, 204, 238), "face_boundary": (51, 34, 136),
    "forehead": (221, 204, 119), "cheeks": (68, 170, 153), "skin": (68, 170, 153), "chin_and_jaw": (225, 225, 150), "nose": (204, 102, 119),
    "left_eye": (0, 119, 187), "right_eye": (238, 119, 51), "eye_surround": (225, 225, 225), "left_brow": (136, 34, 85),
    "right_brow": (17, 119, 51), "lips": (170, 68, 153), "mouth_inside": (255, 255, 255), "left_ear": (238, 51, 119), "right_ear": (0, 153, 136),
}  # fmt: skip
OTHERS = ((153, 153, 51), (68, 119, 170), (204, 187, 68), (187, 187, 187), (102, 37, 6), (51, 187, 238), (170, 170, 0), (111, 76, 155))
OPACITY = 0.4
SHORTEST, LONGEST = 512, 1024  # pixels of the longer side of a picture drawn
LINE, MARGIN, WIDTH = 21, 12, 272  # of the legend, pixels


@dataclass(frozen=True, slots=True)
class Shown:
    """What was drawn.

    Args:
        images: with parts.
        source: who said them.
        parts: per part the share of images that have it, and their mean area share and confidence.
        skipped: path -> reason.
    """

    images: int
    source: str
    parts: dict[str, dict[str, float]]
    skipped: dict[str, str]


def show_regions(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    regions: str = "mesh",
    masks: str | Path | None = None,
    limit: int | None = None,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Shown:
    """Draw the parts over every image.

    Args:
        sources: files or folders of images.
        out: the folder; gets `NAME__parts.png` an image, `regions.csv` and `skipped.csv`.
        regions: "mesh" or "template".
        masks: folder of label images to draw instead; it mirrors each source that is a folder, and holds files by their name.
        limit: images at most.
        quiet: no progress bar.
        say: told how many images there are.

    Raises:
        ModelError: a package is not installed.
        DataError: no images, or label images that cannot be used.
        ImageError: parts were found in none of the images.
    """
    source = opened("auto" if masks else regions, masks)
    folder = store.make_folder(out)
    files = outside(find(sources), folder)[:limit]
    names = output_names(files)
    say(f"{len(files)} image{'s' if len(files) != 1 else ''}, parts from {described(source, masks)}")
    skipped: dict[str, str] = {}
    rows: list[tuple[Any, ...]] = []
    with bar(len(files), "drawing parts", quiet=quiet) as progress:
        for file, name in zip(files, names, strict=True):
            try:
                image = read(file)
                parts = source.parts(inner(file, sources), image)
                store.write_bytes(folder / f"{cut(name, 200)}__parts.png", overlay.encode(draw(image, parts), ".png"))
                rows += [(file.as_posix(), *row, source.kind) for row in measure(parts)]
            except ImageError as error:
                skipped[str(file)] = str(error)
            progress.update()
    store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    if not rows:
        raise ImageError(f"{nothing_left(len(files), skipped)}; '{folder / 'skipped.csv'}' says why")
    store.write_table(folder / "regions.csv", ("path", "part", "area_share", "confidence", "source"), rows)
    return Shown(len(files) - len(skipped), source.kind, summary(rows), skipped)


def opened(regions: str, masks: str | Path | None) -> Source:
    """Return who says the parts, ready to do so."""
    source = open_source(regions, masks)
    if source is None:
        raise DataError(f"regions '{regions}' say no parts; expected mesh or template")
    return source


def described(source: Source, masks: str | Path | None) -> str:
    """Return in words who says the parts."""
    return {"mesh": "the face mesh", "template": "the mean face"}.get(source.kind, f"the label images in '{masks}'")


def inner(file: File, sources: Sequence[str | Path]) -> str:
    """Return a file's path below the source that it was found in; its name where it was named itself.

    Example:
        >>> inner(Path("faces/real/1.png"), ["faces"]), inner(Path("faces/real/1.png"), ["faces/real/1.png"])
        ('real/1.png', '1.png')
    """
    if isinstance(file, Place):
        return file.path
    homes = [Path(source) for source in sources if Path(source) in file.parents]
    return file.relative_to(homes[0]).as_posix() if homes else file.name


def measure(parts: Parts) -> list[tuple[str, float, float]]:
    """Return every part's name, its share of the picture and its confidence.

    Example:
        >>> measure(Parts(np.uint8([[0, 0], [0, 1]]), ("a", "b", "c"), np.float32([0.5, 1, 0])))
        [('a', 0.75, 0.5), ('b', 0.25, 1.0), ('c', 0.0, 0.0)]
    """
    counts = np.bincount(parts.labels.ravel(), minlength=256)
    return [(name, float(counts[index] / parts.labels.size), float(parts.confidence[index])) for index, name in enumerate(parts.names)]


def summary(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[str, float]]:
    """Return, by part, the share of images that have it, and their mean area share and confidence."""
    found = {}
    for name in dict.fromkeys(row[1] for row in rows):
        values = np.array([row[2:4] for row in rows if row[1] == name], np.float64)
        present = values[values[:, 0] > 0]
        area, confidence = present.mean(0).tolist() if len(present) else (0.0, 0.0)
        found[name] = {"present": len(present) / len(values), "area_share": area, "confidence": confidence}
    return found


def palette(names: Sequence[str]) -> np.ndarray:
    """Return a colour per part, uint8 `(R, 3)`, RGB."""
    unnamed = [name for name in names if name not in COLOURS]
    return np.array([COLOURS.get(name) or OTHERS[unnamed.index(name) % len(OTHERS)] for name in names], np.uint8)


def draw(image: np.ndarray, parts: Parts) -> np.ndarray:
    """Return the picture with every part tinted and outlined, and beside it the legend with area and confidence.

    The background stays as it is. A small picture is enlarged and a large one reduced, to 512 to 1024 pixels.

    Args:
        image: uint8 `(h, w, 3)`, RGB.
        parts: of it, at any resolution.

    Returns:
        uint8 `(H, W, 3)`, RGB.
    """
    longest = max(image.shape[:2])
    scale = min(max(longest, SHORTEST), LONGEST) / longest
    size = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    picture = image if scale == 1 else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    drawn = tinted(picture, parts.resized(size))
    legend = keys(parts)
    height = max(drawn.shape[0], legend.shape[0])
    sheet = np.full((height, drawn.shape[1] + WIDTH, 3), 255, np.uint8)
    sheet[: drawn.shape[0], : drawn.shape[1]] = drawn
    sheet[: legend.shape[0], drawn.shape[1] :] = legend
    return sheet


def tinted(picture: np.ndarray, parts: Parts) -> np.ndarray:
    """Return a picture with its parts tinted and outlined, dark within white, so that the line shows on any colour."""
    colours = palette(parts.names)
    untouched = np.ones(256, bool)
    untouched[: len(parts.names)] = [name == "background" for name in parts.names]
    tint = np.zeros((256, 3), np.uint8)
    tint[: len(colours)] = colours
    labels = parts.labels
    drawn = np.where(untouched[labels][..., None], picture, cv2.addWeighted(picture, 1 - OPACITY, tint[labels], OPACITY, 0))
    edge = np.zeros(labels.shape, np.uint8)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    drawn[cv2.dilate(edge, np.ones((3, 3), np.uint8)) > 0] = 255
    drawn[edge > 0] = 30
    return drawn


def keys(parts: Parts) -> np.ndarray:
    """Return the legend: colour, name, share of the picture and confidence of every part; absent ones in grey."""
    rows = measure(parts)
    legend = Pillow.new("RGB", (WIDTH, 2 * MARGIN + LINE * (len(rows) + 1)), "white")
    pen = ImageDraw.Draw(legend)
    font = ImageFont.load_default(14)
    columns = MARGIN + 24, WIDTH - 66, WIDTH - MARGIN
    for x, title, anchor in zip(columns, ("part", "area", "conf."), ("lm", "rm", "rm"), strict=True):
        pen.text((x, MARGIN + LINE // 2), title, (110, 110, 110), font, anchor)
    for line, ((name, share, sure), colour) in enumerate(zip(rows, palette(parts.names).tolist(), strict=True), 1):
        y = MARGIN + LINE * line + LINE // 2
        ink = (30, 30, 30) if share else (160, 160, 160)
        fill = None if name == "background" or not share else tuple(colour)
        pen.rectangle((MARGIN, y - 7, MARGIN + 15, y + 7), fill, ink)
        pen.text((columns[0], y), name.replace("_", " "), ink, font, "lm")
        if share:
            pen.text((columns[1], y), f"{share:.1%}", ink, font, "rm")
            pen.text((columns[2], y), f"{sure:.2f}", ink, font, "rm")
        else:
            pen.text((columns[2], y), "absent", ink, font, "rm")
    return np.array(legend)


def text(shown: Shown) -> str:
    """Return the parts as a table for people."""
    lines = [f"{'part':<16} {'in images':>9} {'mean area':>9} {'confidence':>10}"]
    for name, row in shown.parts.items():
        lines.append(f"{name:<16} {row['present']:>9.0%} {row['area_share']:>9.2%} {row['confidence']:>10.2f}")
    return "\n".join(lines)
