"""Where Grad-CAM goes wrong: a Flatten head against a pooling head, placed against stretched maps, over several seeds.

Trains `alexnet18` with both heads on drawn portraits whose fakes carry a faint checkerboard, and scores the maps of one
backward pass at every layer on held-out fakes. Prints Markdown for `docs/selftest.md`. What is trained is kept.

    nice python -m benchmarks.heads --size 512 --seeds 5 --out runs/heads
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

METHODS = ("gradcam", "hirescam", "layercam", "activation")
LEARNT = 0.95  # accuracy on held-out portraits


def trained(out: Path, size: int, count: int, region: str, strength: float, head: str, seed: int) -> tuple[Any, Path, float]:
    """Return the detector, its portraits and its accuracy on those held out."""
    from train.fit import fit
    from train.options import Options
    from train.portraits import Artefact, write
    from xai import load

    data, home = out / f"portraits-{seed}", out / f"{head}-{seed}"
    if not (data / "portraits.json").exists():
        write(data, count, size, artefact=Artefact("checkerboard", region, strength), seed=seed)
    if not (home / "metrics.json").exists():
        options = Options(size, epochs=14, patience=3, learning_rate=3e-4, average=0, seed=seed, batch_size=16, network={"head": head}, enough=1e-3)
        fit("alexnet18", data, home, options, say=lambda line: print("   ", line, flush=True))
    return load(home / "model.keras"), data, float(json.loads((home / "metrics.json").read_text())["accuracy"])


def scored(detector: Any, data: Path, seed: int, images: int) -> dict[tuple[str, str], np.ndarray]:
    """Return empty, pointing and mass of each held-out fake, `(n, 3)`, by (layer, method)."""
    from train.audit import Items, chosen
    from train.scoring import mask
    from xai.maps.mapped import compute, placements
    from xai.stream import batches
    from xai.trust.localise import locate

    manifest, _ = chosen(detector, data, split="test", limit=None, seed=seed, labelled=True)
    files = [item.file for item in Items(manifest) if item.label == "fake"][:images]
    masks = [(data / "masks" / "artefacts" / file.relative_to(data)).with_suffix(".png") for file in files]
    layers = detector.select("conv")
    where = placements(detector, layers, METHODS)
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for batch in batches(detector, files):
        truth = np.stack([mask(masks[index], detector.size) for index in batch.indices])
        for pair, maps in compute(detector, batch.inputs, layers, METHODS).maps.items():
            located = locate(maps, where[pair[0]], truth)
            found.setdefault(pair, []).append(np.stack([located.empty, located.pointing, located.mass_accuracy], 1).astype(float))
    return {pair: np.concatenate(rows) for pair, rows in found.items()}


def shares(values: np.ndarray) -> str:
    """Return empty rate, pointing of all (an empty map points nowhere), and mass of those that are not empty, as cells."""
    empty = values[:, 0] > 0
    mass = f"{values[~empty, 2].mean():.2f}" if (~empty).any() else "–"
    return f"{empty.mean():.2f} | {np.nan_to_num(values[:, 1]).mean():.2f} | {mass}"


def main() -> None:
    """Train, score, print."""
    from xai.backend import import_quietly

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--region", default="eyes")
    parser.add_argument("--strength", type=float, default=40.0)
    parser.add_argument("--count", type=int, default=480)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    import_quietly()
    sides: dict[str, dict[tuple[str, str], list[np.ndarray]]] = {"Flatten": {}, "pooling": {}, "Flatten, stretched": {}}
    empties: dict[str, list[float]] = {"Flatten": [], "pooling": []}
    for seed in range(said.seeds):
        for head in ("flatten", "pooling"):
            detector, data, accuracy = trained(said.out, said.size, said.count, said.region, said.strength, head, seed)
            print(f"{head}, seed {seed}: accuracy {accuracy:.3f}", flush=True)
            if accuracy < LEARNT:
                continue
            name = "Flatten" if head == "flatten" else head
            found = scored(detector, data, seed, said.images)
            last = [pair for pair in found if pair[1] == "gradcam"][-1]
            empties[name].append(float(found[last][:, 0].mean()))
            for pair, values in found.items():
                sides[name].setdefault(pair, []).append(values)
            if head == "flatten":
                for pair, values in scored(detector.stretch(), data, seed, said.images).items():
                    sides["Flatten, stretched"].setdefault(pair, []).append(values)
    print("\n| method | layer | " + " | ".join(f"{side}: empty | points | mass" for side in sides) + " |")
    print("|---|---|" + "---|" * (3 * len(sides)))
    for layer, method in sorted(sides["Flatten"], key=lambda pair: (METHODS.index(pair[1]), pair[0])):
        cells = [shares(np.concatenate(found[layer, method])) if (layer, method) in found else "– | – | –" for found in sides.values()]
        print(f"| {method} | {layer} | " + " | ".join(cells) + " |")
    for name, rates in empties.items():
        print(f"{name}: empty Grad-CAM maps at the last convolution, seed by seed: " + ", ".join(f"{rate:.2f}" for rate in rates))


if __name__ == "__main__":
    main()
