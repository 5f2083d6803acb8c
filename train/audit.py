"""A data folder on its way into an audit: scanned, hashed, and told what the model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from train.datasets import Manifest, hashed, limited, scan
from xai.audit import Audited, audit, seen_in_training
from xai.detector import Detector
from xai.errors import DataError
from xai.overlays import outside
from xai.provenance import Request
from xai.shard import Item


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
        kept = set(outside([manifest.root / row.path for row in manifest.rows], Path(out)))
        manifest = replace(manifest, rows=tuple(row for row in manifest.rows if manifest.root / row.path in kept))
    seen = seen_in_training(detector)
    if split == "all":  # chosen first: hashing reads every file that is left
        return hashed(limited(manifest, limit, seed)), seen
    manifest = hashed(manifest)
    if not seen:
        raise DataError(f"--split {split}: the model has no manifest.csv beside it, so its splits are not known; use --split all")
    manifest = replace(manifest, rows=tuple(row for row in manifest.rows if seen.get(row.sha256) == split))
    if not manifest.rows:
        raise DataError(f"none of the images in '{data}' was in the model's {split} split; use --split all")
    return limited(manifest, limit, seed), seen


def items_of(manifest: Manifest, seen: dict[str, str]) -> list[Item]:
    """Return the images of a manifest in its order, with the split each was in in training."""
    return [
        Item(index, manifest.root / row.path, row.path, row.label, row.sha256, seen.get(row.sha256, "")) for index, row in enumerate(manifest.rows)
    ]


def audit_folder(
    detector: Detector,
    data: str | Path,
    out: str | Path,
    request: Request,
    *,
    positive: str | None = None,
    batch_size: int | None = None,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Audited:
    """Audit a folder; `positive` as in `datasets.scan`, the other arguments as in `xai.audit.audit`."""
    manifest, seen = chosen(detector, data, split=request.split, limit=request.limit, seed=request.seed, labelled=False, positive=positive, out=out)
    items = items_of(manifest, seen)
    counts = ", ".join(f"{count} {label or 'unlabelled'}" for label, count in manifest.counts().items())
    say(f"{len(items)} images: {counts}")
    return audit(
        detector, items, out, request, data_name=manifest.root.resolve().name, root=manifest.root, batch_size=batch_size, quiet=quiet, say=say
    )
