"""A page of every kind, made up without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import reports
from reports import pdf
from reports.run import read
from tests.reports import test_features, test_inspection, test_selftest, test_trust
from tests.reports.conftest import fabricate
from tests.reports.test_html import HOSTILE, HOSTILE_LAYER
from xai import store
from xai.metrics import measure


def picture(path: Path, size: tuple[int, int] = (400, 300)) -> None:
    """Write a picture that can be told from its ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4), fill=(40, 90, 160))
    image.save(path)


def change(path: Path, how: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    content = store.read_json(path)
    how(content)
    store.write_json(path, content)


def audit(folder: Path) -> Path:
    """Return an audit's page with all parts, verdicts on its maps among them."""
    fabricate(folder, images=12)
    change(folder / "summary.json", lambda summary: summary.update(trust=test_trust.told()))
    return reports.render(folder, sections=[reports.Section("own", "A section of one’s own", lambda run: f"{len(run.images)} images\n\n{HOSTILE}")])


def apart(folder: Path) -> Path:
    """Return an audit's page with its data beside it."""
    return reports.render(fabricate(folder, images=12), "folder")


def printed(folder: Path) -> Path:
    """Return the short version of an audit as it goes to the printer."""
    run = read(fabricate(folder, images=12, paths={0: HOSTILE}))
    return store.write_bytes(folder / "short.html", pdf.page(run).encode())


def bare(folder: Path) -> Path:
    """Return an audit's page without labels."""
    return reports.render(fabricate(folder, images=3, labelled=False, layers=[("conv", 4, 128.0, 64.0, 128.0, 2)]))


def hostile(folder: Path) -> Path:
    """Return an audit's page where every text from outside is markup."""
    layers = [(name.replace("/", ""), 4, 128.0, 64.0, 128.0, 2) for name in (HOSTILE, HOSTILE_LAYER)]
    fabricate(folder, layers=layers, paths={0: HOSTILE, 1: "</script><script>alert(3)</script>.png"})
    change(folder / "summary.json", lambda summary: (summary["notes"].append(HOSTILE), summary.update(trust=test_trust.told([x[0] for x in layers]))))

    def record(found: Any) -> None:
        found["card"].update({"note": HOSTILE, HOSTILE: HOSTILE})
        found["model"].update(name=HOSTILE)
        found["data"].update(name=HOSTILE)
        found["command"].append(HOSTILE)

    change(folder / "run.json", record)
    store.write_table(folder / "skipped.csv", ("path", "reason"), [(HOSTILE, "<b>")])
    return reports.render(folder)


def selftest(folder: Path) -> Path:
    """Return a self-test's page."""
    picture(folder / "checkerboard-eyes-60" / "example.png")
    store.write_json(folder / "selftest.json", test_selftest.record())
    return reports.render(folder)


def evaluation(folder: Path) -> Path:
    """Return an evaluation's page."""
    labels = ["fake", "real"] * 60
    logits = np.random.default_rng(0).normal(0, 1.5, 120) + np.tile([1.0, -1.0], 60)
    for name in ("confusion", "roc", "pr", "scores", "calibration"):
        picture(folder / f"{name}.png")
    metrics = measure(labels, logits, temperature=1.5, resamples=50)
    store.write_json(folder / "metrics.json", metrics | {"about": {"model": HOSTILE, "data": "my <faces>", "split": "test", "trained_on": 3}})
    store.write_table(folder / "skipped.csv", ("path", "reason"), [(HOSTILE, "a text file")])
    return reports.render(folder)


def inspection(folder: Path) -> Path:
    """Return an inspection's page."""
    folder.mkdir()
    test_inspection.lay(folder, data=HOSTILE)
    return reports.render(folder)


def features(folder: Path) -> Path:
    """Return a page of feature pictures."""
    for name in ("crops/conv__3__0.png", "images/0.png", "images/7.png", "pictures/conv__3.png"):
        picture(folder / name, (8, 8))
    store.write_json(folder / "features.json", test_features.record())
    return reports.render(folder)


def autoencoder(folder: Path) -> Path:
    """Return an autoencoder's page."""
    for name in ("reconstructions", "curves"):
        picture(folder / f"{name}.png")
    error = {"mse": 0.0123, "mse_interval": [0.011, 0.0136], "mean_colour_mse": 0.05, "psnr": 19.1, "count": 40}
    card = {"input": [64, 64, 3], "reconstruction": error, "training": {"epochs": 3}, "images": {"train": 90}, "versions": {"keras": "3.15.0"}}
    store.write_json(folder / "autoencoder.json", card)
    return reports.render(folder)


def zoo(folder: Path) -> Path:
    """Return the page of a comparison of networks."""
    row = {
        "name": "lenet", "images": 140, "train_images": 98, "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "count": 28,
        "balanced_accuracy": 0.9, "roc_auc": 0.95, "valid_accuracy": 0.88, "called_fake": 0.5, "p_against_best": None, "size": 64,
        "parameters": 337721, "multiply_adds": 11685937, "epochs": 12, "best_epoch": 9, "seconds_per_epoch": 1.5, "seconds": 18.0,
        "images_per_second": 900.0,
    }  # fmt: skip
    rows = [
        row,
        row | {"name": "collapsed", "accuracy": 0.5, "called_fake": 1.0, "p_against_best": 0.001},
        row | {"images": 70, "train_images": None},
    ]
    for name in ("accuracy", "effort", "learning"):
        picture(folder / f"{name}.png")
    store.write_json(folder / "zoo.json", {"data": HOSTILE, "rows": rows, "protocol": {"seed": 3}, "splits": {"train": 98}})
    return reports.render(folder)


MAKERS = (audit, bare, apart, hostile, printed, selftest, evaluation, inspection, features, autoencoder, zoo)
PAGES = {make.__name__: make for make in MAKERS}
AUDITS = ("audit", "bare", "apart", "hostile")  # pages with a script
