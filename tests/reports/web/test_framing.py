"""What of an upload the network sees."""

import numpy as np
import pytest

from reports.web import framing
from reports.web.framing import frame, window
from reports.web.refusal import Refusal
from xai.faces import Face
from xai.preprocess import Preprocessing

SMALL = Preprocessing(16, 16)


@pytest.fixture(autouse=True)
def faceless(monkeypatch):
    monkeypatch.setattr(framing, "found", lambda image: None)


def test_the_right_size_goes_straight_in():
    image = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    view = frame(image, SMALL)
    assert view.pixels is image
    assert view.note == ""


def test_too_small_is_said_in_words():
    with pytest.raises(Refusal, match="the image has 16 × 15 pixels; this model needs at least 16 × 16") as refused:
        frame(np.zeros((15, 16, 3), np.uint8), SMALL)
    assert refused.value.status == 422


def test_larger_ones_are_cut_from_the_middle_and_say_so():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 10:50] = 9
    view = frame(image, SMALL)
    assert view.box == (0, 10, 40, 40)
    assert (view.pixels == 9).all()
    assert view.note == "cut from the middle, no face was found: 40 × 40 of 60 × 40 pixels, then made smaller to 16 × 16"


def test_nearly_the_right_size_keeps_its_pixels():
    view = frame(np.zeros((19, 18, 3), np.uint8), SMALL)
    assert view.box == (2, 1, 16, 16)
    assert "made smaller" not in view.note


def test_a_face_is_put_in_the_middle(monkeypatch):
    monkeypatch.setattr(framing, "found", lambda image: Face(20, 60, 40, 80, 0.9))
    view = frame(np.zeros((100, 100, 3), np.uint8), SMALL)
    assert view.box == (11, 51, 38, 38)  # 1.9 x 20 high, around (30, 70)
    assert view.note.startswith("cut around the face: 38 × 38 of 100 × 100 pixels")


def test_a_centre_crop_is_cut_as_in_training(monkeypatch):
    seen = Preprocessing(16, 16, crop="centre")
    assert frame(np.zeros((40, 60, 3), np.uint8), seen).box == (8, 18, 25, 25)  # 5/8 of 40: as `view` cuts it
    assert seen.view(np.zeros((40, 60, 3), np.uint8))[1].side == 25
    same = frame(picture := np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8), seen)  # of the network's own size: as `explain` cuts it
    assert same.box == (3, 3, 10, 10) and np.array_equal(same.pixels, seen.view(picture)[0])
    assert same.note == "cut to the middle: 10 × 10 of 16 × 16 pixels"
    monkeypatch.setattr(framing, "found", lambda image: Face(20, 60, 40, 80, 0.9))
    assert frame(np.zeros((100, 100, 3), np.uint8), seen).box == (18, 58, 23, 23)  # 5/8 of 1.9 x 20 high, around (30, 70)


@pytest.mark.parametrize("seed", range(50))
def test_a_window_lies_inside_and_is_never_smaller_than_the_network(seed):
    rng = np.random.default_rng(seed)
    need = (int(rng.integers(8, 64)), int(rng.integers(8, 64)))
    image = (need[0] + int(rng.integers(0, 200)), need[1] + int(rng.integers(0, 200)))
    top, left = rng.uniform(-20, image[0]), rng.uniform(-20, image[1])
    face = Face(top, left, top + rng.uniform(1, 300), left + rng.uniform(1, 300), 0.9) if seed % 3 else None
    y, x, height, width = window(face, image, need)
    assert y >= 0
    assert x >= 0
    assert y + height <= image[0]
    assert x + width <= image[1]
    assert height >= need[0]
    assert width >= need[1]
    assert abs(height / need[0] - width / need[1]) < 0.15  # of the network's shape, but for whole pixels


def test_a_card_that_asks_for_a_face_is_obeyed(monkeypatch):
    from xai.errors import NoFaceError

    def none(self, image):
        raise NoFaceError("no face found by mesh")

    monkeypatch.setattr(Preprocessing, "view", none)
    with pytest.raises(Refusal, match="no face found by mesh, and this model sees faces only"):
        frame(np.zeros((40, 40, 3), np.uint8), Preprocessing(16, 16, crop="mesh"))
