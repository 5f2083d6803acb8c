"""Measure a detector on labelled images, as numbers, tables and pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.datasets import Manifest, Row
from xai import store
from xai.detector import Detector, score
from xai.errors import DataError
from xai.metrics import measure
from xai.stream import batches


def logits_of(
    detector: Detector, manifest: Manifest, batch_size: int | None = None, quiet: bool = True
) -> tuple[np.ndarray, list[Row], dict[str, str]]:
    """Run a detector over a manifest.

    Returns:
        Logits `(n,)`, the rows that were read in the same order, and path -> reason of the others.
    """
    paths = [manifest.root / row.path for row in manifest.rows]
    logits: list[np.ndarray] = []
    read: list[Row] = []
    skipped: dict[str, str] = {}
    for batch in batches(detector, paths, batch_size, keep=lambda image: None, label="measuring", quiet=quiet):
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
    batch_size: int | None = None,
    quiet: bool = True,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure a detector on a labelled folder.

    Args:
        detector: the detector.
        data: a folder with classes.
        out: gets tables and pictures.
        split, limit, seed: which images.
        batch_size: images a pass.
        quiet: no progress bar.

    Returns:
        The metrics of `xai.metrics.measure`, and path -> reason of what could not be read.

    Raises:
        DataError: no classes, or nothing readable.
    """
    from train.audit import chosen

    manifest, _ = chosen(detector, data, split=split, limit=limit, seed=seed, labelled=True)
    logits, read, skipped = logits_of(detector, manifest, batch_size, quiet)
    if not read:
        raise DataError(f"none of the {len(manifest.rows)} images in '{data}' could be read: {next(iter(skipped.items()))}")
    metrics = measure([row.label for row in read], logits, detector.threshold)
    if out is not None:
        write_evaluation(store.make_folder(out), read, logits, metrics, skipped)
    return metrics, skipped


def write_evaluation(out: Path, rows: Sequence[Row], logits: np.ndarray, metrics: dict[str, Any], skipped: dict[str, str]) -> None:
    """Write `metrics.json`, `predictions.csv`, `confusion.png`, `roc.png` and `skipped.csv` into a folder."""
    store.write_json(out / "metrics.json", metrics)
    scores = score(logits)
    store.write_table(
        out / "predictions.csv",
        ("path", "label", "logit", "score"),
        ((row.path, row.label, float(z), float(p)) for row, z, p in zip(rows, logits, scores, strict=True)),
    )
    store.write_table(out / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    store.write_bytes(out / "confusion.png", confusion(metrics))
    if metrics["roc_auc"] is not None:
        store.write_bytes(out / "roc.png", roc([row.label for row in rows], logits, metrics))


def figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a Matplotlib figure and axes that need no display and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure((width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(sheet)
    return sheet, sheet.subplots()


def png(sheet: Any) -> bytes:
    """Return a figure as PNG bytes without a date in it."""
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def confusion(metrics: dict[str, Any]) -> bytes:
    """Draw the confusion matrix."""
    c = metrics["confusion"]
    counts = np.array([[c["TN"], c["FP"]], [c["FN"], c["TP"]]])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    sheet, axes = figure(4, 3.6)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (y, x), count in np.ndenumerate(counts):
        axes.text(x, y, f"{count}\n{shares[y, x]:.0%}", ha="center", va="center", color="white" if shares[y, x] > 0.5 else "black")
    axes.set_xticks([0, 1], ["called real", "called fake"])
    axes.set_yticks([0, 1], ["real", "fake"])
    axes.set_title(f"accuracy {metrics['accuracy']:.3f} on {metrics['count']} images")
    return png(sheet)


def roc(labels: Sequence[str], logits: np.ndarray, metrics: dict[str, Any]) -> bytes:
    """Draw the ROC curve."""
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve([label == "fake" for label in labels], logits)
    sheet, axes = figure(4, 3.8)
    axes.plot([0, 1], [0, 1], ":", color="grey", label="chance")
    axes.plot(false_rate, true_rate, label=f"AUC {metrics['roc_auc']:.3f}")
    axes.set(xlabel="share of reals called fake", ylabel="share of fakes called fake", title="ROC curve", aspect="equal")
    axes.legend(loc="lower right")
    return png(sheet)


def curves(history: list[dict[str, float]], name: str) -> bytes:
    """Draw loss and accuracy per epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure((8, 3.4), dpi=120, layout="constrained")
    FigureCanvasAgg(sheet)
    epochs = [row["epoch"] for row in history]
    best = min(history, key=lambda row: row["val_loss"])["epoch"]
    for axes, key in zip(sheet.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [row[key] for row in history], ".-", label="training")
        axes.plot(epochs, [row[f"val_{key}"] for row in history], ".-", label="validation")
        axes.axvline(best, ls=":", color="grey", label=f"kept: epoch {int(best)}")
        axes.set(xlabel="epoch", title=f"{name}: {key}")
    axes.legend()
    return png(sheet)
