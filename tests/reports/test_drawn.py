"""Stored maps on the canvas of the whole image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from reports.drawn import MapFile, canvas, draw
from xai.errors import RunError
from xai.maps.placement import Axis, Placement


def test_draw_keeps_outer_cells_at_their_value() -> None:
    # Two cells of stride 2 centred at pixels 3 and 5 of 8: they reach from 2 to 6.
    axis = Axis(stride=2.0, offset=3.0)
    drawn = draw(np.full((2, 2), 5.0, np.float32), Placement(axis, axis, (2, 2), (8, 8)), (8, 8))
    np.testing.assert_allclose(drawn.values[2:6, 2:6], 5.0, rtol=1e-6)
    assert (drawn.values[[0, 7]] == 0).all()
    assert (drawn.lowest, drawn.highest, drawn.empty) == (5.0, 5.0, False)


def test_a_map_without_a_positive_value_is_empty() -> None:
    axis = Axis(stride=2.0, offset=1.0)
    where = Placement(axis, axis, (2, 2), (4, 4))
    assert draw(np.array([[0.0, -1.0], [-2.0, 0.0]], np.float32), where, (4, 4)).empty


def test_canvas_keeps_the_shape_of_the_image() -> None:
    assert canvas((1024, 1024), 48) == (48, 48)
    assert canvas((100, 200), 48) == (24, 48)


def test_where_cells_lie(make_run: Callable[..., Path]) -> None:
    with MapFile(make_run() / "maps.h5") as maps:
        # conv2d_4: stride 32, offset 112, 10 cells: from 96 to 416 of 512 pixels.
        assert maps.box("conv2d_4", "hirescam") == (0.1875, 0.1875, 0.1875, 0.1875)
        assert maps.box("conv2d", "hirescam") == (0.0, 0.0, 0.0, 0.0)


def test_errors_name_what_is_missing(make_run: Callable[..., Path]) -> None:
    path = make_run() / "maps.h5"
    with MapFile(path) as maps:
        with pytest.raises(RunError, match=r"lacks '/maps/conv9/hirescam'"):
            maps.box("conv9", "hirescam")
        with pytest.raises(RunError, match=r"lacks '/small/conv9/hirescam'"):
            next(maps.small("conv9", "hirescam", 9))
        with pytest.raises(RunError, match=r"holds 6 images, but images.csv has 7 rows"):
            maps.check(7)
    with h5py.File(path, "a") as file:
        del file["maps/conv2d/hirescam"].attrs["stride"]
    with (
        MapFile(path) as maps,
        pytest.raises(RunError, match=r"conv2d/hirescam' lacks its placement"),
    ):
        maps.box("conv2d", "hirescam")
