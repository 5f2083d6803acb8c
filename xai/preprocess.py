"""The only place where pixels are cropped, resized, reordered or scaled for a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from xai.crop import CROPS, Box, find_box
from xai.errors import ModelError

# As others resize: OpenCV and TensorFlow take the nearest points alone, Pillow (and torchvision) all of the shrunk area.
OPENCV = {"nearest": cv2.INTER_NEAREST_EXACT, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
PILLOW = {
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
    "pillow-lanczos": Image.Resampling.LANCZOS,
}
RESIZES = ("area", *OPENCV, *PILLOW)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network expects of its pixels; recorded on the model's card.

    Args:
        height, width: input size in pixels.
        colour_order: "RGB" or "BGR".
        low, high: what 0 and 255 become.
        mean, std: what values lose after that, and by what they are divided, three each, in the network's colour order. The
            detector does this itself (`xai.normalise`): fills, noise and swapped parts are made of pixels in [low, high].
        crop: "none", or what the image is cropped to: the "centre", or the face that "mtcnn" or the "mesh" finds.
        resize: one of `RESIZES`. "area": areas averaged down, bilinear up.

    Example:
        >>> Preprocessing(2, 2).prepare(np.zeros((4, 4, 3), np.uint8)).shape
        (2, 2, 3)
    """

    height: int
    width: int
    colour_order: str = "RGB"
    low: float = 0.0
    high: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    crop: str = "none"
    resize: str = "area"

    def __post_init__(self) -> None:
        if self.colour_order not in ("RGB", "BGR"):
            raise ModelError(f"colour order '{self.colour_order}' is not known; expected RGB or BGR")
        if self.crop not in CROPS:
            raise ModelError(f"crop '{self.crop}' is not known; expected one of: {', '.join(CROPS)}")
        if self.resize not in RESIZES:
            raise ModelError(f"resize '{self.resize}' is not known; expected one of: {', '.join(RESIZES)}")
        colours = len(self.mean) == len(self.std) == 3 and np.isfinite([*self.mean, *self.std]).all() and min(self.std) > 0
        if min(self.height, self.width) < 1 or self.high == self.low or not colours:
            raise ModelError(f"impossible preprocessing: {asdict(self)}")

    def view(self, image: np.ndarray) -> tuple[np.ndarray, Box | None]:
        """Return the part of an image that the network is to see: the first step after decoding.

        What is shown of an image (overlays, thumbnails) and measured on it (region masks) is
        this part as well, at its own resolution.

        Args:
            image: uint8 `(h, w, 3)`, RGB.

        Returns:
            uint8 `(side, side, 3)`, RGB, and its box; the image itself and None without a crop.

        Raises:
            NoFaceError: to be cropped to its face, and none was found.
            ModelError: the finder's package is not installed.
        """
        if self.crop == "none":
            return image, None
        box = find_box(image, self.crop)
        return box.cut(image), box

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Resize an image to the network's size, in the network's way.

        Args:
            image: uint8 `(h, w, 3)`, RGB.

        Returns:
            uint8 `(height, width, 3)`, RGB; the same array where the size fits.
        """
        h, w = image.shape[:2]
        if (h, w) == (self.height, self.width):
            return image
        side = self.width, self.height
        if self.resize in PILLOW:
            return np.array(Image.fromarray(image).resize(side, PILLOW[self.resize]))  # a copy: Pillow's own may not be written to
        shrinks = h >= self.height and w >= self.width
        return cv2.resize(image, side, interpolation=OPENCV.get(self.resize, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))

    def scale(self, images: np.ndarray) -> np.ndarray:
        """Reorder and scale pixels.

        Args:
            images: `(..., height, width, 3)`, RGB, in [0, 255].

        Returns:
            float32, same shape, in [low, high], in the network's colour order.
        """
        values = images.astype(np.float32)
        if self.colour_order == "BGR":
            values = values[..., ::-1]
        if (self.low, self.high) != (0.0, 255.0):
            values = values * np.float32((self.high - self.low) / 255) + np.float32(self.low)
        return values

    def unscale(self, values: np.ndarray) -> np.ndarray:
        """Return what a network's input looks like: the inverse of `scale`, to the nearest whole value.

        Args:
            values: `(..., height, width, 3)`, in [low, high], in the network's colour order.

        Returns:
            uint8, same shape, RGB.

        Example:
            >>> Preprocessing(1, 1, "BGR", -1.0, 1.0).unscale(np.array([[[-1.0, 0.0, 1.0]]])).tolist()
            [[[255, 128, 0]]]
        """
        pixels = (values - self.low) * (255 / (self.high - self.low))
        pixels = pixels[..., ::-1] if self.colour_order == "BGR" else pixels
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return `scale(fit(image))`, float32 `(height, width, 3)`: a view's pixels as the network wants them."""
        return self.scale(self.fit(image))

    def text(self) -> str:
        """Return all of it as words.

        Example:
            >>> Preprocessing(48, 64).text()
            '64 x 48, RGB, 0 to 255, crop: none, resize: area'
        """
        size = f"{self.width} x {self.height}, {self.colour_order}"
        return f"{size}, {self.low:g} to {self.high:g}{self.normalisation()}, crop: {self.crop}, resize: {self.resize}"

    def normalisation(self) -> str:
        """Return mean and deviation as words, "" where they change nothing.

        Example:
            >>> Preprocessing(1, 1, mean=(1, 2, 3)).normalisation()
            ', less 1 2 3'
        """
        words = ((", less ", self.mean, 0), (", divided by ", self.std, 1))
        return "".join(start + " ".join(f"{value:g}" for value in values) for start, values, plain in words if set(values) != {plain})

    def record(self) -> dict[str, Any]:
        """Return the fields for a card or `run.json`."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}


def conventions(
    card: dict[str, Any] | None,
    size: tuple[int, int],
    *,
    positive: str | None,
    colour_order: str | None,
    value_range: tuple[float, float] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    crop: str | None,
    resize: str | None,
) -> dict[str, Any]:
    """Return what a detector's pixels and scores mean: as said, else from the card, else the usual."""
    said = card or {}
    positive = positive or said.get("positive") or "fake"
    if positive not in ("fake", "real"):
        raise ModelError(f"positive class '{positive}' is not known; expected fake or real")
    low, high = value_range or said.get("range") or (0.0, 255.0)
    order = colour_order or said.get("colour_order") or "RGB"
    centre, spread = said.get("mean", (0, 0, 0)) if mean is None else mean, said.get("std", (1, 1, 1)) if std is None else std
    cut, shrunk = crop or said.get("crop") or "none", resize or said.get("resize") or "area"
    return {
        "preprocessing": Preprocessing(*size, order, float(low), float(high), tuple(map(float, centre)), tuple(map(float, spread)), cut, shrunk),
        "positive": positive,
        "threshold": float(said.get("threshold", 0.5)),
    }
