"""SavedModel folders: the layers of those that Keras 2 wrote, the answers of any other.

A SavedModel is a TensorFlow program. From one of Keras 2 only the configuration and the
weights are taken, and nothing in it is run; any other has to be run, as a black box.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xai.blackboxes import BlackBox, blackbox, laid_out
from xai.detector import Detector, sides, wrap
from xai.ending import Node, check_units, find_ending, image_layout
from xai.errors import ModelError
from xai.head import choose_output
from xai.modelfile import CARD, KERAS2, read_card, read_model, sha256, why_not

SIDE = 64  # of the images on which two versions of a model that takes any size are compared


def read_savedmodel(folder: Path, *, trust: bool = False, **settings: Any) -> Detector:
    """Make a detector of a SavedModel folder.

    Args:
        folder: holds `saved_model.pb`.
        trust: run the TensorFlow program in it where its layers cannot be read.
        settings: as in `xai.detector.wrap`.

    Returns:
        A detector with layers where Keras 2 wrote the folder, else a black box.

    Raises:
        ModelError: a missing package, no detector, or a program that is not trusted.
    """
    digest = sha256(folder)
    settings |= {"sha256": digest, "card": read_card(folder / CARD, digest)}
    note = ""
    try:
        if (config := keras_config(folder)) is not None:
            return wrap(converted(folder, config, trust, settings["size"]), **settings)
    except ModelError as error:
        if not trust:
            raise
        note = f"; its layers cannot be read: {error}"
    if not trust:
        raise ModelError(
            f"'{folder.name}' is a TensorFlow program without Keras layers: running it runs code from whoever saved it; "
            "if you trust them say --trust (Python: trust=True) to explain it by its answers alone, or give a .keras or .h5 file"
        )
    return program(folder, note=note, **settings)


def keras_config(folder: Path) -> dict[str, Any] | None:
    """Return the configuration of the model that Keras 2 wrote into a SavedModel; None where it wrote none."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "keras_metadata.pb"
    try:
        if path.is_file():
            from tf_keras.protobuf import saved_metadata_pb2

            metadata = saved_metadata_pb2.SavedMetadata.FromString(path.read_bytes())
            text = next((node.metadata for node in metadata.nodes if node.node_id == 0), "")
        else:  # TensorFlow 2.4 and before keep it in the graph
            saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
            root = saved.meta_graphs[0].object_graph_def.nodes[0].user_object
            text = root.metadata if root.identifier.startswith("_tf_keras") else ""
        return json.loads(text, object_hook=tuples) if text else None
    except ImportError:
        raise ModelError(missing(folder)) from None
    except Exception as error:  # protobuf raises whatever the broken part raises
        raise ModelError(f"SavedModel '{folder.name}' is damaged: {' '.join(str(error).split())[:200]}") from None


def tuples(value: dict[str, Any]) -> Any:
    """Return what an object in a SavedModel's JSON stands for: Keras 2 writes tuples as objects."""
    return tuple(value["items"]) if value.get("class_name") == "__tuple__" else value


def missing(folder: Path) -> str:
    """Return what to do without the package that reads Keras 2."""
    return f"'{folder.name}' was saved by Keras 2, which the package tf_keras reads; pip install 'whyfake[savedmodel]', or give a .keras or .h5 file"


def converted(folder: Path, config: dict[str, Any], trust: bool, size: int | None) -> Any:
    """Return a Keras 3 model with the layers and weights of one that Keras 2 wrote, checked to answer the same.

    Args:
        folder: the SavedModel.
        config: from `keras_config`.
        trust: only what to say of a Lambda layer depends on it.
        size: input side for a model that takes any.

    Raises:
        ModelError: a missing package, code that is not trusted, or other answers.
    """
    try:
        import tf_keras
    except ImportError:
        raise ModelError(missing(folder)) from None
    found = set(classes(config))
    if outside := found & KERAS2:  # can name any operation of TensorFlow, also one that writes files
        raise ModelError(why_not(folder.name, f"Unknown layer: '{min(outside)}'"))
    if "Lambda" in found:
        raise ModelError("it holds a Lambda layer" if trust else why_not(folder.name, "Lambda"))
    if config.get("class_name") not in ("Sequential", "Functional", "Model"):
        raise ModelError(
            f"'{folder.name}' is a subclassed model ('{config.get('class_name')}'), which keeps no layer graph; "
            "--trust (Python: trust=True) explains it by its answers alone and runs code from whoever saved it"
        )
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats, which are what is asked for
        file = Path(place) / f"{folder.name}.h5"
        try:
            old = tf_keras.layers.deserialize({"class_name": config.get("class_name"), "config": config.get("config")})
            if not old.built and config.get("build_input_shape"):
                old.build(tuple(config["build_input_shape"]))
            old.load_weights(str(folder / "variables" / "variables")).assert_existing_objects_matched()
            old.save(str(file))
        except Exception as error:  # Keras raises whatever the broken part raises
            raise ModelError(why_not(folder.name, " ".join(str(error).split()))) from None
        new = read_model(file)
    compare(old, new, size or SIDE, folder.name)
    return new


