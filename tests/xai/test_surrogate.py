"""LIME and Kernel SHAP against hand-computed numbers, closed forms and Shapley values by their definition."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from xai.errors import WhyfakeError
from xai.maps.fills import fill as fill_of
from xai.maps.surrogate import every, kernel_shap, lime

LABELS = np.repeat(np.repeat(np.arange(8).reshape(2, 4), 2, 0), 2, 1)  # 4 x 8 pixels, eight segments of 2 x 2
SEGMENTS = [label == LABELS for label in range(8)]


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(0, 1, (1, 4, 8, 3)).astype(np.float32)


def first(labels, values):
    """Return the value painted on each segment, and check that it is one."""
    found = [np.unique(values[labels == label]) for label in range(labels.max() + 1)]
    assert all(len(value) == 1 for value in found)
    return np.array([float(value[0]) for value in found])


def curved(images):
    """Neighbouring segments work together, and the whole bends."""
    means = np.stack([images[:, where].mean((1, 2)) for where in SEGMENTS], 1).astype(np.float64)
    return 8 * (means[:, :-1] * means[:, 1:]).sum(1) + 3 * np.sin(4 * means[:, 0]) - 2 * means.max(1)


def linear(images):
    return (images * np.linspace(-1, 1, 96).reshape(4, 8, 3)).sum((1, 2, 3)) + 3


def linear_truth(image, labels, kind):
    parts = (np.linspace(-1, 1, 96).reshape(4, 8, 3) * (image[0] - fill_of(image[0], kind))).sum(-1)
    return np.bincount(labels.ravel(), parts.ravel())


def test_hand_computed_shapley_values():
    """Pixels 1, 2, 3 on black, the game x0 x1 + x2: the product 2 is shared by the first two, x2 stands alone."""
    image = np.zeros((1, 1, 3, 3), np.float32)
    image[0, 0, :, 0] = 1, 2, 3
    answer = kernel_shap(lambda x: x[:, 0, 0, 0] * x[:, 0, 1, 0] + x[:, 0, 2, 0], image, segments=np.array([[0, 1, 2]]), fill="black")
    assert np.allclose(answer.maps, [[[1, 1, 3]]], atol=1e-6)
    assert not answer.extras["standard_error"].any()


def test_hand_computed_lime_without_a_kernel():
    """With all weights equal and all four coalitions equally often, x0 x1 = 6 has slopes 3 and 3 and R² 2/3."""
    image = np.zeros((1, 1, 2, 3), np.float32)
    image[0, 0, :, 0] = 2, 3
    answer = lime(
        lambda x: x[:, 0, 0, 0] * x[:, 0, 1, 0],
        image,
        samples=20000,
        segments=np.array([[0, 1]]),
        fill="black",
        kernel_width=1e6,
        ridge=0,
        batch_size=4000,
    )
    assert np.allclose(answer.maps, 3, atol=0.1)
    assert answer.extras["r2"] == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize("kind", ["blur", "mean"])
@pytest.mark.parametrize("samples", [256, 100])
def test_linear_function_kernel_shap_is_exact(image, kind, samples):
    """Weight times difference, also where the coalitions are drawn."""
    answer = kernel_shap(linear, image, samples=samples, segments=LABELS, fill=kind)
    assert np.allclose(first(LABELS, answer.maps[0]), linear_truth(image, LABELS, kind), atol=1e-5)
    assert np.abs(answer.extras["standard_error"]).max() < 1e-5


def test_linear_function_lime_recovers_it_as_ridge_vanishes(image):
    truth = linear_truth(image, LABELS, "blur")
    apart = [np.abs(first(LABELS, lime(linear, image, segments=LABELS, ridge=ridge).maps[0]) - truth).max() for ridge in (10, 1, 0.01, 0)]
    assert apart == sorted(apart, reverse=True) and apart[-1] < 1e-5
    assert lime(linear, image, segments=LABELS, ridge=0).extras["r2"] == pytest.approx(1, abs=1e-6)


def shapley(function, image, labels, hidden):
    """Return each segment's mean effect over all orders of being shown: the definition."""
    parts = labels.max() + 1
    values = np.zeros(parts)
    for order in permutations(range(parts)):
        picture = hidden.copy()
        before = function(picture[None])[0]
        for part in order:
            picture[labels == part] = image[labels == part]
            after = function(picture[None])[0]
            values[part] += (after - before) / factorial(parts)
            before = after
    return values


@pytest.mark.parametrize("parts", [4, 5])
def test_kernel_shap_equals_the_definition(image, parts):
    labels = np.minimum(LABELS, parts - 1)
    answer = kernel_shap(curved, image, samples=2**parts, segments=labels, fill="mean")
    assert np.allclose(first(labels, answer.maps[0]), shapley(curved, image[0], labels, fill_of(image[0], "mean")), atol=1e-5)


