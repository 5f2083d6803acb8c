"""What the winning cells see of the images, cut out and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xai import overlay, store
from xai.detector import Detector, score
from xai.features.strongest import Survey, seen
from xai.items import Item
from xai.stream import batches

LARGE = 64  # pixels; JPEG would blur smaller pictures
SIDE, THUMB = 256, 112  # longest side of a written picture and of a whole image, pixels


def cut(
    detector: Detector,
    folder: Path,
    items: Sequence[Item],
    entries: Mapping[str, list[dict[str, Any]]],
    negative: Mapping[str, bool],
    found: Survey,
    quiet: bool,
) -> None:
    """Read the images again in which a channel is strongest, and write what the winning cells see of them."""
    wanted: dict[int, list[tuple[str, dict[str, Any], int, float, int]]] = {}
    for layer, channels in entries.items():
        for entry in channels:
            for rank, (value, image, cell) in enumerate(found.best[layer].of(entry["channel"], negative[layer])):
                wanted.setdefault(image, []).append((layer, entry, rank, value, cell))
    for number, pixels in reread(detector, items, sorted(wanted), quiet):
        whole = f"images/{number}"
        file = write_picture(folder, whole, overlay.thumbnail(pixels, THUMB))
        for layer, entry, rank, value, cell in wanted[number]:
            name = f"crops/{store.encode(layer)}__{entry['channel']}__{rank}"
            crop = crop_record(detector, folder, name, pixels, layer, cell)
            logit = found.logits[number]
            shared = {"rank": rank, "image": file, "path": items[number].path, "label": items[number].label}
            entry["crops"].append(shared | {"logit": logit, "score": float(score(np.array(logit))), "activation": value} | crop)
    for channels in entries.values():
        for entry in channels:
            entry["crops"].sort(key=lambda crop: crop["rank"])


def reread(detector: Detector, items: Sequence[Item], numbers: Sequence[int], quiet: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (item number, uint8 pixels at the network's size) of some images."""
    paths = [items[number].file for number in numbers]
    for batch in batches(detector, paths, keep=lambda index, view, box: detector.preprocessing.fit(view), label="cutting", quiet=quiet):
        for index, pixels in zip(batch.indices, batch.images, strict=True):
            yield numbers[index], pixels


def crop_record(detector: Detector, folder: Path, name: str, pixels: np.ndarray, layer: str, cell: int) -> dict[str, Any]:
    """Write what a cell sees of an image and return where that is."""
    placement = detector.layers[layer].placement
    place = divmod(cell, placement.cells[1])
    top, left, bottom, right = box = seen(placement, place)
    return {"picture": write_picture(folder, name, pixels[top:bottom, left:right]), "cell": place, "centre": placement.centre(place), "box": box}


def write_picture(folder: Path, name: str, pixels: np.ndarray) -> str:
    """Write a picture, large ones scaled down and as JPEG; return its name with the ending."""
    ending = ".png" if max(pixels.shape[:2]) <= LARGE else ".jpg"
    store.write_bytes(folder / (name + ending), overlay.encode(np.ascontiguousarray(overlay.thumbnail(pixels, SIDE)), ending))
    return name + ending
