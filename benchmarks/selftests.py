"""Which map tells the truth, over several seeds and regions: the leaderboard of `docs/selftest.md`, and two findings met again.

Trains a detector for every seed and region (and with `--pooling` also one with a global-pooling head on the first region),
scores every method at every layer, placed and stretched, and prints Markdown. What is done is kept; `--ship` adds the
recommendation over all seeds to `xai/recommendations.json`.

    nice python -m benchmarks.selftests --network alexnet18 --size 256 --seeds 3 --out runs/selftests --ship
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

LOCAL = ("checkerboard:eyes:60", "checkerboard:mouth:80", "checkerboard:nose:60", "checkerboard:brows:80")


def tested(network: str, out: Path, settings: Any) -> list[tuple[dict[str, Any], Any]]:
    """Return each plant's record and scores of one self-test, those that were learnt."""
    from train.scoring import Scores
    from train.selftest import selftest

    found = selftest(network, out, settings, say=lambda line: print("   ", line, flush=True))
    return [(plant, Scores.read(found.folder / plant["name"] / "scores.npz")) for plant in found.summary["plants"] if plant["learnt"]]


def stretched(folder: Path, plant: dict[str, Any], images: int) -> dict[tuple[str, str], np.ndarray]:
    """Return what the quick methods score when their maps are stretched over the image, as other tools do."""
    from train.datasets import prepared
    from train.scoring import Scores, score
    from xai import load

    kept = Scores.read(folder / "stretched.npz")
    if kept is None:
        detector = load(folder / "detector" / "model.keras").stretch()
        test = prepared(folder / "data", seed=plant["seed"], test=0.2, near=False).select("test")
        fakes = [test.root / row.path for row in test.rows if row.label == "fake"][:images]
        masks = [(folder / "data" / "masks" / "artefacts" / path.relative_to(folder / "data")).with_suffix(".png") for path in fakes]
        kept = score(detector, fakes, masks, detector.select("conv"), images, 0)
        kept.write(folder / "stretched.npz")
    return kept.values


