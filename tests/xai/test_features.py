"""What channels look for: a red channel wants red, its top crops are the reddest patches, a dead one has no picture."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import tiny_model
from xai import wrap, write_features
from xai.errors import ImageError, LayerError
from xai.features.maximise import Shift, maximise
from xai.features.strongest import Strongest, peaks, seen
from xai.items import Item
from xai.maps.onepass import activations
from xai.maps.placement import Axis, Placement


def network(*stack, side=8):
    """A detector of images of that side: the layers, then a mean over places and one unit."""
    import keras

    image = x = keras.Input((side, side, 3))
    for layer in stack:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(x))


def items_of(folder, pictures, labels=("real", "fake")):
    """Write pictures as PNG files and return them as items."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return [Item(number, folder / f"{number}.png", f"{number}.png", labels[number % 2], "") for number in range(len(pictures))]


@pytest.fixture(scope="module")
def pictures():
    """Twelve pictures of 8 x 8 pixels."""
    return np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def seeing():
    """A detector with a random 5 x 5 convolution behind a pooling, 16 x 16 pixels."""
    import keras

    keras.utils.set_random_seed(3)
    return wrap(network(keras.layers.MaxPooling2D(2), keras.layers.Conv2D(4, 5, padding="same", activation="relu", name="conv"), side=16))


@pytest.fixture(scope="module")
def lifeless():
    """Channels of one 2 x 2 convolution: 0 sums red, 1 is below 0 everywhere, 2 is 1 whatever it sees."""
    import keras

    model = network(keras.layers.Conv2D(3, 2, 2, activation="relu", name="conv"))
    kernel = np.zeros((2, 2, 3, 3), np.float32)
    kernel[..., 0, 0], kernel[..., 0, 1] = 1, -1
    model.get_layer("conv").set_weights([kernel, np.array([0, -1, 1], np.float32)])
    return wrap(model)


def test_a_channel_that_sums_red_wants_red(tiny):
    (made,) = maximise(tiny, "conv", [0, 1])
    assert made.pictures.shape == (2, 2, 2, 3) and made.channels == (0, 1)
    red, green = made.pictures.astype(int)
    assert (red[..., 0] == 255).all() and (abs(red[..., 1:] - 128) < 16).all()
    assert (green[..., 1] == 255).all() and (abs(green[..., [0, 2]] - 128) < 16).all()
    assert made.reached.tolist() == [4 * 255, 4 * 255] and made.moved.all()


def test_colours_and_range_are_those_of_the_preprocessing():
    (made,) = maximise(wrap(tiny_model(), colour_order="BGR", value_range=(-1.0, 1.0)), "conv", [0])
    assert (made.pictures[0, ..., 2] == 255).all()  # the first plane of the input is blue
    assert made.reached[0] == pytest.approx(4)


def test_a_small_field_on_a_large_image_is_filled_all_the_same():
    import keras

    model = network(keras.layers.Conv2D(1, 2, 2, activation="relu", name="conv"), side=96)
    kernel = np.zeros((2, 2, 3, 1), np.float32)
    kernel[0, :, 0], kernel[1, :, 0] = 1, -1  # red above, none below
    model.get_layer("conv").set_weights([kernel, np.zeros(1, np.float32)])
    (made,) = maximise(wrap(model), "conv", [0])
    assert made.pictures[0, ..., 0].tolist() == [[255, 255], [0, 0]] and made.reached.tolist() == [510]


def test_the_detector_is_left_as_it_is(seeing):
    before = [weight.numpy() for weight in seeing.model.weights]
    list(maximise(seeing, "conv", [0], steps=2))
    assert all((old == new.numpy()).all() for old, new in zip(before, seeing.model.weights, strict=True))
    assert seeing.model.get_layer("conv").activation.__name__ == "relu"


def test_layers_inside_nested_models_give_the_same_pictures(seeing):
    import keras

    conv = seeing.model.get_layer("conv")
    inside = keras.Sequential([keras.layers.MaxPooling2D(2), keras.layers.Conv2D(4, 5, padding="same", activation="relu", name="conv")], name="body")
    nested = network(inside, side=16)
    inside.layers[-1].set_weights(conv.get_weights())
    ((flat,), (deep,)) = (list(maximise(detector, layer, [1, 2], steps=8)) for detector, layer in ((seeing, "conv"), (wrap(nested), "body/conv")))
    np.testing.assert_array_equal(flat.pictures, deep.pictures)
    assert flat.reached.tolist() == deep.reached.tolist()


