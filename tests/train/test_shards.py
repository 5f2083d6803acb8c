"""Data sets in tar archives and HDF5 files: the labels beside the images, or the layouts in their names."""

import json
import os

import h5py
import numpy as np
import pytest

from tests.archives import classed, encoded, packed, pixels
from train.datasets import Row, hashed, prepared, scan, split
from train.filefacts import PIXELS, facts
from train.inspection import inspect, write
from train.shards import folders_above, parts_of
from train.sources import common
from xai.errors import DataError, ImageError
from xai.images import find, read
from xai.tarfiles import scanned


def told(manifest):
    """Return {path: (label, split)}."""
    return {row.path: (row.label, row.split) for row in manifest.rows}


def plain(*names):
    """Return members with pictures only."""
    return [(name, encoded(number)) for number, name in enumerate(names)]


@pytest.mark.parametrize("ending", ["cls", "json"])
def test_labels_beside_the_images(tmp_path, ending):
    manifest = scan(packed(tmp_path / "faces.tar", classed(ending=ending)))
    assert told(manifest) == {f"000{n}.png": (("real", "fake")[n % 2], "") for n in range(6)}
    assert manifest.name == "faces.tar" and str(manifest.file(manifest.rows[0])) == f"{tmp_path}/faces.tar/0000.png"
    column = {"cls": "cls", "json": "label"}[ending]
    assert manifest.layout == f"Tar archive faces.tar: classes from '{column}'"
    assert all(np.array_equal(read(file), pixels(n)) for n, file in enumerate(manifest.files()))


def test_numbers_need_positive(tmp_path):
    shard = packed(tmp_path / "a.tar", [*plain("1.png", "2.png"), ("1.cls", b"1\n"), ("2.cls", b"0\n")])
    with pytest.raises(DataError, match=r"a.tar' has only 0 and 1 as labels \('cls'\); say what 1 stands for: --positive fake or --positive real"):
        scan(shard)
    assert told(scan(shard, positive="fake")) == {"1.png": ("fake", ""), "2.png": ("real", "")}
    assert scan(shard, labelled=False).counts() == {"": 2}
    own = packed(tmp_path / "b.tar", [*plain("1.png", "2.png"), ("1.json", b'{"is_fake": true}'), ("2.json", b'{"is_fake": 0}')])
    assert told(scan(own)) == {"1.png": ("fake", ""), "2.png": ("real", "")}


def test_a_key_may_have_several_images(tmp_path):
    members = plain("a/1.left.png", "a/1.right.png", "2.x.jpg", "2.y.jpg")
    notes = [("a/1.cls", b"real"), ("2.cls", b"real"), ("2.y.json", b'{"class": "GAN"}'), ("2.y.cls", b"fake")]
    assert scan(packed(tmp_path / "a.tar", [*members, *notes])).counts() == {"real": 3, "fake": 1}  # the nearer name counts
    assert told(scan(packed(tmp_path / "b.tar", [*members, *notes[:2], notes[3]]))) == {
        "a/1.left.png": ("real", ""), "a/1.right.png": ("real", ""), "2.x.jpg": ("real", ""), "2.y.jpg": ("fake", ""),
    }  # fmt: skip


