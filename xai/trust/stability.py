"""How far maps move when the image hardly does, and whether they are the same the second time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xai.errors import WhyfakeError

Pair = tuple[str, str]
Mapper = Callable[[np.ndarray], dict[Pair, np.ndarray]]

RADIUS = 2 / 255  # of the range of pixel values: less than JPEG does, more than rounding
DRAWS = 8


@dataclass(frozen=True, slots=True)
class Stability:
    """What noise and a second look did to the maps of one layer and method.

    Args:
        sensitivity: per image, the largest change over the draws, of the map's own length; NaN for an empty map.
        lipschitz: per image, the largest change for the length of the noise, in the map's unit for the network's input unit.
        difference: per image, the largest difference of a cell between two looks at the same image.
        peak: per image, the largest magnitude of a cell.
    """

    sensitivity: np.ndarray  # (N,)
    lipschitz: np.ndarray  # (N,)
    difference: np.ndarray  # (N,)
    peak: np.ndarray  # (N,)


def stability(
    mapper: Mapper, images: np.ndarray, radius: float, *, draws: int = DRAWS, seed: int = 0, numbers: Sequence[int] | None = None
) -> tuple[dict[Pair, np.ndarray], dict[Pair, Stability]]:
    """Map images, the same again, and noisy copies of them.

    Lengths are Euclidean, over all cells of a map at its own resolution. Noise is uniform within the radius on every value
    and is not cut at the ends of the range. The Lipschitz estimate looks at random neighbours as the sensitivity does;
    the paper searches for the worst. It has units: compare it between images, not between methods or networks.

    Args:
        mapper: from images to maps by (layer, method).
        images: float32 `(N, height, width, 3)`, as the network wants them.
        radius: of the noise, in the unit of the images.
        draws: noisy copies of an image.
        seed: of the noise.
        numbers: of the images, which decide their noise; default 0 to N - 1.

    Returns:
        The maps, and by (layer, method) how stable they are.

    Raises:
        WhyfakeError: no draws.

    Reference:
        Yeh et al., On the (in)fidelity and sensitivity of explanations, 2019, arXiv:1901.09392 (sensitivity).
        Alvarez-Melis and Jaakkola, On the robustness of interpretability methods, 2018, arXiv:1806.08049 (Lipschitz).
    """
    if draws < 1:
        raise WhyfakeError(f"{draws} noisy copies of an image; expected 1 or more")
    numbers = range(len(images)) if numbers is None else numbers
    maps, again = mapper(images), mapper(images)
    spread = {pair: np.zeros((2, len(images))) for pair in maps}  # the largest change so far, and that for the length of the noise
    for draw in range(draws):
        noise = np.stack([uniform(images.shape[1:], radius, [seed, draw, number]) for number in numbers])
        moved = images + noise
        step = length(moved - images)  # what float32 leaves of the noise
        for pair, values in mapper(moved).items():
            change = length(values - maps[pair])
            np.maximum(spread[pair], [change, change / step], out=spread[pair])
    found = {}
    for pair, values in maps.items():
        own = length(values)
        sensitivity = np.divide(spread[pair][0], own, out=np.full(len(own), np.nan), where=own > 0)
        found[pair] = Stability(sensitivity, spread[pair][1], np.abs(again[pair] - values).max((1, 2)), np.abs(values).max((1, 2)))
    return maps, found


def uniform(shape: tuple[int, ...], radius: float, seed: Sequence[int]) -> np.ndarray:
    """Return noise between -radius and radius, float32."""
    return (2 * np.random.default_rng(seed).random(shape, np.float32) - 1) * np.float32(radius)


def length(values: np.ndarray) -> np.ndarray:
    """Return the Euclidean length of each image or map, float64 `(N,)`.

    Example:
        >>> length(np.array([[[3.0, 4.0]]])).tolist()
        [5.0]
    """
    cells = values.reshape(len(values), -1)
    return np.sqrt(np.einsum("ni,ni->n", cells, cells, dtype=np.float64))
