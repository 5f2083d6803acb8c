"""How a run was made, as tables for reading, without any HTML."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from reports import words
from reports.run import Run
from xai.errors import listed

Rows = list[tuple[str, str]]


def command(run: Run) -> str:
    """Return the command as one would type it."""
    parts = run.record.get("command") or []
    return shlex.join(str(part) for part in parts) if isinstance(parts, list) else str(parts)


def sections(run: Run) -> list[tuple[str, Rows]]:
    """Return titled lists of names and values, in the order of reading."""
    record = run.record
    options = record.get("options")
    seed = options.get("seed") if isinstance(options, Mapping) else None
    run_rows: Rows = [
        ("whyfake", text(record.get("whyfake"))),
        ("started", text(record.get("started"))),
        ("seed", text(seed)),
    ]
    parts = [
        ("Run", run_rows + [(f"seconds: {k}", v) for k, v in flat(record.get("seconds"))]),
        ("Options", [(name, value) for name, value in flat(options) if name != "seed"]),
        ("Model", flat(record.get("model"))),
        ("Preprocessing", flat(record.get("preprocessing"))),
        ("Data", flat(record.get("data"))),
        ("Merged runs", merged(record.get("merged"))),
        ("Model card", flat(without_history(record.get("card")))),
        ("Versions", flat(record.get("versions"))),
        ("Machine", flat(record.get("machine"))),
    ]
    return [(title, rows) for title, rows in parts if rows]


def merged(runs: Any) -> Rows:
    """Return the runs that were merged, with their images and machines; none of a run of its own."""
    if not isinstance(runs, list):
        return []
    return [(text(one.get("name")), f"{text(one.get('images'))} images; {text(one.get('machine'))}") for one in runs if isinstance(one, Mapping)]


def layers(run: Run) -> list[tuple[str, ...]]:
    """Return the mapped layers' geometry: name, type, shape, stride, offset, receptive field."""
    rows = []
    for layer in run.record["layers"]:
        pairs = [times(layer.get(k)) for k in ("shape", "stride", "offset", "receptive_field")]
        rows.append((str(layer["name"]), text(layer.get("type")), *pairs))
    return rows


def whole(run: Run) -> str:
    """Return `run.json`, indented."""
    return json.dumps(run.record, indent=2, ensure_ascii=False)


def without_history(card: Any) -> Any:
    """Return a model card without its training curves, which have their own picture."""
    if not isinstance(card, Mapping):
        return card
    return {name: value for name, value in card.items() if name != "history"}


def flat(value: Any, prefix: str = "") -> Rows:
    """Return a nested mapping as rows of dotted names and readable values.

    Example:
        >>> flat({"a": {"b": [1, 2]}, "c": None})
        [('a.b', '1, 2'), ('c', '–')]
    """
    if isinstance(value, Mapping):
        rows = []
        for name, part in value.items():
            rows += flat(part, f"{prefix}.{name}" if prefix else str(name))
        return rows
    return [(prefix, text(value))] if prefix or value is not None else []


def text(value: Any) -> str:
    """Return a value of a JSON file as a reader meets it.

    Example:
        >>> text([256, 256, 3]), text(True), text(None), text("")
        ('256, 256, 3', 'yes', '–', '–')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return words.number(value, 4)
    if isinstance(value, Mapping):
        return listed(f"{name}: {text(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return listed(text(part) for part in value) or words.NONE
    return words.NONE if value is None or value == "" else str(value)


def times(value: Any) -> str:
    """Return a size as `a × b`, once where both are equal.

    Example:
        >>> times([2.0, 2.0]), times([128, 128, 16])
        ('2', '128 × 128 × 16')
    """
    if not isinstance(value, (list, tuple)):
        return text(value)
    parts = [words.number(part, 4) for part in value]
    return parts[0] if len(parts) == 2 and parts[0] == parts[1] else " × ".join(parts)