def test_splits_from_json_and_from_the_archives_names(tmp_path):
    members = [
        m for n in range(8) for m in ((f"{n}.png", encoded(n)), (f"{n}.json", json.dumps({"y": n % 2, "Set": ("train", "dev")[n // 4]}).encode()))
    ]
    manifest = scan(packed(tmp_path / "a.tar", members), positive="real")
    assert manifest.counts("split") == {"valid": 4, "train": 4} and manifest.layout.endswith("classes from 'y', 1 = real, splits from 'set'")
    for number, name in enumerate(("train-00", "train-01", "val-00", "test-00")):
        packed(tmp_path / "s" / f"{name}.tar", classed(10 * number))
    manifest = scan(tmp_path / "s")
    assert manifest.counts("split") == {"valid": 6, "train": 12, "test": 6} and split(manifest, seed=0) == manifest
    assert manifest.rows[0].path == "test-00.tar/0030.png" and manifest.name == "s"
    assert manifest.layout == (
        "Tar archives test-00.tar, train-00.tar, train-01.tar, val-00.tar: classes from 'cls', splits from the archives' names"
    )
    assert scan(f"{tmp_path}/s/train-{{00..01}}.tar").counts("split") == {"": 12}  # one split's name says nothing
    packed(tmp_path / "s" / "more.tar", classed(90))
    with pytest.raises(DataError, match=r"'test-00.tar' names its split, 'more.tar' does not; name the splits of all archives alike"):
        scan(tmp_path / "s")


@pytest.mark.parametrize(
    ("archives", "expected"),
    [
        ({"a.tar": ["real/1.png", "fake/1.png"]}, {"real/1.png": "real", "fake/1.png": "fake"}),
        ({"a.tar": ["x/train/real/1.png", "x/train/gan/1.png", "x/val/real/1.png", "x/val/gan/1.png"]},
         {"x/train/real/1.png": "real train", "x/train/gan/1.png": "fake train", "x/val/real/1.png": "real valid", "x/val/gan/1.png": "fake valid"}),
        ({"0.tar": ["real/1.png", "fake/1.png"], "1.tar": ["real/1.png", "fake/1.png"]},
         {f"{n}.tar/{label}/1.png": label for n in (0, 1) for label in ("real", "fake")}),
        ({"ffhq-000.tar": ["1.png"], "ffhq-001.tar": ["1.png"], "stylegan.tar": ["1.png"]},
         {"ffhq-000.tar/1.png": "real", "ffhq-001.tar/1.png": "real", "stylegan.tar/1.png": "fake"}),
        ({"real/0.tar": ["1.png"], "fake/0.tar": ["a/1.png"]}, {"real/0.tar/1.png": "real", "fake/0.tar/a/1.png": "fake"}),
        ({"train/0.tar": ["real/1.png", "fake/1.png"], "test/0.tar": ["real/1.png", "fake/1.png"]},
         {f"{part}/0.tar/{label}/1.png": f"{label} {part}" for part in ("train", "test") for label in ("real", "fake")}),
        ({"x-train-0.tar": ["real/1.png", "fake/1.png"], "x-test-0.tar": ["real/1.png", "fake/1.png"]},
         {f"x-{part}-0.tar/{label}/1.png": f"{label} {part}" for part in ("train", "test") for label in ("real", "fake")}),
        ({"train-real.tar": ["1.png"], "train-fake.tar": ["1.png"], "val-real.tar": ["1.png"], "val-fake.tar": ["1.png"]},
         {f"{part}-{label}.tar/1.png": f"{label} {part.replace('val', 'valid')}" for part in ("train", "val") for label in ("real", "fake")}),
        ({"00000.tar": ["00000/1.png", "stylegan/1.png"], "00001.tar": ["01000/2.png"]},
         {"00000.tar/00000/1.png": "real", "00000.tar/stylegan/1.png": "fake", "00001.tar/01000/2.png": "real"}),
    ],
)  # fmt: skip
def test_folders_in_names(tmp_path, archives, expected):
    for name, members in archives.items():
        packed(tmp_path / name, plain(*members))
    manifest = scan(tmp_path / "a.tar" if "a.tar" in archives else tmp_path)
    assert {path: " ".join(filter(None, said)) for path, said in told(manifest).items()} == expected
    assert all(read(file).shape == (12, 12, 3) for file in manifest.files())


def test_no_classes(tmp_path):
    shard = packed(tmp_path / "a.tar", plain("1.png", "x/2.png"))
    with pytest.raises(DataError, match=r"a.tar' holds no classes: .*; found: x/; in archives also labels beside the images \(key.cls or key.json\)"):
        scan(shard)
    assert told(scan(shard, labelled=False)) == {"1.png": ("", ""), "x/2.png": ("", "")}
    half = packed(tmp_path / "half.tar", plain("real/1.png"))  # unlike a folder, it cannot be given by itself
    with pytest.raises(DataError, match="has 'real/' but no 'fake/'; a detector needs both classes"):
        scan(half)
    assert scan(half, labelled=False).layout == "Tar archive half.tar: unlabelled images; of the classes there is only real/"


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ([("1.cls", b"7"), ("2.cls", b"0")], "'cls' holds '0', '7'; expected real and fake, or 0 and 1 with --positive"),
        ([("1.cls", b"maybe"), ("2.cls", b"real")], "'cls' holds 'maybe'; expected real and fake"),
        ([("1.cls", b"\xff\0"), ("2.cls", b"real")], r"'cls' holds '.\\\\x00'"),
        ([("1.cls", b"real"), ("2.cls", b"real")], "a.tar' holds only real images; a detector needs both classes"),
        ([("1.cls", b"real")], r"a.tar/2.png' has no label, others have; expected 2.cls or 2.json with a label beside it"),
        ([("1.json", b'{"label": "real"}'), ("2.json", b'{"label": ')], r"a.tar/2.png' has no label, others have"),
        ([("1.json", b'{"label": "real"}'), ("2.json", b"[" * 100_000)], r"a.tar/2.png' has no label, others have"),
        ([("1.json", b'{"label": "real", "target": "fake"}'), ("2.json", b'{"label": "fake", "target": "fake"}')],
         r"a.tar', 1.png: the columns 'label' and 'target' say different classes"),
        ([("1.json", b'{"label": "real", "split": "x"}'), ("2.json", b'{"label": "fake", "split": "train"}')], "'split' holds 'x'; expected train"),
    ],
)  # fmt: skip
def test_labels_that_are_no_use(tmp_path, notes, message):
    shard = packed(tmp_path / "a.tar", [*plain("1.png", "2.png"), *notes])
    with pytest.raises(DataError, match=message) as caught:
        scan(shard)
    assert "\n" not in str(caught.value)
    assert len(scan(shard, labelled=False).rows) == 2


def test_labels_against_folders(tmp_path):
    members = [*plain("real/1.png", "fake/2.png"), ("real/1.cls", b"1"), ("fake/2.cls", b"0")]
    shard = packed(tmp_path / "a.tar", members)
    assert scan(shard, positive="real").counts() == {"real": 1, "fake": 1}
    with pytest.raises(DataError, match=r"a.tar' labels 1 images in 'real/' as fake, 'real/1.png' the first; correct the labels, the folders"):
        scan(shard, positive="fake")


def test_a_shard_that_ends_early(tmp_path):
    whole = packed(tmp_path / "a.tar", classed(0, 4)).read_bytes()
    packed(tmp_path / "b.tar", classed(10, 4))
    ends = [place.start + place.size for place in scanned(str(tmp_path / "a.tar")).images.values()]
    for length in range(1024, 8 * 1536 + 1, 256):  # an image takes two blocks, its label two more, each of these a header and one of content
        (tmp_path / "a.tar").write_bytes(whole[:length])
        manifest = scan(tmp_path)
        kept = [row for row in manifest.rows if row.path.startswith("a.tar/")]
        assert len(manifest.rows) == 8 + len(kept) and all(row.label == ("real", "fake")[int(row.path[9]) % 2] for row in manifest.rows)
        assert "a.tar ends early: copy or download again" in manifest.layout
        assert len(kept) <= sum(end <= length for end in ends) <= len(kept) + 1  # the last may have lost its label
        assert ("1 images there have lost their labels and are left out" in manifest.layout) == (len(scan_all(tmp_path)) > len(manifest.rows))
        assert all(row.sha256 for row in hashed(manifest).rows)


def scan_all(folder):
    """Return all images, with labels or without."""
    return find([folder])


def test_what_is_left_out_is_said(tmp_path):
    import tarfile

    link = tarfile.TarInfo("x.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    shard = packed(tmp_path / "a.tar", [*plain("real/1.png", "fake/1.png", "real/1.png"), (link, b"")])
    assert scan(shard).layout == (
        "Tar archive a.tar: class folders: real in real/, fake in fake/; "
        "1 names come again, the last of each is taken; 1 links or sparse files are left out"
    )


def test_names_of_archives():
    assert parts_of(["a/train/0.tar", "a/dev/0.tar", "faces-test-0.tar"]) == ["train", "valid", "test"]
    assert folders_above("real-0.tar", "", ["fake/1.png"]) == "" and folders_above("train/gan.tar", "train", ["1.png"]) == "train/gan/"
    assert common(["/d/s/1.tar", "/d/s/2.tar"]) == "/d/s"


def test_patterns_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a-0.tar", "a-1.tar"):
        packed(tmp_path / name, plain("real/1.png", "fake/1.png"))
    manifest = scan("a-{0..1}.tar")
    assert manifest.rows[0].path == "a-0.tar/fake/1.png" and manifest.name == tmp_path.name
    assert {str(place) for place in find(["a-{0..1}.tar"])} == {row.path for row in manifest.rows}
    os.chdir("/")
    assert not any(row.sha256 for row in hashed(manifest).rows)  # named from another folder: gone


def hdf5(file, **sets):
    """Write data sets, "__" for "/"."""
    with h5py.File(file, "w") as target:
        for name, values in sets.items():
            target[name.replace("__", "/")] = values
    return file


STACK = np.stack([pixels(n) for n in range(6)])


@pytest.mark.parametrize(
    ("sets", "positive", "expected"),
    [
        ({"label": ["real", "FAKE"] * 3}, None, "real fake real fake real fake"),
        ({"labels": np.array([b"real", b"gan"] * 3)}, None, "real fake real fake real fake"),
        ({"y": np.array([0, 1] * 3)}, "fake", "real fake real fake real fake"),
        ({"y": np.array([[0.0], [1.0]] * 3)}, "real", "fake real fake real fake real"),
        ({"targets": np.array([0, 1] * 3, np.uint8)}, "fake", "real fake real fake real fake"),
        ({"is_fake": np.array([False, True] * 3)}, None, "real fake real fake real fake"),
    ],
)
def test_labels_in_hdf5(tmp_path, sets, positive, expected):
    manifest = scan(hdf5(tmp_path / "a.h5", images=STACK, **sets), positive=positive)
    assert [row.label for row in manifest.rows] == expected.split() and [row.path for row in manifest.rows] == list("012345")
    assert manifest.name == "a.h5" and np.array_equal(read(manifest.file(manifest.rows[4])), STACK[4])
    assert "HDF5 data set 'images' of pixels (how they were once saved as files cannot be told)" in manifest.layout


def test_names_and_splits_in_hdf5(tmp_path):
    names = ["real/1.png", "gan/2.png", "../3.png", "real/1.png", "", "\\x\\6.png"]
    sets = {"label": ["real", "fake"] * 3, "split": ["train", "train", "val", "val", "test", "test"], "path": names}
    manifest = scan(hdf5(tmp_path / "a.hdf5", images=STACK, **sets | {"label": ["real", "fake", "real", "real", "fake", "fake"]}))
    assert told(manifest) == {
        "4": ("fake", "test"), "_../3.png": ("real", "valid"), "gan/2.png": ("fake", "train"),
        "real/1.png": ("real", "train"), "real/1~2.png": ("real", "valid"), "x/6.png": ("fake", "test"),
    }  # fmt: skip
    bare = scan(hdf5(tmp_path / "b.h5", images=STACK[:2], filename=["real/1.png", "gan/1.png"]))
    assert told(bare) == {"real/1.png": ("real", ""), "gan/1.png": ("fake", "")}
    with pytest.raises(DataError, match=r"labels 1 images in 'real/' as fake"):
        scan(hdf5(tmp_path / "c.h5", images=STACK[:2], filename=["real/1.png", "gan/1.png"], label=["fake", "real"]))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"label": ["real"] * 5}, r"a.h5': '/label' has 5 values for 6 images; one value per image is expected"),
        ({"label": np.zeros((6, 2))}, r"'/label' has shape \(6, 2\) for 6 images; one value"),
        ({"label": np.array(1)}, r"'/label' has 0 values for 6 images"),
        ({"label": ["perhaps"] * 6}, r"a.h5' has labels that are not understood: 'label' holds 'perhaps'"),
        ({"label": ["real"] * 6}, r"a.h5' holds only real images"),
        ({"label": [0, 1] * 3}, r"has only 0 and 1 as labels \('label'\)"),
        ({}, r"a.h5' has no labels: expected a data set called label, is_fake, y, … beside 'images', a value per image"),
        ({"label": ["real", "fake"] * 3, "split": ["x"] * 6}, "'split' holds 'x'; expected train, valid and test"),
    ],
)
def test_hdf5_without_labels_that_help(tmp_path, sets, message):
    with pytest.raises(DataError, match=message) as caught:
        scan(hdf5(tmp_path / "a.h5", images=STACK, **sets))
    assert "\n" not in str(caught.value)


