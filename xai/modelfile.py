"""Model files and their cards, read with care: a model is data from someone else."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from xai.crop import CROPS
from xai.errors import ModelError

CARD = "detector.json"


def read_model(path: Path) -> Any:
    """Load a Keras model without its training state; never runs code stored in it."""
    if not path.exists():
        raise ModelError(f"model '{path}' does not exist; give a .keras or .h5 file, or a folder with model.keras")
    suffix = path.suffix.lower()
    if suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(f"'{path.name}' is no model file; expected .keras or .h5")
    if suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"'{path}' is damaged or no Keras model (not a zip archive); copy it again")
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the broken part raises
        reason = " ".join(str(error).split())
        if "Lambda" in reason or "safe_mode" in reason or "unsafe" in reason:
            raise ModelError(
                f"'{path.name}' holds a Lambda layer, which is code from whoever saved it; save the model again with Keras layers in its place"
            ) from None
        if "No model config" in reason or "model_config" in reason:
            raise ModelError(f"'{path.name}' holds weights only; give the whole model (model.save)") from None
        raise ModelError(f"'{path.name}' cannot be loaded: {reason[:300]}") from None


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
        "positive": card.get("positive", "fake") in ("fake", "real"),
        "colour_order": card.get("colour_order", "RGB") in ("RGB", "BGR"),
        "crop": card.get("crop", "none") in CROPS,
        "name": isinstance(card.get("name", ""), str),
    }
    for field, fine in right.items():
        if not fine:
            raise ModelError(f"card '{path}' has an impossible '{field}': {card[field]!r}; mend or remove it")
    return card


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal text."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
