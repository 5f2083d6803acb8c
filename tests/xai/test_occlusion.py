"""Occlusion against hand-computed numbers and its closed form on a linear function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.errors import WhyfakeError
from xai.maps.occlusion import occlusion, starts


def red(images):
    return images[..., 0].sum((1, 2))


def test_hand_computed_map():
    """Patches of 2 x 2 begin at columns 0, 1, 2 of the only row; hiding them costs 1 + 2, 2 + 4, 4 + 8 (twice)."""
    image = np.zeros((1, 2, 4, 3), np.float32)
    image[0, :, :, 0] = 1, 2, 4, 8
    found = occlusion(red, image, patch=2, fill="black").maps
    assert found.tolist() == [[[6.0, (6 + 12) / 2, (12 + 24) / 2, 24.0]] * 2]


def test_hidden_with_something_brighter_the_sign_turns():
    assert occlusion(red, np.ones((1, 4, 4, 3), np.float32), patch=2, fill=np.float32(3)).maps.tolist() == [[[-8.0] * 4] * 4]


def test_defaults_are_an_eighth_and_half_of_that():
    seen = []
    occlusion(lambda batch: seen.extend(batch[:, 0, 0, 0]) or red(batch), np.zeros((1, 32, 48, 3), np.float32))
    assert len(seen) == 1 + 15 * 23


@pytest.mark.parametrize(("patch", "stride"), [(3, 2), (4, 4), (5, 1)])
@pytest.mark.parametrize("fill", ["blur", "mean"])
def test_linear_function_closed_form(patch, stride, fill):
    """A patch's fall is the sum of w (x - fill) under it, and a pixel's value the mean over its patches."""
    from xai.maps.fills import fill as fill_of

    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (1, 11, 13, 3)).astype(np.float32)
    weights = rng.normal(size=(11, 13, 3))
    found = occlusion(lambda batch: (batch * weights).sum((1, 2, 3)) - 7, image, patch=patch, stride=stride, fill=fill).maps[0]
    parts = (weights * (image[0] - fill_of(image[0], fill))).sum(-1)
    for y, x in np.ndindex(11, 13):
        rows, columns = ([a for a in starts(n, patch, stride) if a <= at < a + patch] for n, at in ((11, y), (13, x)))
        falls = [parts[a : a + patch, b : b + patch].sum() for a in rows for b in columns]
        assert found[y, x] == pytest.approx(np.mean(falls), abs=1e-5)


@given(length=st.integers(1, 50), patch=st.integers(1, 50), stride=st.integers(1, 50))
def test_patches_cover_every_pixel_and_end_at_the_border(length, patch, stride):
    patch, stride = min(patch, length), min(stride, patch, length)
    found = starts(length, patch, stride)
    covered = {pixel for start in found for pixel in range(start, start + patch)}
    assert covered == set(range(length)) and len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 9}, "a patch of 9 pixels on images of 10 x 8; expected 1 to 8"),
        ({"patch": 0}, "a patch of 0 pixels"),
        ({"patch": 3, "stride": 4}, "a stride of 4 pixels for patches of 3; expected 1 to 3, so that every pixel is covered"),
    ],
)
def test_errors(options, message):
    with pytest.raises(WhyfakeError, match=message):
        occlusion(red, np.zeros((1, 8, 10, 3), np.float32), **options)
