"""Placement against hand-computed geometry and against real networks probed with lit pixels."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from models import build
from models.autoencoder import encoder
from xai import wrap
from xai.maps.placement import Axis, Placement, stretched, weights

ALEXNET18 = {"conv2d": (2, 1), "conv2d_1": (4, 10), "conv2d_2": (16, 32), "conv2d_3": (32, 80), "conv2d_4": (32, 112)}


@pytest.mark.parametrize("size", [256, 1024])
def test_alexnet18_has_the_published_geometry(size):
    detector = wrap(build("alexnet18", size))
    for name, (stride, offset) in ALEXNET18.items():
        placement = detector.layers[name].placement
        assert placement.stride == (stride, stride)
        assert placement.offset == (offset, offset)


def test_outer_cells_of_the_last_convolution_at_1024():
    placement = wrap(build("alexnet18", 1024)).layers["conv2d_4"].placement
    assert placement.centre((0, 25)) == (112, 912)
    assert stretched((26, 26), (1024, 1024)).centre((0, 25)) == pytest.approx((19.7, 1004.3), abs=0.05)


def positive(model):
    """Give every convolution ones and no bias: a lit pixel lights exactly the cells that see it."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([np.ones_like(w) if w.ndim > 1 else np.zeros_like(w) for w in layer.get_weights()])
    return model


def probe(model, name, size):
    """Return, per cell of the middle row, the first and last lit column that it answers to."""
    part = keras.Model(model.inputs[0], model.get_layer(name).output)
    first, last = {}, {}
    for start in range(0, size, 32):
        lit = np.zeros((32, size, size, 3), np.float32)
        for i in range(32):
            lit[i, :, min(start + i, size - 1)] = 1  # a whole column, so that rows need not be searched
        out = np.asarray(part(lit))
        row = out[:, out.shape[1] // 2].max(-1)  # (32, w)
        for i, cell in zip(*np.nonzero(row), strict=True):
            column = min(start + i, size - 1)
            first.setdefault(int(cell), column)
            last[int(cell)] = column
    return first, last


@pytest.mark.parametrize("name", list(ALEXNET18))
def test_r6_probing_alexnet18_finds_the_same_places(name):
    model = positive(build("alexnet18", 256))
    placement = wrap(model).layers[name].placement
    first, last = probe(model, name, 256)
    for cell in range(placement.cells[1]):
        assert (first[cell] + last[cell] + 1) / 2 == pytest.approx(placement.centre((0, cell))[1], abs=0.5)
        assert last[cell] - first[cell] + 1 == placement.receptive_field[1]


NETWORKS = {
    "same": [layers.Conv2D(2, 3, 2, padding="same"), layers.MaxPooling2D(3, 2, padding="same"), layers.Conv2D(2, 5, 2, padding="same", name="last")],
    "dilated": [layers.Conv2D(2, 3, 2), layers.Conv2D(2, 3, dilation_rate=3, name="last")],
    "padded": [layers.ZeroPadding2D(((3, 2), (3, 2))), layers.Conv2D(2, 7, 2), layers.Cropping2D(2), layers.AveragePooling2D(3, 2, name="last")],
    "depthwise": [layers.DepthwiseConv2D(3, 2, padding="same"), layers.SeparableConv2D(2, 3, padding="same", name="last")],
    "up": [layers.Conv2D(2, 4, 4), layers.UpSampling2D(2, name="last")],
    "transposed": [layers.Conv2D(2, 4, 4), layers.Conv2DTranspose(2, 4, 2, padding="same", name="last")],
}


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_r6_probing_other_layers(kind):
    model = positive(keras.Sequential([keras.Input((96, 96, 3)), *NETWORKS[kind], layers.Flatten(), layers.Dense(1, activation="sigmoid")]))
    placement = wrap(model).layers["last"].placement
    first, last = probe(model, "last", 96)
    reach = int(np.ceil(placement.receptive_field[1] / placement.stride[1]))
    inner = range(reach, placement.cells[1] - reach)  # at the border the field is cut by the image
    assert len(inner) > 1
    # a transposed convolution's cells see fields of two sizes; half an input cell is its own resolution
    tolerance = 2.0 if kind in ("transposed", "up") else 0.5
    for cell in inner:
        assert (first[cell] + last[cell] + 1) / 2 == pytest.approx(placement.centre((0, cell))[1], abs=tolerance)


def test_branches_and_merges():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, 2, padding="same")(image)
    y = layers.Concatenate(name="both")([layers.Conv2D(4, 3, padding="same")(x), layers.Conv2D(4, 5, padding="same")(x)])
    z = layers.Add(name="sum")([x, layers.Conv2D(4, 3, padding="same")(x)])
    out = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D(name="gap")(layers.Concatenate()([y, z])))
    detector = wrap(keras.Model(image, out))
    assert detector.layers["both"].placement.stride == (2, 2)
    assert detector.layers["both"].placement.offset == detector.layers["sum"].placement.offset
    assert "mixes all places" in detector.refused["gap"]


