"""Score-CAM against hand-computed numbers, a closed form and a plain loop."""

import numpy as np
import pytest

from xai.errors import WhyfakeError
from xai.maps.placement import Axis, Placement, stretched
from xai.maps.scorecam import scorecam

CELLS = Placement(Axis(4, 6, 9), Axis(4, 5, 9), (3, 4), (20, 24))  # an unpadded layer: cells end before the border


def total(images):
    return images.sum((1, 2, 3))


def test_hand_computed_map():
    """Scaled, channel 0 lights the left pixel (red 5) and channel 1 the right one (red -1).

    Cells as wide as pixels show 6/7 of themselves and 1/7 of their neighbour, so the weights
    are (5 x 6 - 1) / 7 = 29/7 and (5 - 6) / 7 = -1/7.
    """
    image = np.zeros((1, 1, 2, 3), np.float32)
    image[0, 0, :, 0] = 5, -1
    layer = np.array([[[[2, 3], [0, 4]]]], np.float32)
    answer = scorecam(total, image, layer, stretched((1, 2), (1, 2)))
    assert np.allclose(answer.maps, [[[(2 * 29 - 3 * 1) / 7, (0 * 29 - 4 * 1) / 7]]])
    assert answer.extras["skipped_channels"].tolist() == [0]


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 20, 24, 3)).astype(np.float32)
    layer = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
    layer[1, ..., 2] = 7  # dead on the second image only
    return images, layer


def bent(images):
    return np.tanh(images[:, :9].mean((1, 2, 3)) / 100) * images[:, :, 11:].mean((1, 2, 3))


@pytest.mark.parametrize(("fill", "low"), [("black", 0.0), ("black", -1.0), ("blur", 0.0)])
def test_plain_loop(made, fill, low):
    from xai.maps.fills import fill as fill_of

    images, layer = made
    answer = scorecam(bent, images, layer, CELLS, fill=fill, low=low, batch_size=4)
    for index, image in enumerate(images):
        hidden = fill_of(image, fill, low)
        expected = np.zeros((3, 4))
        for channel in range(6):
            values = layer[index, ..., channel]
            if values.max() > values.min():
                mask = CELLS.show((values - values.min()) / (values.max() - values.min()))[..., None]
                expected += (bent((hidden + mask * (image - hidden))[None]) - bent(hidden[None])) * values
        assert np.allclose(answer.maps[index], expected, rtol=1e-4, atol=1e-4)
    assert answer.extras["skipped_channels"].tolist() == [0, 1]


def test_linear_function_closed_form(made):
    """A channel's weight is the sum of w x under its mask: linear in the mask, whatever is added to the logit."""
    images, layer = made
    weights = np.random.default_rng(1).normal(size=(20, 24, 3)) / 1000
    answer = scorecam(lambda x: (x * weights).sum((1, 2, 3)) + 9, images[:1], layer[:1], CELLS)
    evidence = (images[0] * weights).sum(-1)
    scaled = (layer[0] - layer[0].min((0, 1))) / np.ptp(layer[0], (0, 1))
    pulls = np.array([(CELLS.show(scaled[..., channel]) * evidence).sum() for channel in range(6)])
    assert np.allclose(answer.maps[0], layer[0] @ pulls, atol=1e-4)


def test_what_lies_beyond_the_cells_is_hidden_in_every_mask(made):
    images, layer = made
    seen = []
    scorecam(lambda x: seen.append(x.copy()) or total(x), images[:1], layer[:1], CELLS)
    covered = CELLS.reach((20, 24))
    assert not covered.all()
    assert not seen[0][:, ~covered].any() and seen[0][:, covered].any()


def test_a_channel_that_speaks_for_real_is_subtracted():
    """With a softmax over channels it would be added."""
    image = np.zeros((1, 1, 2, 3), np.float32)
    image[0, 0, :, 0] = 3, -3
    layer = np.array([[[[1, 0], [0, 1]]]], np.float32)
    assert np.allclose(scorecam(total, image, layer, stretched((1, 2), (1, 2))).maps, [[[15 / 7, -15 / 7]]])


def test_a_layer_of_dead_channels_gives_an_empty_map(made):
    images, layer = made
    answer = scorecam(bent, images, np.ones_like(layer), CELLS)
    assert not answer.maps.any() and answer.extras["skipped_channels"].tolist() == [6, 6]


def test_errors(made):
    images, layer = made
    with pytest.raises(WhyfakeError, match=r"activations of shape \(1, 3, 4, 6\) do not fit; expected \(2, 3, 4, channels\)"):
        scorecam(bent, images, layer[:1], CELLS)
    with pytest.raises(WhyfakeError, match=r"activations of shape \(2, 4, 3, 6\) do not fit"):
        scorecam(bent, images, layer.transpose(0, 2, 1, 3), CELLS)
    with pytest.raises(WhyfakeError, match=r"the placement is on images of \(20, 24\) pixels; expected \(10, 24\)"):
        scorecam(bent, images[:, :10], layer, CELLS)
