"""Files and folders that Keras 2 or TensorFlow wrote: layers where they can be read, else answers."""

import shutil
import sys

import keras
import numpy as np
import pytest
from keras import layers

import xai
from tests.conftest import tiny_model
from xai import keras2, savedmodel
from xai.detector import wrap
from xai.errors import ModelError

# Keras 2 and 3 call the .h5 format legacy
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")

IMAGES = np.random.default_rng(0).uniform(0, 2, (3, 8, 8, 3)).astype(np.float32)


def logit(probability):
    return np.log(probability) - np.log1p(-probability)


# Keras 2


@pytest.fixture(scope="module")
def old():
    return pytest.importorskip("tf_keras")


def keras2_model(old):
    """Every layer whose configuration the two Keras differ on, nested models of both kinds among them."""
    make = old.layers
    inside = old.Sequential([make.DepthwiseConv2D(3, name="deep"), make.BatchNormalization()], name="inside")
    entry = make.Input((6, 6, 3))
    twig = old.Model(entry, make.SeparableConv2D(4, 3, name="parts")(make.SpatialDropout2D(0.2)(entry)), name="twig")
    image = make.Input((8, 8, 3))
    x = twig(inside(make.RandomFlip()(make.Rescaling(0.5)(image))))
    x = make.Conv2DTranspose(2, 3, 2, name="wide/up")(x)
    return old.Model(image, make.Dense(1, activation="sigmoid", name="head/out")(make.Flatten()(x)))


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_keras2_files(tmp_path, old, name):
    model = keras2_model(old)
    model.save(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    detector = xai.load(tmp_path / name)
    assert np.allclose(detector.logits(IMAGES), logit(model(IMAGES, training=False).numpy().ravel()), atol=1e-5)
    assert detector.select("conv") == ["inside/deep", "twig/parts", "wide_up"]
    assert detector.layers["inside/deep"].placement.offset == (1.5, 1.5)
    assert (tmp_path / name).read_bytes() == before


def test_keras2_operations_on_tensors(tmp_path, old):
    image = old.layers.Input((8, 8, 3))
    old.Model(image, old.layers.Dense(1)(old.layers.Flatten()(image / 127.5 - 1))).save(tmp_path / "m.h5")
    with pytest.raises(ModelError, match=r"computes on tensors between its layers \('TFOpLambda'\).*Rescaling"):
        xai.load(tmp_path / "m.h5")


def test_connections_are_counted_as_keras_3_does():
    nested = {"class_name": "Sequential", "config": {"name": "s", "layers": []}, "inbound_nodes": [[["i", 0, 0, {}]]]}
    config = {"layers": [nested, {"config": {"name": "d"}, "inbound_nodes": [[["s", 1, 0, {}]]]}]}
    config |= {"input_layers": [["i", 0, 0]], "output_layers": [["s", 1, 0], ["d", 0, 0]]}
    mended = keras2.mend_graph(config)
    assert mended["layers"][1]["inbound_nodes"] == [[["s", 0, 0, {}]]]
    assert mended["input_layers"] == ["i", 0, 0] and mended["output_layers"] == [["s", 0, 0], ["d", 0, 0]]


def test_what_changes_an_answer_is_not_thrown_away():
    renorm = {"class_name": "BatchNormalization", "config": {"renorm": True, "axis": [1, 2]}}
    assert keras2.mend(renorm, set()) == renorm


# SavedModels


@pytest.fixture(scope="module")
def saved(tmp_path_factory, old):
    """A folder as Keras 2 wrote it, and its model."""
    folder = tmp_path_factory.mktemp("saved") / "detector.v1"
    model = keras2_model(old)
    model.save(folder)
    return folder, model


def test_a_savedmodel_of_keras_2_keeps_its_layers(saved):
    folder, model = saved
    detector = xai.load(folder)
    assert detector.name == "detector.v1" and len(detector.sha256) == 64 and detector.gradients
    assert np.allclose(detector.logits(IMAGES), logit(model(IMAGES, training=False).numpy().ravel()), atol=1e-5)
    assert detector.select("conv") == ["inside/deep", "twig/parts", "wide_up"]


def test_a_savedmodel_without_tf_keras(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    for name in [name for name in sys.modules if name.startswith("tf_keras.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=r"saved by Keras 2, which the package tf_keras reads; pip install 'whyfake\[savedmodel\]'"):
        xai.load(saved[0])
    assert not xai.load(saved[0], trust=True).gradients


def test_a_program_runs_only_if_trusted_and_its_logit_is_found(saved, tmp_path):
    """Without Keras' own record only the program is left."""
    folder, _ = saved
    plain = shutil.copytree(folder, tmp_path / "plain")
    (plain / "keras_metadata.pb").unlink()
    with pytest.raises(ModelError, match=r"is a TensorFlow program without Keras layers: running it runs code from whoever saved it; .* --trust"):
        xai.load(plain)
    detector = xai.load(plain, trust=True)
    assert not detector.gradients and "input of the last Sigmoid" in detector.head.text
    assert np.allclose(detector.logits(1000 * IMAGES), xai.load(folder).logits(1000 * IMAGES), rtol=1e-4)  # a probability would be saturated


def test_an_exported_model_of_keras_3(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(2, activation="softmax")])
    model.export(str(tmp_path / "m"), verbose=False)
    assert np.allclose(xai.load(tmp_path / "m", trust=True).logits(IMAGES), wrap(model).logits(IMAGES), atol=1e-5)


class Own:
    """Made when asked, so that tf_keras is needed only then."""

    @staticmethod
    def model(old):
        class Subclassed(old.Model):
            def __init__(self):
                super().__init__()
                self.flat, self.out = old.layers.Flatten(), old.layers.Dense(1, activation="sigmoid")

            def call(self, inputs):
                return self.out(self.flat(inputs))

        model = Subclassed()
        model(IMAGES)
        return model


@pytest.mark.parametrize(
    ("make", "message", "note"),
    [
        (lambda old: Own.model(old), r"subclassed model \('Subclassed'\), which keeps no layer graph", "subclassed"),
        (
            lambda old: old.Sequential(
                [old.layers.InputLayer((8, 8, 3)), old.layers.Lambda(lambda x: x * 2), old.layers.Flatten(), old.layers.Dense(1)]
            ),
            "holds a Lambda layer, which is code",
            "it holds a Lambda layer",
        ),
    ],
    ids=["subclassed", "lambda"],
)
def test_savedmodels_whose_layers_cannot_be_read(tmp_path, old, make, message, note):
    model = make(old)
    model.save(tmp_path / "m")
    with pytest.raises(ModelError, match=f"{message}.*--trust"):
        xai.load(tmp_path / "m")
    detector = xai.load(tmp_path / "m", trust=True)
    assert "its layers cannot be read" in detector.head.text and note in detector.head.text
    answers = model(IMAGES).numpy().ravel()
    assert np.allclose(detector.logits(IMAGES), logit(answers) if note == "subclassed" else answers, atol=1e-4)


def test_savedmodels_that_name_operations_are_not_rebuilt(tmp_path, old):
    """Such a layer may name any operation of TensorFlow, also one that writes files."""
    image = old.layers.Input((8, 8, 3))
    old.Model(image, old.layers.Dense(1)(old.layers.Flatten()(image / 2))).save(tmp_path / "m")
    with pytest.raises(ModelError, match="computes on tensors between its layers"):
        xai.load(tmp_path / "m")


def test_a_damaged_savedmodel(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(ModelError, match="is damaged"):
        xai.load(tmp_path)


def test_other_answers_are_refused():
    model, other = tiny_model(), tiny_model()
    savedmodel.compare(model, other, 8, "m")
    other.get_layer("out").set_weights([values + 1e-3 for values in other.get_layer("out").get_weights()])
    with pytest.raises(ModelError, match="answers otherwise once Keras 3 reads it"):
        savedmodel.compare(model, other, 8, "m")
