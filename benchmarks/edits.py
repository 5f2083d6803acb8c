"""Real edits: do a detector's maps lie on, and does it use, the parts that experts edited, more than the parts they left alone?

    python -m benchmarks.edits MODEL DATA

DATA is laid out as the public "real and fake face" set: the name of a fake, `easy_100_1101.jpg`, says which of
left eye, right eye, nose and mouth were edited (1), left and right as the viewer sees them.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attention import joined
from train.audit import Items, chosen
from train.datasets import hashed
from xai import miniature
from xai.detector import Detector, load
from xai.inference import difference_interval, mean_interval, mean_test
from xai.items import Item, Work
from xai.multiple import holm
from xai.permutation import permutation_test
from xai.probes.measure import measure
from xai.probes.table import net_of
from xai.regions.source import Mesh
from xai.regions.table import regions
from xai.study import averaged

PARTS = ("left_eye", "right_eye", "nose", "mouth")
METHOD = "hirescam"


def digits(path: str) -> np.ndarray | None:
    """Return which parts were edited, bool `(4,)`, from a file's name; None where it does not say.

    Example:
        >>> digits("fake/easy_100_1101.jpg").tolist()
        [True, True, False, True]
    """
    found = re.search(r"_([01]{4})\.\w+$", path)
    return np.array([digit == "1" for digit in found[1]]) if found else None


def measured(detector: Detector, items: Sequence[Item], folder: Path) -> dict[str, np.ndarray]:
    """Return per fake that says its edits and shows all parts: `edited`, `density` and `effect`, `(N, 4)`."""
    source = Mesh()
    rows = {part: members for part, members in regions(source.names).items() if part in PARTS}
    work = Work(tuple(detector.select("auto")), (METHOD,), miniature.sides(len(items)), source)
    found, maps = joined(detector, items, work, folder, quiet=False)
    assert maps is not None
    mass = averaged([maps.mass[layer, METHOD] for layer in work.layers])
    shares, areas = (np.stack([values[:, members].sum(1) for members in rows.values()], 1) for values in (mass, maps.area))
    density = {row["index"]: values for row, values in zip(found, shares / np.nanmean(areas, 0), strict=True)}
    fakes = [item for item in items if item.label == "fake" and digits(item.path) is not None]
    effects = measure(detector, fakes, source, rows, folder, pool=items, donors=3, quiet=False)
    net = -net_of(effects, effects.mean)  # towards real
    edited = [digits(path) for path in effects.paths]
    return {"edited": np.array(edited), "density": np.array([density[index] for index in effects.index]), "effect": net}


def compare(values: np.ndarray, edited: np.ndarray) -> list[dict[str, Any]]:
    """Compare edited parts with parts left alone: per part between images, and over all parts within each image.

    Args:
        values: `(N, 4)`, NaN where not measured.
        edited: bool `(N, 4)`.
    """
    rows = []
    for place, part in enumerate(PARTS):
        column, group = values[:, [place]], edited[:, place]
        known = ~np.isnan(column[:, 0])
        difference, low, high = (end.item() for end in difference_interval(column, group))
        rows.append(
            {"part": part, "edited": int((group & known).sum()), "alone": int((~group & known).sum())}
            | {"mean edited": float(np.nanmean(column[group])), "mean alone": float(np.nanmean(column[~group]))}
            | {"difference": difference, "low": low, "high": high, "p": permutation_test(column, group, 20_000).item()}
        )
    for row, p in zip(rows, holm(np.array([row["p"] for row in rows])), strict=True):
        row["p"] = float(p)
    mixed = edited.any(1) & ~edited.all(1) & ~np.isnan(values).any(1)
    inside = [row[chosen].mean() - row[~chosen].mean() for row, chosen in zip(values[mixed], edited[mixed], strict=True)]
    difference, low, high = (end.item() for end in mean_interval(np.array(inside)[:, None]))
    p = mean_test(np.array(inside)[:, None]).item()
    means = {"mean edited": float(values[mixed][edited[mixed]].mean()), "mean alone": float(values[mixed][~edited[mixed]].mean())}
    return [*rows, {"part": "all, within images", "edited": len(inside), "alone": len(inside)} | means
            | {"difference": difference, "low": low, "high": high, "p": p}]  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    detector = load(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for split in ("all", "test"):
            manifest, _ = chosen(detector, sys.argv[2], split=split, limit=None, seed=0, labelled=True)
            found = measured(detector, list(Items(hashed(manifest))), Path(folder) / split)
            for name in ("density", "effect"):
                print(f"\n{split} images, {name}: edited parts against parts left alone (p after Holm over the four parts)\n")
                print("| part | edited | left alone | mean edited | mean left alone | difference | 95 % | p |\n|---|---|---|---|---|---|---|---|")
                for row in compare(found[name], found["edited"]):
                    ends = f"{row['low']:.3f} to {row['high']:.3f}"
                    print(f"| {row['part']} | {row['edited']} | {row['alone']} | {row['mean edited']:.3f} | {row['mean alone']:.3f} "
                          f"| {row['difference']:.3f} | {ends} | {row['p']:.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
