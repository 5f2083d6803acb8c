"""Data sets with one plant: numbers to check by hand, properties, errors."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from train import planting, portraits
from train.plants import DEFAULTS, KINDS, PAINTED, Plant, paint, regions
from train.shortcuts import CORNERS, SHORTCUTS, cast, corner, cornered, jpeg, mark, watermark
from train.sitters import Drawn
from xai.errors import DataError, NoFaceError
from xai.regions import meshparts
from xai.regions.labels import Labels, labelled, open_labels
from xai.regions.parts import Parts
from xai.regions.source import open_source

RNG = np.random.default_rng
NAMES = (*portraits.REGIONS, *CORNERS)


def read(path: Path) -> np.ndarray:
    with Pillow.open(path) as image:
        return np.asarray(image)


def grey(size: int = 64, level: int = 100) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def square(name: str, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[corner(name, size)] = True
    return mask


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@cache
def portrait(seed: int, size: int, needs: tuple[str, ...] = ()) -> portraits.Portrait:
    return portraits.draw(seed, size, needs=needs)


@dataclass(frozen=True)
class Fake:
    """A source that knows three parts: the middle, the right half, and what is around; the file "faceless.png" has none."""

    names: tuple[str, ...] = ("background", "nose", "left_eye")
    kind: str = "fake"

    def parts(self, path: str, view: np.ndarray, box=None) -> Parts:
        if path == "faceless.png":
            raise NoFaceError("no face found by nobody")
        labels = np.zeros((32, 32), np.uint8)
        labels[8:24, 8:24] = 1
        if path != "eyeless.png":
            labels[8:16, 8:16] = 2
        return Parts(labels, self.names, np.ones(3, np.float32))

    def identity(self, path: str) -> str:
        return ""

    def record(self) -> dict[str, object]:
        return {"kind": self.kind, "names": self.names}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """48 "photos": 46 portraits of 96 x 80 pixels, one without a face, one that is no image."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(46):
        cv2.imwrite(str(folder / f"{seed:02d}.png"), portrait(seed, 96).image[8:88, :, ::-1])
    cv2.imwrite(str(folder / "faceless.png"), grey(96))
    (folder / "broken.jpg").write_text("not an image\n")
    return folder


def listing(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))


# Numbers to check by hand


def test_corners_are_squares_of_a_fifth() -> None:
    labels, names = cornered(np.zeros((12, 12), np.uint8), ("skin",))
    assert names == ("skin", *CORNERS)
    assert labels[:2].tolist() == [[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2]] * 2
    assert labels[-2:].tolist() == [[3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4]] * 2
    assert not labels[2:-2].any()


def test_corners_are_not_added_twice() -> None:
    once = cornered(np.zeros((12, 12), np.uint8), ("skin",))
    twice = cornered(*once)
    assert twice[1] == once[1] and (twice[0] == once[0]).all()


def test_cast_by_hand() -> None:
    image = np.array([[[100, 100, 100], [250, 7, 3]]], np.uint8)
    assert cast(image, np.ones((1, 2), bool), 10.0, RNG(0)).tolist() == [[[110, 100, 90], [255, 7, 0]]]


def test_jpeg_leaves_the_blocks_means_alone() -> None:
    # One grey level, a ramp within each block: at quality 1 nothing but a few steps a block is left.
    image = np.repeat(np.tile(np.arange(100, 116, 2, dtype=np.uint8), (16, 2))[..., None], 3, -1)
    coded = jpeg(image, np.ones((16, 16), bool), 99.0, RNG(0))
    assert coded.shape == image.shape and coded.dtype == np.uint8
    assert len(np.unique(coded)) < len(np.unique(image))


