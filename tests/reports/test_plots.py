"""Curves of the answers: against counts by hand and scikit-learn."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_curve

import reports
from reports import plots, words
from reports.run import Run, read
from tests.reports.conftest import write_csv
from tests.reports.test_html import Tags
from xai.metrics import measure

Edit = Callable[[Path, Callable[[Any], None]], None]
SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]
ON = "all images"


def plain(text: str) -> str:
    return text.replace(words.SPACE, " ")


def places(points: str) -> list[tuple[float, float]]:
    """Return an SVG polyline's points in the unit square."""
    pairs = [point.split(",") for point in points.split()]
    return [((float(x) - plots.LEFT) / plots.SIDE, 1 - (float(y) - plots.TOP) / plots.SIDE) for x, y in pairs]


def answered(path: Path, edit: Edit, temperature: float | None = 2.0) -> Run:
    """Give every image a logit by its label, with mistakes, and the summary their measures."""
    rows = list(csv.DictReader((path / "images.csv").read_text().splitlines()))
    random = np.random.default_rng(0)
    for row in rows:
        logit = float(random.normal(1.0 if row["label"] == "fake" else -1.0, 1.5))
        row |= {"logit": str(logit), "score": str(1 / (1 + np.exp(-logit)))}
    write_csv(path / "images.csv", rows)

    def measured(summary: Any) -> None:
        for name, own in (("all", rows), ("held_out", [row for row in rows if not row["split"]])):
            labels, logits = [row["label"] for row in own], np.array([float(row["logit"]) for row in own])
            summary["metrics"][name] = measure(labels, logits, temperature=temperature, resamples=50)

    edit(path / "summary.json", measured)
    return read(path)


def test_roc_by_hand() -> None:
    # From the highest logit down: fake, real, then a fake and a real of the same logit.
    fake, logits = np.array([True, False, True, False]), np.array([4.0, 3.0, 1.0, 1.0])
    plot = plots.roc(fake, logits, logits > 2, {"roc_auc": 0.625, "roc_auc_interval": [0.5, 0.75]}, ON)
    assert places(dict(plot.lines)["curve"]) == [(0, 0), (0, 0.5), (0.5, 0.5), (1, 1)]
    [(kind, dot)] = plot.dots
    assert kind == "threshold"
    assert (dot.x, dot.y) == plots.at(0.5, 0.5)
    assert plot.note.startswith("AUC 0.625 (0.500 to 0.750), all images.")
    assert plain(plot.words).endswith("50 % of the fakes are found and 50 % of the reals are called fake")


def test_precision_and_recall_by_hand() -> None:
    fake, logits = np.array([True, False, True, False]), np.array([4.0, 3.0, 1.0, 0.0])
    plot = plots.precision_recall(fake, logits, logits > 2, {"average_precision": 5 / 6}, ON)
    # One of one, then two of three; the threshold at one of two.
    found = places(dict(plot.lines)["curve"])
    np.testing.assert_allclose(found, [(0, 1), (0.5, 1), (0.5, 2 / 3), (1, 2 / 3)], atol=1e-3)
    assert places(dict(plot.lines)["chance"]) == [(0, 0.5), (1, 0.5)]
    assert (plot.dots[0][1].x, plot.dots[0][1].y) == plots.at(0.5, 0.5)
    nothing = plots.precision_recall(fake, logits, logits > 9, {}, ON)
    assert nothing.dots == () and "no image is called fake" in nothing.words


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=60))
def test_curves_agree_with_scikit_learn(answers: list[tuple[bool, int]]) -> None:
    fake, logits = np.array([kind for kind, _ in answers]), np.array([float(logit) for _, logit in answers])
    if fake.all() or not fake.any():
        return
    hits, alarms = plots.ranked(fake, logits)
    across, up, _ = roc_curve(fake, logits, drop_intermediate=False)
    np.testing.assert_allclose(alarms / (~fake).sum(), across)
    np.testing.assert_allclose(hits / fake.sum(), up)
    curve = places(dict(plots.precision_recall(fake, logits, logits > 0, {}, ON).lines)["curve"])
    area = sum((x1 - x0) * y1 for (x0, _), (x1, y1) in pairwise(curve))
    # Steps at the best precision of each recall lie on or above those of all thresholds.
    assert area >= average_precision_score(fake, logits) - 0.01


