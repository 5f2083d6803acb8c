"""The command line: fast help, one line per error, every command documented."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from tests.reports.conftest import fabricate

ROOT = Path(__file__).parents[1]


def test_help_is_fast_because_nothing_heavy_is_imported(python):
    """The time itself (0.05 s on two cores) is no test; what would make it slow is."""
    code = """
import sys, cli
try:
    cli.main(["--help"], prog_name="whyfake")
except SystemExit:
    pass
sys.stderr.write(" ".join(sorted({"tensorflow", "keras", "numpy", "cv2", "matplotlib", "h5py", "scipy", "jinja2"} & set(sys.modules))))
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == ""
    assert "audit" in done.stdout


@pytest.mark.parametrize("command", list(cli.main.commands))
def test_every_command_has_help_and_stands_in_the_reference(whyfake, command):
    result = whyfake(command, "--help")
    assert result.exit_code == 0
    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"^## whyfake {command}\n(.*?)(?=^## |\Z)", reference, re.M | re.S)
    assert section, f"docs/cli.md has no section 'whyfake {command}'"
    shown = re.search(r"```text\n(.*?)\n```", section[1], re.S)[1]
    assert shown.split() == result.output.split(), f"the help of {command} has changed; put it into docs/cli.md"


def test_layers(whyfake, trained):
    result = whyfake("layers", trained.model)
    assert result.exit_code == 0
    assert re.search(r"conv2d_4 +Conv2D +2 x 2 x 128 +32 32 +112 112", result.output)
    assert "default method: hirescam" in result.output
    content = json.loads(whyfake("layers", trained.model, "--json").stdout)
    assert content["head"] == "flatten" and content["layers"][1]["name"] == "conv2d"


def test_evaluate_json_is_alone_on_standard_output(whyfake, trained, portraits):
    result = whyfake("evaluate", trained.model, portraits, "--split", "test", "--json")
    assert json.loads(result.stdout)["count"] == 6


