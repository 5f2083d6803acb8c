"""Functions and ONNX files as detectors: their logits by hand, their limits in one line."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

import xai
from tests.conftest import tiny_model
from xai.blackboxes import blackbox, difference, laid_out
from xai.detector import Detector, score
from xai.ending import Node, find_ending, image_layout
from xai.errors import LayerError, ModelError
from xai.maps.mapped import compute

IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 4, 4, 3)).astype(np.float32)


def red(images):
    """A detector that reads one pixel: its red, minus 100."""
    return images[:, 1, 2, 0] - 100


# Functions


def test_a_function_is_a_detector():
    box = xai.blackbox(red, 4)
    assert isinstance(box, Detector) and not box.gradients
    assert (box.name, box.path, box.sha256, box.card, box.positive, box.sign, box.threshold) == ("red", "", "", None, "fake", 1, 0.5)
    assert (box.size, box.layers, box.refused, box.compiled, box.parameters) == ((4, 4), {}, {}, {}, None)
    assert box.head.kind == "black box" and "a black box" in box.head.text
    assert box.default_method()[0] == "occlusion"
    assert np.array_equal(box.logits(IMAGES), red(IMAGES)) and box.logits(IMAGES).dtype == np.float32
    assert box.logits(IMAGES[:0]).shape == (0,)
    assert box.stretch().logits(IMAGES).shape == (3,)


def test_what_a_function_is_told():
    box = xai.blackbox(red, (4, 6), name="mine", positive="real", colour_order="BGR", value_range=(-1, 1), threshold=0.3)
    assert (box.name, box.size, box.sign, box.threshold) == ("mine", (4, 6), -1, 0.3)
    assert (box.preprocessing.colour_order, box.preprocessing.low) == ("BGR", -1)
    assert np.array_equal(box.logits(IMAGES), -red(IMAGES))


@pytest.mark.parametrize("answer", [red, lambda images: red(images)[:, None], lambda images: np.stack([np.ones(3), red(images) + 1], 1)])
def test_one_unit_or_two(answer):
    assert np.allclose(blackbox(answer, 4).logits(IMAGES), red(IMAGES), atol=1e-4)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_probabilities_become_logits(shape):
    box = blackbox(lambda images: np.array([0.5, 0.75, 1.0]).reshape(shape), 4, probabilities=True)
    assert np.allclose(box.logits(IMAGES), [0, np.log(3), np.log((1 - 1e-7) / 1e-7)], atol=1e-5)


def test_two_probabilities():
    assert np.allclose(difference(np.array([[0.2, 0.8]]), 1, True), np.log(4))


@pytest.mark.parametrize(
    ("answer", "options", "message"),
    [
        (lambda images: np.zeros((3, 5)), {}, r"float64 of shape \(3, 5\) to 3 images; expected numbers of shape \(3,\), \(3, 1\) or \(3, 2\)"),
        (lambda images: np.zeros(1), {}, r"shape \(1,\) to 3 images"),
        (lambda images: ["fake"] * 3, {}, r"answered with <U4"),
        (lambda images: np.full(3, np.nan), {}, "answers with NaN"),
        (lambda images: np.full(3, 2.0), {"probabilities": True}, "answered 2 to 2; expected probabilities"),
    ],
)  # fmt: skip
def test_wrong_answers(answer, options, message):
    with pytest.raises(ModelError, match=message):
        blackbox(answer, 4, **options).logits(IMAGES)


@pytest.mark.parametrize(
    ("function", "size", "options", "message"),
    [
        ("red", 4, {}, "str cannot be called"),
        (red, 0, {}, "impossible preprocessing"),
        (red, 4, {"positive": "cat"}, "positive class 'cat' is not known"),
    ],
)
def test_impossible_black_boxes(function, size, options, message):
    with pytest.raises(ModelError, match=message):
        blackbox(function, size, **options)


@pytest.mark.parametrize("request_", ["auto", "conv", "conv1"])
def test_a_black_box_has_no_layers(request_):
    with pytest.raises(
        LayerError, match="'red' is a black box, which has no layers; methods that need none: occlusion, rise, lime, kernel_shap, sobol"
    ):
        blackbox(red, 4).select(request_)


def test_gradients_are_refused_wherever_they_are_asked_for():
    box = blackbox(red, 4)
    with pytest.raises(LayerError, match="neither layers nor gradients"):
        box.head.logit(box.graph, {}, 1)
    assert Detector.gradients.fget(box) is True  # only a black box says no


def test_occlusion_finds_the_pixel_that_a_function_reads():
    found = compute(blackbox(red, 4), np.full((1, 4, 4, 3), 200, np.float32), [], ["occlusion:patch=1:stride=1:fill=black"])
    values = found.maps["input", "occlusion:patch=1:stride=1:fill=black"][0]
    assert found.logits.tolist() == [100] and np.unravel_index(values.argmax(), values.shape) == (1, 2)


def test_any_keras_model_can_be_handed_in():
    """What a subclassed model's error proposes: its answers alone."""
    model, probe = tiny_model(activation=None), np.ones((2, 8, 8, 3), np.float32)
    assert np.allclose(blackbox(model, 8).logits(probe), np.asarray(model(probe)).ravel())


