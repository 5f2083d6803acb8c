"""Maps as grey pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from reports import charts
from xai.errors import RunError


def test_unsigned_maps_run_from_black_to_their_maximum() -> None:
    pixels, scale = charts.grey(np.array([[0.0, 1.0], [-3.0, 4.0]]), signed=False)
    assert scale == 4.0
    assert pixels.tolist() == [[0, 64], [0, 255]]


def test_signed_maps_have_zero_at_128() -> None:
    pixels, scale = charts.grey(np.array([[0.0, 1.0], [-4.0, 2.0]]), signed=True)
    assert scale == 4.0
    assert pixels.tolist() == [[128, 160], [1, 192]]


@pytest.mark.parametrize(("signed", "level"), [(True, 128), (False, 0)])
def test_a_blank_map_is_zero_everywhere(signed: bool, level: int) -> None:
    pixels, scale = charts.grey(np.zeros((2, 3), np.float32), signed)
    assert scale == 0.0
    assert (pixels == level).all()


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e3, 1e3, width=32)))
def test_signed_grey_is_antisymmetric(values: np.ndarray) -> None:
    plus, scale = charts.grey(values, signed=True)
    minus, same = charts.grey(-values, signed=True)
    assert scale == same
    np.testing.assert_array_equal(plus.astype(int) - 128, 128 - minus.astype(int))


def test_every_level_is_kept() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with Image.open(io.BytesIO(charts.lossless(pixels))) as image:
        assert image.format == "WEBP"
        np.testing.assert_array_equal(np.asarray(image.convert("L")), pixels)
    with Image.open(io.BytesIO(charts.lossless(pixels, transparent=True))) as image:
        alpha = np.asarray(image)[..., 3]
    assert alpha[0, 0] == 0 and alpha.ravel()[1:].min() == 255


def test_a_diverging_colour_map_is_palest_in_its_middle() -> None:
    for palette in charts.palettes():
        alpha = [float(value) for value in str(palette["alpha"]).split()]
        assert len(alpha) == charts.STOPS
        assert alpha.index(min(alpha)) == (charts.STOPS // 2 if palette["signed"] else 0)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"3\.jpg in .* cannot be read as an image"):
        charts.opened(tmp_path / "3.jpg")
