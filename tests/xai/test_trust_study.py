"""The trust tests of an audit: their files, what becomes of maps whose worth is known, and what is said of what cannot be tested."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from xai import wrap
from xai.audit import audit
from xai.blackboxes import blackbox
from xai.items import Item
from xai.probes.donors import CLASSES
from xai.provenance import Request
from xai.rows import Rows, texts
from xai.trust import study, table
from xai.trust.sanity import SIMILAR_FIELDS, STABLE_FIELDS
from xai.trust.study import FILES, TABLES, sample

REQUEST = Request(layers="conv", methods=("activation", "hirescam"), regions="none", checks=16)
FIELDS = (SIMILAR_FIELDS, STABLE_FIELDS, table.FIELDS, table.CURVE_FIELDS)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No self-test of this machine, or of those that come with whyfake, is known."""
    monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("xai.recommend.SHIPPED", tmp_path / "none.json")


@pytest.fixture(scope="module")
def spotter():
    """32 x 32 images; a convolution takes means of red and green, a head calls fake what is red in one place, and real what is green there."""
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(2, 4, 4, activation="relu", name="conv")(image)
    model = keras.Model(image, layers.Dense(1, activation="sigmoid", name="out")(layers.Flatten(name="flat")(x)))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[..., 0, 0] = kernel[..., 1, 1] = 1 / 16
    model.get_layer("conv").set_weights([kernel, np.zeros(2, np.float32)])
    weights = np.random.default_rng(0).normal(0, 1e-4, (8, 8, 2)).astype(np.float32)
    weights[2:4, 4:6] = [0.01, -0.01]
    model.get_layer("out").set_weights([weights.reshape(-1, 1), np.zeros(1, np.float32)])
    return wrap(model, name="spotter")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Item]:
    """Twenty images of noise; where the spotter looks, the fakes are red, the reals green."""
    folder, items = tmp_path_factory.mktemp("pictures"), []
    for index in range(20):
        label = "fake" if index % 2 else "real"
        image = np.random.default_rng(index).integers(60, 200, (32, 32, 3), np.uint8)
        image[8:16, 16:24, :2] = (240, 10) if index % 2 else (10, 240)
        path = folder / label / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1])
        items.append(Item(index, path, f"{label}/{index}.png", label, f"{index:064x}"))
    return items


def audited(detector, items, out, request=REQUEST):
    """Audit, check that the four tables agree with the summary, and return what it says on trust."""
    lines: list[str] = []
    result = audit(detector, items, out, request, say=lines.append)
    found = result.summary["trust"]
    assert json.loads((out / "summary.json").read_text())["trust"] == found
    for name, fields, key in zip(TABLES, FIELDS, ("similar", "stable", "faithful", "curves"), strict=True):
        with (out / name).open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == list(fields) and len(rows) == 1 + len(found[key])
    said = json.dumps([found["methods"], found["meaning"], [entry["answers"] for entry in found["maps"]]])
    assert not re.search(r"\b(None|nan|slow=True)\b", said.replace("None of these", ""))
    return found, lines


def verdicts(found):
    return {(entry["layer"], entry["method"]): entry["verdict"] for entry in found["maps"]}


def answers(found, method):
    return next({name: answer["verdict"] for name, answer in entry["answers"].items()} for entry in found["maps"] if entry["method"] == method)