def test_labels_stand_in_the_group_of_their_images(tmp_path):
    file = hdf5(tmp_path / "a.h5", train__x=STACK, train__y=["real", "fake"] * 3, test__x=STACK[:2], test__y=["fake", "real"], y=["real"] * 9)
    assert [row.label for row in scan(f"{file}::test/x").rows] == ["fake", "real"]
    assert scan(f"{file}::train/x").counts() == {"real": 3, "fake": 3}
    alone = hdf5(tmp_path / "b.h5", inner__x=STACK, label=["real", "fake"] * 3)
    assert scan(alone).counts() == {"real": 3, "fake": 3}


def test_the_same_images_have_the_same_digest_from_anywhere(tmp_path):
    members = plain("real/1.png", "real/2.png", "fake/1.png", "fake/2.png")
    for name, content in members:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(content)
    folder, shard = hashed(scan(tmp_path / "d")), hashed(scan(packed(tmp_path / "a.tar", members)))
    assert folder.digest() == shard.digest() and [row.sha256 for row in folder.rows] == [row.sha256 for row in shard.rows]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("files", (4,), h5py.vlen_dtype(np.uint8))
        for number, (_, content) in enumerate(members):
            data[number] = np.frombuffer(content, np.uint8)
        file["name"] = [name for name, _ in members]
    assert hashed(scan(tmp_path / "a.h5")).digest() == folder.digest()


