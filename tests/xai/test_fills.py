"""What stands in for hidden pixels."""

import cv2
import numpy as np
import pytest

from xai.errors import WhyfakeError
from xai.maps.fills import blurred, fill, fills_of, veil


def test_hand_computed_fills():
    image = np.zeros((2, 2, 3), np.float32)
    image[0, 0] = 4, 8, 12
    assert fill(image, "mean").tolist() == [[[1, 2, 3]] * 2] * 2
    assert fill(image, "black").tolist() == [[[0, 0, 0]] * 2] * 2
    assert fill(image, "black", low=-1).tolist() == [[[-1, -1, -1]] * 2] * 2
    assert fill(image, np.array([7, 8, 9])).tolist() == [[[7, 8, 9]] * 2] * 2
    assert np.array_equal(fill(image, image[::-1]), image[::-1])


@pytest.mark.parametrize("kind", ["mean", "black", "blur", np.float32(3)])
def test_a_fill_is_a_new_array(kind):
    image = np.random.default_rng(0).uniform(0, 255, (9, 7, 3)).astype(np.float32)
    before = image.copy()
    found = fill(image, kind)
    found += 1  # neither read-only nor the image
    assert found.shape == image.shape and found.dtype == np.float32 and found.flags["C_CONTIGUOUS"]
    assert np.array_equal(image, before)


@pytest.mark.parametrize("size", [(16, 16), (200, 320)])
def test_a_blur_keeps_a_flat_image_and_has_the_sigma_it_promises(size):
    assert np.allclose(blurred(np.full((*size, 3), 7, np.float32)), 7, atol=1e-4)
    image = np.zeros((*size, 3), np.float32)
    middle = size[1] // 2
    image[:, middle] = 1000
    row = blurred(image)[size[0] // 2, :, 0].astype(np.float64)
    places = np.arange(size[1]) - (row * np.arange(size[1])).sum() / row.sum()
    # areas averaged and enlarged again widen the large image's Gaussian by about 1 %
    assert np.sqrt((row * places**2).sum() / row.sum()) == pytest.approx(max(size) / 16, rel=0.05 if size[1] > 64 else 0.02)


def test_a_blur_on_a_smaller_image_is_the_blur_on_the_large_one():
    image = np.random.default_rng(0).uniform(0, 255, (256, 192, 3)).astype(np.float32)
    direct = cv2.GaussianBlur(image, (0, 0), 16, borderType=cv2.BORDER_REFLECT)
    assert np.abs(blurred(image) - direct).max() < 1  # of 255


def test_a_fill_for_each_image():
    images = np.zeros((2, 1, 1, 3), np.float32)
    assert [found[0, 0, 0] for found in fills_of(images, np.array([3.0, 5.0]).reshape(2, 1, 1, 1))] == [3, 5]
    assert [found[0, 0, 0] for found in fills_of(images, 4.0)] == [4, 4]


def test_a_veil_mixes():
    rng = np.random.default_rng(1)
    image, hidden = rng.uniform(-1, 1, (2, 5, 6, 3)).astype(np.float32)
    mask = rng.random((9, 9), np.float32)[2:7, 1:7]  # a part of a larger array, as RISE cuts it
    out = np.full_like(image, np.nan)
    for other in (hidden, np.zeros_like(hidden)):
        veil(image, other)(mask, out)
        assert np.allclose(out, mask[..., None] * image + (1 - mask[..., None]) * other, atol=1e-6)


def test_errors():
    image = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(WhyfakeError, match="fill 'grey' is not known; expected mean, black, blur or an array"):
        fill(image, "grey")
    with pytest.raises(WhyfakeError, match=r"a fill of shape \(5, 5, 3\) does not fit; expected one that broadcasts to \(4, 4, 3\)"):
        fill(image, np.zeros((5, 5, 3)))
    with pytest.raises(WhyfakeError, match="fills for 3 images; expected one for each of 2"):
        list(fills_of(np.zeros((2, 4, 4, 3), np.float32), np.zeros((3, 4, 4, 3))))