def table(rows: list[dict[str, Any]], first: str) -> str:
    """Return rows of a leaderboard as Markdown."""
    lines = [f"| {first} | layer | fakes | empty | points | mass | density | rank | IoU | verdict |", "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ends = " ".join(f"| {row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]" for name in ("pointing", "mass_accuracy"))
        lines.append(
            f"| {row['method']} | {row['layer']} | {row['images']} | {row['empty'] / row['images']:.2f} {ends} | {row['density']:.1f} "
            f"| {row['rank_accuracy']:.2f} | {row['iou']:.2f} | {row['verdict']} |"
        )
    return "\n".join(lines)


def pooled(plants: dict[str, dict[tuple[str, str], np.ndarray]], layer: str, method: str) -> dict[str, Any]:
    """Return one map's row over some data sets; empty where there is none."""
    from train.leaderboard import row

    values = [scores[layer, method] for scores in plants.values() if (layer, method) in scores]
    return row("", (layer, method), np.concatenate(values)) if values else {}


def compared(title: str, sides: dict[str, dict[str, Any]], layers: list[str], methods: list[str]) -> str:
    """Return two ways of making maps side by side: empty rate, pointing and mass by method and layer."""
    head = " | ".join(f"{side}: empty | points | mass" for side in sides)
    lines = [f"**{title}**", "", f"| method | layer | {head} |", "|---|---|" + "---|" * (3 * len(sides))]
    for method in methods:
        for layer in layers:
            cells = []
            for plants in sides.values():
                found = pooled(plants, layer, method)
                values = [found["empty"] / found["images"], found["pointing"], found["mass_accuracy"]] if found else [np.nan] * 3
                cells += ["–" if np.isnan(value) else f"{value:.2f}" for value in values]
            lines.append(f"| {method} | {layer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train, score, print."""
    from xai.backend import import_quietly

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="alexnet18")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plants", default=",".join(LOCAL))
    parser.add_argument("--more", type=int, default=0, help="seeds beyond, of the first plant alone")
    parser.add_argument("--pooling", action="store_true", help="also train a global-pooling head on the first plant, for every seed")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--slow", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ship", action="store_true")
    said = parser.parse_args()
    from xai.recommend import HOME, SHIPPED, read

    os.environ[HOME] = str(said.out / "home")  # what a benchmark finds is not this user's own
    import_quietly()
    from train import leaderboard
    from train.selftest import Settings, memory, opened
    from xai.store import write_json

    texts = tuple(said.plants.split(","))
    common: dict[str, Any] = {"size": said.size, "count": said.count, "slow": said.slow, "epochs": said.epochs, "keep": True}
    common |= {"learning_rate": said.learning_rate, "batch_size": said.batch_size}
    every, first, heads, wide = {}, {}, {}, {}
    effects: list[bool] = []
    for seed in range(said.seeds + said.more):
        some = texts if seed < said.seeds else texts[:1]
        out = said.out / f"{said.network.replace(':', '-')}-{said.size}" / f"seed-{seed}"
        for plant, scores in tested(said.network, out, Settings(plants=some, seed=seed, **common)):
            name = f"{plant['region']}, seed {seed}"
            print(name, plant["text"], plant["accuracy"], plant["first"], plant["found"], plant["seconds"], flush=True)
            effects.append(bool(plant["found"]))
            if seed < said.seeds:
                every[name] = scores.values
            if plant["region"] == texts[0].split(":")[1]:
                first[name] = scores.values
                wide[name] = stretched(out / plant["name"], plant | {"seed": seed}, 60)
        if said.pooling:
            network = {"network": {"head": "pooling"}, "effects": 0}
            for _, scores in tested(said.network, out / "pooling", Settings(plants=texts[:1], seed=seed, **common | network | {"slow": 0})):
                heads[f"seed {seed}"] = scores.values
    rows = [row for row in leaderboard.board(every) if row["plant"] == leaderboard.ALL]
    chosen = leaderboard.choose(rows)
    print(f"\n### {said.network} at {said.size} x {said.size}: {len(every)} detectors\n")
    print(table(sorted(rows, key=lambda row: -row["score"]), "method"))
    print(f"\nEffect: planted region first {sum(effects)} of {len(effects)}")
    if chosen is None:
        raise SystemExit("no map passes")
    best = max(rows, key=lambda row: row["score"])
    print(f"recommended: {chosen['method']} at {chosen['layer']}, score {chosen['score']:.3f}")
    print(f"best: {best['method']} at {best['layer']}, score {best['score']:.3f}")
    regrets = [found["regret"] for found in leaderboard.transferred(every)]
    print(f"chosen on the others, short of the best here: mean {np.mean(regrets):.3f}, largest {max(regrets):.3f}")
    for name, values in every.items():
        own = leaderboard.row(name, (chosen["layer"], chosen["method"]), values[chosen["layer"], chosen["method"]])
        print(f"  {name}: points {own['pointing']:.3f}, mass {own['mass_accuracy']:.3f} = {own['density']:.1f} x area {own['area_share']:.4f}")
    layers = list(dict.fromkeys(layer for layer, _ in next(iter(first.values())) if layer != "input"))
    methods = ["gradcam", "hirescam", "layercam", "activation"]
    print("\n" + compared("Placed and stretched", {"placed": first, "stretched": wide}, layers, methods))
    if heads:
        print("\n" + compared("Flatten and pooling head", {"Flatten": first, "pooling": heads}, layers, methods))
    if said.ship:
        settings = Settings(plants=texts, **common)
        subject = opened(said.network, settings)
        why = (
            f"in self-tests of {said.network} at {said.size} x {said.size} it pointed at what was planted in {chosen['pointing']:.0%} of "
            f"{chosen['images']} fakes ({len(every)} detectors) and put {chosen['mass_accuracy']:.0%} of its mass on "
            f"{chosen['area_share']:.1%} of the picture"
        )
        found = {"size": said.size, "images": "drawn portraits", "methods": leaderboard.judged(rows)}
        found["recommended"] = {"method": chosen["method"], "layer": chosen["layer"], "why": why}
        record = memory(subject, found)
        kept = [entry for entry in read(SHIPPED) if (entry["architecture"], entry["size"]) != (record["architecture"], record["size"])]
        write_json(SHIPPED, [*kept, record])
        print(f"shipped; settings {json.dumps(asdict(settings))}")


if __name__ == "__main__":
    main()
