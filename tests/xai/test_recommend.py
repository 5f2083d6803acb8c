"""What self-tests found and audits take from them: fingerprints, the user's file and the shipped one, and what does not fit."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

import xai
from models import build
from tests.conftest import tiny_model
from xai import recommend, wrap
from xai.errors import RunError
from xai.layertable import record as table_record
from xai.layertable import text as table_text
from xai.maps.methods import parse, resolve
from xai.recommend import Recommendation, architecture, configuration, own_file, recommended, remember


def network(size=16, filters=4, kernel=3, stride=1, padding="valid", activation="relu", head="flatten", rate=0.5, prefix="", seed=0):
    """A small detector; every argument is part of its build, but for the size, the dropout's rate, the names and the weights."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, 3))
    x = layers.Conv2D(filters, kernel, stride, padding, activation=activation, name=f"{prefix}one")(image)
    x = layers.Conv2D(6, 3, name=f"{prefix}two")(layers.Dropout(rate)(x))
    x = layers.Flatten()(x) if head == "flatten" else layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def fingerprint(**build):
    return architecture(wrap(network(**build)).graph)


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    """Files of the user and of whyfake that are this test's own."""
    monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(recommend, "SHIPPED", tmp_path / "shipped.json")
    return SimpleNamespace(own=tmp_path / "home" / "recommendations.json", shipped=tmp_path / "shipped.json")


@pytest.fixture(scope="module")
def detector():
    return wrap(network())


def entry(**changes):
    """What a self-test of `network` keeps: layers 0 and 2 are the convolutions, 1 is the dropout."""
    kept = {
        "architecture": fingerprint(),
        "network": "small",
        "size": 64,
        "images": "drawn portraits",
        "method": "layercam",
        "layer": 2,
        "why": "it pointed there",
    }
    kept |= {"passing": {"layercam": [0, 2], "lrp": [-1]}, "failed": {"gradcam": [0], "saliency": [-1]}, "unsure": {"gradcam": [2], "rise": [-1]}}
    return kept | changes


# The fingerprint


def test_what_is_no_part_of_the_build_does_not_matter():
    assert len({fingerprint(), fingerprint(size=40), fingerprint(seed=1), fingerprint(prefix="my_"), fingerprint(rate=0.1)}) == 1
    assert len(fingerprint()) == 16 and int(fingerprint(), 16) >= 0


