"""Are the faithfulness numbers those of other people's code? Both sides on the same network, images and maps.

xplique gives deletion, insertion, average drop, increase and gain; Quantus the imputation of ROAD, by a
sparse solve. They pin other packages, so they get an environment of their own:

    python -m venv /tmp/oracle && /tmp/oracle/bin/python -m pip install xplique==2.0.2 tensorflow==2.20.0 keras==3.15.1 quantus==0.6.0
    python -m benchmarks.faithoracle --python /tmp/oracle/bin/python

It printed, for 6 images of 40 x 40 (logits -1.5 to 0.6, areas of probability 0.19 to 0.65), as largest differences:
areas in logits 1.9e-07 (4 curves), areas of probability 7.0e-08 (4 curves), average drop 8.6e-08, increase 0, gain 2.2e-07,
imputed pixels 5.8e-08 grey levels with a tight tolerance and 4.9e-02 with the usual one.

Two conventions differ and are made the same here: an area in logits counts from its own start with us, and xplique takes a
map's absolute value less its minimum where we take its positive part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SIZE, IMAGES, STEPS = 40, 6, 10  # 1600 pixels: every step is a whole number of them, which the two sides would round differently
SHARES = {"average_drop": "AverageDropMetric", "average_increase": "AverageIncreaseMetric", "average_gain": "AverageGainMetric"}
CURVES = ("deletion_blur", "deletion_donor", "insertion_blur", "insertion_donor")


def network() -> Any:
    """Return a small convolutional network with random weights and a logit."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(8, 5, 2, activation="relu"),
            layers.Conv2D(8, 3, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(stddev=2.0)),  # logits of several units, both signs
        ]
    )


def ours(model: Any, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return our numbers, `(N,)` each, and the imputed images."""
    from xai.maps.placement import pixels
    from xai.trust import passes
    from xai.trust.faithful import Found, Settings, Subject, Trial
    from xai.trust.measure import Faithfulness
    from xai.trust.road import impute
    from xai.trust.scores import scores

    pair = ("input", "given")
    settings = Settings((pair,), fractions=tuple(step / STEPS for step in range(STEPS + 1)), road=(), squares=0)
    subjects = [
        Subject(image, "fake", str(number), {pair: values}, donor)
        for number, (image, values, donor) in enumerate(zip(given["images"], given["maps"], given["donors"], strict=True))
    ]
    trials = [Trial(subject, settings) for subject in subjects]
    places = {"input": pixels((SIZE, SIZE))}
    changes = (change for trial, subject in zip(trials, subjects, strict=True) for change in trial.changes(subject, places, 0.0, 255.0))
    passes.run(lambda images: np.asarray(model(images))[:, 0], (SIZE, SIZE), changes, 32)
    parts = [trial.result().columns() for trial in trials]
    found = Found(**{name: np.stack([part[name] for part in parts]) for name in parts[0]})
    labels = ("fake",) * IMAGES
    whole = Faithfulness(settings.rows, settings.fractions, (), 0.5, np.arange(IMAGES), labels, labels, np.arange(IMAGES), found)
    # an area in logits counts from its own start; xplique's does not
    measured = {name: values[:, 0] for name, values in scores(whole).items()}
    measured |= {curve: measured[curve] + found.curves[:, 0, column, 0] for column, curve in enumerate(CURVES)}
    imputed = [impute(image.astype(np.float64), mask, tolerance=1e-7) for image, mask in zip(given["images"], given["removed"], strict=True)]
    quick = [impute(image, mask) for image, mask in zip(given["images"], given["removed"], strict=True)]
    return measured | {"imputed": np.array(imputed), "quick": np.array(quick)}


def theirs(folder: Path) -> None:
    """Write xplique's and Quantus' numbers; run by the other environment, imports nothing of ours."""
    import keras
    from quantus.functions.perturb_func import noisy_linear_imputation
    from xplique import metrics

    model = keras.models.load_model(folder / "model.keras", compile=False)
    given = np.load(folder / "given.npz")
    found: dict[str, list[float]] = {}
    for number in range(IMAGES):
        image, values, target = given["images"][number : number + 1], given["maps"][number : number + 1], np.ones((1, 1), np.float32)
        for curve in CURVES:
            way, baseline = curve.split("_")
            other = given["blurred" if baseline == "blur" else "donors"][number : number + 1]
            kind = metrics.Deletion if way == "deletion" else metrics.Insertion
            for end, activation in (("", None), ("_probability", "sigmoid")):
                metric = kind(model, image, target, baseline_mode=lambda _, other=other: other, steps=STEPS, activation=activation)
                found.setdefault(curve + end, []).append(float(metric.evaluate(values)))
        for name, kind in SHARES.items():
            found.setdefault(name, []).append(float(getattr(metrics, kind)(model, image, target, activation="sigmoid").evaluate(values)))
    imputed = []
    for image, removed in zip(given["images"].astype(np.float64), given["removed"], strict=True):
        imputed.append(noisy_linear_imputation(image.transpose(2, 0, 1), np.flatnonzero(removed), noise=0.0).transpose(1, 2, 0))
    np.savez(folder / "theirs.npz", imputed=np.array(imputed), **{name: np.array(values) for name, values in found.items()})


def inputs() -> dict[str, np.ndarray]:
    """Return images, donors, maps whose least value is 0 (xplique subtracts it) and pixels to impute."""
    import cv2

    from xai.maps.fills import blurred

    rng = np.random.default_rng(0)
    images, donors = (cv2.GaussianBlur(rng.uniform(0, 255, (SIZE, SIZE, 3 * IMAGES)), (0, 0), 1.5) for _ in range(2))
    images, donors = (np.float32(part).reshape(SIZE, SIZE, IMAGES, 3).transpose(2, 0, 1, 3).copy() for part in (images, donors))
    maps = np.float32([cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE)), (0, 0), 1 + number) for number in range(IMAGES)])
    maps -= maps.min((1, 2), keepdims=True)
    removed = np.array([values >= np.quantile(values, 1 - (0.1, 0.3, 0.5)[number % 3]) for number, values in enumerate(maps)])
    return {"images": images, "donors": donors, "blurred": np.array([blurred(image) for image in images]), "maps": maps, "removed": removed}


def main() -> None:
    """Run both sides and print how far apart they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment that has xplique and Quantus")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return theirs(options.worker)
    with tempfile.TemporaryDirectory() as name:
        folder, model, given = Path(name), network(), inputs()
        model.save(folder / "model.keras")
        np.savez(folder / "given.npz", **given)
        subprocess.run([options.python, Path(__file__).resolve(), "--worker", folder], check=True, stderr=subprocess.DEVNULL)
        other, own = dict(np.load(folder / "theirs.npz")), ours(model, given)
        for key, values in other.items():
            unit = "grey levels" if key == "imputed" else "logits" if key in CURVES else "of 1"
            spread = f"{values.min():.3f} to {values.max():.3f}"
            print(f"{key:28s} largest difference {np.abs(values - own[key]).max():.1e} {unit} ({spread})")
        print(f"{'imputed, usual tolerance':28s} largest difference {np.abs(other['imputed'] - own['quick']).max():.1e} grey levels")


if __name__ == "__main__":
    main()
