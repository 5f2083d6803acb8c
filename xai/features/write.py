"""Feature pictures and strongest crops of chosen channels, written as files that a page is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xai import store
from xai.detector import Detector
from xai.errors import ImageError, LayerError, nothing_left
from xai.features.crops import cut, write_picture
from xai.features.maximise import Made, maximise
from xai.features.strongest import Strongest, Survey, look, signed
from xai.items import Item
from xai.progress import bar
from xai.provenance import shown, versions
from xai.version import VERSION

USUAL = 8  # channels of a layer, unless asked for otherwise


@dataclass(frozen=True, slots=True)
class Found:
    """What was written: the folder, `features.json` as it is there, and path -> reason of what could not be read."""

    folder: Path
    record: dict[str, Any]
    skipped: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many layers, channels, dead ones among them, and images."""
        channels = [channel for layer in self.record["layers"] for channel in layer["channels"]]
        dead = sum(channel["state"] == "dead" for channel in channels)
        return {
            "layers": len(self.record["layers"]),
            "channels": len(channels),
            "dead": dead,
            "images": self.record["data"]["images"] if self.record["data"] else 0,
        }

    @property
    def text(self) -> str:
        """The same in one line."""
        words = {name: f"{count} {name[:-1] if count == 1 else name}" for name, count in self.counts.items()}
        return f"{words['channels']} in {words['layers']}, {self.counts['dead']} dead; {words['images']}"


def write_features(
    detector: Detector,
    items: Sequence[Item],
    out: str | Path,
    *,
    layers: str = "auto",
    channels: str = str(USUAL),
    steps: int = 96,
    top: int = 9,
    seed: int = 0,
    limit: int | None = None,
    data: str = "",
    command: Sequence[str] = (),
    batch_size: int | None = None,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Found:
    """Write what channels look for: a picture made to excite each, and the images' places that excite it most.

    Args:
        detector: the detector.
        items: the images; none for the made pictures alone.
        out: the folder; gets `features.json`, `pictures/`, `crops/`, `images/` and `skipped.csv`.
        layers: as `Detector.select`.
        channels: how many of a layer, "all", or numbers with commas ("7," for one alone). So many: those
            whose maximum varies most between the images; without images the first.
        steps: of the ascent.
        top: images per channel.
        seed: of the ascent; recorded as that of the choice of images too.
        limit, data, command: recorded.
        batch_size: images, and channels, a pass.
        quiet: no progress bar.
        say: told what is being done.

    Raises:
        LayerError: an unknown layer or channel.
        ImageError: not one image could be read.
    """
    names = detector.select(layers)
    wanted = {name: asked(channels, name, detector.layers[name].shape[2]) for name in names}
    folder = store.make_folder(out)
    for name in ("features.json", "skipped.csv"):  # of an earlier run, whose pictures are about to go
        (folder / name).unlink(missing_ok=True)
    found = look(detector, items, names, top, batch_size, quiet) if items else None
    if found:
        store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(found.skipped.items()))
    if found and not found.logits:
        raise ImageError(f"{nothing_left(len(items), found.skipped)}; '{folder / 'skipped.csv'}' says why")
    chosen = {name: choose(wanted[name], found.best[name].spread if found else None) for name in names}
    total = sum(map(len, chosen.values()))
    say(f"{total} channels in {len(names)} layer{'s' if len(names) > 1 else ''}, {steps} steps each")
    negative = signed(detector, names, seed)
    entries = draw(detector, folder, chosen, negative, found, steps, seed, batch_size, quiet)
    if found:
        cut(detector, folder, items, entries, negative, found, quiet)
    record = about(detector, data, found, command) | {
        "options": {"layers": layers, "channels": channels, "steps": steps, "top": top, "limit": limit, "seed": seed},
        "layers": [layer_record(detector, name, entries[name], negative[name], found) for name in names],
    }
    store.write_json(folder / "features.json", record)
    return Found(folder, record, found.skipped if found else {})


