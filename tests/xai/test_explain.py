"""Batch overlays and the in-memory explanation, on a folder of good and bad files."""

import csv

import numpy as np
import pytest
from PIL import Image

import xai
from tests.conftest import tiny_model
from xai.errors import ImageError, LayerError
from xai.explanation import explain
from xai.overlays import write_overlays
from xai.stream import batches


@pytest.fixture
def folder(tmp_path):
    """Two good images of different sizes, a text file named .png and a truncated JPEG."""
    place = tmp_path / "in"
    (place / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(place / "a.png")
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(place / "sub" / "a.png")
    (place / "text.png").write_text("no image")
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(place / "cut.jpg")
    data = (place / "cut.jpg").read_bytes()
    (place / "cut.jpg").write_bytes(data[: len(data) // 2])
    return place


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_overlays_of_the_good_reasons_for_the_bad(tiny, folder, tmp_path):
    result = write_overlays(tiny, [folder], tmp_path / "out", methods=["hirescam", "activation"])
    assert (result.images, result.overlays, len(result.skipped)) == (2, 4, 2)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert names == sorted(f"{image}__conv__{method}.jpg" for image in ("a.png", "sub+a.png") for method in ("hirescam", "activation"))
    with Image.open(tmp_path / "out" / "a.png__conv__hirescam.jpg") as picture:
        assert picture.size == (60, 40)  # the image's own resolution
    reasons = {row["path"].rsplit("/", 1)[1]: row["reason"] for row in rows(tmp_path / "out" / "skipped.csv")}
    assert "truncated" in reasons["cut.jpg"] and "text file" in reasons["text.png"]
    assert [row["name"] for row in rows(tmp_path / "out" / "scores.csv")] == ["a.png", "sub+a.png"]
    assert not list((tmp_path / "out").glob(".*"))


def test_streamed_equals_in_memory(tiny, folder, tmp_path):
    write_overlays(tiny, [folder], tmp_path / "streamed", methods=["hirescam"], batch_size=1)
    explain(tiny, [folder], methods=["hirescam"]).save(tmp_path / "kept")
    for path in (tmp_path / "streamed").glob("*.*"):
        assert path.read_bytes() == (tmp_path / "kept" / path.name).read_bytes(), path.name


def test_explanation_holds_raw_maps_and_shows_itself(tiny, folder):
    result = explain(tiny, [folder])
    assert result.maps["conv", "hirescam"].shape == (2, 4, 4)
    assert result.maps["conv", "hirescam"].dtype == np.float32
    assert result.maps["conv", "hirescam"].min() < 0  # signed
    assert len(result.skipped) == 2
    assert result._repr_html_().count("<img") == 2


def test_default_layers_and_methods(tiny, folder):
    assert set(explain(tiny, [folder]).maps) == {("conv", "hirescam")}


def test_batches_keep_order_and_stay_bounded(tiny, tmp_path, monkeypatch):
    """Never more than three batches of decoded images exist, however many files there are."""
    import threading

    from xai import stream

    alive, most, lock = [0], [0], threading.Lock()
    original = stream.read

    def counted(path):
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return original(path)

    monkeypatch.setattr(stream, "read", counted)
    paths = []
    for index in range(40):
        paths.append(tmp_path / f"{index:02}.png")
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(paths[-1])
    seen = []
    for batch in batches(tiny, paths, 4):
        seen += [int(image[0, 0, 0]) for image in batch.images]
        with lock:
            alive[0] -= len(batch.indices)
    assert seen == list(range(40))
    assert most[0] <= 12


def test_relative_and_absolute_paths_stay_inside_the_output(tiny, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    result = write_overlays(tiny, ["a.png", str(folder / "sub" / "a.png")], "out", methods=["hirescam"])
    assert result.overlays == 2 and len(list((folder / "out").glob("*.jpg"))) == 2


def test_its_own_pictures_are_no_input(tiny, folder):
    for _ in range(2):
        assert write_overlays(tiny, [folder], folder / "out", methods=["hirescam"]).images == 2


def test_large_originals_close_a_batch_early(tiny, folder, monkeypatch):
    from xai import stream

    monkeypatch.setattr(stream, "BUDGET", 1)
    assert [len(batch.indices) for batch in batches(tiny, [folder / "a.png"] * 3, 8)] == [1, 1, 1]
    assert [len(batch.indices) for batch in batches(tiny, [folder / "a.png"] * 3, 8, keep=lambda *view: None)] == [3]


def test_names_that_are_no_utf8(tiny, folder, tmp_path):
    import os

    os.rename(folder / "a.png", os.fsencode(folder) + b"/odd\xff" + b"x" * 120 + b".png")
    assert write_overlays(tiny, [folder], tmp_path / "out").images == 2


def test_target_real_shows_the_opposite(tiny, folder):
    fake = explain(tiny, [folder], methods=["hirescam"]).maps["conv", "hirescam"]
    real = explain(tiny, [folder], methods=["hirescam"], target="real").maps["conv", "hirescam"]
    assert np.array_equal(fake, -real)


def test_stretch_moves_the_map_not_its_values(folder):
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 4, 2, name="conv"), layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    detector = xai.wrap(model)
    stretched = detector.stretch()
    assert detector.layers["conv"].placement.offset == (2, 2)
    assert stretched.layers["conv"].placement.offset == pytest.approx((8 / 6, 8 / 6))
    a, b = (explain(d, [folder], methods=["hirescam"]).maps["conv", "hirescam"] for d in (detector, stretched))
    assert np.array_equal(a, b)


def test_errors(tiny, folder, tmp_path):
    with pytest.raises(LayerError, match="not in the model"):
        explain(tiny, [folder], layers="nope")
    with pytest.raises(ImageError, match=r"none of the 1 images could be read; '.*skipped.csv' says why"):
        write_overlays(tiny, [folder / "text.png"], tmp_path / "out")


def test_import_does_not_load_tensorflow_and_ignores_a_users_own_folders(tmp_path, python):
    """A working folder with its own train.py and models/ cannot break `import xai`."""
    import subprocess

    (tmp_path / "train.py").write_text("raise SystemExit('the wrong train')")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('the wrong models')")
    code = "import sys, xai; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; print(xai.__version__)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pooling_head_maps_too(folder):
    assert explain(xai.wrap(tiny_model("pooling")), [folder], methods=["gradcam"]).maps["conv", "gradcam"].shape == (2, 4, 4)


def test_goes_on_where_it_was_stopped(tiny, tmp_path, monkeypatch):
    """A shard that is there is not drawn again, unless one of its pictures is gone or another is asked for."""
    from xai import overlays
    from xai.engine.painter import Painter

    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for index in range(10):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "in" / f"{index}.png")
    monkeypatch.setattr(overlays, "SHARD", 4)
    write_overlays(tiny, [tmp_path / "in"], tmp_path / "whole", methods=["hirescam"], maps=True)
    drawn, original = [], Painter.draw

    def dies(self, items, *rest):
        drawn.append(items[0].index)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return original(self, items, *rest)

    monkeypatch.setattr(Painter, "draw", dies)
    run = lambda **options: write_overlays(tiny, [tmp_path / "in"], tmp_path / "cut", methods=["hirescam"], **options)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run(maps=True)
    lines: list[str] = []
    assert run(maps=True, say=lines.append).images == 10
    assert drawn == [0, 4, 4, 8] and lines[-1] == "went on from an earlier run: 1 of 3 shards were there"
    for path in (tmp_path / "whole").glob("*.*"):
        if path.name != "maps.h5":
            assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes(), path.name
    (tmp_path / "cut" / "5.png__conv__hirescam.jpg").unlink()
    run(maps=True)
    assert drawn[4:] == [4] and (tmp_path / "cut" / "5.png__conv__hirescam.jpg").exists()
    run(opacity=0.3, clean=True)
    assert drawn[5:] == [0, 4, 8] and len(list((tmp_path / "cut" / "shards").iterdir())) == 3 and not (tmp_path / "cut" / "maps.h5").exists()
