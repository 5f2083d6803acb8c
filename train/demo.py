"""The whole job on drawn portraits, where the truth is known: draw, train, audit, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image as Pillow

from train.portraits import GROUPS, Artefact, write
from xai import store
from xai.errors import DataError
from xai.maps.placement import Axis, Placement
from xai.progress import bar


def draw_portraits(folder: Path, *, count: int, size: int, kind: str, region: str | None, strength: float | None, seed: int, quiet: bool) -> Path:
    """Draw a portrait data set with a progress bar; arguments as in `portraits.write`.

    Raises:
        DataError: an unknown kind or region, or a folder that is not empty.
    """
    with bar(count, "drawing", quiet=quiet) as progress:
        try:
            return write(folder, count, size, artefact=Artefact.of(kind, region, strength), seed=seed, progress=progress.update)
        except ValueError as error:
            raise DataError(str(error)) from None


def run(
    out: Path,
    *,
    size: int,
    count: int,
    epochs: int,
    seed: int,
    say: Callable[[str], None],
    quiet: bool,
    render: Callable[[Path], Path],
) -> dict[str, Any]:
    """Run the demo.

    Args:
        out: gets `portraits/`, `detector/` and `audit/`; portraits that are there are used again.
        size: side of the portraits in pixels.
        count: portraits in all.
        epochs: at most.
        seed: of everything.
        say: told what happens.
        quiet: no progress bar.
        render: makes the page of a run directory (reports stand above this room).

    Returns:
        `report` (its path), `sentences` (plain) and the numbers behind them.
    """
    from train.audit import audit_folder
    from train.fit import fit
    from train.options import Options
    from xai.detector import load
    from xai.provenance import Request

    artefact = Artefact.of("checkerboard")
    portraits = out / "portraits"
    wanted = {"seed": seed, "size": size, "count": count, "artefact": asdict(artefact)}
    made = store.read_json(portraits / "portraits.json") if (portraits / "portraits.json").exists() else None
    if made is None:
        say(f"drawing {count} portraits of {size} x {size}; the fakes carry a {artefact.kind} on the {artefact.region}")
        draw_portraits(portraits, count=count, size=size, kind=artefact.kind, region=None, strength=None, seed=seed, quiet=quiet)
    elif {key: made.get(key) for key in wanted} != wanted:
        raise DataError(
            f"'{portraits}' holds other portraits ({made.get('count')} of {made.get('size')}, seed {made.get('seed')}); give another --out"
        )
    say(f"training alexnet18 at {size} x {size}")
    # a strong artefact is learnt in two epochs at this rate; an average over epochs would only lag behind
    options = Options(size=size, epochs=epochs, patience=2, learning_rate=3e-4, average=0, seed=seed, test=0.2)
    trained = fit("alexnet18", portraits, out / "detector", options, say=say, quiet=quiet)
    say("auditing the held-out portraits")
    request = Request(split="test", seed=seed, effects=24, donors=1, checks=8, command=("whyfake", "demo", "--size", str(size), "--seed", str(seed)))
    audited = audit_folder(load(trained.model), portraits, out / "audit", request, quiet=quiet, say=say)
    result = verdict(audited.folder, audited.summary, portraits, artefact)
    page = render(audited.folder)
    return {"report": str(page), **result}


def verdict(folder: Path, summary: dict[str, Any], portraits: Path, artefact: Artefact) -> dict[str, Any]:
    """Compare where the maps look with where the artefact was planted, and say so.

    Three sentences, then what became of the claim "eyes", and which maps to believe.

    Args:
        folder: the run directory.
        summary: its numbers.
        portraits: the data set, with the artefacts' masks.
        artefact: what was planted.
    """
    metrics = summary["metrics"]["all"]
    low, high = metrics["accuracy_interval"]
    planted = mean_mask(folder, portraits)
    peaks = peaks_inside(folder, planted)
    inside = [layer for layer, hit in peaks.items() if hit]
    names = GROUPS.get(artefact.region, (artefact.region,))
    truth = f"The {artefact.kind} was planted on the {artefact.region} ({planted.mean():.1%} of the image on average)"
    if inside:
        answer = f"the mean HiResCAM map of the fakes peaks inside that region at {len(inside)} of {len(peaks)} convolutions ({', '.join(inside)})."
    else:
        answer = f"the mean HiResCAM map of the fakes peaks inside that region at none of {len(peaks)} convolutions."
    return {
        "accuracy": metrics["accuracy"],
        "planted": {"kind": artefact.kind, "region": artefact.region, "labels": list(names)},
        "peaks_inside": inside,
        "layers": list(peaks),
        "sentences": [
            f"Accuracy on {metrics['count']} held-out portraits: {metrics['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}).",
            summary["finding"] or "No region stands out: every map of a fake was empty.",
            f"{truth}; {answer}",
            *summary["verdicts"][:1],
            *([summary["trust"]["meaning"]] if summary["trust"] else []),
        ],
    }


def mean_mask(folder: Path, portraits: Path) -> np.ndarray:
    """Return how often each pixel carried the artefact in the audited fakes, float64 `(H, W)` in [0, 1]."""
    with h5py.File(folder / "maps.h5") as file:
        paths = [path.decode() for path, label in zip(file["images/path"], file["images/label"], strict=True) if label == b"fake"]
    total: np.ndarray | None = None
    for path in paths:
        with Pillow.open((portraits / "masks" / "artefacts" / path).with_suffix(".png")) as image:
            mask = np.asarray(image) > 0
        total = mask.astype(np.float64) if total is None else total + mask
    return np.zeros((1, 1)) if total is None else total / len(paths)


def peaks_inside(folder: Path, planted: np.ndarray) -> dict[str, bool]:
    """Say per convolution whether the fakes' mean HiResCAM map, placed, peaks where the artefact was in at least a fifth of them."""
    result = {}
    with h5py.File(folder / "maps.h5") as file:
        for layer in store.read_json(folder / "run.json")["layers"]:
            data = file[f"mean/fake/{store.encode(layer['name'])}/hirescam"]
            size = (int(data.attrs["input"][0]), int(data.attrs["input"][1]))
            axes = [Axis(*pair) for pair in zip(data.attrs["stride"], data.attrs["offset"], strict=True)]
            canvas = Placement(axes[0], axes[1], data.shape, size).place(data[:], planted.shape)
            peak = np.unravel_index(int(canvas.argmax()), canvas.shape)
            result[layer["name"]] = bool(canvas.max() > 0 and planted[peak] >= 0.2)
    return result
