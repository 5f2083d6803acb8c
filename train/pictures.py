"""Pictures of a training and of an evaluation, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from train.loop import CALIBRATED, criterion
from xai.calibration import CONFIDENT
from xai.curves import GRID, Curve

# blue and orange differ for every kind of colour sight; the same as on the pages
REAL, FAKE, INK, PALE = "#2a6db0", "#d9691a", "#222222", "#8a8f98"
COLOURS = {"real": REAL, "fake": FAKE}
BARS = 40  # of a histogram of scores


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return a Matplotlib figure and its axes, which need no display and no global state.

    Args:
        width, height: in inches, at 120 dots each.
        rows, columns: of axes; one of each gives the axes themselves, more an array of them.
        options: further ones of Matplotlib's `subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure((width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(sheet)
    return sheet, sheet.subplots(rows, columns, **options)


def png(sheet: Any) -> bytes:
    """Return a figure as PNG bytes without a date in it."""
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def curves(history: Sequence[dict[str, float]], name: str) -> bytes:
    """Draw loss and, where there is one, accuracy per epoch.

    Args:
        history: a record per epoch: `epoch`, `loss`, `val_loss`, perhaps `accuracy`, `val_accuracy`, `val_calibrated_loss`.
        name: of the network.
    """
    keys = [key for key in ("loss", "accuracy") if key in history[0]]
    sheet, axes = figure(4.2 * len(keys), 3.5, columns=len(keys), squeeze=False)
    epochs = [row["epoch"] for row in history]
    kept = min(history, key=criterion)["epoch"]
    for at, key in zip(axes[0], keys, strict=True):
        at.plot(epochs, [row[key] for row in history], ".--", color=PALE, label="training images")
        at.plot(epochs, [row[f"val_{key}"] for row in history], ".-", color=REAL, label="validation images")
        if key == "loss" and CALIBRATED in history[0]:
            at.plot(epochs, [row[CALIBRATED] for row in history], ".:", color=FAKE, label="the same at its best temperature")
        at.axvline(kept, ls=":", color=INK, label=f"epoch {int(kept)} was kept")
        at.set(xlabel="epoch", ylabel={"accuracy": "share of right answers"}.get(key, key), title=f"{name}: {key}")
        at.xaxis.get_major_locator().set_params(integer=True)
    axes[0][0].legend()
    return png(sheet)


def confusion(metrics: dict[str, Any]) -> bytes:
    """Draw the confusion matrix of `xai.metrics.measure`, with shares of each true class and their intervals."""
    c = metrics["confusion"]
    counts = np.array([[c["TN"], c["FP"]], [c["FN"], c["TP"]]])
    sheet, axes = figure(4.8, 4)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (y, x), count in np.ndenumerate(counts):
        text = f"{count:,}"
        if counts[y].any():
            text += f"\n{100 * shares[y, x]:.1f} %"
            if ends := metrics["classes"][("real", "fake")[y]]["recall_interval"]:
                low, high = ends if x == y else (1 - ends[1], 1 - ends[0])
                text += f"\n({100 * low:.1f} to {100 * high:.1f} %)"
        axes.text(x, y, text, ha="center", va="center", color="white" if shares[y, x] > 0.5 else INK)
    axes.set_xticks([0, 1], ["called real", "called fake"])
    axes.set_yticks([0, 1], [f"{count:,}\n{name} images" for name, count in metrics["counts"].items()])
    axes.set_title(f"{c['TN'] + c['TP']:,} of {metrics['count']:,} answers are right: {100 * metrics['accuracy']:.1f} %")
    return png(sheet)


def roc(curve: Curve, metrics: dict[str, Any]) -> bytes:
    """Draw the ROC curve with its band and the point of the threshold."""
    c = metrics["confusion"]
    sheet, axes = plane(curve, f"ROC curve, {metrics['count']:,} images", "AUC " + spoken(metrics, "roc_auc"))
    axes.plot([0, 1], [0, 1], ":", color=PALE, label="answers by chance")
    axes.plot(c["FP"] / (c["FP"] + c["TN"]), metrics["recall"], "o", color=FAKE, label=f"threshold {metrics['threshold']:g}")
    axes.set(xlabel="share of reals called fake (wrongly)", ylabel="share of fakes called fake (rightly)")
    axes.legend(loc="lower right")
    return png(sheet)


def pr(curve: Curve, metrics: dict[str, Any]) -> bytes:
    """Draw the precision-recall curve with its band and the point of the threshold."""
    share = metrics["counts"]["fake"] / metrics["count"]
    title = f"Precision and recall, {metrics['count']:,} images"
    sheet, axes = plane(curve, title, "average precision " + spoken(metrics, "average_precision"), steps=True)
    axes.axhline(share, ls=":", color=PALE, label=f"answers by chance ({100 * share:.0f} % are fake)")
    if metrics["precision"] is not None:
        axes.plot(metrics["recall"], metrics["precision"], "o", color=FAKE, label=f"threshold {metrics['threshold']:g}")
    axes.set(xlabel="recall: share of fakes called fake", ylabel="precision: of those called fake, share that are")
    axes.legend(loc="lower left")
    return png(sheet)


def plane(curve: Curve, title: str, label: str, steps: bool = False) -> tuple[Any, Any]:
    """Return a square from 0 to 1 with a curve and its band in it."""
    sheet, axes = figure(4.8, 4.8)
    if not np.isnan(curve.low).any():
        axes.fill_between(GRID, curve.low, curve.high, color=REAL, alpha=0.2, lw=0, label="95 % interval")
    # between two thresholds precision does not run along a line
    axes.plot(curve.x, curve.y, color=REAL, drawstyle="steps-pre" if steps else "default", label=label)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=title)
    axes.grid(color="#e3e5e8")
    return sheet, axes


def calibration(metrics: dict[str, Any]) -> bytes:
    """Draw how often images of a score are fake, beside the same at the card's temperature where there is one."""
    beliefs = [belief for belief in (metrics["calibration"], metrics["scaled"]) if belief]
    sheet, axes = figure(
        4.8 * len(beliefs),
        5.7 if len(beliefs) > 1 else 6.1,
        rows=2,
        columns=len(beliefs),
        squeeze=False,
        sharex=True,
        sharey="row",
        height_ratios=(4, 1),
    )
    for (top, below), belief in zip(axes.T, beliefs, strict=True):
        bins = belief["curve"]
        name = f"scores at temperature {belief['temperature']:.2f}" if "temperature" in belief else "scores as they are"
        shares, x = np.array([b["fake"] for b in bins]), [b["score"] for b in bins]
        top.plot([0, 1], [0, 1], ":", color=PALE, label="a score means what it says")
        if all(b["fake_interval"] for b in bins):
            ends = np.array([b["fake_interval"] for b in bins]).T
            top.vlines(x, *ends, color=REAL, alpha=0.5, lw=3, label="95 % interval")
        top.plot(x, shares, "o-", color=REAL, lw=1, label="images of that score")
        error = f"ECE {belief['ece']:.3f}" + ("; by chance alone up to {1:.3f}".format(*belief["ece_by_chance"]) if belief["ece_by_chance"] else "")
        top.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=f"{name}, {metrics['count']:,} images\n{error}")
        top.grid(color="#e3e5e8")
        below.bar([b["low"] for b in bins], [b["count"] for b in bins], [b["high"] - b["low"] for b in bins], align="edge", color=REAL, ec="white")
        below.set(xlabel="score: how sure of fake")
    axes[0][0].set(ylabel="share of these images that are fake")
    axes[1][0].set(ylabel="images")
    handles, names = axes[0][0].get_legend_handles_labels()
    sheet.legend(handles, names, loc="outside lower center", ncols=3 if len(beliefs) > 1 else 1, frameon=False)
    return png(sheet)


