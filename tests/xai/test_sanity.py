"""Sanity of maps: baselines, stability and the whole check, by hand and on a small trained network."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import tiny_model
from xai import wrap
from xai.blackboxes import blackbox
from xai.errors import DataError, WhyfakeError
from xai.maps.mapped import compute
from xai.maps.placement import Axis, Placement, pixels
from xai.preprocess import Preprocessing
from xai.regions.null import middle
from xai.trust.baselines import baselines, sobel
from xai.trust.sanity import SIMILAR_FIELDS, STABLE_FIELDS, looks, sanity, unchanged
from xai.trust.stability import stability, uniform

# Baselines


def test_edges_by_hand():
    """A step of 2 in green, 1.174 in luminance: four times that on both sides of it; the 2 x 2 cells average pixels under their tents."""
    images = np.zeros((2, 4, 4, 3), np.float32)
    images[0, :, 2:, 1] = 2
    cells = Placement(Axis(2, 1), Axis(2, 1), (2, 2), (4, 4))
    found = baselines(images, Preprocessing(4, 4), {"input": pixels((4, 4)), "conv": cells})
    line = np.array([0, 1, 1, 0]) * 4 * 0.587 * 2
    assert np.allclose(found["input"]["edges"], [[line] * 4, np.zeros((4, 4))], rtol=1e-6)
    assert np.allclose(found["input"]["mean face"], [[line / 2] * 4] * 2, rtol=1e-6)
    assert np.array_equal(found["input"]["centre"], [middle(4, 4)] * 2)
    # a cell's tent weighs the four pixels 0.75, 0.75, 0.25 and 0
    assert np.allclose(found["conv"]["edges"][0], (0.75 + 0.25) / 1.75 * line[1], rtol=1e-6)


def test_edges_do_not_depend_on_the_order_of_colours():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    rgb, bgr = (baselines(x, Preprocessing(8, 8, order), {"input": pixels((8, 8))}) for x, order in ((images, "RGB"), (images[..., ::-1], "BGR")))
    assert all(np.allclose(rgb["input"][name], bgr["input"][name], rtol=1e-4, atol=1e-3) for name in rgb["input"])


def test_sobel_equals_skimage():
    from skimage.filters import sobel as theirs

    image = np.random.default_rng(0).random((9, 8), np.float32)
    assert np.allclose(sobel(image)[1:-1, 1:-1], theirs(image)[1:-1, 1:-1] * 4 * np.sqrt(2), rtol=1e-4)


def test_a_cell_beyond_the_image_is_zero():
    far = Placement(Axis(4, 20), Axis(4, 2), (2, 2), (8, 8))
    assert not baselines(np.ones((1, 8, 8, 3), np.float32), Preprocessing(8, 8), {"far": far})["far"]["centre"].any()


# Stability


def naive(mapper, images, radius, draws, seed):
    """The published formulas as they are printed, image by image."""
    sensitivity, lipschitz = [], []
    for number, image in enumerate(images):
        base, most, steepest = mapper(image[None])[0], 0.0, 0.0
        for draw in range(draws):
            moved = image + uniform(image.shape, radius, [seed, draw, number])
            change = np.linalg.norm(mapper(moved[None])[0].astype(np.float64) - base)
            most = max(most, change / np.linalg.norm(base))
            steepest = max(steepest, change / np.linalg.norm((moved - image).astype(np.float64)))
        sensitivity.append(most)
        lipschitz.append(steepest)
    return sensitivity, lipschitz


def test_stability_equals_the_printed_formulas():
    images = np.random.default_rng(1).uniform(0, 1, (3, 6, 5, 3)).astype(np.float32)
    pair = ("input", "squares")
    maps, found = stability(lambda some: {pair: (some**2).sum(-1)}, images, 0.05, draws=4, seed=9)
    sensitivity, lipschitz = naive(lambda some: (some**2).sum(-1), images, 0.05, 4, 9)
    assert np.allclose(found[pair].sensitivity, sensitivity, rtol=1e-5) and np.allclose(found[pair].lipschitz, lipschitz, rtol=1e-5)
    assert not found[pair].difference.any() and np.allclose(found[pair].peak, maps[pair].max((1, 2)))
    _, alone = stability(lambda some: {pair: (some**2).sum(-1)}, images[1:2], 0.05, draws=4, seed=9, numbers=[1])
    assert np.array_equal(alone[pair].sensitivity, found[pair].sensitivity[1:2])


def test_a_map_that_copies_the_image_has_lipschitz_one_and_one_that_doubles_it_two():
    images = np.random.default_rng(2).random((2, 4, 4, 1), np.float32)
    _, found = stability(lambda some: {("a", "copy"): some[..., 0], ("a", "twice"): 2 * some[..., 0]}, images, 0.1, draws=3)
    assert np.allclose(found["a", "copy"].lipschitz, 1, rtol=1e-6) and np.allclose(found["a", "twice"].lipschitz, 2, rtol=1e-6)


def test_chance_and_empty_maps():
    """A map drawn anew differs from itself; an empty one has no length to measure a change by."""
    rng = np.random.default_rng(3)
    _, found = stability(
        lambda some: {("a", "dice"): rng.random((2, 3, 3)), ("a", "none"): np.zeros((2, 3, 3))}, np.ones((2, 4, 4, 3), np.float32), 1
    )
    assert (found["a", "dice"].difference > 0).all()
    assert np.isnan(found["a", "none"].sensitivity).all() and not found["a", "none"].lipschitz.any()


# The whole check


def network(*body, size=8):
    return keras.Sequential([keras.Input((size, size, 3)), *body, layers.Dense(1, activation="sigmoid", name="out")])


IMAGES = np.random.default_rng(4).uniform(0, 255, (5, 8, 8, 3)).astype(np.float32)
TARGETS = ["fake", "real", "fake", "real", "fake"]


def rows(found, **wanted):
    return [row for row in found.similar if all(row[key] == value for key, value in wanted.items())]


def test_a_linear_model_is_perfectly_stable():
    """The gradient of a linear model does not depend on the image: 0 to all orders; pixel x gradient moves with the pixel."""
    model = network(layers.Flatten())
    found = sanity(wrap(model), IMAGES, TARGETS, [], ["saliency", "gradient_x_input"])
    gradient, product = found.stable
    assert set(gradient) == set(product) == set(STABLE_FIELDS)
    assert [gradient[field] for field in ("sensitivity", "sensitivity_high", "lipschitz", "difference")] == [0, 0, 0, 0]
    assert gradient["images"] == 5 and 0 < product["sensitivity"] < 0.05 and product["lipschitz"] > 0


def test_rows_of_the_tiny_network(tiny):
    """Its two weighted layers give two stages; what lies above 'conv' is the first of them."""
    calls = []
    found = sanity(tiny, IMAGES, TARGETS, ["conv"], ["activation", "hirescam"], progress=calls.append)
    assert found.stages == ["out", "conv"] and found.untested == {}
    assert sum(calls) == 5 * looks(tiny, ["conv"]) == 5 * (2 + 8 + 2)
    assert all(set(row) == set(SIMILAR_FIELDS) for row in found.similar)
    for method in ("activation", "hirescam"):
        assert sorted((row["test"], row["against"], row["order"]) for row in rows(found, method=method)) == [
            ("baseline", "centre", 0), ("baseline", "edges", 0), ("baseline", "mean face", 0), ("baseline", "random twin", 2),
            ("randomised", "above", 1), ("randomised", "conv", 2), ("randomised", "out", 1),
        ]  # fmt: skip
    (same,) = rows(found, method="activation", against="above")
    assert [same[field] for field in ("images", "undefined", "rank", "rank_low", "rank_high", "ssim")] == [5, 0, 1, 1, 1, 1]
    (twin,), (last,) = rows(found, method="hirescam", against="random twin"), rows(found, method="hirescam", against="conv")
    assert twin | {"test": "", "against": ""} == last | {"test": "", "against": ""}


def test_numbers_are_those_of_the_maps(tiny):
    """The first stage again, by hand: scipy's rank correlation of the maps before and after."""
    from scipy.stats import spearmanr

    from xai.trust.randomise import cascade, randomised

    found = sanity(tiny, IMAGES, ["real"] * 5, ["conv"], ["hirescam"], seed=3)
    before = compute(tiny, IMAGES, ["conv"], ["hirescam"], target="real").maps["conv", "hirescam"]
    with randomised(cascade(tiny), 3) as randomise:
        randomise((0,))
        after = compute(tiny, IMAGES, ["conv"], ["hirescam"], target="real").maps["conv", "hirescam"]
    expected = np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(before, after, strict=True)])
    (row,) = rows(found, against="out")
    assert row["rank"] == pytest.approx(expected, abs=1e-12) and row["rank_low"] < row["rank"] < row["rank_high"]


