"""What stands in `maps.h5` beside the maps: what methods found more, and where the cells lie."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from xai import explain, wrap, write_overlays
from xai.maps.mapped import compute, placements, true_placements
from xai.maps.methods import METHODS, beside, pairs

SHORT = {"rise": "rise:masks=20", "lime": "lime:samples=30:segments=grid:count=9", "kernel_shap": "kernel_shap:samples=40:segments=grid:count=9",
         "sobol": "sobol:samples=4:grid=3", "integrated_gradients": "integrated_gradients:steps=5"}  # fmt: skip


@pytest.fixture(scope="module")
def detector():
    """An unpadded convolution: its outer cells lie away from where a stretched map shows them."""
    keras.utils.set_random_seed(0)
    return wrap(
        keras.Sequential(
            [keras.Input((16, 16, 3)), layers.Conv2D(3, 6, 2, name="conv"), layers.Flatten(), layers.Dense(1, activation="sigmoid")], name="small"
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("in")
    for index in range(2):
        Image.fromarray(np.random.default_rng(index).integers(0, 255, (16, 16, 3), np.uint8)).save(place / f"{index}.png")
    return place


def test_every_map_that_a_method_finds_beside_is_known_before(detector):
    batch = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    methods = [SHORT.get(name, name) for name in METHODS]
    found = compute(detector, batch, ["conv"], methods)
    assert list(found.beside()) == beside(pairs(["conv"], methods))
    assert {method.rsplit(":", 1)[0] for _, method in found.beside()} == {SHORT[name] for name in ("rise", "lime", "kernel_shap")}
    assert not set(found.columns()) & {f"standard_error:input:{method}" for method in methods}


def test_standard_errors_are_saved_beside_their_maps(detector, folder, tmp_path):
    methods = [SHORT["rise"], SHORT["lime"], "hirescam"]
    result = explain(detector, [folder], methods=methods)
    with h5py.File(result.save(tmp_path) / "maps.h5") as file:
        assert set(file["maps/input"]) == {"y", "x", *methods[:2], *(f"{method}:standard_error" for method in methods[:2])}
        for method in methods[:2]:
            data = file[f"maps/input/{method}:standard_error"]
            assert np.array_equal(data[:], result.extras["input", method]["standard_error"]) and data[:].any()
            assert data.attrs["stride"].tolist() == [1, 1] and data.dims[0].label == "image"


def test_a_fused_map_is_saved_with_its_placement(detector, folder, tmp_path):
    result = explain(detector, [folder], methods=["hirescam"]).fuse("hirescam")
    with h5py.File(result.save(tmp_path) / "maps.h5") as file:
        data = file["maps/fused/hirescam"]
        assert np.array_equal(data[:], result.maps["fused", "hirescam"])
        assert tuple(data.attrs["offset"]) == result.placements["fused"].offset


def test_stretched_maps_are_saved_where_their_cells_lie(detector, folder, tmp_path):
    plain, drawn = (explain(one, [folder], methods=["hirescam", "saliency"]) for one in (detector, detector.stretch()))
    assert plain.placements == plain.true_placements == drawn.true_placements
    assert drawn.placements["conv"] != drawn.true_placements["conv"]
    with h5py.File(drawn.save(tmp_path) / "maps.h5") as file:
        data = file["maps/conv/hirescam"]
        assert (data.attrs["stride"].tolist(), data.attrs["offset"].tolist()) == ([2, 2], [3, 3])  # 16 / 6 and half of it where stretched
        assert file["maps/conv/y"][:].tolist() == [3, 5, 7, 9, 11, 13]
        assert np.array_equal(data[:], plain.maps["conv", "hirescam"])
        assert data.attrs["receptive_field"].tolist() == [6, 6] and data.attrs["stretched"] == 1
    with h5py.File(plain.save(tmp_path / "plain") / "maps.h5") as file:
        assert file["maps/conv/hirescam"].attrs["stretched"] == 0


@pytest.mark.parametrize("stretch", [False, True])
def test_streamed_equals_saved(detector, folder, tmp_path, stretch):
    """The command writes what `save` writes, a batch at a time; also where all of it was there before."""
    used = detector.stretch() if stretch else detector
    methods = ["hirescam", "activation", SHORT["rise"]]
    saved = explain(used, [folder], methods=methods).fuse("hirescam").fuse("activation").save(tmp_path / "saved")
    for _ in range(2):
        write_overlays(used, [folder], tmp_path / "out", methods=methods, fused=True, maps=True, batch_size=1)
        with h5py.File(tmp_path / "out" / "maps.h5") as file, h5py.File(saved / "maps.h5") as other:
            assert {layer: set(file[f"maps/{layer}"]) for layer in ("conv", "input", "fused")} == {
                "conv": {"y", "x", "hirescam", "activation"},
                "input": {"y", "x", methods[2], f"{methods[2]}:standard_error"},
                "fused": {"y", "x", "hirescam", "activation"},
            }
            for layer, method in [("conv", "hirescam"), ("input", f"{methods[2]}:standard_error"), ("fused", "activation")]:
                data, kept = file[f"maps/{layer}/{method}"], other[f"maps/{layer}/{method}"]
                assert np.allclose(data[:], kept[:], rtol=1e-4, atol=1e-6) and data[:].any()
                for name in ("stride", "offset", "input", "stretched", *(["receptive_field"] if layer != "fused" else [])):
                    assert np.array_equal(data.attrs[name], kept.attrs[name]), (layer, name)
            assert file["maps/conv/hirescam"].attrs["offset"].tolist() == [3, 3]
            assert "receptive_field" not in file["maps/fused/hirescam"].attrs


def test_true_placements_are_those_of_a_detector_that_does_not_stretch(detector):
    asked = (["conv"], ["hirescam", "saliency"])
    assert true_placements(detector.stretch(), *asked) == true_placements(detector, *asked) == placements(detector, *asked)


def test_stretching_changes_no_map_of_scorecam(detector):
    """What is drawn where decides nothing about which pixels a channel's mask lets through."""
    batch = np.random.default_rng(1).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    plain, drawn = (compute(one, batch, ["conv"], ["scorecam"]).maps["conv", "scorecam"] for one in (detector, detector.stretch()))
    assert plain.any() and np.array_equal(plain, drawn)