def asked(channels: str, layer: str, count: int) -> int | list[int]:
    """Return how many channels of a layer are wanted, or which.

    Raises:
        LayerError: no number, or one that the layer does not have.

    Example:
        >>> asked("all", "conv", 3), asked("16", "conv", 8), asked("2,0", "conv", 3), asked("2,", "conv", 3)
        ([0, 1, 2], 8, [2, 0], [2])
    """
    if channels == "all":
        return list(range(count))
    words = [word.strip() for word in channels.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words) or ("," not in channels and int(words[0]) == 0):
        raise LayerError(f"channels '{channels}' cannot be read; expected how many, all, or numbers with commas ('7,' for one alone)")
    if "," not in channels:
        return min(int(words[0]), count)
    numbers = list(dict.fromkeys(map(int, words)))
    if max(numbers) >= count:
        raise LayerError(f"layer '{layer}' has no channel {max(numbers)}; expected numbers from 0 to {count - 1}")
    return numbers


def choose(wanted: int | list[int], spread: np.ndarray | None) -> list[int]:
    """Return channel numbers: those named, or so many of the largest spread (without one, the first).

    Example:
        >>> choose(2, np.array([0.5, 3.0, 0.0, 3.0])), choose(2, None), choose([5, 1], None)
        ([1, 3], [0, 1], [5, 1])
    """
    if isinstance(wanted, list):
        return wanted
    return list(range(wanted)) if spread is None else sorted(np.argsort(-spread, kind="stable")[:wanted].tolist())


def draw(
    detector: Detector,
    folder: Path,
    chosen: Mapping[str, list[int]],
    negative: Mapping[str, bool],
    found: Survey | None,
    steps: int,
    seed: int,
    batch_size: int | None,
    quiet: bool,
) -> dict[str, list[dict[str, Any]]]:
    """Make and write the pictures; return per layer a record per channel, as yet without crops."""
    entries: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    with bar(sum(map(len, chosen.values())), "drawing", "channel", quiet) as progress:
        for name, channels in chosen.items():
            best = found.best[name] if found else None
            for made in maximise(detector, name, channels, steps=steps, seed=seed, batch_size=batch_size):
                entries[name] += [channel_record(folder, name, made, place, negative[name], best) for place in range(len(made.channels))]
                progress.update(len(made.channels))
    return entries


def channel_record(folder: Path, layer: str, made: Made, place: int, negative: bool, best: Strongest | None) -> dict[str, Any]:
    """Write one channel's picture, if it has one, and return what is known of the channel."""
    channel, reached = made.channels[place], float(made.reached[place])
    excited = bool(made.moved[place]) and (negative or reached > 0)
    lively = best is not None and bool(best.spread[channel] > 0 if negative else best.maximum[channel] > 0)
    return {
        "channel": channel,
        # "stuck": off or without a gradient on grey, though the data excite it
        "state": "made" if excited else "stuck" if lively else "dead",
        "picture": write_picture(folder, f"pictures/{store.encode(layer)}__{channel}", made.pictures[place]) if excited else None,
        "reached": reached if excited else None,
        "data_maximum": float(best.maximum[channel]) if best else None,
        "active_share": int(best.active[channel]) / best.count if best and not negative else None,
        "spread": float(best.spread[channel]) if best else None,
        "crops": [],
    }


def layer_record(detector: Detector, name: str, channels: list[dict[str, Any]], negative: bool, found: Survey | None) -> dict[str, Any]:
    """Return a layer as it stands in `features.json`."""
    layer = detector.layers[name]
    return {
        "name": name,
        "type": layer.kind,
        "shape": layer.shape,
        "stride": layer.placement.stride,
        "receptive_field": layer.placement.receptive_field,
        "negative": negative,  # 0 does not mean off
        "dead": sum(entry["state"] == "dead" for entry in channels),
        "silent": int((found.best[name].active == 0).sum()) if found and not negative else None,  # of all channels, on every image
        "channels": channels,
    }


def about(detector: Detector, data: str, found: Survey | None, command: Sequence[str]) -> dict[str, Any]:
    """Return what the features are of, and what they were made with."""
    return {
        "whyfake": VERSION,
        "command": [shown(word) for word in command],
        "model": {
            "name": detector.name,
            "file": Path(detector.path).name,
            "sha256": detector.sha256,
            "input": [*detector.size, 3],
            "positive": detector.positive,
        },
        "preprocessing": detector.preprocessing.record(),
        "data": {"name": data, "images": len(found.logits), "skipped": len(found.skipped)} if found else None,
        "versions": versions(),
    }
