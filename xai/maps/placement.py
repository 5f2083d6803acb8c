"""Where a layer's cells lie on the image.

A cell's centre follows from the strides, kernels and padding before its layer:
`centre = stride * j + offset`, in pixels from the image's edge (pixel i spans
[i, i + 1)). Stretching a map over the image is only right where the outer cells
happen to sit half a stride from the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

EDGE = 0.5  # of a tent: half a stride beyond the outer centres


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a placement, in pixels.

    Args:
        stride: distance between the centres of neighbouring cells.
        offset: centre of cell 0.
        field: size of the receptive field, in pixels.
    """

    stride: float = 1.0
    offset: float = 0.5
    field: float = 1.0

    def window(self, kernel: int, stride: int = 1, before: float = 0.0, dilation: int = 1) -> Axis:
        """Return the axis after a window (convolution or pooling) slid over it.

        Args:
            kernel: window size in cells.
            stride: step in cells.
            before: cells of padding before cell 0.
            dilation: distance between the window's taps, in cells.

        Example:
            >>> Axis().window(2, 2).window(10, 2)  # the first two convolutions of alexnet18
            Axis(stride=4.0, offset=10.0, field=20.0)
        """
        reach = dilation * (kernel - 1)
        return Axis(
            self.stride * stride,
            self.offset + self.stride * (reach / 2 - before),
            self.field + self.stride * reach,
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the cells of a `(h, w)` map lie on the image the network sees.

    Args:
        y, x: the two axes.
        cells: `(h, w)`, the map's size.
        image: `(H, W)`, the network's input size in pixels.
    """

    y: Axis
    x: Axis
    cells: tuple[int, int]
    image: tuple[int, int]

    @property
    def stride(self) -> tuple[float, float]:
        """Pixels between neighbouring cells, (y, x)."""
        return self.y.stride, self.x.stride

    @property
    def offset(self) -> tuple[float, float]:
        """Centre of cell (0, 0) in pixels, (y, x)."""
        return self.y.offset, self.x.offset

    @property
    def receptive_field(self) -> tuple[float, float]:
        """Pixels that one cell sees, (y, x)."""
        return self.y.field, self.x.field

    def centre(self, cell: tuple[float, float]) -> tuple[float, float]:
        """Return the centre of a cell in pixels of the network's input, (y, x)."""
        return (self.y.stride * cell[0] + self.y.offset, self.x.stride * cell[1] + self.x.offset)

    def place(self, maps: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Draw maps on a canvas the size of the image.

        Each cell becomes a tent (bilinear) around its true centre, so a cell's mass
        and centroid are kept. Where the layer has no cell, the canvas is zero.

        Args:
            maps: float `(..., h, w)`, any sign.
            size: `(height, width)` of the canvas; default the network's input size.

        Returns:
            float32 `(..., height, width)`, in the map's own unit.

        Raises:
            ValueError: the maps are not this placement's size.

        Example:
            >>> axis = Axis(stride=2.0, offset=1.0)
            >>> where = Placement(axis, axis, cells=(2, 2), image=(4, 4))
            >>> where.place(np.array([[0.0, 4.0], [0.0, 0.0]]))
            array([[0.  , 0.75, 2.25, 2.25],
                   [0.  , 0.75, 2.25, 2.25],
                   [0.  , 0.25, 0.75, 0.75],
                   [0.  , 0.  , 0.  , 0.  ]], dtype=float32)
        """
        if maps.shape[-2:] != self.cells:
            raise ValueError(f"maps of size {maps.shape[-2:]} do not fit {self.cells} cells")
        size = size or self.image
        rows = weights(self.y, self.cells[0], self.image[0], size[0])  # (H, h)
        columns = weights(self.x, self.cells[1], self.image[1], size[1])  # (W, w)
        return rows @ maps.astype(np.float32, copy=False) @ columns.T

    def show(self, maps: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Draw maps for the eye: as `place`, but an outer cell keeps its value up to its own border.

        `place` fades to zero beyond the outer cells' centres, which colours would show as
        weak evidence.

        Args:
            maps: float `(..., h, w)`.
            size: `(height, width)` of the canvas; default the network's input size.

        Returns:
            float32 `(..., height, width)`, zero where `reach` is False.
        """
        height, width = size or self.image
        rows = shown(self.y, self.cells[0], self.image[0], height)
        columns = shown(self.x, self.cells[1], self.image[1], width)
        return rows @ maps.astype(np.float32, copy=False) @ columns.T

    def reach(self, size: tuple[int, int]) -> np.ndarray:
        """Say per pixel of a canvas whether a cell covers it, bool `(height, width)`."""
        rows = shown(self.y, self.cells[0], self.image[0], size[0]).any(1)
        columns = shown(self.x, self.cells[1], self.image[1], size[1]).any(1)
        return np.outer(rows, columns)

    def gather(self, canvas: np.ndarray) -> np.ndarray:
        """Return, per cell, the share of its placed mass that falls on a mask.

        The transpose of `place`: `(maps * gather(mask)).sum()` is the placed mass on
        the mask divided by the mass a cell has on an unbounded canvas.

        Args:
            canvas: float or bool `(..., height, width)`, values in [0, 1].

        Returns:
            float32 `(..., h, w)` in [0, 1].
        """
        height, width = canvas.shape[-2:]
        rows = weights(self.y, self.cells[0], self.image[0], height)  # (H, h)
        columns = weights(self.x, self.cells[1], self.image[1], width)  # (W, w)
        mass = self.y.stride * self.x.stride * (height / self.image[0]) * (width / self.image[1])
        return rows.T @ canvas.astype(np.float32, copy=False) @ columns / np.float32(mass)

    def coverage(self, size: tuple[int, int]) -> np.ndarray:
        """Return `gather` of a canvas full of ones: the share of each cell inside the image, `(h, w)`."""
        rows = weights(self.y, self.cells[0], self.image[0], size[0]).sum(0)
        columns = weights(self.x, self.cells[1], self.image[1], size[1]).sum(0)
        mass = self.y.stride * self.x.stride * (size[0] / self.image[0]) * (size[1] / self.image[1])
        return np.outer(rows, columns) / np.float32(mass)


def stretched(cells: tuple[int, int], image: tuple[int, int]) -> Placement:
    """Return the placement that other tools assume: the map stretched over the image."""
    y, x = (Axis(n / c, n / c / 2, n / c) for n, c in zip(image, cells, strict=True))
    return Placement(y, x, cells, image)


def pixels(image: tuple[int, int]) -> Placement:
    """Return the placement of a map of the image itself: a cell per pixel."""
    return Placement(Axis(), Axis(), image, image)


@lru_cache(maxsize=64)
def weights(axis: Axis, cells: int, image: int, size: int) -> np.ndarray:
    """Return float32 `(size, cells)`: how much of each cell every canvas pixel shows.

    A cell is a hat function around its centre, zero one stride away; a pixel shows the
    hat's exact mean over its own extent, so mass is kept on canvases of any size and
    fine layers do not alias on coarse ones.
    """
    edges = np.arange(size + 1) * (image / size)  # of the canvas pixels, in network pixels
    reach = np.clip((edges[:, None] - axis.stride * np.arange(cells) - axis.offset) / axis.stride, -1, 1)
    area = np.where(reach < 0, (1 + reach) ** 2 / 2, 1 - (1 - reach) ** 2 / 2)  # integral of the hat up to here
    table = (np.diff(area, axis=0) * (axis.stride * size / image)).astype(np.float32)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=64)
def shown(axis: Axis, cells: int, image: int, size: int) -> np.ndarray:
    """Return float32 `(size, cells)`: as `weights`, each covered pixel's weights summing to 1, the others 0."""
    table = weights(axis, cells, image, size)
    cover = table.sum(1, keepdims=True)
    table = np.where(cover >= EDGE, table / np.maximum(cover, EDGE), 0).astype(np.float32)
    table.setflags(write=False)
    return table
