"""Exact and near copies: found among pictures that look alike, with no false pair."""

import shutil
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from train.datasets import Manifest, Row, hashed, scan
from train.duplicates import DISTANCE, MIRROR, Duplicates, agreement, candidates, duplicates, perceptual
from xai.errors import ImageError
from xai.images import read


def manifest_of(root, *names):
    return hashed(Manifest(root, tuple(Row(name) for name in names or sorted(path.name for path in root.iterdir()))))


def picture(seed, side=128):
    """A picture with coarse and fine parts of its own."""
    generator = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells, weight in ((5, 120), (16, 80), (48, 40)):
        image = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        total += np.asarray(image) / 255 * weight
    return Image.fromarray(total.astype(np.uint8))


def cropped(image, pixels):
    return image.crop((pixels, pixels, image.width - pixels, image.height - pixels))


COPIES = {
    "png": lambda image, path: image.save(path, "PNG"),
    "q50": lambda image, path: image.save(path, "JPEG", quality=50),
    "half": lambda image, path: image.resize((image.width // 2, image.height // 2)).save(path, "JPEG"),
    "brighter": lambda image, path: image.point(lambda value: min(255, int(value * 1.1 + 5))).save(path, "JPEG"),
    "grey": lambda image, path: image.convert("L").save(path, "WEBP"),
    "cropped": lambda image, path: cropped(image, 2).save(path, "JPEG"),
    "mirrored": lambda image, path: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path, "JPEG"),
    "turned by a mark": lambda image, path: image.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", exif=mark(6)),
}


def mark(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", COPIES)
def test_planted_copies_are_found_and_nothing_else(tmp_path, kind):
    for number in range(12):
        picture(number).save(tmp_path / f"{number:02}", "JPEG", quality=90)
    for number in range(3):
        COPIES[kind](picture(number), tmp_path / f"{number:02}copy")
    manifest = manifest_of(tmp_path)
    hashes, unreadable = perceptual(manifest)
    found = duplicates(manifest, hashes)
    pairs = {(0, 1), (2, 3), (4, 5)}
    assert found.exact == () and unreadable == frozenset()
    assert set(found.near) == pairs or (kind == "mirrored" and set(found.near) < pairs and len(found.near) == 2)  # the hash misses a few of these
    assert hashes.dtype == np.uint64 and len(hashes) == 15


def test_exact_copies_and_groups_of_both(tmp_path):
    for number in range(4):
        picture(number).save(tmp_path / f"{number}", "PNG")
    for name, other in (("0", "0exact"), ("1", "1exact")):
        shutil.copy(tmp_path / name, tmp_path / other)
    picture(1).save(tmp_path / "1near", "JPEG", quality=60)
    picture(1).save(tmp_path / "1worse", "JPEG", quality=30)
    manifest = manifest_of(tmp_path)
    assert [row.path for row in manifest.rows] == ["0", "0exact", "1", "1exact", "1near", "1worse", "2", "3"]
    assert duplicates(manifest, perceptual(manifest)[0]) == Duplicates(((0, 1), (2, 3)), ((2, 3, 4, 5),))


def test_blank_pictures_are_no_copies_of_each_other(tmp_path):
    for level in (0, 1, 128, 255):
        Image.new("RGB", (64, 64), (level,) * 3).save(tmp_path / f"{level}.png")
    manifest = manifest_of(tmp_path)
    hashes, unreadable = perceptual(manifest)
    assert hashes.tolist() == [0] * 4 and not unreadable
    assert duplicates(manifest, hashes) == Duplicates()


def test_portraits_of_different_persons_are_no_copies(portraits):
    manifest = hashed(scan(portraits))
    assert duplicates(manifest, perceptual(manifest)[0]) == Duplicates()


def test_unreadable_is_what_read_cannot_read(tmp_path):
    picture(0, 400).save(tmp_path / "whole.jpg", quality=95, progressive=True)
    picture(1, 400).save(tmp_path / "plain.jpg", quality=95)
    picture(2).convert("CMYK").save(tmp_path / "cmyk.jpg")
    picture(3).convert("P").save(tmp_path / "palette.gif")
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "deep.png")
    picture(4, 8).save(tmp_path / "tiny.jpg")
    picture(5).resize((300, 9)).save(tmp_path / "flat.jpg")
    picture(6).resize((7, 300)).save(tmp_path / "narrow.jpg")
    for name in ("whole", "plain"):
        data = (tmp_path / f"{name}.jpg").read_bytes()
        for share in (0.02, 0.3, 0.6, 0.9, 0.999):
            (tmp_path / f"{name}_{share}.jpg").write_bytes(data[: int(len(data) * share)])
        middle = bytearray(data)
        middle[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
        (tmp_path / f"{name}_hole.jpg").write_bytes(middle)
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    names = [*sorted(path.name for path in tmp_path.iterdir()), "gone.jpg"]
    manifest = manifest_of(tmp_path, *names)
    broken = set()
    for index, name in enumerate(names):
        try:
            read(tmp_path / name)
        except ImageError:
            broken.add(index)
    hashes, unreadable = perceptual(manifest)
    assert unreadable == broken and {"gone.jpg", "text.jpg", "plain_0.6.jpg", "narrow.jpg"} <= {names[i] for i in broken}
    assert not hashes[sorted(broken)].any() and {"flat.jpg", "tiny.jpg", "deep.png", "cmyk.jpg"} <= {names[i] for i in np.flatnonzero(hashes)}
    assert all(len(set(group) & broken) == 0 for group in duplicates(manifest, hashes).near)


def test_agreement_by_hand():
    image = np.asarray(picture(0, 64).convert("L"))
    assert agreement(image, image) == pytest.approx(1, abs=1e-3)
    assert agreement(image, 255 - image) < 0
    assert agreement(image, np.zeros_like(image)) <= 0
    assert agreement(image, np.asarray(picture(1, 64).convert("L"))) < 0.5


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 12), st.booleans())
def test_close_hashes_are_found_without_comparing_all(seed, flips, mirrored):
    """All pairs at most 8 bits apart, also mirrored, against comparing each with each."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(1, 2**63, 40, np.uint64)
    bits = generator.permutation(64)[:flips]
    changed = hashes[:20] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    hashes = np.concatenate([hashes, changed ^ MIRROR if mirrored else changed])
    hashes = hashes[hashes != 0]
    expected = [
        (i, j) for i, j in combinations(range(len(hashes)), 2)
        if min(np.bitwise_count(hashes[i] ^ hashes[j]), np.bitwise_count(hashes[i] ^ hashes[j] ^ MIRROR)) <= DISTANCE
    ]  # fmt: skip
    assert [tuple(pair) for pair in candidates(hashes).tolist()] == expected
    assert (len(expected) >= 20) == (flips <= DISTANCE)


def test_many_equal_hashes_are_not_compared_each_with_each():
    assert len(candidates(np.full(5000, 77, np.uint64))) < 6000
    assert len(candidates(np.array([], np.uint64))) == 0


def test_real_faces_hold_no_near_copies(real_faces):
    """1,600 faces cut out alike, three pairs of them of one invented person: no pair is the same picture."""
    manifest = scan(real_faces / "faces256")
    hashes, unreadable = perceptual(manifest)
    assert not unreadable and duplicates(manifest, hashes).near == ()


def test_edited_photos_are_found(real_faces):
    manifest = scan(real_faces / "ciplab160_parts")
    rows = [index for index, row in enumerate(manifest.rows) if row.path in ("fake/easy_230_1010.jpg", "real/real_00979.jpg", "real/real_00980.jpg")]
    few = Manifest(manifest.root, tuple(manifest.rows[index] for index in rows))
    assert duplicates(few, perceptual(few)[0]).near == ((0, 1),)
