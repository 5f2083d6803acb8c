"""What a training needs to go on after a kill: one file, replaced after every epoch; and whether it is over."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import store
from xai.errors import RunError
from xai.modelfile import CARD, sha256

NAME = "resume.h5"
CARDS = (CARD, "autoencoder.json")  # one of them is written when a training is over


class Finished(RunError):
    """What was to go on is over.

    Args:
        card: that it left.
    """

    def __init__(self, card: dict[str, Any]) -> None:
        epochs = card["training"]["epochs"]
        super().__init__(f"already finished after {epochs} epoch{'s' if epochs != 1 else ''}; without --resume it is trained again")
        self.card = card


def save(folder: Path, key: str, progress: dict[str, Any], arrays: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write a state whole, over the one before.

    Args:
        folder: of the training.
        key: says what is trained, with what and how; another key cannot go on from here.
        progress: JSON-able.
        arrays: lists of arrays by name.
    """
    with store.atomic(folder / NAME) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["key"] = key
        file["progress"] = json.dumps(progress)  # no attribute: those end at 64 KiB
        for name, values in arrays.items():
            place = file.create_group(name)
            for index, value in enumerate(values):
                place[str(index)] = value


def load(folder: Path, key: str) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]] | None:
    """Return the last state, or None where there is none.

    Raises:
        Finished: this training is over.
        RunError: damaged, or of another training.
    """
    path = folder / NAME
    if not path.exists():
        unfinished(folder, key)
        return None
    try:
        with h5py.File(path, "r") as file:
            found = str(file.attrs["key"])
            progress = json.loads(file["progress"].asstr()[()])
            arrays = {name: [group[str(i)][()] for i in range(len(group))] for name, group in file.items() if isinstance(group, h5py.Group)}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"'{path}' is damaged ({error}); remove it and train from the start, without --resume") from None
    if found != key:
        raise RunError(f"'{path}' belongs to a training on other data or with other options; use the same command, or leave out --resume")
    return progress, arrays


def unfinished(folder: Path, key: str) -> None:
    """Raise where a folder holds what a training left at its end: going on would train from the start, over it.

    Raises:
        Finished: it was this training.
        RunError: it was another.
    """
    model = folder / "model.keras"
    found = sha256(model) if model.exists() else ""
    cards = [store.read_json(folder / name) for name in CARDS if (folder / name).exists()]
    card = next((card for card in cards if card.get("model_sha256") == found), None)
    if card is None:
        return
    if card.get("identity") != key:
        raise RunError(
            f"'{folder}' holds a finished training that is not this one (other data or options, or an older version); "
            "give another --out, or leave out --resume to train over it"
        )
    raise Finished(card)


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that a finished training left; none where it is gone.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"'{path}' is no table of a training ({error}); mend or remove it") from None


def skipped_in(folder: Path) -> dict[str, str]:
    """Return what a finished training could not read, path -> reason."""
    return {row["path"]: row["reason"] for row in table(folder / "skipped.csv")}


def remove(folder: Path) -> None:
    """Remove the state: the training is done."""
    (folder / NAME).unlink(missing_ok=True)
