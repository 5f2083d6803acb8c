"""The images as data for the page's script."""

import base64
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from PIL import Image

import reports
from reports import gallery, pictures, run
from reports.drawn import MapFile
from reports.run import Table
from reports.shelf import Shelf
from tests.reports.conftest import jpeg
from xai import miniature
from xai.errors import RunError

Make = Callable[..., Path]
SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def gathered(folder, signs=None, shelf=None):
    found = run.read(folder)
    with MapFile(folder / "maps.h5") as maps:
        choice = gallery.choose(found)
        return found, choice, *gallery.payload(found, maps, choice, signs or dict.fromkeys(found.methods, False), shelf or Shelf())


def test_columns_are_in_the_order_of_the_score(make_run: Make):
    found, choice, data, _ = gathered(make_run())
    scores = numbers(data["images"]["score"], "<f4")
    assert (np.diff(scores) <= 0).all()
    rows = numbers(data["images"]["row"], "<u4")
    assert tuple(rows) == choice.rows and sorted(rows) == list(range(6))
    labels = data["images"]["label"]
    assert [labels["names"][code] for code in numbers(labels["codes"], "<u4")] == [found.images[row]["label"] for row in rows]
    assert data["images"]["path"] == [found.images[row]["path"] for row in rows]


def test_shares_add_up(make_run: Make):
    found, choice, data, chunks = gathered(make_run())
    assert data["regions"]["names"] == ["eyes", "nose", "mouth", "skin"] and data["regions"]["outside"] == [False] * 4
    assert set(chunks) == {"area", *(f"{kind}-{k}" for kind in ("pair", "shares") for k in range(9))}
    shares = numbers(chunks["shares-4"], "<u2").reshape(6, 4) / gallery.PARTS
    np.testing.assert_allclose(shares.sum(1), 1, atol=3e-4)
    with MapFile(found.directory / "maps.h5") as maps:
        np.testing.assert_allclose(shares, maps.shares("conv2d_2", "gradcam")[list(choice.rows)], atol=1e-4)


def test_a_share_that_is_not_there():
    assert numbers(gallery.shares(np.array([0.5, np.nan, 1.0])), "<u2").tolist() == [5000, 65535, 10000]


@pytest.mark.parametrize("signed", [True, False])
def test_tiles_and_scales_give_the_map_back(make_run: Make, signed):
    found, choice, data, chunks = gathered(make_run(), dict.fromkeys(("activation", "gradcam", "hirescam"), signed))
    number = data["pairs"][2][2]  # conv2d_4, hirescam: 10 x 10 cells, not shrunk
    tiles = chunks[f"pair-{number}"]
    record, scale = tiles["tiles"], numbers(tiles["scale"], "<f4")
    assert (record["height"], record["width"], record["count"]) == (10, 10, 6)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(record["sheets"][0].split(",")[1]))).convert("L")).astype(float)
    with h5py.File(found.directory / "maps.h5") as file:
        maps = file["maps/conv2d_4/hirescam"][:][list(choice.rows)]
    for index in range(6):
        row, column = divmod(index, record["columns"])
        grey = sheet[row * 14 + 2 : row * 14 + 12, column * 14 + 2 : column * 14 + 12]
        value = (grey - 128) / 127 * scale[index] if signed else grey / 255 * scale[index]
        np.testing.assert_allclose(value, maps[index] if signed else np.maximum(maps[index], 0), atol=scale[index] / 120)


def test_empty_maps_say_so(make_run: Make):
    _, choice, data, chunks = gathered(make_run())
    number = data["pairs"][2][1]  # Grad-CAM of the last layer is empty for every second image
    highest = numbers(chunks[f"pair-{number}"]["highest"], "<f4")
    assert {row: value > 0 for row, value in zip(choice.rows, highest, strict=True)} == {row: row % 2 == 1 for row in range(6)}


def test_a_method_that_does_not_fit_every_layer(make_run: Make, edit):
    folder = make_run()
    edit(folder / "summary.json", lambda s: s.update(maps=[m for m in s["maps"] if (m["layer"], m["method"]) != ("conv2d", "gradcam")]))
    _, _, data, chunks = gathered(folder)
    assert data["pairs"][0] == [0, None, 1] and "pair-7" in chunks and "pair-8" not in chunks


def test_choices():
    outcomes, scores = ([b"TP" if k % 50 else b"FN" for k in range(1000)], [str(k / 1000).encode() for k in range(1000)])
    few = SimpleNamespace(images=Table({"outcome": np.array(outcomes), "score": np.array(scores)}))
    everyone = gallery.choose(few)
    assert len(everyone.rows) == 1000 and everyone.rows[0] == 999
    some = gallery.choose(few, most=999, sample=100)
    assert len(some.rows) == 100 and some.strata == (("TP", 80, 980), ("FN", 20, 20)) and some.total == 1000


