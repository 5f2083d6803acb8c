"""What a training needs to go on after a kill: one file, replaced after every epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import store
from xai.errors import RunError

NAME = "resume.h5"


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
        RunError: damaged, or of another training.
    """
    path = folder / NAME
    if not path.exists():
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


def remove(folder: Path) -> None:
    """Remove the state: the training is done."""
    (folder / NAME).unlink(missing_ok=True)
