"""Resizing as others do it: by hand, against the libraries it is named after, and the same wherever a model is used."""

import click
import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import xai
from cli import main
from tests.conftest import tiny_model
from xai.crop import CROPS
from xai.detector import wrap
from xai.errors import ModelError
from xai.preprocess import RESIZES, Preprocessing

ROW = [0, 80, 160, 200, 40, 120]


def fitted(image, height, width, resize):
    return Preprocessing(height, width, resize=resize).fit(image)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("area", [80, 120]),  # (0 + 80 + 160) / 3, (200 + 40 + 120) / 3
        ("nearest", [80, 40]),  # what lies in the middle of each third
        ("bilinear", [80, 40]),  # the middle falls on a pixel: its neighbours weigh nothing
        ("bicubic", [80, 40]),
        ("pillow-bilinear", [95, 115]),  # a triangle three pixels to each side: weights 2, 3, 2, 1 of 8
    ],
)
def test_six_pixels_to_two_by_hand(resize, expected):
    image = np.repeat(np.array([ROW], np.uint8)[..., None], 3, 2)
    assert fitted(image, 1, 2, resize)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(("before", "after"), [((100, 90), (64, 64)), ((256, 256), (64, 64)), ((97, 131), (64, 48)), ((40, 30), (64, 64))])
def test_as_the_libraries_do(before, after):
    image = np.random.default_rng(0).integers(0, 256, (*before, 3), np.uint8)
    for name in ("bilinear", "bicubic", "lanczos"):
        theirs = np.asarray(Image.fromarray(image).resize(after[::-1], Image.Resampling[name.upper()]))
        assert np.array_equal(fitted(image, *after, f"pillow-{name}"), theirs)
    assert np.array_equal(fitted(image, *after, "nearest"), np.asarray(Image.fromarray(image).resize(after[::-1], Image.Resampling.NEAREST)))
    assert np.array_equal(fitted(image, *after, "nearest"), tf.image.resize(image, after, "nearest").numpy())
    assert np.abs(fitted(image, *after, "bilinear") - tf.image.resize(image, after, "bilinear").numpy()).max() <= 1
    assert np.array_equal(fitted(image, *after, "bicubic"), cv2.resize(image, after[::-1], interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("resize", RESIZES)
def test_what_is_resized_can_be_painted_on(resize):
    assert fitted(np.zeros((9, 9, 3), np.uint8), 4, 4, resize).flags.writeable


def test_the_size_that_fits_is_not_touched():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    assert all(fitted(image, 8, 9, resize) is image for resize in RESIZES)


def test_the_card_says_how_and_the_caller_may_say_otherwise():
    model = tiny_model()
    assert wrap(model).preprocessing.resize == "area"
    assert wrap(model, card={"resize": "nearest"}).preprocessing.resize == "nearest"
    assert wrap(model, card={"resize": "nearest"}, resize="bilinear").preprocessing.resize == "bilinear"
    assert xai.blackbox(lambda images: images[:, 0, 0, 0], 8, resize="pillow-bicubic").preprocessing.record()["resize"] == "pillow-bicubic"
    with pytest.raises(ModelError, match=r"resize 'lanczos' is not known; expected one of: area, nearest, bilinear"):
        wrap(model, resize="lanczos")


def test_what_is_explained_is_the_answer_to_the_pixels_so_resized(tmp_path):
    """A detector of brightness: its logit is the mean of what `fit` gives, another one each time."""
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    found = set()
    for resize in RESIZES:
        detector = xai.blackbox(lambda images: images.mean((1, 2, 3)), 8, resize=resize)
        logit = xai.explain(detector, [tmp_path / "a.png"], methods=["occlusion"]).logits[0]
        assert logit == pytest.approx(fitted(image, 8, 8, resize).mean(), rel=1e-5)
        found.add(float(logit))
    assert len(found) == len(RESIZES)


def test_the_command_line_knows_them_all():
    """Its lists are its own, so that --help need not import OpenCV."""
    for command in main.commands.values():
        for option in command.params:
            for name, known in (("--crop", CROPS), ("--resize", RESIZES)):
                if name in option.opts and isinstance(option.type, click.Choice):
                    assert tuple(option.type.choices) == tuple(known), (command.name, name)
    assert any("--resize" in option.opts for option in main.commands["audit"].params)