@pytest.fixture(scope="module")
def whole(spotter, pictures, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xai.recommend.SHIPPED", Path("none.json"))
        patch.setenv("WHYFAKE_HOME", str(tmp_path_factory.mktemp("home")))
        out = tmp_path_factory.mktemp("whole")
        return out, *audited(spotter, pictures, out)


class TestWhatBecomesOfMaps:
    def test_the_mean_activation_is_named_and_the_truth_passes(self, whole):
        _, found, lines = whole
        assert verdicts(found) == {("conv", "activation"): "fails", ("conv", "hirescam"): "passes"}
        assert answers(found, "activation") | {"faithful": ""} == {
            "selftest": "not tested",
            "randomised": "fails",
            "faithful": "",
            "steady": "passes",
        }
        assert answers(found, "hirescam") == {"selftest": "not tested", "randomised": "passes", "faithful": "passes", "steady": "passes"}
        activation, hirescam = found["methods"]
        assert activation["why"].startswith("fails at conv: it does not change when the network is randomised (rank correlation 1.00 when everything")
        assert hirescam["why"] == "passes at conv"
        assert found["meaning"] == (
            "Believe HiResCAM at conv. Do not read Activation as an explanation: it fails wherever it was tested. No self-test of this architecture "
            "is known, so this stands on the images of this run alone."
        )
        assert (found["images"], found["checked"], found["recommended"], found["untested"]) == (16, 16, None, {})
        assert found["stages"] == ["out", "conv"] and "testing 2 maps on 16 images" in lines

    def test_a_trained_network(self, trained, portraits, tmp_path):
        """Whatever alexnet18 has learnt, its mean activation knows nothing of the layers above."""
        from train.audit import audit_folder
        from xai import load

        request = replace(REQUEST, layers="conv2d_3", checks=4)
        found = audit_folder(load(trained.model), portraits, tmp_path / "run", request).summary["trust"]
        assert verdicts(found)["conv2d_3", "activation"] == "fails" and answers(found, "activation")["randomised"] == "fails"
        assert answers(found, "hirescam")["randomised"] == "passes"
        assert all(answer["faithful"] == "not tested" for answer in (answers(found, "activation"), answers(found, "hirescam")))  # four images

    def test_a_self_test_of_this_architecture_counts(self, spotter, pictures, tmp_path, monkeypatch):
        from xai.recommend import Recommendation

        known = Recommendation("hirescam", "conv", "it pointed", {"activation": ("conv",)}, {"hirescam": ("conv",)}, network="spotter", size=32)
        monkeypatch.setattr(type(spotter), "recommendation", lambda detector: known)
        found, _ = audited(spotter, pictures[:2], tmp_path, replace(REQUEST, checks=2))
        assert answers(found, "activation")["selftest"] == "passes" and answers(found, "hirescam")["selftest"] == "fails"
        assert verdicts(found)["conv", "hirescam"] == "fails" and found["recommended"]["method"] == "hirescam"
        assert "No self-test" not in found["meaning"]


class TestRuns:
    def test_a_second_run_gives_the_same(self, whole, spotter, pictures, tmp_path):
        """From its shards, and anew: the images and the seed decide everything."""
        out, first, _ = whole
        before = {name: (out / name).read_bytes() for name in FILES}
        again, _ = audited(spotter, pictures, out)
        assert again == first and {name: (out / name).read_bytes() for name in FILES} == before
        anew, _ = audited(spotter, pictures, tmp_path)
        assert anew == first and {name: (tmp_path / name).read_bytes() for name in FILES} == before

    def test_another_seed_gives_other_numbers(self, whole, spotter, pictures, tmp_path):
        found, _ = audited(spotter, pictures, tmp_path, replace(REQUEST, seed=1))
        assert found["similar"] != whole[1]["similar"] and found["faithful"] != whole[1]["faithful"] and verdicts(found) == verdicts(whole[1])

    def test_stopped_and_taken_up_again(self, whole, spotter, pictures, tmp_path, monkeypatch):
        def dies(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(study, "measure", dies)
        with pytest.raises(KeyboardInterrupt):
            audited(spotter, pictures, tmp_path)
        assert not (tmp_path / "summary.json").exists() and not any((tmp_path / name).exists() for name in FILES)
        monkeypatch.undo()
        monkeypatch.setenv("WHYFAKE_HOME", str(tmp_path / "home"))
        monkeypatch.setattr("xai.recommend.SHIPPED", tmp_path / "none.json")
        assert audited(spotter, pictures, tmp_path)[0] == whole[1]

    def test_without_checks_nothing_is_written_or_left(self, spotter, pictures, tmp_path):
        audited(spotter, pictures[:4], tmp_path, replace(REQUEST, checks=2))
        result = audit(spotter, pictures[:4], tmp_path, replace(REQUEST, checks=0))
        assert result.summary["trust"] is None and not any((tmp_path / name).exists() for name in FILES)
        assert json.loads((tmp_path / "run.json").read_text())["options"]["checks"] == 0
        assert "trust" in json.loads((tmp_path / "run.json").read_text())["seconds"]


class TestWhichImages:
    classes = texts("fake" if k % 2 else "real" for k in range(20))
    rows = Rows(
        {
            "sha256": texts(f"{k:x}" for k in range(20)),
            "label": classes,
            "prediction": texts(["real"] * 20),
            "split": texts("train" if k < 8 else "" for k in range(20)),
        }
    )

    def test_half_of_each_class_unseen_first(self):
        found = sample(self.rows, 9, 0).tolist()
        assert found == sorted(found) and sum(k % 2 for k in found) == 5 and min(found) >= 8
        assert sample(self.rows, 9, 0).tolist() == found != sample(self.rows, 9, 1).tolist()
        assert sample(self.rows, 40, 0).tolist() == list(range(20))

    def test_without_labels_as_called(self):
        rows = Rows(self.rows.columns | {"label": texts([""] * 20), "prediction": self.classes})
        assert sorted(self.classes[k] for k in sample(rows, 4, 0)) == ["fake", "fake", "real", "real"]

    def test_one_class_gives_all(self):
        reals = self.rows.where(self.rows.among("label", "real"))
        assert len(sample(reals, 1, 0)) == 1 and len(sample(reals, 6, 0)) == 6

    def test_the_same_image_counts_once(self):
        rows = Rows(self.rows.columns | {"sha256": texts(str(k // 4) for k in range(20))})
        assert len(sample(rows, 20, 0)) == 5


class TestWhatCannotBeTested:
    def test_unlabelled(self, whole, spotter, pictures, tmp_path):
        """The classes are those that the detector gives, here the true ones."""
        found, _ = audited(spotter, [replace(item, label="") for item in pictures], tmp_path)
        assert verdicts(found) == verdicts(whole[1]) and {row["group"] for row in found["faithful"]} == {"both", "fake", "real"}

    @pytest.mark.parametrize("label", CLASSES)
    def test_one_class(self, spotter, pictures, tmp_path, label):
        """Without donors the blur decides."""
        found, _ = audited(spotter, [item for item in pictures if item.label == label], tmp_path)
        assert found["images"] == 10 and {row["group"] for row in found["faithful"]} == {"both", label}
        assert not any("donor" in row["metric"] for row in found["faithful"])
        why = next(entry["answers"]["faithful"]["why"] for entry in found["maps"] if entry["method"] == "hirescam")
        assert why.startswith("replacing what it marks by a blur ")

    @pytest.mark.parametrize("label", CLASSES)
    def test_one_image(self, spotter, pictures, tmp_path, label):
        """Nothing is sure, and nothing is said for sure."""
        item = next(item for item in pictures if item.label == label)
        broken = replace(item, index=1, file=tmp_path / "broken.png", path="broken.png", sha256="b")
        broken.file.write_text("no image")
        found, _ = audited(spotter, [replace(item, index=0), broken], tmp_path / "run", replace(REQUEST, checks=1))
        assert (found["images"], found["checked"]) == (1, 1) and set(verdicts(found).values()) == {"unsure"}
        for method in ("activation", "hirescam"):
            assert answers(found, method) == {"selftest": "not tested", "randomised": "unsure", "faithful": "not tested", "steady": "passes"}
        assert found["meaning"] == "None of these maps has shown that it can be believed."

    @pytest.fixture
    def copies(self, pictures, tmp_path):
        """The images, each of which can be lost between mapping and checking."""
        items = []
        for item in pictures:
            path = tmp_path / "data" / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(item.file, path)
            items.append(replace(item, file=path))
        return items

    def lose(self, monkeypatch, items):
        """Damage images when the checks begin."""
        original = study.sample

        def late(*arguments):
            for item in items:
                item.file.write_bytes(b"gone")
            return original(*arguments)

        monkeypatch.setattr(study, "sample", late)

    def test_images_lost_after_mapping(self, spotter, copies, tmp_path, monkeypatch):
        self.lose(monkeypatch, copies[:4])
        found, lines = audited(spotter, copies, tmp_path / "run", replace(REQUEST, checks=20))
        assert found["images"] == 16 and found["checked"] in range(12, 17) and verdicts(found)["conv", "hirescam"] == "passes"
        assert any(line.startswith("4 of these could no longer be read: fake/1.png, fake/3.png, real/0.png, real/2.png") for line in lines)

    def test_all_images_lost_after_mapping(self, spotter, copies, tmp_path, monkeypatch):
        self.lose(monkeypatch, copies)
        found, _ = audited(spotter, copies, tmp_path / "run")
        assert (found["images"], found["checked"], found["curves"]) == (0, 0, []) and set(verdicts(found).values()) == {"not tested"}
        assert found["methods"][0]["why"] == "not tested at conv: the images could no longer be read"

    def test_a_slow_method_beside_quick_ones(self, spotter, pictures, tmp_path):
        request = replace(REQUEST, methods=("hirescam", "saliency", "rise:masks=20"))
        found, _ = audited(spotter, pictures, tmp_path, request)
        assert list(verdicts(found)) == [("conv", "hirescam"), ("input", "saliency"), ("input", "rise:masks=20")]
        assert found["untested"] == {"rise:masks=20": "it asks the network hundreds of times for one map"}
        assert verdicts(found)["input", "rise:masks=20"] == "not tested" and verdicts(found)["conv", "hirescam"] == "passes"
        assert found["methods"][2]["why"] == "not tested: it asks the network hundreds of times for one map"

    def test_slow_methods_alone(self, spotter, pictures, tmp_path):
        found, _ = audited(spotter, pictures[:4], tmp_path, replace(REQUEST, methods=("rise:masks=20:seed=0",), checks=4))
        assert list(verdicts(found).values()) == ["not tested"] and found["faithful"] == []
        assert found["meaning"] == "None of these maps has shown that it can be believed."

    def test_maps_of_the_image_alone(self, spotter, pictures, tmp_path):
        found, _ = audited(spotter, pictures, tmp_path, replace(REQUEST, methods=("gradient_x_input",)))
        assert list(verdicts(found)) == [("input", "gradient_x_input")] and answers(found, "gradient_x_input")["randomised"] == "passes"
        assert found["methods"][0]["why"].split(":")[0] in ("passes", "unsure") and " at " not in found["methods"][0]["why"].split(":")[0]

    def test_a_black_box(self, pictures, tmp_path):
        """Its weights cannot be randomised; what it does with changed images can be watched."""
        box = blackbox(lambda images: images[:, 8:16, 16:24, 0].mean((1, 2)) / 10 - 12.5, 32, name="box")
        found, _ = audited(box, pictures, tmp_path, replace(REQUEST, methods=("occlusion:patch=8:stride=8",)))
        assert verdicts(found) == {("input", "occlusion:patch=8:stride=8"): "passes"}
        assert answers(found, "occlusion:patch=8:stride=8") == {
            "selftest": "not tested", "randomised": "not tested", "faithful": "passes", "steady": "passes",
        }  # fmt: skip
        assert found["untested"] == dict.fromkeys(("randomised", "random twin"), "the weights of a black box cannot be changed")
        assert found["checked"] == study.SLOW and found["images"] == 16 and found["stages"] == []
        assert found["meaning"].startswith("Believe Occlusion (patch=8, stride=8).")
