"""Parts of a face, the mass on them, and what chance would put there, on numbers a reader can check."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xai.crop import Box
from xai.errors import DataError, ImageError
from xai.gather import Gathered
from xai.maps.placement import Axis, Placement, pixels, stretched
from xai.regions import null
from xai.regions.attention import Ground, attend
from xai.regions.collect import Collector, aligned_sums, read_measures, write_measures
from xai.regions.frame import SIDE, Frame, Sums, mean_anchors
from xai.regions.labels import open_labels
from xai.regions.parts import NOTHING, Parts, units
from xai.regions.source import open_source
from xai.regions.table import attention_rows, columns, difference_rows, regions, within

NAMES = ("background", "skin", "left_eye", "right_eye", "nose", "lips")


def parts_of(labels, names=NAMES):
    """Parts without doubt."""
    return Parts(np.asarray(labels, np.uint8), names, np.ones(len(names), np.float32))


def face(size=64):
    """A square face with two eyes, a nose and a mouth, on a background."""
    labels = np.zeros((size, size), np.uint8)
    for part, (y0, y1, x0, x1) in {1: (12, 56, 12, 52), 2: (24, 28, 18, 26), 3: (24, 28, 38, 46), 4: (30, 40, 28, 36), 5: (44, 50, 24, 40)}.items():
        labels[y0 * size // 64 : y1 * size // 64, x0 * size // 64 : x1 * size // 64] = part
    return parts_of(labels)


def seen(height, width):
    """A picture of which only the shape is looked at."""
    return np.zeros((height, width, 3), np.uint8)


def chance(parts):
    """Each part's mask moved at random, on 32 x 32 cells."""
    return null.moved(null.shares(parts, (32, 32)), parts.names)


class TestParts:
    def test_units_and_rows(self):
        assert units(NAMES) == {"background": (0,), "skin": (1,), "eyes": (2, 3), "nose": (4,), "lips": (5,)}
        assert list(regions(NAMES)) == ["background", "skin", "eyes", "left_eye", "right_eye", "nose", "lips"]
        assert within(NAMES)["left_eye"] == "eyes" and within(NAMES)["eyes"] == within(NAMES)["lips"] == ""

    def test_a_part_that_has_a_set_s_name_stays_alone(self):
        assert units(("mouth", "lips", "mouth_inside")) == {"mouth": (0,), "lips": (1,), "mouth_inside": (2,)}

    def test_masks_are_exclusive_and_the_face_is_what_lies_on_it(self):
        parts = face()
        assert (parts.masks().sum(0) == 1).all()
        assert parts.face().sum() == 44 * 40
        assert parts_of([[NOTHING, 1]]).masks().sum() == 1

    def test_cut(self):
        assert parts_of([[0, 1], [2, 3]]).cut(Box(0, 2, 2, (4, 4))).labels.tolist() == [[1]]