def test_batches_change_nothing(tiny):
    one, all_ = (sanity(tiny, IMAGES, TARGETS, ["conv"], ["hirescam", "saliency"], batch_size=size) for size in (1, 32))
    for mine, theirs in zip(one.similar + one.stable, all_.similar + all_.stable, strict=True):
        assert list(mine) == list(theirs)
        for value, other in zip(mine.values(), theirs.values(), strict=True):
            assert value == (other if isinstance(other, str | None) else pytest.approx(other, rel=1e-4, abs=1e-5))


def test_nothing_is_compiled_twice_and_the_network_is_left_alone():
    model = tiny_model()
    detector, kept = wrap(model), [values.tobytes() for values in model.get_weights()]
    sanity(detector, IMAGES, TARGETS, ["conv"], ["hirescam"])
    assert [values.tobytes() for values in model.get_weights()] == kept
    assert all(function.experimental_get_tracing_count() == 1 for function in detector.compiled.values())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_check_leaves_the_weights(monkeypatch, error):
    def interrupted(*_):
        raise error

    model = tiny_model()
    kept = [values.tobytes() for values in model.get_weights()]
    monkeypatch.setattr("xai.trust.sanity.look", interrupted)
    with pytest.raises(error):
        sanity(wrap(model), IMAGES, TARGETS, ["conv"], ["hirescam"])
    assert [values.tobytes() for values in model.get_weights()] == kept


