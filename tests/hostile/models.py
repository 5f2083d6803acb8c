"""A corpus of model files that mean harm, or were harmed."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def network(side: int = 16, outputs: int = 1, activation: str | None = "sigmoid", channels: int = 3) -> Any:
    """Return a small detector with random weights."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((side, side, channels))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    return keras.Model(image, layers.Dense(outputs, activation=activation, name="out")(x))


def rewritten(content: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """Return a zip archive with every file changed; None leaves one out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            found = change(name, old.read(name))
            if found is not None:
                new.writestr(name, found)
    return out.getvalue()


def configured(content: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return a .keras file whose configuration was changed."""

    def each(name: str, body: bytes) -> bytes:
        if name != "config.json":
            return body
        config = json.loads(body)
        return json.dumps(change(config) or config).encode()

    return rewritten(content, each)


def layer(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the first layer of a class in a configuration."""
    found: dict[str, Any] = next(entry for entry in config["config"]["layers"] if entry["class_name"] == kind)
    return found


def settings(kind: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Return what changes the settings of a layer."""

    def change(config: dict[str, Any]) -> None:
        layer(config, kind)["config"].update(values)

    return change


def renamed(kind: str, module: str, called: str, /, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts another class in the place of a layer's."""

    def change(config: dict[str, Any]) -> None:
        found = layer(config, kind)
        found.update(module=module, class_name=called, registered_name=called)
        found["config"] = values or found["config"]

    return change


def looped(config: dict[str, Any]) -> None:
    """Let the first layer take what the last one gives."""
    entries = config["config"]["layers"]
    entries[1]["inbound_nodes"] = entries[-1]["inbound_nodes"]


LAMBDA = {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}, "arguments": {}}

CONFIGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "lambda": renamed("MaxPooling2D", "keras.layers", "Lambda", **LAMBDA),
    "operator": renamed("MaxPooling2D", "os", "system", command="echo harmed"),
    "builtin": renamed("MaxPooling2D", "builtins", "exec", source="harm"),
    "foreign": renamed("MaxPooling2D", "mypackage.layers", "Secret"),
    "unknown": renamed("MaxPooling2D", "keras.layers", "Maximising"),
    "huge-dense": settings("Dense", units=10**12),
    "huge-kernel": settings("Conv2D", kernel_size=[10**6, 10**6]),
    "huge-filters": settings("Conv2D", filters=10**11),
    "huge-input": settings("InputLayer", batch_shape=[None, 10**6, 10**6, 3]),
    "negative": settings("Conv2D", filters=-4),
    "words": settings("Conv2D", filters="many"),
    "no-activation": settings("Conv2D", activation="evil"),
    "list": lambda config: [1, 2, 3],
    "empty": lambda config: {"module": "keras", "class_name": "Functional", "config": {}, "registered_name": "Functional"},
    "no-layers": lambda config: config["config"].update(layers=[]),
    "no-outputs": lambda config: config["config"].update(output_layers=[]),
    "looped": looped,
    "deep": lambda config: json.loads("[" * 900 + "]" * 900),
}


def make(folder: Path) -> list[Path]:
    """Write the corpus and return its paths: not one of them is a detector."""
    folder.mkdir(parents=True)
    whole = {}
    for ending in ("keras", "h5"):
        network().save(folder / f"whole.{ending}")
        whole[ending] = (folder / f"whole.{ending}").read_bytes()
        (folder / f"whole.{ending}").unlink()
    files: dict[str, bytes] = {}
    rng = np.random.default_rng(0)
    for ending, content in whole.items():
        for percent in range(0, 100, 10):
            files[f"cut-{percent:02d}.{ending}"] = content[: len(content) * percent // 100]
        for number in range(8):
            damaged = bytearray(content)
            start = int(rng.integers(0, len(damaged) // 2))
            damaged[start : start + 64] = rng.bytes(64)
            files[f"damaged-{number}.{ending}"] = bytes(damaged)
    keras = whole["keras"]
    files |= {f"config-{name}.keras": configured(keras, change) for name, change in CONFIGS.items()}
    files["no-config.keras"] = rewritten(keras, lambda name, body: None if name == "config.json" else body)
    files["no-weights.keras"] = rewritten(keras, lambda name, body: None if name.endswith(".h5") else body)
    files["garbage-weights.keras"] = rewritten(keras, lambda name, body: b"\x89HDF\r\n\x1a\n" + b"\xff" * 500 if name.endswith(".h5") else body)
    files["bomb.keras"] = rewritten(keras, lambda name, body: b" " * 400_000_000 if name == "config.json" else body)
    files["text.keras"] = rewritten(keras, lambda name, body: b"not json" if name == "config.json" else body)
    files["climbs.keras"] = climbing(keras)
    files |= {
        "zip.keras": zipped({"readme.txt": b"hello"}),
        "picture.keras": b"\x89PNG\r\n\x1a\n" + b"\0" * 99,
        "hdf5.keras": whole["h5"],
        "zip.h5": keras,
    }
    files |= {
        "pickle.h5": b"cos\nsystem\n(S'echo harmed'\ntR.",
        "empty.onnx": b"",
        "noise.onnx": rng.bytes(3000),
        "text.onnx": b"ir_version: 8",
        "torch.pt": keras,
    }
    files |= {"text.h5": b"hello", "name\n\x1b[31m.keras": b"x", "zeros.h5": b"\x89HDF\r\n\x1a\n" + b"\0" * 5000}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    trees(folder)
    shapes(folder)
    saved = folder / "savedmodel"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(rng.bytes(2000))
    (folder / "pipe.keras").symlink_to("pipe.keras")
    (folder / "folder.keras").mkdir()
    carded(folder, keras)
    return sorted(path for path in folder.iterdir())


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


def climbing(content: bytes) -> bytes:
    """Return a .keras file with members that point out of it, and without weights of its own."""
    out = io.BytesIO(rewritten(content, lambda name, body: None if name.endswith(".h5") else body))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("../../climbed.txt", b"harm")
        archive.writestr("/tmp/climbed.txt", b"harm")
    return out.getvalue()


def trees(folder: Path) -> None:
    """Write HDF5 files whose groups loop, point elsewhere or hold the wrong things."""
    with h5py.File(folder / "links.h5", "w") as file:
        file["loop"] = h5py.SoftLink("/loop")
        file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/")
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    with h5py.File(folder / "circle.h5", "w") as file:
        group = file.create_group("model_weights")
        group["inside"] = file["/"]
        file.attrs["model_config"] = "{"
    with h5py.File(folder / "typed.h5", "w") as file:
        file.attrs["model_config"] = 12
    with h5py.File(folder / "array.h5", "w") as file:
        file.attrs["model_config"] = np.zeros(5000, np.uint8)
    with h5py.File(folder / "weights.h5", "w") as file:
        file.create_group("conv")["kernel"] = np.zeros((3, 3))
    network().save(folder / "emptied.h5")
    with h5py.File(folder / "emptied.h5", "a") as file:
        del file["model_weights"]


def shapes(folder: Path) -> None:
    """Write whole models that are no detectors of faces."""
    import keras

    network(channels=1).save(folder / "grey.keras")
    network(outputs=10, activation="softmax").save(folder / "ten.keras")
    network(outputs=3, activation=None).save(folder / "three.keras")
    text = keras.Input((20,))
    keras.Model(text, keras.layers.Dense(1, activation="sigmoid")(text)).save(folder / "vector.keras")
    image = keras.Input((16, 16, 3))
    keras.Model(image, keras.layers.Conv2D(3, 1)(image)).save(folder / "pictures.keras")
    left, right = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    both = keras.layers.Flatten()(keras.layers.Add()([left, right]))
    keras.Model([left, right], keras.layers.Dense(1, activation="sigmoid")(both)).save(folder / "two.keras")
    anything = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(anything)
    keras.Model(anything, keras.layers.Dense(1, activation="sigmoid")(pooled)).save(folder / "any.keras")


def carded(folder: Path, content: bytes) -> None:
    """Write folders with a good model and a card that is wrong."""
    cards = {
        "list": "[]", "cut": '{"positive": "fa', "threshold": '{"threshold": 2}', "range": '{"range": "all"}', "positive": '{"positive": "maybe"}',
        "crop": '{"crop": "../../etc"}', "name": '{"name": 7}', "other": '{"model_sha256": "0"}', "bytes": "\udcff\udcfe",
    }  # fmt: skip
    for name, card in cards.items():
        home = folder / f"card-{name}"
        home.mkdir()
        (home / "model.keras").write_bytes(content)
        (home / "detector.json").write_bytes(card.encode("utf-8", "surrogateescape"))
    shutil.copytree(folder / "card-list", folder / "card-folder")
    (folder / "card-folder" / "detector.json").unlink()
    (folder / "card-folder" / "detector.json").mkdir()
