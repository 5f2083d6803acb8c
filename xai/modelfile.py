"""Model files and their cards, read with care: a model is data from someone else."""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from xai.crop import CROPS
from xai.errors import ModelError
from xai.keras2 import readable
from xai.places import File, Place
from xai.preprocess import RESIZES

CARD = "detector.json"
CODE = "custom_objects.py"  # beside a model: the classes and functions of its own that it is made of
UNKNOWN = re.compile(r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|activation function|function):?) '([^']+)'")
KERAS2 = frozenset(["TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"])  # what Keras 2 calls operations on tensors


CONFIG = "config.json"  # of a .keras file
LONGEST = 2**26  # bytes of it
HUGE = re.compile(rb'"(units|filters)": *([0-9]{8,})')  # TensorFlow would try for ten seconds to find room for them

EXPECTED = "expected .keras or .h5 (Keras), .onnx, or a SavedModel folder"
EXPORT = "export the model with torch.onnx.export, or hand a function that calls it to xai.blackbox"
HINTS = {".pt": EXPORT, ".pth": EXPORT, ".safetensors": EXPORT, ".tflite": "hand a function that calls it to xai.blackbox"}


def read_model(path: Path, trust: bool = False) -> Any:
    """Load a Keras model without its training state.

    Args:
        path: a `.keras` or `.h5` file.
        trust: rebuild Lambda layers and read `custom_objects.py` beside the file, which runs code of whoever
            saved it; never done unasked.

    Raises:
        ModelError: missing, damaged, or with code in it that is not trusted or not there.
    """
    if not path.exists():
        raise ModelError(f"model '{path}' does not exist; give a .keras or .h5 file, an .onnx file, a SavedModel folder or a folder with model.keras")
    suffix = path.suffix.lower()
    if suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(f"'{path.name}' is no model file; {EXPECTED}{f'; {HINTS[suffix]}' if suffix in HINTS else ''}")
    if suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"'{path}' is damaged or no Keras model (not a zip archive); copy it again")
    if suffix == ".keras":
        glance(path)
    own = defined(path.with_name(CODE)) if trust else {}
    import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are what is asked for
            with readable(path) as file:
                return keras.saving.load_model(file, compile=False, safe_mode=not trust, custom_objects=own)
    except Exception as error:  # Keras raises whatever the broken part raises
        raise ModelError(why_not(path.name, " ".join(str(error).split()))) from None


