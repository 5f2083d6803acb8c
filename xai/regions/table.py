"""The region table: what the maps of each group put on each part, beside what chance would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai.inference import difference_interval, mean_interval, mean_test, ratio_interval, share_interval
from xai.multiple import holm
from xai.permutation import permutation_test
from xai.regions.collect import Measured
from xai.regions.parts import units

LEAST = 8  # images, below which a mean gets no interval and no test
FIELDS = (
    "group", "layer", "method", "region", "within", "count", "empty", "area_share",
    "mass_share", "mass_share_low", "mass_share_high", "density", "density_low", "density_high",
    "chance_share", "times_chance", "times_chance_low", "times_chance_high", "p", "p_holm", "centre_density",
    "pointing", "pointing_low", "pointing_high", "first", "first_low", "first_high",
)  # fmt: skip
DIFFERENCES = ("layer", "method", "region", "within", "fakes", "reals", "difference", "difference_low", "difference_high", "p", "p_holm")


def regions(names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return the rows of a region table by name, as indices of parts: the units, each set followed by its parts.

    Example:
        >>> regions(("skin", "left_eye", "right_eye"))
        {'skin': (0,), 'eyes': (1, 2), 'left_eye': (1,), 'right_eye': (2,)}
    """
    rows: dict[str, tuple[int, ...]] = {}
    for name, members in units(names).items():
        rows[name] = members
        if len(members) > 1:
            rows |= {names[member]: (member,) for member in members}
    return rows


def within(names: tuple[str, ...]) -> dict[str, str]:
    """Return the set that each row of the table is a part of; '' for the rows that are none."""
    homes = {names[member]: name for name, members in units(names).items() if len(members) > 1 for member in members}
    return {row: homes.get(row, "") for row in regions(names)}


@dataclass(frozen=True, slots=True)
class Columns:
    """What was measured, one column per (layer, method, region), one row per image.

    Args:
        keys: (layer, method, region) per column.
        area, centre, mass, chance: float64 `(N, C)`; NaN where the image lacks the part or the map is empty.
        pointed, led: whether the map's highest cell lies on the part, and whether no part is denser, float64 `(N, C)`; NaN likewise.
        empty: whether the column's map is empty in an image that has parts, bool `(N, C)`.
    """

    keys: list[tuple[str, str, str]]
    area: np.ndarray
    centre: np.ndarray
    mass: np.ndarray
    chance: np.ndarray
    pointed: np.ndarray
    led: np.ndarray
    empty: np.ndarray


def columns(measured: Measured) -> Columns:
    """Return the measurements as columns."""
    rows, homes = regions(measured.names), within(measured.names)
    outer = np.array([not home for home in homes.values()])
    area, centre = (summed(values, rows) for values in (measured.area, measured.centre))
    area = np.where(area > 0, area, np.nan)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("area", "centre", "mass", "chance", "pointed", "led", "empty")}
    keys = []
    for pair, shares in measured.mass.items():
        mass = summed(shares, rows)
        shown = ~np.isnan(mass) & ~np.isnan(area)
        density = np.where(shown, mass, -1.0) / np.where(shown, area, 1.0)
        led = np.zeros(mass.shape)
        for level in (outer, ~outer):  # sets and single parts against each other, the parts of sets among themselves
            if level.any():
                led[:, level] = density[:, level] >= density[:, level].max(1, keepdims=True)
        pointed = np.stack([np.isin(measured.peak[pair], members) for members in rows.values()], 1)
        for name, values in (
            ("area", area), ("centre", centre), ("mass", mass), ("chance", summed(measured.chance[pair], rows)), ("pointed", pointed), ("led", led)
        ):  # fmt: skip
            parts[name].append(np.where(shown, values, np.nan))
        parts["empty"].append(np.isnan(mass) & ~np.isnan(area))
        keys += [(*pair, row) for row in rows]
    return Columns(keys, **{name: np.concatenate(values, 1) for name, values in parts.items()})


