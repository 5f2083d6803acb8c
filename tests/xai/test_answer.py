"""What all methods that only ask a function have in common, and how the function is asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, ask, checked, sweep
from xai.maps.occlusion import occlusion
from xai.maps.placement import Axis, Placement
from xai.maps.rise import rise
from xai.maps.scorecam import scorecam
from xai.maps.sobol import sobol
from xai.maps.surrogate import kernel_shap, lime

SIZE = (12, 16)
CELLS = Placement(Axis(4, 3, 5), Axis(4, 2, 5), (3, 4), SIZE)


def cells_of(images):
    """Return a made-up layer of 5 channels, the last one dead: means over 4 x 4 blocks, some negative."""
    blocks = images.reshape(len(images), 3, 4, 4, 4, 3).mean((2, 4))
    return np.concatenate([blocks, -(blocks[..., :1] ** 2) / 300, np.zeros_like(blocks[..., :1])], -1)


METHODS = {
    "occlusion": lambda f, x, **more: occlusion(f, x, patch=5, stride=3, **({"fill": "mean"} | more)),
    "rise": lambda f, x, **more: rise(f, x, masks=40, grid=3, **more),
    "lime": lambda f, x, **more: lime(f, x, samples=40, segments="grid", count=12, **more),
    "kernel_shap": lambda f, x, **more: kernel_shap(f, x, samples=50, segments="grid", count=12, **more),
    "kernel_shap exact": lambda f, x, **more: kernel_shap(f, x, samples=64, segments="grid", count=6, **more),
    "sobol": lambda f, x, **more: sobol(f, x, samples=8, grid=2, **more),
    "scorecam": lambda f, x, **more: scorecam(f, x, cells_of(x), CELLS, **more),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
DRAWN = ("rise", "lime", "kernel_shap", "sobol")


def weigh(images):
    """A function with edges and interactions whose answers are whole numbers: nothing is lost when one is added."""
    weights = np.linspace(-3, 3, SIZE[0] * SIZE[1] * 3).reshape(*SIZE, 3)
    left, right = images[:, :, :8].astype(np.float64), images[:, :, 8:].astype(np.float64)
    found = (images * weights).sum((1, 2, 3)) + np.abs(left.mean((1, 2, 3)) - 60) * right.mean((1, 2, 3))
    return np.rint(found).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).uniform(0, 255, (3, *SIZE, 3)).astype(np.float32)


def close(a: Answer, b: Answer) -> bool:
    pairs = [(a.maps, b.maps), *((a.extras[name], b.extras[name]) for name in a.extras)]
    return a.extras.keys() == b.extras.keys() and all(np.allclose(x, y, rtol=1e-5, atol=1e-5 * np.abs(y).max(initial=1)) for x, y in pairs)


@every_method
def test_shapes_and_types(method, images):
    answer = method(weigh, images)
    size = CELLS.cells if answer.extras.keys() == {"skipped_channels"} else SIZE
    assert answer.maps.shape == (3, *size) and answer.maps.dtype == np.float32
    assert answer.maps.any((1, 2)).all()
    assert all(values.shape in ((3,), (3, *SIZE)) for values in answer.extras.values())


@every_method
def test_batch_equals_singles(method, images):
    whole = method(weigh, images)
    for index in range(len(images)):
        single = method(weigh, images[index : index + 1])
        part = Answer(whole.maps[index : index + 1], {name: values[index : index + 1] for name, values in whole.extras.items()})
        assert close(single, part)


@every_method
def test_the_batch_size_changes_speed_only_and_bounds_what_is_asked_at_once(method, images):
    sizes = []

    def listen(batch):
        sizes.append(len(batch))
        return weigh(batch)

    assert close(method(listen, images, batch_size=7), method(weigh, images, batch_size=1000))
    assert max(sizes) <= 7 and sum(sizes) > 7


@every_method
def test_a_constant_on_the_logit_changes_nothing(method, images):
    assert close(method(lambda batch: weigh(batch) + 4096, images), method(weigh, images))


@every_method
def test_minus_the_logit_gives_minus_the_map(method, images):
    answer, opposite = method(weigh, images), method(lambda batch: -weigh(batch), images)
    sign = 1 if "variance" in answer.extras else -1  # a share of the variance has no sign
    assert np.array_equal(opposite.maps, sign * answer.maps)
    assert all(np.array_equal(opposite.extras[name], values) for name, values in answer.extras.items())


@every_method
def test_a_dead_detector_gives_empty_maps(method, images):
    answer = method(lambda batch: np.full(len(batch), 5, np.float32), images)
    assert not answer.maps.any()
    assert not answer.extras.get("standard_error", np.zeros(1)).any()


@every_method
def test_no_image_gives_no_map(method, images):
    answer = method(weigh, images[:0])
    assert answer.maps.shape[0] == 0 and all(len(values) == 0 for values in answer.extras.values())


@every_method
def test_images_are_read_only(method, images):
    images = images.copy()
    images.setflags(write=False)
    method(weigh, images)


@pytest.mark.parametrize("name", DRAWN)
def test_the_seed_decides(name, images):
    method = METHODS[name]
    assert np.array_equal(method(weigh, images, seed=3).maps, method(weigh, images, seed=3).maps)
    assert not np.array_equal(method(weigh, images, seed=3).maps, method(weigh, images, seed=4).maps)


@given(count=st.integers(1, 9), batch_size=st.integers(1, 12))
def test_a_sweep_asks_about_every_image_once(count, batch_size):
    found = sweep(lambda batch: 2 * batch[:, 1, 0, 2], (2, 1), count, lambda index, out: out.fill(index), batch_size)
    assert found.tolist() == [2.0 * index for index in range(count)]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (np.zeros((2, 1)), r"answers 2 images with shape \(2, 1\); expected \(2,\), a logit per image"),
        (np.array([0, np.nan]), "NaN or infinity on some image; expected finite logits"),
    ],
)
def test_wrong_answers(answers, message):
    with pytest.raises(WhyfakeError, match=message):
        ask(lambda batch: answers, np.zeros((2, 4, 4, 3), np.float32))


@every_method
def test_errors(method, images):
    with pytest.raises(WhyfakeError, match="a batch size of 0; expected 1 or more"):
        method(weigh, images, batch_size=0)
    with pytest.raises(WhyfakeError, match="fill 'grey' is not known; expected mean, black, blur or an array"):
        method(weigh, images, fill="grey")


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 4, 4, 1), (1, 0, 4, 3)])
def test_images_of_another_shape(shape):
    with pytest.raises(WhyfakeError, match=r"cannot be explained; expected \(N, height, width, 3\)"):
        checked(np.zeros(shape))
