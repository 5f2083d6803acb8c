"""How much of a map's positive mass lies on each region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xai.aggregate import is_empty
from xai.maps.placement import Placement


@dataclass(frozen=True, slots=True)
class Attention:
    """One map against the regions of its image.

    Args:
        area: share of the image per region, float `(R,)`.
        mass: share of the map's positive mass per region, `(R,)`; NaN for an empty map.
        peak: region that holds the map's highest cell, -1 for an empty map or no region.
    """

    area: np.ndarray
    mass: np.ndarray
    peak: int


def attend(values: np.ndarray, masks: np.ndarray, placement: Placement, gathered: np.ndarray | None = None) -> Attention:
    """Measure one map.

    A cell's positive value is shared out over the pixels it covers; mass that falls
    outside the image is left out.

    Args:
        values: float `(h, w)`, raw.
        masks: bool `(R, H, W)`, exclusive.
        placement: of the map's layer.
        gathered: `placement.gather(masks)`, float `(R, h, w)`, where it is known already:
            all methods of a layer share it.

    Example:
        >>> from xai.maps.placement import stretched
        >>> masks = np.array([[[True, False]], [[False, True]]])  # left and right pixel
        >>> found = attend(np.array([[1.0, 3.0]]), masks, stretched((1, 2), (1, 2)))
        >>> found.area.tolist(), found.mass.round(4).tolist(), found.peak  # a cell keeps 6/7 of its mass on its own pixel
        ([0.5, 0.5], [0.3214, 0.6786], 1)
    """
    area = masks.mean((1, 2))
    if is_empty(values[None])[0]:
        return Attention(area, np.full(len(masks), np.nan), -1)
    if gathered is None:
        gathered = placement.gather(masks)
    positive = np.maximum(values, 0).astype(np.float64)
    whole = placement.coverage(masks.shape[1:])
    mass = (gathered * positive).sum((1, 2)) / (whole * positive).sum()
    y, x = placement.centre(np.unravel_index(int(np.argmax(values)), values.shape))  # type: ignore[arg-type]
    height, width = masks.shape[1:]
    row = int(np.clip(y * height / placement.image[0], 0, height - 1))
    column = int(np.clip(x * width / placement.image[1], 0, width - 1))
    hit = np.flatnonzero(masks[:, row, column])
    return Attention(area, mass, int(hit[0]) if len(hit) else -1)


def tabulate(names: tuple[str, ...], area: np.ndarray, mass: np.ndarray, peak: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows of one group x layer x method.

    Args:
        names: of the regions.
        area: `(N, R)`; mass: `(N, R)`, NaN rows for empty maps; peak: int `(N,)`.

    Returns:
        Per region `count, area_share, mass_share, density, pointing, first`, averaged over
        the maps that are not empty. Density is the ratio of the mean shares; `first` is
        the share of images in which the region has the highest density of all.
    """
    shown = ~np.isnan(mass).any(1)
    count = int(shown.sum())
    rows = []
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(area[shown] > 0, mass[shown] / area[shown], -1.0)  # (n, R)
    leader = density.argmax(1) if count else np.zeros(0, int)
    for index, name in enumerate(names):
        area_share = float(area[shown, index].mean()) if count else float("nan")
        mass_share = float(mass[shown, index].mean()) if count else float("nan")
        rows.append(
            {
                "region": name,
                "count": count,
                "area_share": area_share,
                "mass_share": mass_share,
                "density": mass_share / area_share if count and area_share > 0 else float("nan"),
                "pointing": float((peak[shown] == index).mean()) if count else float("nan"),
                "first": float((leader == index).mean()) if count else float("nan"),
            }
        )
    return rows
