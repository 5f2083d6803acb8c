"""One planted data set: what counts as held out, and whether swapping regions finds what was planted."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from tests.train.test_selftest import HAIR, SMALL
from train import planted, planting
from train.datasets import prepared
from train.plants import Plant
from train.selftest import opened
from xai import wrap
from xai.images import read


def test_held_out_images_are_those_that_training_held_out(tmp_path, monkeypatch):
    """Near copies stand on one side; if scoring split the images otherwise than training did, it would score what was learnt by heart."""
    data = planting.write(tmp_path / "data", Plant.parse(HAIR), count=60, size=64)
    for index in range(0, 30, 3):
        for label in ("real", "fake"):
            image = read(data.folder / label / f"{label}_{index:05d}.png")
            planting.save_pixels(data.folder / label / f"{label}_{index + 1:05d}.png", np.minimum(image, 252) + np.uint8(3))
    seen = {}
    original = planted.logits_of
    monkeypatch.setattr(planted, "logits_of", lambda detector, test, **options: seen.update(rows=test.rows) or original(detector, test, **options))
    settings = replace(SMALL, count=60, epochs=1)
    record, scores = planted.examine(opened("lenet", settings), data, tmp_path / "out", settings, 1.1, say=lambda line: None, quiet=True)
    with (tmp_path / "out" / "detector" / "manifest.csv").open() as file:
        held = {row["path"] for row in csv.DictReader(file) if row["split"] == "test"}
    assert {row.path for row in seen["rows"]} == held and len(held) == record["held_out"] and scores is None and not record["learnt"]


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    """Portraits with a mark in a corner, and a detector that looks at nothing else: how sharp the edges in that corner are.

    Not its mean colour, which a swap fits to the surroundings.
    """
    import keras
    from keras import layers

    data = planting.write(tmp_path_factory.mktemp("mark") / "data", Plant.parse("watermark:top_left_corner:255"), count=60, size=64)
    image = keras.Input((64, 64, 3))
    x = layers.AveragePooling2D(16)(layers.Conv2D(1, 3, padding="same", activation="relu", name="edges")(image))
    model = keras.Model(image, layers.Dense(1)(layers.Flatten()(x)))
    kernel = np.float32([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[..., None, None] / 3
    model.get_layer("edges").set_weights([kernel.repeat(3, 2), np.zeros(1)])
    weights = np.zeros((16, 1), np.float32)
    weights[0] = 0.1  # the corner
    model.layers[-1].set_weights([weights, np.float32([-1])])
    return data, prepared(data.folder, seed=0, test=0.3).select("test"), wrap(model)


def swapped(mark, tmp_path, effects):
    data, test, detector = mark
    return planted.used(detector, data, test, tmp_path, replace(SMALL, effects=effects), lambda line: None, True)


def test_the_region_that_it_looks_at_comes_first(mark, tmp_path):
    found = swapped(mark, tmp_path, 12)
    rows = {row["region"]: row for row in found["effects"]}
    assert found["first"] == "top_left_corner" and found["found"] is True
    assert rows["top_left_corner"]["images"] == 12 and rows["top_left_corner"]["net_low"] > 0
    assert rows["bottom_right_corner"]["net"] == pytest.approx(0, abs=1e-4)
    assert {"eyes", "skin", "hair"} <= set(rows) and rows["left_eye"]["within"] == "eyes"


@pytest.mark.parametrize("effects", [0, 1, 2])
def test_too_few_images_say_nothing(mark, tmp_path, effects):
    found = swapped(mark, tmp_path, effects)
    assert found["first"] is None and found["found"] is None and len(found["effects"]) == (0 if effects < 2 else len(found["effects"]))


def test_what_covers_everything_is_nowhere(mark, tmp_path):
    data, test, detector = mark
    found = planted.used(detector, replace(data, plant=Plant.parse("cast")), test, tmp_path, replace(SMALL, effects=12), lambda line: None, True)
    assert found["found"] is None and found["first"] == "top_left_corner"


@pytest.mark.parametrize(
    ("first", "region", "home"),
    [("eyes", "eyes", True), ("left_eye", "eyes", True), ("skin", "eyes", False), ("face", "eyes", False), ("mouth", "face", True)],
)
def test_the_region_or_a_part_of_it(first, region, home):
    names = ("skin", "left_eye", "right_eye", "lips")
    wanted = {"skin": (0,), "eyes": (1, 2), "left_eye": (1,), "mouth": (3,), "face": (0, 1, 2, 3)}
    inside = {"eyes": ("left_eye", "right_eye"), "face": names}[region]
    assert planted.is_home(first, region, wanted, inside, names) is home


def test_an_example_has_five_captioned_tiles():
    tiles = [(str(index), np.full((64, 64, 3), 40 * index, np.uint8)) for index in range(5)]
    sheet = planted.row_of(tiles)
    assert sheet.shape == (planted.TILE + planted.CAPTION, 5 * (planted.TILE + 6) - 6, 3)
    for index in range(5):
        left = index * (planted.TILE + 6)
        assert (sheet[planted.CAPTION :, left : left + planted.TILE] == 40 * index).all()
        assert (sheet[: planted.CAPTION, left : left + 40] < 128).any()  # the caption
