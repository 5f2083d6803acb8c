import numpy as np
import pytest

from models import NAMES, build
from tests.conftest import compute
from xai import wrap

ROWS = [  # the table of the design, at 1024
    ("Rescaling", (1024, 1024, 3)),
    ("Conv2D", (512, 512, 16)),
    ("Conv2D", (252, 252, 32)),
    ("MaxPooling2D", (126, 126, 32)),
    ("Dropout", (126, 126, 32)),
    ("Conv2D", (61, 61, 64)),
    ("MaxPooling2D", (30, 30, 64)),
    ("Dropout", (30, 30, 64)),
    ("Conv2D", (28, 28, 128)),
    ("Conv2D", (26, 26, 128)),
    ("MaxPooling2D", (13, 13, 128)),
    ("Dropout", (13, 13, 128)),
    ("Flatten", (21632,)),
    ("Dense", (512,)),
    ("Dropout", (512,)),
    ("Dense", (512,)),
    ("Dropout", (512,)),
    ("Dense", (1,)),
]


def test_has_exactly_the_18_rows_of_the_design():
    model = build("alexnet18", 1024)
    assert [(type(layer).__name__, layer.output.shape[1:]) for layer in model.layers] == ROWS
    assert model.count_params() == 11_685_937


def test_smallest_size_is_256():
    assert build("alexnet18", 256).output_shape == (None, 1)
    with pytest.raises(ValueError, match="at least 256 pixels a side; got 255"):
        build("alexnet18", 255)


def test_kernels_strides_and_dropout_are_arguments():
    model = build("alexnet18", 256, kernels=(4, 8, 6, 3, 3), strides=(2, 2, 1, 1, 1), pool_dropout=0.1, dense_dropout=0.3)
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.kernel_size[0] for layer in convolutions] == [4, 8, 6, 3, 3]
    assert [layer.strides[0] for layer in convolutions] == [2, 2, 1, 1, 1]
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.1, 0.1, 0.1, 0.3, 0.3]


def test_a_pooling_head():
    """The same convolutions, then a mean over all places and one unit: 128 weights and a bias in place of the dense layers."""
    flat, pooled = build("alexnet18", 256), build("alexnet18", 256, head="pooling")
    cut = [layer.name for layer in flat.layers].index("flatten")
    assert [layer.name for layer in pooled.layers] == [*(layer.name for layer in flat.layers[:cut]), "pooling", "dense"]
    assert [layer.count_params() for layer in pooled.layers[:cut]] == [layer.count_params() for layer in flat.layers[:cut]]
    assert pooled.layers[-2].output.shape == (None, 128) and pooled.layers[-1].count_params() == 129 and pooled.output_shape == (None, 1)
    assert wrap(pooled).head.kind == "global pooling" and wrap(flat).head.kind == "flatten"
    assert build("alexnet18", 320, head="pooling").count_params() == pooled.count_params()  # of any size


def test_grad_cam_is_hirescam_at_the_last_convolution_of_a_pooling_head():
    """And not on a flattening one: there the gradient differs from place to place."""
    images = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3)).astype("float32")
    agree = {}
    for head in ("pooling", "flatten"):
        detector = wrap(linear(build("alexnet18", 256, head=head, strides=(2, 2, 1, 1, 1))))
        maps = compute(detector, images, ["conv2d_4"], ["gradcam", "hirescam"])[1]
        first, second = (maps["conv2d_4", name] / np.abs(maps["conv2d_4", name]).max() for name in ("gradcam", "hirescam"))
        agree[head] = np.allclose(first, second, atol=1e-4)
    assert agree == {"pooling": True, "flatten": False}


def linear(model):
    """Take the last pool out of the way, which gives some places no gradient: its window becomes one cell."""
    import keras

    body = [layer for layer in model.layers if layer.name != "max_pooling2d_2"]
    return keras.Sequential([keras.Input(model.input_shape[1:]), *(type(layer).from_config(layer.get_config()) for layer in body)])


def test_same_names_every_time_so_that_maps_of_two_runs_compare():
    first, second = build("alexnet18", 256), build("alexnet18", 256)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_starts_near_chance_and_not_dead():
    import keras

    keras.utils.set_random_seed(0)
    model = build("alexnet18", 256)
    images = np.random.default_rng(0).integers(0, 256, (8, 256, 256, 3)).astype("float32")
    out = np.asarray(model(images, training=False))
    assert out.min() > 0.02 and out.max() < 0.98 and out.std() > 0


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("alexnet19", 256, {}, "'alexnet19' is not known; expected one of: alexnet18"),
        ("alexnet18", 256, {"kernels": (2, 10)}, "five kernels and five strides"),
        ("alexnet18", 256, {"strides": (4, 4, 4, 4, 4)}, "pixels run out"),
        ("alexnet18", 256, {"head": "average"}, "head 'average' is not known; expected flatten or pooling"),
    ],
)
def test_errors(name, size, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, size, **options)


def test_registry_names():
    assert "alexnet18" in NAMES