class TestPictures:
    def stored(self, path, shapes):
        random = np.random.default_rng(0)
        with h5py.File(path, "w") as file:
            noise = [jpeg(random.integers(0, 255, (*shape, 3)).astype(np.uint8)) for shape in shapes]
            miniature.write_pictures(file, "images/picture", noise)
        return MapFile(path)

    def test_shapes_are_kept(self, tmp_path):
        with self.stored(tmp_path / "maps.h5", [(300, 100), (10, 20)]) as maps:
            found = pictures.write(maps, [1, 0], Shelf(tmp_path))
        assert found["sizes"].tolist() == [[10, 20], [300, 100]]
        assert found["large"]["height"] == 300 and found["small"]["height"] == 200
        sheet = Image.open(tmp_path / found["small"]["sheets"][0])
        assert sheet.size == (400, 200) and np.asarray(sheet)[:, 200 + 67 :].max() < 60  # 300 x 100 becomes 200 x 67

    def test_a_picture_may_be_thin(self, tmp_path):
        with self.stored(tmp_path / "maps.h5", [(1, 1024), (3000, 16)]) as maps:
            assert pictures.write(maps, [0, 1], Shelf())["sizes"].tolist() == [[1, 1024], [3000, 16]]

    def test_what_is_small_needs_no_large_ones(self, tmp_path):
        with self.stored(tmp_path / "maps.h5", [(64, 64)]) as maps:
            assert pictures.write(maps, [0], Shelf())["large"] is None

    def test_quality_gives_way_to_room(self, tmp_path, monkeypatch):
        with self.stored(tmp_path / "maps.h5", [(512, 512)] * 3) as maps:
            assert pictures.choose(maps, [0, 1, 2])[0] < 512  # noise is larger than any photo
            monkeypatch.setattr(pictures, "ROOM", 10**7)
            assert pictures.choose(maps, [0, 1, 2]) == (512, 80)

    def test_a_damaged_picture_is_named(self, tmp_path):
        with h5py.File(tmp_path / "maps.h5", "w") as file:
            miniature.write_pictures(file, "images/picture", [np.frombuffer(b"no jpeg", np.uint8)])
        with MapFile(tmp_path / "maps.h5") as maps, pytest.raises(RunError, match="the picture of row 0 is damaged"):
            pictures.write(maps, [0], Shelf())


class TestFolder:
    def test_it_holds_all_it_needs_and_its_bytes_are_the_same_again(self, make_run: Make):
        folder = make_run(images=70)
        page = reports.render(folder)
        assert page == folder / "report" / "index.html"
        assert 'href="report/index.html"' in (folder / "index.html").read_text()
        before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("report/**/*") if path.is_file()}
        data = json.loads(before[Path("report/data/images.js")].decode().split("data: ", 1)[1].rsplit(", chunks: {} };", 1)[0])
        addresses = [*data["pictures"]["small"]["sheets"], *(data["pictures"]["large"] or {"sheets": []})["sheets"]]
        for number in range(9):
            chunk = json.loads(before[Path(f"report/data/pair-{number}.js")].decode().split(" = ", 1)[1].rstrip(";\n"))
            addresses += chunk["tiles"]["sheets"]
        assert {Path("report") / address for address in addresses} == {path for path in before if path.parent.name == "sheets"}
        reports.render(folder)
        assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("report/**/*") if path.is_file()} == before

    def test_one_file_on_request_and_nothing_stale(self, make_run: Make):
        folder = make_run(images=70)
        reports.render(folder)
        assert reports.render(folder, "single") == folder / "index.html"
        assert not (folder / "report").exists()
        assert reports.render(folder, "folder") == folder / "report" / "index.html"

    def test_hostile_names_stay_text(self, make_run: Make):
        folder = make_run(images=3, layers=[("a<!--<script><b>\u2028", 4, 128.0, 64.0, 128.0, 2)], paths={0: '"><img src=x onerror=alert(1)>.png'})
        reports.render(folder, "folder")
        script = (folder / "report" / "data" / "images.js").read_text()
        assert script.isascii() and json.loads(script.split("data: ", 1)[1].rsplit(", chunks", 1)[0])["layers"] == ["a<!--<script><b>\u2028"]


@pytest.mark.parametrize(("images", "cells", "side"), [(20, 96, 64), (10_000, 32, 16), (100_000, 32, 16)])
def test_maps_give_way_to_room(images, cells, side):
    class Maps:
        def small_shape(self, layer, method):
            return {"a": (cells, cells), "b": (cells, cells), "c": (13, 13), "d": (5, 5), "e": (3, 3)}[layer]

    assert gallery.room(Maps(), [(layer, method) for layer in "abcde" for method in range(3)], images) == side


def test_the_choice_shows_every_outcome(make_run: Make):
    found = run.read(make_run(images=30, layers=SMALL))
    choice = gallery.choose(found, most=29, sample=12)
    assert Counter(found.images[row]["outcome"] for row in choice.rows) == dict.fromkeys(("TP", "TN", "FN", "FP"), 3)
    assert choice.strata == (("TP", 3, 10), ("FN", 3, 5), ("FP", 3, 5), ("TN", 3, 10))
    assert choice == gallery.choose(found, most=29, sample=12) and sorted(gallery.choose(found).rows) == list(range(30))


def test_mean_faces(make_run: Make):
    folder = make_run(images=4, layers=SMALL)
    found = run.read(folder)
    with MapFile(folder / "maps.h5") as maps:
        faces = gallery.faces(found, maps, (512, 256))
    assert {face.shape for face in faces.values()} == {(128, 64)}
    assert abs(int(faces["all"][3, 3]) - 90) <= 1 and abs(int(faces["fake"][3, 3]) - 80) <= 1  # 60, 80, 100, 120; TP and FN are 60 and 100