class TestLabels:
    def write(self, folder, values, legend=None):
        (folder / "real").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(values, np.uint8)).save(folder / "real" / "a.png")
        if legend:
            (folder / "legend.json").write_text(json.dumps(legend))

    def test_label_images(self, tmp_path):
        self.write(tmp_path, [[0, 1], [2, 9]], {0: "background", 1: "left_eye", 2: "right_eye"})
        labels, view = open_labels(tmp_path), seen(40, 40)
        assert labels.names == ("background", "left_eye", "right_eye")
        assert labels.parts("real/a.jpg", view).labels.tolist() == [[0, 1], [2, NOTHING]]
        assert labels.parts("real/a.jpg", seen(20, 20), Box(20, 0, 20, (40, 40))).labels.tolist() == [[2]]
        with pytest.raises(ImageError, match="no label image"):
            labels.parts("real/b.jpg", view)
        assert labels.identity("real/b.jpg") == "" != labels.identity("real/a.jpg")

    def test_values_with_one_name_are_one_part(self, tmp_path):
        self.write(tmp_path, [[0, 1, 2]], {0: "Background", 1: "Left Eye", 2: " left_eye "})
        labels = open_labels(tmp_path)
        assert labels.names == ("background", "left_eye") and labels.parts("real/a.png", seen(10, 30)).labels.tolist() == [[0, 1, 1]]

    def test_celebamask_needs_no_legend(self, tmp_path):
        self.write(tmp_path, [[0, 1], [4, 18]])
        labels = open_labels(tmp_path)
        names = [labels.names[value] for value in labels.parts("real/a.jpg", seen(8, 8)).labels.ravel()]
        assert names == ["background", "skin", "right_eye", "clothing"]  # the person's left eye is the viewer's right one
        self.write(tmp_path, [[0, 1], [4, 19]])
        with pytest.raises(DataError, match=r"has no legend\.json"):
            open_labels(tmp_path)

    def test_what_does_not_fit_is_said(self, tmp_path):
        """A photo with a rotation mark is read upright, its label image is not."""
        self.write(tmp_path, np.zeros((40, 80)), {0: "background"})
        with pytest.raises(ImageError, match="label image of 80 x 40 does not fit a picture of 40 x 80"):
            open_labels(tmp_path).parts("real/a.png", seen(80, 40))
        self.write(tmp_path, [[[0, 0, 0]]], {0: "background"})
        with pytest.raises(ImageError, match="expected one channel"):
            open_labels(tmp_path).parts("real/a.png", seen(8, 8))
        whole = (tmp_path / "real" / "a.png").read_bytes()
        for content in (b"no picture", whole.replace(b"IDAT", b"\xee\xbd\x12R"), whole[:-30]):
            (tmp_path / "real" / "a.png").write_bytes(content)
            with pytest.raises(ImageError, match="cannot be read"):
                open_labels(tmp_path).parts("real/a.png", seen(8, 8))

    def test_large_label_images_are_thinned(self, tmp_path):
        self.write(tmp_path, np.repeat([[0], [1]], 1500, 0).repeat(1500, 1), {0: "background", 1: "skin"})
        found = open_labels(tmp_path).parts("real/a.png", seen(20, 10)).labels
        assert found.shape == (1024, 512) and (found[:512] == 0).all() and (found[512:] == 1).all()

    def test_errors(self, tmp_path):
        with pytest.raises(DataError, match="is no folder"):
            open_labels(tmp_path / "gone")
        (tmp_path / "a" / "b" / "c").mkdir(parents=True)
        with pytest.raises(DataError, match=r"has no legend\.json"):
            open_labels(tmp_path / "a" / "b" / "c")
        for bad in ("[]", "{", '{"300": "skin"}', "{}"):
            (tmp_path / "legend.json").write_text(bad)
            with pytest.raises(DataError, match="is no legend"):
                open_labels(tmp_path)


class TestSource:
    def test_who_says_the_parts(self, portraits, tmp_path):
        assert open_source("none", data=portraits) is None
        assert open_source("auto", data=portraits).kind == "labels"  # the data set brings its own
        assert open_source("auto", portraits / "masks" / "labels").kind == "labels"
        assert open_source("template").kind == "template"
        with pytest.raises(DataError, match="are not known; expected one of: auto, mesh"):
            open_source("ears")
        with pytest.raises(DataError, match="exclude each other"):
            open_source("mesh", portraits)

    def test_without_the_mesh_there_are_no_parts(self, tmp_path, monkeypatch):
        from xai.errors import ModelError
        from xai.faces import mesh

        def missing():
            raise ModelError("needs the package")

        monkeypatch.setattr(mesh, "ready", missing)
        assert open_source("auto", data=tmp_path) is None
        with pytest.raises(ModelError, match="needs the package"):
            open_source("mesh", data=tmp_path)


