"""Face parts from the mesh against hand labels; with --fit, the weights of their borders.

    python -m benchmarks.parts FOLDER          # images/NAME.jpg, masks/NAME.png
    python -m benchmarks.parts FOLDER --fit    # first fits xai/regions/borders.json to the even-numbered photos

Photos are numbered in the order of their names, from 0. Everything that is scored here was fitted to
the even-numbered ones; the odd-numbered ones only measure. IoU is intersection over union with the
hand-labelled pixels; its mean runs over photos in which either side has the part. Pixels labelled
as glasses are left out of every comparison, ours and theirs: the label hides what lies below. Where
glasses cover both eyes a photo has no hand-labelled eyes and does not count for them; without a
hand-labelled part for another reason (a fringe over the brows) what we show there is wrong, IoU 0.
The face is all of ours but background, hair, head and ears, so with the outer half of the band along
its border, against skin, nose, eyes, brows, mouth and lips; hats are no face.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from xai import overlay, store
from xai.images import read
from xai.regions import borders, meshparts
from xai.regions.parts import OUTSIDE, Parts

GLASSES = 3
# What is compared: our parts, their classes.
PAIRS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "eyes": (("left_eye", "right_eye"), (4, 5)),
    "brows": (("left_brow", "right_brow"), (6, 7)),
    "nose": (("nose",), (2,)),
    "mouth": (("lips", "mouth_inside"), (10, 11, 12)),
    "lips": (("lips",), (11, 12)),
    "mouth_inside": (("mouth_inside",), (10,)),
    "face": (tuple(name for name in meshparts.NAMES if name not in OUTSIDE), (1, 2, 4, 5, 6, 7, 10, 11, 12)),
}  # fmt: skip
SHADES = ((240, 205, 180), (200, 90, 110), (170, 68, 153), (170, 68, 153), (221, 150, 110), (136, 80, 40), (0, 119, 187))  # of PAIRS, from the last
# What each network learns to find, and the log odds from which a pixel counts as inside: with an expected
# IoU of j, that IoU is largest when pixels more probable than about j / (1 + j) are taken.
TARGETS = {
    "face": ((1, 2, 3, 4, 5, 6, 7, 10, 11, 12), -0.2),
    "nose": ((2,), -0.2),
    "brows": ((6, 7), -0.5),
    "eyes": ((4, 5), -0.45),
    "mouth": ((10, 11, 12), 0.0),
    "inside": ((10,), 0.0),
}
HIDDEN, SAMPLES, ROUNDS = 12, 1500, 12  # units, pixels a photo and outline, passes over them
REPEATS = 7  # of twenty images, for the time


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and its hand labels.

    Args:
        name: of its file.
        image: uint8 `(h, w, 3)`.
        labels: uint8 `(h, w)`.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray


def photos(folder: Path) -> list[Photo]:
    """Return the photos in the order of their names."""
    found = []
    for path in sorted((folder / "images").iterdir()):
        with Pillow.open(folder / "masks" / f"{path.stem}.png") as mask:
            found.append(Photo(path.name, read(path), np.asarray(mask)))
    return found


def overlap(parts: Parts, labels: np.ndarray, what: str) -> tuple[int, int]:
    """Return the pixels of the intersection and of the union."""
    names, classes = PAIRS[what]
    ours = np.isin(parts.resized(labels.shape).labels, [parts.names.index(name) for name in names])
    theirs = np.isin(labels, classes)
    counts = labels != GLASSES
    return int((ours & theirs & counts).sum()), int(((ours | theirs) & counts).sum())


def compare(folder: str | Path) -> dict[str, dict[str, float]]:
    """Return per part the mean and the pooled IoU of both halves, the worst photo, and the time.

    Args:
        folder: with `images/` and `masks/`.
    """
    found: dict[str, dict[str, float]] = {}
    results = [(photo, meshparts.parts(photo.image)) for photo in photos(Path(folder))]
    for what in PAIRS:
        row = {}
        for half, name in enumerate(("tuned", "held out")):
            pairs = [overlap(parts, photo.labels, what) for photo, parts in results[half::2] if parts is not None]
            if what == "eyes":  # glasses that cover both
                pairs = [pair for pair, (photo, _) in zip(pairs, (r for r in results[half::2] if r[1] is not None), strict=True) if scored(photo)]
            both, either = np.array([pair for pair in pairs if pair[1]]).T
            row |= {name: float((both / either).mean()), f"{name}, pooled": float(both.sum() / either.sum()), f"{name}, photos": len(both)}
        found[what] = row
    spent = np.array([[timed(photo.image) for photo, _ in results[:20]] for _ in range(REPEATS)]) * 1000
    found["time"] = {"ms an image, median": float(np.median(spent)), "ms an image, median of each image's fastest": float(np.median(spent.min(0)))}
    found["found"] = {"share": float(np.mean([parts is not None for _, parts in results])), "photos": len(results)}
    return found


def timed(image: np.ndarray) -> float:
    """Return the seconds that the parts of an image take, finding the face included."""
    start = time.perf_counter()
    meshparts.parts(image)
    return time.perf_counter() - start


def scored(photo: Photo) -> bool:
    """Say whether a photo counts for the eyes: it has hand-labelled ones, or no glasses."""
    return bool(np.isin(photo.labels, PAIRS["eyes"][1]).any() or not (photo.labels == GLASSES).any())


def fit(folder: Path) -> None:
    """Fit the networks of the borders to the even-numbered photos and write them."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    looks = []
    for photo in photos(folder)[::2]:
        fitted = meshparts.fit(photo.image)
        if fitted is not None:
            looks.append((borders.Look.of(photo.image, fitted[0]), photo.labels))
    weights = {}
    for name, (classes, threshold) in TARGETS.items():
        features, inside = samples(name, classes, looks)
        scaler = StandardScaler().fit(features)
        network = MLPClassifier((HIDDEN,), alpha=0.1, batch_size=512, max_iter=ROUNDS, learning_rate_init=3e-3, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it stops early on purpose
            network.fit(scaler.transform(features), inside)
        hidden = network.coefs_[0] / scaler.scale_[:, None]
        layers = hidden, network.intercepts_[0] - scaler.mean_ @ hidden, network.coefs_[1][:, 0], network.intercepts_[1][0] - threshold
        weights[name] = [np.round(values, 4).tolist() for values in layers]
    lines = [f"{json.dumps(name)}: {json.dumps(layers)}" for name, layers in weights.items()]
    store.write_text(borders.WEIGHTS, "{" + ",\n".join(lines) + "}\n")
    borders.networks.cache_clear()


def worst(folder: Path, out: Path) -> str:
    """Draw the held-out photo with the lowest mean IoU, without a pixel of the photo: hand labels as areas, ours as lines.

    Returns:
        What is on it.
    """
    scores = []
    held = photos(folder)[1::2]
    for photo in held:
        parts = meshparts.parts(photo.image)
        pairs = {} if parts is None else {what: overlap(parts, photo.labels, what) for what in ("eyes", "brows", "nose", "mouth", "face")}
        scores.append({what: both / either for what, (both, either) in pairs.items() if either and (what != "eyes" or scored(photo))})
    index = min(range(len(held)), key=lambda place: np.mean(list(scores[place].values())) if scores[place] else 0.0)
    photo, score = held[index], scores[index]
    parts = meshparts.parts(photo.image)
    sheet = np.full((*photo.labels.shape, 3), 245, np.uint8)
    sheet[np.isin(photo.labels, (13, 14))] = 215
    for (_, classes), colour in zip(reversed(PAIRS.values()), SHADES, strict=True):
        sheet[np.isin(photo.labels, classes)] = colour
    sheet[photo.labels == GLASSES] = (170, 170, 170)
    if parts is not None:
        for names, _ in PAIRS.values():
            mask = np.isin(parts.resized(photo.labels.shape).labels, [parts.names.index(name) for name in names]).astype(np.uint8)
            edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(sheet, edges, -1, (20, 20, 20), 1, cv2.LINE_AA)
    store.write_bytes(out, overlay.encode(sheet, ".png"))
    return f"{photo.name}: " + ", ".join(f"{what} {value:.2f}" for what, value in score.items())


def samples(name: str, classes: Sequence[int], looks: Sequence[tuple[borders.Look, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return features of pixels along an area's outlines, and whether hand labels have them inside.

    A photo without the part is left out, as it is hidden there; but a closed mouth is a mouth too.
    """
    rng = np.random.default_rng(0)
    features, inside = [], []
    for look, labels in looks:
        if name != "inside" and not np.isin(labels, classes).any():
            continue
        for area in borders.AREAS.values():
            band = borders.band(area, look) if area.weights == name else None
            if band is None:
                continue
            view = look.views[area.detail][0]
            (top, left), (h, w) = band.corner, band.inside.shape
            seen = cv2.warpAffine(labels, view.matrix(), view.size[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
            chosen = rng.choice(len(band.near), min(len(band.near), SAMPLES), replace=False)
            features.append(band.features[chosen])
            inside.append(np.isin(seen[top : top + h, left : left + w].ravel()[band.near[chosen]], classes))
    return np.concatenate(features), np.concatenate(inside)


def table(found: dict[str, dict[str, float]]) -> str:
    """Return the figures as Markdown."""
    columns = ("held out", "held out, pooled", "tuned", "held out, photos")
    lines = ["| part | held-out half, mean IoU | pooled | tuned half, mean IoU | held-out photos |", "|---|---|---|---|---|"]
    for what in PAIRS:
        row = found[what]
        lines.append(f"| {what} | " + " | ".join(f"{row[column]:.3f}" for column in columns[:3]) + f" | {row[columns[3]]:.0f} |")
    times = ", ".join(f"{name} {value:.1f}" for name, value in found["time"].items())
    return "\n".join([*lines, "", f"faces found: {found['found']['share']:.1%} of {found['found']['photos']}; {times}"])


def main() -> None:
    """Fit if asked, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit", action="store_true", help="fit the borders first")
    parser.add_argument("--worst", type=Path, help="draw the worst held-out photo's labels to this file")
    options = parser.parse_args()
    if options.fit:
        fit(options.folder)
    print(table(compare(options.folder)))
    if options.worst:
        print(f"worst: {worst(options.folder, options.worst)}")


if __name__ == "__main__":
    main()
