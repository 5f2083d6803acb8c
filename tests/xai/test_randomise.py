"""Weights randomised in place: the order, what is drawn, and that they always come back."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import tiny_model
from xai import wrap
from xai.blackboxes import blackbox
from xai.maps.mapped import compute
from xai.trust.randomise import cascade, over, plan, randomised, redrawn


def names(detector):
    return [weighted.name for weighted in cascade(detector)]


def bits(model):
    return [values.tobytes() for values in model.get_weights()]


def above(detector, layer):
    order = cascade(detector)
    return [order[place].name for place in over(detector, order, layer)]


def sequential():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="a"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Conv2D(5, 3, name="b"),
            layers.Flatten(),
            layers.Dense(6, name="c"),
            layers.Dense(1, activation="sigmoid", name="out"),
        ]
    )


def nested():
    keras.utils.set_random_seed(2)
    image = keras.Input((8, 8, 3))
    inside = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="b")(layers.Conv2D(4, 3, name="a")(inside))
    x = keras.Model(inside, x, name="backbone")(image)
    return keras.Model(image, layers.Dense(2, activation="softmax", name="out")(layers.GlobalAveragePooling2D()(x)))


def shared():
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 3, padding="same", name="first")(image)
    conv = layers.Conv2D(4, 3, padding="same", name="conv")
    middle = layers.Conv2D(4, 3, padding="same", name="middle")(conv(first))
    side = layers.Dense(1, name="side")(layers.Flatten()(middle))
    return keras.Model(image, [layers.Dense(1, name="out")(layers.GlobalAveragePooling2D()(conv(middle))), side])


def branches():
    keras.utils.set_random_seed(4)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    left, right = (layers.Conv2D(4, 3, padding="same", name=name)(x) for name in ("left", "right"))
    return keras.Model(image, layers.Dense(1, name="out")(layers.Flatten()(layers.Add()([left, right]))))


def half():
    image = keras.Input((8, 8, 3), dtype="float32")
    x = layers.BatchNormalization(name="norm", dtype="mixed_float16")(layers.Conv2D(4, 3, name="a", dtype="mixed_float16")(image))
    return keras.Model(image, layers.Dense(1, name="out", dtype="float32")(layers.Flatten()(x)))


def pure_half():
    image = keras.Input((8, 8, 3), dtype="float32")
    x = layers.Conv2D(4, 3, name="a", dtype="bfloat16")(image)
    return keras.Model(image, layers.Dense(1, name="out", dtype="float16")(layers.Flatten()(x)))


def first():
    image = keras.Input((3, 8, 8))
    x = layers.BatchNormalization(axis=1, name="norm")(layers.Conv2D(4, 3, data_format="channels_first", name="a")(image))
    return keras.Model(image, layers.Dense(1, name="out")(layers.Flatten()(x)))


def wrapped():
    conv = layers.SpectralNormalization(layers.Conv2D(2, 3, name="inner"), name="a")
    return keras.Sequential([keras.Input((8, 8, 3)), conv, layers.Dropout(0.5), layers.Flatten(), layers.Dense(1, name="out")])


MODELS = {make.__name__: make for make in (sequential, nested, branches, half, pure_half, first, wrapped)}
IMAGES = np.random.default_rng(0).uniform(0, 2, (3, 8, 8, 3)).astype(np.float32)


def test_a_cascade_goes_from_the_logit_to_the_image():
    assert names(wrap(sequential())) == ["out", "c", "b", "norm", "a"]
    assert names(wrap(nested())) == ["out", "backbone/b", "backbone/a"]
    assert names(wrap(half())) == names(wrap(first())) == ["out", "norm", "a"]
    assert cascade(blackbox(lambda images: images.mean((1, 2, 3)), 8)) == []


def test_a_shared_layer_stands_where_it_is_met_first_and_other_heads_nowhere():
    detector = wrap(shared(), output=0)
    assert names(detector) == ["out", "conv#2", "middle", "first"]
    assert above(detector, "middle") == ["out"]  # 'conv' is below as well
    assert above(detector, "first") == ["out", "conv#2", "middle"]


def test_branches_beside_a_layer_count_as_above():
    detector = wrap(branches())
    assert set(above(detector, "left")) == {"out", "right"} and set(above(detector, "stem")) == {"out", "left", "right"}


def test_stages_are_few_and_hold_the_first_the_last_and_what_lies_above():
    detector = wrap(sequential())
    order = cascade(detector)
    stages = plan(detector, order, ["b", "a"], most=2)
    assert [(stage.name, stage.chosen, stage.above) for stage in stages] == [
        ("out", (0,), ()),
        ("", (0, 1), ("b",)),
        ("", (0, 1, 2, 3), ("a",)),
        ("a", (0, 1, 2, 3, 4), ()),
    ]
    everything = plan(detector, order, ["b"])
    assert [stage.name for stage in everything] == ["out", "c", "b", "norm", "a"] and everything[1].above == ("b",)


def test_a_deep_cascade_has_eight_stages_evenly_spread():
    body = [layers.Dense(3, name=f"dense{place}") for place in range(29)]
    model = keras.Sequential([keras.Input((2, 2, 3)), layers.Conv2D(1, 1, name="conv"), layers.Flatten(), *body, layers.Dense(1, name="out")])
    detector = wrap(model)
    counts = [len(stage.chosen) for stage in plan(detector, cascade(detector), [])]
    assert len(counts) == 8 and counts[0] == 1 and counts[-1] == 31 and set(np.diff(counts)) == {4, 5}


def test_drawn_by_hand():
    """Kernels keep mean and spread; vectors of one length are permuted alike; a constant stays."""
    kernel = np.random.default_rng(0).normal(3, 2, (20, 50)).astype(np.float32)
    scale, offset = np.arange(50, dtype=np.float32), 100 + np.arange(50, dtype=np.float32)
    drawn = list(redrawn([kernel, scale, offset, np.float32([5])], [1]))
    assert abs(drawn[0].mean() - kernel.mean()) < 0.2 and abs(drawn[0].std() / kernel.std() - 1) < 0.1
    assert abs(np.corrcoef(drawn[0].ravel(), kernel.ravel())[0, 1]) < 0.1
    assert np.array_equal(drawn[2] - drawn[1], [100] * 50) and not np.array_equal(drawn[1], scale)
    assert sorted(drawn[1]) == sorted(scale) and drawn[3] == 5
    again = list(redrawn([kernel, scale, offset, np.float32([5])], [1]))
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(drawn, again, strict=True))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_every_model_changes_and_comes_back(make):
    """Its answers are those of before, to the bit, and a layer's new weights are the same in every stage."""
    model = make()
    detector = wrap(model)
    order, before, kept = cascade(detector), detector.logits(IMAGES), bits(model)
    with randomised(order, seed=5) as randomise:
        seen = [detector.logits(IMAGES)]
        for chosen in ((0,), range(len(order)), (len(order) - 1,), (0,), ()):
            randomise(tuple(chosen))
            seen.append(detector.logits(IMAGES))
        randomise((0, 1))
    assert np.array_equal(seen[0], before) and np.array_equal(seen[1], seen[4]) and np.array_equal(seen[5], before)
    assert not any(np.array_equal(values, before) for values in seen[1:4])
    assert np.array_equal(detector.logits(IMAGES), before) and bits(model) == kept


