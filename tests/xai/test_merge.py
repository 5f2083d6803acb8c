"""However the images are dealt out to shards and machines, the numbers are those of one pass."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from train.audit import audit_folder
from xai import load
from xai.engine.shard import Worker
from xai.errors import RunError
from xai.gather import listing
from xai.items import Item, Work
from xai.mapfile import merge
from xai.maps.mapped import placements
from xai.merge import merge_runs
from xai.provenance import Request
from xai.regions.source import Template

METHODS = ("activation", "gradcam", "hirescam")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """60 images of noise, two of them unreadable, as an audit's items."""
    folder, random = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    items = []
    for index in range(60):
        label = ("real", "fake", "")[index % 3]
        path = folder / f"{index:02d}.png"
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
        if index in (7, 31):
            path.write_bytes(b"nothing")
        items.append(Item(index, path, path.name, label, kept=index % 4 == 0))
    return items


def joined(detector, parts, work, out):
    """Map images dealt out to shards and return all that is known of them, in the order of their names."""
    worker = Worker(detector, work, out)
    shards = [out / "shards" / f"{worker(part).name}.h5" for part in parts]
    found = listing(shards, detector.threshold, work.source.kind if work.source else "", by_path=True)
    where = placements(detector, work.layers, work.methods)
    told, measured, differences = merge(shards, found, work.pairs, where, work.source.names if work.source else None, work.dtype, out)
    return found, told, measured, differences