def test_copies_in_shards_stay_together(tmp_path):
    members = [(f"{label}/{n}.png", encoded(n + 100 * (label == "fake"), side=64)) for label in ("real", "fake") for n in range(12)]
    members.append(("fake/again.jpg", encoded(3, "JPEG", side=64)))
    packed(tmp_path / "a.tar", members[:14])
    packed(tmp_path / "b.tar", members[14:])
    for seed in range(4):
        parts = {row.path: row.split for row in prepared(tmp_path, seed=seed).rows}
        assert parts["a.tar/real/3.png"] == parts["b.tar/fake/again.jpg"] and len(parts) == 25


def test_facts_of_members_and_of_pixels(tmp_path):
    shard = packed(tmp_path / "a.tar", [("1.png", encoded(1)), ("2.jpg", encoded(2, "JPEG")), ("3.png", b"<html>"), ("4.png", b"")])
    (tmp_path / "1.png").write_bytes(encoded(1))
    (tmp_path / "2.jpg").write_bytes(encoded(2, "JPEG"))
    first, second, third, fourth = find([shard])
    assert facts(first) == facts(tmp_path / "1.png") and facts(second) == facts(tmp_path / "2.jpg")
    with pytest.raises(ImageError, match="not an image: it is an HTML page"):
        facts(third)
    with pytest.raises(ImageError, match="the file is empty"):
        facts(fourth)
    found = facts(find([hdf5(tmp_path / "a.h5", x=STACK)])[0])
    assert (found.format, found.mode, found.width, found.bytes, found.quality, found.suffix_fits) == (PIXELS, "RGB", 12, 432, None, True)


KINDS = (("real", "jpg", "JPEG"), ("fake", "png", "PNG"))


def test_inspection_of_shards_and_of_pixels(tmp_path):
    members = [(f"{label}/{n}.{kind}", encoded(n + 50 * (label == "fake"), form, 32)) for label, kind, form in KINDS for n in range(12)]
    found = inspect(packed(tmp_path / "faces.tar", [*members, ("real/cut.jpg", encoded(0, "JPEG")[:200])]))
    assert found["data"] == "faces.tar" and found["images"] == {"found": 25, "inspected": 25, "readable": 24, "unreadable": 1}
    assert found["leak"]["verdict"] == "leak" and "truncated" in found["skipped"]["real/cut.jpg"]
    write(found, tmp_path / "out")
    stack = np.stack([pixels(n, 32) for n in range(24)])
    found = inspect(hdf5(tmp_path / "a.h5", x=stack, label=["real", "fake"] * 12))
    assert found["leak"]["verdict"] == "none" and found["formats"][0]["name"] == PIXELS and found["images"]["readable"] == 24


def test_rows_without_places_are_files(tmp_path):
    assert Row("a.png").place is None and scan(hdf5(tmp_path / "a.h5", x=STACK), labelled=False).rows[0].place is not None