@pytest.mark.parametrize("samples", [40, 101, 256])
def test_shapley_values_sum_to_the_whole_effect(image, samples):
    answer = kernel_shap(curved, image, samples=samples, segments=LABELS, fill="mean")
    whole = curved(image)[0] - curved(fill_of(image[0], "mean")[None])[0]
    assert first(LABELS, answer.maps[0]).sum() == pytest.approx(whole, abs=1e-5)
    assert answer.extras["completeness_error"][0] < 1e-5


def test_one_segment_has_the_whole_effect(image):
    answer = kernel_shap(curved, image, segments=np.zeros((4, 8), int), fill="mean")
    assert np.allclose(answer.maps, curved(image) - curved(fill_of(image[0], "mean")[None]), atol=1e-5)


def test_no_more_images_are_asked_about_than_allowed(image):
    for samples in (256, 101, 40):
        seen = []
        kernel_shap(lambda batch, seen=seen: seen.extend([0] * len(batch)) or curved(batch), image, samples=samples, segments=LABELS)
        assert samples - 1 <= len(seen) <= samples


def coverage(method, truth):
    """Return how often the truth lies within 1.96 standard errors, over segments and seeds."""
    inside = []
    for seed in range(150):
        answer = method(seed)
        inside.append(np.abs(first(LABELS, answer.maps[0]) - truth) <= 1.96 * first(LABELS, answer.extras["standard_error"][0]))
    return np.mean(inside)


def test_kernel_shap_s_standard_error_covers_the_exact_values(image):
    truth = first(LABELS, kernel_shap(curved, image, samples=256, segments=LABELS, fill="mean").maps[0])
    assert 0.90 <= coverage(lambda seed: kernel_shap(curved, image, samples=130, segments=LABELS, fill="mean", seed=seed), truth) <= 0.98


def test_lime_s_standard_error_covers_the_fit_to_all_coalitions(image):
    shown = np.concatenate([every(8)[0], np.zeros((1, 8), bool), np.ones((1, 8), bool)])
    pictures = np.where(shown[:, LABELS][..., None], image, fill_of(image[0], "mean"))
    weights = np.exp(-(((1 - np.sqrt(shown.mean(1))) / 0.5) ** 2))
    design = np.concatenate([shown, np.ones((256, 1))], 1) * np.sqrt(weights)[:, None]
    truth = np.linalg.lstsq(design, curved(pictures) * np.sqrt(weights), rcond=None)[0][:8]
    run = lambda seed: lime(curved, image, samples=300, segments=LABELS, fill="mean", kernel_width=0.5, ridge=0, seed=seed, batch_size=300)  # noqa: E731
    assert 0.90 <= coverage(run, truth) <= 0.98


def test_labels_of_each_image(image):
    both = np.concatenate([image, image])
    labels = np.stack([LABELS, np.minimum(LABELS, 2)])
    found = kernel_shap(curved, both, segments=labels).maps
    assert len(np.unique(found[0])) == 8 and len(np.unique(found[1])) == 3


def test_superpixels_are_the_default():
    """Left dark, right bright: each side's weight is its own brightness, wherever SLIC cuts within it."""
    image = np.zeros((1, 32, 32, 3), np.float32)
    image[:, :, 12:] = 100
    found = lime(lambda x: x.mean((1, 2, 3)), image, count=8, fill="black", ridge=0).maps[0]
    assert np.abs(found[:, :12]).max() < 1e-3 < found[:, 12:].min()
    assert found.sum() > 100  # a segment's weight is painted on each of its pixels


def test_more_segments_than_a_byte_counts():
    image = np.random.default_rng(0).uniform(0, 1, (1, 20, 20, 3)).astype(np.float32)
    labels = np.arange(400).reshape(20, 20)
    found = lime(lambda x: x.sum((1, 2, 3)), image, samples=600, segments=labels, fill="black", ridge=0, batch_size=500).maps[0]
    assert np.allclose(found, image[0].sum(-1), atol=1e-4)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (lime, {"samples": 9}, "9 samples for 8 segments; expected at least 10"),
        (lime, {"kernel_width": 0}, "kernel width 0 and ridge 1.0; expected more than 0, and 0 or more"),
        (lime, {"ridge": -1}, "ridge -1; expected more than 0, and 0 or more"),
        (kernel_shap, {"samples": 31}, "31 samples for 8 segments; expected at least 32"),
    ],
)
def test_errors(image, method, options, message):
    with pytest.raises(WhyfakeError, match=message):
        method(curved, image, segments=LABELS, **options)
