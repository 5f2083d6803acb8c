"""Preprocessing, moments, metrics, overlays, regions and files, on numbers a reader can check."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai import overlay, store
from xai.aggregate import Moments, is_empty, members, outcome
from xai.errors import ModelError, RunError
from xai.maps.placement import Axis, Placement
from xai.naming import output_names
from xai.preprocess import Preprocessing


class TestPreprocessing:
    def test_scaling_and_order(self):
        image = np.zeros((2, 2, 3), np.uint8)
        image[...] = (0, 51, 255)
        assert Preprocessing(2, 2, "BGR", 0, 1).prepare(image)[0, 0].tolist() == pytest.approx([1, 0.2, 0])
        assert Preprocessing(2, 2, "RGB", -1, 1).prepare(image)[0, 0].tolist() == pytest.approx([-1, -0.6, 1])

    def test_shrinking_averages(self):
        image = np.array([[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]], np.uint8)
        assert Preprocessing(1, 1).fit(image).tolist() == [[[100] * 3]]

    def test_fitting_image_is_untouched(self):
        image = np.zeros((4, 4, 3), np.uint8)
        assert Preprocessing(4, 4).fit(image) is image

    def test_errors(self):
        with pytest.raises(ModelError, match="expected RGB or BGR"):
            Preprocessing(2, 2, "GRB")
        with pytest.raises(ModelError, match="impossible"):
            Preprocessing(2, 2, "RGB", 1, 1)


maps = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(0.1, 1, (seed % 7, 2, 3)).round(1))


class TestMoments:
    @given(a=maps, b=maps, c=maps)
    def test_merge_is_associative_and_equals_one_pass(self, a, b, c):
        a[:1] = -1  # an empty map among them
        left = Moments.of(a).merge(Moments.of(b)).merge(Moments.of(c))
        right = Moments.of(a).merge(Moments.of(b).merge(Moments.of(c)))
        whole = Moments.of(np.concatenate([c, a, b]))
        for merged in (left, right):
            assert (merged.count, merged.empty) == (whole.count, whole.empty)
            assert np.allclose(merged.mean, whole.mean, atol=1e-12)
            assert np.allclose(merged.std, whole.std, atol=1e-9)

    def test_empty_maps_are_counted_not_averaged(self):
        values = np.array([[[2.0, -4.0]], [[0.0, -1.0]], [[np.nan, np.nan]]])
        moments = Moments.of(values)
        assert (moments.count, moments.empty, moments.mean.tolist()) == (1, 2, [[2, -4]])
        assert is_empty(values).tolist() == [False, True, True]

    def test_groups(self):
        assert [outcome("fake", "real"), outcome("real", "real"), outcome("", "fake")] == ["FN", "TN", ""]
        found = members(["real", "fake", "fake"], ["TN", "TP", "FN"])
        assert {name: chosen.tolist() for name, chosen in found.items()} == {
            "all": [True] * 3, "real": [True, False, False], "fake": [False, True, True],
            "TP": [False, True, False], "TN": [True, False, False], "FN": [False, False, True],
        }  # fmt: skip


class TestOverlay:
    where = Placement(Axis(4.0, 2.0), Axis(4.0, 2.0), (4, 4), (16, 16))

    def test_strongest_cell_shows_untouched_where_zero(self):
        image = np.full((32, 32, 3), 120, np.uint8)
        values = np.zeros((4, 4))
        values[0, 3] = 5
        shown = overlay.overlay(image, values, self.where, opacity=1.0)
        assert (shown[16:, :16] == 120).all()
        assert np.abs(shown[:8, 24:].astype(int) - 120).max() > 50

    def test_negative_evidence_only_when_signed(self):
        image = np.full((16, 16, 3), 120, np.uint8)
        values = np.zeros((4, 4))
        values[1, 1] = -3
        assert np.array_equal(overlay.overlay(image, values, self.where), image)
        assert not np.array_equal(overlay.overlay(image, values, self.where, signed=True), image)

    @pytest.mark.parametrize("size", [(180, 230), (360, 460), (301, 260), (96, 100)])
    def test_cells_are_spread_as_they_are_placed(self, size):
        """OpenCV's interpolation against the placement's own matrices; borders on whole pixels are exact."""
        where = Placement(Axis(2.0, 5.0), Axis(4.0, 12.0), (80, 50), (180, 230))
        y, x = np.mgrid[:80, :50].astype(np.float32)
        values = np.sin(y / 6) + np.cos(x / 5) + 0.5
        exact, drawn = where.show(values, size), overlay.spread(values, where, size)
        assert np.abs(drawn - exact).mean() < 0.05 * np.abs(exact).mean()
        assert ((drawn == 0) == (exact == 0)).mean() > 0.97

    def test_cells_beyond_the_image_are_cut(self):
        where = Placement(Axis(8.0, 0.0), Axis(8.0, 20.0), (4, 2), (24, 24))
        drawn = overlay.spread(np.arange(8, dtype=np.float32).reshape(4, 2), where, (24, 24))
        assert drawn.shape == (24, 24) and (drawn[:, :16] == 0).all() and drawn[0, 16] == 0.125 and drawn[-1, 16] == 5.875

    @pytest.mark.parametrize("signed", [False, True])
    def test_the_blend_is_its_formula(self, signed):
        values = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
        image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
        placed = overlay.spread(values, self.where, (32, 32))
        placed = placed if signed else np.maximum(placed, 0)
        strength = (np.abs(placed) / np.abs(placed).max() * 0.6)[..., None]
        plain = overlay.colour(placed, signed=signed) * strength + image * (1 - strength)
        assert np.abs(overlay.overlay(image, values, self.where, signed=signed) - plain).max() <= 3

    def test_levels(self):
        assert overlay.to_levels(np.array([0.0, 1, 2, 9]), 2, signed=False).tolist() == [0, 128, 255, 255]
        assert overlay.to_levels(np.array([1.0]), 0, signed=False).tolist() == [0]

    def test_grid_has_a_tile_per_channel(self):
        values = np.random.default_rng(0).uniform(0, 1, (4, 4, 10))
        values[..., 3] = 0  # dead
        sheet = overlay.channel_grid(values, self.where, "conv", tile=32)
        columns = 4
        assert sheet.shape == (26 + 3 * (32 + 18), columns * 36 + 4, 3)
        dead = sheet[26 : 26 + 32, 4 + 3 * 36 : 4 + 3 * 36 + 32]
        assert (dead == dead[0, 0]).all()

    def test_thumbnail_keeps_small_images_and_the_aspect(self):
        assert overlay.thumbnail(np.zeros((10, 20, 3), np.uint8), 64).shape == (10, 20, 3)
        assert overlay.thumbnail(np.zeros((100, 200, 3), np.uint8), 64).shape == (32, 64, 3)

    def test_encode(self):
        with pytest.raises(ValueError, match=r"not '\.xyz'"):
            overlay.encode(np.zeros((4, 4, 3), np.uint8), ".xyz")


class TestStore:
    def test_a_failed_write_leaves_the_old_file(self, tmp_path):
        path = store.write_text(tmp_path / "a.txt", "old")
        with pytest.raises(RuntimeError), store.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
        assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]

    def test_full_disk_and_no_right_say_so(self, tmp_path):
        import errno

        with pytest.raises(RunError, match="disk is full"), store.atomic(tmp_path / "a"):
            raise OSError(errno.ENOSPC, "No space left on device")
        (tmp_path / "file").touch()
        with pytest.raises(RunError, match="cannot be written"):
            store.make_folder(tmp_path / "file" / "sub")

    def test_json_and_csv_hold_no_nan_and_no_formula(self, tmp_path):
        store.write_json(tmp_path / "a.json", {"x": np.float32("nan"), "y": np.int64(3), "z": [float("inf")]})
        assert store.read_json(tmp_path / "a.json") == {"x": None, "y": 3, "z": [None]}
        store.write_table(tmp_path / "a.csv", ("name", "x"), [("=1+1", float("nan")), ("a\n,b", 0.1)])
        with (tmp_path / "a.csv").open(newline="") as file:
            assert list(csv.reader(file)) == [["name", "x"], ["'=1+1", ""], ["a\n,b", "0.1"]]

    def test_errors(self, tmp_path):
        with pytest.raises(RunError, match="is missing"):
            store.read_json(tmp_path / "gone.json")
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(RunError, match="is damaged"):
            store.read_json(tmp_path / "bad.json")


@given(st.lists(st.text("ab/", min_size=1, max_size=200).map(lambda text: f"d/{text.strip('/') or 'x'}"), unique=True, min_size=1, max_size=6))
def test_output_names_are_unique_and_short(texts):
    from pathlib import Path

    paths = list(dict.fromkeys(Path(text) for text in texts))
    names = output_names(paths)
    assert len(set(names)) == len(paths)
    assert all(len(name.encode()) <= 120 and "/" not in name for name in names)
