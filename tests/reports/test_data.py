"""The data section: counts, copies, and what an inspection left."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import reports
from reports import data
from reports.run import read
from tests.reports.conftest import write_csv
from tests.reports.test_html import HOSTILE, Tags
from tests.reports.test_inspection import lay
from xai.errors import RunError

SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]


@pytest.fixture
def images(make_run: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that makes a run whose rows of images.csv are changed by `how(index, row)`."""

    def make(how: Callable[[int, dict[str, str]], dict[str, object]], **options: object) -> Path:
        path = make_run(layers=SMALL, **options)
        rows = list(csv.DictReader((path / "images.csv").read_text().splitlines()))
        write_csv(path / "images.csv", [row | how(index, row) for index, row in enumerate(rows)])
        return path

    return make


def shown(path: Path) -> str:
    text = reports.render(path).read_text(encoding="utf-8")
    page = Tags(text.split('<section id="dataset"')[1].split("</section>")[0])
    return " ".join(" ".join(page.text).split())


def test_counts_by_class(images: Callable[..., Path]) -> None:
    # Outcomes are TP, TN, FN, FP, TP, TN: fakes at 0, 2, 4, the first in training.
    path = images(lambda index, row: {"width": 256 if row["label"] == "fake" else 1024, "height": 256, "parts": "mesh" if index else ""})
    found = data.data(read(path))
    assert (found.columns, found.totals, found.hash) == (("Real", "Fake"), (3, 3), "cd" * 32)
    assert {table.title: table.kinds for table in found.tables} == {
        "In the model’s training": (("not in training", (3, 2)), ("training", (0, 1))),
        "Picture size, in pixels": (("1024 × 256", (3, 0)), ("256 × 256", (0, 3))),
        "File ending": ((".jpg", (3, 3)),),
        "Face": (("found", (3, 2)), ("not found", (0, 1))),
    }
    assert found.copies is None and found.inspection is None
    text = shown(path)
    assert "3 real, 3 fake" in text and "No two images have the same bytes." in text and "whyfake inspect DATA" in text and "cdcd" in text


def test_rare_kinds_are_one_row(images: Callable[..., Path]) -> None:
    path = images(lambda index, row: {"width": 100 + index // 2}, images=24)
    sizes = data.data(read(path)).tables[1]
    assert len(sizes.kinds) == data.SHOWN + 1
    assert sizes.kinds[-1] == ("4 others", (4, 4))
    assert sum(sum(counts) for _, counts in sizes.kinds) == 24


def test_copies_across_classes_come_first(images: Callable[..., Path]) -> None:
    same = {0: "a", 2: "a", 3: "b", 4: "b"}  # two fakes; a real and a fake
    path = images(lambda index, row: {"sha256": same.get(index, str(index))})
    found = data.data(read(path)).copies
    assert found is not None
    assert (found.total, found.files, found.across) == (2, 4, 1)
    assert found.groups == (("real/0003.jpg", "fake/0004.jpg"), ("fake/0000.jpg", "fake/0002.jpg"))
    assert "4 images in 2 groups of the same bytes, 1 of them in both classes" in shown(path)


def test_without_labels(make_run: Callable[..., Path]) -> None:
    path = make_run(labelled=False, layers=SMALL)
    found = data.data(read(path))
    assert (found.columns, found.totals) == (("All images",), (6,))
    assert "The 6 images of faces that were read: 6 in all." in shown(path)


def test_an_inspection_is_shown_and_linked(make_run: Callable[..., Path]) -> None:
    path = make_run(layers=SMALL)
    (path / "inspect").mkdir()
    lay(path / "inspect", findings=[{"severity": "severe", "what": HOSTILE, "do": "Store alike."}])
    assert data.data(read(path)).inspection == data.Inspection("faces", (("severe", HOSTILE, "Store alike."),), "")
    assert "Severe" in shown(path) and HOSTILE in shown(path) and "whyfake inspect DATA" not in shown(path)
    reports.render(path / "inspect")
    assert 'href="inspect/index.html"' in reports.render(path).read_text(encoding="utf-8")
    beside = reports.render(path, "folder")  # a page in a folder of its own, one step down
    assert 'href="../inspect/index.html"' in beside.read_text(encoding="utf-8") and beside.parent.parent == path
    lay(path / "inspect", findings=[])
    assert "Nothing stands out." in shown(path)


def test_a_broken_inspection_is_named(make_run: Callable[..., Path]) -> None:
    path = make_run(layers=SMALL)
    (path / "inspect").mkdir()
    (path / "inspect" / "inspection.json").write_text("{")
    with pytest.raises(RunError, match=r"inspection\.json in .* cannot be read .*; run 'whyfake inspect DATA --out RUN/inspect' again"):
        reports.render(path)


def test_how_far_the_classes_are_apart(images: Callable[..., Path]) -> None:
    alike = read(images(lambda index, row: {}))
    assert data.apart(alike, data.size) == (0.0, "1024 × 1024", "1024 × 1024")
    assert data.apart(alike, lambda row: row["label"]) == (1.0, "fake", "real")
    # Of three each: one fake in three is what all reals are.
    run = read(images(lambda index, row: {"width": 64 if index in (0, 2) else 32, "height": 32}))
    distance, fake, real = data.apart(run, data.size)
    assert (round(distance, 3), fake, real) == (0.667, "64 × 32", "32 × 32")


def test_without_a_class_nothing_is_apart(make_run: Callable[..., Path]) -> None:
    assert data.apart(read(make_run(labelled=False, layers=SMALL)), data.size) == (0.0, "", "")