def classes(config: Any) -> Iterator[str]:
    """Yield every class name in a configuration, however deep.

    Example:
        >>> list(classes({"class_name": "Model", "config": {"layers": [{"class_name": "Lambda"}]}}))
        ['Model', 'Lambda']
    """
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config["class_name"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from classes(value)


def compare(old: Any, new: Any, side: int, name: str) -> None:
    """Raise where two versions of a model have other weights or give other answers to random images."""
    same = all(np.array_equal(a, b) for a, b in zip(old.get_weights(), new.get_weights(), strict=True))
    if len(new.inputs) == 1:  # others are refused anyway
        shape = [length or side for length in new.inputs[0].shape[1:]]
        noise = np.random.default_rng(0).uniform(-1, 1, (4, *shape)).astype(np.float32)
        images = noise * np.array([0.01, 0.1, 1, 255], np.float32).reshape(4, *[1] * len(shape))  # so that not all are saturated
        pairs = zip(flat(old(images, training=False)), flat(new(images, training=False)), strict=True)
        same &= all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)
    if not same:
        raise ModelError(f"'{name}' answers otherwise once Keras 3 reads it; save it as .h5 where it was made and give that")


def flat(answer: Any) -> list[np.ndarray]:
    """Return a model's answers as arrays."""
    import keras

    return [np.asarray(values) for values in keras.tree.flatten(answer)]


def program(folder: Path, *, note: str = "", size: int | None = None, output: str | int | None = None, **settings: Any) -> BlackBox:
    """Make a black box of a SavedModel's serving signature; what comes after the logit is not run.

    Raises:
        ModelError: no such signature, or no detector.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises whatever the broken part raises
        raise ModelError(f"SavedModel '{folder.name}' cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    signature = loaded.signatures.get("serving_default")
    if signature is None:
        raise ModelError(f"SavedModel '{folder.name}' has no signature 'serving_default'; save it with one, or hand a function to xai.blackbox")
    specs = list(signature.structured_input_signature[1].values())
    if len(specs) != 1:
        raise ModelError(f"the model takes {len(specs)} inputs; expected one image")
    first, open_sides = image_layout(specs[0].shape.as_list() if specs[0].shape.rank else [])
    height, width = sides(open_sides, size)
    names = sorted(signature.structured_outputs)
    frozen, ending = logit_of(signature, choose_output(names, output))

    def run(values: np.ndarray) -> np.ndarray:
        return np.asarray(frozen(tf.constant(values))[0], np.float32)

    run.__name__ = folder.name
    function = laid_out(run, first, specs[0].shape[0], specs[0].dtype.as_numpy_dtype)
    units = function(np.zeros((1, height, width, 3), np.float32)).shape[1]
    check_units(ending, units)
    return blackbox(function, (height, width), text=ending.text(units) + note, probabilities=ending.probabilities, **settings)


def logit_of(signature: Any, index: int) -> tuple[Any, Any]:
    """Return a signature cut off at its logit, and how it ends."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(signature)
    nodes = {
        node.name: Node(node.op, node.name, [value.removesuffix(":0") for value in node.input if value[0] != "^"])
        for node in frozen.graph.as_graph_def().node
    }
    ending = find_ending(nodes, frozen.outputs[index].name.removesuffix(":0"))
    value = ending.value if ":" in ending.value else f"{ending.value}:0"
    return frozen.prune([tensor.name for tensor in frozen.inputs], [value]), ending