def summed(values: np.ndarray, rows: Mapping[str, tuple[int, ...]]) -> np.ndarray:
    """Return `(N, R)` per part as `(N, K)` per row of the table."""
    return np.stack([values[:, members].sum(1) for members in rows.values()], 1)


def attention_rows(measured: Measured, groups: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return the region table.

    Per group one family of tests: every region at every layer with every method against its own mask moved at
    random, corrected by Holm's method over the family.

    Args:
        measured: of all images.
        groups: which images are in each group, bool `(N,)`.

    Returns:
        Rows with the fields of `FIELDS`: shares and their means over the images that have the part and whose map is
        not empty, with 95 % intervals by image. `density` is the mean mass share ÷ the mean area share,
        `times_chance` the mean mass share ÷ the mean share of the moved mask, `centre_density` the density of a look
        at the middle of the picture.
    """
    found, homes, table = columns(measured), within(measured.names), []
    for group, chosen in groups.items():
        area, centre, mass, chance, pointed, led, empty = (
            values[chosen] for values in (found.area, found.centre, found.mass, found.chance, found.pointed, found.led, found.empty)
        )
        count = (~np.isnan(mass)).sum(0)
        enough = count >= LEAST
        p = np.where(enough, mean_test(mass - chance), np.nan)
        measures = {
            "mass_share": mean_interval(mass, bounds=(0, 1)),
            "density": ratio_interval(mass, area, bounds=(0, np.inf)),
            "times_chance": ratio_interval(mass, chance, bounds=(0, np.inf)),
            "pointing": share_interval(np.nansum(pointed, 0), count),
            "first": share_interval(np.nansum(led, 0), count),
        }
        values: dict[str, np.ndarray] = {
            "count": count,
            "empty": empty.sum(0),
            "area_share": mean(area),
            "chance_share": mean(chance),
            "centre_density": mean(centre) / mean(area),
            "p": p,
            "p_holm": holm(p),
        }
        for name, (value, low, high) in measures.items():
            values |= {name: value, f"{name}_low": np.where(enough, low, np.nan), f"{name}_high": np.where(enough, high, np.nan)}
        table += [
            {"group": group, "layer": layer, "method": method, "region": region, "within": homes[region]}
            | {name: values[name][index].item() for name in FIELDS[5:]}
            for index, (layer, method, region) in enumerate(found.keys)
            if count[index] or empty[:, index].any()
        ]
    return table


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each column without its NaN, `(C,)`; NaN for a column of nothing else."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def difference_rows(measured: Measured, fake: np.ndarray, real: np.ndarray, seed: int = 0) -> list[dict[str, Any]]:
    """Return how the fakes' mass shares differ from the reals', with intervals and permutation tests.

    One family over all rows, corrected by Holm's method.

    Args:
        measured: of all images.
        fake, real: which images are, bool `(N,)`.
        seed: of the permutations.

    Returns:
        Rows with the fields of `DIFFERENCES`; none where a class has fewer than eight images.
    """
    found, homes = columns(measured), within(measured.names)
    mass = found.mass[fake | real]
    is_fake = fake[fake | real]
    fakes, reals = ((~np.isnan(mass[chosen])).sum(0) for chosen in (is_fake, ~is_fake))
    enough = (fakes >= LEAST) & (reals >= LEAST)
    if not enough.any():
        return []
    difference, low, high = difference_interval(mass, is_fake, bounds=(-1, 1))
    p = np.where(enough, permutation_test(mass, is_fake, seed=seed), np.nan)
    values = {"fakes": fakes, "reals": reals, "difference": difference, "difference_low": low, "difference_high": high, "p": p, "p_holm": holm(p)}
    return [
        {"layer": layer, "method": method, "region": region, "within": homes[region]} | {name: values[name][index].item() for name in DIFFERENCES[4:]}
        for index, (layer, method, region) in enumerate(found.keys)
        if enough[index]
    ]
