"""The input of a training: the pixels of explaining, seeded order, nothing unreadable."""

import numpy as np
import pytest

import train.pipeline
from train.augment import Augment
from train.datasets import Manifest, scan
from train.pipeline import feed
from xai.images import read
from xai.preprocess import Preprocessing


@pytest.fixture(params=["cached", "from disk"])
def kept(request, monkeypatch):
    """Both ways: decoded once and kept, or decoded every epoch."""
    monkeypatch.setattr(train.pipeline, "CACHE_SHARE", 0.25 if request.param == "cached" else 0.0)
    return request.param


def images(source, epoch=0):
    return np.concatenate([batch.numpy() for batch, _ in source.epoch(epoch)])


def test_training_sees_the_pixels_that_explaining_sees(portraits, kept):
    """No skew: the input pipeline against the explain path, also where images are resized and the order is BGR."""
    manifest = scan(portraits)
    small = Manifest(manifest.root, manifest.rows[:6])
    for preprocessing in (Preprocessing(256, 256), Preprocessing(200, 200), Preprocessing(64, 64, "BGR")):
        batch, labels = next(iter(feed(small, preprocessing, 6).epoch()))
        direct = np.stack([preprocessing.prepare(read(small.root / row.path)) for row in small.rows])
        assert np.array_equal(batch.numpy(), direct)
        assert labels.numpy().tolist() == [float(row.label == "fake") for row in small.rows]


def test_order_depends_on_seed_and_epoch_alone(portraits, kept):
    manifest, size = scan(portraits), Preprocessing(16, 16)
    source = feed(manifest, size, 40, shuffle=1)
    epochs = [images(source, number) for number in range(3)]
    later = images(feed(manifest, size, 40, shuffle=1), 2)  # another process that goes on at the third epoch
    assert np.array_equal(epochs[2], later)
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[0], images(feed(manifest, size, 40, shuffle=2)))
    assert sorted(epochs[0].sum((1, 2, 3))) == sorted(epochs[1].sum((1, 2, 3)))


def test_augmentation_is_seeded_and_new_every_epoch(portraits):
    manifest, size = scan(portraits), Preprocessing(16, 16)
    source = feed(manifest, size, 40, augment=Augment(flip=0.5))
    plain, first, second = images(feed(manifest, size, 40)), images(source, 0), images(source, 1)
    same = [np.array_equal(a, b) for a, b in zip(plain, first, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(plain, first, strict=True)]
    assert all(a or b for a, b in zip(same, mirrored, strict=True)) and 5 < sum(same) < 35
    assert not np.array_equal(first, second) and np.array_equal(first, images(source, 0))


@pytest.mark.parametrize("text", ["jpeg=30", "blur,colour", "flip,crop,jpeg,blur,colour"])
def test_a_network_of_the_other_order_learns_from_the_same_images(portraits, kept, text):
    """JPEG treats red, green and blue differently, so images are changed first and turned round last."""
    manifest, augment = scan(portraits), Augment.parse(text)
    small = Manifest(manifest.root, manifest.rows[:6])
    rgb, bgr = (images(feed(small, Preprocessing(32, 32, order), 4, shuffle=1, augment=augment)) for order in ("RGB", "BGR"))
    assert np.array_equal(bgr, rgb[..., ::-1]) and not np.array_equal(bgr, rgb)


def test_images_as_targets(portraits):
    values, target = next(iter(feed(scan(portraits), Preprocessing(16, 16), 4, target="image").epoch()))
    assert np.allclose(values.numpy() / 255, target.numpy())


def test_the_unreadable_are_left_out(portraits, tmp_path, kept):
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "good.png").write_bytes(next((portraits / label).iterdir()).read_bytes())
        (tmp_path / label / "bad.png").write_text("no image")
    source = feed(scan(tmp_path), Preprocessing(16, 16), 4, shuffle=0)
    assert len(images(source)) == len(images(source, 1)) == 2
    assert sorted(source.skipped) == ["fake/bad.png", "real/bad.png"]
