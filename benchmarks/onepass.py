"""Many layers and methods at once: one pass of ours against one call a layer of tf-keras-vis and xplique.

All explain the same linear output of the same network on the same images. Each round
times all in turn, so a drifting machine hits all; ratios are medians of the rounds'.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rival import rival

SEVEN = ("activation", "activation_max", "gradcam", "gradcampp", "xgradcam", "hirescam", "layercam")
FEW = 8  # layers
SIDE = 4096  # of the matrices whose product says how fast a machine can be
CASES = {  # name, side of the images, images a batch, rounds
    "alexnet18 at 1024, five convolutions": ("alexnet18", 1024, 4, 7),
    "alexnet18 at 1024, five convolutions, one image at a time": ("alexnet18", 1024, 1, 7),
    "ResNet50 at 224, sixteen block outputs": ("resnet50", 224, 4, 2),
}


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def setting(name: str = "alexnet18", size: int = 1024, batch: int = 4) -> tuple[Any, Any, np.ndarray, list[str]]:
    """Return the detector, its linear twin for the others, a batch of images and the layers."""
    import keras

    from models import build
    from xai import wrap

    keras.utils.set_random_seed(0)
    if name == "resnet50":
        body = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
        model = keras.Model(body.input, keras.layers.Dense(1, activation="sigmoid")(body.output))
        layers = [layer.name for layer in body.layers if layer.name.endswith("_out")]
    else:
        model, layers = build(name, size), []
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.layers[-1].activation = keras.activations.linear
    detector = wrap(model)
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3)).astype(np.float32)
    return detector, keras.Model(twin.inputs, twin.outputs), images, layers or detector.select("conv")


def bare(detector: Any, layers: list[str]) -> Callable[[Any], Any]:
    """Return the least that any method needs: the compiled forward pass and the gradients at all layers."""
    import tensorflow as tf

    from xai.maps.onepass import trace

    @tf.function(autograph=False)
    def work(images: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            kept, logits = trace(detector, images, layers, tape)
        # a sum keeps the gradients from being pruned and from being copied out
        return logits, [tf.reduce_sum(slope) for slope in tape.gradient(logits, [kept[layer] for layer in layers])]

    return work


def arithmetic(model: Any, layers: list[str]) -> float:
    """Return the operations of one image, in 10^9, that a forward pass and the gradients at the layers consist of.

    A multiply-add is two. Going back costs a layer what going forward does; what lies before the
    first layer, and that layer, is not gone back through.
    """
    from models.describe import table

    rows = table(model)
    first = min(index for index, row in enumerate(rows) if row["name"] in layers)
    return 2e-9 * (sum(row["multiply_adds"] for row in rows) + sum(row["multiply_adds"] for row in rows[first + 1 :]))


def product(side: int = SIDE) -> Callable[[], None]:
    """Return a product of two square float32 matrices: about the fastest arithmetic that a machine has to offer."""
    import tensorflow as tf

    matrix = tf.random.normal((side, side))
    return lambda: tf.matmul(matrix, matrix).numpy()


def compare(case: str) -> dict[str, float]:
    """Return times, ratios and the largest relative difference of the Grad-CAM maps.

    Among the times is what the bare pass would take if its convolutions ran as fast as a product of large matrices and all else took none.
    """
    from tf_keras_vis.gradcam import Gradcam

    from xai.maps.mapped import compute

    name, size, batch, count = CASES[case]
    detector, twin, images, layers = setting(name, size, batch)
    vis = Gradcam(twin, clone=True)

    def theirs(enlarged: bool = False) -> dict[str, np.ndarray]:
        options = {"seek_penultimate_conv_layer": False, "expand_cam": enlarged, "normalize_cam": enlarged}
        return {layer: vis(lambda out: out[:, 0], images, penultimate_layer=layer, **options) for layer in layers}

    least, multiply = bare(detector, layers), product()
    work: dict[str, Callable[[], float]] = {
        "ours, seven methods": lambda: timed(lambda: compute(detector, images, layers, SEVEN)),
        "bare forward + gradient": lambda: timed(lambda: least(images)),
        "matrix product": lambda: timed(multiply),
        "ours, Grad-CAM": lambda: timed(lambda: compute(detector, images, layers, ["gradcam"])),
        "tf-keras-vis, Grad-CAM": lambda: timed(theirs),
    }
    if len(layers) <= FEW:  # it rebuilds the network a call, which takes minutes for deep ones
        work["tf-keras-vis, Grad-CAM enlarged to the image (its default)"] = lambda: timed(lambda: theirs(True))
    maps, references = compute(detector, images, layers, ["gradcam"]).maps, theirs()
    gap = max(
        float(np.abs(np.maximum(maps[layer, "gradcam"], 0) - references[layer]).max() / max(np.abs(references[layer]).max(), 1e-30))
        for layer in layers
    )
    with tempfile.TemporaryDirectory() as folder, rival(twin, images, Path(folder)) as other:
        if other is not None:
            options = [{"conv_layer": layer, "batch_size": batch} for layer in layers]
            work["xplique, Grad-CAM enlarged to the image (always)"] = lambda: other.ask("GradCAM", *options)
        for job in work.values():
            job()  # warm
        rounds = [{what: job() for what, job in work.items()} for _ in range(count)]
    first, speed = "ours, seven methods", 2e-9 * SIDE**3 / float(np.median([row["matrix product"] for row in rounds]))
    found = {f"{what}, ms an image": float(np.median([row[what] for row in rounds])) / batch * 1000 for what in work if what != "matrix product"}
    found["a matrix product, 10^9 operations a second"] = speed
    found["operations of the bare pass at that speed, ms"] = arithmetic(twin, layers) / speed * 1000
    found["ours / bare"] = float(np.median([row[first] / row["bare forward + gradient"] for row in rounds]))
    others = [what for what in work if what.startswith(("tf-keras-vis", "xplique"))]
    for mine, said in ((first, "ours"), ("ours, Grad-CAM", "ours, Grad-CAM alone")):
        found |= {f"{what} / {said}": float(np.median([row[what] / row[mine] for row in rounds])) for what in others}
    return found | {"largest relative difference of Grad-CAM to tf-keras-vis": gap}
