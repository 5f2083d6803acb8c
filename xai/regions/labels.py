"""Label images as parts: a PNG beside every image, a legend for its values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from xai.crop import Box
from xai.errors import DataError, ImageError, readable
from xai.images import FORMATS
from xai.modelfile import sha256
from xai.regions.parts import NOTHING, Parts

LEGEND = "legend.json"
LONGEST = 1024  # pixels: the longer side of the labels at most
ASKEW = 0.02  # difference in aspect from which a label image is not the picture's own
# CelebAMask-HQ calls left what is the person's left; the names here are the viewer's.
CELEBAMASK = (
    "background", "skin", "nose", "glasses", "right_eye", "left_eye", "right_brow", "left_brow", "right_ear", "left_ear",
    "mouth_inside", "upper_lip", "lower_lip", "hair", "hat", "earrings", "necklace", "neck", "clothing",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Labels:
    """A folder of label images that mirrors a data set.

    Args:
        folder: holds the label image of `a/b.jpg` as `a/b.png`.
        names: the parts.
        table: uint8 `(256,)`: the part of each label value, 255 for none.
        legend: where the names come from.
    """

    folder: Path
    names: tuple[str, ...]
    table: np.ndarray
    legend: str

    kind = "labels"

    def identity(self, path: str) -> str:
        """Return the SHA-256 of an image's label file, '' where there is none."""
        file = self.file(path)
        return sha256(file) if file.is_file() else ""

    def record(self) -> dict[str, object]:
        """Return what a run's record says of the parts."""
        return {"kind": self.kind, "names": list(self.names), "legend": self.legend, "values": self.table.tolist()}

    def file(self, path: str) -> Path:
        """Return where the label image of an image lies."""
        return (self.folder / path).with_suffix(".png")

    def parts(self, path: str, view: np.ndarray, box: Box | None = None) -> Parts:
        """Return the parts of one image.

        Args:
            path: of the image, relative to the data set.
            view: uint8 `(h, w, 3)`, what is looked at; only its shape is read.
            box: the part of the picture that is looked at; label images show the whole of it.

        Returns:
            At the label image's own resolution, its longer side 1,024 pixels at most.

        Raises:
            ImageError: there is no label image, it cannot be read, or it has not the shape of the picture.
        """
        file = self.file(path)
        if not file.is_file():
            raise ImageError("no label image")
        try:
            with Pillow.open(file, formats=FORMATS) as image:
                values = np.asarray(image)
        except Exception as error:  # a decoder raises whatever the broken part makes it raise
            raise ImageError(f"label image cannot be read: {readable(' '.join(str(error).split()))[:120]}") from None
        if values.ndim != 2 or values.dtype not in (np.uint8, np.bool_):
            raise ImageError(f"label image has shape {values.shape} of {values.dtype}; expected one channel of 8 bits (grey or palette)")
        height, width = view.shape[:2] if box is None else box.image
        if abs(values.shape[0] * width - values.shape[1] * height) > ASKEW * max(values.shape[0] * width, values.shape[1] * height):
            raise ImageError(f"label image of {values.shape[1]} x {values.shape[0]} does not fit a picture of {width} x {height}")
        values = thinned(values.astype(np.uint8))
        labels = self.table[values]
        present = np.zeros(256, np.float32)
        present[labels] = 1
        return Parts(labels, self.names, present[: len(self.names)]).cut(box)


def thinned(values: np.ndarray) -> np.ndarray:
    """Return a label image with its longer side at most 1,024 pixels, each the label that lies there."""
    scale = LONGEST / max(values.shape)
    if scale >= 1:
        return values
    height, width = (max(1, round(side * scale)) for side in values.shape)
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))


def open_labels(folder: str | Path) -> Labels:
    """Open a folder of label images; `legend.json` lies in it or up to three folders above.

    Without a legend the values are CelebAMask-HQ's 19 classes, if the first label image has no other.

    Raises:
        DataError: no folder, no legend for these values, or a damaged one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"masks '{folder}' is no folder; expected label images with the data set's own paths")
    legend = next((place / LEGEND for place in (folder, *folder.resolve().parents[:3]) if (place / LEGEND).is_file()), None)
    if legend is None:
        if not celebamask(folder):
            raise DataError(f'\'{folder}\' has no {LEGEND} in or above it; write one such as {{"0": "background", "1": "skin"}}')
        return labelled(folder, dict(enumerate(CELEBAMASK)), "CelebAMask-HQ's 19 classes")
    try:
        entries = {int(value): str(name) for value, name in json.loads(legend.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f'\'{legend}\' is no legend ({error}); expected {{"0": "background", …}}') from None
    if not entries or not all(0 <= value < 256 for value in entries) or len(set(entries.values())) >= NOTHING:
        raise DataError(f"'{legend}' is no legend: expected names for values from 0 to 255, at most {NOTHING - 1} of them")
    return labelled(folder, entries, legend.name)


def labelled(folder: Path, entries: dict[int, str], legend: str) -> Labels:
    """Return the labels of a folder; values with one name are one part, capitals and spaces are no other name."""
    entries = {value: name.strip().lower().replace(" ", "_") for value, name in entries.items()}
    names = tuple(dict.fromkeys(name for _, name in sorted(entries.items())))
    table = np.full(256, NOTHING, np.uint8)
    for value, name in entries.items():
        table[value] = names.index(name)
    return Labels(folder, names, table, legend)


def celebamask(folder: Path) -> bool:
    """Say whether the first label image of a folder has CelebAMask-HQ's values, skin among them."""
    first = next(iter(sorted(folder.rglob("*.png"))), None)
    if first is None:
        return False
    try:
        with Pillow.open(first) as image:
            values = np.asarray(image)
    except (OSError, ValueError, Pillow.DecompressionBombError):
        return False
    return values.ndim == 2 and values.max() < len(CELEBAMASK) and bool((values == CELEBAMASK.index("skin")).any())