def test_maps_that_say_nothing_from_the_start_are_left_out():
    """The layer above has a kernel of zeros: HiResCAM is empty, before and after; nothing is said against it."""
    model = network(layers.Conv2D(1, 2, 2, name="conv"), layers.Conv2D(2, 1, activation="relu", name="gate"), layers.Flatten())
    model.get_layer("conv").set_weights([np.full((2, 2, 3, 1), 1e-3), np.zeros(1)])
    model.get_layer("gate").set_weights([np.zeros((1, 1, 1, 2)), np.float32([3, -1])])
    model.get_layer("out").set_weights([np.float32([[1], [0]] * 16), np.zeros(1)])
    found = sanity(wrap(model), IMAGES, TARGETS, ["conv"], ["activation", "hirescam"], seed=1)
    assert all(row["images"] == 0 and row["rank"] is None for row in rows(found, method="hirescam"))
    assert found.stable[1]["images"] == 0 and found.stable[1]["sensitivity"] is None and found.stable[1]["difference"] == 0
    assert not found.verdicts()["conv", "hirescam"] and found.verdicts()["conv", "activation"]


def test_undefined_ranks_are_counted(monkeypatch, tiny):
    monkeypatch.setattr("xai.trust.sanity.look", lambda *_: {("conv", "activation"): np.zeros((5, 4, 4), np.float32)})
    found = sanity(tiny, IMAGES, TARGETS, ["conv"], ["activation"])
    (row,) = rows(found, against="above")
    assert (row["images"], row["undefined"], row["rank"]) == (5, 5, None) and row["ssim"] < 0.1
    assert found.verdicts() == {("conv", "activation"): False}


def test_random_weights_that_overflow_are_told(monkeypatch, tiny):
    def broken(*_):
        raise WhyfakeError("the model answers with NaN")

    monkeypatch.setattr("xai.trust.sanity.look", broken)
    found = sanity(tiny, IMAGES, TARGETS, ["conv"], ["activation"])
    assert found.untested == {"randomised: out": "the model answers with NaN", "randomised: conv": "the model answers with NaN"}
    assert found.verdicts() == {} and found.stages == ["out", "conv"]


def test_the_verdict():
    def row(low, undefined=0):
        return {"rank_low": low, "images": 10, "undefined": undefined}

    assert unchanged(row(0.51), row(0.0)) and unchanged(row(0.0), row(0.51)) and unchanged(None, row(1.0))
    assert not unchanged(row(0.5), row(-1.0)) and not unchanged(row(0.9, 5), None) and not unchanged(None, None)
    assert not unchanged({"rank_low": None, "images": 1, "undefined": 0}, None)


