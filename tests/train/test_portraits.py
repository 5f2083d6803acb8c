"""Drawn portraits: numbers to check by hand, properties, errors."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from train.artefacts import checkerboard, plant
from train.parts import render
from train.persons import person
from train.portraits import (
    ARTEFACTS,
    ATTRIBUTES,
    GROUPS,
    REGIONS,
    Artefact,
    Portrait,
    draw,
    write,
)

KINDS = tuple(ARTEFACTS)
DEFAULT = Artefact.of("checkerboard")


@cache
def drawn(seed: int, size: int, artefact: Artefact | None = None, needs: tuple[str, ...] = ()) -> Portrait:
    return draw(seed, size, artefact, needs=needs)


def inside(portrait: Portrait, target: str) -> np.ndarray:
    return np.isin(portrait.labels, [REGIONS.index(name) for name in GROUPS[target]])


def column(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[1].mean())


# Numbers to check by hand


def test_checkerboard_on_a_flat_patch() -> None:
    flat = np.full((4, 6, 3), 100, np.int16)
    painted = checkerboard(Artefact.of("checkerboard", strength=40), person(0, ()), flat, np.ones((4, 6), bool), np.random.default_rng(0))
    expected = [
        [140, 140, 60, 60, 140, 140],
        [140, 140, 60, 60, 140, 140],
        [60, 60, 140, 140, 60, 60],
        [60, 60, 140, 140, 60, 60],
    ]
    for channel in range(3):
        assert painted[..., channel].tolist() == expected


def test_planting_touches_only_the_region() -> None:
    image = np.full((4, 4, 3), 100, np.int16)
    labels = np.zeros((4, 4), np.uint8)
    labels[1, 2] = REGIONS.index("left_eye")
    altered, mask = plant(DEFAULT, person(0, ()), image, labels, np.random.default_rng(0))
    assert np.argwhere(mask).tolist() == [[1, 2]]
    assert altered[1, 2].tolist() == [60, 60, 60]
    assert (altered[~mask] == 100).all() and (image == 100).all()


def test_amplitude_in_a_portrait() -> None:
    real, fake = drawn(3, 128), drawn(3, 128, Artefact.of("checkerboard", "skin", 20))
    change = fake.image.astype(int) - real.image
    middle = fake.artefact[..., None] & (real.image > 30) & (real.image < 225)
    assert set(np.unique(change[middle])) == {-20, 20}


def test_legend_starts_with_the_background() -> None:
    assert REGIONS[0] == "background" and len(set(REGIONS)) == len(REGIONS)
    assert GROUPS["eyes"] == ("left_eye", "right_eye")
    assert all(GROUPS[name] == (name,) for name in REGIONS)


# Properties


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**63), size=st.integers(64, 131))
def test_any_seed_and_size(seed: int, size: int) -> None:
    portrait, again = draw(seed, size), draw(seed, size)
    assert portrait.image.shape == (size, size, 3) and portrait.image.dtype == np.uint8
    assert portrait.labels.shape == (size, size) and portrait.labels.dtype == np.uint8
    assert portrait.labels.max() < len(REGIONS)
    assert portrait.artefact.dtype == bool and not portrait.artefact.any()
    assert (portrait.image == again.image).all() and (portrait.labels == again.labels).all()


def test_seeds_differ() -> None:
    assert (drawn(0, 64).image != drawn(1, 64).image).mean() > 0.5


@pytest.mark.parametrize("size", [64, 256])
def test_every_region_is_there(size: int) -> None:
    for seed in range(15):
        found = set(np.unique(drawn(seed, size, None, ATTRIBUTES).labels))
        assert found == set(range(len(REGIONS))), [REGIONS[i] for i in set(range(len(REGIONS))) - found]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "seeds"), [(64, 20), (101, 5), (256, 5), (512, 1)])
def test_only_the_mask_differs(kind: str, size: int, seeds: int) -> None:
    artefact = Artefact.of(kind)
    for seed in range(seeds):
        real, fake = drawn(seed, size, None, artefact.needs), draw(seed, size, artefact)
        assert fake.artefact.any()
        assert (fake.labels == real.labels).all()
        assert inside(fake, artefact.region)[fake.artefact].all()
        changed = (fake.image != real.image).any(axis=-1)
        assert changed.any() and not changed[~fake.artefact].any()


@pytest.mark.parametrize("region", GROUPS)
@pytest.mark.parametrize("kind", ["checkerboard", "droplet"])
def test_any_region_can_carry_a_pattern(kind: str, region: str) -> None:
    fake = draw(5, 96, Artefact.of(kind, region))
    assert fake.artefact.any() and inside(fake, region)[fake.artefact].all()


def test_checkerboard_fills_its_region() -> None:
    fake = drawn(2, 128, DEFAULT)
    assert (fake.artefact == inside(fake, "eyes")).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_strength_no_change(kind: str) -> None:
    artefact = Artefact.of(kind, strength=0)
    real, fake = draw(4, 96, needs=artefact.needs), draw(4, 96, artefact)
    assert (real.image == fake.image).all() and not fake.artefact.any()


def test_left_is_left_for_the_viewer() -> None:
    for seed in range(15):
        portrait = drawn(seed, 128, None, ATTRIBUTES)
        for part in ("eye", "brow", "ear"):
            assert column(inside(portrait, f"left_{part}")) < column(inside(portrait, f"right_{part}"))


def test_the_face_lies_where_aligned_faces_lie() -> None:
    for seed in range(30):
        portrait = drawn(seed, 128)
        eyes = inside(portrait, "eyes")
        assert 0.010 < eyes.mean() < 0.025
        assert 0.38 < np.nonzero(eyes)[0].mean() / 128 < 0.50
        wide = inside(portrait, "face").any(axis=0).mean()
        assert 0.50 < wide < 0.66


def test_areas_do_not_depend_on_the_size() -> None:
    for seed in range(4):
        small, large = (np.bincount(drawn(seed, size, None, ATTRIBUTES).labels.ravel(), minlength=len(REGIONS)) / size**2 for size in (256, 512))
        np.testing.assert_allclose(small, large, rtol=0.10)


def test_nobody_can_tell_the_classes_apart_outside_the_artefact() -> None:
    # Different seeds for the classes, as in a data set; Welch's t of the mean brightness.
    real = [draw(seed, 64).image.mean() for seed in range(60)]
    fakes = [draw(seed, 64, DEFAULT) for seed in range(1000, 1060)]
    fake = [portrait.image[~portrait.artefact].mean() for portrait in fakes]
    error = np.sqrt(np.var(real, ddof=1) / 60 + np.var(fake, ddof=1) / 60)
    assert abs(np.mean(real) - np.mean(fake)) < 3 * error


def test_attributes_are_asked_of_both_classes() -> None:
    rates = [np.mean([bool(person(seed, ()).glasses) for seed in range(low, low + 400)]) for low in (0, 5000)]
    assert abs(rates[0] - rates[1]) < 0.1 and 0.15 < rates[0] < 0.35
    for seed in range(20):
        assert person(seed, ("glasses",)).glasses and person(seed, ("teeth",)).mouth[2] > 0
        # Asking for one thing changes nothing else about the person.
        assert person(seed, ("glasses",)).hair == person(seed, ()).hair
        assert person(seed, ("glasses",)).walls == person(seed, ()).walls


def test_render_has_no_noise() -> None:
    image, labels = render(person(1, ()), 64)
    assert (image == render(person(1, ()), 64)[0]).all()
    assert (labels == drawn(1, 64).labels).all()


def test_write_layout(tmp_path: Path) -> None:
    done: list[int] = []
    out = write(tmp_path / "set", 5, 64, artefact=Artefact.of("glasses"), seed=3, progress=done.append)
    files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    real = [f"real_{i:05d}.png" for i in range(3)]
    fake = [f"fake_{i:05d}.png" for i in range(2)]
    expected = ["legend.json", "portraits.json", *(f"real/{n}" for n in real), *(f"fake/{n}" for n in fake)]
    expected += [f"masks/labels/real/{n}" for n in real] + [f"masks/labels/fake/{n}" for n in fake]
    assert files == sorted(expected + [f"masks/artefacts/fake/{n}" for n in fake])
    assert sum(done) == 5
    about = json.loads((out / "portraits.json").read_text())
    assert about["artefact"] == {"kind": "glasses", "region": "glasses", "strength": 1.0}
    assert (about["seed"], about["size"], about["count"]) == (3, 64, 5)
    assert json.loads((out / "legend.json").read_text())["0"] == "background"
    glasses = REGIONS.index("glasses")
    for path in (out / "masks" / "labels").rglob("*.png"):
        with PillowImage.open(path) as picture:
            assert picture.mode == "P"
            assert glasses in np.unique(np.asarray(picture))  # real ones wear them too
    mask = cv2.imread(str(out / "masks/artefacts/fake/fake_00000.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 255}
    assert not list(tmp_path.rglob("*.tmp"))


def test_write_repeats_itself_and_has_no_twins(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, 6, 64, seed=1) for name in "ab")
    images = {p.relative_to(a): p.read_bytes() for p in a.rglob("*.*") if p.is_file()}
    assert all((b / name).read_bytes() == data for name, data in images.items())
    labels = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((a / "masks" / "labels").rglob("*.png"))]
    same = [(x == y).all() for i, x in enumerate(labels) for y in labels[:i]]
    assert not any(same)


def test_write_splits(tmp_path: Path) -> None:
    out = write(tmp_path, 10, 64, splits=(0.6, 0.2, 0.2))
    for split, count in (("train", 3), ("valid", 1), ("test", 1)):
        for kind in ("real", "fake"):
            assert len(list((out / split / kind).iterdir())) == count
    assert len(list((out / "masks" / "labels" / "real").iterdir())) == 5


def test_interrupted_write_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 4, 64, progress=stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".portraits.tmp" / "real").mkdir(parents=True)  # as after kill -9
    write(tmp_path, 2, 64)
    assert not list(tmp_path.rglob("*.tmp")) and (tmp_path / "portraits.json").exists()


# Errors


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Artefact.of("smear"), "'smear' is unknown; expected one of: checkerboard"),
        (lambda: Artefact("smear", "eyes", 1.0), "'smear' is unknown"),
        (lambda: Artefact.of("droplet", "tail"), "region 'tail' is unknown; expected one of: eyes"),
        (lambda: Artefact.of("teeth", "hair"), "'teeth' cannot be painted on region 'hair'; expected one of: teeth"),
        (lambda: Artefact.of("checkerboard", strength=-1), "from 0 to 255 .grey levels., got -1"),
        (lambda: Artefact.of("highlight", strength=float("nan")), "got nan"),
        (lambda: draw(0, 63), "size must be 64 pixels or more, got 63"),
        (lambda: draw(-1, 64), "seed must be 0 or more, got -1"),
        (lambda: draw(0, 64, needs=("hat",)), "'hat' is unknown; expected one of: ears"),
        (lambda: write("unused", 1, 64), "count must be 2 or more"),
        (lambda: write("unused", 2, 32), "size must be 64"),
        (lambda: write("unused", 2, 64, seed=-2), "seed must be 0 or more"),
        (lambda: write("unused", 2, 64, splits=(0.5, 0.2, 0.2)), "add up to 1"),
    ],
)
def test_wrong_arguments(make, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_full_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ValueError, match=r"is not empty \(found holiday.jpg\); expected a new or empty one"):
        write(tmp_path, 2, 64)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(ValueError, match="is a file"):
        write(tmp_path / "holiday.jpg", 2, 64)