class TestChance:
    def test_one_cell_in_a_face_of_many(self):
        """A part of one cell is moved to each of the face's cells alike, never outside."""
        labels = np.zeros((32, 32), np.uint8)
        labels[4:12, 4:12], labels[5, 5] = 1, 4
        cover = chance(parts_of(labels))[4]
        assert cover[4:12, 4:12] == pytest.approx(np.full((8, 8), 1 / 64), abs=1e-6) and cover.sum() == pytest.approx(1, abs=1e-5)

    def test_by_hand_enumeration(self):
        """A bar of 3 x 1 in a face of 6 x 4: every placement listed."""
        labels = np.zeros((32, 32), np.uint8)
        labels[10:16, 10:14], labels[12, 10:13] = 1, 4
        expected = np.zeros((32, 32))
        for y in range(10, 16):
            for x in range(10, 12):
                expected[y, x : x + 3] += 1 / 12
        assert chance(parts_of(labels))[4] == pytest.approx(expected, abs=1e-6)

    def test_a_part_too_large_to_move_is_spread_evenly(self):
        cover = chance(face(32))[0]
        assert cover == pytest.approx(np.full((32, 32), cover.mean()), abs=1e-6)
        skin = chance(face(32))[1]
        inside = null.shares(face(32), (32, 32))[1:].sum(0)
        assert skin[inside == 0].max() < 1e-6 and np.ptp(skin[inside == 1]) < 1e-6

    @given(seed=st.integers(0, 99))
    def test_area_is_kept(self, seed):
        labels = np.random.default_rng(seed).integers(0, len(NAMES), (8, 8)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        assert chance(parts_of(labels)).sum((1, 2)) == pytest.approx(null.shares(parts_of(labels), (32, 32)).sum((1, 2)), rel=1e-4)

    def test_shares_of_odd_sizes(self):
        found = null.shares(parts_of(np.repeat([[0, 1]], 5, 0)), (3, 4))
        assert found[:2].sum(0) == pytest.approx(np.ones((3, 4))) and found[1, :, 2:].min() == 1

    def test_the_middle(self):
        assert null.centred(null.shares(face(), (64, 64))).sum() == pytest.approx(1, abs=1e-6)
        assert null.centred(null.shares(parts_of([[0, 1]]), (1, 2)))[:2].tolist() == [0.5, 0.5]


class TestAttention:
    where = stretched((4, 4), (16, 16))
    halves = parts_of(np.repeat([0, 1], 8)[:, None].repeat(16, 1), ("top", "bottom"))

    def measure(self, values, parts=halves, where=where):
        return attend({("l", "m"): np.asarray(values)}, {"l": where}, Ground.of(parts, where.image))["l", "m"]

    def test_uniform_map_has_density_one(self):
        assert self.measure(np.ones((4, 4)))[:2].tolist() == pytest.approx([0.5, 0.5])

    def test_negative_mass_does_not_count(self):
        values = np.full((4, 4), -1.0)
        values[3, 3] = 1
        found = self.measure(values)
        assert found[1] == pytest.approx(1) and found[-1] == 1

    def test_empty_map_has_no_region(self):
        found = self.measure(np.zeros((4, 4)))
        assert np.isnan(found[:-1]).all() and found[-1] == -1

    def test_random_maps_have_density_one(self):
        rng = np.random.default_rng(0)
        assert np.mean([self.measure(rng.uniform(0, 1, (4, 4)))[:2] for _ in range(500)], 0) == pytest.approx([0.5, 0.5], abs=0.01)

    def test_a_map_of_pixels_is_counted_exactly(self):
        """Against counting by hand, on the eyes of a face, with a map finer than the grid."""
        parts = face(128)
        values = np.zeros((128, 128), np.float32)
        values[parts.labels == 2], values[parts.labels == 1] = 3, 1
        found = self.measure(values, parts, pixels((128, 128)))
        eye, skin = (parts.labels == 2).sum() * 3, (parts.labels == 1).sum()
        assert found[[1, 2]] == pytest.approx([skin / (eye + skin), eye / (eye + skin)], rel=0.04)  # a pixel's tent reaches its neighbours

    def test_a_flat_map_meets_chance(self):
        """Where the map says nothing, each part holds what its mask would anywhere."""
        parts = face(64)
        found = self.measure(np.ones((64, 64)), parts, pixels((64, 64)))
        count = len(NAMES)
        assert found[:count] == pytest.approx(found[count : 2 * count], abs=5e-3)  # the outer pixels' tents reach over the edge


class TestFrame:
    def test_the_mean_face_lies_on_itself(self):
        from xai.regions.template import parts

        frame = Frame.of(parts((256, 256)), (256, 256))
        assert frame.matrix == pytest.approx(np.array([[256, 0, 0], [0, 256, 0]]), abs=3)
        values = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 3)
        (shown,), seen = frame.bring(values[None], stretched((SIDE, SIDE), (256, 256)))
        assert seen.all() and shown == pytest.approx(values, abs=float(0.03 * np.abs(values).max()))

    def test_a_cell_goes_where_its_centre_lies(self):
        """A layer whose cells start at pixel 32 with stride 16: the peak comes to that place of the frame."""
        axis = Axis(16.0, 32.0, 60.0)
        values = np.zeros((13, 13), np.float32)
        values[4, 9] = 1
        frame = Frame(np.array([[256.0, 0, 0], [0, 256.0, 0]]))
        (shown,), seen = frame.bring(values[None], Placement(axis, axis, (13, 13), (256, 256)))
        y, x = np.unravel_index(shown.argmax(), shown.shape)
        assert abs((y + 0.5) * 256 / SIDE - 96) <= 2 and abs((x + 0.5) * 256 / SIDE - 176) <= 2
        assert not seen[:5].any() and seen[8:54, 8:54].all()

    def test_a_turned_face_is_turned_back(self):
        """A blob on the nose of a face turned by 20 degrees and shrunk comes to the mean face's nose."""
        points = mean_anchors() * 200
        turn = cv2.getRotationMatrix2D((100, 100), 20, 0.8)
        moved = np.column_stack([points[:, ::-1], np.ones(4)]) @ turn.T  # (x, y)
        labels = np.zeros((200, 200), np.uint8)
        for part, (x, y) in zip((2, 3, 4, 5), moved, strict=True):
            cv2.circle(labels, (round(x - 0.5), round(y - 0.5)), 4, part, -1)
        frame = Frame.of(parts_of(labels), (200, 200))
        shown = frame.bring(np.stack([labels == k for k in (0, 1, 2, 3, 4)]).astype(np.float32), pixels((200, 200)))[0][4]
        y, x = np.unravel_index(shown.argmax(), shown.shape)
        assert np.hypot(*((np.array([y, x]) + 0.5) / SIDE - mean_anchors()[2])) < 0.03

    def test_no_face_no_frame(self):
        assert Frame.of(parts_of(np.zeros((8, 8))), (8, 8)) is None

    def test_sums(self):
        rng = np.random.default_rng(0)
        maps, seen = rng.normal(size=(6, SIDE, SIDE)).astype(np.float32).astype(float), rng.uniform(size=(6, SIDE, SIDE)) < 0.9
        one, first, rest = Sums.none(2), Sums.none(2), Sums.none(2)
        for index, (values, shown) in enumerate(zip(maps, seen, strict=True)):
            for sums in (one, rest if index < 5 else first):
                sums.add(np.stack([values, -values]), np.stack([shown, shown]))
        two = first.merge(rest)
        assert one.of(1).mean[shown] == pytest.approx(-one.of(0).mean[shown])
        one, two = one.of(0), two.of(0)
        masked = np.ma.array(maps, mask=~seen)
        for sums in (one, two):
            assert np.nan_to_num(sums.mean) == pytest.approx(masked.mean(0).filled(0), abs=1e-9)
            several = sums.count > 1
            assert sums.variance[several] == pytest.approx(masked.var(0, ddof=1).filled(0)[several], abs=1e-9)
            assert np.isnan(sums.variance[~several]).all()


