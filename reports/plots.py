"""Curves of a detector's answers as numbers and places in a square: ROC, precision and recall, calibration. No HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import words
from reports.context import headline
from reports.run import Run

LEFT, TOP, SIDE = 52, 10, 250  # of the square that holds a curve, in the drawing's own units
BOX = (LEFT + SIDE + 14, TOP + SIDE + 44)  # width and height of the drawing
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST = 200  # points of a curve


@dataclass(frozen=True, slots=True)
class Dot:
    """A measured point: its place, its whisker's ends (top and bottom), its radius, and what is said of it."""

    x: float
    y: float
    ends: tuple[float, float] | None
    radius: float
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A curve in the unit square.

    Args:
        name: of the file it is saved as.
        title: what it is.
        across, up: what the axes measure.
        lines: (class, points of an SVG polyline).
        dots: measured points; the threshold's, or the bins'.
        note: the numbers, in a sentence.
        words: the alternative text.
    """

    name: str
    title: str
    across: str
    up: str
    lines: tuple[tuple[str, str], ...]
    dots: tuple[tuple[str, Dot], ...]
    note: str
    words: str


def plots(run: Run) -> list[Plot]:
    """Return the curves of the headlined images: those not in training, where there are any."""
    first, _, held_out = headline(run)
    if not first:
        return []
    on = "images not in training" if held_out else "all images"
    fake, logits, scores = answers(run, held_out)
    shown = []
    if fake.any() and not fake.all():
        called = scores >= run.threshold
        shown += [roc(fake, logits, called, first, on), precision_recall(fake, logits, called, first, on)]
    if (first.get("calibration") or {}).get("curve"):
        shown.append(reliability(first, on))
    return shown


def answers(run: Run, held_out: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whether each labelled image is fake, its logit and its score, `(N,)` each.

    Args:
        run: the run.
        held_out: only the images that training did not see.
    """
    found = []
    for row in run.images:
        score, logit = words.real(row.get("score")), words.real(row.get("logit"))
        if row.get("label") and score is not None and not (held_out and row.get("split") in ("train", "valid")):
            # The logit tells apart what a score near 1 rounds to the same.
            found.append((row["label"] == "fake", score if logit is None else logit, score))
    table = np.array(found, float).reshape(-1, 3)
    return table[:, 0] > 0, table[:, 1], table[:, 2]


