"""Segments: labels without gaps that follow the image or the caller."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.errors import WhyfakeError
from xai.maps.segments import segments, segments_of


def test_hand_computed_grid():
    assert segments(np.zeros((3, 4, 3)), "grid", 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]


@given(height=st.integers(1, 40), width=st.integers(1, 40), count=st.integers(1, 60))
def test_a_grid_has_no_gaps_and_nearly_equal_cells(height, width, count):
    labels = segments(np.zeros((height, width, 3)), "grid", count)
    sizes = np.bincount(labels.ravel())
    assert labels.shape == (height, width) and labels.dtype == np.int32
    assert sizes.min() > 0 and len(sizes) <= max(count + 8, 2 * count)


def test_the_default_grid_of_a_square_is_seven_by_seven():
    assert np.bincount(segments(np.zeros((1024, 1024, 3), np.float32), "grid").ravel()).size == 49


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_slic_follows_colours_in_any_range(scale):
    image = np.zeros((24, 24, 3), np.float32)
    image[:, 10:] = scale
    labels = segments(image - scale / 2, "slic", 8)
    assert labels.dtype == np.int32 and np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert not set(labels[:, :10].ravel()) & set(labels[:, 10:].ravel())


def test_labels_of_the_caller_lose_their_gaps_only():
    labels = np.array([[40, 2], [2, 7]], np.uint8)
    assert segments(np.zeros((2, 2, 3)), labels).tolist() == [[2, 0], [0, 1]]
    each = segments_of(np.zeros((2, 2, 2, 3)), np.stack([labels, np.zeros_like(labels)]))
    assert [found.max() for found in each] == [2, 0]


def test_errors(monkeypatch):
    image = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(WhyfakeError, match="segments 'slick' are not known; expected grid, slic, mesh, template or an array of labels"):
        segments(image, "slick")
    with pytest.raises(WhyfakeError, match="0 segments; expected 1 or more"):
        segments(image, "grid", 0)
    with pytest.raises(WhyfakeError, match=r"type float64 do not fit; expected integers of shape \(4, 4\)"):
        segments(image, np.zeros((4, 4)))
    with pytest.raises(WhyfakeError, match=r"labels of shape \(2, 4\)"):
        segments(image, np.zeros((2, 4), int))
    with pytest.raises(WhyfakeError, match="labels for 3 images; expected them for each of 2"):
        list(segments_of(np.zeros((2, 4, 4, 3), np.float32), np.zeros((3, 4, 4), int)))
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(WhyfakeError, match="SLIC needs scikit-image, which is not installed"):
        segments(image, "slic")
