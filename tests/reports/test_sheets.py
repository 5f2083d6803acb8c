"""Tiles on sheets, and where a page keeps them."""

import base64
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reports import sheets, shelf
from reports.sheets import Plan
from reports.shelf import Shelf
from xai.errors import RunError


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_tiles_lie_in_rows():
    plan = Plan.of(5, 2, 3, 4)
    assert list(plan.sheets()) == [(0, 4), (4, 5)] and plan.columns == 2
    tiles = np.arange(1, 5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    wanted = [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2
    assert plan.full(tiles).tolist() == wanted
    sheet = plan.blank(4)
    for slot, tile in enumerate(tiles):
        plan.place(sheet, slot, tile[..., None])
    assert sheet[..., 1].tolist() == wanted
    assert plan.full(tiles[:1]).shape == (2, 3) and plan.blank(1).shape == (2, 3, 3)  # the last sheet is no larger than it must be


def test_edges_are_repeated_so_that_neighbours_do_not_mix():
    plan = Plan.of(2, 1, 2, 2, border=1)
    assert plan.full(np.array([[[5, 9]], [[1, 2]]], np.uint8)).tolist() == [[5, 5, 9, 9, 1, 1, 2, 2]] * 3


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(1, 50))
def test_every_map_can_be_cut_out_again(count, height, width, per):
    values = np.random.default_rng(count).integers(0, 256, (count, height, width)).astype(np.uint8)
    record = sheets.maps("map", values, per, Shelf())
    drawn = [decoded(base64.b64decode(address.split(",")[1]))[..., 0] for address in record["sheets"]]
    border = record["border"]
    for index in range(count):
        number, slot = divmod(index, record["per"])
        row, column = divmod(slot, record["columns"])
        y, x = row * (height + 2 * border) + border, column * (width + 2 * border) + border
        assert (drawn[number][y : y + height, x : x + width] == values[index]).all()


def test_layouts():
    assert shelf.single("auto", 60) and not shelf.single("auto", 61)


def test_a_page_of_one_file_has_nothing_beside_it():
    assert Shelf().picture("sheets/a.png", b"abc") == "data:image/png;base64,YWJj"
    with pytest.raises(AssertionError, match="nothing beside"):
        Shelf().write("a", b"")


def test_files_beside_the_page(tmp_path):
    assert Shelf(tmp_path).picture("sheets/a.webp", b"abc") == "sheets/a.webp"
    assert (tmp_path / "sheets" / "a.webp").read_bytes() == b"abc"


def made(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "images.js").write_text("new")


def test_a_folder_takes_the_place_of_an_older_one(tmp_path):
    (tmp_path / ".report-left").mkdir()
    os.utime(tmp_path / ".report-left", (0, 0))
    for text in ("old", "new"):
        with shelf.replacing(tmp_path) as folder:
            made(folder)
            (folder / text).touch()
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["data", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_the_older_one_stays_when_something_fails(tmp_path):
    with shelf.replacing(tmp_path) as folder:
        made(folder)
    with pytest.raises(RuntimeError), shelf.replacing(tmp_path) as folder:
        raise RuntimeError
    assert (tmp_path / "report" / "data" / "images.js").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_of_that_name_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").touch()
    shelf.discard(tmp_path)
    with pytest.raises(RunError, match="is no page of whyfake's"), shelf.replacing(tmp_path):
        pytest.fail("nothing is done before")
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["thesis.tex"]


def test_a_folder_that_another_took_away_is_not_made_again(tmp_path):
    with shelf.replacing(tmp_path) as folder:
        made(folder)
    with pytest.raises(RunError, match="wait for the other run"), shelf.replacing(tmp_path) as folder:
        shutil.rmtree(folder)
        Shelf(folder).write("sheets/a.webp", b"abc")
    assert (tmp_path / "report" / "data" / "images.js").is_file() and [path.name for path in tmp_path.iterdir()] == ["report"]


def test_two_at_once(tmp_path):
    with shelf.replacing(tmp_path) as one:
        made(one)
        with shelf.replacing(tmp_path) as other:
            made(other)
        (one / "one").touch()
    assert (tmp_path / "report" / "one").is_file() and [path.name for path in tmp_path.iterdir()] == ["report"]