def bad_folder(tmp_path):
    """The folder of the issue: broken, mislabelled and odd images beside each other."""
    place = tmp_path / "odd"
    place.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 280, 3), np.uint8)
    image = Image.fromarray(noise)
    image.save(place / "cut.jpg")
    (place / "cut.jpg").write_bytes((place / "cut.jpg").read_bytes()[:5000])
    (place / "text.png").write_text("I am no image")
    image.convert("L").save(place / "grey.png")
    image.convert("CMYK").save(place / "cmyk.jpg")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(place / "deep.png")
    image.convert("P").save(place / "palette.png")
    image.convert("RGBA").save(place / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 8
    image.save(place / "rotated.jpg", exif=exif)
    return place


def test_methods_may_be_given_one_by_one(whyfake, tiny_file, tmp_path):
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(tmp_path / "a.png")
    apart = whyfake("explain", tiny_file, tmp_path / "a.png", "--method", "activation", "--method", "hirescam,saliency", "--out", tmp_path / "out")
    assert apart.exit_code == 0, apart.output
    assert {path.stem.split("__")[-1] for path in (tmp_path / "out").glob("*.jpg")} == {"activation", "hirescam", "saliency"}


def test_a_seed_reaches_every_method_that_draws_and_was_given_none(whyfake, tiny_file, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    methods = "hirescam,rise:masks=20,smoothgrad:samples=2:seed=1"
    seeded = whyfake("explain", tiny_file, tmp_path / "a.png", "--method", methods, "--out", tmp_path / "out", "--seed", 3)
    assert seeded.exit_code == 0, seeded.output
    names = sorted(path.stem.split("__")[-1] for path in (tmp_path / "out").glob("*.jpg"))
    assert names == ["hirescam", "rise+masks+20+seed+3", "smoothgrad+samples+2+seed+1"]


def test_explain_goes_through_a_folder_of_odd_files(whyfake, trained, tmp_path):
    result = whyfake("explain", trained.model, bad_folder(tmp_path), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "30 overlays of 6 images" in result.output and "skipped 2 unreadable files: see" in result.output
    skipped = (tmp_path / "out" / "skipped.csv").read_text()
    assert "cut short (truncated)" in skipped and "it is a text file" in skipped
    with Image.open(next((tmp_path / "out").glob("rotated.jpg__conv2d__*"))) as picture:
        assert picture.size == (300, 280)  # turned upright: the file itself is 280 wide and 300 high


def test_strict_makes_a_skipped_file_a_failure(whyfake, trained, tmp_path):
    result = whyfake("explain", trained.model, bad_folder(tmp_path), "--out", tmp_path / "out", "--strict")
    assert result.exit_code == 1 and "Error: --strict: skipped 2 unreadable files; the first is" in result.output


def test_audit_and_report_again(whyfake, trained, portraits, tmp_path):
    result = whyfake("audit", trained.model, portraits, "--out", tmp_path / "run", "--limit", 8, "--layers", "conv2d_3", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    page = Path(content["report"])
    first = page.read_bytes()
    assert content["images"]["read"] == 8 and b"<!doctype html>" in first[:30].lower()
    assert whyfake("report", tmp_path / "run").exit_code == 0
    assert page.read_bytes() == first


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """A run directory that no model made."""
    return fabricate(tmp_path_factory.mktemp("made") / "run", layers=[("conv", 4, 128.0, 64.0, 128.0, 2)])


def test_report_as_one_file_and_as_a_folder(whyfake, made_up):
    """Six images are one file unless told otherwise."""
    single = whyfake("report", made_up)
    assert single.output == f"report: {made_up / 'index.html'}\n"
    content = (made_up / "index.html").read_bytes()
    folder = whyfake("report", made_up, "--folder")
    assert folder.exit_code == 0, folder.output
    assert Path(folder.output.removeprefix("report: ").strip()).is_file() and (made_up / "index.html").read_bytes() != content
    assert whyfake("report", made_up, "--single-file").exit_code == 0
    assert (made_up / "index.html").read_bytes() == content


def test_a_large_page_is_said(whyfake, made_up, monkeypatch):
    monkeypatch.setattr("cli.LARGE", 1000)
    result = whyfake("report", made_up)
    assert result.exit_code == 0 and "browsers open slowly; --folder makes a folder" in result.stderr


def test_a_short_report(whyfake, made_up):
    result = whyfake("report", made_up, "--format", "md")
    assert result.output == f"report: {made_up / 'summary.md'}\n"
    assert (made_up / "summary.md").read_text(encoding="utf-8").startswith("# Where does alexnet18 look?\n")


def test_a_printed_report_needs_a_browser(whyfake, made_up, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("WHYFAKE_CHROMIUM", raising=False)
    result = whyfake("report", made_up, "--format", "pdf")
    assert result.exit_code == 1 and result.output.startswith("Error: no Chromium was found") and result.output.count("\n") == 1


@pytest.mark.parametrize("layout", ["--folder", "--single-file"])
def test_a_short_report_has_no_layout(whyfake, made_up, layout):
    result = whyfake("report", made_up, "--format", "md", layout)
    assert result.exit_code == 2 and "are for the page; leave them out with --format md" in " ".join(result.output.split())


def test_only_audits_have_a_short_report(whyfake, tmp_path):
    (tmp_path / "inspection.json").write_text("{}")
    result = whyfake("report", tmp_path, "--format", "md")
    assert result.exit_code == 1 and "holds inspection.json: only an audit is shown as md" in result.output


def test_portraits_command(whyfake, tmp_path):
    result = whyfake("portraits", tmp_path / "p", "--count", 4, "--size", 64, "--artefact", "droplet")
    assert result.exit_code == 0 and len(list((tmp_path / "p" / "fake").iterdir())) == 2
    again = whyfake("portraits", tmp_path / "p", "--count", 4, "--size", 64)
    assert again.exit_code == 1 and again.output.startswith("Error: ") and again.output.count("\n") == 1


@pytest.fixture
def places(tmp_path, trained, portraits):
    """Names for the table of mistakes below."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "real").mkdir(parents=True)
    Image.new("RGB", (300, 300)).save(tmp_path / "one" / "real" / "a.png")
    (tmp_path / "broken.keras").write_text("no model")
    return {
        "M": trained.model,
        "D": portraits,
        "E": tmp_path / "empty",
        "O": tmp_path / "one",
        "B": tmp_path / "broken.keras",
        "T": tmp_path / "out",
        "G": tmp_path / "gone",
    }


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("explain M D --out T --layers conv9", 1, "layer 'conv9' is not in the model; expected"),
        ("explain M D --out T --layers flatten", 1, "layer 'flatten' cannot be mapped: 'flatten' (Flatten) mixes all places"),
        ("explain M D --out T --method limes", 1, "method 'limes' is not known; expected auto or activation"),
        ("explain M D --out T --method ,", 2, "--method names no method"),
        ("explain G D --out T", 1, "does not exist; give a .keras or .h5 file"),
        ("explain B D --out T", 1, "damaged or no Keras model"),
        ("explain M E --out T", 1, "no images in"),
        ("explain M G --out T", 1, "does not exist; give an image or a folder"),
        ("explain M --out T", 2, "Missing argument 'IMAGES...'"),
        ("explain M D", 2, "Missing option '--out'"),
        ("audit M E --out T", 1, "no images in"),
        ("audit M O --out T", 1, "has 'real/' but no 'fake/'"),
        ("audit M D --out T --masks G", 1, "is no folder; expected label images"),
        ("audit G D --out T", 1, "does not exist"),
        ("train alexnet18 E --out T --size 256", 1, "holds no classes"),
        ("train alexnet18 O --out T --size 256", 1, "has 'real/' but no 'fake/'; a detector needs both"),
        ("train alexnet18 D --out T --size 100", 1, "at least 256 pixels a side"),
        ("train resnet99 D --out T --size 256", 1, "network 'resnet99' is not known"),
        ("train alexnet18 D --out B --size 256", 1, "cannot be written"),
        ("train lenet D --out T --augment mirror", 1, "augmentation 'mirror' is not known"),
        ("train transfer:mobilenetv2 D --out T", 1, "MobileNetV2"),
        ("train transfer:MobileNetV2 D --out T --weights G", 1, "do not exist; expected imagenet, none or a file"),
        ("train encoder-classifier D --out T", 1, "--encoder"),
        ("train encoder-classifier D --out T --encoder M", 1, "encoder"),
        ("train autoencoder E --out T", 1, "no images in"),
        ("train lenet D --out T --resume --balance sometimes", 2, "Invalid value for '--balance'"),
        ("zoo D --out T --networks lenet,resnet99", 1, "network 'resnet99' is not known"),
        ("zoo D --out T --networks autoencoder --size 32", 1, "an autoencoder tells no classes apart"),
        ("zoo D --out T --networks ,", 2, "--networks names no network"),
        ("zoo D --out T --shares half", 1, "share 'half' is no number"),
        ("inspect G", 1, "does not exist"),
        ("inspect E", 1, "no images"),
        ("evaluate M O", 1, "has 'real/' but no 'fake/'"),
        ("evaluate M G", 1, "does not exist"),
        ("selftest lenett --out T", 1, "'lenett' is neither a network nor a model: expected one of alexnet18"),
        ("selftest autoencoder --out T", 1, "cannot be trained on its own"),
        ("selftest M --out T --size 64", 1, "the model takes 256 x 256 images; --model-size 64 does not fit"),
        ("selftest M --out T --model-size 64", 1, "the model takes 256 x 256 images; --model-size 64 does not fit"),
        ("selftest M --out T --output nose", 1, "nose"),
        ("selftest B --out T", 1, "damaged or no Keras model"),
        ("selftest lenet --out T --plants smear", 1, "plant kind 'smear' is not known"),
        ("selftest lenet --out T --plants ,", 2, "--plants names no plant"),
        ("selftest lenet --out T --photos G", 1, "does not exist"),
        ("selftest lenet --out T --count 10", 2, "Invalid value for '--count'"),
        ("selftest lenet --out B", 1, "cannot be written"),
        ("report E", 1, "summary.json"),
        ("report G --format md", 1, "is not a folder"),
        ("report E --format docx", 2, "Invalid value for '--format'"),
        ("portraits T --artefact unicorn", 1, "unicorn"),
        ("layers M --positive maybe", 2, "Invalid value for '--positive'"),
        ("nonsense", 2, "No such command 'nonsense'"),
    ],
)
def test_mistakes_give_one_line_and_a_status(whyfake, places, words, status, message):
    result = whyfake(*[places.get(word, word) for word in words.split()])
    assert result.exit_code == status, result.output
    assert message in result.output.replace("\n", " ")
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    if status == 1:
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1 and result.stderr.splitlines()[-1] == errors[0]


def test_numbered_classes_need_to_be_told_apart(whyfake, trained, portraits, tmp_path):
    """1 means real here: --positive real says so, and does not turn our own model round."""
    for label, number in (("fake", "0"), ("real", "1")):
        shutil.copytree(portraits / label, tmp_path / "data" / number)
    refused = whyfake("evaluate", trained.model, tmp_path / "data")
    assert refused.exit_code == 1 and "--positive" in refused.output
    told = json.loads(whyfake("evaluate", trained.model, tmp_path / "data", "--positive", "real", "--json").stdout)
    straight = json.loads(whyfake("evaluate", trained.model, portraits, "--json").stdout)
    assert told["confusion"] == straight["confusion"]


def test_inspect(whyfake, portraits, tmp_path):
    result = whyfake("inspect", portraits, "--out", tmp_path / "out")
    assert result.exit_code == 0 and "40 images" in result.stdout and "file size" in result.stdout
    assert "report: " in result.stderr and (tmp_path / "out" / "index.html").is_file()
    found = json.loads(whyfake("inspect", portraits, "--json").stdout)
    assert found["layout"].startswith("Class folders") and "files" not in found


def test_a_small_comparison(whyfake, portraits, tmp_path):
    words = ("zoo", portraits, "--networks", "lenet", "--size", 32, "--epochs", 1, "--out", tmp_path)
    result = whyfake(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("network") and f"report: {tmp_path / 'index.html'}" in result.stdout
    assert "lenet: already there" in whyfake(*words).stderr


@pytest.mark.parametrize(("option", "first", "second"), [("networks", "nonet", "lenet"), ("shares", "7", "0.25"), ("augment", "swirl", "flip")])
def test_an_option_of_names_given_twice_counts_twice(whyfake, portraits, tmp_path, option, first, second):
    result = whyfake("zoo", portraits, f"--{option}", first, f"--{option}", second, "--out", tmp_path)
    assert result.exit_code == 1 and first in result.stderr.splitlines()[-1]


def test_selftest(whyfake, tmp_path, monkeypatch):
    """A small network of one's own, one plant: the sentences, the table, the page; again, and nothing is trained."""
    import keras
    from keras import layers

    monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "home"))
    keras.utils.set_random_seed(0)
    body = [layers.Rescaling(1 / 255), layers.Conv2D(8, 5, 2, activation="relu", name="conv"), layers.MaxPooling2D(2), layers.Flatten()]
    keras.Sequential([keras.Input((64, 64, 3)), *body, layers.Dense(1, activation="sigmoid")]).save(tmp_path / "own.keras")
    words = ("selftest", tmp_path / "own.keras", "--plants", "checkerboard:hair:200", "--count", 100, "--images", 8, "--slow", 0, "--effects", 0)
    words = (*words, "--epochs", 12, "--learning-rate", 0.003, "--out", tmp_path / "out")
    result = whyfake(*words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Use ") and any(line.split()[0] == "hirescam" for line in lines if line.startswith("hirescam"))
    assert lines[-1] == f"report: {tmp_path / 'out' / 'index.html'}" and (tmp_path / "out" / "index.html").stat().st_size > 20_000
    assert "training own on 100 images of 64 x 64" in result.stderr and (tmp_path / "home" / "recommendations.json").is_file()
    again = whyfake(*words, "--json")
    assert "done in an earlier run" in again.stderr and "training" not in again.stderr
    found = json.loads(again.stdout)
    assert found["settings"]["count"] == 100 and found["plants"][0]["learnt"] and found["recommended"]["layer"] in ("conv", "input")
    assert f"default method: {found['recommended']['method']} at {found['recommended']['layer']}" in whyfake("layers", tmp_path / "own.keras").output
    quiet = whyfake(*words, "--quiet")
    assert quiet.stderr == "" and quiet.stdout.splitlines()[0] == lines[0]


def test_selftest_options_are_its_settings():
    """What the command line may say is what `Settings` holds, with the same defaults; of foreign models, what `load` takes."""
    import inspect
    from dataclasses import fields

    from train.selftest import Settings
    from xai.detector import load

    given = cli.main.commands["selftest"].make_context("selftest", ["lenet"]).params
    settings = {field.name: field.default for field in fields(Settings)}
    foreign = set(inspect.signature(load).parameters) - {"path", "size"}
    choices = {name: value for name, value in given.items() if name not in ("what", "out", "quiet", "as_json", "plants", *foreign)}
    assert foreign < set(given) and not any(given[name] for name in foreign) and "size" in choices
    assert choices == {name: settings[name] for name in choices}


def test_demo_on_few_portraits(whyfake, tmp_path):
    """The whole path at its smallest: what it learns is not the point here (the slow test and the note measure that)."""
    result = whyfake("demo", "--out", tmp_path, "--size", 256, "--count", 60, "--epochs", 1, "--quiet")
    assert result.exit_code == 0, result.output
    lines = result.stdout.strip().splitlines()
    assert lines[0].startswith("Accuracy on 12 held-out portraits: ")
    assert "planted on the eyes (1." in lines[2] and "convolutions" in lines[2]
    assert lines[3].startswith("Claim “eyes”. Looked at: ")
    trust = json.loads((tmp_path / "audit" / "summary.json").read_text())["trust"]
    assert lines[4] == trust["meaning"] and lines[4].startswith(("Believe ", "None of these maps")) and trust["images"] == 8 and len(lines) == 6
    assert lines[5] == f"report: {tmp_path / 'audit' / 'index.html'}" and (tmp_path / "audit" / "index.html").stat().st_size > 50_000
    again = whyfake("demo", "--out", tmp_path, "--size", 512, "--count", 60, "--quiet")
    assert again.exit_code == 1 and "holds other portraits (60 of 256, seed 0); give another --out" in again.output
