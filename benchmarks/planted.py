"""Does the effect column find the guilty region? Six detectors, each trained on an artefact planted in one region.

The truth is known: fakes differ from reals by a checkerboard on that region and by nothing else, and
the portraits' own masks are exact. Measured on held-out portraits. A detector that does not learn is
trained again with a stronger artefact, and the table says so.

    nice python -m benchmarks.planted --out runs/planted

Reached on 2 shared CPU cores (25 minutes of training, 84 000 passes in about 10): `alexnet18` at 256, accuracy 1.000 six
times, the planted region first in 6 of 6 for fakes (-15.7 to -24.9 logits) and reals (+15.8 to +25.0); no other
region's interval excludes 0 by more than 1.6 % of it; the same-class control is -1.6 to +0.5 logits.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

REGIONS = ("eyes", "brows", "nose", "mouth", "hair", "skin")
KINDS = ("opposite", "same", "patch", "blur", "grey")
LEARNT = 0.95  # accuracy on held-out portraits
TRIES = ((40.0, 8), (60.0, 12), (90.0, 20))  # grey levels of the checkerboard and epochs; the next where the one before was not learnt
MARGIN = 0.1  # of the planted effect, by which another region's interval may exclude 0
LEAST = 10  # images that a region must be measured on to be looked at


@dataclass(frozen=True)
class Setting:
    """How much is drawn, trained and measured."""

    out: Path
    network: str
    size: int
    count: int
    images: int
    donors: int
    seed: int


def trained(setting: Setting, region: str) -> tuple[Any, Path, float, float]:
    """Return the detector, its portraits, the artefact's strength and the accuracy; what is there already is used again."""
    from train.fit import fit
    from train.options import Options
    from train.portraits import Artefact, write
    from xai import load

    for strength, epochs in TRIES:
        name = f"{region}-{strength:g}"
        data, out = setting.out / name / "portraits", setting.out / name / "detector"
        if not (data / "portraits.json").exists():
            write(data, setting.count, setting.size, artefact=Artefact("checkerboard", region, strength), seed=setting.seed)
        if not (out / "metrics.json").exists():
            options = Options(setting.size, epochs=epochs, patience=3, learning_rate=3e-4, average=0, seed=setting.seed, batch_size=16)
            fit(setting.network, data, out, options, say=lambda line: print("   ", line, flush=True))
        detector = load(out / "model.keras")
        accuracy = float(json.loads((out / "metrics.json").read_text())["accuracy"])
        print(f"{name}: accuracy {accuracy:.3f}", flush=True)
        if accuracy >= LEARNT:
            return detector, data, strength, accuracy
    raise SystemExit(f"{region}: not learnt at any strength")


