"""A full disk, a vanished image, a damaged shard, a file too many: one line, nothing lost, and the same command goes on."""

import csv
import json
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

from train.audit import Items
from train.datasets import scan
from xai import audit as auditing
from xai.audit import audit
from xai.engine.shard import Content, Worker, whole
from xai.errors import RunError
from xai.items import Work
from xai.keptmaps import chosen
from xai.provenance import Request

REQUEST = Request(methods=("activation", "hirescam"), regions="none")


@pytest.fixture
def faces(tmp_path):
    """32 images of noise of 8 x 8, half of them fake."""
    random = np.random.default_rng(0)
    for index in range(32):
        path = tmp_path / "faces" / ("real", "fake")[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return tmp_path / "faces"


def run(detector, faces, out, request=REQUEST, **options):
    """Audit a folder; return what it found and the lines it said."""
    lines: list[str] = []
    manifest = scan(faces)
    kept = chosen([row.label for row in manifest.rows], request.keep_maps, request.seed)
    return audit(detector, Items(manifest, kept), out, request, say=lines.append, **options), lines


def numbers(result):
    """Everything in `summary.json`."""
    return json.loads((result.folder / "summary.json").read_text())


def nodes(folder):
    """The inode of every shard: one that is made again has another."""
    return {path.name: path.stat().st_ino for path in (folder / "shards").iterdir()}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(auditing, "SHARD", 8)


def test_a_full_disk_in_the_middle(tiny, faces, tmp_path):
    """On a real disk that is too small: one line, what is done stays, and once there is room the rest follows."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs rights")
    try:
        with pytest.raises(RunError, match=r"disk .*; free some(?: room)? and run the same command"):
            run(tiny, faces, disk / "run")
        before = {name: node for name, node in nodes(disk / "run").items() if name.endswith(".h5")}
        assert before and not (disk / "run" / "summary.json").exists() and not list(disk.rglob(".*.tmp*"))
        assert all(whole(path) for path in (disk / "run" / "shards").glob("*.h5"))
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        result, _ = run(tiny, faces, disk / "run")
        assert before.items() <= nodes(disk / "run").items()
        assert numbers(result) == numbers(run(tiny, faces, tmp_path / "whole")[0])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_image_is_deleted_and_comes_back(tiny, faces, tmp_path):
    whole_run, _ = run(tiny, faces, tmp_path / "run")
    gone = faces / "real" / "04.png"
    shutil.move(gone, tmp_path / "kept.png")
    manifest = scan(faces)
    shutil.copy(tmp_path / "kept.png", gone)  # it is there when the folder is listed …
    items = Items(scan(faces))
    gone.unlink()  # … and not when it is read
    result = audit(tiny, items, tmp_path / "run", REQUEST)
    assert len(manifest.rows) == 31 and result.skipped == {"real/04.png": "not a file (a folder, a broken link or gone)"}
    assert result.summary["images"] == {"read": 31, "skipped": 1, "trained_on": 0, "groups": result.summary["images"]["groups"]}
    shutil.move(tmp_path / "kept.png", gone)
    again, lines = run(tiny, faces, tmp_path / "run")
    assert numbers(again) == whole_run.summary and lines[-1] == "went on from an earlier run: 4 of 4 shards were there"


@pytest.mark.parametrize("damage", ["cut", "flipped", "maps", "empty"])
def test_a_damaged_shard_is_made_again(tiny, faces, tmp_path, damage):
    first, _ = run(tiny, faces, tmp_path / "run")
    before = nodes(tmp_path / "run")
    shard = sorted((tmp_path / "run" / "shards").glob("*.maps" if damage == "maps" else "*.h5"))[1]
    data = bytearray(shard.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    shard.write_bytes(data if damage == "flipped" else b"" if damage == "empty" else data[: len(data) // 2])
    result, lines = run(tiny, faces, tmp_path / "run")
    assert lines == ["1 damaged shard was made again", "went on from an earlier run: 3 of 4 shards were there"]
    assert numbers(result) == first.summary
    after = nodes(tmp_path / "run")
    assert {name.split(".")[0] for name in before if before[name] != after[name]} == {shard.stem}


def test_other_options_leave_the_old_shards_until_clean(tiny, faces, tmp_path):
    run(tiny, faces, tmp_path / "run")
    first = set(nodes(tmp_path / "run"))
    (tmp_path / "run" / "shards" / ".0123abcd.tmp.h5").write_bytes(b"left by a kill")
    other = Request(methods=("gradcam",), regions="none")
    run(tiny, faces, tmp_path / "run", other)
    both = set(nodes(tmp_path / "run"))
    assert first < both and not any(name.startswith(".") for name in both)
    _, lines = run(tiny, faces, tmp_path / "run", other, clean=True)
    assert set(nodes(tmp_path / "run")) == both - first and lines[-1].startswith(f"removed {len(first)} files of earlier runs")


@pytest.mark.parametrize(("keep", "count"), [("none", 0), ("sample", 10), ("all", 32)])
def test_whose_maps_are_kept(tiny, faces, tmp_path, monkeypatch, keep, count):
    monkeypatch.setattr("xai.keptmaps.FEW", 10)
    result, _ = run(tiny, faces, tmp_path / keep, Request(methods=("hirescam",), regions="none", keep_maps=keep))
    everything, _ = run(tiny, faces, tmp_path / "everything", Request(methods=("hirescam",), regions="none", keep_maps="all"))
    assert result.summary == everything.summary  # every number is of all images
    with h5py.File(result.folder / "maps.h5") as file, h5py.File(everything.folder / "maps.h5") as full:
        rows = file["maps/image"][:]
        assert file["maps/conv/hirescam"].shape == (count, 4, 4) and len(rows) == count
        assert np.array_equal(file["maps/conv/hirescam"][:], full["maps/conv/hirescam"][:][rows])
        labels = file["images/label"][:][rows]
        assert (labels == b"real").sum() == (labels == b"fake").sum()
        maps = file["maps/conv/hirescam"]
        assert [dimension.label for dimension in maps.dims] == ["image", "y", "x"]
        assert maps.dims[1][0][:].tolist() == [1, 3, 5, 7]  # the centres of 2 x 2 cells
    assert (result.folder / "shards").exists() and len(list((result.folder / "shards").glob("*.maps"))) == (0 if keep == "none" else 4)


def test_the_size_is_said_beforehand(tiny, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(auditing, "LARGE", 100)
    _, lines = run(tiny, faces, tmp_path / "run", Request(methods=("hirescam",), regions="none", keep_maps="none"))
    assert lines[0].startswith("maps in full: of 0 of 32 images, 0.0 GB before compression (all: ")


def test_rows_do_not_depend_on_shards(tiny, faces, tmp_path, monkeypatch):
    one, _ = run(tiny, faces, tmp_path / "one")
    monkeypatch.setattr(auditing, "SHARD", 1000)
    two, _ = run(tiny, faces, tmp_path / "two")
    assert one.summary == two.summary
    assert (one.folder / "images.csv").read_bytes() == (two.folder / "images.csv").read_bytes()
    with (one.folder / "images.csv").open(newline="") as file:
        assert [int(row["index"]) for row in csv.DictReader(file)] == list(range(32))


def test_the_worker_bounds_what_it_holds(tiny, faces, tmp_path, monkeypatch):
    """At most two batches of maps are alive, whatever the size of a shard."""
    from xai.maps import mapped

    alive, most, original = [0], [0], mapped.compute

    class Counted(np.ndarray):
        def __del__(self):
            if getattr(self, "counted", False):
                alive[0] -= 1

    def compute(*args, **options):
        found = original(*args, **options)
        for pair in found.maps:
            found.maps[pair] = found.maps[pair].view(Counted)
            found.maps[pair].counted = True
            alive[0] += 1
        most[0] = max(most[0], alive[0])
        return found

    monkeypatch.setattr(mapped, "compute", compute)
    worker = Worker(tiny, Work(("conv",), ("hirescam",), (32, 8)), tmp_path, batch_size=2)
    worker(Items(scan(faces))[:])
    assert most[0] <= 3


def test_what_the_network_kept_back_is_tried_again(tiny, faces, tmp_path, monkeypatch):
    """An image that could be hashed and then not be read is no reason to leave it out for ever."""
    from xai import stream
    from xai.errors import ImageError

    original = stream.read

    def read(path):
        if path.name == "04.png":
            raise ImageError("'s3://faces/real/04.png' cannot be reached (timeout); check the network and run the same command again")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(stream, "read", read)
        first, _ = run(tiny, faces, tmp_path / "run")
    assert list(first.skipped) == ["real/04.png"]
    second, lines = run(tiny, faces, tmp_path / "run")
    assert not second.skipped and lines[-1] == "went on from an earlier run: 3 of 4 shards were there"


def test_matrix_products_keep_to_their_thread(tiny, faces, tmp_path, monkeypatch):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    seen = set()
    add = Content.add
    monkeypatch.setattr(Content, "add", lambda self, *found: seen.update(threads()) or add(self, *found))
    with threadpool_limits(2, "blas"):
        run(tiny, faces, tmp_path / "run")
        assert seen == {1}
        assert threads() == {2}  # as before
