"""Scores of every map against the masks of what was planted: the same as made one by one, kept, and read again."""

import numpy as np
import pytest
from PIL import Image

import xai
from tests.conftest import compute, tiny_model
from train.scoring import AFFORDABLE, ALIASES, COLUMNS, FEWER, SAMPLING, Scores, mask, score, tiers
from xai import wrap
from xai.images import read
from xai.maps.mapped import placements
from xai.maps.methods import METHODS
from xai.trust.localise import METRICS, locate


@pytest.fixture(scope="module")
def detector():
    """Reads cell (1, 2) for fake."""
    return wrap(tiny_model())


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Six images of 8 x 8 and masks of what was planted in them: rows 2 and 3, a column further right in each."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    files, masks = [], []
    for index in range(6):
        files.append(folder / f"{index}.png")
        masks.append(folder / f"{index}-mask.png")
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(files[-1])
        where = np.zeros((8, 8), np.uint8)
        where[2:4, index : index + 2] = 255
        Image.fromarray(where).save(masks[-1])
    return files, masks


def test_which_methods_are_scored_on_how_many_images(detector):
    """All methods but the second name of HiResCAM, each once: 40 on one pass or four, a fifth on many passes, 3 on those that ask the network."""
    found = tiers(detector, 40, 3)
    assert [count for _, count in found] == [40, 40 // FEWER, 3]
    names = [name for methods, _ in found for name in methods]
    assert sorted(names) == sorted({*METHODS, *AFFORDABLE} - set(ALIASES)) and found[1][0] == SAMPLING
    assert "hirescam" in found[0][0] and "lrp" in found[0][0] and {METHODS[name].needs for name in found[2][0]} == {"logits"}
    assert [count for _, count in tiers(detector, 40, 0)] == [40, 40 // FEWER]
    assert [count for _, count in tiers(detector, 10, 9)] == [10, 9, 9]  # as many as the slow ones get, they get too
    assert [methods for methods, _ in tiers(detector, FEWER - 1, 0)] == [found[0][0]]


def test_a_black_box_has_what_needs_answers():
    box = xai.blackbox(lambda images: images[:, 0, 0, 0], 8)
    assert [(set(methods), count) for methods, count in tiers(box, 40, 2)] == [({name for name, one in METHODS.items() if one.needs == "logits"}, 2)]


@pytest.fixture(scope="module")
def scored(detector, planted):
    return score(detector, *planted, ["conv"], images=5, slow=0).values


def test_scores_are_those_of_each_map_alone(detector, planted, scored):
    files, masks = planted
    for (layer, method), values in scored.items():
        assert values.shape == (1 if method in SAMPLING else 5, len(COLUMNS)) and values.dtype == np.float64
        where = placements(detector, ["conv"], [method])[layer]
        for index, row in enumerate(values):
            inputs = detector.preprocessing.prepare(read(files[index]))[None]
            maps = compute(detector, inputs, ["conv"], [method])[1][layer, method]
            found = locate(maps, where, mask(masks[index], (8, 8))[None])
            assert np.allclose(row, [getattr(found, name)[0] for name in COLUMNS], atol=1e-4, equal_nan=True), (method, index)


def test_what_is_scored(scored):
    layers = {(layer, method) for layer, method in scored if layer == "conv"}
    assert layers == {("conv", name) for name, method in METHODS.items() if method.place == "layer" and method.needs != "logits"} - {
        ("conv", ALIASES[0])
    }
    assert ("input", "lrp") in scored and (*METRICS, "area", "half", "empty") == COLUMNS and len(COLUMNS) == 8
    hirescam = scored["conv", "hirescam"]
    assert (hirescam[:, COLUMNS.index("area")] == 4 / 64).all() and not hirescam[:, COLUMNS.index("empty")].any()
    # its one cell for fake lies on pixels 4 and 5 of rows 2 and 3, its centre at (3, 5): the mask of image 4, and half that of image 5
    assert hirescam[:, 2].tolist() == hirescam[:, 3].tolist() == [0, 0, 0, 0, 1] and hirescam[4, 0] > hirescam[3, 0] > 0


def test_unreadable_images_are_left_out_with_their_masks(detector, planted, tmp_path, scored):
    files, masks = planted
    (tmp_path / "bad.png").write_text("no image")
    found = score(detector, [files[3], tmp_path / "bad.png", files[4]], [masks[3], masks[0], masks[4]], ["conv"], images=3, slow=0).values
    assert np.allclose(found["conv", "hirescam"], scored["conv", "hirescam"][3:], atol=1e-5)


def test_masks(tmp_path):
    """Any value above 0 is planted; another resolution is read by the nearest pixel, so nothing grows."""
    where = np.zeros((8, 8), np.uint8)
    where[4:6, 2:4] = 1
    Image.fromarray(where).save(tmp_path / "a.png")
    assert (mask(tmp_path / "a.png", (8, 8)) == (where > 0)).all()
    assert np.argwhere(mask(tmp_path / "a.png", (4, 4))).tolist() == [[2, 1]]
    assert (mask(tmp_path / "a.png", (16, 16)) == (where.repeat(2, 0).repeat(2, 1) > 0)).all()


def test_scores_are_kept(tmp_path, scored):
    """Bit by bit, in their order, with the numbers that are none."""
    values = {**scored, ("body/conv+1", "hirescam"): np.full((2, len(COLUMNS)), np.nan)}
    Scores(values).write(tmp_path / "scores.npz")
    again = Scores.read(tmp_path / "scores.npz")
    assert again is not None and list(again.values) == list(values)
    assert all(np.array_equal(again.values[pair], rows, equal_nan=True) for pair, rows in values.items())
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_damaged_scores_are_none(tmp_path, scored, cut):
    path = tmp_path / "scores.npz"
    assert Scores.read(path) is None
    Scores(scored).write(path)
    path.write_bytes(path.read_bytes()[:cut])
    assert Scores.read(path) is None


def test_damaged_content_and_other_archives_are_none(tmp_path, scored):
    path = tmp_path / "scores.npz"
    Scores(scored).write(path)
    data = bytearray(path.read_bytes())
    for place in range(40, len(data), 97):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    assert Scores.read(path) is None
    np.savez(path, names=np.array("[1"))
    assert Scores.read(path) is None
    np.savez(path, other=np.zeros(2))
    assert Scores.read(path) is None
    path.write_bytes(b"")
    assert Scores.read(path) is None
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(path)
    assert Scores.read(path) is None
