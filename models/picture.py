"""A network as a picture: blocks from left to right, as high as their maps and as wide as their channels."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

MOST = 10  # up to so many blocks a block is a layer; above, all layers of one resolution
WORDS = {
    "Conv2D": "convolution",
    "SeparableConv2D": "separable convolution",
    "DepthwiseConv2D": "depthwise convolution",
    "Conv2DTranspose": "transposed convolution",
    "Dense": "dense",
}
BETWEEN = {
    "MaxPooling2D": "max pool",
    "AveragePooling2D": "mean pool",
    "UpSampling2D": "upsample",
    "GlobalAveragePooling2D": "mean over places",
    "GlobalMaxPooling2D": "maximum over places",
    "Flatten": "flatten",
}
COLOURS = {"image": "#b3b9c2", "learns": "#4c7fb8", "frozen": "#b9cce0", "dense": "#d98a3d"}
HIGHEST, LINE, PITCH = 2.2, 0.17, 1.3  # inches: the input's height, a line of text, a column


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the picture.

    Args:
        shape: (height, width, channels) of its maps, or (units,).
        kind: a key of `COLOURS`.
        text: what happens in it.
        then: what happens after it.
        count: layers in it.
    """

    shape: tuple[int, ...]
    kind: str
    text: str
    then: tuple[str, ...] = ()
    count: int = 1


def draw(rows: Sequence[dict[str, Any]], image: Sequence[int], title: str, subtitle: str = "") -> bytes:
    """Draw a network.

    Args:
        rows: its layers, from `describe.table`, of a fixed size.
        image: (height, width, channels) of its input.
        title: above the picture.
        subtitle: under the title.

    Returns:
        A PNG: of a small network a block per layer, of a deep one a block per resolution.
    """
    blocks = layered(rows)
    if len(blocks) > MOST:
        blocks = staged(rows)
    blocks = [Block(tuple(image), "image", "image"), *blocks]
    largest = max(block.shape[0] for block in blocks if len(block.shape) == 3)
    boxes = [extent(block, largest) for block in blocks]
    captions = [caption(block) for block in blocks]
    lefts = [0.25]
    for width, _, slant in boxes:
        lefts.append(lefts[-1] + max(PITCH, width + slant + 0.45))
    right, top = max(lefts[-1], 7.0), max(height + slant for _, height, slant in boxes) + 0.85
    bottom = -0.25 - LINE * max(len(lines) for lines in captions)
    figure = Figure(figsize=(right, top - bottom), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, right), ylim=(bottom, top))
    axes.axis("off")
    axes.text(0.25, top - 0.25, title, size=13, weight="bold", va="center")
    axes.text(0.25, top - 0.52, subtitle, size=9.5, color="#444444", va="center")
    for left, following, block, box, lines in zip(lefts, lefts[1:], blocks, boxes, captions, strict=False):
        cuboid(axes, left, block, box)
        for index, line in enumerate(lines):
            axes.text(left, -0.12 - LINE * index, line, size=8.5, weight="bold" if index == 0 else "normal", va="top")
        if block is not blocks[-1]:
            start = left + box[0] + min(0.15, box[2]) + 0.06  # beside the flank, whose lower edge rises by as much
            axes.annotate("", (following - 0.05, 0.15), (start, 0.15), arrowprops={"arrowstyle": "->", "color": "#777777"})
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def layered(rows: Sequence[dict[str, Any]], before: Sequence[Block] = ()) -> list[Block]:
    """Return a block per layer that multiplies, like neighbours joined, after those there are."""
    blocks = list(before)
    for row in rows:
        words = worded(row)
        if row["kind"] in BETWEEN and blocks:
            blocks[-1] = replace(blocks[-1], then=(*blocks[-1].then, words))
        elif row["kind"] in WORDS:
            found = Block(tuple(row["shape"]), colour(row), words)
            if blocks and not blocks[-1].then and replace(blocks[-1], count=1) == found:
                blocks[-1] = replace(blocks[-1], count=blocks[-1].count + 1)
            else:
                blocks.append(found)
    return blocks


