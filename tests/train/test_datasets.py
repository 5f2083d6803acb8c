"""Layouts, splits and limits: seeded, stratified, copies never apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from train import datasets
from train.datasets import CLASSES, Manifest, Row, hashed, key, limited, prepared, remarks, scan, split
from xai.errors import DataError


def folder(root, counts):
    """Write tiny images, each with its own pixels, under `real/`, `fake/` or deeper."""
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            number += 1
            Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(root / name / f"{index:03}.png")
    return root


def rows(reals, fakes):
    named = [Row(f"{label}/{i}.png", label, "", f"{label}{i}") for label, n in (("real", reals), ("fake", fakes)) for i in range(n)]
    return Manifest(None, tuple(named))


def test_class_folders_in_any_case_and_other_folders_left_alone(tmp_path):
    manifest = scan(folder(tmp_path, {"Real": 3, "FAKE/deep": 2, "masks/real": 4}))
    assert manifest.counts() == {"real": 3, "fake": 2}
    assert manifest.rows[0].path == "FAKE/deep/000.png"


def test_split_folders(tmp_path):
    manifest = scan(folder(tmp_path, {"train/real": 4, "train/fake": 4, "val/real": 2, "val/fake": 2, "Test/real": 1, "Test/fake": 1}))
    assert manifest.counts("split") == {"valid": 4, "train": 8, "test": 2}
    assert split(manifest, seed=0) == manifest


def test_train_folder_without_valid_gives_some_up(tmp_path):
    manifest = split(hashed(scan(folder(tmp_path, {"train/real": 10, "train/fake": 10, "test/real": 2, "test/fake": 2}))), seed=0)
    assert manifest.counts("split") == {"valid": 4, "train": 16, "test": 4}
    assert all(row.split == "test" for row in manifest.rows if row.path.startswith("test/"))


@settings(deadline=None)
@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 5))
def test_split_is_seeded_stratified_and_complete(reals, fakes, seed):
    manifest = split(rows(reals, fakes), seed=seed)
    assert manifest == split(rows(reals, fakes), seed=seed)
    for label, count in (("real", reals), ("fake", fakes)):
        part = Manifest(None, tuple(row for row in manifest.rows if row.label == label)).counts("split")
        tests = round(count * 0.15)
        assert part.get("test", 0) == tests
        assert part["valid"] == max(1, round((count - tests) * 0.2))
        assert sum(part.values()) == count


def first_split(manifest, seed, test=0.15, valid=0.2):
    """The split as it was before copies could be named: what it gave must stay what it gives."""
    chosen = {}
    for label in CLASSES:
        keys = sorted({key(row) for row in manifest.rows if row.label == label})
        order = np.random.default_rng([seed, CLASSES.index(label)]).permutation(len(keys))
        tests = round(len(keys) * test)
        valids = max(1, round((len(keys) - tests) * valid))
        for place, index in enumerate(order):
            chosen.setdefault(keys[index], "test" if place < tests else "valid" if place < tests + valids else "train")
    return [chosen[key(row)] for row in manifest.rows]


@settings(deadline=None)
@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 5), st.lists(st.integers(0, 15), max_size=8))
def test_without_near_copies_nothing_changed(reals, fakes, seed, copied):
    plain = rows(reals, fakes)
    copies = Manifest(None, (*plain.rows, *(replace(plain.rows[i], path=f"copy{n}") for n, i in enumerate(copied))))
    for manifest in (plain, copies):
        assert [row.split for row in split(manifest, seed=seed).rows] == first_split(manifest, seed)
    if len(copied) == 0:
        assert split(plain, seed=seed, together=()) == split(plain, seed=seed)


def test_a_split_written_out():
    """Frozen: other data on the same seed must not come out otherwise in a later version."""
    places = [row.split[:2] for row in split(rows(8, 8), seed=0).rows]
    assert " ".join(places) == "tr tr te tr va tr tr tr tr te tr va tr tr tr tr"


@settings(deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 5), st.lists(st.lists(st.integers(0, 15), min_size=2, max_size=4), max_size=4))
def test_groups_never_cross_and_every_row_has_a_place(reals, fakes, seed, groups):
    manifest = rows(reals, fakes)
    groups = [[index if index < 8 else reals + index - 8 for index in group] for group in groups]  # also over both classes
    try:
        done = split(manifest, seed=seed, together=groups)
    except DataError as error:
        assert "different" in str(error)
        return
    assert all(len({done.rows[index].split for index in group}) == 1 for group in groups)
    assert {row.split for row in done.rows} <= {"train", "valid", "test"} and done.crossing == 0
    assert [(row.path, row.label) for row in done.rows] == [(row.path, row.label) for row in manifest.rows]
    assert done == split(manifest, seed=seed, together=groups)


def test_copies_in_both_classes_and_over_several_steps_stay_on_one_side():
    manifest = rows(40, 40)
    for seed in range(5):
        parts = [row.split for row in split(manifest, seed=seed, together=[(0, 1, 41), (41, 42), (5, 6)]).rows]
        assert len({parts[0], parts[1], parts[41], parts[42]}) == 1 and parts[5] == parts[6]


def test_given_validation_is_the_test_set_where_there_is_no_other(tmp_path):
    """As in the 10k real-vs-fake set: what its makers held out is measured, and never stops the training."""
    root = folder(tmp_path, {"train/real": 10, "train/fake": 10, "valid/real": 3, "valid/fake": 3})
    manifest = split(hashed(scan(root)), seed=0)
    assert manifest.counts("split") == {"valid": 4, "train": 16, "test": 6}
    assert {row.path.split("/")[0] for row in manifest.select("test").rows} == {"valid"}
    said = "valid is the test set, as there is no other, and validation is taken from train"
    assert manifest.layout.endswith(f"; {said}") and remarks(manifest.layout) == [said]
    for share in (0.15, 0.4):
        assert split(hashed(scan(root)), seed=0, test=share) == manifest  # a given test set has the size it has
    assert split(hashed(scan(root)), seed=0, test=0) == hashed(scan(root))


def test_train_alone_is_divided_as_if_nothing_were_given(tmp_path):
    manifest = hashed(scan(folder(tmp_path, {"train/real": 20, "train/fake": 20})))
    bare = replace(manifest, rows=tuple(replace(row, split="") for row in manifest.rows))
    assert split(manifest, seed=0) == split(bare, seed=0) and split(manifest, seed=0).counts("split") == {"valid": 6, "train": 28, "test": 6}


def test_copies_across_given_splits_are_left_out_of_learning():
    parts = ("train", "valid", "test") * 4
    given_ = Manifest(None, tuple(Row(f"{n}", label, part, f"{n % 12}{label}") for label in CLASSES for n, part in enumerate(parts)))
    assert split(given_, seed=0) == given_ and given_.crossing == 0
    done = split(given_, seed=0, together=[(0, 3), (0, 1), (13, 14), (15, 23)])
    # 0 and 3 are of train and 1 of valid; 13 of valid and 14 of test; 15 of train and 23 of test
    assert [index for index, row in enumerate(done.rows) if row.split == "left out"] == [0, 3, 13, 15]
    assert all(new == replace(old, split=new.split) and new.split in (old.split, "left out") for new, old in zip(done.rows, given_.rows, strict=True))
    assert done.crossing == 3 and done.layout == "left out as copies of images on another side: 3 of train, 1 of valid"
    assert split(done, seed=0, together=[(0, 3), (0, 1)]).rows == done.rows
    without = Manifest(None, tuple(row for row in given_.rows if row.split != "valid"))  # validation is taken from training only
    done = split(without, seed=0, together=[(0, 1), (2, 4)])
    assert done.crossing == 1 and done.rows[2].split == done.rows[4].split != "test"
    assert (done.rows[0].split, done.rows[1].split) == ("left out", "test")


def noise(root, counts):
    """Write images that no hash confuses, and near copies: `real/0.png` again as `fake/copy.jpg`."""
    generator = np.random.default_rng(0)
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(root / label / f"{number}.png")
    Image.open(root / "real" / "0.png").save(root / "fake" / "copy.jpg", quality=50)
    (root / "real" / "again.png").write_bytes((root / "real" / "1.png").read_bytes())
    return root


def test_prepared_does_it_all(tmp_path):
    root = noise(tmp_path, {"real": 12, "fake": 12})
    for seed in range(4):
        manifest = prepared(root, seed=seed)
        part = {row.path: row.split for row in manifest.rows}
        assert part["real/0.png"] == part["fake/copy.jpg"] and part["real/1.png"] == part["real/again.png"]
        assert manifest.crossing == 0 and manifest.layout == "Class folders: real in real/, fake in fake/"
        assert prepared(root, seed=seed, near=False) == split(hashed(scan(root)), seed=seed)
    assert any(
        len({row.split for row in prepared(root, seed=seed, near=False).rows if row.path in ("real/0.png", "fake/copy.jpg")}) == 2
        for seed in range(9)
    )


def test_prepared_leaves_out_what_the_layout_lets_cross(tmp_path):
    root = noise(tmp_path / "train", {"real": 4, "fake": 4}).parent
    for part in ("valid", "test"):
        noise(tmp_path / part, {"real": 4, "fake": 4})  # the same pictures again
    manifest = prepared(root, seed=0, positive="fake")
    assert manifest.counts("split") == {"test": 10, "left out": 20} and manifest.crossing == 8
    assert {row.path.split("/")[0] for row in manifest.select("test").rows} == {"test"}
    assert remarks(manifest.layout) == ["left out as copies of images on another side: 10 of train, 10 of valid"]
    assert prepared(root, seed=0, near=False).crossing == 9  # the JPEG and its original count apart
    assert manifest.select("test").layout == manifest.layout


def test_another_seed_another_split():
    assert split(rows(40, 40), seed=0) != split(rows(40, 40), seed=1)


def test_copies_stay_on_one_side():
    manifest = Manifest(None, tuple(Row(f"{label}/{i}.png", label, "", f"{label}{i // 4}") for label in ("real", "fake") for i in range(80)))
    sides = {}
    for row in split(manifest, seed=0).rows:
        sides.setdefault(row.sha256, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())


def test_hashes_are_of_the_content(tmp_path):
    root = folder(tmp_path, {"real": 1, "fake": 1})
    (root / "real" / "copy.png").write_bytes((root / "real" / "000.png").read_bytes())
    by_path = {row.path: row.sha256 for row in hashed(scan(root)).rows}
    assert by_path["real/000.png"] == by_path["real/copy.png"] != by_path["fake/000.png"]


def test_digest_does_not_depend_on_names_or_order():
    a = Manifest(None, (Row("a", "real", "", "1"), Row("b", "fake", "", "2")))
    b = Manifest(None, (Row("x", "fake", "test", "2"), Row("y", "real", "", "1")))
    assert a.digest() == b.digest() != rows(1, 1).digest()


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(0, 3))
def test_limit_keeps_the_shares(limit, seed):
    chosen = limited(rows(60, 24), limit, seed)
    assert len(chosen.rows) == min(limit, 84)
    assert abs(chosen.counts().get("fake", 0) - len(chosen.rows) * 24 / 84) < 1
    assert chosen == limited(rows(60, 24), limit, seed)


def test_manifest_is_written_as_csv(tmp_path):
    path = rows(1, 1).write(tmp_path / "m.csv")
    assert path.read_text().splitlines() == ["path,label,split,sha256", "real/0.png,real,,real0", "fake/0.png,fake,,fake0"]


def test_a_written_manifest_tells_where_each_content_was_used(tmp_path):
    """Of several rows the last counts: what was left out, though its path sorts behind, must not hide the test image."""
    given_ = Manifest(None, (Row("test/a", "real", "test", "1"), Row("train/a", "real", "train", "1"), Row("valid/b", "fake", "valid", "2")))
    path = split(given_, seed=0, test=0).write(tmp_path / "m.csv")
    assert path.read_text().splitlines()[1:] == ["train/a,real,left out,1", "test/a,real,test,1", "valid/b,fake,valid,2"]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, r"holds no classes: expected folders real/ and fake/ .*; found: no folders"),
        ({"cats": 2}, "found: cats"),
        ({"real": 2}, "has 'real/' but no 'fake/'; a detector needs both classes"),
        ({"real": 2, "fake": 0}, "fake' holds no images"),
        ({"train/real": 2}, "has 'real/' but no 'fake/'"),
    ],
)
def test_layout_errors(tmp_path, counts, message):
    with pytest.raises(DataError, match=message):
        scan(folder(tmp_path, counts))


def test_two_names_for_one_thing_are_not_guessed(tmp_path):
    with pytest.raises(DataError, match="has both 'Real/' and 'real/'"):
        scan(folder(tmp_path / "a", {"Real": 1, "real": 1, "fake": 1}))
    with pytest.raises(DataError, match="has both 'val/' and 'valid/'"):
        scan(folder(tmp_path / "b", {f"{split}/{label}": 1 for split in ("val", "valid", "train") for label in ("real", "fake")}))
    with pytest.raises(DataError, match="classes both directly in it and in 'test/'"):
        scan(folder(tmp_path / "c", {"real": 1, "fake": 1, "test/real": 1, "test/fake": 1}))
    assert scan(folder(tmp_path / "d", {"real": 1, "fake": 1, "test": 3})).counts() == {"real": 1, "fake": 1}


def test_other_errors(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        scan(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file; give its folder"):
        scan(tmp_path / "file")
    with pytest.raises(DataError, match="only 2 different 'real' images; at least 3"):
        split(rows(2, 8), seed=0, test=0.4)


def test_unlabelled(tmp_path):
    manifest = scan(folder(tmp_path, {"any": 2}), labelled=False)
    assert [(row.path, row.label) for row in manifest.rows] == [("any/000.png", ""), ("any/001.png", "")]


def test_shares_add_up():
    assert datasets.shares({("a", ""): 1, ("b", ""): 1, ("c", ""): 1}, 2) == {("a", ""): 1, ("b", ""): 1, ("c", ""): 0}
    assert json.dumps(list(datasets.shares({("a", ""): 7}, 3).values())) == "[3]"


def test_real_folders(real_faces):
    assert scan(real_faces / "faces1024_watermarked").counts() == {"real": 60, "fake": 24}
    assert scan(real_faces / "faces256").counts() == {"real": 800, "fake": 800}
    assert np.all([row.split == "" for row in scan(real_faces / "faces256").rows])


def test_real_faces_are_split_as_ever(real_faces):
    manifest = prepared(real_faces / "faces256", seed=0)
    assert [row.split for row in manifest.rows] == first_split(hashed(scan(real_faces / "faces256")), 0)
