"""Names of output files: unique, safe on any disk, and short enough."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from xai.errors import DataError
from xai.places import File


def outside(paths: Sequence[File], folder: Path) -> list[File]:
    """Return the paths that are not below a folder: what a run wrote is not its input.

    Raises:
        DataError: none is left.
    """
    place = Path(os.path.abspath(folder))
    kept = [path for path in paths if not isinstance(path, Path) or place not in Path(os.path.abspath(path)).parents]
    if not kept:
        raise DataError(f"all {len(paths)} images lie in the output folder '{folder}'; give another --out")
    return kept


def output_names(paths: Sequence[File]) -> list[str]:
    """Return a file stem per image that is unique: its path below the folder all share, '/' as '+'.

    Example:
        >>> output_names([Path("d/real/1.png"), Path("d/fake/1.png")])
        ['real+1.png', 'fake+1.png']
    """
    if not paths:
        return []
    whole = [Path(os.path.abspath(str(path))) for path in paths]  # relative and absolute ones may be mixed
    parents = [path.parent.parts for path in whole]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    names: list[str] = []
    seen: set[str] = set()
    for path in whole:
        name = "+".join(path.parts[shared:])
        if len(os.fsencode(name)) > 120 or name in seen:  # room for layer and method within 255 bytes
            mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
            name = f"{os.fsencode(name)[:100].decode('utf-8', 'ignore')}-{mark}"
        seen.add(name)
        names.append(name)
    return names


def overlay_name(name: str, layer: str, method: str) -> str:
    """Return the file name of one overlay: its parts fit into 255 bytes, a long one cut and told apart by a hash.

    Example:
        >>> overlay_name("a.png", "body/conv", "rise:masks=20")
        'a.png__body+conv__rise+masks+20.jpg'
    """
    plain = "".join(c if c.isalnum() or c in "._-" else "+" for c in method)
    return f"{name}__{cut(layer.replace('/', '+'), 60)}__{cut(plain, 60)}.jpg"


def cut(text: str, most: int) -> str:
    """Return a text of at most so many bytes, a longer one ending in a hash of the whole."""
    data = os.fsencode(text)
    return text if len(data) <= most else f"{data[: most - 13].decode('utf-8', 'ignore')}-{hashlib.sha256(data).hexdigest()[:12]}"