def worded(row: dict[str, Any]) -> str:
    """Return a layer's kind and window, or a dense layer's activation, in words."""
    word = (WORDS | BETWEEN).get(row["kind"], "")
    first = row["detail"].split(", ")[0].replace(" × ", "×")
    return f"{word}, {first}" if first and row["kind"] == "Dense" else f"{word} {first}".strip()


def staged(rows: Sequence[dict[str, Any]]) -> list[Block]:
    """Return a block per resolution of the maps, then one per dense layer."""
    ends = max(index for index, row in enumerate(rows) if len(row["shape"]) == 3) + 1
    maps = [row for row in rows[:ends] if len(row["shape"]) == 3]
    shrinks = area(maps[-1]) == min(map(area, maps))
    stages: list[list[dict[str, Any]]] = []
    for index, row in enumerate(maps):
        if area(row) == 1 and max(map(area, maps[index:])) > 1:
            continue  # a gate on channel means inside a stage
        # branches of two resolutions are listed in turns; where maps only shrink they are told apart by their size
        open_ones = stages if shrinks else stages[-1:]
        stage = next((stage for stage in open_ones if area(stage[0]) == area(row)), None)
        if stage is None:
            stages.append(stage := [])
        stage.append(row)
    blocks = [summary(stage) for stage in stages if any(row["kind"] in WORDS for row in stage)]
    return layered(rows[ends:], blocks)


def area(row: dict[str, Any]) -> int:
    """Return the cells of a layer's maps."""
    return math.prod(row["shape"][:2])


def summary(stage: Sequence[dict[str, Any]]) -> Block:
    """Return the block of all layers of one resolution; its channels are those of the last."""
    working = [row for row in stage if row["kind"] in WORDS]
    kinds = {kind: sum(row["kind"] == kind for row in working) for kind in WORDS}
    text = "\n".join(f"{count} × {WORDS[kind]}" for kind, count in kinds.items() if count)
    return Block(tuple(stage[-1]["shape"]), colour(working[-1]), text, count=len(working))


def colour(row: dict[str, Any]) -> str:
    """Return the key of a layer's colour."""
    if row["parameters"] and not row["trainable"]:
        return "frozen"
    return "dense" if len(row["shape"]) == 1 else "learns"


def caption(block: Block) -> list[str]:
    """Return the lines under a block."""
    size = " × ".join(map(str, block.shape)) if len(block.shape) == 3 else f"{block.shape[0]:,} unit{'s' if block.shape[0] > 1 else ''}"
    counted = block.text if block.count == 1 or block.text[0].isdigit() else f"{block.count} × {block.text}"
    texts = [*counted.splitlines(), *(["frozen"] if block.kind == "frozen" else []), *(f"then {words}" for words in block.then)]
    return [size, *(line for text in texts for line in textwrap.wrap(text, 20))]


def extent(block: Block, largest: int) -> tuple[float, float, float]:
    """Return a block's width, height and the slant of its side, in inches."""
    if len(block.shape) == 1:
        return 0.16, 0.25 + 0.13 * math.log2(block.shape[0]), 0.0
    height = HIGHEST * math.sqrt(block.shape[0] / largest)
    return 0.03 + 0.065 * math.log2(block.shape[2]), height, 0.2 * height


def cuboid(axes: Axes, left: float, block: Block, box: tuple[float, float, float]) -> None:
    """Draw one block: its front is channels by height, its slanted sides show that maps are flat pictures."""
    width, height, slant = box
    right, shade = left + width, COLOURS[block.kind]
    front = [(left, 0), (right, 0), (right, height), (left, height)]
    roof = [(left, height), (right, height), (right + slant, height + slant), (left + slant, height + slant)]
    flank = [(right, 0), (right + slant, slant), (right + slant, height + slant), (right, height)]
    for corners, strength in ((roof, 0.55), (flank, 0.75), (front, 1.0)):
        axes.add_patch(Polygon(corners, facecolor=shade, edgecolor="white", linewidth=0.8))
        axes.add_patch(Polygon(corners, facecolor="white", alpha=1 - strength, linewidth=0))
    layers = min(block.count, 8)
    for index in range(1, layers):  # a joint per layer
        place = left + width * index / layers
        axes.plot((place, place, place + slant), (0, height, height + slant), color="white", linewidth=0.8)