def measured(setting: Setting, region: str, detector: Any, data: Path) -> Any:
    """Return the effects on held-out portraits, half of each class."""
    from train.audit import Items, chosen
    from train.datasets import hashed
    from xai.probes.measure import measure
    from xai.regions.labels import open_labels
    from xai.regions.parts import units

    manifest, _ = chosen(detector, data, split="test", limit=None, seed=setting.seed, labelled=True)
    held = list(Items(hashed(manifest)))
    items = [item for label in ("real", "fake") for item in [one for one in held if one.label == label][: setting.images // 2]]
    source = open_labels(data / "masks" / "labels")
    rows = units(source.names)
    start = time.perf_counter()
    effects = measure(detector, items, source, rows, setting.out / "effects", donors=setting.donors, seed=setting.seed, kinds=KINDS, pool=held)
    print(f"{region}: {effects.passes} passes in {time.perf_counter() - start:.0f} s", flush=True)
    return effects


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over images and its 95 % t interval; NaN where too few were measured."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return np.nan, np.nan, np.nan
    mean, half = values.mean(), student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(mean), float(mean - half), float(mean + half)


def judged(effects: Any, region: str) -> list[dict[str, Any]]:
    """Return what the effect column says, a row per class of images."""
    found = []
    for label in ("fake", "real"):
        chosen = effects.mean[np.array(effects.labels) == label]
        opposite = effects.kinds.index("opposite")
        table = {row: interval(chosen[:, place, opposite]) for place, row in enumerate(effects.rows)}
        seen = [row for place, row in enumerate(effects.rows) if np.isfinite(chosen[:, place, opposite]).sum() >= LEAST]
        others = {row: table[row] for row in seen if row != region}
        own = table[region]
        worst = max(others, key=lambda row: away(others[row]))
        largest = max(others, key=lambda row: abs(others[row][0]))
        place = effects.rows.index(region)
        controls = {kind: interval(chosen[:, place, column]) for column, kind in enumerate(effects.kinds) if kind != "opposite"}
        found.append(
            {
                "label": label,
                "images": len(chosen),
                "planted": own,
                "first": abs(own[0]) > abs(others[largest][0]),
                "largest": (largest, others[largest]),
                "worst": (worst, others[worst]),
                "clean": away(others[worst]) <= MARGIN * abs(own[0]),
                "flips": float(np.nanmean(effects.flips[np.array(effects.labels) == label][:, place, opposite])),
                "controls": controls,
                "blur": max(
                    (abs(interval(chosen[:, effects.rows.index(row), effects.kinds.index("blur")])[0]), row) for row in seen if row != region
                ),
                "grey": max(
                    (abs(interval(chosen[:, effects.rows.index(row), effects.kinds.index("grey")])[0]), row) for row in seen if row != region
                ),
                "table": table,
            }
        )
    return found


def away(found: tuple[float, float, float]) -> float:
    """Return by how much an interval excludes 0."""
    return max(found[1], -found[2], 0.0)


def text(found: tuple[float, float, float]) -> str:
    """Return a mean and its interval."""
    return "–" if np.isnan(found[0]) else f"{found[0]:+.2f} [{found[1]:+.2f}, {found[2]:+.2f}]"


def main() -> None:
    """Train, measure, print the table."""
    from xai.backend import import_quietly

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", default="alexnet18")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=1000, help="portraits drawn for each region")
    parser.add_argument("--images", type=int, default=120, help="held-out portraits measured")
    parser.add_argument("--donors", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--regions", default=",".join(REGIONS))
    said = vars(parser.parse_args())
    regions = said.pop("regions").split(",")
    setting = Setting(**said)
    import_quietly()
    lines, first, clean = [], 0, 0
    for region in regions:
        detector, data, strength, accuracy = trained(setting, region)
        results = judged(measured(setting, region, detector, data), region)
        first += all(row["first"] for row in results)
        clean += all(row["clean"] for row in results)
        for row in results:
            controls = row["controls"]
            lines.append(
                f"| {region} ±{strength:g} | {accuracy:.3f} | {row['label']} {row['images']} | {text(row['planted'])} | {row['flips']:.0%} "
                f"| {row['largest'][0]} {text(row['largest'][1])} | {row['worst'][0]} {text(row['worst'][1])}{'' if row['clean'] else ' !'} "
                f"| {text(controls['same'])} | {text(controls['patch'])} | {text(controls['blur'])} | {text(controls['grey'])} "
                f"| {row['blur'][1]} {row['blur'][0]:.2f} | {row['grey'][1]} {row['grey'][0]:.2f} |"
            )
            print({name: text(values) for name, values in row["table"].items()}, flush=True)
    head = "planted|accuracy|images|effect of it|flips|largest other|furthest from 0|same class|patch|blur|grey|other, blur|other, grey"
    print("\n| " + " | ".join(head.split("|")) + " |\n|" + "---|" * 13)
    print("\n".join(lines))
    print(f"\nplanted region first, fakes and reals: {first} of {len(regions)}")
    print(f"no other region's interval excludes 0 by more than {MARGIN:.0%} of it: {clean} of {len(regions)}")


if __name__ == "__main__":
    main()
