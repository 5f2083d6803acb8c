"""Small copies of maps."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai import miniature
from xai.gather import Gathered


def test_areas_are_averaged():
    maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    values, scale = miniature.shrink(maps, 2)
    # means of the four quarters: 2.5, 4.5, 10.5, 12.5
    np.testing.assert_allclose(values[0] / miniature.STEPS * scale[0], [[2.5, 4.5], [10.5, 12.5]], atol=1e-3)
    assert scale.tolist() == [12.5]


def test_zeros_and_what_is_not_finite():
    values, scale = miniature.shrink(np.array([[[0.0, 0.0]], [[np.nan, 1.0]], [[np.inf, -np.inf]]], np.float32), 32)
    assert values.tolist() == [[[0, 0]], [[0, 32767]], [[0, 0]]] and scale.tolist() == [0, 1, 0]


def test_no_maps():
    values, scale = miniature.shrink(np.zeros((0, 50, 50), np.float32), 32)
    assert values.shape == (0, 32, 32) and scale.shape == (0,)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 96))
def test_shapes(height, width, most):
    small = miniature.shape((height, width), most)
    assert max(small) <= max(most, 1) and min(small) >= 1
    assert miniature.shrink(np.ones((2, height, width), np.float32), most)[0].shape == (2, *small)


def test_shards_are_joined_in_the_order_of_the_rows(tmp_path):
    pair = ("conv", "hirescam")
    for name, values in (("a", [1, 3]), ("b", [2])):
        with h5py.File(tmp_path / name, "w") as file:
            maps = [(np.array([value], np.int16).reshape(1, 1, 1), np.array([value], np.float32)) for value in values]
            miniature.write(file, [bytes([value] * value) for value in values], {pair: maps}, {pair: (1, 1)}, 8)
    order = np.array([(0, 0), (1, 0), (0, 1)])
    with h5py.File(tmp_path / "maps.h5", "w") as target, Gathered([tmp_path / "a", tmp_path / "b"], order) as gathered:
        miniature.join(gathered, [pair], target)
        assert [picture.tolist() for picture in target["images/picture"][:]] == [[1], [2, 2], [3, 3, 3]]
        assert target["small/conv/hirescam"][:, 0, 0].tolist() == [1, 2, 3] == pytest.approx(target["scale/conv/hirescam"][:].tolist())
