"""Data sets from folders, files and URLs: the same layouts wherever they lie, in fsspec's memory here."""

import io
import pickle

import h5py
import numpy as np
import pytest

from tests.archives import classed, encoded, memory, pixels, tarred
from train.datasets import hashed, scan
from train.inspection import inspect
from xai.errors import DataError, ImageError
from xai.images import find, read

pytest.importorskip("fsspec")


@pytest.fixture
def bucket():
    """A function that puts objects into memory://."""
    with memory() as put:
        yield put


def told(manifest):
    """Return {path: label split}."""
    return {row.path: f"{row.label} {row.split}".strip() for row in manifest.rows}


CLASSES = {f"b/faces/{label}/{n}.png": encoded(n + 10 * (label == "fake")) for label in ("real", "fake") for n in range(3)}


def test_a_folder_behind_a_url(bucket):
    bucket(CLASSES | {"b/faces/.hidden/x.png": b"", "b/faces/notes.txt": b"", "b/facesother/real/1.png": b""})
    manifest = scan("memory://b/faces/")
    assert told(manifest) == {name.removeprefix("b/faces/"): name.split("/")[2] for name in CLASSES}
    assert manifest.layout == "Class folders: real in real/, fake in fake/" and manifest.name == "faces"
    files = pickle.loads(pickle.dumps(manifest.files()))
    assert str(files[0]) == "memory://b/faces/fake/0.png" and np.array_equal(read(files[0]), pixels(10))
    assert {str(file) for file in find(["memory://b/faces"])} == {str(file) for file in files}
    assert find(["memory://b/faces/real/1.png"])[0].read_bytes() == CLASSES["b/faces/real/1.png"]
    assert all(row.sha256 for row in hashed(manifest).rows)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train/ffhq/1.png", "train/gan/1.png", "val/ffhq/1.png", "val/gan/1.png"], "real train, fake train, real valid, fake valid"),
        (["x/real/train/1.png", "x/real/test/1.png", "x/fake/train/1.png", "x/fake/test/1.png"], "real train, real test, fake train, fake test"),
        (["00000/1.png", "01000/2.png", "generated/1.png"], "real, real, fake"),
    ],
)
def test_the_layouts_of_folders(bucket, names, expected):
    bucket({f"b/{name}": encoded(1) for name in names})
    found = told(scan("memory://b"))
    assert [found[name] for name in names] == expected.split(", ")


def test_unlabelled_and_half(bucket):
    bucket({"b/any/1.png": encoded(1), "h/real/1.png": encoded(1), "n/0/1.png": encoded(1), "n/1/1.png": encoded(2)})
    assert told(scan("memory://b", labelled=False)) == {"any/1.png": ""}
    with pytest.raises(DataError, match=r"memory://b' holds no classes: .*; found: any/"):
        scan("memory://b")
    with pytest.raises(DataError, match=r"has 'real/' but no 'fake/'.* give the folder 'memory://h/real' itself"):
        scan("memory://h", labelled=False)
    assert told(scan("memory://n", positive="real")) == {"0/1.png": "fake", "1/1.png": "real"}


def test_csv_behind_a_url(bucket):
    rows = "path,label,split\nfaces/real/0.png,real,train\nfaces/fake/0.png,fake,val\nreal/1.png,real,val\nmemory://b/faces/fake/1.png,fake,train\ngone.png,real,train\n"
    bucket(CLASSES | {"b/faces/list.csv": rows.encode()})
    expected = {
        "real/0.png": "real train",
        "fake/0.png": "fake valid",
        "real/1.png": "real valid",
        "fake/1.png": "fake train",
        "gone.png": "real train",
    }
    manifest = scan("memory://b/faces/list.csv")
    assert told(manifest) == expected and manifest.layout.endswith(
        "splits from 'split'; 1 of 5 files are missing; left alone: in fake/ itself (1 image), in real/ itself (1 image)"
    )
    assert [bool(row.sha256) for row in hashed(manifest).rows] == [row.path != "gone.png" for row in manifest.rows]
    with pytest.raises(ImageError, match=r"'memory://b/faces/gone.png' does not exist"):
        read(next(manifest.file(row) for row in manifest.rows if row.path == "gone.png"))
    assert "list.csv is left alone, as 2 of these 6 images are not in it" in scan("memory://b/faces").layout
    with pytest.raises(DataError, match="outside its folder"):
        bucket({"b/faces/list.csv": b"path,label\ns3://other/1.png,real\nreal/1.png,fake\n"})
        scan("memory://b/faces/list.csv")


