"""Where the maps of fakes differ from those of reals, cell by cell in the mean face's frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from xai import store
from xai.multiple import benjamini_hochberg, welch_map
from xai.regions.frame import Sums

LEVEL = 0.05  # expected share of false cells among those called different
LEAST = 8  # maps of each class that must have a cell


def write_differences(file: h5py.File, sums: Mapping[tuple[str, str, str], Sums], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Write the aligned means and differences, and return a summary row per layer and method.

    Writes `aligned/<real|fake>/<layer>/<method>` `(3, 64, 64)`: mean, sample standard deviation, maps counted;
    and `difference/<layer>/<method>` `(2, 64, 64)`: fake minus real in the map's unit, and its q value (Welch's
    t-test per cell, Benjamini and Hochberg's correction over the cells of the map). NaN where there are too few maps.

    Args:
        file: `maps.h5`, open for writing.
        sums: by (label, layer, method), the maps of one class added up in that frame.
        pairs: the (layer, method) of the maps.

    Returns:
        Rows with `layer`, `method`, `fakes`, `reals` (the most maps that any cell has) and `higher`, `lower`:
        the share of the tested cells where fakes are higher or lower with q <= 0.05.
    """
    table = []
    for (label, layer, method), own in sums.items():
        file[f"aligned/{label}/{store.home(layer, method)}"] = np.stack([own.mean, np.sqrt(own.variance), own.count]).astype(np.float32)
    for layer, method in pairs:
        fake, real = (sums.get((label, layer, method)) for label in ("fake", "real"))
        if fake is None or real is None:
            continue
        enough = (fake.count >= LEAST) & (real.count >= LEAST)
        if not enough.any():
            continue
        p = np.where(enough, welch_map(fake.mean, fake.variance, fake.count, real.mean, real.variance, real.count), np.nan)
        q = benjamini_hochberg(p.ravel()).reshape(p.shape)
        difference = np.where(enough, fake.mean - real.mean, np.nan)
        file[f"difference/{store.home(layer, method)}"] = np.stack([difference, q]).astype(np.float32)
        row = {"layer": layer, "method": method, "fakes": int(fake.count.max()), "reals": int(real.count.max())}
        tested = ~np.isnan(q)
        for name, sign in (("higher", 1), ("lower", -1)):
            row[name] = float(((q <= LEVEL) & (sign * difference > 0))[tested].mean()) if tested.any() else None
        table.append(row)
    return table
