"""The faithfulness of a sample of images, written in shards: what it finds, and that it goes on where it was stopped."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from xai.errors import LayerError, WhyfakeError
from xai.items import Item
from xai.preprocess import Preprocessing
from xai.trust.faithful import CURVES
from xai.trust.measure import Faithfulness, measure, own_maps
from xai.trust.table import curve_rows, faithful_rows


def linear(weights: np.ndarray) -> SimpleNamespace:
    """A black box whose logit is the sum of weights times pixels, less what grey gives."""
    calls: list[int] = []

    def logits(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return ((images.astype(np.float64) - 127.5) * weights).sum((1, 2, 3))

    return SimpleNamespace(
        logits=logits, preprocessing=Preprocessing(32, 32), threshold=0.5, size=(32, 32), sha256="w", positive="fake", gradients=False, calls=calls,
        head=SimpleNamespace(text="the sum"),
    )  # fmt: skip


METHODS = ["occlusion:patch=8:stride=8"]
FEW = {"fractions": (0.0, 0.05, 0.2, 1.0), "road": (0.1,), "squares": 2}
EACH = 3 + 2 + 3 * (4 * 2 + 1 + 1)  # passes an image, without those of the map


@pytest.fixture
def weights() -> np.ndarray:
    weights = np.zeros((32, 32, 3))
    weights[8:16, 16:24, 0] = 0.001
    return weights


@pytest.fixture
def folder(tmp_path):
    """Twenty images, half of them fake (bright in one place), one unreadable."""
    items = []
    for index in range(20):
        label = "fake" if index % 2 else "real"
        image = np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8)
        image[8:16, 16:24, 0] = 230 if index % 2 else 20
        path = tmp_path / f"{label}_{index}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        items.append(Item(index, path, path.name, label, hashlib.sha256(path.read_bytes()).hexdigest()))
    items[3].file.write_bytes(b"no image")
    return items


def same(one: Faithfulness, two: Faithfulness) -> bool:
    arrays = zip([one.index, one.donor, *one.found.columns().values()], [two.index, two.donor, *two.found.columns().values()], strict=True)
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in arrays) and (one.skipped, one.labels) == (two.skipped, two.labels)


class TestMeasure:
    def test_finds_what_counts(self, folder, weights, tmp_path):
        found = measure(linear(weights), folder, [], METHODS, tmp_path / "out", **FEW)
        assert found.rows == (("input", METHODS[0]), ("", "random"), ("", "region")) and set(found.skipped) == {"fake_3.png"}
        assert found.index.tolist() == [index for index in range(20) if index != 3] and found.found.curves.shape == (19, 3, 4, 4)
        assert (found.found.whole[:, 0] > 0).all() and (found.found.whole[:, 2] < 0).all()  # of the own class, and the donor's
        assert (found.donor % 2 != found.index % 2).all() and 3 not in found.donor
        table = {(row["method"], row["metric"]): row for row in faithful_rows(found) if row["group"] == "both"}
        assert all(table[METHODS[0], name]["p"] < 0.05 for name in (*CURVES, "sufficiency", "road"))
        assert table[METHODS[0], "sufficiency"]["value"] > 0.7 and table["random", "sufficiency"]["value"] < 0.2

    def test_goes_on_where_it_was_stopped(self, folder, weights, tmp_path):
        whole = measure(linear(weights), folder, [], METHODS, tmp_path / "whole", **FEW)
        detector, out = linear(weights), tmp_path / "out"

        def stop(images):
            if sum(detector.calls) > 17 * (EACH + 17):  # in the second shard of two
                raise KeyboardInterrupt
            return detector.logits(images)

        with pytest.raises(KeyboardInterrupt):
            measure(SimpleNamespace(**(vars(detector) | {"logits": stop})), folder, [], METHODS, out, **FEW)
        shards = list((out / "shards").glob("faith-*.npz"))
        assert len(shards) == 1
        node = shards[0].stat().st_ino
        assert same(whole, measure(detector, folder, [], METHODS, out, **FEW)) and shards[0].stat().st_ino == node

    def test_a_finished_run_asks_nothing(self, folder, weights, tmp_path):
        first, detector = measure(linear(weights), folder, [], METHODS, tmp_path, **FEW), linear(weights)
        assert same(first, measure(detector, folder, [], METHODS, tmp_path, **FEW)) and detector.calls == []

    @pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:200] + bytes(50) + data[250:]])
    def test_a_damaged_shard_is_redone(self, folder, weights, tmp_path, damage):
        first = measure(linear(weights), folder, [], METHODS, tmp_path, **FEW)
        shard = sorted((tmp_path / "shards").iterdir())[0]
        shard.write_bytes(damage(shard.read_bytes()))
        detector = linear(weights)
        assert same(first, measure(detector, folder, [], METHODS, tmp_path, **FEW)) and detector.calls

    def test_other_input_gives_other_shards(self, folder, weights, tmp_path):
        def shards(items=folder, methods=METHODS, sha256="w", **options):
            measure(SimpleNamespace(**(vars(linear(weights)) | {"sha256": sha256})), items, [], methods, tmp_path, **FEW | options)
            return len(list((tmp_path / "shards").iterdir()))

        few = folder[:3]
        assert shards(few) == 1 and shards(few) == 1
        assert shards(few, seed=1) == 2 and shards(few, sha256="v") == 3 and shards(few, squares=3) == 4
        assert shards(few, methods=["occlusion:patch=16:stride=16"]) == 5 and shards([replace(few[0], sha256="changed"), *few[1:]]) == 6

    def test_batch_size_changes_nothing(self, folder, weights, tmp_path):
        one, two = (measure(linear(weights), folder, [], METHODS, tmp_path / str(size), batch_size=size, **FEW) for size in (3, 32))
        assert same(one, two)

    def test_unlabelled_images_have_the_class_they_are_given(self, folder, weights, tmp_path):
        readable = folder[:3] + folder[4:]
        named = measure(linear(weights), readable, [], METHODS, tmp_path / "named", **FEW)
        nameless = measure(linear(weights), [replace(item, label="") for item in readable], [], METHODS, tmp_path / "nameless", **FEW)
        assert same(named, nameless)
        lost = measure(linear(weights), [replace(folder[3], label=""), *readable], [], METHODS, tmp_path / "lost", **FEW)
        assert same(lost, replace(named, skipped=lost.skipped)) and set(lost.skipped) == {"fake_3.png"}

    def test_one_class_alone_has_no_donors(self, folder, weights, tmp_path):
        found = measure(linear(weights), folder[::2], [], METHODS, tmp_path, **FEW)
        assert set(found.donor) == {-1} and np.isnan(found.found.curves[:, :, [1, 3]]).all() and np.isfinite(found.found.curves[:, :, [0, 2]]).all()
        assert {row["group"] for row in faithful_rows(found)} == {"both", "real"}
        assert not any("donor" in row["curve"] for row in curve_rows(found))

    def test_nothing_readable(self, folder, weights, tmp_path):
        found = measure(linear(weights), [folder[3]], [], METHODS, tmp_path, **FEW)
        assert found.found.curves.shape == (0, 3, 4, 4) and set(found.skipped) == {"fake_3.png"} and faithful_rows(found) == curve_rows(found) == []

    def test_maps_are_of_the_own_class(self, tiny, tiny_image):
        """The two cells that count: red for fake, green for real."""
        images = np.repeat(tiny_image, 3, 0)
        maps = own_maps(tiny, images, ["real", "fake", "real"], ["conv"], ["hirescam"], 2)["conv", "hirescam"]
        assert [(float(one[1, 2]), float(one[3, 0])) for one in maps] == [(-12, 16), (12, -16), (-12, 16)]

    def test_keras_layers(self, tiny, folder, tmp_path):
        found = measure(tiny, folder[:4], ["conv"], ["hirescam", "saliency"], tmp_path, **FEW)
        assert found.rows[:2] == (("conv", "hirescam"), ("input", "saliency")) and found.found.curves.shape == (3, 4, 4, 4)

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"fractions": (0.0, 0.5)}, "expected numbers that rise from 0 to 1"),
            ({"fractions": (0.0, 0.5, 0.2, 1.0)}, "expected numbers that rise from 0 to 1"),
            ({"road": (0.5, 1.0)}, "above 0 and below 1"),
            ({"methods": []}, "no map to judge"),
            ({"methods": ["hirescope"]}, "method 'hirescope' is not known"),
            ({"batch_size": -1}, "a batch size of -1; expected 1 or more"),
        ],
    )
    def test_wrong_settings(self, folder, weights, tmp_path, options, message):
        with pytest.raises(WhyfakeError, match=message):
            measure(linear(weights), folder, [], **{"methods": METHODS, "out": tmp_path} | options)

    def test_wrong_layer(self, tiny, folder, tmp_path):
        with pytest.raises(LayerError, match="layer 'conv9' cannot be mapped"):
            measure(tiny, folder[:2], ["conv9"], ["hirescam"], tmp_path)
