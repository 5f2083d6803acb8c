"""The autoencoder, and the classifier on its frozen encoder."""

import keras
import numpy as np
import pytest

import xai
from models import build
from models.encoder import taken
from tests.conftest import compute
from xai.detector import wrap


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An autoencoder of 32 pixels after a few steps, in a folder."""
    keras.utils.set_random_seed(0)
    model = build("autoencoder", 32)
    model.compile("adam", "mse")
    for _ in range(3):
        model.train_on_batch(pictures(), pictures() / 255)
    folder = tmp_path_factory.mktemp("autoencoder")
    model.save(folder / "model.keras")
    return model, folder


def pictures(count=8):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype("float32")


def kinds(model):
    return [type(layer).__name__ for layer in model.layers[1:]]


def test_has_the_layers_of_the_field():
    model = build("autoencoder", 256)
    block = ["Conv2D", "BatchNormalization", "ReLU"]
    encoder = model.get_layer("encoder")
    assert kinds(encoder) == ["Rescaling", *[*block, "MaxPooling2D"] * 3]
    assert kinds(model) == ["Functional", *[*block, "UpSampling2D"] * 3, "Conv2D", "BatchNormalization", "Activation"]
    filters = [layer.filters for part in (encoder, model) for layer in part.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [32, 64, 64, 64, 64, 32, 3]
    assert encoder.output.shape == (None, 32, 32, 64)
    assert model.output_shape == model.input_shape == (None, 256, 256, 3)


def test_learns_to_redraw_and_answers_in_0_to_1():
    keras.utils.set_random_seed(0)
    model = build("autoencoder", 32)
    model.compile(keras.optimizers.Adam(1e-2), "mse", run_eagerly=True)
    grey = np.full((4, 32, 32, 3), [200.0, 100.0, 50.0], np.float32)
    losses = [float(model.train_on_batch(grey, grey / 255)) for _ in range(10)]
    assert losses[-1] < 0.7 * losses[0]
    out = np.asarray(model(pictures()))
    assert out.min() >= 0 and out.max() <= 1


def test_saves_and_reloads(trained):
    model, folder = trained
    again = keras.saving.load_model(folder / "model.keras")
    assert np.array_equal(again.predict(pictures(), verbose=0), model.predict(pictures(), verbose=0))


@pytest.mark.parametrize("head", ["dense", "conv"])
def test_classifier_trains_maps_saves_and_reloads(trained, head, tmp_path):
    keras.utils.set_random_seed(0)
    source, folder = trained
    model = build("encoder-classifier", 32, encoder=folder, head=head)
    model.compile("adam", "sparse_categorical_crossentropy")
    frozen = model.get_layer("encoder").get_weights()
    first = model.get_layer("dense").get_weights()
    for _ in range(2):
        model.train_on_batch(pictures(), np.arange(8) % 2)
    # not the weights, nor the averages of batch normalisation
    assert all(np.array_equal(a, b) for a, b in zip(frozen, model.get_layer("encoder").get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(frozen, source.get_layer("encoder").get_weights(), strict=True))
    assert not np.array_equal(first[0], model.get_layer("dense").get_weights()[0])
    assert source.get_layer("encoder").trainable
    detector = wrap(model)
    assert detector.select("conv")[:3] == ["encoder/encoder1_conv", "encoder/encoder2_conv", "encoder/encoder3_conv"]
    logits, maps = compute(detector, pictures(), detector.select("conv"), ["hirescam"])
    assert all(np.isfinite(values).all() and values.any() for values in maps.values())
    chances = np.asarray(model(pictures(), training=False))
    assert np.allclose(logits, np.log(chances[:, 1] / chances[:, 0]), atol=1e-4)
    model.save(tmp_path / "model.keras")
    assert np.array_equal(xai.load(tmp_path).logits(pictures()), detector.logits(pictures()))


def test_conv_head_is_that_of_the_field(trained):
    model = build("encoder-classifier", 32, encoder=trained[0], head="conv")
    assert kinds(model)[1:] == ["Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D", "Flatten", "Dense", "Dropout", "Dense", "Dense"]
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [80, 30, 2]
    assert model.get_layer("dropout").rate == 0.2


def test_encoder_is_taken_from_model_file_and_folder(trained):
    model, folder = trained
    for source in (model, model.get_layer("encoder"), folder, str(folder), folder / "model.keras"):
        assert taken(source).output_shape == (None, 4, 4, 64)


def test_errors(trained, tmp_path):
    build("lenet", 32).save(tmp_path / "lenet.keras")
    (tmp_path / "text.keras").write_text("no model")
    for options, message in (
        ({}, "needs the encoder of a trained autoencoder"),
        ({"encoder": trained[1], "head": "wide"}, "head 'wide' is not known; expected one of: dense, conv"),
        ({"encoder": tmp_path / "lenet.keras"}, r"lenet.keras' is no autoencoder \(it gives \(None, 1\)\)"),
        ({"encoder": build("encoder-classifier", 32, encoder=trained[1])}, "'encoder_classifier_dense' is no autoencoder"),
        ({"encoder": tmp_path / "text.keras"}, "text.keras' cannot be loaded"),
        ({"encoder": tmp_path / "absent"}, "absent' does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            build("encoder-classifier", 32, **options)
    with pytest.raises(ValueError, match="takes images of 32 pixels a side, not 64; build the classifier at 32"):
        build("encoder-classifier", 64, encoder=trained[1])
    with pytest.raises(ValueError, match="multiple of 8 pixels a side, got 60"):
        build("autoencoder", 60)
    for name in ("autoencoder", "encoder-classifier"):
        with pytest.raises(ValueError, match="at least 32 pixels a side; got 16"):
            build(name, 16)
