"""The region table: what the maps of each group put on each part, beside what chance would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from xai.inference import difference_interval, difference_test, mean_interval, mean_test, ratio_interval, share_interval
from xai.multiple import holm
from xai.permutation import permutation_test
from xai.regions.collect import Measured
from xai.regions.parts import units

LEAST = 8  # images, below which a mean gets no interval and no test
CELLS = 400_000  # measurements in hand at once
DOUBTFUL = 0.05  # p from which a difference is permuted but a few times
FEW = 199  # permutations of such a one
MANY = 2_000  # images of each class, from which a mean is as normal as can be and permutations say nothing that the test does not
SIDES = 20  # images of each class, below which fakes are not compared with reals
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
    """Some maps' measurements against the rows of the table, one column per map and row.

    Args:
        keys: (layer, method, region) per column.
        area, centre, mass, chance: float64 `(N, C)`; NaN where the image lacks the part or the map is empty.
        pointed, led: whether the map's highest cell lies on the part, and whether it has mass and no part is denser, likewise.
        empty: whether the map is empty in an image that has the part, bool `(N, C)`.
    """

    keys: list[tuple[str, str, str]]
    area: np.ndarray
    centre: np.ndarray
    mass: np.ndarray
    chance: np.ndarray
    pointed: np.ndarray
    led: np.ndarray
    empty: np.ndarray

    def of(self, chosen: np.ndarray) -> Columns:
        """Return those of some images."""
        return Columns(self.keys, *(getattr(self, field.name)[chosen] for field in fields(self)[1:]))


def columns(measured: Measured) -> Iterator[Columns]:
    """Yield the measurements of as many maps at once as memory allows."""
    rows, homes = regions(measured.names), within(measured.names)
    outer = np.array([not home for home in homes.values()])
    area, centre = (summed(values, rows) for values in (measured.area, measured.centre))
    area = np.where(area > 0, area, np.nan)
    pairs = list(measured.mass)
    step = max(1, CELLS // (area.size or 1))
    for some in (pairs[start : start + step] for start in range(0, len(pairs), step)):
        parts: list[list[np.ndarray]] = []
        for pair in some:
            mass, chance = (summed(table[pair], rows) for table in (measured.mass, measured.chance))
            shown, empty = ~np.isnan(mass) & ~np.isnan(area), np.isnan(mass) & ~np.isnan(area)
            density = np.where(shown, mass, -1.0) / np.where(shown, area, 1.0)
            led = np.zeros(mass.shape)
            for level in (outer, ~outer):  # sets and single parts against each other, the parts of sets among themselves
                if level.any():
                    led[:, level] = (density[:, level] >= density[:, level].max(1, keepdims=True)) & (density[:, level] > 0)
            pointed = np.stack([np.isin(measured.peak[pair], members) for members in rows.values()], 1)
            parts.append([*(np.where(shown, values, np.nan) for values in (area, centre, mass, chance, pointed, led)), empty])
        joined = [np.concatenate(values, 1) for values in zip(*parts, strict=True)]
        yield Columns([(*pair, row) for pair in some for row in rows], *joined)


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
    homes = within(measured.names)
    tables: dict[str, list[dict[str, Any]]] = {group: [] for group in groups}
    for found in columns(measured):
        for group, chosen in groups.items():
            values = summary(found.of(chosen))
            tables[group] += [
                {"group": group, "layer": layer, "method": method, "region": region, "within": homes[region]}
                | {name: values[name][index].item() for name in FIELDS[5:]}
                for index, (layer, method, region) in enumerate(found.keys)
                if values["count"][index] or values["empty"][index]
            ]
    for rows in tables.values():
        corrected(rows)
    return [row for rows in tables.values() for row in rows]


def summary(found: Columns) -> dict[str, np.ndarray]:
    """Return the measures of one group by name, `(C,)` each; p is not corrected yet."""
    count = (~np.isnan(found.mass)).sum(0)
    enough = count >= LEAST
    measures = {
        "mass_share": mean_interval(found.mass, bounds=(0, 1)),
        "density": ratio_interval(found.mass, found.area, bounds=(0, np.inf)),
        "times_chance": ratio_interval(found.mass, found.chance, bounds=(0, np.inf)),
        "pointing": share_interval(np.nansum(found.pointed, 0), count),
        "first": share_interval(np.nansum(found.led, 0), count),
    }
    values: dict[str, np.ndarray] = {
        "count": count,
        "empty": found.empty.sum(0),
        "area_share": mean(found.area),
        "chance_share": mean(found.chance),
        "centre_density": mean(found.centre) / mean(found.area),
        "p": np.where(enough, mean_test(found.mass - found.chance, strict=True), np.nan),
        "p_holm": np.full(len(count), np.nan),
    }
    for name, (value, low, high) in measures.items():
        values |= {name: value, f"{name}_low": np.where(enough, low, np.nan), f"{name}_high": np.where(enough, high, np.nan)}
    return values


def corrected(rows: list[dict[str, Any]]) -> None:
    """Fill in `p_holm` of one family."""
    for row, p in zip(rows, holm(np.array([row["p"] for row in rows], float)), strict=True):
        row["p_holm"] = float(p)


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each column without its NaN, `(C,)`; NaN for a column of nothing else."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def difference_rows(measured: Measured, fake: np.ndarray, real: np.ndarray, seed: int = 0) -> list[dict[str, Any]]:
    """Return how the fakes' mass shares differ from the reals', with intervals and tests.

    p is the greater one of a permutation test, which is exact where fakes and reals are alike in all, and of a test
    that allows for unlike shapes; from 2,000 images of each class the latter alone. One family over all rows, corrected by Holm's method.

    Args:
        measured: of all images.
        fake, real: which images are, bool `(N,)`.
        seed: of the permutations.

    Returns:
        Rows with the fields of `DIFFERENCES`; none where a class has fewer than 20 images with the part.
    """
    homes, table = within(measured.names), []
    is_fake = fake[fake | real]
    draws = max(4_999, 25 * len(homes) * len(measured.mass))  # so that the smallest p survives the correction
    for found in columns(measured):
        mass = found.mass[fake | real]
        fakes, reals = ((~np.isnan(mass[chosen])).sum(0) for chosen in (is_fake, ~is_fake))
        enough = np.flatnonzero((fakes >= SIDES) & (reals >= SIDES))
        if not len(enough):
            continue
        difference, low, high = difference_interval(mass, is_fake, bounds=(-1, 1))
        p = difference_test(mass[:, enough], is_fake, strict=True)
        few = np.minimum(fakes, reals)[enough] < MANY
        for some, many in ((few & (p <= DOUBTFUL), draws), (few & ~(p <= DOUBTFUL), FEW)):  # what is doubtful already need not be known well
            if some.any():
                p[some] = np.maximum(p[some], permutation_test(mass[:, enough[some]], is_fake, many, seed))
        values = {"fakes": fakes, "reals": reals, "difference": difference, "difference_low": low, "difference_high": high}
        for index, chance in zip(enough, p.tolist(), strict=True):
            layer, method, region = found.keys[index]
            row = {"layer": layer, "method": method, "region": region, "within": homes[region]}
            table.append(row | {name: value[index].item() for name, value in values.items()} | {"p": chance, "p_holm": np.nan})
    corrected(table)
    return table
