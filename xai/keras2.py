"""Model files that Keras 2 wrote, in words that Keras 3 understands."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py

ANY = object()
RANDOM = ("RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast", "RandomTranslation", "RandomBrightness", "RandomHeight", "RandomWidth")

# Entries that Keras 3 refuses although they change no answer, and the value with which that is so.
HARMLESS: dict[str, dict[str, Any]] = {
    "DepthwiseConv2D": {"groups": 1},
    "Conv2DTranspose": {"groups": 1},
    "SeparableConv2D": {"groups": 1, "kernel_initializer": ANY, "kernel_regularizer": ANY, "kernel_constraint": ANY},
    "BatchNormalization": {"renorm": False, "virtual_batch_size": None, "fused": ANY, "renorm_clipping": None, "renorm_momentum": ANY},
    "SpatialDropout2D": {"trainable": ANY, "noise_shape": ANY},
    **{kind: {"rng_type": ANY} for kind in RANDOM},
}


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Give a file that Keras 3 can read: the same, or a copy whose configuration is mended.

    Args:
        path: a `.h5` or `.keras` file.
    """
    read, write = (from_zip, into_zip) if zipfile.is_zipfile(path) else (from_h5, into_h5)
    try:
        config, version = read(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        config, version = None, ""  # Keras says what is wrong with it
    mended = None if config is None or version.startswith("3") else mend(config, slashed(config))
    if mended is None or mended == config:
        yield path
        return
    with TemporaryDirectory() as place:
        copy = Path(place) / path.name
        write(path, copy, json.dumps(mended))
        yield copy


def from_h5(path: Path) -> tuple[Any, str]:
    """Return the configuration in a `.h5` file and the Keras version that wrote it."""
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"]), str(file.attrs.get("keras_version", ""))


def into_h5(path: Path, copy: Path, config: str) -> None:
    """Copy a `.h5` file with another configuration."""
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = config


def from_zip(path: Path) -> tuple[Any, str]:
    """Return the configuration in a `.keras` file and the Keras version that wrote it."""
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json")), str(json.loads(file.read("metadata.json"))["keras_version"])


def into_zip(path: Path, copy: Path, config: str) -> None:
    """Copy a `.keras` file with another configuration."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, config if entry.filename == "config.json" else source.read(entry))


def slashed(config: Any) -> set[str]:
    """Return the names of layers with a '/' in them, which Keras 3 keeps for nested models."""
    if isinstance(config, list):
        return set().union(*map(slashed, config))
    if not isinstance(config, dict):
        return set()
    names = {config[key] for key in ("name",) if isinstance(config.get(key), str) and "/" in config[key]}
    return names.union(*map(slashed, config.values()))


def mend(config: Any, names: set[str]) -> Any:
    """Return a configuration without what Keras 3 no longer knows.

    Args:
        config: any part of a model's configuration.
        names: those with a '/', from `slashed`.

    Example:
        >>> mend({"class_name": "DepthwiseConv2D", "config": {"name": "a/b", "groups": 1}}, {"a/b"})
        {'class_name': 'DepthwiseConv2D', 'config': {'name': 'a_b'}}
        >>> mend({"class_name": "BatchNormalization", "config": {"axis": [3]}}, set())
        {'class_name': 'BatchNormalization', 'config': {'axis': 3}}
    """
    if isinstance(config, list):
        return [mend(value, names) for value in config]
    if isinstance(config, str):
        return config.replace("/", "_") if config in names else config
    if not isinstance(config, dict):
        return config
    found = {key: mend(value, names) for key, value in config.items()}
    kind, inner = found.get("class_name"), found.get("config")
    if isinstance(kind, str) and isinstance(inner, dict):
        spare = HARMLESS.get(kind, {})
        inner = {key: value for key, value in inner.items() if key not in spare or (spare[key] is not ANY and spare[key] != value)}
        if kind == "BatchNormalization" and isinstance(inner.get("axis"), list) and len(inner["axis"]) == 1:
            inner["axis"] = inner["axis"][0]
        found["config"] = inner
    if kind == "Functional" and "module" in found:
        found |= {"module": "keras", "class_name": "Model", "registered_name": None}  # Keras 2 names a module of its own
    return mend_graph(found) if "output_layers" in found and isinstance(found.get("layers"), list) else found


def mend_graph(config: dict[str, Any]) -> dict[str, Any]:
    """Return a functional model's configuration with its connections as Keras 3 counts them.

    Keras 2 counts the making of a nested model as its call 0, so that its first use is
    call 1; and it writes a single output as a list of one.
    """
    nested = {layer["config"].get("name"): layer.get("class_name") for layer in config["layers"] if "layers" in layer.get("config", {})}

    def counted(place: Any, among: set[str]) -> Any:
        if isinstance(place, list) and len(place) in (3, 4) and isinstance(place[0], str):
            return [place[0], max(place[1] - 1, 0), *place[2:]] if place[0] in among else place
        return [counted(part, among) for part in place] if isinstance(place, list) else place

    layers = [layer | {"inbound_nodes": counted(layer.get("inbound_nodes", []), set(nested))} for layer in config["layers"]]
    sequential = {name for name, kind in nested.items() if kind == "Sequential"}  # of the others Keras 3 takes one off itself
    ends = {key: counted(config[key], sequential) for key in ("input_layers", "output_layers")}
    single = {key: value[0] if len(value) == 1 and isinstance(value[0], list) else value for key, value in ends.items()}
    return config | {"layers": layers} | single
