"""Mean maps as small pictures: one pixel per cell, in the rectangle that the cells cover."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import reports
from reports import filmstrip
from reports.drawn import MapFile
from reports.run import read
from tests.reports.conftest import LAYERS, METHODS
from tests.reports.test_html import Tags
from xai.errors import RunError

ENTRY: dict[str, Any] = {"group": "fake", "layer": "conv", "method": "hirescam", "empty": 0, "peak": None}


def opened(picture: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.removeprefix("data:image/webp;base64,"))))


def pixels(picture: str) -> list[list[int]]:
    with opened(picture) as image:
        return np.asarray(image.convert("L")).tolist()


def test_a_pixel_per_cell() -> None:
    mean, std = np.array([[0.0, 2.0], [-4.0, 1.0]], np.float32), np.array([[0.0, 1.0], [2.0, 0.5]], np.float32)
    cell = filmstrip.cell(ENTRY | {"count": 3}, (mean, std), signed=True)
    assert pixels(cell.shown["mean"].picture) == [[128, 192], [1, 160]]
    assert (cell.shown["mean"].low, cell.shown["mean"].high) == ("−4", "4")
    assert pixels(cell.shown["std"].picture) == [[0, 128], [255, 64]]  # a spread has no sign
    assert (cell.shown["std"].low, cell.shown["std"].high) == ("0", "2")
    assert (cell.shown["sure"].picture, cell.shown["sure"].note) == ("", "too few images: 8 are needed")


def test_what_is_not_significant_is_transparent() -> None:
    mean, std = np.array([[0.0, 1.0, 0.0], [-1.0, 0.01, 0.0], [0.0] * 3], np.float32), np.full((3, 3), 0.5, np.float32)
    sure = filmstrip.cell(ENTRY | {"count": 50}, (mean, std), signed=True).shown["sure"]
    with opened(sure.picture) as image:
        assert np.asarray(image)[..., 3].tolist() == [[0, 255, 0], [255, 0, 0], [0, 0, 0]]
    assert pixels(sure.picture) == [[0, 255, 0], [1, 0, 0], [0, 0, 0]]
    assert sure.note.replace("\u202f", " ") == "22 % of the cells"
    nothing = filmstrip.cell(ENTRY | {"count": 50}, (0 * mean, std), signed=True).shown["sure"]
    assert nothing.note == "no cell"


def test_a_weak_cell_that_is_significant_is_not_taken_for_a_blank() -> None:
    values = np.array([[0.0, 1.0, 1000.0]], np.float32)
    shown = filmstrip.scaled(values, signed=False, where=np.array([[False, True, True]]))
    assert pixels(shown.picture) == [[0, 1, 255]]  # 1 of 1000 would be level 0


def test_fine_maps_are_averaged_over_areas() -> None:
    values = np.zeros((128, 64), np.float32)
    values[:2, :2] = 4.0
    values[2, 0] = 4.0
    small = filmstrip.small(values, 64)
    assert small.shape == (64, 32)
    assert (small[0, 0], small[1, 0], small[0, 1]) == (4.0, 1.0, 0.0)
    assert small.mean() == pytest.approx(values.mean())


def test_the_rectangle_of_the_cells(make_run: Callable[..., Path]) -> None:
    layers = [("inner", 10, 32.0, 112.0, 220.0, 2), ("outer", 33, 16.0, 0.0, 40.0, 2)]
    path = make_run(layers=layers)
    with MapFile(path / "maps.h5") as maps:
        # From 112 − 16 = 96 to 112 + 9 · 32 + 16 = 416 of 512 pixels.
        assert maps.box("inner", "hirescam") == (0.1875,) * 4
        # From −8 to 520: half a cell beyond the picture on each side.
        assert maps.box("outer", "hirescam") == (-0.015625,) * 4
    text = reports.render(path).read_text(encoding="utf-8")
    assert ".area-0 { --t: 18.75%; --r: 18.75%; --b: 18.75%; --l: 18.75%; }" in text
    assert ".area-1 { --t: -1.56%; --r: -1.56%; --b: -1.56%; --l: -1.56%; }" in text


def test_three_pictures_per_cell_one_of_them_shown(make_run: Callable[..., Path]) -> None:
    text = reports.render(make_run(images=60, layers=LAYERS[1:])).read_text(encoding="utf-8")
    page = Tags(text.split('<section id="look"')[1].split("</section>")[0])
    maps = [a for tag, a in page.tags if tag == "img"]
    assert [a["data-what"] for a in maps[:3]] == ["mean", "std", "sure"]
    assert all(("hidden" in a) == (a["data-what"] != "mean") for a in maps)
    assert all("seq" in a["class"] for a in maps if a["data-what"] == "std")
    figures = [a["data-figure"] for _, a in page.tags if "data-figure" in a]
    assert len(figures) == len(set(figures)) and "conv2d_2-hirescam-fake" in figures
    choices = [a["value"] for tag, a in page.tags if tag == "input" and a.get("data-key") == "what"]
    assert choices == ["mean", "std", "sure"]
    assert [a["value"] for tag, a in page.tags if tag == "option"][-3:] == ["jet", "purple-orange", "blue-red"]


def test_the_pictures_stay_small(make_run: Callable[..., Path]) -> None:
    layers = [("a", 256, 2.0, 1.0, 2.0, 2), ("b", 122, 4.0, 10.0, 20.0, 2), ("c", 60, 8.0, 20.0, 36.0, 2), *LAYERS[1:]]
    run = read(make_run(images=60, layers=layers))
    with MapFile(run.directory / "maps.h5") as maps:
        means = filmstrip.means(run, maps)
        cells = filmstrip.cells(run, maps, means, filmstrip.signed(run, means))
    assert len(cells) == 7 * len(layers) * len(METHODS)
    assert sum(len(one.picture) for cell in cells.values() for one in cell.shown.values()) < 400_000


def test_a_missing_spread_is_named(make_run: Callable[..., Path]) -> None:
    path = make_run()
    with h5py.File(path / "maps.h5", "a") as file:
        del file["std/fake/conv2d/hirescam"]
    with pytest.raises(RunError, match=re.escape("lacks '/std/fake/conv2d/hirescam'")):
        reports.render(path)


def test_signed_means_without_the_empty_maps_are_not_tested() -> None:
    """To leave out the maps without a positive value is to choose by what is tested."""
    mean, std = np.full((4, 4), 5.0, np.float32), np.ones((4, 4), np.float32)
    cell = filmstrip.cell(ENTRY | {"count": 50, "empty": 10}, (mean, std), signed=True)
    assert (cell.shown["sure"].picture, cell.shown["sure"].note) == ("", "not tested: empty maps are left out")
    assert filmstrip.cell(ENTRY | {"count": 50, "empty": 1}, (mean, std), signed=True).shown["sure"].picture
    tiny = filmstrip.cell(ENTRY | {"count": 50}, (mean[:2, :2], std[:2, :2]), signed=True)
    assert tiny.shown["sure"].note == "not tested: too few cells"
