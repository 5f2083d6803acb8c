"""Occlusion: hide a patch and watch the logit."""

from __future__ import annotations

import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, Logits, ask, checked, sweep
from xai.maps.fills import fills_of


def occlusion(
    logits: Logits,
    images: np.ndarray,
    *,
    patch: int | None = None,
    stride: int | None = None,
    fill: str | np.ndarray = "blur",
    low: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Answer:
    """Map how far the logit falls when a patch is hidden.

    A pixel's value is the mean over the patches that cover it of logit(image) -
    logit(patch hidden). Deviations from the paper: a blur rather than a grey patch (which is a
    trace of its own to a detector of traces), the logit rather than the probability,
    overlapping patches averaged.

    Args:
        logits: float32 `(n, H, W, 3)` -> `(n,)`, the logit of fake.
        images: float32 `(N, H, W, 3)`, as the network wants them.
        patch: side of the square patch, in pixels; default 1/8 of the image's shorter side.
        stride: pixels from patch to patch, at most `patch`; default half of it. The last patch
            of a row or column ends at the border, so it may overlap more.
        fill, low: what hides, as in `xai.maps.fills.fill`.
        seed: not read; nothing here is drawn by chance.
        batch_size: images asked about at once.

    Returns:
        Maps `(N, H, W)`, signed, in logits; positive: what lies here speaks for fake.

    Raises:
        WhyfakeError: a patch or stride that does not fit.

    Reference:
        Zeiler and Fergus, Visualizing and understanding convolutional networks, 2014,
        arXiv:1311.2901.

    Example:
        >>> image = np.zeros((1, 2, 4, 3), np.float32)
        >>> image[0, 0, 3] = 1
        >>> occlusion(lambda x: x.sum((1, 2, 3)), image, patch=2, stride=2, fill="black").maps[0].tolist()
        [[0.0, 0.0, 3.0, 3.0], [0.0, 0.0, 3.0, 3.0]]
    """
    images = checked(images)
    size = images.shape[1:3]
    patch = max(1, round(min(size) / 8)) if patch is None else patch
    stride = max(1, patch // 2) if stride is None else stride
    if not 1 <= patch <= min(size):
        raise WhyfakeError(f"a patch of {patch} pixels on images of {size[1]} x {size[0]}; expected 1 to {min(size)}")
    if not 1 <= stride <= patch:
        raise WhyfakeError(f"a stride of {stride} pixels for patches of {patch}; expected 1 to {patch}, so that every pixel is covered")
    maps = np.zeros(images.shape[:3], np.float32)
    for found, image, hidden in zip(maps, images, fills_of(images, fill, low), strict=True):
        found += falls(logits, image, hidden, patch, stride, batch_size)
    return Answer(maps)


def falls(logits: Logits, image: np.ndarray, hidden: np.ndarray, patch: int, stride: int, batch_size: int) -> np.ndarray:
    """Return one image's map, float64 `(H, W)`; arguments as in `occlusion`, `hidden` is the fill."""
    height, width = image.shape[:2]
    places = [(y, x) for y in starts(height, patch, stride) for x in starts(width, patch, stride)]

    def draw(index: int, out: np.ndarray) -> None:
        window = square(places[index], patch)
        out[...] = image
        out[window] = hidden[window]

    fallen = ask(logits, image[None]) - sweep(logits, (height, width), len(places), draw, batch_size)
    total, covers = np.zeros((height, width)), np.zeros((height, width))
    for place, fall in zip(places, fallen, strict=True):
        total[square(place, patch)] += fall
        covers[square(place, patch)] += 1
    return total / covers


def square(corner: tuple[int, int], side: int) -> tuple[slice, slice]:
    """Return the slices of a square from its upper left corner (y, x)."""
    return slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side)


def starts(length: int, patch: int, stride: int) -> list[int]:
    """Return where the patches begin along an axis: every `stride` pixels, the last one at the far border.

    Example:
        >>> starts(10, 4, 4), starts(8, 4, 2)
        ([0, 4, 6], [0, 2, 4])
    """
    return [*range(0, length - patch, stride), length - patch]