@pytest.mark.parametrize(("batch", "sizes"), [(None, [3]), (1, [1, 1, 1]), (2, [2, 2])])
def test_fixed_batches_are_filled_up(batch, sizes):
    seen = []
    function = laid_out(lambda images: seen.append(len(images)) or images[:, 0, 1, 2], True, batch)
    assert np.array_equal(function(IMAGES).ravel(), IMAGES[:, 1, 2, 0]) and seen == sizes


def test_whole_numbers_are_rounded():
    function = laid_out(lambda images: images[:, 0, 0, 0], False, None, np.uint8)
    assert function(np.array([1.6, -3, 300], np.float32).reshape(3, 1, 1, 1)).ravel().tolist() == [2, 0, 255]


# Where a graph of operations ends


def graph(*kinds):
    """A chain: x -> kinds[0] -> v0 -> kinds[1] -> v1 …, and its last value."""
    return {f"v{i}": Node(kind, "", ["x" if i == 0 else f"v{i - 1}"]) for i, kind in enumerate(kinds)}, f"v{len(kinds) - 1}"


@pytest.mark.parametrize(
    ("kinds", "value", "squash", "probabilities"),
    [
        (["Gemm"], "v0", "", False),
        (["Gemm", "Sigmoid"], "v0", "Sigmoid", False),
        (["Gemm", "Softmax", "Cast", "Identity"], "v0", "Softmax", False),
        (["Gemm", "Sigmoid", "Clip", "Squeeze"], "v0", "Sigmoid", False),
        (["Gemm", "LogSoftmax"], "v1", "", False),
        (["Gemm", "Sigmoid", "Sub"], "v2", "", True),
        (["Sigmoid", "Gemm"], "v1", "", False),
        (["Sigmoid", "Gemm", "Reshape"], "v2", "", False),
    ],
)
def test_endings(kinds, value, squash, probabilities):
    ending = find_ending(*graph(*kinds))
    assert (ending.value, ending.squash, ending.probabilities) == (value, squash, probabilities)


@pytest.mark.parametrize("kind", ["ArgMax", "Greater", "Tanh", "com.microsoft.FusedGemm"])
def test_decisions_are_no_scores(kind):
    with pytest.raises(ModelError, match=f"the model ends in '{kind}', which is no score"):
        find_ending(*graph("Gemm", kind))


@pytest.mark.parametrize("shape", [(1, 3, 3, 3), (1, 1, 8, 8), (1, 8, 8), (None, None, None, None)])
def test_layouts_that_cannot_be_told(shape):
    with pytest.raises(ModelError, match=r"expected \(N, 3, height, width\) or \(N, height, width, 3\)"):
        image_layout(shape)