def scores(labels: Sequence[str], values: np.ndarray, metrics: dict[str, Any]) -> bytes:
    """Draw how the scores of each class are spread.

    Args:
        labels: "real" or "fake" per image.
        values: the scores of fake, `(N,)`, in [0, 1].
        metrics: of `xai.metrics.measure`.
    """
    sheet, axes = figure(6.4, 4.4, rows=2, sharex=True, sharey=True)
    truth = np.array(labels)
    for at, name in zip(axes, ("real", "fake"), strict=True):
        own = values[truth == name]
        at.axvspan(0, 1 - CONFIDENT, color="#eceef1", lw=0)
        at.axvspan(CONFIDENT, 1, color="#eceef1", lw=0)
        at.hist(own, bins=BARS, range=(0, 1), color=COLOURS[name], ec="white", lw=0.5)
        at.axvline(metrics["threshold"], ls="--", color=INK)
        at.set(ylabel="images", xlim=(0, 1))
        at.set_title(f"{len(own):,} {name} images", loc="left", color=COLOURS[name])
    sure = metrics["calibration"]["confident"]
    text = f"shaded: {CONFIDENT * 100:.0f} % sure of a class ({sure['count']:,} images"
    text += f", {100 * sure['accuracy']:.1f} % of them right)" if sure["accuracy"] is not None else ")"
    axes[1].set(xlabel=f"score: how sure of fake; called fake from {metrics['threshold']:g} (dashed)\n{text}")
    return png(sheet)


def spoken(entry: dict[str, Any], name: str) -> str:
    """Return a value with its interval.

    Example:
        >>> spoken({"roc_auc": 0.8512, "roc_auc_interval": [0.8, 0.9]}, "roc_auc")
        '0.851 (0.800 to 0.900)'
    """
    ends = entry[f"{name}_interval"]
    return f"{entry[name]:.3f} ({ends[0]:.3f} to {ends[1]:.3f})" if ends else f"{entry[name]:.3f}"
