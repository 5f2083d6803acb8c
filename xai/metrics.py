"""How good a detector is: rates, areas and calibration, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xai import calibration, stats
from xai.stats import wilson as wilson

CLASSES = ("real", "fake")
AVERAGES = ("macro average", "weighted average")
RATES = ("precision", "recall", "f1")


def measure(
    labels: Sequence[str],
    logits: np.ndarray,
    threshold: float = 0.5,
    *,
    temperature: float | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Any]:
    """Return the metrics of a labelled set; fake is the positive class.

    A value `x` has its 95 % interval beside it as `x_interval`: percentiles of a bootstrap within
    the classes, with three exceptions. `accuracy_interval` is Wilson's (`accuracy_bootstrap` is the
    other). Where every draw gives the same value, as at an accuracy of 1, a bootstrap would claim
    certainty; an interval built on Wilson's stands there, and `x_wilson` says so. For ECE see
    `xai.calibration.ece_interval`.

    Args:
        labels: "real" or "fake" per image.
        logits: of fake, `(N,)`.
        threshold: scores from here on are called fake.
        temperature: fitted on other images; adds `scaled`.
        seed: of the draws.
        resamples: draws; 0 leaves every interval but `accuracy_interval` None.

    Returns:
        For JSON; a rate that has nothing to divide by is None.
        `count`, `counts` per class, `threshold`, `confusion`, `accuracy`, `balanced_accuracy`,
        `precision`, `recall`, `f1` (all of fake), `roc_auc`, `average_precision`;
        `classes`: `precision`, `recall`, `f1`, `support` of real, fake and their averages;
        `calibration`: `ece`, `ece_by_chance` (mean and 97.5 % point of what perfect calibration
        would show on so many images), `nll` in nats, `brier`, `curve` (a record per bin in use) and
        `confident`: how many images (`count`, `share`) have a score of at least 0.9 for either
        class, how many of them are `right` (`accuracy`), and the same by class;
        `scaled`: as `calibration`, at that `temperature`; None without one;
        `bootstrap`: `level`, `resamples`, `seed`.

    Raises:
        ValueError: no images, other labels, not one finite logit per label, an impossible temperature.

    Reference:
        Efron and Tibshirani, An introduction to the bootstrap, 1993.

    Example:
        >>> result = measure(["fake", "real", "real"], np.array([2.0, -1.0, 1.0]))
        >>> result["confusion"], round(result["accuracy"], 3), result["roc_auc"]
        ({'TP': 1, 'FP': 1, 'TN': 1, 'FN': 0}, 0.667, 1.0)
    """
    from xai.detector import score

    truth, logits = checked(labels, logits, temperature)
    order = np.argsort(-logits, kind="stable")
    truth, logits = truth[order], logits[order]
    starts = np.flatnonzero(np.diff(logits, prepend=np.inf))
    called = score(logits) >= threshold
    cells = np.stack([truth & called, ~truth & called, ~truth & ~called, truth & ~called], 1).astype(float)
    tp, fp, tn, fn = (int(count) for count in cells.sum(0))
    confusion = {"TP": tp, "FP": fp, "TN": tn, "FN": fn}

    def measures(drawn: np.ndarray) -> dict[str, np.ndarray]:
        areas = stats.ranking(drawn, truth, starts)
        return {**rates(drawn @ cells), "roc_auc": areas[0], "average_precision": areas[1]}

    scaled = [] if temperature is None else [logits / temperature]
    believed = [calibration.believed(truth, z) for z in (logits, *scaled)]
    found, *beliefs = stats.bootstrap([measures, *believed], truth, resamples, seed)
    judged = [calibration.judge(belief, truth, z, seed, resamples) for belief, z in zip(beliefs, (logits, *scaled), strict=True)]

    def entry(name: str, group: str = "") -> dict[str, Any]:
        value, draws = found[f"{name} {group}".strip()]
        return stats.entry(name, value, stats.interval(value, draws), None if group in AVERAGES else lambda: stand_in(name, group, value, confusion))

    accuracy = entry("accuracy")
    support = {"real": tn + fp, "fake": tp + fn}
    classes = {group: {key: part for name in RATES for key, part in entry(name, group).items()} for group in CLASSES}
    macro, weighted = dict.fromkeys(CLASSES, 0.5), {group: support[group] / len(truth) for group in CLASSES}
    averages = {
        group: {key: part for name in RATES for key, part in averaged(entry(name, group), name, classes, shares).items()}
        for group, shares in zip(AVERAGES, (macro, weighted), strict=True)
    }
    return {
        "count": len(truth),
        "counts": support,
        "threshold": float(threshold),
        "accuracy": accuracy["accuracy"],
        "accuracy_interval": list(wilson(tp + tn, len(truth))),
        "accuracy_bootstrap": accuracy["accuracy_interval"],
        **{key.replace("recall", "balanced_accuracy"): part for key, part in averages["macro average"].items() if key.startswith("recall")},
        **classes["fake"],
        **entry("roc_auc"),
        **entry("average_precision"),
        "confusion": confusion,
        "classes": {
            **{group: rates_of | {"support": support[group]} for group, rates_of in classes.items()},
            **{group: rates_of | {"support": len(truth)} for group, rates_of in averages.items()},
        },
        "calibration": judged[0],
        "scaled": None if temperature is None else {"temperature": float(temperature), **judged[1]},
        "bootstrap": {"level": stats.LEVEL, "resamples": resamples, "seed": seed},
    }


def checked(labels: Sequence[str], logits: np.ndarray, temperature: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each image is fake, and its logit as float64, or say what is wrong with them."""
    logits = np.asarray(logits, np.float64)
    if not len(labels):
        raise ValueError("no images to measure")
    if logits.shape != (len(labels),):
        raise ValueError(f"{len(labels)} labels came with logits of shape {logits.shape}; expected one logit per label")
    if others := sorted({str(label) for label in labels} - set(CLASSES)):
        raise ValueError(f"labels are {', '.join(map(repr, others))}; expected 'real' or 'fake'")
    if not np.isfinite(logits).all():
        raise ValueError("the logits hold NaN or infinity; expected finite numbers")
    if temperature is not None and not 0 < temperature < np.inf:
        raise ValueError(f"the temperature is {temperature}; expected a number above 0")
    return np.array([label == "fake" for label in labels]), logits


