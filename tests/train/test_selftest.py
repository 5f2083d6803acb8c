"""The self-test from end to end at a small size: what it finds, keeps and remembers, and how it goes on after a stop."""

import csv
import json
import shutil
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

import reports
import xai
from models import build
from tests.train.test_leaderboard import table
from train import planting, selftest
from train.leaderboard import FIELDS
from train.plants import Plant
from train.scoring import AFFORDABLE, ALIASES, Scores
from train.selftest import Settings, identity, strengthened
from train.selftestwords import text
from xai import recommend
from xai.errors import WhyfakeError
from xai.images import read
from xai.maps.methods import METHODS, resolve

HAIR, MARK = "checkerboard:hair:200", "watermark:bottom_right_corner:255"
SMALL = Settings(size=64, plants=(HAIR, MARK), count=120, images=8, slow=0, effects=8, epochs=12, learning_rate=1e-3)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A home of these tests' own, so that what they remember is nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("selftests")
        patch.setenv("WHYFAKE_HOME", str(folder))
        patch.setattr(recommend, "SHIPPED", folder / "none.json")
        yield folder


@pytest.fixture(scope="module")
def tested(tmp_path_factory, home):
    """Lenet on two plants: seven seconds each on two cores."""
    lines: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "lenet"
    result = selftest.selftest("lenet", out, SMALL, command=("whyfake", "selftest", "lenet", "--out", str(out)), say=lines.append)
    return SimpleNamespace(out=out, found=result.summary, lines=lines, kept=json.loads((home / "recommendations.json").read_text()))


# What it leaves


