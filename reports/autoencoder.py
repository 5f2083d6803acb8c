"""A trained autoencoder as a page: made of `autoencoder.json` and the files beside it."""

from __future__ import annotations

from pathlib import Path

from reports import making, network, words
from reports.run import read_json
from reports.sheet import Picture, Section, Table, page
from xai import store

PICTURES = (
    ("reconstructions.png", "Held-out images and what comes back of them", ""),
    ("curves.png", "Training curve", ""),
)


def render(directory: str | Path) -> Path:
    """Write `index.html` of an autoencoder.

    Args:
        directory: what `whyfake train autoencoder --out` wrote.

    Raises:
        RunError: a needed file is missing or damaged.
    """
    folder = Path(directory)
    card = read_json(
        folder, "autoencoder.json", ("reconstruction", "training", "images", "input"), "run the same 'whyfake train autoencoder' command again"
    )
    error = card["reconstruction"]
    share = error["mse"] / error["mean_colour_mse"] if error["mean_colour_mse"] else None
    low, high = error["mse_interval"]
    tiles = [
        ("Error", words.number(error["mse"]), f"mean squared, pixels in 0 to 1; 95 % interval {words.number(low)} to {words.number(high)}"),
        ("PSNR", f"{words.fixed(error['psnr'], 1)} dB", ""),
        ("Against the mean colour", words.percent(share), "of the error of answering with each image's mean colour"),
    ]
    shown = {name: Picture(title, (folder / name).read_bytes(), note) for name, title, note in PICTURES if (folder / name).is_file()}
    sections = [
        Section("Reconstructions", "", tuple(shown[name] for name in ("reconstructions.png",) if name in shown)),
        Section("Training", "", tuple(shown[name] for name in ("curves.png",) if name in shown)),
        Section("Network", "", network.items(folder)),
        Section(
            "How this was made",
            "",
            tuple(
                Table(title, ("", ""), [(name, value) for name, value in making.flat(card.get(key))])
                for title, key in (("Training", "training"), ("Images", "images"), ("Versions", "versions"))
            ),
        ),
    ]
    count = words.plural(error["count"], "held-out image")
    text = f"On {count} the mean squared error is {words.number(error['mse'])}: "
    text += f"{words.percent(share)} of what answering with the mean colour would give.\n"
    text += "Its encoder is what 'whyfake train encoder-classifier DATA --encoder' takes."
    body = page(f"Autoencoder at {card['input'][0]} × {card['input'][1]}", text, tiles, sections, eyebrow="whyfake train autoencoder")
    return store.write_bytes(folder / "index.html", body.encode("utf-8", "replace"))