def test_same_padding_and_stride_16_cell_2_of_14_at_224():
    """FIELD's example: four stride-2 'same' convolutions at 224: each pads one cell after the image, none before."""
    blocks = [layers.Conv2D(2, 3, 2, padding="same", name=f"c{i}") for i in range(4)]
    detector = wrap(keras.Sequential([keras.Input((224, 224, 3)), *blocks, layers.Flatten(), layers.Dense(1, activation="sigmoid")]))
    placement = detector.layers["c3"].placement
    assert placement.cells == (14, 14)
    assert placement.centre((2, 2)) == (47.5, 47.5)  # pixel 47 is the window's middle
    assert stretched((14, 14), (224, 224)).centre((2, 2)) == (40, 40)  # 7.5 pixels off: 39.5 counted from pixel centres


def lit_columns(model, height, width):
    """Light one column after the other; give per layer which cells of a row answer to which.

    All kernels are ones and every value is made 0 or 1: a cell is lit where it sees a lit column.
    """
    for weight in model.weights:
        weight.assign(np.full(weight.shape, float(weight.path.endswith(("kernel", "gamma", "variance"))), np.float32))
    detector = wrap(model)
    columns = np.concatenate([np.eye(width), np.zeros((1, width))]).astype(np.float32)  # the last image is dark
    lit = np.ascontiguousarray(np.broadcast_to(columns[:, None, :, None], (width + 1, height, width, 3)))
    values = {detector.graph.inputs[0]: lit}
    for step in detector.graph.run(values):
        if step.name not in detector.layers:
            continue
        slot, placement = step.outputs[0], detector.layers[step.name].placement
        if placement.receptive_field[1] > width:
            return
        values[slot] = lit if step.kind in ("Rescaling", "Normalization") else (np.asarray(values[slot]) > 0).astype(np.float32)
        yield step.name, placement, np.asarray(values[slot]).any((1, 3))  # (images, w)


def probed(model, height, width):
    """Compare every cell whose field the image's border does not cut with what was computed; return how many there were."""
    checked = 0
    for name, placement, seen in lit_columns(model, height, width):
        for cell in range(placement.cells[1]):
            centre, reach = placement.centre((0, cell))[1], placement.receptive_field[1] / 2
            if centre - reach < 0 or centre + reach > width:
                continue
            columns = np.flatnonzero(seen[:-1, cell])
            assert not seen[-1, cell], name
            assert (columns[0] + columns[-1] + 1) / 2 == pytest.approx(centre, abs=0.5), name
            assert columns[-1] - columns[0] + 1 == 2 * reach, name
            checked += 1
    return checked


BACKBONES = {"Xception": 71, "InceptionV3": 75} | dict.fromkeys(
    """MobileNetV2 EfficientNetV2B0 ResNet50 MobileNet MobileNetV3Small DenseNet121 VGG16 ResNet50V2 NASNetMobile EfficientNetB0""".split(), 32
)


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_r6_probing_nested_backbones(backbone):
    height = BACKBONES[backbone]
    body = getattr(keras.applications, backbone)(include_top=False, weights=None, input_shape=(height, 96, 3))
    image = keras.Input((height, 96, 3))
    x = layers.GlobalAveragePooling2D()(body(layers.Rescaling(1 / 255)(image)))
    assert probed(keras.Model(image, layers.Dense(1, activation="sigmoid")(x)), height, 96) > 450