def test_watermark_lightens_and_darkens_by_its_strength() -> None:
    change = watermark(grey(256), square("top_left_corner", 256), 30.0, RNG(0)).astype(int) - 100
    assert change.max() == 30 and change.min() == -30 and abs(change.mean()) < 0.1
    assert (change == change[..., :1]).all() and not change[51:].any() and not change[:, 51:].any()
    # Its squares lie on the picture's own 2 x 2 grid, wherever the mark does.
    lit = change[..., 0] == 30
    row, column = np.nonzero(lit)
    assert ((row // 2 + column // 2) % 2 == 0).all()


def test_the_mark_fits_its_corner() -> None:
    for side in (13, 26, 51, 102, 205):
        height, width = mark(side).shape
        assert height < side and width < side
        assert mark(side).min() == 0 and mark(side).max() == 1


def test_text_of_a_plant() -> None:
    assert Plant.parse("checkerboard") == Plant("checkerboard", "eyes", 40.0)
    assert Plant.parse(" Droplet:hair ") == Plant("droplet", "hair", 70.0)
    assert Plant.parse("teeth::0.5").text == "teeth:teeth:0.5"
    assert Plant.parse("checkerboard:eyes:40").name == "checkerboard-eyes-40"
    assert Plant.parse("cast").whole and Plant.parse("cast").shortcut
    assert Plant.parse("watermark").shortcut and not Plant.parse("watermark").whole
    assert not Plant.parse("checkerboard").shortcut


def test_members_of_a_region() -> None:
    def members(text: str, names: tuple[str, ...]) -> tuple[str, ...]:
        return Plant.parse(text).members(names)

    assert members("checkerboard:eyes", NAMES) == ("left_eye", "right_eye")
    assert members("checkerboard:lips", NAMES) == ("mouth",)
    assert members("checkerboard:face", NAMES) == portraits.GROUPS["face"]
    assert members("checkerboard:mouth", meshparts.NAMES) == ("lips", "mouth_inside")
    assert members("checkerboard:hair", meshparts.NAMES) == ("hair_and_head",)
    assert members("checkerboard:face", ("background", "nose", "lips", *CORNERS)) == ("nose", "lips")
    assert members("watermark", NAMES) == ("bottom_right_corner",)
    assert members("jpeg", NAMES) == NAMES
    assert regions(("nose", "left_brow", "right_brow", "hair_and_head")) == ["nose", "left_brow", "right_brow", "hair_and_head", "brows", "hair"]


# Properties


@given(kind=st.sampled_from(sorted(KINDS)), share=st.floats(0.01, 1))
def test_text_reads_back(kind: str, share: float) -> None:
    plant = Plant(kind, KINDS[kind].region, round(share * KINDS[kind].maximum, 3))
    assert Plant.parse(plant.text) == plant and "/" not in plant.name and ":" not in plant.name


@pytest.mark.parametrize("kind", PAINTED)
@pytest.mark.parametrize("level", [0, 100, 255])
def test_paint_stays_inside(kind: str, level: int) -> None:
    plant, image = Plant.parse(kind), grey(level=level)
    inside = np.ones((64, 64), bool) if plant.whole else square("top_right_corner")
    altered, mask = paint(plant, image, inside, RNG(1))
    assert altered.dtype == np.uint8 and mask.dtype == bool and (image == level).all()
    assert mask.any() and inside[mask].all() and (altered[~mask] == image[~mask]).all()
    if not plant.whole:
        assert (altered != image).any(-1)[mask].all()


def test_watermark_moves_within_its_corner() -> None:
    masks = [paint(Plant.parse("watermark"), grey(256), square(CORNERS[3], 256), RNG(seed))[1] for seed in range(20)]
    rows, columns = ({int(np.flatnonzero(mask.any(axis))[0]) for mask in masks} for axis in (1, 0))
    assert len(rows) > 5 and len(columns) > 3


@pytest.mark.parametrize("text", [*KINDS, "checkerboard:background", "droplet:clothing", "checkerboard:top_left_corner", "watermark:top_left_corner"])
def test_a_fake_is_its_own_real_portrait_outside_the_mask(text: str) -> None:
    plant = Plant.parse(text)
    sitters = Drawn.of(plant, 1, 96, 5)
    for index in range(4):
        sitter = sitters.sit(index)
        assert not isinstance(sitter, str)
        image, mask = sitters.tampered(sitter)
        real = portrait(sitters.seeds[index], 96, plant.needs)
        assert (sitter.image == real.image).all() and mask.any()
        assert (image[~mask] == real.image[~mask]).all() and (image != real.image).any()
        assert plant.whole or np.isin(sitter.labels, [NAMES.index(name) for name in plant.members(NAMES)])[mask].all()


@pytest.mark.parametrize("text", ["checkerboard:hair", "jpeg", "earring"])
def test_written_portraits(tmp_path: Path, text: str) -> None:
    plant, done = Plant.parse(text), []
    made = planting.write(tmp_path / "set", plant, count=7, size=64, seed=2, progress=done.append)
    assert made.counts == {"real": 4, "fake": 3} and made.plant == plant and not made.skipped and sum(done) == 7
    images = [f"real/real_{i:05d}.png" for i in range(4)] + [f"fake/fake_{i:05d}.png" for i in range(3)]
    files = [*images, *(f"masks/labels/{name}" for name in images), *(f"masks/artefacts/{name}" for name in images[4:])]
    assert sorted(contents(made.folder)) == sorted([*files, "legend.json", "plants.json"])
    about = json.loads((made.folder / "plants.json").read_text())
    for name in images:
        real = portrait(int(about["origins"][name]), 64, plant.needs).image
        mask = read(made.folder / "masks/artefacts" / name) > 0 if name in images[4:] else np.zeros((64, 64), bool)
        assert (read(made.folder / name)[~mask] == real[~mask]).all()
        assert name in images[:4] or (read(made.folder / name) != real).any()
    assert str(tmp_path) not in (made.folder / "plants.json").read_text()
    assert about["made of"] == "portraits" and about["plant"] == plant.text and about["seed"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_labels_are_read_by_the_audit(tmp_path: Path) -> None:
    made = planting.write(tmp_path / "set", Plant.parse("watermark"), count=6, size=96)
    source = open_source("auto", data=made.folder)
    assert isinstance(source, Labels) and source.names == NAMES == open_labels(made.folder / "masks" / "labels").names
    for path in (made.folder / "fake").iterdir():
        parts = source.parts(f"fake/{path.name}", read(path))
        masks = parts.masks()
        assert (masks.sum(0) == 1).all()  # exclusive and exhaustive
        for name in CORNERS:
            assert (masks[NAMES.index(name)] == square(name, 96)).all()
        mask = read(made.folder / "masks" / "artefacts" / "fake" / path.name) > 0
        assert mask.any() and masks[NAMES.index("bottom_right_corner")][mask].all()


def test_the_same_arguments_write_the_same_files(tmp_path: Path) -> None:
    plant = Plant.parse("droplet")
    first, second, other = (planting.write(tmp_path / name, plant, count=6, size=64, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert contents(first.folder) == contents(second.folder)
    assert contents(first.folder)["real/real_00000.png"] != contents(other.folder)["real/real_00000.png"]
    assert {origin for folder in (first, other) for origin in json.loads((folder.folder / "plants.json").read_text())["origins"].values()}


def test_a_finished_set_is_used_again_and_no_other(tmp_path: Path, monkeypatch) -> None:
    plant = Plant.parse("checkerboard")
    made = planting.write(tmp_path / "set", plant, count=4, size=64)
    monkeypatch.setattr(planting, "pictures", None)  # to draw again would fail
    assert planting.write(tmp_path / "set", plant, count=4, size=64) == made
    with pytest.raises(DataError, match="its plant is checkerboard:eyes:40, expected checkerboard:mouth:40; give another folder, or delete"):
        planting.write(tmp_path / "set", replace(plant, region="mouth"), count=4, size=64)
    with pytest.raises(DataError, match="its seed is 0, expected 1"):
        planting.write(tmp_path / "set", plant, count=4, size=64, seed=1)
    (tmp_path / "set" / "plants.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        planting.write(tmp_path / "set", plant, count=4, size=64)


def test_a_stopped_write_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    plant = Plant.parse("checkerboard")
    with pytest.raises(KeyboardInterrupt):
        planting.write(tmp_path / "set", plant, count=4, size=64, progress=stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".set.plants.tmp" / "real").mkdir(parents=True)  # as after kill -9
    (tmp_path / ".set.plants.tmp" / "real" / "stray.png").touch()
    (tmp_path / "set").mkdir()
    assert planting.write(tmp_path / "set", plant, count=4, size=64).counts == {"real": 2, "fake": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["set"] and not (tmp_path / "set" / "real" / "stray.png").exists()


@pytest.mark.parametrize("text", ["checkerboard:left_eye", "droplet:nose", "watermark", "cast"])
def test_photos(tmp_path: Path, photos: Path, text: str) -> None:
    plant = Plant.parse(text)
    made = planting.write(tmp_path / "set", plant, count=100, size=64, photos=listing(photos), source=Fake())
    assert made.counts == {"real": 23, "fake": 23}
    assert made.skipped["faceless.png"] == "no face found by nobody" and "not an image" in made.skipped["broken.jpg"]
    assert len(made.skipped) == 2
    about = json.loads((made.folder / "plants.json").read_text())
    assert about["made of"] == "photos" and about["given"] == 48 and str(photos) not in json.dumps(about)
    assert sorted(about["origins"].values()) == [f"{seed:02d}.png" for seed in range(46)]  # each once
    names = tuple(json.loads((made.folder / "legend.json").read_text()).values())
    assert names == (*Fake().names, *CORNERS)
    for name, origin in about["origins"].items():
        # The middle square of 96 x 80, averaged down to 64 x 64.
        original = cv2.resize(read(photos / origin)[:, 8:88], (64, 64), interpolation=cv2.INTER_AREA)
        mask = read(made.folder / "masks" / "artefacts" / name) > 0 if name.startswith("fake") else np.zeros((64, 64), bool)
        assert (read(made.folder / name)[~mask] == original[~mask]).all()
        labels = read(made.folder / "masks" / "labels" / name)
        assert mask.any() == name.startswith("fake")
        assert plant.whole or np.isin(labels, [names.index(member) for member in plant.members(names)])[mask].all()
    again = planting.write(tmp_path / "set", plant, count=100, size=64, photos=listing(photos)[::-1], source=Fake())
    assert again == made  # the order in which photos are given says nothing


def test_a_photo_without_the_region_is_in_neither_class(tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    cv2.imwrite(str(tmp_path / "in" / "eyeless.png"), grey())
    made = planting.write(tmp_path / "set", Plant.parse("checkerboard:left_eye"), count=60, size=64, photos=listing(tmp_path / "in"), source=Fake())
    assert made.skipped["eyeless.png"] == "no left_eye to be seen" and sum(made.counts.values()) == 46


def test_photos_with_label_images(tmp_path: Path) -> None:
    data = planting.write(tmp_path / "data", Plant.parse("cast"), count=80, size=64, seed=4).folder
    real = sorted((data / "real").iterdir())
    source = open_labels(data / "masks" / "labels")
    made = planting.write(tmp_path / "set", Plant.parse("checkerboard:mouth"), count=80, size=64, photos=real, source=source, root=data)
    assert made.counts == {"real": 20, "fake": 20} and not made.skipped
    again = open_labels(made.folder / "masks" / "labels")
    assert again.names == NAMES  # corners that were there are not added again
    for name, origin in json.loads((made.folder / "plants.json").read_text())["origins"].items():
        assert (read(made.folder / "masks" / "labels" / name) == read(data / "masks" / "labels" / origin)).all()


def test_classes_are_random_halves(tmp_path: Path, photos: Path) -> None:
    halves = []
    for seed in (0, 1):
        made = planting.write(tmp_path / str(seed), Plant.parse("cast"), count=46, size=64, seed=seed, photos=listing(photos), source=Fake())
        origins = json.loads((made.folder / "plants.json").read_text())["origins"]
        halves.append({origin for name, origin in origins.items() if name.startswith("fake")})
    assert halves[0] != halves[1] and len(halves[0]) == len(halves[1]) == 23
    assert halves[0] != {f"{seed:02d}.png" for seed in range(23)}


def test_defaults() -> None:
    assert len({plant.name for plant in DEFAULTS}) == len(DEFAULTS)
    assert {plant.region for plant in DEFAULTS if plant.kind == "checkerboard"} >= {"eyes", "mouth", "nose", "brows"}
    assert {plant.kind for plant in DEFAULTS} >= set(SHORTCUTS)
    for plant in DEFAULTS:  # drawn portraits and photos take all of them
        assert plant.kind in PAINTED and plant.members(NAMES) and plant.members((*meshparts.NAMES, *CORNERS))


def test_real_photos(tmp_path: Path, real_faces: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    paths = sorted((real_faces / "faces256" / "real").iterdir())[:44]
    made = planting.write(tmp_path / "set", Plant.parse("checkerboard:eyes"), count=44, size=128, photos=paths)
    assert sum(made.counts.values()) + len(made.skipped) == 44
    assert open_labels(made.folder / "masks" / "labels").names == (*meshparts.NAMES, *CORNERS)


# Errors


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "'' is no plant; expected kind, kind:region or kind:region:strength"),
        ("checkerboard:eyes:40:1", "is no plant"),
        ("smear", "plant kind 'smear' is not known; expected one of: checkerboard, .*, watermark, cast, jpeg"),
        ("teeth:hair", "'teeth' cannot be planted on 'hair'; expected one of: teeth"),
        ("watermark:eyes", "expected one of: top_left_corner"),
        ("cast:eyes", "expected one of: picture"),
        ("checkerboard:picture", "expected a part of the face"),
        ("checkerboard:../up", "expected a part of the face"),
        ("checkerboard:eyes:many", "strength 'many' of .* is no number; expected grey levels, such as 40"),
        ("checkerboard:eyes:0", "above 0 and at most 255 .grey levels., got 0"),
        ("jpeg:picture:100", "at most 99 .100 - JPEG quality., got 100"),
        ("cast::nan", "got nan"),
    ],
)
def test_wrong_text(text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        Plant.parse(text)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"count": 1}, "expected a count of 2 or more"),
        ({"size": 63}, "a size of 64 or more"),
        ({"seed": -1}, "got 4, 64 and -1"),
        ({"plant": Plant.parse("checkerboard:tail")}, "'checkerboard:tail:40': there is no region 'tail'; expected one of: background, skin"),
        ({"plant": Plant.parse("checkerboard:forehead")}, "there is no region 'forehead'"),
        ({"plant": Plant("teeth", "teeth", 1e-9)}, "left no trace on 2 of 2 fakes; give it a strength above 1e-09"),
        ({"photos": [Path("a.png")] * 3}, "needs 40 or more, got 3"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict, match: str) -> None:
    with pytest.raises(DataError, match=match):
        planting.write(tmp_path / "set", options.pop("plant", Plant.parse("checkerboard")), **{"count": 4, "size": 64, **options})
    assert not list(tmp_path.iterdir())


def test_wrong_photos(tmp_path: Path, photos: Path) -> None:
    paths, plant = listing(photos), Plant.parse("checkerboard:nose")
    with pytest.raises(DataError, match=r"'teeth' is drawn, not painted: .* expected checkerboard, droplet, watermark, cast, jpeg"):
        planting.write(tmp_path / "set", Plant.parse("teeth"), count=40, size=64, photos=paths, source=Fake())
    with pytest.raises(DataError, match="there is no region 'hair'; expected one of: background, nose, left_eye, top_left_corner"):
        planting.write(tmp_path / "set", Plant.parse("checkerboard:hair"), count=40, size=64, photos=paths, source=Fake())
    with pytest.raises(DataError, match=r"does not lie in .*; give the folder that holds all photos"):
        planting.write(tmp_path / "set", plant, count=40, size=64, photos=paths, source=Fake(), root=tmp_path)
    few = [*paths[:38], photos / "faceless.png", photos / "broken.jpg"]
    with pytest.raises(DataError, match=r"38 of 40 photos can be used: .*no face found by nobody \(1\).*; a self-test needs 40 or more: give more"):
        planting.write(tmp_path / "set", plant, count=40, size=64, photos=few, source=Fake())
    assert not list(tmp_path.iterdir())


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    plant = Plant.parse("checkerboard")
    with pytest.raises(DataError, match=r"is not empty \(holiday.jpg\); expected a new or empty folder"):
        planting.write(tmp_path, plant, count=4, size=64)
    with pytest.raises(DataError, match="is a file"):
        planting.write(tmp_path / "holiday.jpg", plant, count=4, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_too_many_names_leave_no_room_for_corners(tmp_path: Path, photos: Path) -> None:
    source = labelled(photos, {value: f"part{value}" for value in range(253)}, "many")
    with pytest.raises(DataError, match="have 253 names; at most 251 leave room for the corners"):
        planting.write(tmp_path / "set", Plant.parse("cast"), count=40, size=64, photos=listing(photos), source=source)
