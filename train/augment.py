"""Random changes to training images: off by default, recorded on the card, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from xai.errors import DataError


@dataclass(frozen=True, slots=True)
class Augment:
    """What may happen to a training image; zero switches a change off.

    Args:
        flip: mirror left-right with this probability, in [0, 1].
        crop: pad by up to this share of each side, mirrored, and cut the old size out anywhere, in
            [0, 0.5]. Whole pixels only: cutting and resizing back would smooth away the fine
            traces of a generator.
        jpeg: compress as JPEG with a quality drawn from here up to 100, in [1, 100]; 0 is off.
        blur: Gaussian blur with a standard deviation of up to so many pixels.
        colour: change brightness, contrast and saturation by up to this share, in [0, 1].
        erase: with this probability fill a square with the image's mean colour, its middle anywhere, its side
            0.15 to 0.5 of the image's shorter one, in [0, 1]; what it reaches over the border is lost.

    Example:
        >>> Augment.parse("flip,jpeg=60")
        Augment(flip=0.5, crop=0.0, jpeg=60.0, blur=0.0, colour=0.0, erase=0.0)

    Reference:
        erase: DeVries and Taylor, Improved regularization of convolutional neural networks with cutout, 2017,
        arXiv:1708.04552; Zhong et al., Random erasing data augmentation, 2017, arXiv:1708.04896.
    """

    flip: float = 0.0
    crop: float = 0.0
    jpeg: float = 0.0
    blur: float = 0.0
    colour: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if value and not low <= value <= high:
                raise DataError(f"augmentation '{name}={value:g}' is out of range; expected {low:g} to {high:g}, or 0 for off")

    @classmethod
    def parse(cls, text: str) -> Augment:
        """Read `flip,crop=0.1,jpeg=60`: names with commas between, a strength after '='.

        Raises:
            DataError: an unknown name or a strength that means nothing.
        """
        chosen: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            if name == "none" and not value:
                continue
            if name not in USUAL:
                raise DataError(f"augmentation '{name}' is not known; expected none or some of: {', '.join(USUAL)}")
            try:
                chosen[name] = float(value) if value else USUAL[name]
            except ValueError:
                raise DataError(f"augmentation '{part}' has no number after '='; expected such as '{name}={USUAL[name]:g}'") from None
        return cls(**chosen)

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        return ",".join(f"{name}={value:g}" for name, value in self.record().items()) or "none"

    def record(self) -> dict[str, float]:
        """Return what is switched on, for the card."""
        return {name: value for name, value in asdict(self).items() if value}

    def apply(self, image: Any, seed: Any) -> Any:
        """Change one image.

        Args:
            image: uint8 tensor `(h, w, 3)` of known shape, RGB (JPEG keeps less of red and blue than of green), in [0, 255].
            seed: int32 tensor `(2,)`; the same seed gives the same change.

        Returns:
            uint8 tensor of the same shape.
        """
        import tensorflow as tf

        def drawn(place: int, low: float, high: float) -> Any:
            return tf.random.stateless_uniform((), seed + tf.constant((0, place)), low, high)

        shape = image.shape
        if self.crop:
            edges = [min(round(self.crop * side), side - 1) for side in shape[:2]]
            padded = tf.pad(image, [[edge, edge] for edge in edges] + [[0, 0]], "REFLECT")
            corner = [tf.cast(drawn(1 + axis, 0, 2 * edge + 1), tf.int32) for axis, edge in enumerate(edges)]
            image = tf.ensure_shape(padded[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]], shape)
        if self.flip:
            image = tf.cond(drawn(0, 0, 1) < self.flip, lambda: tf.reverse(image, [1]), lambda: image)
        if self.colour or self.blur:
            values = tf.cast(image, tf.float32)
            if self.colour:
                bright, contrast, saturation = (1 + drawn(place, -self.colour, self.colour) for place in (4, 5, 6))
                values = values * bright
                values = mixed(values, tf.reduce_mean(values), contrast)
                values = mixed(values, tf.reduce_mean(values, -1, keepdims=True), saturation)
            if self.blur:
                values = blurred(values, drawn(7, 0, self.blur), round(3 * self.blur + 0.5))
            image = tf.saturate_cast(tf.round(values), tf.uint8)
        if self.erase:
            image = tf.cond(drawn(9, 0, 1) < self.erase, lambda: erased(image, [drawn(place, 0, 1) for place in (10, 11, 12)]), lambda: image)
        if self.jpeg:
            quality = tf.cast(drawn(8, self.jpeg, 101), tf.int32)
            image = tf.ensure_shape(tf.image.adjust_jpeg_quality(image, quality), shape)  # last: as a file would have been saved
        return image


USUAL = {"flip": 0.5, "crop": 0.05, "jpeg": 60.0, "blur": 1.0, "colour": 0.2, "erase": 0.5}  # strengths where none is given
LIMITS = {"flip": (0.0, 1.0), "crop": (0.0, 0.5), "jpeg": (1.0, 100.0), "blur": (0.0, 20.0), "colour": (0.0, 1.0), "erase": (0.0, 1.0)}
ERASED = 0.15, 0.5  # least and most of the shorter side


def mixed(values: Any, centre: Any, factor: Any) -> Any:
    """Return values moved towards (factor below 1) or away from a centre."""
    return centre + (values - centre) * factor


def erased(image: Any, chance: Sequence[Any]) -> Any:
    """Fill a square with an image's mean colour.

    Args:
        image: uint8 tensor `(h, w, 3)`.
        chance: scalar tensors in [0, 1): how large, how far down and how far right its middle is.
    """
    import tensorflow as tf

    height, width = image.shape[:2]
    half = min(height, width) * (ERASED[0] + (ERASED[1] - ERASED[0]) * chance[0]) / 2
    rows, columns = tf.range(height, dtype=tf.float32) + 0.5, tf.range(width, dtype=tf.float32) + 0.5
    inside = (tf.abs(rows - height * chance[1]) < half)[:, None] & (tf.abs(columns - width * chance[2]) < half)[None]
    mean = tf.cast(tf.round(tf.reduce_mean(tf.cast(image, tf.float32), (0, 1))), tf.uint8)
    return tf.where(inside[..., None], mean, image)


def blurred(values: Any, sigma: Any, radius: int) -> Any:
    """Blur an image with a Gaussian, its border mirrored.

    Args:
        values: float32 tensor `(h, w, 3)`.
        sigma: standard deviation in pixels, a scalar tensor.
        radius: of the kernel in pixels, three deviations at the most.
    """
    import tensorflow as tf

    radius = min(radius, min(values.shape[:2]) - 1)
    steps = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.exp(-0.5 * (steps / tf.maximum(sigma, 1e-3)) ** 2)
    kernel = kernel / tf.reduce_sum(kernel)
    padded = tf.pad(values, [[radius, radius], [radius, radius], [0, 0]], "REFLECT")[None]
    rows = tf.nn.depthwise_conv2d(padded, tf.tile(kernel[:, None, None, None], (1, 1, 3, 1)), (1, 1, 1, 1), "VALID")
    return tf.nn.depthwise_conv2d(rows, tf.tile(kernel[None, :, None, None], (1, 1, 3, 1)), (1, 1, 1, 1), "VALID")[0]