def rates(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rates of a confusion matrix.

    A macro average is the plain mean of both classes, a weighted one counts each class by its images.

    Args:
        cells: `(r, 4)`: TP, FP, TN, FN.

    Returns:
        By name and class, `(r,)` in [0, 1]; NaN where there is nothing to divide by.

    Example:
        >>> found = rates(np.array([[2.0, 1, 1, 1]]))
        >>> found["accuracy"].tolist(), found["recall real"].tolist(), found["f1 fake"].round(3).tolist()
        ([0.6], [0.5], [0.667])
    """
    tp, fp, tn, fn = cells.T
    count = cells.sum(1)
    found = {"accuracy": (tp + tn) / count}
    for group, right, missed, wrong in (("real", tn, fp, fn), ("fake", tp, fn, fp)):
        found[f"precision {group}"] = stats.ratio(right, right + wrong)
        found[f"recall {group}"] = stats.ratio(right, right + missed)
        found[f"f1 {group}"] = stats.ratio(2 * right, 2 * right + wrong + missed)
    share = (tp + fn) / count
    for name in RATES:
        real, fake = found[f"{name} real"], found[f"{name} fake"]
        found[f"{name} macro average"] = (real + fake) / 2
        # a class without images has no weight, so its rate need not exist
        found[f"{name} weighted average"] = np.where(share < 1, (1 - share) * real, 0) + np.where(share > 0, share * fake, 0)
    return found


def stand_in(name: str, group: str, value: float, confusion: dict[str, int]) -> tuple[float, float]:
    """Return an interval that needs no draws, for a value that no draw can move.

    Shares take Wilson's interval, F1 its image. An area takes Wilson's with the smaller class as
    trials, which is wide on purpose.

    Args:
        name, group: of the measure.
        value: of the measure.
        confusion: TP, FP, TN, FN.

    Example:
        >>> [round(end, 3) for end in stand_in("roc_auc", "", 1.0, {"TP": 10, "FP": 0, "TN": 90, "FN": 0})]
        [0.722, 1.0]
    """
    tp, fp, tn, fn = (confusion[cell] for cell in ("TP", "FP", "TN", "FN"))
    if name == "accuracy":
        return wilson(tp + tn, tp + fp + tn + fn)
    if name in ("roc_auc", "average_precision"):
        least = min(tp + fn, tn + fp)
        return wilson(round(value * least), least)
    right, missed, wrong = (tp, fn, fp) if group == "fake" else (tn, fp, fn)
    if name == "f1":
        return stats.wilson_f1(right, missed + wrong)
    return wilson(right, right + (wrong if name == "precision" else missed))


def averaged(entry: dict[str, Any], name: str, classes: dict[str, dict[str, Any]], shares: dict[str, float]) -> dict[str, Any]:
    """Return the entry of an average; where a class has Wilson's interval, so that the draws see only the other class,
    its interval is put together from those of the classes.
    """
    parts = [group for group in shares if shares[group]]
    if entry[name] is None or not any(classes[group].get(f"{name}_wilson") for group in parts):
        return entry
    values, ends = [classes[group][name] for group in parts], [classes[group][f"{name}_interval"] for group in parts]
    return {name: entry[name], f"{name}_interval": list(stats.averaged(values, ends, [shares[group] for group in parts])), f"{name}_wilson": True}


def brief(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the few numbers that belong on a card or in a table of many detectors, with their intervals."""
    names = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "average_precision")
    kept = {"count": metrics["count"], "counts": metrics["counts"]}
    for name in names:
        kept |= {key: metrics[key] for key in (name, f"{name}_interval")}
    kept |= {key: metrics["calibration"][key] for key in ("ece", "ece_interval")}
    sure = metrics["calibration"]["confident"]
    kept["confident"] = {key: sure[key] for key in ("count", "share", "share_interval", "right", "accuracy", "accuracy_interval")}
    return kept | {"confusion": metrics["confusion"]}