# ONNX files


@pytest.fixture(scope="module")
def onnx():
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("onnx")


def write(onnx, path, *tail, shape=("n", 3, 4, 4), units=1, kind=1, outputs=("y",), weight=1.0):
    """An ONNX file: flatten, one matrix that reads red at (1, 2) and subtracts 100, then the operations of `tail`.

    Of two units the first is 0. An operation is (type, attributes) or (type, attributes, constant);
    a constant comes first.
    """
    make = onnx.helper
    first = shape[1] == 3
    matrix = np.zeros((48, units), np.float32)
    matrix[6 if first else 18, -1] = weight
    bias = np.zeros(units, np.float32)
    bias[-1] = -100 * weight
    values = {"w": matrix, "b": bias}
    nodes = [
        make.make_node("Cast", ["x"], ["float"], to=1),
        make.make_node("Flatten", ["float"], ["flat"]),
        make.make_node("Gemm", ["flat", "w", "b"], ["z"]),
    ]
    last = "z"
    for index, (name, attributes, *constant) in enumerate(tail):
        out = outputs[0] if index == len(tail) - 1 else f"t{index}"
        values |= {f"c{index}": np.array(value, np.float32) for value in constant}
        nodes.append(make.make_node(name, [*([f"c{index}"] if constant else []), last], [out], **attributes))
        last = out
    if not tail:
        nodes.append(make.make_node("Identity", ["z"], [outputs[0]]))
    nodes += [make.make_node("Identity", ["flat"], [name]) for name in outputs[1:]]
    answer = onnx.TensorProto.INT64 if tail and tail[-1][0] == "ArgMax" else 1
    body = make.make_graph(
        nodes, "g", [make.make_tensor_value_info("x", kind, shape)],
        [make.make_tensor_value_info(name, answer, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )  # fmt: skip
    onnx.save(make.make_model(body, opset_imports=[make.make_opsetid("", 17)], ir_version=10), str(path))
    return path


@pytest.mark.parametrize("shape", [("n", 3, 4, 4), ("n", 4, 4, 3), (1, 3, 4, 4), (2, 4, 4, 3)])
@pytest.mark.parametrize(
    ("tail", "units"),
    [
        ([], 1),
        ([("Sigmoid", {})], 1),
        ([("Sigmoid", {}), ("Identity", {})], 1),
        ([], 2),
        ([("Softmax", {"axis": 1})], 2),
        ([("LogSoftmax", {"axis": 1})], 2),
    ],
)
def test_onnx_logits(tmp_path, onnx, shape, tail, units):
    """Logits of ±100 and more, which no probability could tell."""
    box = xai.load(write(onnx, tmp_path / "red.onnx", *tail, shape=shape, units=units))
    assert np.allclose(box.logits(IMAGES), red(IMAGES), atol=1e-3)
    assert (box.name, box.size, box.gradients, len(box.sha256)) == ("red", (4, 4), False, 64)


def test_onnx_probabilities_are_computed_back_and_said(tmp_path, onnx):
    """1 - sigmoid(z) is a probability of which the logit is -z, as far as float32 knows it."""
    box = xai.load(write(onnx, tmp_path / "m.onnx", ("Sigmoid", {}), ("Sub", {}, 1.0), weight=0.01))
    assert "computed back from the probability" in box.head.text
    assert np.allclose(box.logits(IMAGES), -0.01 * red(IMAGES), atol=1e-5)


@pytest.mark.parametrize("kind", [1, 2, 10, 11])  # float, uint8, float16, double
def test_onnx_number_types(tmp_path, onnx, kind):
    box = xai.load(write(onnx, tmp_path / "m.onnx", kind=kind))
    assert np.allclose(box.logits(np.rint(IMAGES)), red(np.rint(IMAGES)), atol=1e-3)


def test_onnx_of_any_size(tmp_path, onnx):
    path = write(onnx, tmp_path / "m.onnx", shape=("n", 3, "h", "w"))
    with pytest.raises(ModelError, match="any size; say which with --model-size"):
        xai.load(path)
    assert np.allclose(xai.load(path, size=4).logits(IMAGES), red(IMAGES), atol=1e-3)
    with pytest.raises(ModelError, match="the model cannot be run on images of shape"):
        xai.load(path, size=5)


def test_onnx_card_and_outputs(tmp_path, onnx):
    path = write(onnx, tmp_path / "m.onnx", outputs=("score", "features"))
    (tmp_path / "detector.json").write_text(json.dumps({"name": "mine", "positive": "real", "threshold": 0.4}))
    with pytest.raises(ModelError, match=r"2 outputs \(score, features\); say which one speaks of fake with --output"):
        xai.load(path)
    box = xai.load(path, output="score")
    assert (box.name, box.sign, box.threshold) == ("mine", -1, 0.4)
    with pytest.raises(ModelError, match="ends in 48 linear units"):
        xai.load(path, output=1)


def test_onnx_weights_beside_the_file(tmp_path, onnx):
    path = write(onnx, tmp_path / "m.onnx", ("Sigmoid", {}))
    inside = xai.load(path)
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="m.data", size_threshold=0)
    outside = xai.load(path)
    assert (tmp_path / "m.data").exists() and outside.sha256 != inside.sha256
    assert np.array_equal(outside.logits(IMAGES), inside.logits(IMAGES))
    (tmp_path / "m.data").write_bytes((tmp_path / "m.data").read_bytes()[::-1])
    assert xai.load(path).sha256 != outside.sha256
    (tmp_path / "m.data").unlink()
    with pytest.raises(ModelError, match="cannot be run by onnxruntime"):
        xai.load(path)


@pytest.mark.parametrize(
    ("tail", "units", "message"),
    [
        ([("ArgMax", {"axis": 1})], 2, "ends in 'ArgMax', which is no score"),
        ([("Softmax", {"axis": 1})], 1, "ends in 1 softmax units"),
        ([("Sigmoid", {})], 2, "ends in 2 sigmoid units"),
        ([("Softmax", {"axis": 1})], 3, "ends in 3 softmax units"),
    ],
)
def test_onnx_files_that_are_no_detectors(tmp_path, onnx, tail, units, message):
    with pytest.raises(ModelError, match=message):
        xai.load(write(onnx, tmp_path / "m.onnx", *tail, units=units))


def test_broken_onnx_files(tmp_path, onnx):
    (tmp_path / "m.onnx").write_bytes(b"\x08\xff broken")
    with pytest.raises(ModelError, match="damaged or no ONNX model") as caught:
        xai.load(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="damaged or no ONNX model: it holds no operations"):
        xai.load(tmp_path / "empty.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        xai.load(tmp_path / "gone.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_onnx_without_its_packages(tmp_path, onnx, monkeypatch, package):
    path = write(onnx, tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=r"'m.onnx' needs the packages onnx and onnxruntime; pip install 'whyfake\[onnx\]'"):
        xai.load(path)


def test_evaluate_takes_an_onnx_file(whyfake, tmp_path, onnx):
    """Fakes are red, so that the one pixel that is read tells all."""
    for label, value in (("fake", 255), ("real", 0)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (8, 8), (value, i, 0)).save(tmp_path / "data" / label / f"{i}.png")
    path = write(onnx, tmp_path / "m.onnx", ("Sigmoid", {}), weight=0.02)
    result = whyfake("evaluate", path, tmp_path / "data", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["accuracy"] == 1
    refused = whyfake("explain", path, tmp_path / "data", "--out", tmp_path / "out", "--method", "hirescam")
    assert refused.exit_code == 1 and "black box" in refused.output and "occlusion" in refused.output


def test_scores_lie_between_0_and_1():
    assert score(blackbox(red, 4).logits(IMAGES)).tolist() == pytest.approx((1 / (1 + np.exp(-red(IMAGES).astype(np.float64)))).tolist())