REGISTRY = {"alexnet18": 256, "cnn": 64} | dict.fromkeys("lenet alexnet alexnet_bn inception vgg16 vgg16_bn resnet50 encoder-classifier".split(), 64)


@pytest.mark.parametrize("name", list(REGISTRY))
def test_r6_probing_the_registry(name):
    small = {"dense": 8} if name.startswith(("vgg", "alexnet")) and name != "alexnet18" else {}
    if name == "encoder-classifier":
        small = {"encoder": encoder(64)}
    assert probed(build(name, REGISTRY[name], **small), REGISTRY[name], REGISTRY[name]) >= 60


def test_layers_of_one_backbone_only():
    """ConvNeXt's LayerScale and InceptionResNetV2's scaled sum are kinds of their own."""
    body = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=(32, 32, 3))
    x = layers.GlobalAveragePooling2D()(body.output)
    detector = wrap(keras.Model(body.input, layers.Dense(1, activation="sigmoid")(x)))
    assert not any("not known" in why for why in detector.refused.values())
    assert {"LayerScale", "LayerNormalization"} <= {layer.kind for layer in detector.layers.values()}

    class CustomScaleLayer(layers.Layer):
        def call(self, inputs):
            return inputs[0] + inputs[1]

    image = keras.Input((16, 16, 3))
    both = CustomScaleLayer(name="both")([layers.Conv2D(2, 3, padding="same")(image), layers.Conv2D(2, 5, padding="same")(image)])
    detector = wrap(keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(both))))
    assert detector.layers["both"].placement.receptive_field == (5, 5)


axes = st.builds(Axis, stride=st.floats(1, 40), offset=st.floats(0, 60), field=st.just(1.0))


@given(y=axes, x=axes, cell=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_a_lit_cell_keeps_its_centroid_and_mass_where_it_fits(y, x, cell):
    placement = Placement(y, x, (6, 6), (320, 320))
    centre = placement.centre(cell)
    if min(centre[0] - y.stride, centre[1] - x.stride) < 0:
        return
    delta = np.zeros((6, 6))
    delta[cell] = 2
    canvas = placement.place(delta).astype(np.float64)
    pixel = np.arange(320) + 0.5
    assert canvas.sum() == pytest.approx(2 * y.stride * x.stride, rel=1e-4)
    assert (canvas.sum(1) * pixel).sum() / canvas.sum() == pytest.approx(centre[0], abs=0.05)
    assert (canvas.sum(0) * pixel).sum() / canvas.sum() == pytest.approx(centre[1], abs=0.05)


@given(st.integers(1, 9), st.integers(1, 9))
def test_gather_is_the_transpose_of_place(h, w):
    rng = np.random.default_rng(h * 10 + w)
    placement = Placement(Axis(7.0, 5.0), Axis(6.0, 9.0), (h, w), (64, 64))
    maps, mask = rng.uniform(0, 1, (h, w)), rng.uniform(size=(64, 64)) < 0.3
    assert (placement.place(maps) * mask).sum() == pytest.approx((maps * placement.gather(mask)).sum() * 42, rel=1e-4, abs=1e-4)
    assert np.allclose(placement.coverage((64, 64)), placement.gather(np.ones((64, 64), bool)), atol=1e-6)


def test_where_there_are_no_cells_nothing_is_drawn():
    canvas = Placement(Axis(32.0, 112.0), Axis(32.0, 112.0), (26, 26), (1024, 1024)).place(np.ones((26, 26)))
    assert canvas[:80].max() == 0
    assert canvas[112:900, 112:900].min() == pytest.approx(1, abs=1e-5)


def test_small_canvas_averages_instead_of_aliasing():
    table = weights(Axis(2.0, 1.0), 128, 256, 16)
    assert np.allclose(table.sum(0)[4:-4], 2 * 16 / 256, atol=1e-6)  # every cell counts the same


def test_wrong_size_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        stretched((4, 4), (8, 8)).place(np.zeros((5, 5)))
