"""Results of every image, before anything is averaged: arrays in an `.npz` file that NumPy alone can read."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xai import store
from xai.errors import RunError
from xai.probes.effects import Effects
from xai.trust.faithful import Found
from xai.trust.measure import Faithfulness

EFFECTS, FAITHFUL = "effects.npz", "faithful.npz"
PLACED = ("index", "donor")  # row numbers of a run, which mean nothing in another


def write_effects(out: Path, effects: Effects | None) -> None:
    """Write `effects.npz`, or remove that of an earlier run."""
    names = ("index", "logit", "delta", "flipped", "donor", "area")
    words = None if effects is None else {name: getattr(effects, name) for name in ("rows", "kinds", "paths", "labels", "skipped")}
    write(out / EFFECTS, {name: getattr(effects, name) for name in names} if effects else {}, words)


def write_faithful(out: Path, found: Faithfulness | None) -> None:
    """Write `faithful.npz`, or remove that of an earlier run."""
    if found is None:
        return write(out / FAITHFUL, {}, None)
    words = {name: getattr(found, name) for name in ("rows", "fractions", "road", "threshold", "paths", "labels", "skipped")}
    return write(out / FAITHFUL, {"index": found.index, "donor": found.donor} | {f"found_{k}": v for k, v in found.found.columns().items()}, words)


def write(path: Path, arrays: Mapping[str, np.ndarray], words: dict[str, Any] | None) -> None:
    """Write arrays, and what is no array as JSON under `words`; None removes the file."""
    if words is None:
        path.unlink(missing_ok=True)
        return
    buffer = io.BytesIO()
    np.savez_compressed(buffer, words=np.array(json.dumps(store.plain(words))), **arrays)  # type: ignore[arg-type]
    store.write_bytes(path, buffer.getvalue())


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return arrays and words of a file; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != "words"}
            return arrays, json.loads(str(file["words"]))
    except (OSError, KeyError, ValueError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise RunError(f"'{path}' is damaged ({error}); run that audit again with the same command") from None


def pooled_effects(folders: Sequence[Path]) -> tuple[Effects | None, str]:
    """Return the effects that several runs measured, as one; None, and why, where there are none or they do not fit together."""
    found = [one for folder in folders if (one := read(folder / EFFECTS)) is not None]
    if not found:
        return None, "none of the merged runs did so"
    regions = [name for name in found[0][1]["rows"] if all(name in words["rows"] for _, words in found)]
    kinds = [name for name in found[0][1]["kinds"] if all(name in words["kinds"] for _, words in found)]
    donors = min(arrays["delta"].shape[3] for arrays, _ in found)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in found[0][0]}
    for arrays, words in found:
        rows, ways = [words["rows"].index(name) for name in regions], [words["kinds"].index(name) for name in kinds]
        for name, values in arrays.items():
            cut = values[:, rows][:, :, ways][..., :donors] if values.ndim == 4 else values[:, rows] if values.ndim == 2 else values
            parts[name].append(np.full_like(cut, -1) if name in PLACED else cut)
    columns: dict[str, Any] = gathered(parts) | said(found)
    return Effects(rows=tuple(regions), kinds=tuple(kinds), **columns), ""


def pooled_faithful(folders: Sequence[Path]) -> Faithfulness | None:
    """Return what several runs measured of their maps' faithfulness, as one; None where none did."""
    found = [one for folder in folders if (one := read(folder / FAITHFUL)) is not None]
    if not found:
        return None
    rows = [tuple(pair) for pair in found[0][1]["rows"] if all(pair in words["rows"] for _, words in found)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in found[0][0]}
    for arrays, words in found:
        places = [words["rows"].index(list(pair)) for pair in rows]
        for name, values in arrays.items():
            whole = name in ("index", "donor", "found_whole")
            parts[name].append(np.full_like(values, -1) if name in PLACED else values if whole else values[:, places])
    arrays = gathered(parts)
    first = found[0][1]
    return Faithfulness(
        rows=tuple(rows),
        fractions=tuple(first["fractions"]),
        road=tuple(first["road"]),
        threshold=first["threshold"],
        index=arrays["index"],
        donor=arrays["donor"],
        found=Found(**{name.removeprefix("found_"): values for name, values in arrays.items() if name.startswith("found_")}),
        **said(found),
    )


def gathered(parts: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays of several runs as one."""
    return {name: np.concatenate(values) for name, values in parts.items()}


def said(found: Sequence[tuple[dict[str, np.ndarray], dict[str, Any]]]) -> dict[str, Any]:
    """Return paths, labels and skipped of several runs."""
    return {
        "paths": tuple(path for _, words in found for path in words["paths"]),
        "labels": tuple(label for _, words in found for label in words["labels"]),
        "skipped": {path: reason for _, words in found for path, reason in words["skipped"].items()},
    }
