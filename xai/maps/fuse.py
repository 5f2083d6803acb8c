"""One map out of several layers' maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xai.maps.placement import Axis, Placement

FUSED = "fused"  # the name, among layers, of a fused map


def fuse(maps: Sequence[np.ndarray], placements: Sequence[Placement]) -> tuple[np.ndarray, Placement]:
    """Take the mean of several layers' maps as shares of their positive mass, each cell at its own place.

    Layers differ in unit and in the number of their cells, so raw values cannot be added;
    a layer whose map is empty for an image is left out of that image's mean.
    (LayerCAM's authors take the maximum of maps scaled to their own maxima instead, in
    which a single strong cell of a fine layer outweighs the rest.)

    Args:
        maps: per layer, float `(N, h, w)`.
        placements: of the layers, all on one image.

    Returns:
        float32 `(N, h, w)` on a grid of the finest layer's stride that covers the image: the
        share of the positive mass in each cell, summing to 1 but for what lies outside the
        image, zero where all are empty; and the grid's placement.

    Example:
        >>> grid = Placement(Axis(2.0, 1.0), Axis(2.0, 1.0), (1, 2), (2, 4))
        >>> fuse([np.array([[[3.0, 1.0]]]), np.array([[[0.0, 8.0]]])], [grid, grid])[0].tolist()
        [[[0.375, 0.625]]]
    """
    image = placements[0].image
    sides = [min(where.stride[axis] for where in placements) for axis in (0, 1)]
    cells = tuple(max(1, round(image[axis] / sides[axis])) for axis in (0, 1))
    y, x = (Axis(image[axis] / cells[axis], image[axis] / cells[axis] / 2) for axis in (0, 1))
    grid = Placement(y, x, (cells[0], cells[1]), image)
    total = np.zeros((len(maps[0]), *grid.cells), np.float32)
    count = np.zeros((len(maps[0]), 1, 1), np.float32)
    for values, where in zip(maps, placements, strict=True):
        positive = np.maximum(values, 0)
        mass = positive.sum((1, 2), keepdims=True)
        per_cell = where.stride[0] * where.stride[1] / (y.stride * x.stride)  # grid cells that one cell's mass spreads over
        if where.cells == grid.cells and where.offset == grid.offset:
            placed = positive.astype(np.float32)
        else:
            placed = where.place(positive, grid.cells) / np.float32(per_cell)
        total += placed / np.maximum(mass, 1e-30)
        count += mass > 0
    return total / np.maximum(count, 1), grid