def collected(seed=0, count=40, strong=3.0):
    """Images whose maps are stronger on the eyes of fakes; every fifth image has no parts, one map is empty."""
    rng = np.random.default_rng(seed)
    parts, where = face(), {"l": pixels((64, 64))}
    collector = Collector(NAMES, [("l", "m")], where)
    labels = []
    for index in range(count):
        label = ("real", "fake")[index % 2]
        values = rng.uniform(0, 1, (64, 64)).astype(np.float32)
        if label == "fake":
            values[np.isin(parts.labels, (2, 3))] *= strong
        if index == 1:
            values[:] = 0
        collector.add(None if index % 5 == 4 else Ground.of(parts, (64, 64)), {("l", "m"): values}, label)
        labels.append(label)
    return collector, np.array(labels)


def through_files(collectors):
    """What shards say together."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.h5" for number in range(len(collectors))]
        for path, collector in zip(paths, collectors, strict=True):
            with h5py.File(path, "w") as file:
                collector.write(file)
        order = np.concatenate([[(number, row) for row in range(len(collector.grounds))] for number, collector in enumerate(collectors)])
        with h5py.File(Path(folder) / "maps.h5", "w") as target, Gathered(paths, order) as gathered:
            write_measures(target, gathered, NAMES, [("l", "m")])
        found = read_measures(Path(folder) / "maps.h5", [("l", "m")], aligned_sums(paths, [("l", "m")]))
        return replace(found, mass=dict(found.mass), chance=dict(found.chance), peak=dict(found.peak))  # read while the file is there


class TestTable:
    def test_a_part_that_is_looked_at(self):
        collector, labels = collected()
        measured = through_files([collector])
        rows = {row["region"]: row for row in attention_rows(measured, {"fake": labels == "fake"})}
        eyes = rows["eyes"]
        assert eyes["count"] == 15 and eyes["empty"] == 1  # of 20 fakes four have no parts and one map is empty
        assert eyes["area_share"] == pytest.approx(64 / 4096) and eyes["density"] == pytest.approx(3, rel=0.1)
        assert eyes["density_low"] < eyes["density"] < eyes["density_high"] and eyes["p_holm"] < 0.05
        assert eyes["first"] == 1 and eyes["mass_share"] == pytest.approx(rows["left_eye"]["mass_share"] + rows["right_eye"]["mass_share"])
        assert rows["left_eye"]["within"] == "eyes" and rows["left_eye"]["first"] + rows["right_eye"]["first"] == pytest.approx(1)
        assert rows["nose"]["times_chance"] < 1 and rows["nose"]["p_holm"] < 0.05  # less than its mask would hold elsewhere in the face

    def test_fakes_against_reals(self):
        collector, labels = collected(count=60)
        rows = {row["region"]: row for row in difference_rows(through_files([collector]), labels == "fake", labels == "real")}
        assert rows["eyes"]["difference"] > 0.02 and rows["eyes"]["p_holm"] < 0.05 and rows["eyes"]["difference_low"] > 0
        assert (rows["eyes"]["fakes"], rows["eyes"]["reals"]) == (23, 24)
        assert difference_rows(through_files([collector]), labels == "fake", labels == "nobody") == []

    def test_shards_together_are_one_pass(self):
        both = through_files([collected(1)[0], collected(2)[0]])
        one, two = (through_files([collected(seed)[0]]) for seed in (1, 2))
        assert np.array_equal(both.mass["l", "m"], np.concatenate([one.mass["l", "m"], two.mass["l", "m"]]), equal_nan=True)
        assert both.aligned["fake", "l", "m"].count.max() == 2 * 15
        means = [np.nan_to_num(found.aligned["fake", "l", "m"].mean) for found in (both, one, two)]
        assert means[0] == pytest.approx((means[1] + means[2]) / 2)

    def test_an_absent_part_does_not_count(self):
        parts, where = face(), {"l": pixels((64, 64))}
        bare = parts_of(np.where(parts.labels == 4, 1, parts.labels))
        collector = Collector(NAMES, [("l", "m")], where)
        for index in range(20):
            collector.add(Ground.of(bare if index < 12 else parts, (64, 64)), {("l", "m"): np.ones((64, 64), np.float32)}, "fake")
        rows = {row["region"]: row for row in attention_rows(through_files([collector]), {"all": np.ones(20, bool)})}
        assert rows["nose"]["count"] == 8 and rows["skin"]["count"] == 20
        assert rows["nose"]["area_share"] == pytest.approx(80 / 4096)

    def test_few_images_have_no_interval(self):
        collector, labels = collected(count=12)
        (row, *_) = attention_rows(through_files([collector]), {"fake": labels == "fake"})
        assert row["count"] == 4 and np.isnan(row["p"]) and np.isnan(row["density_low"]) and row["density"] > 0

    def test_who_leads(self):
        """The denser eye of each map; no part where none holds any mass."""
        parts, where = face(), {"l": pixels((64, 64))}
        only, none = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
        only[parts.labels == 2] = 1
        bare = parts_of(np.where(parts.labels == 0, NOTHING, parts.labels))
        none[parts.labels == 0] = 1
        none[10:58, 10:54] = 0  # all of it where no part is, so far away that no tent reaches one
        collector = Collector(NAMES, [("l", "m")], where)
        collector.add(Ground.of(parts, (64, 64)), {("l", "m"): only}, "fake")
        collector.add(Ground.of(bare, (64, 64)), {("l", "m"): none}, "fake")
        led = next(columns(through_files([collector]))).led
        assert dict(zip(regions(NAMES), led[0], strict=True)) == {
            "background": 0, "skin": 0, "eyes": 1, "left_eye": 1, "right_eye": 0, "nose": 0, "lips": 0,
        }  # fmt: skip
        assert np.nansum(led[1]) == 0