@given(st.integers(2, 5000), st.integers(2, 300))
def test_thinning_keeps_the_ends(count: int, most: int) -> None:
    kept = plots.thinned(count, most)
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(kept) == min(count, most)
    assert (np.diff(kept) > 0).all()


def test_reliability_by_hand() -> None:
    curve = [
        {"low": 0.0, "high": 0.1, "count": 30, "score": 0.05, "fake": 0.1, "fake_interval": [0.0, 0.2]},
        {"low": 0.9, "high": 1.0, "count": 10, "score": 0.95, "fake": 0.8, "fake_interval": None},
    ]
    belief = {"ece": 0.075, "ece_interval": [0.01, 0.1], "ece_by_chance": [0.03, 0.06], "curve": curve}
    plot = plots.reliability({"calibration": belief, "scaled": None}, ON)
    assert [kind for kind, _ in plot.lines] == ["chance", "curve"]
    np.testing.assert_allclose(places(dict(plot.lines)["curve"]), [(0.05, 0.1), (0.95, 0.8)], atol=1e-3)
    first, second = (dot for _, dot in plot.dots)
    assert first.ends == (plots.at(0, 0.2)[1], plots.at(0, 0.0)[1]) and second.ends is None
    assert first.radius > second.radius
    assert plain(first.words) == "30 images scored 0.05 on average: 10 % are fake"
    assert plain(plot.note).startswith("ECE 0.075 (0.010 to 0.100); a perfect one would show up to 0.06 on so few images; all images.")
    scaled = belief | {"temperature": 1.5, "ece": 0.02, "ece_interval": None}
    plot = plots.reliability({"calibration": belief, "scaled": scaled}, ON)
    assert [kind for kind, _ in plot.lines] == ["chance", "scaled", "curve"]
    assert "After temperature scaling (T = 1.5) 0.020, dotted" in plot.note


def test_the_held_out_images_are_drawn(make_run: Callable[..., Path], edit: Edit) -> None:
    run = answered(make_run(images=24, layers=SMALL), edit)
    fake, _, scores = plots.answers(run, held_out=True)
    assert (len(fake), int(fake.sum())) == (23, 11)  # the first image, a fake, was in training
    assert len(plots.answers(run, held_out=False)[0]) == 24
    drawn = {plot.name: plot for plot in plots.plots(run)}
    assert list(drawn) == ["roc", "precision-recall", "calibration"]
    assert all("images not in training" in plot.note for plot in drawn.values())
    at = drawn["roc"].dots[0][1]
    confusion = run.summary["metrics"]["held_out"]["confusion"]
    assert (at.x, at.y) == plots.at(confusion["FP"] / 12, confusion["TP"] / 11)
    assert ((scores >= 0.5) & fake).sum() == confusion["TP"]


def test_the_figures_are_on_the_page(make_run: Callable[..., Path], edit: Edit) -> None:
    run = answered(make_run(images=24, layers=SMALL), edit)
    text = reports.render(run.directory).read_text(encoding="utf-8")
    page = Tags(text.split('<section id="performance"')[1].split("</section>")[0])
    figures = [a["data-figure"] for tag, a in page.tags if tag == "figure"]
    assert figures[:5] == ["roc", "precision-recall", "calibration", "scores-fake", "scores-real"]
    drawings = [a for tag, a in page.tags if tag == "svg"]
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)
    assert [a["data-table"] for tag, a in page.tags if tag == "table" and "data-table" in a] == ["measures"]
    said = " ".join(" ".join(page.text).split())
    assert "reals called fake" in said and "share of fakes" in said and "0.25" in said


def test_without_labels_or_with_one_class_there_is_no_curve(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()
    assert [plot.name for plot in plots.plots(read(path))] == ["roc", "precision-recall"]  # this run says nothing of calibration
    rows = list(csv.DictReader((path / "images.csv").read_text().splitlines()))
    write_csv(path / "images.csv", [row | {"label": "fake"} for row in rows])
    assert plots.plots(read(path)) == []
    edit(path / "summary.json", lambda summary: summary["metrics"].update(all=None, held_out=None))
    assert plots.plots(read(path)) == []


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.75)])
def test_places_lie_inside_the_drawing(x: float, y: float) -> None:
    left, top = plots.at(x, y)
    assert plots.LEFT <= left <= plots.BOX[0] and plots.TOP <= top <= plots.BOX[1]
