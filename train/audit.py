"""A data folder on its way into an audit: scanned, hashed, and told what the model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np

from train.datasets import Manifest, hashed, limited, scan
from xai.audit import Audited, audit, seen_in_training
from xai.detector import Detector
from xai.engine.engines import LOCAL, Engine
from xai.errors import DataError
from xai.items import Item
from xai.keptmaps import chosen as chosen_maps
from xai.naming import outside
from xai.provenance import Request


def chosen(
    detector: Detector,
    data: str | Path,
    *,
    split: str,
    limit: int | None,
    seed: int,
    labelled: bool,
    positive: str | None = None,
    out: str | Path | None = None,
) -> tuple[Manifest, dict[str, str]]:
    """Return the images to look at and, by content hash, the split each was in in training.

    Raises:
        DataError: no such folder, or no image of that split.
    """
    manifest = scan(data, labelled=labelled, positive=positive)
    if out is not None:
        kept = set(outside(manifest.files(), Path(out)))
        manifest = replace(manifest, rows=tuple(row for row in manifest.rows if manifest.file(row) in kept))
    seen = seen_in_training(detector)
    if split == "all":
        return limited(manifest, limit, seed), seen
    manifest = hashed(manifest)
    if not seen:
        raise DataError(f"--split {split}: the model has no manifest.csv beside it, so its splits are not known; use --split all")
    manifest = replace(manifest, rows=tuple(row for row in manifest.rows if seen.get(row.sha256) == split))
    if not manifest.rows:
        raise DataError(f"none of the images in '{data}' was in the model's {split} split; use --split all")
    return limited(manifest, limit, seed), seen


class Items(Sequence[Item]):
    """The images of a manifest in its order, each made when it is asked for: a million of them take no more room than the manifest.

    Args:
        manifest: the data set.
        kept: whether the maps of each are kept in full, bool `(N,)`; None for all.
    """

    def __init__(self, manifest: Manifest, kept: np.ndarray | None = None) -> None:
        self.manifest, self.kept = manifest, kept

    def __len__(self) -> int:
        return len(self.manifest.rows)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """Return one image, or some as a list."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        row = self.manifest.rows[index]
        kept = self.kept is None or bool(self.kept[index])
        return Item(int(index), self.manifest.file(row), row.path, row.label, row.sha256, kept)


def audit_folder(
    detector: Detector,
    data: str | Path,
    out: str | Path,
    request: Request,
    *,
    positive: str | None = None,
    engine: Engine = LOCAL,
    batch_size: int | None = None,
    clean: bool = False,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Audited:
    """Audit a folder; `positive` as in `datasets.scan`, the other arguments as in `xai.audit.audit`."""
    manifest, seen = chosen(detector, data, split=request.split, limit=request.limit, seed=request.seed, labelled=False, positive=positive, out=out)
    items = Items(manifest, chosen_maps([row.label for row in manifest.rows], request.keep_maps, request.seed))
    counts = ", ".join(f"{count} {label or 'unlabelled'}" for label, count in manifest.counts().items())
    say(f"{len(items)} images: {counts}")
    return audit(
        detector, items, out, request, seen=seen, engine=engine, data_name=manifest.name, root=manifest.root,
        batch_size=batch_size, clean=clean, quiet=quiet, say=say,
    )  # fmt: skip
