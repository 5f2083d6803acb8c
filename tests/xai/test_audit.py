"""The run directory: its files agree with each other and with a direct computation; a stopped run goes on."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import compute
from train.audit import audit_folder
from xai import audit as auditing
from xai import load
from xai.aggregate import Moments
from xai.engine import shard
from xai.errors import DataError, LayerError
from xai.items import Item, Work, identity, known
from xai.provenance import Request


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def maps_of(file):
    """Yield (layer, method, maps) of `maps.h5`; beside the maps lie the coordinates of their dimensions."""
    for layer, methods in file["maps"].items():
        if isinstance(methods, h5py.Group):
            yield from ((layer, method, maps) for method, maps in methods.items() if method not in ("y", "x"))


def pictures(folder):
    with h5py.File(folder / "maps.h5") as file:
        return [picture.tobytes() for picture in file["images/picture"][:]]


def test_small_copies_for_looking(run):
    with h5py.File(run.folder / "maps.h5") as file:
        assert len(file["images/picture"]) == 40 and all(picture.tobytes().startswith(b"\xff\xd8") for picture in file["images/picture"][:])
        names = list(file["regions"].attrs["names"])
        assert file["regions/area"].shape == (40, len(names))
        for layer, method, maps in maps_of(file):
            small, scale = file[f"small/{layer}/{method}"][:], file[f"scale/{layer}/{method}"][:]
            assert max(small.shape[1:]) <= 96 and np.abs(small[scale > 0]).max((1, 2)).min() == 32767
            restored = small / 32767 * scale[:, None, None]
            if small.shape == maps.shape:
                np.testing.assert_allclose(restored, maps[:], atol=scale.max() / 32767)
            np.testing.assert_allclose(restored.mean((1, 2)), maps[:].mean((1, 2)), atol=2e-5 * scale.max() + 1e-7)
            shares = file[f"regions/mass/{layer}/{method}"][:]
            assert np.nansum(shares, 1).max() <= 1 + 1e-5


def test_files(run):
    names = {path.name for path in run.folder.iterdir()}
    tables = {"images.csv", "regions.csv", "differences.csv", "effects.csv", "skipped.csv", "effects.npz"}
    assert names == {"summary.json", "run.json", "maps.h5", "channels", "shards"} | tables
    assert not list(run.folder.rglob(".*"))


def test_maps_equal_a_direct_computation(run, trained, portraits):
    detector = load(trained.model)
    with h5py.File(run.folder / "maps.h5") as file:
        for index in (0, 7, 39):
            path = portraits / file["images/path"][index].decode()
            image = detector.preprocessing.prepare(np.asarray(Image.open(path).convert("RGB")))
            logits, maps = compute(detector, image[None], ["conv2d_2"], ["hirescam"])
            assert np.allclose(file["images/logit"][index], logits[0], atol=1e-4)
            assert np.allclose(file["maps/conv2d_2/hirescam"][index], maps["conv2d_2", "hirescam"][0], atol=1e-5)


def test_r8_streamed_means_equal_direct_means(run):
    with h5py.File(run.folder / "maps.h5") as file:
        labels = np.array([label.decode() for label in file["images/label"]])
        for layer in ("conv2d", "conv2d_3"):
            for method in ("activation", "gradcam", "hirescam"):
                direct = Moments.of(file[f"maps/{layer}/{method}"][:][labels == "fake"])
                mean = file[f"mean/fake/{layer}/{method}"]
                assert (mean.attrs["count"], mean.attrs["empty"]) == (direct.count, direct.empty)
                scale = max(np.abs(direct.mean).max(), 1e-12)
                assert np.abs(mean[:] - direct.mean).max() <= 1e-6 * scale
                assert np.abs(file[f"std/fake/{layer}/{method}"][:] - direct.std).max() <= 1e-5 * scale
                assert mean.attrs["offset"].tolist() == {"conv2d": [1, 1], "conv2d_3": [80, 80]}[layer]


def test_numbers_agree_between_files(run):
    summary = json.loads((run.folder / "summary.json").read_text())
    images = table(run.folder / "images.csv")
    assert summary == run.summary
    assert len(images) == summary["images"]["read"] == 40
    right = sum(row["label"] == row["prediction"] for row in images)
    assert summary["metrics"]["all"]["accuracy"] == right / 40
    assert summary["images"]["groups"]["fake"] == 20
    assert {row["split"] for row in images} == {"train", "valid", "test"}
    held_out = sum(row["split"] == "test" for row in images)
    assert summary["metrics"]["held_out"]["count"] == held_out
    assert f"{40 - held_out} of the 40 images were used in training" in summary["notes"][0]
    with h5py.File(run.folder / "maps.h5") as file:
        assert [path.decode() for path in file["images/path"]] == [row["path"] for row in images]
        assert float(images[3]["max:conv2d_1:hirescam"]) == pytest.approx(file["maps/conv2d_1/hirescam"][3].max(), rel=1e-6)


def test_region_table(run):
    where = {"group": "all", "layer": "conv2d", "method": "activation", "within": ""}
    rows = [row for row in run.summary["regions"] if where.items() <= row.items()]
    absent = {"ears", "earrings", "glasses", "teeth"}  # not everybody shows them; the shares are of those who do
    whole = sum(row["area_share"] * row["count"] / 40 for row in rows)
    assert whole == pytest.approx(1) and sum(row["mass_share"] * row["count"] / 40 for row in rows) == pytest.approx(1, abs=1e-5)
    assert {row["region"] for row in rows if row["count"] < 40} <= absent
    assert sum(row["pointing"] * row["count"] / 40 for row in rows) == pytest.approx(1)
    assert {"eyes", "brows", "ears", "background"} <= {row["region"] for row in rows}
    assert len(table(run.folder / "regions.csv")) == len(run.summary["regions"])
    inner = {row["region"] for row in run.summary["regions"] if row["within"]}
    assert inner == {"left_eye", "right_eye", "left_brow", "right_brow", "left_ear", "right_ear"}


def test_what_becomes_of_parts_is_in_the_summary(run):
    summary = run.summary
    assert summary["parts"]["kind"] == "labels" and summary["parts"]["found"] == 40 and summary["parts"]["swapped"] == 16
    assert [entry["claim"] for entry in summary["claims"]] == ["eyes"] and summary["verdicts"][0].startswith("Claim “eyes”. Looked at: ")
    assert {entry["group"] for entry in summary["effects"]} == {"both", "fake", "real"}
    eyes = next(entry for entry in summary["effects"] if (entry["group"], entry["region"]) == ("both", "eyes"))
    assert eyes["images"] == 16 and eyes["net"] == pytest.approx(eyes["opposite"] - eyes["same"], abs=1e-6) and eyes["grey"] is None
    assert eyes["net_low"] < eyes["net"] < eyes["net_high"] and 0 <= eyes["opposite_flips"] <= 1
    assert {row["method"] for row in summary["aligned"]} == {"activation", "gradcam", "hirescam"}
    assert summary["focus"] == {"method": "hirescam", "layers": [f"conv2d{end}" for end in ("", "_1", "_2", "_3", "_4")], "group": "fake"}
    assert len(table(run.folder / "effects.csv")) == len(summary["effects"])
    assert {row["parts"] for row in table(run.folder / "images.csv")} == {"labels"}
    with h5py.File(run.folder / "maps.h5") as file:
        mean, deviation, count = file["aligned/fake/conv2d_1/hirescam"][:]
        assert count.max() == 20 and np.isfinite(mean[count > 0]).all() and (deviation[count > 1] >= 0).all()
        assert file["difference/conv2d_1/hirescam"].shape == (2, 64, 64)


def test_images_without_a_label_image_are_counted_and_left_out(trained, portraits, tmp_path):
    import shutil

    masks = tmp_path / "masks"
    shutil.copytree(portraits / "masks" / "labels", masks)
    shutil.copy(portraits / "legend.json", masks)
    gone = sorted((masks / "fake").iterdir())[:3]
    for path in gone:
        path.unlink()
    result = audit_folder(load(trained.model), portraits, tmp_path / "run", Request(layers="conv2d_1", masks=str(masks), effects=16, donors=1))
    assert result.summary["parts"]["found"] == 37 and result.summary["parts"]["faceless"] == {f"fake/{path.name}": "no label image" for path in gone}
    assert max(row["count"] for row in result.summary["regions"] if row["group"] == "fake") <= 17
    assert any(note.startswith("3 of 40 images have no parts and are left out") for note in result.summary["notes"])
    assert [row["path"] for row in table(result.folder / "images.csv") if not row["parts"]] == [f"fake/{path.name}" for path in gone]


def test_swaps_go_on_after_a_stop(trained, portraits, tmp_path, monkeypatch):
    from xai.probes import measure

    monkeypatch.setattr(measure, "SHARD", 8)
    request = Request(layers="conv2d_1", effects=16, donors=1)
    whole = audit_folder(load(trained.model), portraits, tmp_path / "whole", request)
    original, calls = measure.run, []

    def dies(*arguments):
        calls.append(arguments[1])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(measure, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        audit_folder(load(trained.model), portraits, tmp_path / "cut", request)
    resumed = audit_folder(load(trained.model), portraits, tmp_path / "cut", request)
    assert len(calls) == 3  # one shard, the one that died, and that one again
    assert resumed.summary["effects"] == whole.summary["effects"] and resumed.summary["claims"] == whole.summary["claims"]


def test_what_cannot_be_swapped_is_said(trained, portraits, tmp_path):
    few = audit_folder(load(trained.model), mixed(portraits, tmp_path), tmp_path / "a", Request(layers="last", regions="template", effects=8))
    assert "that takes 8 images with parts of each class, and there are 6 real and 6 fake" in "; ".join(few.summary["notes"])
    assert any("those of a mean face" in note for note in few.summary["notes"])
    (verdict,) = few.summary["claims"]
    assert verdict["used"]["verdict"] == "not tested"
    none = audit_folder(load(trained.model), portraits, tmp_path / "b", Request(layers="last", limit=4, regions="none", effects=8))
    assert none.summary["parts"] is None and none.summary["regions"] == [] and none.summary["verdicts"] == []
    with pytest.raises(DataError, match="no part is called 'tail'"):
        audit_folder(load(trained.model), portraits, tmp_path / "b", Request(layers="last", claims=("tail",)))


def test_words_of_the_command_lose_their_folders(tmp_path):
    from xai.provenance import shown

    assert [shown(word) for word in (str(tmp_path), f"--out={tmp_path}/new", "--layers", "backbone/conv,other", str(tmp_path / "new" / "run"))] == [
        tmp_path.name, "--out=new", "--layers", "backbone/conv,other", "run",
    ]  # fmt: skip


def test_another_audit_into_the_same_folder_leaves_nothing_stale(trained, portraits, tmp_path):
    detector = load(trained.model)
    first = audit_folder(
        detector, portraits / "fake", tmp_path / "run", Request(layers="last", limit=6, masks=str(portraits / "masks" / "labels" / "fake"))
    )
    before = pictures(first.folder)
    audit_folder(detector, portraits, tmp_path / "run", Request(layers="last", limit=4, regions="none"))
    assert len(pictures(tmp_path / "run")) == 4
    assert not (tmp_path / "run" / "regions.csv").exists()
    chosen = {path.name.split("__")[0] for path in (tmp_path / "run" / "channels").iterdir()}
    assert chosen <= {row["index"] for row in table(tmp_path / "run" / "images.csv")}
    again = audit_folder(
        detector, portraits / "fake", tmp_path / "run", Request(layers="last", limit=6, masks=str(portraits / "masks" / "labels" / "fake"))
    )
    assert pictures(again.folder) == before


def test_changed_masks_are_measured_again(trained, portraits, tmp_path):
    import shutil

    masks = tmp_path / "masks"
    shutil.copytree(portraits / "masks" / "labels", masks)
    shutil.copy(portraits / "legend.json", masks)
    request = Request(layers="last", limit=4, masks=str(masks))
    audit_folder(load(trained.model), portraits, tmp_path / "run", request)
    for path in masks.rglob("*.png"):
        Image.new("L", (256, 256), 1).save(path)  # skin everywhere
    result = audit_folder(load(trained.model), portraits, tmp_path / "run", request)
    skin = next(row for row in result.summary["regions"] if row["region"] == "skin")
    assert skin["area_share"] == 1


def test_full_disk_is_one_line_and_nothing_is_lost(trained, portraits, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from xai import mapfile
    from xai.errors import RunError

    detector, request = load(trained.model), Request(layers="last", limit=4)
    with monkeypatch.context() as patch:
        patch.setattr(mapfile.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
        with pytest.raises(RunError, match="are needed; free some and run the same command"):
            audit_folder(detector, portraits, tmp_path / "run", request)
    lines = []
    audit_folder(detector, portraits, tmp_path / "run", request, say=lines.append)
    assert "1 of 1 shards were there" in lines[-1]


def test_nested_layers_go_through_audit_and_page(portraits, tmp_path):
    import keras
    from keras import layers

    from reports import render
    from xai import wrap

    backbone = keras.Sequential([keras.Input((64, 64, 3)), layers.Conv2D(4, 4, 4, activation="relu", name="inner")], name="backbone")
    image = keras.Input((64, 64, 3))
    out = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(backbone(image)))
    detector = wrap(keras.Model(image, out), name="nested")
    result = audit_folder(detector, portraits, tmp_path / "run", Request(limit=4))
    assert [row["layer"] for row in result.summary["maps"][:1]] == ["backbone/inner"]
    assert "backbone/inner" in render(result.folder).read_text(encoding="utf-8")


def test_provenance_names_no_folder_of_this_machine(run, portraits):
    text = (run.folder / "run.json").read_text()
    assert str(portraits.parent) not in text and str(run.folder.parent) not in text
    content = json.loads(text)
    assert [layer["offset"] for layer in content["layers"]] == [[1, 1], [10, 10], [32, 32], [80, 80], [112, 112]]
    assert content["card"]["name"] == content["model"]["name"] == "alexnet18"


def test_goes_on_after_a_stop_and_ends_with_the_same_numbers(run, trained, portraits, tmp_path, monkeypatch):
    monkeypatch.setattr(auditing, "SHARD", 8)
    detector = load(trained.model)
    request = Request(layers="conv2d_3", masks=str(portraits / "masks" / "labels"))
    whole = audit_folder(detector, portraits, tmp_path / "whole", request)
    original, calls = shard.Worker.fill, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(shard.Worker, "fill", dies)
    with pytest.raises(KeyboardInterrupt):
        audit_folder(detector, portraits, tmp_path / "cut", request)
    done = {path.name for path in (tmp_path / "cut" / "shards").iterdir()}
    assert {Path(name).suffix for name in done} == {".h5", ".maps"}
    done = {name for name in done if name.endswith(".h5")}
    assert len(done) == 3 and not (tmp_path / "cut" / "summary.json").exists()
    damaged = tmp_path / "cut" / "shards" / sorted(done)[0]
    damaged.write_bytes(damaged.read_bytes()[:1000])  # a shard cut by a full disk is made again
    lines = []
    resumed = audit_folder(detector, portraits, tmp_path / "cut", request, say=lines.append)
    assert lines[-2:] == ["1 damaged shard was made again", "went on from an earlier run: 2 of 5 shards were there"]
    assert resumed.summary == whole.summary
    assert (tmp_path / "cut" / "images.csv").read_bytes() == (tmp_path / "whole" / "images.csv").read_bytes()
    with h5py.File(tmp_path / "cut" / "maps.h5") as a, h5py.File(tmp_path / "whole" / "maps.h5") as b:
        assert np.array_equal(a["maps/conv2d_3/hirescam"][:], b["maps/conv2d_3/hirescam"][:])
        assert np.array_equal(a["mean/all/conv2d_3/hirescam"][:], b["mean/all/conv2d_3/hirescam"][:])
    split_up = [row for row in run.summary["regions"] if row["layer"] == "conv2d_3"]
    for one, many in zip(split_up, whole.summary["regions"], strict=True):
        assert one["mass_share"] == pytest.approx(many["mass_share"], nan_ok=True, abs=1e-5)


def test_other_parameters_give_other_shards(trained):
    detector = load(trained.model)
    item = Item(0, trained.model, "a.png", "real", "00")
    work = Work(("conv2d",), ("hirescam",), (1024, 96))
    names = {
        identity(known(detector), work, [item]),
        identity(known(detector), Work(("conv2d",), ("gradcam",), (1024, 96)), [item]),
        identity(known(detector), Work(("conv2d",), ("hirescam",), (1024, 48)), [item]),
        identity(known(detector), Work(("conv2d",), ("hirescam",), (1024, 96), dtype="float16"), [item]),
        identity(known(detector), work, [Item(0, trained.model, "a.png", "real", "01")]),
        identity(known(detector), work, [Item(0, trained.model, "a.png", "fake", "00")]),
        identity(known(detector), work, [Item(0, trained.model, "a.png", "real", "00", kept=False)]),
        identity(known(detector.stretch()), Work(("conv2d",), ("hirescam",), (1024, 96), stretch=True), [item]),
    }
    assert len(names) == 8
    moved = identity(known(detector), work, [Item(7, Path("elsewhere.png"), "a.png", "real", "00")])
    assert moved in names  # another place in the data, and on another disk, is the same image


def test_another_output_gives_other_shards(tmp_path):
    """Two heads of one file answer differently: nothing of the one may stand in for the other."""
    import keras

    from xai.probes.measure import described
    from xai.regions.source import Template

    image = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 4, 4)(image))
    outputs = [keras.layers.Dense(1, activation="sigmoid", name=name)(x) for name in ("one", "two")]
    keras.Model(image, outputs).save(tmp_path / "model.keras")
    one, two = (load(tmp_path / "model.keras", output=name) for name in ("one", "two"))
    item = Item(0, tmp_path / "a.png", "a.png", "real", "00")
    work = Work(tuple(one.select("conv")), ("hirescam",), (1024, 96))
    assert identity(known(one), work, [item]) != identity(known(two), work, [item])
    rows = {"nose": (6,)}
    found = [described(detector, Template(), rows, ("same",), 1, 0, [item], 4, 100) for detector in (one, two)]
    assert found[0] != found[1]


def test_a_wrong_folder_of_masks_is_said_before_the_work(trained, portraits, tmp_path):
    request = Request(layers="last", masks=str(portraits / "masks" / "labels" / "fake"))
    with pytest.raises(DataError, match=r"no image has a label image; that of 'fake/.*' should be 'fake/.*\.png'"):
        audit_folder(load(trained.model), portraits, tmp_path / "run", request)


def test_a_damaged_label_image_costs_its_image_only(trained, portraits, tmp_path):
    import shutil

    masks = tmp_path / "masks"
    shutil.copytree(portraits / "masks" / "labels", masks)
    shutil.copy(portraits / "legend.json", masks)
    path = sorted((masks / "real").iterdir())[0]
    path.write_bytes(path.read_bytes()[:200])
    result = audit_folder(load(trained.model), portraits, tmp_path / "run", Request(layers="last", masks=str(masks)))
    assert result.summary["images"]["read"] == 40 and result.summary["parts"]["found"] == 39
    assert "cannot be read" in result.summary["parts"]["faceless"][f"real/{path.name}"]


def mixed(folder, tmp_path, count=6):
    """A small labelled folder with a bad file."""
    place = tmp_path / "data"
    for label in ("real", "fake"):
        (place / label).mkdir(parents=True)
        for path in sorted((folder / label).iterdir())[:count]:
            (place / label / path.name).write_bytes(path.read_bytes())
    (place / "fake" / "bad.png").write_text("no image")
    return place


def test_bad_files_are_skipped_and_counted(trained, portraits, tmp_path):
    result = audit_folder(load(trained.model), mixed(portraits, tmp_path), tmp_path / "out", Request(layers="last"))
    assert result.summary["images"] | {"trained_on": 0, "groups": 0} == {"read": 12, "skipped": 1, "trained_on": 0, "groups": 0}
    assert "text file" in table(tmp_path / "out" / "skipped.csv")[0]["reason"]
    assert "skipped 1 unreadable file" in result.summary["notes"][-1]


def test_unlabelled_folder_has_no_metrics(trained, portraits, tmp_path):
    result = audit_folder(load(trained.model), portraits / "real", tmp_path / "out", Request(layers="last", limit=4))
    assert result.summary["metrics"] == {"all": None, "held_out": None}
    assert list(result.summary["images"]["groups"]) == ["all"]


def test_split_takes_the_images_of_that_split(trained, portraits, tmp_path):
    result = audit_folder(load(trained.model), portraits, tmp_path / "out", Request(layers="last", split="test"))
    assert result.summary["images"]["read"] == 6 and result.summary["images"]["trained_on"] == 0


def test_errors(tiny, trained, portraits, tmp_path):
    detector = load(trained.model)
    with pytest.raises(LayerError, match="not in the model"):
        audit_folder(detector, portraits, tmp_path / "a", Request(layers="nope"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        audit_folder(detector, tmp_path / "empty", tmp_path / "a", Request())
    with pytest.raises(DataError, match=r"no manifest\.csv beside it"):
        audit_folder(tiny, portraits, tmp_path / "a", Request(split="test"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_text("x")
    with pytest.raises(DataError, match="none of the 1 images could be read"):
        audit_folder(detector, tmp_path / "bad", tmp_path / "a", Request(layers="last"))
    for bad, message in (({"masks": "gone"}, "is no folder"), ({"methods": ("nope",)}, "is not known")):
        with pytest.raises(Exception, match=message):
            audit_folder(detector, portraits, tmp_path / "a", Request(layers="last", **bad))


def test_names_with_quotes_newlines_and_odd_bytes(trained, portraits, tmp_path):
    """They are shown as text with escapes, in every file of the run."""
    import os

    from reports import render

    place = tmp_path / "data"
    for label in ("real", "fake"):
        (place / label).mkdir(parents=True)
        source = sorted((portraits / label).iterdir())[0].read_bytes()
        for name in (b'"><img src=x onerror=alert(1)>.png', b"new\nline.png", b"odd\xff.png", b"=cmd.png", "naïve 脸.png".encode()):
            with open(os.fsencode(place / label) + b"/" + name, "wb") as file:
                file.write(source)
    result = audit_folder(load(trained.model), place, tmp_path / "out", Request(layers="last"))
    assert result.summary["images"]["read"] == 10
    names = {row["path"] for row in table(tmp_path / "out" / "images.csv")}
    assert {"fake/new\\nline.png", "fake/odd\\udcff.png", "fake/naïve 脸.png"} <= names
    page = render(tmp_path / "out").read_text(encoding="utf-8")
    assert "<img src=x" not in page
