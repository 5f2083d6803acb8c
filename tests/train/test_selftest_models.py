"""Self-tests of models that come from elsewhere, mistakes, and a whole one of the usual length."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

import reports
import xai
from tests.train.test_selftest import HAIR, MARK, SMALL
from train import selftest
from train.scoring import AFFORDABLE, ALIASES
from train.selftest import Settings, opened
from train.tune import tune
from xai import recommend
from xai.errors import DataError, WhyfakeError
from xai.items import known
from xai.maps.methods import METHODS, parse, resolve

FAST = replace(SMALL, count=80, effects=0, epochs=6, learning_rate=3e-3, plants=(HAIR,))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(recommend, "SHIPPED", tmp_path / "none.json")


def foreign(folder, size=64, said=True):
    """Two softmax outputs of which the second is real, pixels from -1 to 1, BGR, batch normalisation, a nested body; a card says so or not."""
    keras.utils.set_random_seed(1)
    body = [
        layers.Conv2D(8, 5, 2, name="one"),
        layers.BatchNormalization(),
        layers.ReLU(name="on"),
        layers.Conv2D(12, 3, 2, name="two"),
        layers.ReLU(name="end"),
    ]
    image = keras.Input((size, size, 3), name="photo")
    x = keras.Sequential([keras.Input((size, size, 3)), *body], name="body")(image)
    model = keras.Model(image, layers.Dense(2, activation="softmax")(layers.Flatten()(layers.MaxPooling2D(2)(x))))
    folder.mkdir()
    model.save(folder / "model.keras")
    if said:
        card = {"name": "stranger", "positive": "real", "range": [-1, 1], "colour_order": "BGR", "threshold": 0.9}
        (folder / "detector.json").write_text(json.dumps(card))
    return folder / "model.keras"


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_from_elsewhere(tmp_path):
    """A copy of it is tuned: its file stays as it is, and what is found serves the model itself."""
    path = foreign(tmp_path / "model")
    before = files(path.parent)
    lines: list[str] = []
    found = selftest.selftest(str(path), tmp_path / "out", FAST, say=lines.append).summary
    assert files(path.parent) == before
    (plant,) = found["plants"]
    assert plant["learnt"] and plant["epochs"] is None and plant["found"] is None and plant["effects"] == []
    assert (found["subject"], found["network"], found["size"]) == ("stranger", "", 64)
    assert {row["layer"] for row in found["rows"]} == {"body/on", "body/end", "input"}
    chosen, detector = found["recommended"], xai.load(path)
    assert detector.default_method() == (chosen["method"], chosen["why"]) and resolve(("auto",), detector) == (chosen["method"],)
    assert detector.recommendation().layer == chosen["layer"] and chosen["layer"] in (*detector.layers, "input")
    assert not (tmp_path / "out" / HAIR.replace(":", "-") / "detector").exists() and reports.render(tmp_path / "out").is_file()
    assert any(line.startswith("epoch 1  loss") for line in lines)
    lines.clear()
    assert (
        selftest.selftest(str(path.parent), tmp_path / "out", FAST, say=lines.append).summary["rows"] == found["rows"]
    )  # its folder is the same model
    assert lines == [f"{HAIR}: done in an earlier run, accuracy {plant['accuracy']:.3f}"]


def test_options_say_what_no_card_says(tmp_path, whyfake, monkeypatch):
    """The copy is tuned, and its maps are made, with the conventions that the command line was told."""
    path, seen = foreign(tmp_path / "model", said=False), []

    def tuned(detector, *rest, **options):
        seen.append(detector)
        return tune(detector, *rest, **options)

    monkeypatch.setattr("train.tune.tune", tuned)
    told = ("--range", -1, 1, "--positive", "real", "--colour-order", "BGR")
    brief = ("--plants", HAIR, "--count", 80, "--images", 8, "--slow", 0, "--effects", 0, "--epochs", 6, "--learning-rate", 0.003)
    result = whyfake("selftest", path, *told, *brief, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    (detector,) = seen
    scaled = detector.preprocessing
    assert (detector.positive, scaled.low, scaled.high, scaled.colour_order, scaled.crop) == ("real", -1, 1, "BGR", "none")
    found = json.loads(result.stdout)
    assert found["plants"][0]["learnt"] and found["recommended"] is not None
    assert found["settings"]["foreign"] == {
        "positive": "real", "colour_order": "BGR", "value_range": [-1, 1], "mean": None, "std": None, "crop": None, "resize": None,
        "output": None, "trust": False,
    }  # fmt: skip
    again = whyfake("selftest", path, *told, *brief, "--out", tmp_path / "out")
    assert "done in an earlier run" in again.stderr and len(seen) == 1
    whyfake("selftest", path, *told[:3], *brief, "--epochs", 1, "--out", tmp_path / "out")  # told less, it is another model
    assert len(seen) > 1 and (seen[1].positive, seen[1].preprocessing.colour_order) == ("fake", "RGB")


def test_a_models_key_is_all_that_decides_its_answers(tmp_path):
    path = foreign(tmp_path / "model", said=False)
    conventions = [{}, {"value_range": (-1.0, 1.0)}, {"positive": "real"}, {"colour_order": "BGR"}, {"mean": (1.0, 2.0, 3.0)}, {"resize": "nearest"}]
    keys = [opened(str(path), replace(FAST, foreign=said)).key for said in conventions]
    assert len(set(keys)) == len(keys) and keys == [json.dumps(known(xai.load(path, **said)), sort_keys=True) for said in conventions]
    assert opened("lenet", SMALL).key == "lenet"


def test_a_model_of_any_size(tmp_path):
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    keras.Model(image, layers.Dense(1)(x)).save(tmp_path / "a.keras")
    assert opened(str(tmp_path / "a.keras"), replace(SMALL, size=96)).size == 96
    with pytest.raises(WhyfakeError, match="the model takes images of any size; say which with --model-size"):
        opened(str(tmp_path / "a.keras"), replace(SMALL, size=None))


def test_a_model_that_does_not_learn_it(tmp_path):
    """Tried with more strength, then told: no map is scored, nothing is remembered."""
    path = foreign(tmp_path / "model")
    settings = replace(FAST, plants=("checkerboard:left_ear:1",), count=60, epochs=1, learning_rate=1e-6)
    lines: list[str] = []
    found = selftest.selftest(str(path), tmp_path / "out", settings, say=lines.append).summary
    assert [line.split(":")[2] for line in lines if line.endswith("it was not learnt")] == ["1", "1.5", "2.25"]
    assert found["rows"] == [] and found["recommended"] is None and not recommend.own_file().exists()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {f"checkerboard-left_ear-{strength}" for strength in ("1", "1.5", "2.25")}
    assert not list((tmp_path / "out").rglob("scores.npz")) and reports.render(tmp_path / "out").is_file()


# Mistakes


@pytest.mark.parametrize(
    ("what", "changes", "match"),
    [
        ("lenett", {}, "'lenett' is neither a network nor a model: expected one of alexnet18, lenet, .*transfer:BACKBONE, or a path"),
        ("autoencoder", {}, "'autoencoder' cannot be trained on its own; train it first and give the path of its model"),
        ("encoder-classifier", {}, "cannot be trained on its own"),
        ("transfer:mobilenetv2", {}, "MobileNetV2"),
        ("alexnet18", {"size": 64}, "at least 256 pixels a side; got 64"),
        ("alexnet18", {"size": 256, "network": {"head": "mean"}}, "head 'mean' is not known; expected flatten or pooling"),
        ("lenet", {"plants": ("smear:eyes",)}, "plant kind 'smear' is not known; expected one of: checkerboard"),
        ("lenet", {"plants": ()}, "nothing to plant; name at least one plant"),
        ("lenet", {"plants": (HAIR, "checkerboard:tail")}, "there is no region 'tail'"),  # before anything is trained
        ("lenet", {"photos": "gone"}, "'gone' does not exist"),
        ("M", {"size": 96}, "the model takes 64 x 64 images; --model-size 96 does not fit, leave it out"),
    ],
)
def test_mistakes(tmp_path, what, changes, match):
    what = str(foreign(tmp_path / "model")) if what == "M" else what
    with pytest.raises(WhyfakeError, match=match):
        selftest.selftest(what, tmp_path / "out", replace(SMALL, **changes))
    assert not list((tmp_path / "out").rglob("*.png")) and not recommend.own_file().exists()


def test_a_model_that_is_not_square(tmp_path):
    image = keras.Input((64, 48, 3))
    keras.Model(image, layers.Dense(1)(layers.Flatten()(layers.Conv2D(2, 3)(image)))).save(tmp_path / "a.keras")
    with pytest.raises(WhyfakeError, match="takes images of 48 x 64 pixels; a self-test needs square ones"):
        selftest.selftest(str(tmp_path / "a.keras"), tmp_path / "out", replace(SMALL, size=None))


def test_a_black_box(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").touch()
    monkeypatch.setattr("xai.detector.load", lambda path, **options: xai.blackbox(lambda images: images[:, 0, 0, 0], 64))
    with pytest.raises(WhyfakeError, match=r"a\.onnx' is a black box, which cannot be trained; give a Keras model, or the NAME of a network"):
        selftest.selftest(str(tmp_path / "a.onnx"), tmp_path / "out", SMALL)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "out" / HAIR.replace(":", "-") / "data").mkdir(parents=True)
    (tmp_path / "out" / HAIR.replace(":", "-") / "data" / "mine.txt").touch()
    with pytest.raises(DataError, match=r"is not empty \(mine.txt\); expected a new or empty folder"):
        selftest.selftest("lenet", tmp_path / "out", replace(SMALL, plants=(HAIR,)))


# As long as usual


@pytest.mark.slow
def test_every_method_on_several_plants(tmp_path):
    """Slow methods too; a colour cast beside; chosen on two plants, scored on the third; images kept (a minute on two cores)."""
    plants = (HAIR, "checkerboard:skin:120", "checkerboard:clothing:200", "cast:picture:90", MARK)
    found = selftest.selftest("lenet", tmp_path, replace(SMALL, plants=plants, slow=1, keep=True)).summary
    assert [plant["learnt"] for plant in found["plants"]] == [True] * 5
    assert {row["method"] for row in found["rows"]} == {*METHODS, *AFFORDABLE} - set(ALIASES)
    rows = [row for row in found["rows"] if row["plant"] == "all"]
    assert {row["images"] for row in rows if parse(row["method"]).method.needs == "logits"} == {3} and found["recommended"] is not None
    assert not {entry["method"] for entry in found["whole"]["cast:picture:90"]} & {"rise", "occlusion", "vargrad"}
    assert {entry["images"] for entry in found["whole"]["cast:picture:90"]} == {2} and any("Colour cast over" in said for said in found["sentences"])
    assert len(found["transferred"]) == 3 and all(0 <= entry["regret"] < 0.5 for entry in found["transferred"])
    assert (tmp_path / HAIR.replace(":", "-") / "data" / "plants.json").is_file() and "Colour cast" in reports.render(tmp_path).read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_photos(tmp_path, real_faces):
    """In real faces, with the mesh's own parts; the path of the photos is in no file."""
    pytest.importorskip("ai_edge_litert")
    photos = real_faces / "faces256" / "real"
    settings = Settings(size=64, plants=("checkerboard:face:150",), photos=str(photos), count=200, images=8, slow=0, effects=8, learning_rate=1e-3)
    found = selftest.selftest("lenet", tmp_path, settings).summary
    assert found["images"] == "photos" and found["plants"][0]["learnt"] and found["settings"]["photos"] is True
    assert str(photos) not in (tmp_path / "selftest.json").read_text() and np.isfinite(found["plants"][0]["area_share"])
