"""Placement against hand-computed geometry and against real networks probed with lit pixels."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from models import build
from models.autoencoder import encoder
from xai import load, wrap
from xai.errors import LayerError
from xai.graph import measured
from xai.maps.geometry import locate
from xai.maps.mapped import compute
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


def probe(model, name, size, axis):
    """Return, per cell along an axis, the first and last lit line of pixels that it answers to."""
    part = keras.Model(model.inputs[0], model.get_layer(name).output)
    first, last = {}, {}
    for start in range(0, size, 32):
        lit = np.zeros((32, size, size, 3), np.float32)
        for i in range(32):
            np.moveaxis(lit, axis + 1, 1)[i, start + i] = 1  # a whole row or column, so that the other axis need not be searched
        out = np.moveaxis(np.asarray(part(lit)), axis + 1, 1)  # (32, cells, across, C)
        for i, cell in zip(*np.nonzero(out[:, :, out.shape[2] // 2].any(-1)), strict=True):
            first.setdefault(int(cell), start + i)
            last[int(cell)] = start + i
    return first, last


@pytest.mark.parametrize("name", list(ALEXNET18))
def test_r6_probing_alexnet18_finds_the_same_places(name):
    model = positive(build("alexnet18", 256))
    placement = wrap(model).layers[name].placement
    for axis in (0, 1):
        first, last = probe(model, name, 256, axis)
        for cell in range(placement.cells[axis]):
            assert (first[cell] + last[cell] + 1) / 2 == pytest.approx(placement.centre((cell, cell))[axis], abs=0.5)
            assert last[cell] - first[cell] + 1 == placement.receptive_field[axis]


def transposed(kernel, phases=1, **options):
    return [layers.Conv2D(2, 4, 4), layers.Conv2DTranspose(2, kernel, **options)], phases


def upsampled(size, **options):
    return [layers.Conv2D(2, 4, 4), layers.UpSampling2D(size, **options)], size


NETWORKS = {  # layers, and how many neighbouring cells share an input cell: their fields differ, together they lie around their centres
    "same": ([layers.Conv2D(2, 3, 2, padding="same"), layers.MaxPooling2D(3, 2, padding="same"), layers.Conv2D(2, 5, 2, padding="same")], 1),
    "unequal": ([layers.Conv2D(2, (2, 5), (1, 3), padding="same"), layers.MaxPooling2D((4, 1)), layers.DepthwiseConv2D((1, 3), padding="same")], 1),
    "dilated": ([layers.Conv2D(2, 3, 2), layers.Conv2D(2, 3, dilation_rate=(2, 3))], 1),
    "padded": ([layers.ZeroPadding2D(((3, 2), (1, 4))), layers.Conv2D(2, 7, 2), layers.Cropping2D(((2, 1), (3, 2))), layers.MaxPooling2D(3, 2)], 1),
    "averaged": ([layers.Conv2D(2, 3, padding="same"), layers.AveragePooling2D((3, 2), padding="same")], 1),
    "depthwise": ([layers.DepthwiseConv2D(3, 2, padding="same"), layers.SeparableConv2D(2, 3, padding="same")], 1),
    "up": upsampled(2),
    "up by 3": upsampled(3),
    "up, unequal": ([layers.Conv2D(2, 4, 4), layers.UpSampling2D((2, 3))], 6),
    "up, bilinear": upsampled(2, interpolation="bilinear"),
    "up by 3, bilinear": upsampled(3, interpolation="bilinear"),
    "up, bicubic": upsampled(2, interpolation="bicubic"),
    "up, lanczos": upsampled(2, interpolation="lanczos3"),
    "transposed": transposed(4, 2, strides=2, padding="same"),
    "transposed, odd kernel": transposed(3, 2, strides=2, padding="same"),
    "transposed, unpadded": transposed(5, 3, strides=3),
    "transposed, unequal": transposed((5, 4), 6, strides=(3, 2), padding="same"),
    "transposed, dilated 2": transposed(3, dilation_rate=2),
    "transposed, dilated 3": transposed(3, dilation_rate=3),
    "transposed, dilated, same": transposed((3, 2), dilation_rate=2, padding="same"),
    "transposed, output padding 0": transposed(3, 2, strides=2, padding="same", output_padding=0),
    "transposed, output padding 1": transposed(3, 2, strides=2, padding="same", output_padding=1),
    "transposed, unpadded, output padding": transposed(3, 2, strides=2, output_padding=1),
    "resized": ([layers.Resizing(48, 32)], 1),
    "resized to thirds": ([layers.Resizing(64, 144)], 3),
    "resized, smoothed": ([layers.Resizing(48, 32, antialias=True)], 1),
    "resized by area": ([layers.Resizing(48, 32, interpolation="area")], 1),
    "resized, cropped": ([layers.Resizing(48, 20, crop_to_aspect_ratio=True)], 1),
    "resized, padded": ([layers.Resizing(64, 32, pad_to_aspect_ratio=True), layers.Conv2D(2, 3)], 1),
    "same size": ([layers.Resizing(96, 96)], 1),
    "middle": ([layers.CenterCrop(61, 70)], 1),
    "middle of a small one": ([layers.CenterCrop(192, 96)], 2),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", list(NETWORKS))
def test_r6_probing_other_layers(kind, axis):
    body, phases = NETWORKS[kind]
    end = [layers.Activation("linear", name="last"), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    near(positive(keras.Sequential([keras.Input((96, 96, 3)), *body, *end])), axis, phases)


def near(model, axis, phases=1):
    """Compare the inner cells of the layer 'last' with what probing finds; at the border the image cuts their fields."""
    placement = wrap(model).layers["last"].placement
    field, stride = placement.receptive_field[axis], placement.stride[axis]
    first, last = probe(model, "last", 96, axis)
    centres = [placement.centre((cell, cell))[axis] for cell in range(placement.cells[axis])]
    margin = field / 2 + phases * stride
    inner = [cell for cell, centre in enumerate(centres) if margin <= centre <= 96 - margin]
    assert len(inner) > phases
    off = [(first[cell] + last[cell] + 1) / 2 - centres[cell] for cell in inner]
    seen = [last[cell] - first[cell] + 1 for cell in inner]
    assert max(map(abs, off)) <= max(0.5, phases * stride / 2)
    for start in range(len(inner) - phases + 1):
        assert np.mean(off[start : start + phases]) == pytest.approx(0, abs=0.5)
        assert max(seen[start : start + phases]) == field


def behind(function):
    """Return a detector of a function of the image, whose outcome is called 'last'."""
    image = keras.Input((96, 96, 3))
    x = layers.Activation("linear", name="last")(function(image))
    return positive(keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.Flatten()(x))))


FUNCTIONS = {
    "pad": lambda x: layers.Conv2D(2, 3, 2)(keras.ops.pad(x, ((0, 0), (2, 1), (3, 4), (0, 0)))),
    "resize": lambda x: layers.Conv2D(2, 3)(keras.ops.image.resize(x, (48, 32))),
    "cut": lambda x: layers.Conv2D(2, 4, 4)(x[:, 3:, 5:-2:2]),
    "cut, other channels": lambda x: layers.Conv2D(2, 3, 2)(x[:, 3:, 5:, ::-1]),
    "gate of one cell": lambda x: (y := layers.Conv2D(2, 3, 2)(x)) * layers.AveragePooling2D(47)(y),
    "where": lambda x: layers.Conv2D(2, 3)(keras.ops.where(x > 0, x, 0.1 * x)),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_r6_probing_functions(name, axis):
    near(behind(FUNCTIONS[name]), axis)


KEPT = [
    *(getattr(keras.ops, name) for name in "leaky_relu elu selu celu hard_silu softsign log_sigmoid exp relu6 silu sign erf rsqrt log1p".split()),
    lambda x: keras.ops.clip(x, 0, 1),
    lambda x: keras.ops.cast(x, "float32"),
    lambda x: x**2,
    lambda x: 2 - (x + 1) / np.ones((1, 1, 3), np.float32),
    lambda x: keras.ops.maximum(x, 0.1),
    lambda x: x[..., ::-1],
    lambda x: x[:, :, :, ::-1],
    lambda x: x[:, ..., :1],
    lambda x: keras.ops.stack([x[..., 2], x[..., 1]], axis=-1),
    lambda x: keras.ops.flip(x, -1),
    lambda x: keras.ops.mean(x, axis=3, keepdims=True),
    lambda x: keras.ops.log_softmax(x, axis=-1),
    layers.RMSNormalization(),
]


@pytest.mark.parametrize("function", KEPT)
def test_operations_that_leave_every_place_where_it_is(function):
    placement = wrap(behind(function)).layers["last"].placement
    assert placement == Placement(Axis(), Axis(), (96, 96), (96, 96))


MOVED = {
    r"'get_item\w*' \(GetItem\) moves places or takes single ones": lambda x: x[:, :, ::-1],
    r"'get_\w*' \(GetItem\) moves places or takes single ones": lambda x: x[:, 0],
    r"'flip\w*' \(Flip\) works across places": lambda x: keras.ops.flip(x, 1),
    r"'rms_normalization\w*' \(RMSNormalization\) works across places": layers.RMSNormalization(axis=(1, 2)),
    r"'concatenate\w*' \(Concatenate\) moves or repeats places": lambda x: layers.Concatenate(1)([x, x]),
    r"'rot90\w*' \(Rot90\) is of a kind whose geometry is not known": lambda x: keras.ops.rot90(x, axes=(1, 2)),
}


@pytest.mark.parametrize("message", list(MOVED))
def test_operations_that_move_places(message):
    assert re.fullmatch(message, wrap(behind(MOVED[message])).refused["last"])


def test_slices_are_followed_through_a_file(tmp_path):
    behind(FUNCTIONS["cut"]).save(tmp_path / "m.keras")
    assert load(tmp_path / "m.keras").layers["last"].placement == wrap(behind(FUNCTIONS["cut"])).layers["last"].placement


class Backbone(keras.Model):
    """Keeps no graph of its layers."""

    def __init__(self, pooled):
        super().__init__(name="backbone")
        self.convolution = layers.Conv2D(2, 3, 2)
        self.end = layers.GlobalAveragePooling2D() if pooled else layers.Identity()

    def call(self, images):
        return self.end(self.convolution(images))


@pytest.mark.parametrize("pooled", [False, True])
def test_a_subclassed_backbone_is_named_and_the_image_can_be_mapped(pooled):
    image = keras.Input((16, 16, 3))
    x = Backbone(pooled)(layers.Rescaling(1 / 255)(image))
    x = x if pooled else layers.Flatten()(layers.Conv2D(2, 3, name="after")(x))
    detector = wrap(keras.Model(image, layers.Dense(1, activation="sigmoid")(x)))
    message = r"'backbone' \(Backbone\) is a subclassed model, which keeps no layer graph.*keras\.Input.*a method of the image itself \(saliency"
    assert re.search(message, detector.refused["backbone"])
    assert pooled or detector.refused["after"] == detector.refused["backbone"]
    with pytest.raises(LayerError, match=message):
        detector.select("auto")
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    maps = compute(detector, images, [], ["saliency", "occlusion"]).maps
    assert all(values.shape == (2, 16, 16) and values.any() for values in maps.values()) and len(maps) == 2


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


def test_same_padding_depends_on_each_axis_own_size():
    """Odd sizes are padded before and after, even ones only after: 225 rows become 113, 57, 29, 15."""
    blocks = [layers.Conv2D(2, 3, 2, padding="same", name=f"c{i}") for i in range(4)]
    detector = wrap(keras.Sequential([keras.Input((225, 224, 3)), *blocks, layers.Flatten(), layers.Dense(1, activation="sigmoid")]))
    assert detector.layers["c3"].placement.centre((2, 2)) == (32.5, 47.5)


PIXELWISE = ("Rescaling", "Normalization")


def thinned(graph):
    """Return the graph with one channel a layer and no weights yet, for images of any size: the same kernels, strides and padding."""
    twins = {}

    def twin(operation):
        if not isinstance(operation, layers.Layer) or type(operation).__name__ in PIXELWISE:
            return operation
        config = operation.get_config()
        fewer = {"filters": 1, "groups": 1, "units": min(2, config.get("units", 2)), "target_shape": (1, 1, -1)}
        return twins.setdefault(id(operation), type(operation).from_config(config | {key: fewer[key] for key in fewer if key in config}))

    return replace(graph, steps=[replace(step, operation=twin(step.operation)) for step in graph.steps])


def probed(model, axis):
    """Compare both ends of the field of every layer that can be mapped with what its cells answer to, on one axis.

    Images are lit up to a line of pixels, or from it on, line after line for a stride of the
    coarsest layer: in each layer, cells whose fields begin and end there go on one by one. All
    kernels are ones and every value is made 0 or 1: a cell is lit where it sees a lit line.
    """
    detector = wrap(model)
    known = {name: layer.placement for name, layer in detector.layers.items()}
    graph = thinned(detector.graph)
    del graph.steps[max(index for index, step in enumerate(graph.steps) if step.name in known) + 1 :]  # the head is made for one size
    assert locate(measured(graph, *detector.size), detector.size).items() >= known.items()
    for step in graph.steps:
        for weight in getattr(step.operation, "weights", []):
            weight.assign(np.full(weight.shape, float(weight.path.endswith(("kernel", "gamma", "variance"))), np.float32))
    stride = int(max(place.stride[axis] for place in known.values()))
    size = list(detector.size)
    size[axis] += int(max(place.receptive_field[axis] for place in known.values()) + 4 * stride) // 32 * 32 + 32  # some padding knows the parity
    length = size[axis]
    placed = locate(measured(graph, *size), tuple(size))
    until, since = np.arange(stride, 2 * stride + 1), np.arange(length - 2 * stride, length - stride + 1)
    line = np.arange(length)
    lines = np.concatenate([line < until[:, None], line >= since[:, None], np.zeros((1, length), bool)])  # the last image is dark
    across = np.expand_dims(lines, (2 - axis, 3))  # (images, h, w, 1)
    lit = np.ascontiguousarray(np.broadcast_to(across, (len(lines), *size, 3)), np.float32)
    values, visited = {graph.inputs[0]: lit}, set()
    for step in graph.run(values):
        if step.name not in known:
            continue
        values[step.outputs[0]] = lit if step.kind in PIXELWISE else (np.asarray(values[step.outputs[0]]) > 0).astype(np.float32)
        place = placed[step.name]
        centres = (place.y, place.x)[axis].offset + place.stride[axis] * np.arange(place.cells[axis])
        low, high = centres - place.receptive_field[axis] / 2, centres + place.receptive_field[axis] / 2
        inner = (low >= 0) & (high <= length)
        expected = np.concatenate([low < until[:, None], high > since[:, None], np.zeros((1, len(low)), bool)])[:, inner]
        seen = values[step.outputs[0]].any((2 - axis, 3))[:, inner]  # (images, cells)
        assert np.array_equal(seen, expected), step.name
        for part in (expected[: len(until)], expected[len(until) : -1]):
            assert (part.any(0) & ~part.all(0)).any(), f"no field of {step.name} begins or ends between the lines"
        visited.add(step.name)
    assert visited == set(known)
    return len(visited)


BACKBONES = {  # side, and layers that can be mapped
    "Xception": (71, 132),
    "InceptionV3": (75, 311),
    "MobileNetV2": (43, 154),
    "EfficientNetV2B0": (32, 206),
    "ResNet50": (45, 175),
    "MobileNet": (32, 86),
    "MobileNetV3Small": (32, 112),
    "DenseNet121": (39, 427),
    "VGG16": (32, 19),
    "ResNet50V2": (61, 190),
    "NASNetMobile": (32, 769),
    "EfficientNetB0": (53, 173),
}


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_r6_probing_every_layer_of_nested_backbones(backbone):
    side, count = BACKBONES[backbone]
    body = getattr(keras.applications, backbone)(include_top=False, weights=None, input_shape=(side, side, 3))
    image = keras.Input((side, side, 3))
    x = layers.GlobalAveragePooling2D()(body(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(x))
    assert probed(model, 0) == probed(model, 1) == count


REGISTRY = {"alexnet18": 256} | dict.fromkeys("cnn lenet alexnet alexnet_bn inception vgg16 vgg16_bn resnet50 encoder-classifier".split(), 64)


@pytest.mark.parametrize("name", list(REGISTRY))
def test_r6_probing_every_layer_of_the_registry(name):
    small = {"dense": 8} if name.startswith(("vgg", "alexnet")) and name != "alexnet18" else {}
    if name == "encoder-classifier":
        small = {"encoder": encoder(64)}
    model = build(name, REGISTRY[name], **small)
    assert probed(model, 0) == probed(model, 1) >= 5


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