def test_the_same_seed_gives_the_same_pictures(seeing):
    first, again, other = (next(maximise(seeing, "conv", [0, 3], steps=6, seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert (first.pictures != other.pictures).any()


def test_a_channel_does_not_depend_on_the_others_of_its_batch(seeing):
    together = next(maximise(seeing, "conv", [0, 1, 2], steps=6))
    alone = list(maximise(seeing, "conv", [0, 1, 2], steps=6, batch_size=1))
    assert [made.channels for made in alone] == [(0,), (1,), (2,)]
    np.testing.assert_allclose(together.reached, [made.reached[0] for made in alone], rtol=1e-3)
    assert max(abs(together.pictures[n].astype(int) - made.pictures[0]).max() for n, made in enumerate(alone)) <= 2


def test_more_steps_reach_more_than_any_image(seeing):
    short, long = (next(maximise(seeing, "conv", [0, 1, 2, 3], steps=steps)).reached for steps in (4, 64))
    images = np.random.default_rng(1).uniform(0, 255, (50, 16, 16, 3)).astype(np.float32)
    assert (long > short).all() and (long > activations(seeing, images, ["conv"])["conv"].max((0, 1, 2))).all()


def test_shifts_are_taken_back():
    picture = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    shift, moved = Shift(2, 3, 0), picture
    seen_at = []
    for _ in range(4):
        moved = shift(moved)
        seen_at.append(shift.at.tolist())
    assert any(at != [0, 0] for at in seen_at[:3])
    np.testing.assert_array_equal(moved, picture)


def test_top_crops_by_hand(tiny, tmp_path):
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    pictures[0, 2:4, 4:6, 0] = 200  # cell (1, 2): 4 x 200
    pictures[2, 6:8, 0:2, 0] = 255, 250  # cell (3, 0): 2 x 255 + 2 x 250
    found = write_features(tiny, items_of(tmp_path / "data", pictures), tmp_path / "out", steps=2)
    red, green = found.record["layers"][0]["channels"]
    assert [(crop["path"], crop["activation"], crop["cell"], crop["box"]) for crop in red["crops"]] == [
        ("2.png", 1010.0, (3, 0), (6, 0, 8, 2)),
        ("0.png", 800.0, (1, 2), (2, 4, 4, 6)),
    ]
    assert [crop["label"] for crop in red["crops"]] == ["real", "real"] and red["crops"][0]["centre"] == (7.0, 1.0)
    assert red["data_maximum"] == 1010 and red["active_share"] == pytest.approx(2 / 3)
    assert red["spread"] == pytest.approx(np.std([800, 0, 1010])) and red["crops"][1]["logit"] == pytest.approx(3 * 800 + 0.5)
    assert green["state"] == "made" and green["crops"] == [] and green["active_share"] == 0
    assert found.record["layers"][0]["silent"] == 1
    crop = cv2.imread(str(tmp_path / "out" / red["crops"][0]["picture"]))[..., ::-1]
    np.testing.assert_array_equal(crop, pictures[2, 6:8, 0:2])


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_top_crops_are_those_of_a_search_through_everything(tiny, pictures, tmp_path, batch_size):
    found = write_features(tiny, items_of(tmp_path / "data", pictures), tmp_path / "out", steps=1, top=4, batch_size=batch_size)
    values = activations(tiny, pictures.astype(np.float32), ["conv"])["conv"]  # (12, 4, 4, 2)
    for channel, entry in enumerate(found.record["layers"][0]["channels"]):
        best = values[..., channel].reshape(12, -1)
        order = np.argsort(-best.max(1), kind="stable")[:4]
        assert [(crop["path"], crop["activation"]) for crop in entry["crops"]] == [(f"{n}.png", best[n].max()) for n in order]
        assert [crop["cell"] for crop in entry["crops"]] == [divmod(int(best[n].argmax()), 4) for n in order]
        assert entry["spread"] == pytest.approx(best.max(1).std())


def test_of_equals_the_earlier_image_stays():
    best = Strongest(1, 2)
    for number in range(4):
        best.update([number], np.array([[1.0]]), np.array([[0]]))
    assert best.of(0) == [(1.0, 0, 0), (1.0, 1, 0)] and best.spread.tolist() == [0] and best.count == 4


def test_peaks_are_the_largest_values(seeing):
    images = np.random.default_rng(2).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    logits, found = peaks(seeing, images, ["conv"])
    values = activations(seeing, images, ["conv"])["conv"].reshape(3, -1, 4)
    np.testing.assert_array_equal(found["conv"][0], values.max(1))
    np.testing.assert_array_equal(found["conv"][1], values.argmax(1))
    np.testing.assert_allclose(logits, seeing.logits(images), rtol=1e-5)


def test_what_a_cell_sees_is_what_changes_it():
    import keras
    import tensorflow as tf

    detector = wrap(
        network(keras.layers.Conv2D(1, 3, 2, "same", kernel_initializer="ones"), keras.layers.Conv2D(1, 4, kernel_initializer="ones"), side=16)
    )
    layer = detector.select()[-1]
    step = detector.model.get_layer(layer)
    inner = keras.Model(detector.model.inputs, step.output)
    for cell in ((0, 0), (2, 4), (4, 1)):
        with tf.GradientTape() as tape:
            image = tf.ones((1, 16, 16, 3))
            tape.watch(image)
            value = inner([image])[0, cell[0], cell[1], 0]
        rows, columns = np.nonzero(tape.gradient(value, image).numpy()[0].sum(-1))
        assert seen(detector.layers[layer].placement, cell) == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


def test_a_field_is_cut_off_at_the_border_and_never_empty():
    axis = Axis(stride=4.0, offset=-2.0, field=3.0)
    where = Placement(axis, axis, cells=(4, 4), image=(8, 8))
    assert seen(where, (0, 1)) == (0, 0, 1, 4)
    assert seen(where, (3, 3)) == (7, 7, 8, 8)


def test_dead_channels_have_no_picture(lifeless, pictures, tmp_path):
    alone = write_features(lifeless, [], tmp_path / "alone", steps=2, channels="all")
    assert [entry["state"] for entry in alone.record["layers"][0]["channels"]] == ["made", "dead", "dead"]
    assert alone.counts == {"layers": 1, "channels": 3, "dead": 2, "images": 0}
    assert [path.name for path in (tmp_path / "alone" / "pictures").iterdir()] == ["conv__0.png"]
    beside = write_features(lifeless, items_of(tmp_path / "data", pictures), tmp_path / "beside", steps=2, channels="all")
    red, dead, stuck = beside.record["layers"][0]["channels"]
    assert (red["state"], dead["state"], stuck["state"]) == ("made", "dead", "stuck")
    assert dead["picture"] is None and dead["crops"] == [] and dead["active_share"] == 0
    assert stuck["data_maximum"] == 1 and stuck["crops"][0]["activation"] == 1
    assert beside.text == "3 channels in 1 layer, 1 dead; 12 images"


def test_below_0_is_not_off_where_a_layer_gives_negative_values(pictures, tmp_path):
    import keras

    model = network(keras.layers.Conv2D(2, 2, 2, name="conv"))
    kernel = np.zeros((2, 2, 3, 2), np.float32)
    kernel[..., 0, 0] = -1  # channel 0: less red, channel 1: the same whatever it sees
    model.get_layer("conv").set_weights([kernel, np.zeros(2, np.float32)])
    found = write_features(wrap(model), items_of(tmp_path / "data", pictures), tmp_path / "out", steps=16)
    less, constant = found.record["layers"][0]["channels"]
    assert found.record["layers"][0]["negative"] and found.record["layers"][0]["silent"] is None
    assert less["state"] == "made" and less["active_share"] is None and len(less["crops"]) == 9 and less["crops"][0]["activation"] < 0
    assert constant["state"] == "dead"


def test_channels_that_vary_most_are_shown(lifeless, pictures, tmp_path):
    found = write_features(lifeless, items_of(tmp_path / "data", pictures), tmp_path / "out", steps=1, channels="1")
    assert [entry["channel"] for entry in found.record["layers"][0]["channels"]] == [0]
    named = write_features(lifeless, [], tmp_path / "out", steps=1, channels="2,0")
    assert [entry["channel"] for entry in named.record["layers"][0]["channels"]] == [2, 0]
    assert not (tmp_path / "out" / "skipped.csv").exists()


def test_errors(tiny, tmp_path):
    with pytest.raises(LayerError, match="layer 'conv' has no channel 2; expected numbers from 0 to 1"):
        write_features(tiny, [], tmp_path, channels="0,2")
    for text in ("some", "0", "00", "1,a", "-1", ""):
        with pytest.raises(LayerError, match="cannot be read; expected how many, all, or numbers with commas"):
            write_features(tiny, [], tmp_path, channels=text)
    with pytest.raises(LayerError, match="layer 'nope' is not in the model"):
        write_features(tiny, [], tmp_path, layers="nope")
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"none of the 1 images could be read; '.*skipped\.csv' says why"):
        write_features(tiny, [Item(0, tmp_path / "bad.png", "bad.png", "", "")], tmp_path / "out")


def test_command_and_report_again(whyfake, tiny, pictures, tmp_path):
    tiny.model.save(tmp_path / "model.keras")
    for label, part in (("real", pictures[:6]), ("fake", pictures[6:])):
        items_of(tmp_path / "data" / label, part)
    (tmp_path / "data" / "real" / "bad.png").write_text("no picture")
    done = whyfake("features", tmp_path / "model.keras", tmp_path / "data", "--out", tmp_path / "out", "--steps", 2, "--top", 3, "--json")
    assert done.exit_code == 0, done.output
    page = tmp_path / "out" / "index.html"
    assert json.loads(done.stdout) == {"layers": 1, "channels": 2, "dead": 0, "images": 12, "report": str(page)}
    assert "skipped 1 unreadable file" in done.stderr
    record = json.loads((tmp_path / "out" / "features.json").read_text())
    assert record["options"]["seed"] == 0 and record["data"] == {"name": "data", "images": 12, "skipped": 1}
    assert {crop["label"] for channel in record["layers"][0]["channels"] for crop in channel["crops"]} <= {"real", "fake"}
    before = page.read_bytes()
    page.unlink()
    assert whyfake("report", tmp_path / "out").exit_code == 0 and page.read_bytes() == before
    failed = whyfake("features", tmp_path / "model.keras", "--out", tmp_path / "out", "--channels", "9,")
    assert failed.exit_code == 1 and "has no channel 9" in failed.output