def arrays(path):
    """Every array of an HDF5 file by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, data: found.update({name: data[()]}) if isinstance(data, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_fifty_random_shardings_equal_one_pass(tiny, noise, tmp_path, dtype):
    work = Work(("conv",), METHODS, (32, 8), Template(), dtype=dtype)
    one = joined(tiny, [noise], work, tmp_path / "one")
    whole = arrays(tmp_path / "one" / "maps.h5")
    assert len(one[0].rows) == 58 and set(one[0].skipped) == {"07.png", "31.png"} and len(one[1]) >= 3 * 4
    assert whole["maps/image"].tolist() == [row for row, entry in enumerate(one[0].rows) if int(entry["path"][:2]) % 4 == 0]
    random = np.random.default_rng(1)
    for number in range(50 if dtype == "float32" else 3):
        order = random.permutation(60)
        cuts = np.sort(random.choice(np.arange(1, 60), random.integers(1, 12), replace=False))
        parts = [[noise[index] for index in part] for part in np.split(order, cuts)]
        many = joined(tiny, parts, work, tmp_path / str(number))
        assert list(many[0].rows) == list(one[0].rows) and many[0].skipped == one[0].skipped
        assert many[1] == one[1] and json.dumps(many[3]) == json.dumps(one[3])
        again = arrays(tmp_path / str(number) / "maps.h5")
        assert again.keys() == whole.keys()
        for name, values in whole.items():
            if name == "images/picture":
                assert [picture.tobytes() for picture in again[name]] == [picture.tobytes() for picture in values]
            elif "REFERENCE" not in str(values.dtype):
                assert np.array_equal(again[name], values, equal_nan=values.dtype.kind == "f"), name
        shutil.rmtree(tmp_path / str(number))


def test_half_floats_come_back(tiny, noise, tmp_path):
    """In 16 bits a map of any strength keeps three digits; nothing overflows and nothing small becomes zero."""
    joined(tiny, [noise], Work(("conv",), METHODS, (32, 8)), tmp_path / "a")
    joined(tiny, [noise], Work(("conv",), METHODS, (32, 8), dtype="float16"), tmp_path / "b")
    a, b = arrays(tmp_path / "a" / "maps.h5"), arrays(tmp_path / "b" / "maps.h5")
    for method in METHODS:
        assert b[f"maps/conv/{method}"].dtype == np.float16
        back = b[f"maps/conv/{method}"].astype(np.float32) * b[f"maps_scale/conv/{method}"][:, None, None]
        np.testing.assert_allclose(back, a[f"maps/conv/{method}"], rtol=1e-3)


def half(manifest_folder, out, keep):
    """Give every second image of a labelled folder a folder of its own."""
    for label in ("real", "fake"):
        (out / label).mkdir(parents=True)
        for path in sorted((manifest_folder / label).iterdir())[keep::2]:
            shutil.copy(path, out / label)
    return out


@pytest.fixture(scope="module")
def halves(trained, portraits, tmp_path_factory):
    """One audit of all portraits and two of a half each."""
    folder = tmp_path_factory.mktemp("halves")
    request = Request(layers="conv2d_2,conv2d_3", methods=METHODS, regions="template", effects=16, donors=1, checks=8)
    detector = load(trained.model)
    runs = [audit_folder(detector, half(portraits, folder / f"data{number}", number), folder / f"run{number}", request) for number in (0, 1)]
    everything = folder / "everything"
    for label in ("real", "fake"):
        shutil.copytree(portraits / label, everything / label)
    return audit_folder(detector, everything, folder / "whole", request), runs, folder


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_merged_runs_equal_one_run(halves, tmp_path):
    whole, runs, _ = halves
    merged = merge_runs([run.folder for run in runs], tmp_path / "merged", command=("whyfake", "merge"))
    assert merged.summary["images"] == whole.summary["images"]
    assert merged.summary["metrics"] == whole.summary["metrics"]
    for one, two in zip(merged.summary["maps"], whole.summary["maps"], strict=True):
        assert {key: one[key] for key in ("group", "layer", "method", "count", "empty", "peak")} == {
            key: two[key] for key in ("group", "layer", "method", "count", "empty", "peak")
        }
        assert (one["mean_maximum"] or 0) == pytest.approx(two["mean_maximum"] or 0, rel=1e-6)  # other batches, other last digits
    assert len(merged.summary["regions"]) == len(whole.summary["regions"]) > 0
    for one, two in zip(merged.summary["regions"], whole.summary["regions"], strict=True):
        assert (one["group"], one["region"], one["count"]) == (two["group"], two["region"], two["count"])
        assert (one["mass_share"] or 0) == pytest.approx(two["mass_share"] or 0, rel=1e-4, abs=1e-7)
    assert [row["path"] for row in table(merged.folder / "images.csv")] == [row["path"] for row in table(whole.folder / "images.csv")]
    swapped = [run.summary["parts"]["swapped"] for run in runs]
    assert merged.summary["parts"]["swapped"] == sum(swapped) == 32
    assert merged.summary["trust"]["images"] == sum(run.summary["trust"]["images"] for run in runs)
    assert merged.summary["notes"][0].startswith("20 of the 40") or any(note.startswith("merged from 2 runs") for note in merged.summary["notes"])
    record = json.loads((merged.folder / "run.json").read_text())
    assert record["data"]["manifest_sha256"] == json.loads((whole.folder / "run.json").read_text())["data"]["manifest_sha256"]
    assert list((merged.folder / "channels").iterdir())


def test_a_merged_run_has_a_page_and_can_be_merged_again(halves, tmp_path, whyfake):
    _, runs, _ = halves
    result = whyfake("merge", runs[0].folder, "--out", tmp_path / "one", "--quiet")
    assert result.exit_code == 0, result.output
    again = whyfake("merge", tmp_path / "one", runs[1].folder, "--out", tmp_path / "both", "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["images"]["read"] == 40
    page = (tmp_path / "both" / "index.html").read_text(encoding="utf-8")
    assert "Merged runs" in page and ">one<" in page and f">{runs[1].folder.name}<" in page


def test_what_cannot_be_merged(halves, trained, portraits, tmp_path, whyfake):
    whole, runs, folder = halves
    other = audit_folder(load(trained.model), folder / "data0", tmp_path / "other", Request(layers="conv2d_3", methods=METHODS, regions="template"))
    for folders, why in (
        ((runs[0].folder, other.folder), "different layers"),
        ((runs[0].folder, whole.folder), "20 images stand in more than one of the runs"),
        ((runs[0].folder, tmp_path / "nothing"), "is no folder"),
        ((runs[0].folder, portraits), "has no run.json"),
        ((runs[0].folder,), "is one of the runs"),
    ):
        with pytest.raises(RunError, match=why):
            merge_runs(folders, runs[0].folder if len(folders) == 1 else tmp_path / "out")
    copy = tmp_path / "copy"
    shutil.copytree(runs[1].folder, copy)
    shard = next((copy / "shards").glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[:-100])
    result = whyfake("merge", runs[0].folder, copy, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "is missing or damaged; run the audit of" in result.output and "Traceback" not in result.output