def glance(path: Path) -> None:
    """Refuse a `.keras` file whose description of the network is no network's, before Keras builds it.

    Raises:
        ModelError: it unpacks to too much, or asks for layers that no memory holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(CONFIG).file_size
            text = archive.read(CONFIG) if size <= LONGEST else b""
    except (KeyError, OSError, ValueError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile):
        return  # Keras says what is wrong
    if size > LONGEST:
        raise ModelError(f"'{path.name}' holds a description of {size / 1e6:,.0f} MB, which is no network's; copy it again, or save it again")
    if huge := HUGE.search(text):
        raise ModelError(f"'{path.name}' asks for {huge[1].decode()} of {huge[2].decode()}, more than memory holds; it is damaged or means harm")


def defined(path: Path) -> dict[str, Any]:
    """Run a Python file and return the classes and functions that it defines, by name; none where there is no file.

    Raises:
        ModelError: the code fails.
    """
    if not path.is_file():
        return {}
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # of a .py file there always is one
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # someone's code, which may fail in any way
        raise ModelError(f"'{path}' fails: {type(error).__name__}: {' '.join(str(error).split())}; mend it, it is run for --trust") from None
    return {name: value for name, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)}


def why_not(name: str, reason: str) -> str:
    """Return in one line why Keras cannot load a model, and what to do.

    Example:
        >>> why_not("m.h5", "Unknown layer: 'Blur'. Please ensure …").split(";")[0]
        "'m.h5' uses 'Blur', which is no part of Keras but code from whoever saved it"
    """
    custom = UNKNOWN.search(reason)
    if custom and custom[1] in KERAS2:
        return (
            f"'{name}' computes on tensors between its layers ('{custom[1]}'), which Keras 3 cannot read from a Keras 2 file; "
            "save it again with layers in their place (Rescaling, Add, …), or hand a function that calls it to xai.blackbox"
        )
    if custom:
        return (
            f"'{name}' uses '{custom[1]}', which is no part of Keras but code from whoever saved it; put that code into '{CODE}' beside the model "
            "and, if you trust it, say --trust (Python: trust=True), or load the model with Keras and hand it over: xai.wrap(model)"
        )
    if "Lambda" in reason or "safe_mode" in reason or "unsafe" in reason:
        return (
            f"'{name}' holds a Lambda layer, which is code: loading it runs code from whoever saved it; "
            "if you trust them say --trust (Python: trust=True), else save the model again with Keras layers in its place"
        )
    if "No model config" in reason or "model_config" in reason:
        return f"'{name}' holds weights only; give the whole model (model.save)"
    return f"'{name}' cannot be loaded: {reason[:300]}; copy it again, or save it again with Keras"


def is_savedmodel(path: Path) -> bool:
    """Say whether a path is a TensorFlow SavedModel folder."""
    return (path / "saved_model.pb").is_file()


def read_card(path: Path, model_sha256: str) -> dict[str, Any] | None:
    """Return a model's card, or None where there is none.

    Raises:
        ModelError: damaged, of another model, or with values that mean nothing.
    """
    if not path.exists():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"card '{path}' cannot be read ({error}); mend or remove it") from None
    if not isinstance(card, dict):
        raise ModelError(f"card '{path}' is no JSON object; mend or remove it")
    if card.get("model_sha256", model_sha256) != model_sha256:
        raise ModelError(f"card '{path}' belongs to another model file; put the model in a folder of its own, or train again")
    low_high = card.get("range", [0, 255])
    right = {
        "threshold": isinstance(card.get("threshold", 0.5), (int, float)) and 0 < card.get("threshold", 0.5) < 1,
        "range": isinstance(low_high, list) and len(low_high) == 2 and all(isinstance(end, (int, float)) for end in low_high),
        "mean": triple(card.get("mean", [0, 0, 0])),
        "std": triple(card.get("std", [1, 1, 1])),
        "positive": card.get("positive", "fake") in ("fake", "real"),
        "colour_order": card.get("colour_order", "RGB") in ("RGB", "BGR"),
        "crop": card.get("crop", "none") in CROPS,
        "resize": card.get("resize", "area") in RESIZES,
        "name": isinstance(card.get("name", ""), str),
    }
    for field, fine in right.items():
        if not fine:
            raise ModelError(f"card '{path}' has an impossible '{field}': {card[field]!r}; mend or remove it")
    return card


def triple(values: Any) -> bool:
    """Say whether a card's value is three numbers."""
    return isinstance(values, list) and len(values) == 3 and all(isinstance(value, (int, float)) for value in values)


def sha256(path: str | File) -> str:
    """Return the SHA-256 of a file, or of the files of a folder, as hexadecimal text.

    An image in an archive has that of the same image as a file; one stored as pixels that of its numbers.

    Raises:
        ImageError: a place that cannot be read.
        OSError: a file that cannot be read.
    """
    if isinstance(path, Place):
        return path.digest()
    if Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*") if file.is_file() and file.name != CARD)
        return digest_of(files)
    if not Path(path).is_file():  # a pipe or a device would be read for ever
        raise OSError(errno.EINVAL, "not a file", str(path))
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(files: Iterable[Path]) -> str:
    """Return one SHA-256 of several files, in this order, whatever their folder is called."""
    return hashlib.sha256("\n".join(f"{file.name} {sha256(file)}" for file in files).encode("utf-8", "surrogateescape")).hexdigest()