def test_what_is_written(tested):
    assert {path.name for path in tested.out.iterdir()} == {"selftest.json", "leaderboard.csv", *(text.replace(":", "-") for text in (HAIR, MARK))}
    for plant in (HAIR, MARK):
        inside = {path.name for path in (tested.out / plant.replace(":", "-")).iterdir()}
        assert inside == {"detector", "plant.json", "scores.npz", "example.png", "shards"}  # the images are gone
        assert read(tested.out / plant.replace(":", "-") / "example.png").shape[1] >= 4 * 256
    assert not [path for path in tested.out.rglob("*") if path.name.startswith(".")]
    assert json.loads((tested.out / "selftest.json").read_text()) == tested.found
    with (tested.out / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(FIELDS) and len(rows) == len(tested.found["rows"])
    assert str(tested.out.parent) not in (tested.out / "selftest.json").read_text()
    assert tested.found["command"] == ["whyfake", "selftest", "lenet", "--out", "lenet"]


def test_what_was_planted_is_learnt_and_found_by_swapping(tested):
    for plant, region in zip(tested.found["plants"], ("hair", "bottom_right_corner"), strict=True):
        assert plant["learnt"] and plant["accuracy"] >= 0.95 and plant["held_out"] == 24 and plant["images"] == 8 and 1 <= plant["epochs"] <= 12
        assert plant["region"] == plant["first"] == region and plant["found"] and "key" not in plant
        assert plant["training"] == {"real": 38, "fake": 38} and 0 < plant["area_share"] < 0.5 and not plant["skipped"]
        own = next(row for row in plant["effects"] if row["region"] == region)
        assert own["net_low"] > 0 and own["net"] == max(row["net"] for row in plant["effects"] if not row["within"])
    assert [plant["shortcut"] for plant in tested.found["plants"]] == [False, True]


def test_the_leaderboard(tested):
    """Every usable method has a row of every plant at every layer; only what is on the face is judged together, the watermark beside it."""
    rows = tested.found["rows"]
    by_plant = {plant: [row for row in rows if row["plant"] == plant] for plant in ("all", HAIR, MARK)}
    pairs = [[(row["layer"], row["method"]) for row in own] for own in by_plant.values()]
    assert sum(map(len, pairs)) == len(rows) and pairs[0] == pairs[1] == pairs[2]
    assert {layer for layer, _ in pairs[0]} == {"conv2d", "conv2d_1", "input"}
    assert {method for _, method in pairs[0]} == {*(name for name, method in METHODS.items() if method.needs != "logits"), *AFFORDABLE} - set(ALIASES)
    assert {row["images"] for row in rows if row["method"] == "hirescam"} == {8} and {
        row["images"] for row in rows if row["method"] == "vargrad"
    } == {1}
    same = {key for key in FIELDS if key not in ("plant", "verdict")}
    assert [{key: row[key] for key in same} for row in by_plant["all"]] == [{key: row[key] for key in same} for row in by_plant[HAIR]]
    assert {row["verdict"] for row in by_plant["all"]} <= {"passes", "fails", "unsure"} and {row["verdict"] for row in by_plant[MARK]} == {""}


def test_what_it_recommends(tested):
    """HiResCAM or as cheap a map finds hair without fail; what is chosen passes and is close to the best."""
    chosen = tested.found["recommended"]
    row = next(row for row in tested.found["rows"] if row["plant"] == "all" and all(row[key] == chosen[key] for key in ("layer", "method")))
    assert row["verdict"] == "passes" and row["pointing"] > 0.9 and row["density"] > 2 and row["score"] == chosen["score"]
    assert chosen["regret"] == pytest.approx(1 - chosen["score"] / chosen["best"])
    assert next(entry for entry in tested.found["methods"] if entry["method"] == "hirescam")["verdict"] == "passes"
    said = tested.found["sentences"]
    assert said[0].startswith("Use ") and "in a self-test of lenet at 64 x 64 it pointed at what was planted in" in said[0]
    assert said[1].startswith("The detector that was given a watermark was caught: swapping the bottom right corner moves the logit by ")
    assert "Swapping regions put the planted one first for 1 of 1 artefacts." in said
    shown = text(tested.found).splitlines()
    assert shown[: len(said)] == said and {line.split()[0] for line in shown[len(said) + 2 :]} == {
        entry["method"] for entry in tested.found["methods"]
    }


def test_the_lines_it_says(tested):
    assert [line.split(": ", 1)[1].split(",")[0] for line in tested.lines if line.startswith(HAIR)] == [
        "training lenet on 120 images of 64 x 64", "accuracy 1.000", "swapping 23 regions of 8 images",
    ]  # fmt: skip


def test_it_is_remembered(tested):
    """By the build alone: other sizes and untrained weights are known too; an audit's 'auto' is the recommended map."""
    chosen = tested.found["recommended"]
    (kept,) = tested.kept
    assert (kept["architecture"], kept["size"], kept["network"], kept["method"]) == (tested.found["architecture"], 64, "lenet", chosen["method"])
    for detector in (xai.load(tested.out / HAIR.replace(":", "-") / "detector"), xai.wrap(build("lenet", 96))):
        assert detector.default_method() == (chosen["method"], chosen["why"])
        assert resolve(("auto",), detector, beside=("activation",)) == tuple(dict.fromkeys(("activation", chosen["method"])))
        known = detector.recommendation()
        assert (
            known is not None
            and known.layer == chosen["layer"]
            and known.source == "this machine"
            and known.says(chosen["layer"], chosen["method"]) == "passes"
        )
        for told, at in ((known.passing, "layers"), (known.failed, "fails_at"), (known.unsure, "unsure_at")):
            assert told == {entry["method"]: tuple(entry[at]) for entry in tested.found["methods"] if entry[at]}
        scored = {(row["layer"], row["method"]): row["verdict"] for row in tested.found["rows"] if row["plant"] == "all"}
        assert {pair: known.says(*pair) for pair in scored} == scored and known.says("input", "rise") == ""
    assert xai.wrap(build("alexnet", 64)).recommendation() is None


def test_the_page(tested):
    page = reports.render(tested.out)
    assert "Which map tells the truth on lenet?" in page.read_text(encoding="utf-8") and page == tested.out / "index.html"
    page.unlink()


# Going on after a stop


def test_the_same_again_trains_nothing(tested, monkeypatch):
    for name in ("made", "examine"):
        monkeypatch.setattr(selftest, name, None)
    monkeypatch.setattr("train.fit.fit", None)
    lines: list[str] = []
    again = selftest.selftest("lenet", tested.out, replace(SMALL, keep=True), command=tested.found["command"], say=lines.append).summary
    accuracies = [plant["accuracy"] for plant in tested.found["plants"]]
    assert lines == [f"{plant}: done in an earlier run, accuracy {value:.3f}" for plant, value in zip((HAIR, MARK), accuracies, strict=True)]
    differing = {key for key in again if again[key] != tested.found[key]}
    assert differing <= {"seconds", "settings"}  # of the settings, what is to be kept


@pytest.mark.parametrize("lost", ["plant.json", "scores.npz"])
def test_what_is_missing_is_made_again_and_no_more(tested, tmp_path, monkeypatch, lost):
    """As after a kill in the second plant: what lies in its folder is half done."""
    shutil.copytree(tested.out, tmp_path / "out")
    folder = tmp_path / "out" / MARK.replace(":", "-")
    (folder / lost).unlink()
    called = []

    def examine(subject, data, into, settings, learnt, **options):
        called.append((subject.name, data.plant.text, into, learnt))
        assert not (folder / "shards").exists()  # of another detector
        stored = json.loads((tested.out / into.name / "plant.json").read_text())
        return stored, Scores.read(tested.out / into.name / "scores.npz")

    monkeypatch.setattr(selftest, "examine", examine)
    monkeypatch.setattr(selftest, "made", nothing_drawn)
    again = selftest.selftest("lenet", tmp_path / "out", SMALL).summary
    assert called == [("lenet", MARK, folder, selftest.LEARNT)]
    assert again["rows"] == tested.found["rows"] and again["recommended"] == tested.found["recommended"] and (folder / lost).exists()


def nothing_drawn(plant, folder, settings, quiet):
    """Stand in for drawing."""
    return planting.Planted(folder, plant, {"real": 1, "fake": 1}, {})


def test_other_settings_are_another_self_test():
    subject = selftest.Subject("lenet", "lenet", "", 64, "", (), (), "lenet")
    plant = Plant.parse(HAIR)
    others = {"size": 96, "count": 100, "images": 9, "slow": 1, "effects": 9, "epochs": 3, "learning_rate": 1.0, "batch_size": 4, "seed": 1}
    others |= {"network": {"a": 1}, "foreign": {"output": "b"}}
    keys = {identity(subject, plant, replace(SMALL, **{name: value})) for name, value in others.items()}
    keys |= {identity(replace(subject, key="another"), plant, SMALL), identity(subject, Plant.parse(MARK), SMALL), identity(subject, plant, SMALL)}
    assert len(keys) == len(others) + 3
    assert identity(replace(subject, name="a", path="b"), plant, replace(SMALL, keep=True, plants=(MARK,))) in keys
    assert set(asdict(SMALL)) == {*others, "plants", "photos", "keep"}  # a new one must be thought of here


def test_photos_are_part_of_it(tmp_path):
    subject = selftest.Subject("lenet", "lenet", "", 64, "", (), (), "lenet")
    keys = []
    for content in (b"a", b"ab"):
        (tmp_path / "a.png").write_bytes(content)
        keys.append(identity(subject, Plant.parse(HAIR), replace(SMALL, photos=str(tmp_path))))
    assert len({*keys, identity(subject, Plant.parse(HAIR), SMALL)}) == 3


# What is not learnt


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Let accuracy depend on the strength by a rule, drawing and training left out; in a home of its own."""
    monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(selftest, "made", nothing_drawn)
    return lambda rule: monkeypatch.setattr(selftest, "examine", invented(rule) if rule else None)


def invented(accuracy):
    """Stand in for training: a plant's record with an accuracy by its strength, and scores where that is enough."""

    def examine(subject, data, folder, settings, learnt, **options):
        plant, found = data.plant, accuracy(data.plant.strength)
        own = [{"region": plant.region, "within": "", "images": 8, "net": 3.0, "net_low": 2.0, "net_high": 4.0}]
        record = {name: getattr(plant, name) for name in ("text", "name", "kind", "region", "strength", "shortcut", "whole", "sentence")}
        record |= {
            "accuracy": found,
            "accuracy_interval": [found, found],
            "held_out": 40,
            "epochs": 3,
            "images": 20,
            "training": {},
            "area_share": 0.1,
        }
        record |= {"learnt": found >= learnt, "effects": own, "first": plant.region, "found": None if plant.whole else True}
        maps = {("conv2d_1", "hirescam"): table(20), ("conv2d_1", "gradcam"): table(2, 18), ("input", "lrp"): table(11, 9)}
        return record, Scores(maps) if record["learnt"] else None

    return examine


@pytest.mark.parametrize(
    ("plant", "needed", "tried", "learnt"),
    [
        ("checkerboard:hair:40", 0, [40], True),
        ("checkerboard:hair:40", 50, [40, 60], True),
        ("checkerboard:hair:40", 61, [40, 60, 90], True),
        ("checkerboard:hair:40", 200, [40, 60, 90], False),
        ("checkerboard:hair:150", 255, [150, 225], False),  # 337 grey levels there are not
        ("jpeg:picture:97", 99, [97], False),
    ],
)
def test_stronger_where_it_is_not_learnt(tmp_path, pretend, plant, needed, tried, learnt):
    pretend(lambda strength: 0.97 if strength >= needed else 0.6)
    lines: list[str] = []
    found = selftest.selftest("lenet", tmp_path, replace(SMALL, plants=(plant, MARK if needed == 0 else plant)), say=lines.append).summary
    record = found["plants"][0]
    assert (record["strength"], record["learnt"]) == (tried[-1], learnt) and len(found["plants"]) == (2 if needed == 0 else 1)
    kind, region, _ = plant.split(":")
    missed = tried[:-1] if learnt else tried
    assert [line for line in lines if "not learnt" in line] == [
        f"{kind}:{region}:{strength}: accuracy 0.600 on 40 held-out images, so it was not learnt" for strength in missed
    ]
    if not learnt:
        assert found["rows"] == found["methods"] == [] and found["recommended"] is None
        assert found["sentences"][0].startswith("Nothing was learnt, so nothing can be said about maps: ")
        assert found["sentences"][-1] == f"Not learnt, and left out: {kind}:{region}:{tried[-1]} (60%)."
        assert text(found).startswith("Nothing was learnt") and reports.render(tmp_path).is_file()
    lines.clear()
    pretend(None)
    again = selftest.selftest("lenet", tmp_path, replace(SMALL, plants=(plant, MARK if needed == 0 else plant)), say=lines.append).summary
    assert again["plants"] == found["plants"] and len([line for line in lines if "done in an earlier run" in line]) == len(tried) + (needed == 0)


def test_one_that_is_not_learnt_is_left_out(tmp_path, pretend):
    """Two plants of three are scored; half of the fakes is the least on any of them."""
    pretend(lambda strength: 0.97 if strength > 100 else 0.5)
    settings = replace(SMALL, plants=("checkerboard:hair:101", "checkerboard:eyes:1", "checkerboard:nose:102", "cast:picture:101"))
    found = selftest.selftest("lenet", tmp_path, settings).summary
    together = [row for row in found["rows"] if row["plant"] == "all"]
    assert {row["images"] for row in together} == {40} and [plant["learnt"] for plant in found["plants"]] == [True, False, True, True]
    assert {entry["method"]: entry["verdict"] for entry in found["methods"]} == {"hirescam": "passes", "lrp": "unsure", "gradcam": "fails"}
    assert [entry["plant"] for entry in found["transferred"]] == ["checkerboard:hair:101", "checkerboard:nose:102"]
    assert list(found["whole"]) == ["cast:picture:101"] and found["whole"]["cast:picture:101"][0]["half_area"] == pytest.approx(0.02)
    assert "Grad-CAM failed: at no layer did they point at what was planted in half of the fakes." in found["sentences"]
    assert "Not learnt, and left out: checkerboard:eyes:2.25 (50%)." in found["sentences"]
    (kept,) = [entry for entry in recommend.read(recommend.own_file()) if entry["architecture"] == found["architecture"]]
    assert "gradcam" in kept["failed"]
    assert (kept["passing"], kept["failed"], kept["unsure"], kept["layer"]) == ({"hirescam": [3]}, {"gradcam": [3]}, {"lrp": [-1]}, 3)


def test_shortcuts_alone_are_judged_where_there_is_nothing_else(tmp_path, pretend):
    pretend(lambda strength: 1.0)
    found = selftest.selftest("lenet", tmp_path, replace(SMALL, plants=(MARK,))).summary
    assert found["recommended"]["method"] == "hirescam" and found["transferred"] == [] and "(1 region)" in found["recommended"]["why"]
    only = selftest.selftest("lenet", tmp_path / "whole", replace(SMALL, plants=("cast:picture:60",))).summary
    assert (
        only["recommended"] is None and only["sentences"][0].startswith("No map can be recommended") and reports.render(tmp_path / "whole").is_file()
    )


def test_a_home_that_cannot_be_written_loses_nothing(tmp_path, pretend, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "file"))
    pretend(lambda strength: 1.0)
    with pytest.raises(WhyfakeError, match=r"was not remembered: .*; set WHYFAKE_HOME to a folder that can be written"):
        selftest.selftest("lenet", tmp_path / "out", SMALL)
    assert json.loads((tmp_path / "out" / "selftest.json").read_text())["recommended"]["method"] == "hirescam"


def test_stronger():
    assert [strengthened(Plant.parse("checkerboard:eyes:60"), factor).text for factor in (1.0, 1.5, 2.25)] == [
        "checkerboard:eyes:60", "checkerboard:eyes:90", "checkerboard:eyes:135",
    ]  # fmt: skip
    assert strengthened(Plant.parse("watermark::200"), 1.5) is None
