"""Many methods at once: what comes back, for whom, and in which order; fused maps; maps kept as files."""

import json

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from tests.conftest import tiny_model
from tests.xai.test_cam import network
from xai import blackbox, explain, wrap, write_overlays
from xai.errors import LayerError, WhyfakeError
from xai.maps import memory
from xai.maps.fuse import fuse
from xai.maps.mapped import compute, placements
from xai.maps.methods import METHODS, TITLES, pairs, passes, resolve, title
from xai.maps.placement import Axis, Placement
from xai.maps.surrogate import kernel_shap
from xai.naming import overlay_name
from xai.regions import meshparts, template

FAST = {"rise": "rise:masks=20", "lime": "lime:samples=30:segments=grid:count=9", "kernel_shap": "kernel_shap:samples=40:segments=grid:count=9",
        "sobol": "sobol:samples=4:grid=3", "smoothgrad": "smoothgrad:samples=3", "vargrad": "vargrad:samples=3",
        "integrated_gradients": "integrated_gradients:steps=5"}  # fmt: skip
ALL = [FAST.get(name, name) for name in METHODS]


@pytest.fixture(scope="module")
def detector():
    return wrap(network())


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(0, 255, (2, 32, 28, 3)).astype(np.float32)


def test_every_method_in_one_call(detector, images):
    found = compute(detector, images, ["c0", "c2"], ALL)
    where = placements(detector, ["c0", "c2"], ALL)
    assert list(found.maps) == pairs(["c0", "c2"], ALL)
    for (layer, method), values in found.maps.items():
        assert values.dtype == np.float32 and values.shape == (2, *where[layer].cells), method
        assert np.isfinite(values).all(), method
        name = method.partition(":")[0]
        assert METHODS[name].signed or (values >= 0).all() or name == "sobol", method  # its estimates scatter around zero
    assert where["input"].cells == (32, 28) and where["input"].centre((0, 0)) == (0.5, 0.5)
    assert np.array_equal(found.logits, detector.logits(images))
    assert set(found.extras["input", FAST["integrated_gradients"]]) == {"baseline_logit", "completeness_error"}
    assert f"completeness_error:input:{FAST['kernel_shap']}" in found.columns()


def test_r3_real_is_minus_fake_for_every_signed_method(detector, images):
    signed = [FAST.get(name, name) for name, method in METHODS.items() if method.signed]
    fake, real = (compute(detector, images, ["c2"], signed, target).maps for target in ("fake", "real"))
    assert all(np.array_equal(real[pair], -fake[pair]) for pair in fake)


def test_positive_real_turns_every_signed_map(detector, images):
    signed = [FAST.get(name, name) for name, method in METHODS.items() if method.signed]
    fake = compute(detector, images, ["c2"], signed).maps
    turned = compute(wrap(detector.model, positive="real"), images, ["c2"], signed).maps
    for pair, values in fake.items():
        assert np.allclose(turned[pair], -values, atol=1e-5 * np.abs(values).max()), pair


def test_a_black_box_gives_what_needs_no_gradients(images):
    box = blackbox(lambda batch: batch[:, :8, :8].mean((1, 2, 3)) / 50, size=(32, 28), name="corner")
    assert resolve(["auto"], box) == ("occlusion",)
    found = compute(box, images, [], ["occlusion", FAST["rise"], FAST["lime"], FAST["kernel_shap"], FAST["sobol"]])
    assert found.maps["input", "occlusion"].shape == (2, 32, 28)
    for method in ("hirescam", "activation", "scorecam", "integrated_gradients", "lrp", "saliency"):
        with pytest.raises(WhyfakeError, match=f"method '{method}' needs .*, which a black box does not show; expected occlusion"):
            compute(box, images, [], [method])


def test_auto_is_the_heads_own(detector):
    assert resolve(["auto"], detector) == ("hirescam",)
    assert resolve(["auto", "lrp"], detector, beside=("activation", "gradcam")) == ("activation", "gradcam", "hirescam", "lrp")
    with pytest.raises(WhyfakeError, match="'best' is not known; expected auto or"):
        resolve(["best"], detector)


def test_every_method_has_a_title_and_a_cost():
    assert set(TITLES) == set(METHODS) and len(set(TITLES.values())) == len(TITLES)
    assert title("gradcampp") == "Grad-CAM++" and title("smoothgrad:samples=4:seed=1") == "SmoothGrad (samples=4, seed=1)" and title("own") == "own"
    assert {name for name in METHODS if not passes(name)} == {name for name, method in METHODS.items() if method.needs == "logits"}
    counts = {name: passes(name) for name in ("activation", "hirescam", "lrp", "smoothgrad", "vargrad:samples=4", "integrated_gradients:steps=9")}
    assert list(counts.values()) == [1, 1, 1, 25, 4, 9] and passes("lime:samples=9") == 0