def test_slow_methods_are_left_out_unless_asked_for(tiny):
    methods = ["activation", "occlusion:patch=4", "smoothgrad", "smoothgrad:samples=2", "integrated_gradients"]
    found = sanity(tiny, IMAGES, TARGETS, ["conv"], methods)
    assert sorted(found.untested) == ["integrated_gradients", "occlusion:patch=4", "smoothgrad"]
    assert "25 passes for one map" in found.untested["smoothgrad"]
    assert {row["method"] for row in found.stable} == {"activation", "smoothgrad:samples=2"}
    slow = sanity(tiny, IMAGES, TARGETS, ["conv"], ["occlusion:patch=4"], slow=True)
    assert slow.untested == {} and rows(slow, method="occlusion:patch=4", layer="input", against="above")
    assert sanity(tiny, IMAGES, TARGETS, ["conv"], ["occlusion"]).similar == []


def test_a_black_box_is_checked_as_far_as_it_goes():
    found = sanity(blackbox(lambda images: images[:, 2, 3, 0], 8), IMAGES, TARGETS, [], ["occlusion:patch=2"], slow=True)
    assert found.untested == dict.fromkeys(["randomised", "random twin"], "the weights of a black box cannot be changed")
    assert [row["against"] for row in found.similar] == ["edges", "centre", "mean face"] and found.stages == []
    assert found.stable[0]["difference"] == 0 and found.stable[0]["images"] == 5 and found.verdicts() == {}


def test_a_layer_without_weights_above_it():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 2, 2, name="body")(image)
    conv = layers.Conv2D(1, 1, name="conv")(layers.ReLU(name="relu")(x))
    model = keras.Model(image, layers.Activation("sigmoid")(layers.Flatten()(layers.GlobalAveragePooling2D(name="gap", keepdims=True)(conv))))
    found = sanity(wrap(model), IMAGES, TARGETS, ["conv", "body"], ["activation"])
    assert found.untested == {"above: conv": "no weights lie between the layer and the logit"}
    assert rows(found, layer="body", against="above") and not rows(found, layer="conv", against="above")


@pytest.mark.parametrize("targets", [["fake"] * 4, ["fake"] * 4 + ["both"]])
def test_targets_must_fit(tiny, targets):
    with pytest.raises(DataError, match=r"5 images and . targets; expected a target, fake or real, for each"):
        sanity(tiny, IMAGES, targets, ["conv"], ["activation"])


def test_a_copy_at_least_is_needed(tiny):
    with pytest.raises(WhyfakeError, match="0 noisy copies of an image; expected 1 or more"):
        sanity(tiny, IMAGES, TARGETS, ["conv"], ["activation"], draws=0)


# R10: randomised weights


@pytest.fixture(scope="module")
def trained():
    """A small network that has learnt to find a bright blob anywhere but in the top left quarter, and images of both kinds."""
    keras.utils.set_random_seed(6)
    rng = np.random.default_rng(6)
    images = rng.uniform(0, 1, (256, 24, 24, 3)).astype(np.float32)
    fake = np.arange(256) % 2 == 0
    for image, planted in zip(images, fake, strict=True):
        y, x = rng.integers(12, 20, 2) if planted else rng.integers(0, 8, 2)
        image[y : y + 4, x : x + 4] += 1
    model = network(
        layers.Conv2D(8, 3, activation="relu", name="a"), layers.MaxPooling2D(2), layers.Conv2D(12, 3, activation="relu", name="b"),
        layers.Flatten(), layers.Dense(16, activation="relu", name="dense"), size=24,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    model.fit(images, fake, batch_size=32, epochs=6, verbose=0)
    logits = wrap(model).logits(images)
    assert ((logits > 0) == fake).mean() > 0.95
    return wrap(model), images[:12], ["fake" if logit > 0 else "real" for logit in logits[:12]]


def test_r10_randomised_weights_give_other_maps(trained):
    """Over eight draws of the weights HiResCAM's rank correlation is near 0, and only the plain activation is flagged each time."""
    detector, images, targets = trained
    draws = [sanity(detector, images, targets, ["a", "b"], ["activation", "gradcam", "hirescam"], seed=seed, draws=1) for seed in range(8)]
    for layer in ("a", "b"):
        assert all(found.verdicts()[layer, "activation"] and not found.verdicts()[layer, "hirescam"] for found in draws)
        for against in ("above", "random twin"):
            ranks = [row["rank"] for found in draws for row in rows(found, layer=layer, method="hirescam", against=against)]
            assert len(ranks) == 8 and abs(np.mean(ranks)) < 0.25
    assert sum(found.verdicts()["b", "gradcam"] for found in draws) <= 1
    assert all(row["difference"] == 0 for found in draws for row in found.stable)
