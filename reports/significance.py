"""Which cells of a mean map are more than chance, from the mean, the spread and the count alone."""

from __future__ import annotations

import numpy as np

from xai.multiple import benjamini_hochberg

LEAST = 8  # maps, below which Student's t asks too much of the values' distribution
LEVEL = 0.05  # share of false alarms to expect among the cells that are shown


def significant(mean: np.ndarray, std: np.ndarray, count: int, signed: bool) -> np.ndarray:
    """Say which cells of a mean map differ surely from nothing.

    Student's t per cell, two-sided; Benjamini and Hochberg over all cells of the map. A method
    whose maps take both signs is tested against zero. One whose maps cannot be negative is above zero
    everywhere, so it is tested against the mean map's own average over the cells, and only what lies
    above that counts. This is conservative: images whose whole map is strong or weak add to the spread,
    and not to the pattern.

    Args:
        mean: `(h, w)`, any unit.
        std: the population standard deviation over the maps, `(h, w)`, that unit.
        count: maps that were averaged.
        signed: whether the method's maps take both signs.

    Returns:
        bool `(h, w)`; False where every map has the same value, and everywhere below 8 maps.

    Reference:
        Genovese, Lazar and Nichols, Thresholding of statistical maps in functional neuroimaging using the
        false discovery rate, 2002, doi:10.1006/nimg.2001.1037.

    Example:
        >>> significant(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), 17, signed=True).tolist()  # t = 0 and 4
        [[False, True]]
    """
    from scipy.special import stdtr

    if count < LEAST:
        return np.zeros(mean.shape, bool)
    mean, std = np.asarray(mean, float), np.asarray(std, float)
    distance = mean if signed else mean - mean.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        # The stored spread is divided by n, not n − 1: hence the root of n − 1 here.
        t = np.abs(distance) / (std / np.sqrt(count - 1))
        p = np.where(std > 0, 2 * stdtr(count - 1, -t), np.nan)
    found: np.ndarray = np.nan_to_num(benjamini_hochberg(p), nan=1.0) <= LEVEL
    return found if signed else found & (distance > 0)
