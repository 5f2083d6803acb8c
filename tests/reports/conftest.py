"""A run directory made up from NumPy alone, as docs/run-directory.md has it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from xai import miniature
from xai.maps.placement import Axis, Placement

SIDE = 512
# alexnet18 at 512: name, cells, stride, offset, receptive field, channels
LAYERS = (
    ("conv2d", 256, 2.0, 1.0, 2.0, 16),
    ("conv2d_2", 29, 16.0, 32.0, 60.0, 64),
    ("conv2d_4", 10, 32.0, 112.0, 220.0, 128),
)
METHODS = ("activation", "gradcam", "hirescam")
OUTCOMES = ("TP", "TN", "FN", "FP", "TP", "TN")
REGIONS = {"eyes": (0.012, 9.0), "nose": (0.024, 3.0), "mouth": (0.02, 1.5), "skin": (0.24, 0.8)}


def fabricate(
    directory: Path,
    images: int = 6,
    layers: Sequence[tuple[str, int, float, float, float, int]] = LAYERS,
    methods: Sequence[str] = METHODS,
    paths: Mapping[int, str] | None = None,
    photos: Sequence[Path] = (),
    labelled: bool = True,
    seed: int = 0,
) -> Path:
    """Write a plausible run directory without a model.

    HiResCAM and Grad-CAM have a peak near the left eye for fakes; Grad-CAM of the last
    layer is empty for every second image; the first image is in the training set.

    Args:
        directory: where; made if missing.
        images: how many; outcomes repeat TP, TN, FN, FP, TP, TN.
        layers: name, cells, stride, offset, receptive field, channels.
        methods: names of map methods.
        paths: other paths for some rows.
        photos: pictures used as thumbnails instead of drawn ones.
        labelled: False: no labels and no outcomes.
        seed: of the noise.
    """
    random = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "channels").mkdir(exist_ok=True)
    outcomes = [OUTCOMES[i % len(OUTCOMES)] if labelled else "" for i in range(images)]
    labels = [{"TP": "fake", "FN": "fake", "FP": "real", "TN": "real", "": ""}[o] for o in outcomes]
    logits = [round(float(abs(random.normal(2, 1.5)) * (1 if o in ("TP", "FP") else -1)), 4) for o in outcomes]
    names = [f"{label or 'any'}/{i:04d}.jpg" for i, label in enumerate(labels)]
    for row, name in (paths or {}).items():
        names[row] = name
    members: dict[str, list[int]] = {"all": list(range(images))}
    for row, (label, outcome) in enumerate(zip(labels, outcomes, strict=True)):
        for group in (label, outcome):
            if group:
                members.setdefault(group, []).append(row)

    pictures = []
    for row in range(images):
        if photos:
            content = io.BytesIO()
            Image.open(photos[row % len(photos)]).convert("RGB").save(content, "JPEG", quality=85)
            pictures.append(np.frombuffer(content.getvalue(), np.uint8))
        else:
            pictures.append(jpeg(np.full((32, 32, 3), 60 + 20 * (row % 8), np.uint8)))

    entries, regions, maxima = [], [], {}
    with h5py.File(directory / "maps.h5", "w") as file:
        table = file.create_group("images")
        text = h5py.string_dtype()
        table["index"] = np.arange(images)
        table.create_dataset("path", data=names, dtype=text)
        table.create_dataset("label", data=labels, dtype=text)
        table["logit"] = np.array(logits)
        table["score"] = 1 / (1 + np.exp(-np.array(logits)))
        miniature.write_pictures(file, "images/picture", pictures)
        if labelled:
            file.create_group("regions").attrs["names"] = list(REGIONS)
            file["regions/area"] = np.tile([area for area, _ in REGIONS.values()], (images, 1)).astype(np.float32)
        for number, (layer, cells, stride, offset, field, _) in enumerate(layers):
            axis = Axis(stride, offset, field)
            placement = Placement(axis, axis, (cells, cells), (SIDE, SIDE))
            where = {"stride": [stride] * 2, "offset": [offset] * 2, "input": [SIDE] * 2}
            for method in methods:
                maps = made_up(random, method, labels, cells, placement, number == len(layers) - 1)
                stored = file.create_dataset(
                    f"maps/{layer}/{method}",
                    data=maps,
                    chunks=(1, cells, cells),
                    compression="gzip",
                )
                stored.attrs.update(where)
                file[f"small/{layer}/{method}"], file[f"scale/{layer}/{method}"] = miniature.shrink(maps, miniature.sides(images)[1])
                if labelled:
                    file[f"regions/mass/{layer}/{method}"] = random.dirichlet(np.ones(len(REGIONS)), images).astype(np.float32)
                maxima[layer, method] = maps.max((1, 2))
                for group, rows in members.items():
                    entries.append(mean(file, group, layer, method, maps[rows], placement, where))
                    for region, (area, density) in REGIONS.items():
                        density = density if group != "real" else 1 + (density - 1) / 4
                        density /= 1 + number / 2
                        regions.append(region_entry(group, layer, method, region, len(rows), area, density))

    if labelled:
        with h5py.File(directory / "maps.h5", "a") as file:
            file[f"difference/{layers[0][0].replace('/', '+')}/hirescam"] = np.stack([random.normal(size=(64, 64)), random.uniform(size=(64, 64))])

    for layer in layers:
        for row in range(min(2, images)):
            grid = np.kron(random.integers(0, 255, (4, 4)), np.ones((40, 40))).astype(np.uint8)
            Image.fromarray(grid).save(directory / f"channels/{row}__{layer[0].replace('/', '+')}.png")

    write_csv(
        directory / "images.csv",
        [
            {"index": row, "path": names[row], "label": labels[row]}
            | {"split": "train" if row == 0 else "", "logit": logits[row]}
            | {"score": round(1 / (1 + np.exp(-logits[row])), 6)}
            | {"prediction": "fake" if logits[row] > 0 else "real", "outcome": outcomes[row]}
            | {"width": 1024, "height": 1024, "sha256": f"{row:064x}"}
            | {f"max:{a}:{b}": float(values[row]) for (a, b), values in maxima.items()}
            for row in range(images)
        ],
    )
    write_csv(directory / "skipped.csv", [{"path": "fake/broken.png", "reason": "not an image"}])
    write_csv(directory / "regions.csv", regions)
    counts = {group: len(rows) for group, rows in members.items()}
    write_json(
        directory / "summary.json",
        {
            "images": {"read": images, "skipped": 1, "trained_on": 1, "groups": counts},
            "metrics": {"all": metrics(outcomes), "held_out": metrics(outcomes[1:])},
            "maps": entries,
            "regions": regions if labelled else [],
            **(face_parts(images, layers) if labelled else {}),
            "finding": "",
            "notes": [f"1 of the {images} images was in the training set"],
        },
    )
    write_json(
        directory / "run.json",
        record(layers, methods, images, {c: labels.count(c) for c in ("real", "fake")}),
    )
    return directory


def jpeg(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels as the bytes of a JPEG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG")
    return np.frombuffer(content.getvalue(), np.uint8)


def region_entry(group: str, layer: str, method: str, region: str, count: int, area: float, density: float) -> dict[str, Any]:
    """Return an entry of `summary.regions`."""
    values = {"mass_share": min(1.0, area * density), "density": density, "times_chance": density / 2}
    values |= {"pointing": min(1.0, density / 10), "first": min(1.0, density / 12)}
    entry: dict[str, Any] = {"group": group, "layer": layer, "method": method, "region": region, "within": ""}
    entry |= {"count": count, "empty": 0, "area_share": area, "chance_share": 2 * area, "p": 0.001, "p_holm": 0.01, "centre_density": 2.0}
    for name, value in values.items():
        entry |= {name: value, f"{name}_low": 0.9 * value, f"{name}_high": 1.1 * value}
    return entry


def face_parts(images: int, layers: Sequence[Any]) -> dict[str, Any]:
    """Return what `summary.json` says of face parts beside the region table."""

    def verdict(value: float, unit: str, word: str) -> dict[str, Any]:
        many = 320 if word == "undecided" else None
        return {
            "verdict": word,
            "value": value,
            "low": value - 0.3,
            "high": value + 0.3,
            "unit": unit,
            "p": 0.01,
            "p_holm": 0.02,
            "images": 6,
            "needed": many,
        }

    words = ("supported", "undecided", "refuted", "refuted")
    uses = [
        {"region": region, "looked": verdict(density, "times chance", "supported"), "used": verdict(1.0 - k, "logits", word)}
        for k, ((region, (_, density)), word) in enumerate(zip(REGIONS.items(), words, strict=True))
    ]
    kinds = {"net": 1.0, "opposite": 1.2, "same": 0.2, "patch": 0.1, "blur": 0.5}
    effects = [
        {"group": group, "region": region, "within": "", "images": 6, "p": 0.01, "p_holm": 0.02, "share_of_gap": 0.2, "opposite_flips": 0.5}
        | {
            f"{kind}{end}": (value if group == "both" else None) and value + add
            for kind, value in kinds.items()
            for end, add in (("", 0), ("_low", -1), ("_high", 1))
        }
        for group in ("both", "fake")
        for region in REGIONS
    ]
    return {
        "parts": {"kind": "mesh", "found": images - 1, "faceless": {"fake/no<face>.jpg": "no face found"}, "names": list(REGIONS), "units": {},
                  "swapped": 6, "donors": 2, "gap": 4.0},
        "effects": effects,
        "uses": uses,
        "claims": [{"claim": "eyes", "region": "eyes", "looked": uses[0]["looked"], "used": uses[0]["used"]}],
        "verdicts": ["Claim “eyes”. Looked at: supported. Used: supported."],
        "focus": {"method": "hirescam", "layers": [layer[0] for layer in layers], "group": "fake"},
        "differences": [
            {"layer": layers[0][0], "method": "hirescam", "region": "eyes", "within": "", "fakes": 3, "reals": 3, "difference": 0.1}
            | {"difference_low": 0.05, "difference_high": 0.15, "p": 0.001, "p_holm": 0.01}
        ],
        "aligned": [{"layer": layers[0][0], "method": "hirescam", "fakes": 3, "reals": 3, "higher": 0.1, "lower": 0.0}],
    }  # fmt: skip


def made_up(
    random: np.random.Generator,
    method: str,
    labels: Sequence[str],
    cells: int,
    placement: Placement,
    last: bool,
) -> np.ndarray:
    """Return float32 `(N, h, w)`: a bump at the left eye, and some noise."""
    centres = (placement.y.stride * np.arange(cells) + placement.y.offset) / SIDE
    bump = np.exp(-(((centres[:, None] - 0.46) / 0.09) ** 2) - ((centres - 0.38) / 0.09) ** 2)
    side = np.exp(-(((centres[:, None] - 0.7) / 0.12) ** 2) - ((centres - 0.6) / 0.2) ** 2)
    maps = []
    for row, label in enumerate(labels):
        noise = random.normal(0, 0.05, (cells, cells))
        sign = -1.0 if label == "real" else 1.0
        if method == "activation":
            values = np.abs(0.4 * bump + 0.5 * side + noise)
        elif method == "gradcam":
            values = 0.02 * (side - 0.3 + noise) * sign
            if last and row % 2 == 0:
                values = -np.abs(values) - 1e-6
        else:
            values = 0.3 * (sign * bump - 0.2 * side + noise)
        maps.append(values)
    return np.array(maps, np.float32).reshape(len(labels), cells, cells)


def mean(
    file: Any,
    group: str,
    layer: str,
    method: str,
    maps: np.ndarray,
    placement: Placement,
    where: Mapping[str, Any],
) -> dict[str, Any]:
    """Store a group's mean and spread; return its entry of `summary.maps`."""
    full = maps[maps.max((1, 2)) > 0]
    counts = {"count": len(full), "empty": len(maps) - len(full)}
    blank = np.zeros(placement.cells, np.float32)
    average = full.mean(0) if len(full) else blank
    for name, values in (("mean", average), ("std", full.std(0) if len(full) else blank)):
        stored = file.create_dataset(f"{name}/{group}/{layer}/{method}", data=values)
        stored.attrs.update(counts | dict(where))
    cell = np.unravel_index(int(average.argmax()), placement.cells)
    y, x = placement.centre((float(cell[0]), float(cell[1])))
    return (
        {"group": group, "layer": layer, "method": method}
        | counts
        | {"peak": [round(y / SIDE, 4), round(x / SIDE, 4)] if len(full) else None}
        | {"mean_maximum": float(average.max()) if len(full) else None}
    )


