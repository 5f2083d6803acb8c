"""Label images as masks: a PNG beside every image, a legend for its values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from xai.errors import DataError
from xai.modelfile import sha256

LEGEND = "legend.json"


@dataclass(frozen=True, slots=True)
class Labels:
    """A folder of label images that mirrors a data set.

    Args:
        folder: holds the label image of `a/b.jpg` as `a/b.png`.
        names: the regions, left and right parts together.
        values: per region the label values that belong to it.
    """

    folder: Path
    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of an image's label file, '' where there is none."""
        file = (self.folder / path).with_suffix(".png")
        return sha256(file) if file.is_file() else ""

    def read(self, path: str) -> np.ndarray | None:
        """Return the region masks of one image.

        Args:
            path: of the image, relative to the data set.

        Returns:
            bool `(R, h, w)`, exclusive, in the order of `names`; None where there is no label image.

        Raises:
            DataError: the label image cannot be read.
        """
        file = (self.folder / path).with_suffix(".png")
        if not file.is_file():
            return None
        try:
            with Pillow.open(file) as image:
                values = np.asarray(image)
        except OSError as error:
            raise DataError(f"label image '{file}' cannot be read: {error}") from None
        if values.ndim != 2:
            raise DataError(f"label image '{file}' has shape {values.shape}; expected one channel (grey or palette)")
        return np.stack([np.isin(values, group) for group in self.values])


def open_labels(folder: str | Path) -> Labels:
    """Open a folder of label images; `legend.json` lies in it or up to three folders above.

    Raises:
        DataError: no folder, no legend, or a damaged one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"masks '{folder}' is no folder; expected label images with the data set's own paths")
    legend = next((place / LEGEND for place in (folder, *folder.resolve().parents[:3]) if (place / LEGEND).is_file()), None)
    if legend is None:
        raise DataError(f'\'{folder}\' has no {LEGEND} in or above it; write one such as {{"0": "background", "1": "skin"}}')
    try:
        entries = {int(value): str(name) for value, name in json.loads(legend.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError) as error:
        raise DataError(f'\'{legend}\' is no legend ({error}); expected {{"0": "background", …}}') from None
    groups: dict[str, list[int]] = {}
    for value, name in sorted(entries.items()):
        groups.setdefault(both_sides(name), []).append(value)
    return Labels(folder, tuple(groups), tuple(tuple(group) for group in groups.values()))


def both_sides(name: str) -> str:
    """Return the name of a region without its side.

    Example:
        >>> both_sides("left_eye"), both_sides("nose")
        ('eyes', 'nose')
    """
    for side in ("left_", "right_"):
        if name.startswith(side):
            return name.removeprefix(side) + "s"
    return name