def test_below_and_at_the_layer_nothing_changes():
    detector = wrap(nested())
    before = compute(detector, IMAGES, ["backbone/a"], ["activation", "hirescam"]).maps
    order = cascade(detector)
    with randomised(order) as randomise:
        randomise(over(detector, order, "backbone/a"))
        after = compute(detector, IMAGES, ["backbone/a"], ["activation", "hirescam"]).maps
    assert np.array_equal(before["backbone/a", "activation"], after["backbone/a", "activation"])
    assert not np.allclose(before["backbone/a", "hirescam"], after["backbone/a", "hirescam"])


class Fails:
    """A variable that raises on some assignments, counted over all of them."""

    def __init__(self, variable, errors):
        self.variable, self.errors = variable, errors

    def numpy(self):
        return self.variable.numpy()

    def assign(self, values):
        error = self.errors.pop(0) if self.errors else None
        self.variable.assign(values)
        if error:
            raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_weights_come_back_after_any_exception(error):
    model = sequential()
    weights = model.get_weights()
    weights[0][0, 0, 0, :2] = [-0.0, np.nan]
    model.set_weights(weights)
    kept = bits(model)
    with pytest.raises(error), randomised(cascade(wrap(model))) as randomise:
        randomise((0, 2, 4))
        assert bits(model) != kept
        raise error
    assert bits(model) == kept


@pytest.mark.parametrize("good", range(8))
def test_weights_come_back_from_an_interruption_anywhere(good):
    """Two weighted layers, four tensors: the interruption comes while they are changed, or while they are put back."""
    model = tiny_model()
    kept = bits(model)
    errors = [None] * good + [KeyboardInterrupt()]
    order = [type(each)(each.name, tuple(Fails(variable, errors) for variable in each.variables)) for each in cascade(wrap(model))]
    with pytest.raises(KeyboardInterrupt), randomised(order) as randomise:
        randomise((0, 1))
    assert bits(model) == kept