@pytest.mark.parametrize(
    "change",
    [{"filters": 5}, {"kernel": 2}, {"stride": 2}, {"padding": "same"}, {"activation": "tanh"}, {"head": "pooling"}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_part_of_the_build_does(change):
    assert fingerprint(**change) != fingerprint()


def test_saved_and_loaded(tmp_path):
    model = network()
    model.save(tmp_path / "a.keras")
    assert architecture(xai.load(tmp_path / "a.keras").graph) == fingerprint()


def test_how_layers_are_linked_matters():
    def linked(first):
        image = keras.Input((8, 8, 3))
        a = layers.Conv2D(3, 3, padding="same")(image)
        b = layers.Conv2D(3, 3, padding="same")(a)
        x = layers.Conv2D(3, 3, padding="same")(layers.Add()([b, a if first else image]))
        return architecture(wrap(keras.Model(image, layers.Dense(1)(layers.Flatten()(x)))).graph)

    assert linked(True) != linked(False) and linked(True) == linked(True)


def test_networks_of_this_project_differ_and_sizes_do_not():
    of = {name: architecture(wrap(build(name, 64)).graph) for name in ("lenet", "alexnet", "alexnet_bn")}
    assert len(set(of.values())) == 3 and architecture(wrap(build("lenet", 48)).graph) == of["lenet"]
    flat, pooled = (architecture(wrap(build("alexnet18", 256, head=head)).graph) for head in ("flatten", "pooling"))
    assert flat != pooled and architecture(wrap(build("alexnet18", 320)).graph) == flat


class Worded(layers.Layer):
    """A user's own layer, made with something that no file holds."""

    def __init__(self, change, **options):
        super().__init__(**options)
        self.change = change

    def call(self, inputs):
        return self.change(inputs)


def test_layers_that_cannot_say_how_they_are_built(recwarn):
    """Code of a user's own neither stops an explanation nor draws a warning about files that are never written."""
    body = [keras.Input((8, 8, 3)), Worded(lambda x: x * 2), layers.Conv2D(2, 2, activation=lambda x: x * x), layers.Flatten(), layers.Dense(1)]
    own = wrap(keras.Sequential(body))
    assert configuration(body[1]) == {} and len(architecture(own.graph)) == 16
    assert own.default_method()[0] == "hirescam" and not recwarn.list


# Remembering


def test_round_trip(detector, homes):
    assert recommended(detector) is None and detector.recommendation() is None
    assert remember(entry()) == homes.own == own_file()
    first, second = detector.select("conv")
    failed = {"gradcam": (first,), "saliency": ("input",)}
    passing = {"layercam": (first, second), "lrp": ("input",)}
    unsure = {"gradcam": (second,), "rise": ("input",)}
    assert recommended(detector) == Recommendation("layercam", second, "it pointed there", passing, failed, unsure, "this machine", "small", 64)
    assert [path.name for path in homes.own.parent.iterdir()] == ["recommendations.json"]


@pytest.mark.parametrize(
    ("layer", "method", "verdict"),
    [
        ("two", "layercam", "passes"), ("one", "gradcam", "fails"), ("two", "gradcam", "unsure"),
        ("input", "lrp", "passes"), ("input", "saliency", "fails"), ("input", "rise", "unsure"),
        ("dropout", "layercam", ""), ("two", "saliency", ""), ("one", "rise", ""),  # these methods were scored, but not there
        ("one", "hirescam", ""), ("input", "rise:masks=9", ""),  # these were not
    ],
)  # fmt: skip
def test_what_it_says_of_a_map(detector, homes, layer, method, verdict):
    """Nothing of a map that was not scored, though its method or its layer were."""
    remember(entry())
    assert recommended(detector).says(layer, method) == verdict


def test_names_are_those_of_the_model_at_hand(homes):
    remember(entry())
    found = recommended(wrap(network(prefix="my_", size=24)))
    assert found is not None and found.layer == "my_two" and found.passing["layercam"] == ("my_one", "my_two")


def test_the_nearest_size_is_taken(homes):
    for size in (64, 256, 1024):
        remember(entry(size=size, why=f"at {size}"))
    assert [recommended(wrap(network(size=size))).size for size in (16, 150, 170)] == [64, 64, 256]


def test_a_later_self_test_of_a_size_replaces_the_earlier(detector, homes):
    for record in (entry(size=32), entry(size=64), entry(architecture="another"), entry(size=32, method="lrp", layer=-1)):
        remember(record)
    assert [(one["architecture"] == "another", one["size"]) for one in recommend.read(homes.own)] == [(False, 64), (True, 64), (False, 32)]
    assert (recommended(detector).method, recommended(detector).layer) == ("lrp", "input")


def test_the_users_file_goes_before_the_shipped_one(detector, homes):
    homes.shipped.write_text(json.dumps([entry(method="hirescam", size=16)]))
    assert (recommended(detector).method, recommended(detector).source) == ("hirescam", "whyfake")
    remember(entry(architecture="another"))
    assert recommended(detector).source == "whyfake"
    remember(entry(size=1024))  # farther from the detector's 16 pixels, and still it goes first
    assert (recommended(detector).method, recommended(detector).source) == ("layercam", "this machine")


@pytest.mark.parametrize("kept", [{"WHYFAKE_HOME": "a"}, {"XDG_DATA_HOME": "b"}, {"HOME": "c"}], ids=lambda kept: next(iter(kept)))
def test_where_it_is_kept(tmp_path, monkeypatch, kept):
    for name in ("WHYFAKE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    name, folder = next(iter(kept.items()))
    monkeypatch.setenv(name, str(tmp_path / folder))
    below = {"WHYFAKE_HOME": "", "XDG_DATA_HOME": "whyfake", "HOME": ".local/share/whyfake"}[name]
    assert own_file() == tmp_path / folder / below / "recommendations.json"


def test_what_comes_with_whyfake(monkeypatch, tmp_path):
    """Every entry can be read; the one of alexnet18 names layers and methods that there are, and audits take it."""
    path = Path(recommend.__file__).with_name("recommendations.json")
    if not path.is_file():
        pytest.skip("none comes with this checkout")
    monkeypatch.setattr(recommend, "SHIPPED", path)
    entries = recommend.read(path)
    assert len({(one["architecture"], one["size"]) for one in entries}) == len(entries) and str(Path.home()) not in path.read_text()
    alexnet18 = wrap(build("alexnet18", 256))
    known = recommended(alexnet18)
    assert known is not None and known.source == "whyfake" and known.says(known.layer, known.method) == "passes"
    assert resolve(("auto",), alexnet18) == (known.method,)
    for told in (known.passing, known.failed, known.unsure):
        assert {layer for layers in told.values() for layer in layers} <= {*alexnet18.layers, "input"} and all(parse(method) for method in told)
    assert not {(layer, method) for method, layers in known.passing.items() for layer in layers if known.says(layer, method) != "passes"}


# What detectors make of it


def test_the_default_method_and_the_layers(detector, homes):
    assert detector.default_method()[0] == "hirescam" and resolve(("auto",), detector) == ("hirescam",)
    remember(entry())
    assert detector.default_method() == ("layercam", "it pointed there")
    assert resolve(("auto",), detector, beside=("activation",)) == ("activation", "layercam")
    assert detector.select("auto") == detector.select("conv")


def test_the_recommended_layer_is_among_the_automatic_ones(homes):
    """A convolution that is not the last of its resolution, or not its unit's end: it is mapped all the same, in its place."""
    image = keras.Input((16, 16, 3))
    x = image
    for index in range(10):
        x = layers.Conv2D(2, 3, padding="same", name=f"c{index}")(x)
    model = wrap(keras.Model(image, layers.Dense(1)(layers.Flatten()(layers.ReLU(name="after")(x)))))
    assert model.select("auto") == ["after"]
    for layer, expected in ((4, ["c4", "after"]), (10, ["after"]), (9, ["c9", "after"]), (-1, ["after"])):
        remember(entry(architecture=architecture(model.graph), layer=layer, passing={}, failed={}, unsure={}))
        assert model.select("auto") == expected


def test_a_black_box_has_none(homes):
    box = xai.blackbox(lambda images: images[:, 0, 0, 0], 8)
    remember(entry())
    assert recommended(box) is None and box.default_method()[0] == "occlusion" and table_record(box)["layer"] is None


def test_the_table_of_layers(homes):
    model = wrap(tiny_model(), name="tiny")
    found = table_record(model)
    assert found["layers"][0] == {
        "name": "conv", "type": "Conv2D", "shape": (4, 4, 2), "stride": (2, 2), "offset": (1, 1), "receptive_field": (2, 2),
    }  # fmt: skip
    assert (found["method"], found["layer"], found["head"]) == ("hirescam", None, "flatten") and "flat" in found["refused"]
    assert json.loads(json.dumps(found))["layers"][0]["shape"] == [4, 4, 2]
    lines = table_text(model).splitlines()
    assert lines[0] == "tiny: 8 x 8, head: flatten, logit: input of the sigmoid in 'out'" and lines[1].startswith(
        "default method: hirescam (the head"
    )
    assert lines[4].split() == ["conv", "Conv2D", "4", "x", "4", "x", "2", "2", "2", "1", "1", "2", "2"]
    assert [line.split("  no map: ")[0].strip() for line in lines[5:]] == list(found["refused"])
    remember(entry(architecture=architecture(model.graph), layer=0, passing={}, failed={}, unsure={}))
    assert table_record(model)["layer"] == "conv" and table_text(model).splitlines()[1] == "default method: layercam at conv (it pointed there)"


# What does not fit


@pytest.mark.parametrize("where", ["own", "shipped"])
@pytest.mark.parametrize(("text", "match"), [("{", r"cannot be read \(.*remove it"), ("{}", "is no list of recommendations"), ("[1]", "is no list")])
def test_a_damaged_file(detector, homes, where, text, match):
    path = getattr(homes, where)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(RunError, match=f"{path.name}' {match}"):
        recommended(detector)
    if where == "own":
        with pytest.raises(RunError, match=match):
            remember(entry())


@pytest.mark.parametrize(
    "change",
    [
        {"layer": 9}, {"layer": "two"}, {"layer": None}, {"method": "limes"}, {"method": "rise:masks=many"}, {"passing": {"lrp": [7]}},
        {"passing": [1]}, {"failed": None}, {"size": "large"}, {"size": None}, {"why": ...}, {"size": ...}, {"network": ...},
        {"unsure": {"rise": -1}}, {"unsure": ...},
    ],
    ids=str,
)  # fmt: skip
def test_entries_that_do_not_fit(detector, homes, change):
    kept = {key: value for key, value in (entry() | change).items() if value is not ...}
    homes.shipped.write_text(json.dumps([kept]))
    with pytest.raises(RunError, match=r"shipped.json' holds a recommendation that cannot be used \(.*run the self-test again"):
        detector.default_method()
    homes.shipped.write_text(json.dumps([kept | {"architecture": "another"}]))
    assert detector.recommendation() is None  # what is wrong with others is not its business


def test_a_home_that_cannot_be_written(homes):
    homes.own.parent.write_text("a file, where the folder should be")
    with pytest.raises(RunError, match=r"was not remembered: .*cannot be written.*; set WHYFAKE_HOME to a folder that can be written"):
        remember(entry())


def test_numbers_of_numpy_are_kept_plain(homes):
    remember(entry(layer=np.int64(2), passing={"layercam": [np.int64(0)]}, size=np.int64(64)))
    assert json.loads(homes.own.read_text())[0]["layer"] == 2