def test_mixed_precision_maps_are_float32(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    found = compute(wrap(model), images, ["c2"], ["hirescam", "layercam", "saliency", FAST["integrated_gradients"]])
    assert all(values.dtype == np.float32 for values in found.maps.values())


def test_fused_maps_keep_places_and_mass():
    """A spot at one place, seen by a coarse and a fine layer: the fused map has its centre there and mass 1."""
    fine = Placement(Axis(4.0, 2.0), Axis(4.0, 2.0), (16, 16), (64, 64))
    coarse = Placement(Axis(16.0, 14.0), Axis(16.0, 14.0), (4, 4), (64, 64))
    maps = [np.zeros((2, 16, 16), np.float32), np.zeros((2, 4, 4), np.float32)]
    maps[0][0, 7, 7] = 5.0  # at 30 pixels
    maps[1][0, 1, 1] = 0.1  # at 30 pixels as well
    maps[1][1, 2, 2] = 3.0  # the other image: nothing in the fine layer
    fused, where = fuse(maps, [fine, coarse])
    assert where.cells == (16, 16) and fused.shape == (2, 16, 16)
    assert fused.sum((1, 2)) == pytest.approx([1, 1], abs=1e-5)
    rows = np.arange(16) * where.stride[0] + where.offset[0]
    assert (fused[0].sum(1) * rows).sum() == pytest.approx(30, abs=0.01)
    assert (fused[1].sum(1) * rows).sum() == pytest.approx(46, abs=0.01)
    assert not fuse([-values for values in maps], [fine, coarse])[0].any()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    inside = tmp_path / "in"
    inside.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(inside / name)
    return inside


def test_fusing_an_explanation(detector, folder):
    result = explain(detector, [folder], layers="conv")
    fused = result.fuse("hirescam")
    assert fused.maps["fused", "hirescam"].shape[0] == 2 and fused.overlay(0, "fused", "hirescam").shape == (40, 40, 3)
    assert ("fused", "hirescam") not in result.maps
    with pytest.raises(LayerError, match="no maps of 'gradcam'"):
        result.fuse("gradcam")
    assert np.array_equal(fused.fuse("hirescam").maps["fused", "hirescam"], fused.maps["fused", "hirescam"])  # not fused with itself


def test_fused_maps_share_one_grid(detector, folder):
    result = explain(detector, [folder], layers="c0,c2", methods=["hirescam", "gradcam", "saliency"])
    fused = result.fuse("hirescam").fuse("gradcam")
    assert fused.maps["fused", "gradcam"].shape == fused.maps["fused", "hirescam"].shape
    with pytest.raises(LayerError, match="another grid than the fused 'hirescam'"):
        result.fuse("hirescam").fuse("gradcam", ["c2"])
    with pytest.raises(LayerError, match="'saliency' maps the image itself"):
        result.fuse("saliency")


def test_maps_of_the_image_stay_as_they_are_when_layers_are_fused(detector, tmp_path):
    """Of an image smaller than the network's input: each picture is drawn on its own grid."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    methods = ["hirescam", "gradient_x_input"]
    write_overlays(detector, [tmp_path / "a.png"], tmp_path / "out", layers="c1,c2", methods=methods, fused=True, signed=True)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert names == ["a.png__fused__hirescam.jpg", "a.png__input__gradient_x_input.jpg"]


def test_long_requests_get_files_of_their_own():
    names = [overlay_name("n" * 120, "block/" * 40, f"integrated_gradients:steps={steps}:baseline=/{'donors/' * 20}é.png") for steps in (32, 64)]
    assert names[0] != names[1] and all(len(name.encode()) <= 255 and "/" not in name for name in names)


def test_the_batch_size_holds_for_changed_images_too(detector, images):
    class Counted:
        gradients, size, preprocessing, asked = True, detector.size, detector.preprocessing, []

        def logits(self, batch):
            self.asked.append(len(batch))
            return detector.logits(batch)

    compute(Counted(), images, [], ["rise:masks=20"], batch_size=3)
    assert max(Counted.asked) == 3 and len(Counted.asked) >= 14


def test_raw_maps_are_written_with_their_placement(detector, folder, tmp_path):
    methods = ["hirescam", FAST["integrated_gradients"]]
    write_overlays(detector, [folder], tmp_path / "out", layers="c1,c2", methods=methods, maps=True, batch_size=1)
    result = explain(detector, [folder], layers="c1,c2", methods=methods)
    with h5py.File(tmp_path / "out" / "maps.h5") as file:
        for (layer, method), values in result.maps.items():
            data = file[f"maps/{layer}/{method}"]
            assert np.allclose(data[:], values, rtol=1e-4, atol=1e-6 * np.abs(values).max())
            assert tuple(data.attrs["stride"]) == result.placements[layer].stride and tuple(data.attrs["offset"]) == result.placements[layer].offset
        assert [name.decode() for name in file["images/name"][:]] == ["a.png", "b.png"]
        assert np.allclose(file["images/logit"][:], result.logits, rtol=1e-5)
    header = (tmp_path / "out" / "scores.csv").read_text().splitlines()[0]
    assert f"completeness_error:input:{methods[1]}" in header
    saved = result.save(tmp_path / "saved")
    assert (saved / "maps.h5").exists() and len(list(saved.glob("*.jpg"))) == 6


def test_one_overlay_a_method_when_fused(detector, folder, tmp_path):
    result = write_overlays(detector, [folder], tmp_path / "out", layers="conv", methods=["hirescam", "gradcam"], fused=True)
    assert result.overlays == 4
    assert sorted(path.name for path in (tmp_path / "out").glob("a.png*")) == ["a.png__fused__gradcam.jpg", "a.png__fused__hirescam.jpg"]


def test_the_command_lists_every_method(whyfake):
    text = whyfake("methods").output
    assert all(name in text for name in METHODS)
    assert set(json.loads(whyfake("methods", "--json").output)) == set(METHODS)


def test_a_pass_takes_no_more_than_its_share_of_memory(detector, monkeypatch):
    """With little memory free the batch shrinks to 1, never to 0."""
    assert memory.batch_size(detector) == memory.MOST
    one = memory.COPIES * memory.image_bytes(detector)
    monkeypatch.setattr(memory, "free", lambda: int(5.5 * one / memory.SHARE))
    assert memory.batch_size(detector) == 5
    monkeypatch.setattr(memory, "free", lambda: 1)
    assert memory.batch_size(detector) == 1


def test_occlusion_of_the_tiny_network_by_hand(tiny_image):
    """Hiding the red that cell (1, 2) sees takes 3 x 4 from the logit."""
    found = compute(wrap(tiny_model()), tiny_image, [], ["occlusion:patch=2:stride=2:fill=black"])
    exact = np.zeros((8, 8))
    exact[2:4, 4:6], exact[6:8, 0:2] = 12, -16
    assert found.maps["input", "occlusion:patch=2:stride=2:fill=black"][0] == pytest.approx(exact, abs=1e-5)


def test_a_black_box_is_audited_and_goes_on(portraits, tmp_path):
    """No layers, no channels, no weights to hash: the run is complete, its page renders, and a second run finds the shards."""
    from reports import render
    from train.audit import audit_folder
    from xai.provenance import Request

    box = blackbox(lambda batch: batch[:, 20:40].mean((1, 2, 3)) / 10 - 12, size=64, name="band")
    lines: list[str] = []
    for _ in range(2):
        done = audit_folder(
            box, portraits, tmp_path, Request(methods=("auto", FAST["rise"]), limit=6, command=("whyfake", "audit")), say=lines.append
        )
    assert any("went on from an earlier run" in line for line in lines)
    assert {(row["layer"], row["method"]) for row in done.summary["maps"]} == {("input", "occlusion"), ("input", FAST["rise"])}
    assert "Occlusion" in render(tmp_path).read_text(encoding="utf-8")


def test_a_donor_is_read_once_until_its_file_changes(detector, images, folder, monkeypatch):
    import os

    from xai.maps import mapped as module

    paths: list[str] = []
    original = module.read
    monkeypatch.setattr(module, "read", lambda path: paths.append(path) or original(path))
    method = f"integrated_gradients:steps=3:baseline={folder / 'a.png'}"
    for _ in range(2):
        compute(detector, images, [], [method])
    assert len(paths) == 1
    os.utime(folder / "a.png", ns=(1, 1))
    compute(detector, images, [], [method])
    assert len(paths) == 2


def test_shapley_values_of_face_parts(monkeypatch):
    size = 64, 64
    parts = template.parts(size)
    nose = parts.labels == parts.names.index("nose")
    detector = blackbox(lambda pixels: pixels[:, nose].mean((1, 2)), size, value_range=(-1.0, 1.0))
    images = np.random.default_rng(0).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    ask = "kernel_shap:segments={}:fill=black"
    found = compute(detector, images, [], [ask.format("template")]).maps["input", ask.format("template")]
    expected = np.where(nose, (images[:, nose].mean((1, 2)) + 1)[:, None, None], 0)  # the nose alone, against black
    np.testing.assert_allclose(found, expected, atol=1e-5)

    seen = []
    monkeypatch.setattr(meshparts, "parts", lambda picture: seen.append(picture) or (parts if len(seen) == 1 else None))
    meshed = compute(detector, images, [], [ask.format("mesh")])
    np.testing.assert_array_equal(seen, np.rint((images + 1) * 127.5).astype(np.uint8))
    maps, errors = meshed.maps["input", ask.format("mesh")], meshed.extras["input", ask.format("mesh")]["completeness_error"]
    np.testing.assert_array_equal(maps[0], found[0])
    assert not maps[1].any() and np.isnan(errors).tolist() == [False, True]  # no face, no map


def test_face_parts_need_a_detector():
    with pytest.raises(WhyfakeError, match="segments 'mesh' are found by a detector's own methods; give the labels of `face_parts` instead"):
        kernel_shap(lambda pixels: pixels.sum((1, 2, 3)), np.zeros((1, 8, 8, 3), np.float32), segments="mesh")