def table(metrics: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return metrics as rows for a CSV file: measure, class, value, low, high, kind of interval.

    Example:
        >>> table(measure(["real", "fake"], np.array([-1.0, 1.0]), resamples=0))[1]
        ('images', 'real', 1, None, None, '')
    """
    kind = "bootstrap" if metrics["bootstrap"]["resamples"] else ""
    rows: list[tuple[Any, ...]] = [("images", "", metrics["count"], None, None, "")]

    def add(measure: str, group: str, entry: dict[str, Any], name: str, how: str = kind) -> None:
        low, high = entry.get(f"{name}_interval") or (None, None)
        how = "" if low is None else "Wilson" if entry.get(f"{name}_wilson") else how
        rows.append((measure, group, entry[name], low, high, how))

    rows += [("images", name, count, None, None, "") for name, count in metrics["counts"].items()]
    add("accuracy", "", metrics, "accuracy", "Wilson")
    add("accuracy", "", {"accuracy": metrics["accuracy"], "accuracy_interval": metrics["accuracy_bootstrap"]}, "accuracy")
    for name in ("balanced_accuracy", "roc_auc", "average_precision"):
        add(name, "", metrics, name)
    for group, entry in metrics["classes"].items():
        for name in RATES:
            add(name, group, entry, name)
    for prefix, belief in (("", metrics["calibration"]), ("scaled_", metrics["scaled"])):
        if not belief:
            continue
        if prefix:
            rows.append(("temperature", "", belief["temperature"], None, None, ""))
        add(f"{prefix}ece", "", belief, "ece", "basic bootstrap")
        by_chance, most = belief["ece_by_chance"] or (None, None)
        rows.append((f"{prefix}ece_by_chance", "", by_chance, 0.0 if most else None, most, "simulated" if most else ""))
        add(f"{prefix}nll", "", belief, "nll")
        add(f"{prefix}brier", "", belief, "brier")
        sure = belief["confident"]
        for group, entry in (("", sure), ("real", sure["real"]), ("fake", sure["fake"])):
            rows.append((f"{prefix}confident_images", group, entry["count"], None, None, ""))
            add(f"{prefix}confident_share", group, entry, "share")
            add(f"{prefix}confident_accuracy", group, entry, "accuracy")
    return rows + [(cell, "", count, None, None, "") for cell, count in metrics["confusion"].items()]


def report(metrics: dict[str, Any]) -> str:
    """Return metrics as plain text for a terminal, each value with its interval behind it."""
    counts, c, beliefs = metrics["counts"], metrics["confusion"], [b for b in (metrics["calibration"], metrics["scaled"]) if b]
    lines = [
        f"{metrics['count']} images: {counts['real']} real, {counts['fake']} fake; called fake from a score of {metrics['threshold']:g}",
        "",
        *aligned([("", "precision", "recall", "F1", "images")] + [
            (group, *(shown(entry, name) for name in RATES), str(entry["support"])) for group, entry in metrics["classes"].items()
        ]),
        "",
        *aligned([
            ("accuracy", shown({"accuracy": metrics["accuracy"], "accuracy_interval": metrics["accuracy_bootstrap"]}, "accuracy"),
             "Wilson: {:.3f} to {:.3f}".format(*metrics["accuracy_interval"])),
            ("balanced accuracy", shown(metrics, "balanced_accuracy")),
            ("ROC AUC", shown(metrics, "roc_auc")),
            ("average precision", shown(metrics, "average_precision")),
        ]),
        "",
        *aligned([("", "called real", "called fake"), ("real", f"{c['TN']}", f"{c['FP']}"), ("fake", f"{c['FN']}", f"{c['TP']}")], right=True),
        "",
        *aligned([
            ("calibration", *(f"at temperature {b['temperature']:.2f}" if "temperature" in b else "scores as they are" for b in beliefs)),
            (f"ECE, {calibration.BINS} equal bins", *(shown(b, "ece") for b in beliefs)),
            ("  ECE by chance alone", *("{:.3f}, up to {:.3f}".format(*b["ece_by_chance"]) if b["ece_by_chance"] else "-" for b in beliefs)),
            ("log loss", *(shown(b, "nll") for b in beliefs)),
            ("Brier score", *(shown(b, "brier") for b in beliefs)),
            (f"{calibration.CONFIDENT * 100:.0f} % sure of a class", *(f"{b['confident']['count']} images" for b in beliefs)),
            ("  share of all images", *(shown(b["confident"], "share") for b in beliefs)),
            ("  right", *(shown(b["confident"], "accuracy") for b in beliefs)),
            *((f"  right when sure of {group}", *(shown(b["confident"][group], "accuracy") for b in beliefs)) for group in CLASSES),
        ]),
    ]  # fmt: skip
    if resamples := metrics["bootstrap"]["resamples"]:
        lines += ["", f"in brackets: 95 % intervals, {resamples} bootstrap draws within each class, whose mix is kept"]
        lines.append("ECE counts the noise of few images as error; its interval takes that off, and may so lie below the value")
        lines += ["* from Wilson's interval, as every draw gave the same value"] if any("*" in line for line in lines) else []
    if note := calibration.at_limit(beliefs[-1].get("temperature", 1.0)):
        lines.append(f"the temperature is {note}")
    return "\n".join(lines)


def shown(entry: dict[str, Any], name: str) -> str:
    """Return a value with its interval.

    Example:
        >>> shown({"f1": 0.5, "f1_interval": [0.25, 0.75]}, "f1"), shown({"f1": None}, "f1")
        ('0.500 (0.250 to 0.750)', '-')
    """
    if entry[name] is None:
        return "-"
    ends = entry.get(f"{name}_interval")
    if not ends:
        return f"{entry[name]:.3f}"
    return f"{entry[name]:.3f} ({ends[0]:.3f} to {ends[1]:.3f}){'*' if entry.get(f'{name}_wilson') else ''}"


def aligned(rows: Sequence[Sequence[str]], right: bool = False) -> list[str]:
    """Return rows as lines of columns, two blanks between; all but the first column to the right where asked.

    Example:
        >>> aligned([("a", "bb"), ("ccc", "d")]), aligned([("a", "bb"), ("ccc", "d")], right=True)
        (['a    bb', 'ccc  d'], ['a    bb', 'ccc   d'])
    """
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(max(map(len, rows)))]
    lines = [
        "  ".join(f"{text:{'>' if right and k else '<'}{width}}" for k, (text, width) in enumerate(zip(row, widths, strict=False))) for row in rows
    ]
    return [line.rstrip() for line in lines]
