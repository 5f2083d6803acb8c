"""Infidelity: how far a map's sum over a square is from what the logit loses when the square goes."""

from __future__ import annotations

import numpy as np

SIDE = 0.25  # of the shorter side

Square = tuple[slice, slice]


def squares(size: tuple[int, int], number: int, rng: np.random.Generator) -> list[Square]:
    """Return squares anywhere inside an image of `(H, W)` pixels, a quarter of the shorter side wide.

    All have one size: what area alone explains is then a constant, which no map is given credit for.
    """
    side = max(1, round(SIDE * min(size)))
    corners = rng.integers(0, np.array(size) - side + 1, (number, 2)).tolist()
    return [(slice(y, y + side), slice(x, x + side)) for y, x in corners]


def infidelity(sums: np.ndarray, drops: np.ndarray) -> np.ndarray:
    """Return the mean squared error of the drops that maps foretell, each map scaled as suits it best.

    Maps come in any unit. As in the paper's experiments, each is given the factor that makes its error
    least, image by image. Here it is never below 0: a map that must be turned upside down foretells nothing.

    Args:
        sums: `(..., S)`, a map's sum over each square, any unit.
        drops: `(S,)`, logits: as it is minus with the square replaced.

    Returns:
        `(...)`, logits squared; NaN without squares.

    Reference:
        Yeh et al., On the (In)fidelity and Sensitivity of Explanations, 2019, arXiv:1901.09392.

    Example:
        >>> infidelity(np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, -2.0]]), np.array([3.0, 6.0])).tolist()
        [0.0, 8.1, 22.5]
    """
    if not drops.size:
        return np.full(sums.shape[:-1], np.nan)
    squared = (sums**2).sum(-1)
    factor = np.maximum(0, (sums * drops).sum(-1)) / np.where(squared > 0, squared, 1)
    return np.asarray(((drops - factor[..., None] * sums) ** 2).mean(-1))
