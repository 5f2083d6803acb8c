"""What a network gets on every image of a small data set, each being a test image once: five trainings.

    python -m benchmarks.folds DATA --network lenet --size 64 --crop centre --augment flip,colour,erase --learning-rate 1e-3

A single test set of 240 images leaves eleven points of doubt; 1,600 answers leave four. The folds are those of
`benchmarks.classical`; a fifth of the other images chooses the epoch.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from train import datasets
from train.augment import Augment
from train.fit import fit
from train.options import recipe
from xai.metrics import wilson

FOLDS = 5


def main() -> None:
    """Print the accuracy and AUC of each fold, then of all."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="as whyfake train takes it")
    parser.add_argument("--network", default="lenet")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--crop", default="none")
    parser.add_argument("--augment", default="flip,colour")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--patience", type=int, default=15)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--precision", default="float32")
    asked = vars(parser.parse_args())
    manifest, name, augment = datasets.scan(asked.pop("data")), asked.pop("network"), Augment.parse(asked.pop("augment"))
    options = recipe(name, augment=augment, **asked)
    labels = np.array([row.label for row in manifest.rows])
    right, total, areas = 0, 0, []
    for number, (rest, test) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels), 1):
        valid = train_test_split(rest, test_size=0.2, random_state=0, stratify=labels[rest])[1]
        splits = {int(place): "test" for place in test} | {int(place): "valid" for place in valid}
        with tempfile.TemporaryDirectory() as folder:
            for place, row in enumerate(manifest.rows):
                copy = Path(folder, "data", splits.get(place, "train"), row.label, f"{place}{Path(row.path).suffix}")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(manifest.file(row)), copy)
            found = fit(name, Path(folder, "data"), Path(folder, "run"), options).metrics["test"]
        right += found["confusion"]["TP"] + found["confusion"]["TN"]
        total += found["count"]  # images that cannot be read, and copies of learnt ones, are not among them
        areas.append(found["roc_auc"])
        print(f"fold {number}: accuracy {found['accuracy']:.3f}, ROC AUC {found['roc_auc']:.3f}", flush=True)
    low, high = wilson(right, total)
    print(f"{name}: accuracy {right / total:.3f} ({low:.3f} to {high:.3f}), mean ROC AUC {np.mean(areas):.3f} on {total} images")


if __name__ == "__main__":
    main()