def metrics(outcomes: Sequence[str]) -> dict[str, Any] | None:
    """Return the measures of a set of outcomes, with a stand-in interval."""
    n = {name: list(outcomes).count(name) for name in ("TP", "FP", "TN", "FN")}
    count = sum(n.values())
    if not count:
        return None
    right = (n["TP"] + n["TN"]) / count
    called, fakes = n["TP"] + n["FP"], n["TP"] + n["FN"]
    return {
        "count": count,
        "accuracy": right,
        "accuracy_interval": [max(0.0, right - 0.1), min(1.0, right + 0.1)],
        "precision": n["TP"] / called if called else None,
        "recall": n["TP"] / fakes if fakes else None,
        "f1": 2 * n["TP"] / (called + fakes) if called + fakes else None,
        "roc_auc": 0.75,
        "confusion": n,
    }


def record(layers: Sequence[Any], methods: Sequence[str], images: int, counts: Any) -> dict[str, Any]:
    """Return `run.json`."""
    epochs = np.arange(1, 21)
    return {
        "whyfake": "0.1.0",
        "command": ["whyfake", "audit", "model.keras", "my faces", "--out", "audit"],
        "started": "2026-11-21T09:00:00Z",
        "seconds": {"maps": 12.1, "merge": 0.8, "pictures": 3.0},
        "options": {"layers": "conv", "methods": list(methods), "seed": 7, "limit": None} | {"split": "all", "masks": "masks"},
        "model": {"name": "alexnet18", "file": "model.keras", "sha256": "ab" * 32}
        | {"parameters": 675889, "input": [SIDE, SIDE, 3], "positive": "fake", "threshold": 0.5}
        | {"logit": "input of the sigmoid in 'dense_2'", "head": "flatten"},
        "card": {
            "classes": ["real", "fake"],
            "note": "drawn for tests",
            "history": {
                "loss": [round(float(0.7 / e**0.5), 4) for e in epochs],
                "val_loss": [round(float(0.7 / e**0.4), 4) for e in epochs],
                "accuracy": [round(float(1 - 0.5 / e**0.5), 4) for e in epochs],
            },
        },
        "preprocessing": {"height": SIDE, "width": SIDE, "colour_order": "RGB"} | {"low": 0.0, "high": 255.0},
        "layers": [
            {"name": name, "type": "Conv2D", "shape": [cells, cells, channels]}
            | {"stride": [stride] * 2, "offset": [offset] * 2, "receptive_field": [field] * 2}
            for name, cells, stride, offset, field, channels in layers
        ],
        "data": {"name": "faces", "images": images, "skipped": 1, "classes": counts} | {"manifest_sha256": "cd" * 32},
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "machine": {"processor": "x86_64", "cores": 2, "memory_gib": 23.4},
    }


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content), encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under their common header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory that `fabricate` makes by default; not to be changed."""
    return fabricate(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def make_run(tmp_path: Path, finished: Path) -> Callable[..., Path]:
    """Return a function that fabricates a run directory in a fresh folder."""

    def make(**options: Any) -> Path:
        if options:
            return fabricate(tmp_path / "run", **options)
        return Path(shutil.copytree(finished, tmp_path / "run"))

    return make


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], None]], None]:
    """Return a function that changes a JSON file in place."""

    def change(path: Path, how: Callable[[Any], None]) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        how(content)
        write_json(path, content)

    return change
