"""Measure a detector on labelled images, as numbers, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train import pictures
from train.datasets import Manifest, Row, hashed
from xai import store
from xai.calibration import temperature_of
from xai.curves import curves as curves_of
from xai.detector import Detector, score
from xai.errors import DataError
from xai.metrics import measure, report, table
from xai.notebook import Told
from xai.stream import batches

CURVES = ("roc.csv", "roc.png", "pr.csv", "pr.png")  # need both classes
FILES = (
    "metrics.json", "metrics.csv", "predictions.csv", "calibration.csv", "skipped.csv", "confusion.png", "calibration.png", "scores.png", *CURVES,
)  # fmt: skip


def logits_of(
    detector: Detector, manifest: Manifest, batch_size: int | None = None, quiet: bool = True
) -> tuple[np.ndarray, list[Row], dict[str, str]]:
    """Run a detector over a manifest.

    Returns:
        Logits `(n,)`, the rows that were read in the same order, and path -> reason of the others.
    """
    logits: list[np.ndarray] = []
    read: list[Row] = []
    skipped: dict[str, str] = {}
    for batch in batches(detector, manifest.files(), batch_size, keep=lambda *view: None, label="measuring", quiet=quiet):
        skipped |= {manifest.rows[index].path: reason for index, reason in batch.skipped.items()}
        if len(batch.indices):
            logits.append(detector.logits(batch.inputs))
            read += [manifest.rows[index] for index in batch.indices]
    return np.concatenate(logits) if logits else np.zeros(0, np.float32), read, skipped


def evaluate(
    detector: Detector,
    data: str | Path,
    *,
    out: str | Path | None = None,
    split: str = "all",
    limit: int | None = None,
    seed: int = 0,
    positive: str | None = None,
    batch_size: int | None = None,
    quiet: bool = True,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure a detector on labelled images.

    Args:
        detector: the detector; with a temperature on its card, the scores are also measured at it.
        data: what `train.datasets.scan` knows, with classes.
        out: gets tables and pictures.
        split, limit: which images.
        seed: of the choice of images and of the draws behind the intervals.
        positive: what 1 stands for where classes are only called 0 and 1.
        batch_size: images a pass.
        quiet: no progress bar.

    Returns:
        The metrics of `xai.metrics.measure` with `trained_on`, how many of the images were used in
        training or for early stopping, and path -> reason of what could not be read.

    Raises:
        DataError: no classes, or nothing readable.
    """
    from train.audit import chosen

    manifest, seen = chosen(detector, data, split=split, limit=limit, seed=seed, labelled=True, positive=positive, out=out)
    manifest = hashed(manifest)  # by its content an image of the training is known, wherever it lies now
    logits, read, skipped = logits_of(detector, manifest, batch_size, quiet)
    if not read:
        raise DataError(f"none of the {len(manifest.rows)} images in '{data}' could be read: {next(iter(skipped.items()))}")
    metrics = measure([row.label for row in read], logits, detector.threshold, temperature=temperature_of(detector), seed=seed)
    trained_on = sum(seen.get(row.sha256) in ("train", "valid") for row in read)
    if out is not None:
        about = {
            "model": detector.name, "model_sha256": detector.sha256, "data": manifest.name, "manifest_sha256": manifest.digest(),
            "split": split, "limit": limit, "trained_on": trained_on, "pixels": detector.preprocessing.text(),
        }  # fmt: skip
        write_evaluation(store.make_folder(out), read, logits, metrics | {"about": about}, skipped)
    return Told(metrics | {"trained_on": trained_on}, told), skipped


def warning(trained_on: int, count: int) -> str:
    """Say that a detector is measured on what it was trained on.

    Example:
        >>> warning(34, 40)
        '34 of the 40 images were used in training or for early stopping; expect less on new ones (--split test: only those held out)'
    """
    seen = f"{trained_on} of the {count} images were used in training or for early stopping"
    return f"{seen}; expect less on new ones (--split test: only those held out)"


def told(metrics: dict[str, Any]) -> str:
    """Return the metrics as text, with the warning if it is due."""
    return report(metrics) + (f"\n\n{warning(metrics['trained_on'], metrics['count'])}" if metrics["trained_on"] else "")


def forget(out: Path) -> None:
    """Remove what an earlier evaluation left, and its page: beside a new model they would speak of the old one."""
    for name in (*FILES, "index.html"):
        (out / name).unlink(missing_ok=True)


def write_evaluation(out: Path, rows: Sequence[Row], logits: np.ndarray, metrics: dict[str, Any], skipped: dict[str, str]) -> None:
    """Write what was measured into a folder, as numbers, tables and pictures.

    `metrics.json`, `metrics.csv`, `predictions.csv`, `calibration.csv`, `skipped.csv`, `confusion.png`,
    `calibration.png`, `scores.png`; with both classes also `roc.csv`, `roc.png`, `pr.csv` and `pr.png`.

    Args:
        out: the folder.
        rows: the images that were read.
        logits: of fake, `(N,)`.
        metrics: of `xai.metrics.measure` on them.
        skipped: path -> reason of what could not be read.
    """
    labels, scores = [row.label for row in rows], score(logits)
    scaled = score(logits / metrics["scaled"]["temperature"]) if metrics["scaled"] else np.full(len(rows), np.nan)
    store.write_json(out / "metrics.json", metrics)
    store.write_table(out / "metrics.csv", ("measure", "class", "value", "low", "high", "interval"), table(metrics))
    store.write_table(
        out / "predictions.csv",
        ("path", "label", "logit", "score", "scaled_score"),
        ((row.path, row.label, float(z), float(p), float(s)) for row, z, p, s in zip(rows, logits, scores, scaled, strict=True)),
    )
    store.write_table(
        out / "calibration.csv",
        ("temperature", "bin_low", "bin_high", "images", "mean_score", "share_fake", "low", "high"),
        (
            (belief.get("temperature", 1), b["low"], b["high"], b["count"], b["score"], b["fake"], *(b["fake_interval"] or (None, None)))
            for belief in (metrics["calibration"], metrics["scaled"]) if belief for b in belief["curve"]
        ),
    )  # fmt: skip
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    store.write_bytes(out / "confusion.png", pictures.confusion(metrics))
    store.write_bytes(out / "calibration.png", pictures.calibration(metrics))
    store.write_bytes(out / "scores.png", pictures.scores(labels, scores, metrics))
    drawn = curves_of(labels, logits, metrics["bootstrap"]["seed"], metrics["bootstrap"]["resamples"])
    if drawn is None:
        for name in CURVES:  # of an earlier evaluation, and no longer true
            (out / name).unlink(missing_ok=True)
        return
    roc, pr = drawn
    store.write_table(out / "roc.csv", ("threshold", "false_positive_rate", "true_positive_rate", "low", "high"), roc.rows())
    store.write_bytes(out / "roc.png", pictures.roc(roc, metrics))
    store.write_table(out / "pr.csv", ("threshold", "recall", "precision", "low", "high"), pr.rows())
    store.write_bytes(out / "pr.png", pictures.pr(pr, metrics))
