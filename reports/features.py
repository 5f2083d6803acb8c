"""What a layer's channels look for, as a page: made of `features.json` and the pictures it names."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from reports import charts, html, making, words
from reports.run import read_json
from reports.sheet import KINDS, Part, Section, Table, page
from xai import store
from xai.errors import RunError

AGAIN = "run the same 'whyfake features' command again"
NEEDED = ("model", "data", "options", "layers", "versions")
WHOLE = 0.9  # share of the image from which a crop needs no picture of where it is
MADE = (
    "{left} picture made to excite the channel. Starting from grey, its pixels were moved uphill for the middle cell of "
    "the layer; shown is what that cell sees, the rest of the image was grey."
)
CUT = (
    " Right: the places in the images that excite it most, one per image, each cut to what the winning cell sees, with a frame on the "
    "whole image for where that is (a ring for its middle where it sees nearly all); below, the activation, the label and the score."
)
CAUTION = (
    "A made picture shows one input that excites a channel, not what the channel responds to in the data. No image need look like it, "
    "and a network can be excited by patterns that only look like noise."
)
AGREE = (
    " Believe a reading of it where the crops beside it say the same; where they disagree, the crops are what happens.\n"
    "Crops that look alike do not show that the detector uses the channel, nor what else excites it: they are the strongest few of all images."
)
STATES = {
    "dead": ("dead", "No gradient, or it stays at 0: no picture was found that excites it."),
    "stuck": ("no picture", "The data excite it, but from grey no way up was found."),
}
Record = Mapping[str, Any]


def render(directory: str | Path) -> Path:
    """Write `index.html` of a folder of feature pictures.

    The page is a pure function of the other files: the same files give the same bytes.

    Args:
        directory: what `whyfake features --out` wrote.

    Returns:
        The page's path.

    Raises:
        RunError: a needed file is missing or damaged; the old page, if any, stays.
    """
    folder = Path(directory)
    found = read_json(folder, "features.json", NEEDED, AGAIN)
    try:
        images = whole_images(folder, found["layers"])
        text = page(
            f"What the channels of {found['model']['name']} look for",
            lead(found),
            tiles(found),
            [
                Section("How to read this", reading(bool(found["data"]))),
                *(section(folder, found, layer, list(images)) for layer in found["layers"]),
                made(found),
            ],
            eyebrow="whyfake features",
            notes=notes(found),
            command=shlex.join(map(str, found.get("command") or [])),
            style=style(images),
        )
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise RunError(f"features.json in {folder} has an entry that lacks {error}; {AGAIN}") from error
    return store.write_bytes(folder / "index.html", text.encode("utf-8", "replace"))


def channels(found: Record) -> list[Record]:
    """Return every channel on the page."""
    return [channel for layer in found["layers"] for channel in layer["channels"]]


def lead(found: Record) -> str:
    """Say what is shown."""
    ways = "with a picture made to excite it"
    if found["data"]:
        ways = f"shown two ways: {ways[5:]}, and the places in {words.plural(found['data']['images'], 'image')} that excite it most"
    counts = f"{words.plural(len(channels(found)), 'channel')} in {words.plural(len(found['layers']), 'layer')}"
    return f"{counts}, each {ways}.\nA made picture shows one input that excites a channel, not what it responds to in the data."


def reading(beside: bool) -> str:
    """Say how to read the page and how not to; `beside`: there are crops."""
    return f"{MADE.format(left='Left of each row: a' if beside else 'A')}{CUT if beside else ''}\n{CAUTION}{AGREE if beside else ''}"


def tiles(found: Record) -> list[tuple[str, str, str]]:
    """Return the large numbers at the top."""
    every = channels(found)
    dead = sum(channel["state"] == "dead" for channel in every)
    tall = [
        ("Layers", words.number(len(found["layers"])), ""),
        ("Channels", words.number(len(every)), f"of {sum(layer['shape'][2] for layer in found['layers']):,} in these layers"),
        ("Dead", words.number(dead), "of those shown: no picture excites them"),
    ]
    if found["data"]:
        tall.append(("Images", words.number(found["data"]["images"]), str(found["data"]["name"])))
        silent = [layer["silent"] for layer in found["layers"] if layer["silent"] is not None]
        tall += [("Silent", words.number(sum(silent)), "of all channels: above 0 in no image")] if silent else []
    return tall


def notes(found: Record) -> list[str]:
    """Return what the reader should be warned of."""
    if not found["data"]:
        return ["No images were given: nothing here says what these channels respond to. Give a data set to see both."]
    skipped = found["data"]["skipped"]
    return [f"{words.plural(skipped, 'file')} could not be used; skipped.csv says why."] if skipped else []


def section(folder: Path, found: Record, layer: Record, images: Sequence[str]) -> Section:
    """Return one layer: its rows of channels, and what a cell of it sees."""
    values = {
        "channels": [row(folder, found, channel, images) for channel in layer["channels"]],
        "beside": bool(found["data"]),
        "ratio": f"{found['model']['input'][1]} / {found['model']['input'][0]}",
    }
    return Section(str(layer["name"]), layer_lead(found, layer), (Part("features.html", values),))


def layer_lead(found: Record, layer: Record) -> str:
    """Say what a layer is, which of its channels are shown and why, and how many are dead."""
    shown = len(layer["channels"])
    text = f"{layer['type']}, {words.plural(layer['shape'][2], 'channel')} of {area(layer['shape'][:2])} cells. "
    text += f"A cell sees {area(layer['receptive_field'])} of {area(found['model']['input'][:2])} pixels. "
    if layer["dead"]:
        text += f"Dead: {layer['dead']} of the {shown} shown. "
    if layer["silent"]:
        text += f"Above 0 in no image: {layer['silent']} of all {layer['shape'][2]}. "
    if layer["negative"]:
        text += "Its values go below 0, so 0 does not mean off. "
    if "," not in found["options"]["channels"] and shown < layer["shape"][2]:
        text += f"Shown: the {shown} whose maximum varies most between images." if found["data"] else f"Shown: the first {shown}."
    return text.strip()


def area(sides: Sequence[float]) -> str:
    """Return a height and a width as a reader meets them.

    Example:
        >>> area([99.0, 99.0])
        '99 × 99'
    """
    return " × ".join(words.number(side) for side in sides)


def row(folder: Path, found: Record, channel: Record, images: Sequence[str]) -> dict[str, Any]:
    """Return one channel as the template takes it."""
    state, why = STATES.get(channel["state"], ("", ""))
    return {
        "name": f"Channel {channel['channel']}",
        "picture": embedded(folder, channel["picture"]) if channel["picture"] else None,
        "state": state,
        "why": why,
        "facts": facts(channel),
        "crops": [crop(folder, found, entry, images) for entry in channel["crops"]],
    }


def facts(channel: Record) -> list[str]:
    """Return what is known of a channel as short lines.

    Example:
        >>> facts({"reached": 15.0, "data_maximum": 10.0, "active_share": 1.0})[0]
        'reached 15, 1.5 × the data’s maximum of 10'
    """
    lines, reached, maximum = [], channel["reached"], channel["data_maximum"]
    if reached is not None:
        beside = f", {words.number(reached / maximum, 2)} × the data’s maximum of {words.number(maximum)}" if maximum and maximum > 0 else ""
        lines.append(f"reached {words.number(reached)}{beside}")
    elif maximum is not None:
        lines.append(f"the data’s maximum: {words.number(maximum)}")
    if channel["active_share"] is not None:
        lines.append(f"above 0 in {words.percent(channel['active_share'])} of the images" if channel["active_share"] else "above 0 in no image")
    return lines


def crop(folder: Path, found: Record, entry: Record, images: Sequence[str]) -> dict[str, Any]:
    """Return one place of one image: the picture, where it is, and what is said under it."""
    height, width = found["model"]["input"][:2]
    top, left, bottom, right = entry["box"]
    whole = (bottom - top) * (right - left) >= WHOLE * height * width
    side = max(bottom - top, right - left)  # of the square that the crop stands in the middle of
    peak = [(entry["centre"][1] - (left + right) / 2) / side + 0.5, (entry["centre"][0] - (top + bottom) / 2) / side + 0.5]
    label = entry["label"] if entry["label"] in ("real", "fake") else ""
    return {
        "picture": embedded(folder, entry["picture"]),
        "number": images.index(entry["image"]),
        "frame": None if whole else shares((left / width, top / height, (right - left) / width, (bottom - top) / height)),
        "peak": shares(peak) if whole else None,
        "value": words.number(entry["activation"]),
        "label": label,
        "score": words.fixed(entry["score"]),
        "path": str(entry["path"]),
        "name": str(entry["path"]).rsplit("/", 1)[-1],
        "where": f"pixels {left} to {right} across, {top} to {bottom} down",
    }


def shares(parts: Sequence[float]) -> list[str]:
    """Return fractions as CSS percentages.

    Example:
        >>> shares((0.25, 1.2))
        ['25%', '100%']
    """
    return [f"{100 * min(max(part, 0), 1):.4g}%" for part in parts]


def embedded(folder: Path, name: str) -> dict[str, Any]:
    """Return a picture's `data:` address and size; small ones are shown with their pixels.

    Raises:
        RunError: missing, or no picture.
    """
    try:
        data = (folder / name).read_bytes()
        with Image.open(io.BytesIO(data), formats=tuple(KINDS)) as image:
            kind, size = KINDS[str(image.format)], image.size
    except (UnidentifiedImageError, OSError, ValueError):
        raise RunError(f"picture '{folder / name}' is missing or damaged; {AGAIN}") from None
    return {"uri": charts.uri(data, kind), "size": size, "coarse": max(size) <= 64}


def whole_images(folder: Path, layers: Sequence[Record]) -> dict[str, str]:
    """Return the `data:` address of each image that a frame is drawn on; many channels share them."""
    names = {entry["image"] for layer in layers for channel in layer["channels"] for entry in channel["crops"]}
    return {name: embedded(folder, name)["uri"] for name in sorted(names)}


def style(images: Mapping[str, str]) -> str:
    """Return the page's own CSS, with every whole image in it once."""
    rules = "\n".join(f".on-{number} {{ background-image: url({uri}); }}" for number, uri in enumerate(images.values()))
    return (html.HERE / "static" / "features.css").read_text(encoding="utf-8") + rules


def made(found: Record) -> Section:
    """Return what the page was made with."""
    parts = (("Options", "options"), ("Model", "model"), ("Preprocessing", "preprocessing"), ("Data", "data"), ("Versions", "versions"))
    tables = tuple(Table(title, ("", ""), making.flat(found[key])) for title, key in parts if found.get(key))
    text = "Made pictures: gradient ascent with tf-keras-vis on the activation of one cell, before the layer's activation function; "
    text += "total variation and norm held down, each spatial frequency's gradient divided by the frequency, shifts of a few pixels. "
    text += "The same seed gives the same pictures."
    return Section("How this was made", text, tables)