def ranked(fake: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many fakes and how many reals lie at or above each threshold, from the highest logit down.

    Returns:
        Two integer arrays `(thresholds + 1,)`, each from 0 to all; images of the same logit are passed together.

    Example:
        >>> [part.tolist() for part in ranked(np.array([True, False, True]), np.array([3.0, 1.0, 1.0]))]
        [[0, 1, 2], [0, 0, 1]]
    """
    order = np.argsort(-logits, kind="stable")
    last = np.append(np.flatnonzero(np.diff(logits[order])), len(order) - 1)
    hits, alarms = (np.cumsum(part[order])[last] for part in (fake, ~fake))
    return np.append(0, hits), np.append(0, alarms)


def thinned(count: int, most: int = MOST) -> np.ndarray:
    """Return the indices of at most so many points at even distances, both ends among them.

    Example:
        >>> thinned(5, 3).tolist(), thinned(2, 3).tolist()
        ([0, 2, 4], [0, 1])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def roc(fake: np.ndarray, logits: np.ndarray, called: np.ndarray, metrics: Mapping[str, Any], on: str) -> Plot:
    """Return the ROC curve, with the point of the threshold in use.

    Args:
        fake, logits: of the images, `(N,)`.
        called: whether each is called fake.
        metrics: their measures.
        on: which images these are.
    """
    hits, alarms = ranked(fake, logits)
    across, up = alarms / (~fake).sum(), hits / fake.sum()
    kept = thinned(len(up))
    at = float((called & ~fake).sum() / (~fake).sum()), float((called & fake).sum() / fake.sum())
    note = f"AUC {measure(metrics, 'roc_auc')}, {on}. Dashed: guessing. The ring is the threshold in use."
    said = f"at the threshold in use {words.percent(at[1])} of the fakes are found and {words.percent(at[0])} of the reals are called fake"
    lines = (("chance", points((0, 1), (0, 1))), ("curve", points(across[kept], up[kept])))
    return Plot("roc", "ROC curve", "reals called fake", "fakes found", lines, (("threshold", dot(*at, said)),), note, f"ROC curve: {said}")


def precision_recall(fake: np.ndarray, logits: np.ndarray, called: np.ndarray, metrics: Mapping[str, Any], on: str) -> Plot:
    """Return precision over recall as steps, with the point of the threshold in use; arguments as of `roc`."""
    hits, alarms = ranked(fake, logits)
    first = np.flatnonzero(np.diff(hits)) + 1  # with so many fakes found, the fewest reals among them
    recall, precision = hits[first] / fake.sum(), hits[first] / (hits + alarms)[first]
    kept = thinned(len(recall), MOST // 2)
    recall, precision = recall[kept], precision[kept]
    # A straight line between two thresholds would promise what none of them reaches.
    across, up = np.append(0, np.repeat(recall, 2)[:-1]), np.repeat(precision, 2)
    share = float(fake.mean())
    dots: tuple[tuple[str, Dot], ...] = ()
    said = "at the threshold in use no image is called fake"
    if called.any():
        at = float((called & fake).sum() / fake.sum()), float((called & fake).sum() / called.sum())
        said = f"at the threshold in use {words.percent(at[1])} of what is called fake is fake, and {words.percent(at[0])} of the fakes are found"
        dots = (("threshold", dot(*at, said)),)
    lines = (("chance", points((0, 1), (share, share))), ("curve", points(across, up)))
    note = f"Average precision {measure(metrics, 'average_precision')}, {on}. Dashed: guessing, the share of fakes. The ring is the threshold in use."
    title = "Precision and recall"
    return Plot("precision-recall", title, "fakes found (recall)", "right, of those called fake (precision)", lines, dots, note, f"{title}: {said}")


def reliability(metrics: Mapping[str, Any], on: str) -> Plot:
    """Return the share of fakes over the mean score, per bin of the score.

    Args:
        metrics: of the images; `calibration` and, after temperature scaling, `scaled`.
        on: which images these are.
    """
    belief, scaled = metrics["calibration"], metrics.get("scaled")
    lines = [("chance", points((0, 1), (0, 1)))]
    dots: list[tuple[str, Dot]] = []
    if scaled and scaled.get("curve"):
        own = bins(scaled["curve"])
        lines.append(("scaled", points([x for x, *_ in own], [y for _, y, *_ in own])))
    own = bins(belief["curve"])
    total = sum(count for _, _, _, count in own)
    lines.append(("curve", points([x for x, *_ in own], [y for _, y, *_ in own])))
    for x, y, ends, count in own:
        said = f"{words.plural(count, 'image')} scored {words.fixed(x)} on average: {words.percent(y)} are fake"
        dots.append(("bin", dot(x, y, said, ends, 2.5 + 5 * (count / total) ** 0.5)))
    note = f"ECE {measure(belief, 'ece')}"
    if chance := belief.get("ece_by_chance"):
        note += f"; a perfect one would show up to {words.number(chance[1])} on so few images"
    if scaled:
        note += f". After temperature scaling (T = {words.number(scaled.get('temperature'))}) {measure(scaled, 'ece')}, dotted"
    note += f"; {on}. Dashed: a score that means what it says. Larger dots hold more images; bars are 95{words.SPACE}%."
    said = "; ".join(one.words for _, one in dots)
    return Plot("calibration", "Calibration", "mean score of fake", "share of fakes", tuple(lines), tuple(dots), note, f"Calibration: {said}")


def bins(curve: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, tuple[float, float] | None, int]]:
    """Return the bins in use: mean score, share of fakes, its interval, images."""
    found = []
    for entry in curve:
        x, y, ends = words.real(entry.get("score")), words.real(entry.get("fake")), entry.get("fake_interval")
        if x is not None and y is not None:
            found.append((x, y, (float(ends[0]), float(ends[1])) if ends else None, int(entry.get("count") or 0)))
    return found


def measure(metrics: Mapping[str, Any], key: str) -> str:
    """Return a measure with its interval as text.

    Example:
        >>> measure({"ece": 0.0412, "ece_interval": [0.02, 0.061]}, "ece"), measure({"ece": 0.5}, "ece")
        ('0.041 (0.020 to 0.061)', '0.500')
    """
    bounds = metrics.get(f"{key}_interval")
    ends = f" ({words.fixed(bounds[0], 3)} to {words.fixed(bounds[1], 3)})" if bounds else ""
    return words.fixed(metrics.get(key), 3) + ends


def at(x: float, y: float) -> tuple[float, float]:
    """Return where a point of the unit square lies in the drawing.

    Example:
        >>> at(0.0, 0.0), at(1.0, 1.0)
        ((52.0, 260.0), (302.0, 10.0))
    """
    return round(LEFT + SIDE * float(x), 1), round(TOP + SIDE * (1 - float(y)), 1)


def points(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> str:
    """Return points of the unit square as an SVG polyline's.

    Example:
        >>> points((0, 1), (0, 0.5))
        '52.0,260.0 302.0,135.0'
    """
    return " ".join(f"{left},{top}" for left, top in map(at, x, y))


def dot(x: float, y: float, said: str, ends: tuple[float, float] | None = None, radius: float = 5.0) -> Dot:
    """Return a measured point in the drawing."""
    left, top = at(x, y)
    return Dot(left, top, (at(x, ends[1])[1], at(x, ends[0])[1]) if ends else None, round(radius, 1), said)
