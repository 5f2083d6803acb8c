"""Random changes to training images: bounded, seeded, off by default."""

import numpy as np
import pytest
import tensorflow as tf

from train.augment import Augment, blurred
from xai.errors import DataError

RAMP = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def changed(augment, image=RAMP, seed=(0, 0)):
    return augment.apply(tf.constant(image), tf.constant(seed, tf.int32)).numpy()


def test_off_by_default():
    assert not Augment() and str(Augment()) == "none" and Augment().record() == {}
    assert np.array_equal(changed(Augment()), RAMP)


def test_parse():
    assert Augment.parse("none") == Augment() == Augment.parse("")
    assert Augment.parse("flip, crop,colour") == Augment(flip=0.5, crop=0.05, colour=0.2)
    assert str(Augment.parse("flip,jpeg=70")) == "flip=0.5,jpeg=70"
    with pytest.raises(DataError, match="'mirror' is not known; expected none or some of: flip, crop, jpeg, blur, colour, erase"):
        Augment.parse("mirror")
    with pytest.raises(DataError, match="'crop=x' has no number"):
        Augment.parse("crop=x")
    with pytest.raises(DataError, match=r"'crop=3' is out of range; expected 0 to 0\.5"):
        Augment.parse("crop=3")


def test_flip_is_all_or_nothing():
    flips = [changed(Augment(flip=0.5), seed=(0, number)) for number in range(40)]
    same = sum(np.array_equal(image, RAMP) for image in flips)
    mirrored = sum(np.array_equal(image, RAMP[:, ::-1]) for image in flips)
    assert same + mirrored == 40 and 8 < same < 32
    assert np.array_equal(changed(Augment(flip=1)), RAMP[:, ::-1])


@pytest.mark.parametrize("text", ["flip", "crop=0.2", "jpeg", "blur", "colour", "erase", "flip,crop,jpeg,blur,colour,erase"])
def test_the_same_seed_gives_the_same_change(text):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    augment = Augment.parse(text)
    images = [changed(augment, noise, (1, number)) for number in range(20)]
    again = [changed(augment, noise, (1, number)) for number in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=True))
    assert len({image.tobytes() for image in images}) > (1 if text == "flip" else 6)
    assert all(image.shape == noise.shape and image.dtype == np.uint8 for image in images)


def test_crop_moves_whole_pixels_and_mirrors_the_border():
    """A ramp of 8 columns, moved by up to 2: the row is a run of the mirrored ramp, no new value anywhere."""
    ramp = np.repeat(np.arange(0, 80, 10, dtype=np.uint8)[None, :, None], 8, 0).repeat(3, 2)
    mirrored = [20, 10, 0, 10, 20, 30, 40, 50, 60, 70, 60, 50]
    allowed = [mirrored[start : start + 8] for start in range(5)]
    rows = [changed(Augment(crop=0.25), ramp, (0, number))[3, :, 0].tolist() for number in range(60)]
    assert all(row in allowed for row in rows) and all(row in rows for row in allowed)


def test_blur_by_hand():
    """A step of 0 and 100, sigma 1, radius 1: weights e^-.5 : 1 : e^-.5."""
    values = np.zeros((5, 5, 3), np.float32)
    values[:, 3:] = 100
    side = np.exp(-0.5) / (1 + 2 * np.exp(-0.5))
    row = blurred(tf.constant(values), tf.constant(1.0), 1).numpy()[2, :, 0]
    assert row == pytest.approx([0, 0, 100 * side, 100 * (1 - side), 100], abs=1e-3)


def test_colour_of_grey_stays_grey():
    grey = np.full((8, 8, 3), 100, np.uint8)
    levels = [changed(Augment(colour=0.3), grey, (0, number)) for number in range(20)]
    assert all((image == image[0, 0, 0]).all() for image in levels)
    assert 70 <= min(image.min() for image in levels) < 95 < 105 < max(image.max() for image in levels) <= 130


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (8, 8)])
def test_erased_is_a_square_of_the_mean(shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    noise[::2] //= 2  # so that the mean is nobody's colour
    mean = np.rint(noise.mean((0, 1))).astype(np.uint8)
    sides = []
    for number in range(60):
        image = changed(Augment(erase=1), noise, (0, number))
        rows, columns = np.nonzero((image != noise).any(-1))
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        assert (image[top:bottom, left:right] == mean).all()
        assert np.array_equal(np.delete(image, np.s_[top:bottom], 0), np.delete(noise, np.s_[top:bottom], 0))
        if top > 0 and left > 0 and bottom < shape[0] and right < shape[1]:  # whole: nothing of it lost over the border
            assert abs((bottom - top) - (right - left)) <= 1
            sides.append(bottom - top)
    assert sides and 0.15 * min(shape) - 1 <= min(sides) and max(sides) <= 0.5 * min(shape) + 1
    spared = [np.array_equal(changed(Augment(erase=0.5), noise, (0, number)), noise) for number in range(200)]
    assert 70 <= sum(spared) <= 130


def test_jpeg_loses_detail_by_quality():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    low, high = (np.abs(changed(Augment(jpeg=q), noise, (0, 1)).astype(int) - noise).mean() for q in (1, 100))
    assert low > high > 0