def test_a_csv_in_an_inner_folder(bucket):
    bucket({"b/x/list.csv": b"file,class\np/1.png,real\np/2.png,gan\n", "b/x/p/1.png": encoded(1), "b/x/p/2.png": encoded(2)})
    manifest = scan("memory://b")
    assert told(manifest) == {"p/1.png": "real", "p/2.png": "fake"} and manifest.name == "x"
    assert [np.array_equal(read(file), pixels(n)) for n, file in enumerate(manifest.files(), 1)] == [True, True]


def test_shards_behind_urls(bucket):
    bucket({"b/s/train-0.tar": tarred(classed(0)), "b/s/train-1.tar": tarred(classed(10)), "b/s/val-0.tar": tarred(classed(20))})
    manifest = scan("memory://b/s")
    assert manifest.counts("split") == {"valid": 6, "train": 12} and manifest.rows[0].path == "train-0.tar/0000.png"
    assert scan("memory://b/s/{train,val}-0.tar").counts("split") == {"valid": 6, "train": 6}
    alone = scan("memory://b/s/train-1.tar")
    assert alone.name == "train-1.tar" and [np.array_equal(read(file), pixels(n)) for n, file in enumerate(alone.files(), 10)] == [True] * 6
    assert len(find(["memory://b/s"])) == 18
    assert inspect("memory://b/s/val-0.tar")["images"]["readable"] == 6
    bucket({"b/s/train-1.tar": tarred(classed(10))[:3000]})
    with pytest.raises(ImageError, match=r"memory://b/s/train-1.tar' is cut short"):
        read(alone.files()[-1])
    with pytest.raises(DataError, match=r"memory://b/s/gone.tar' does not exist"):
        scan("memory://b/s/gone.tar")
    with pytest.raises(DataError, match=r"train.tar.gz' is compressed"):
        bucket({"z/train.tar.gz": b""})
        scan("memory://z")


def test_hdf5_behind_a_url(bucket):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["x"], file["y"] = np.stack([pixels(n) for n in range(4)]), ["real", "fake"] * 2
    bucket({"b/a.h5": content.getvalue()})
    for url in ("memory://b/a.h5", "memory://b/a.h5::x"):
        manifest = scan(url)
        assert told(manifest) == {"0": "real", "1": "fake", "2": "real", "3": "fake"} and manifest.name == "a.h5"
        assert np.array_equal(read(manifest.files()[2]), pixels(2)) and str(manifest.files()[2]) == "memory://b/a.h5::x/2"
    with pytest.raises(DataError, match=r"memory://b/gone.h5' does not exist"):
        scan("memory://b/gone.h5")


def test_odd_keys(bucket):
    bucket({"b/real/../../etc/x.png": encoded(1), "b/real//2.png": encoded(2), "b/real/2.png": encoded(3), "b/fake/a b#c?d.png": encoded(4)})
    found = {row.path: manifest.file(row) for manifest in [scan("memory://b")] for row in manifest.rows}
    assert all(".." not in path.split("/") for path in found) and len(found) == 4
    assert np.array_equal(read(found["fake/a b#c?d.png"]), pixels(4))
    assert {int(np.flatnonzero([np.array_equal(read(file), pixels(n)) for n in range(5)])[0]) for file in found.values()} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://b/x", "'nowhere://b/x': Protocol not known: nowhere; expected s3://"),
        ("memory://nothing", "'memory://nothing' (holds nothing; check the name|does not exist)"),
        ("https://me:word@host.invalid/faces?signature=1", "'https://host.invalid/faces': a web address cannot be listed; give a .tar, .csv or .h5"),
        ("memory://b/x.tar.gz", "'memory://b/x.tar.gz' is compressed"),
    ],
)
def test_urls_that_lead_nowhere(url, message):
    with pytest.raises(DataError, match=message) as caught:
        scan(url)
    assert "word" not in str(caught.value) and "signature" not in str(caught.value) and "\n" not in str(caught.value)
