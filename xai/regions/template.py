"""The parts of a mean face, for sets of pictures that are all framed alike and too poor to find a face in."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from xai.regions import borders, meshparts
from xai.regions.parts import Parts

MEAN = Path(__file__).with_name("meanface.csv")
# Nobody looked at the picture: at best the confidence of a part that was found is halved.
CONFIDENCE = 0.5


def parts(size: tuple[int, int]) -> Parts:
    """Return the parts of the mean face on a picture of a size.

    The mean of the meshes of 800 photos framed as FFHQ's, in shares of the side (`points`), so it fits pictures
    framed like those and no others. Borders are the mesh's own, the forehead's raised to the mean hairline;
    the mouth is a little open, as most of them smile.

    Args:
        size: `(h, w)` of the picture; the labels' longer side is 512 pixels at most.

    Returns:
        Labels in `xai.regions.meshparts.NAMES`; confidence at most 0.5.

    Example:
        >>> found = parts((64, 64))
        >>> found.names[found.labels[38, 32]], found.names[found.labels[0, 0]], float(found.confidence.max())
        ('nose', 'background', 0.5)
    """
    size = meshparts.working_size(size)
    places = points() * size
    return meshparts.paint(places, size, borders.plain(places, size), CONFIDENCE)


@cache
def points() -> np.ndarray:
    """Return the mean mesh, `(468, 2)`, (y, x) in shares of the height and the width."""
    return np.loadtxt(MEAN, delimiter=",", skiprows=1)
