"""One planted data set: a detector trained on it, its maps scored against the masks, its regions swapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from train import leaderboard
from train.datasets import Manifest, prepared
from train.evaluate import logits_of
from train.planting import Planted
from train.scoring import Scores, mask, score
from xai import overlay, store
from xai.errors import WhyfakeError
from xai.images import read
from xai.items import Item
from xai.maps.methods import METHODS, title
from xai.metrics import measure as measured

if TYPE_CHECKING:
    from train.selftest import Settings, Subject

TILE = 256  # pixels a side of an example
CAPTION = 22  # pixels above it


def examine(
    subject: Subject, data: Planted, folder: Path, settings: Settings, learnt: float, *, say: Callable[[str], None], quiet: bool
) -> tuple[dict[str, Any], Scores | None]:
    """Train on a planted data set and find out whether the maps tell what was planted.

    Args:
        subject: the network, or the model of which a copy is tuned.
        data: the data set.
        folder: gets the detector, an example and the shards of the effects.
        settings: of the self-test.
        learnt: accuracy on held-out images from which the artefact counts as learnt.
        say: told what happens.
        quiet: no progress bar.

    Returns:
        The plant's record for `selftest.json`, and what every map scored; None where it was not learnt.
    """
    manifest = prepared(data.folder, seed=settings.seed, test=0.2, quiet=quiet)  # as `fit` splits: held-out images must be so for both
    detector, epochs = taught(subject, manifest, data.folder, folder / "detector", settings, say, quiet)
    test = manifest.select("test")
    logits, rows, _ = logits_of(detector, test, quiet=quiet)
    metrics = measured([row.label for row in rows], logits, detector.threshold)
    fakes = [manifest.root / row.path for row in test.rows if row.label == "fake"][: settings.images]
    masks = [data.folder / "masks" / "artefacts" / path.relative_to(data.folder) for path in fakes]
    masks = [path.with_suffix(".png") for path in masks]
    plant = data.plant
    record = {
        "text": plant.text, "name": plant.name, "kind": plant.kind, "region": plant.region, "strength": plant.strength,
        "shortcut": plant.shortcut, "whole": plant.whole, "sentence": plant.sentence, "accuracy": metrics["accuracy"],
        "accuracy_interval": metrics["accuracy_interval"], "held_out": metrics["count"], "epochs": epochs, "images": len(fakes),
        "training": manifest.select("train").counts(), "area_share": float(np.mean([mask(path, detector.size).mean() for path in masks])),
    }  # fmt: skip
    record |= {"learnt": metrics["accuracy"] >= learnt, "effects": [], "first": None, "found": None}
    if not record["learnt"]:
        return record, None
    say(f"{data.plant.text}: accuracy {metrics['accuracy']:.3f}, scoring maps of {len(fakes)} fakes")
    some, slow = (settings.images // 4, 0) if data.plant.whole else (settings.images, settings.slow)  # where no place is right, none is found
    scores = score(detector, fakes, masks, subject.chosen, some, slow, quiet)
    record |= used(detector, data, test, folder, settings, say, quiet)
    sheet = example(detector, plant.text, fakes[0], masks[0], scores)
    store.write_bytes(folder / "example.png", overlay.encode(sheet, ".png"))
    return record, scores


def taught(
    subject: Subject, manifest: Manifest, data: Path, out: Path, settings: Settings, say: Callable[[str], None], quiet: bool
) -> tuple[Any, int | None]:
    """Return a detector that was trained on the data set, and its epochs: a network from its start, or a copy of a model tuned."""
    from xai.detector import load

    if subject.network:
        from train.fit import fit
        from train.selftest import options

        trained = fit(subject.network, data, out, options(subject.network, settings, subject.size), quiet=quiet)
        return load(trained.model), trained.card["training"]["epochs"]
    from train.tune import tune

    detector = replace(load(subject.path, size=subject.size, **settings.foreign), card=None, threshold=0.5)
    detector = tune(
        detector, manifest, epochs=settings.epochs, learning_rate=settings.learning_rate, batch_size=settings.batch_size, seed=settings.seed, say=say
    )
    return detector, None


def used(detector: Any, data: Planted, test: Manifest, folder: Path, settings: Settings, say: Callable[[str], None], quiet: bool) -> dict[str, Any]:
    """Swap every region of some held-out images and return which one moves the logit most: `effects`, `first`, `found`."""
    from xai.probes import table as effect_table
    from xai.probes.measure import measure
    from xai.regions import table as region_table
    from xai.regions.labels import open_labels

    if not settings.effects:
        return {"effects": [], "first": None, "found": None}
    source = open_labels(data.folder / "masks" / "labels")
    held = [Item(index, test.file(row), row.path, row.label, row.sha256) for index, row in enumerate(test.rows)]
    items = [item for label in ("real", "fake") for item in [one for one in held if one.label == label][: settings.effects // 2]]
    wanted = region_table.regions(source.names)
    inside = data.plant.members(source.names)
    if not data.plant.whole and data.plant.region not in wanted:
        wanted |= {data.plant.region: tuple(source.names.index(name) for name in inside)}
    say(f"{data.plant.text}: swapping {len(wanted)} regions of {len(items)} images")
    try:
        effects = measure(detector, items, source, wanted, folder, donors=1, seed=settings.seed, pool=held, quiet=quiet)
    except WhyfakeError as error:
        return {"effects": [], "first": None, "found": None, "effects_missing": str(error)}
    homes = dict(region_table.within(source.names))
    rows = [row for row in effect_table.effect_rows(effects, homes, np.nan) if row["group"] == "both"]
    kept = [{key: row[key] for key in ("region", "within", "images", "net", "net_low", "net_high")} for row in rows]
    outer = [row for row in kept if not row["within"] and row["net_low"] == row["net_low"]]
    first = max(outer, key=lambda row: row["net"], default=None)
    found = None if data.plant.whole or first is None else bool(is_home(first["region"], data.plant.region, wanted, inside, source.names))
    return {"effects": kept, "first": first["region"] if first else None, "found": found}


def is_home(first: str, region: str, wanted: dict[str, tuple[int, ...]], inside: Sequence[str], names: Sequence[str]) -> bool:
    """Say whether the region that moves the logit most is where the artefact is: its own, or a part of it."""
    return first == region or {names[index] for index in wanted[first]} <= set(inside)


def example(detector: Any, plant: str, file: Path, truth: Path, scores: Scores) -> np.ndarray:
    """Draw one fake, what was planted in it, the best map of the one pass, and those that are usually published.

    Returns:
        uint8 RGB, five tiles in a row with captions.
    """
    from xai.maps.mapped import compute

    image = detector.preprocessing.fit(detector.preprocessing.view(read(file))[0])
    inputs = detector.preprocessing.scale(image)[None]
    own = {pair: leaderboard.row(plant, pair, values)["score"] for pair, values in scores.values.items() if METHODS[pair[1].split(":")[0]].one_pass}
    best = max(own, key=lambda pair: own[pair])
    last = [layer for layer, _ in own][-1]
    shown = list(dict.fromkeys([best, (last, "gradcam"), (last, "activation")]))
    maps = compute(detector, inputs, list(dict.fromkeys(layer for layer, _ in shown)), list(dict.fromkeys(method for _, method in shown))).maps
    inside = mask(truth, detector.size)
    tiles = [("fake", image), ("planted", np.where(inside[..., None], image, image // 4))]
    for layer, method in shown:
        drawn = overlay.overlay(image, np.maximum(maps[layer, method][0], 0), detector.layers[layer].placement)
        name = f"{title(method)}, {layer}"
        tiles.append((name + (" (empty)" if not (maps[layer, method][0] > 0).any() else ""), drawn))
    return row_of(tiles)


def row_of(tiles: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Return captioned pictures side by side, uint8 `(H, W, 3)`."""
    import cv2

    sheet = np.full((TILE + CAPTION, len(tiles) * (TILE + 6) - 6, 3), 255, np.uint8)
    for place, (caption, picture) in enumerate(tiles):
        left = place * (TILE + 6)
        sheet[CAPTION:, left : left + TILE] = cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_AREA)
        overlay.write(sheet, caption, left + 2, 15, 0.4)
    return sheet
