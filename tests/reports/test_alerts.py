"""What the first screen warns of."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import alerts, words
from reports.context import Focus
from reports.run import read
from tests.reports.conftest import write_csv
from tests.reports.test_html import HOSTILE, Tags
from tests.reports.test_inspection import lay

Edit = Callable[[Path, Callable[[Any], None]], None]
SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]
SPOT = Focus("fake", "hirescam", "conv", {})


@pytest.fixture
def warned(make_run: Callable[..., Path], edit: Edit) -> Callable[..., list[alerts.Alert]]:
    """Return a function that returns the alerts of a run whose summary and rows were changed."""

    def make(summary: Callable[[Any], None] = lambda summary: None, row: Callable[[Any], Any] = lambda row: {}, images: int = 80) -> list[Any]:
        path = make_run(images=images, layers=SMALL)
        rows = list(csv.DictReader((path / "images.csv").read_text().splitlines()))
        write_csv(path / "images.csv", [one | row(one) for one in rows])
        edit(path / "summary.json", summary)
        return [(level, text.replace(words.SPACE, " "), href) for level, text, href in alerts.alerts(read(path), SPOT)]

    return make


def used(region: str) -> Callable[[Any], None]:
    return lambda summary: summary["uses"][0].update(region=region)


def test_a_quiet_run(warned: Callable[..., Any]) -> None:
    assert warned() == [
        ("note", "No face parts in 1 of 80 images (1 %): they are left out of everything about face parts.", "#parts"),
        ("note", "1 of the 80 images was in the training set.", "#performance"),
        ("note", "1 file could not be used.", "#skipped"),
    ]


def test_a_shortcut_comes_first(warned: Callable[..., Any]) -> None:
    text = "What the model uses most is the top left corner (1.00 logits): a watermark or another shortcut, not the face."
    assert warned(used("top_left_corner"))[0] == ("severe", text, "#parts")
    text = "What the model uses most lies outside the face: background (1.00 logits). It may be a shortcut."
    assert warned(used("background"))[0] == ("warning", text, "#parts")
    assert not any("uses most" in text for _, text, _ in warned(used("nose")))

    def unsure(summary: Any) -> None:
        summary["uses"][0].update(region="top_left_corner")
        summary["uses"][0]["used"]["verdict"] = "undecided"

    assert not any("uses most" in text for _, text, _ in warned(unsure))


def test_failing_methods_are_named(warned: Callable[..., Any]) -> None:
    lines = [{"method": "gradcam", "verdict": "fails"}, {"method": "hirescam", "verdict": "fails"}, {"method": "activation", "verdict": "passes"}]
    found = warned(lambda summary: summary.update(trust={"methods": lines}))
    text = "HiResCAM, the method of this screen, fails the tests of its maps: do not read it as an explanation."
    assert found[0] == ("severe", text, "#trust")
    assert found[1] == ("warning", "Grad-CAM fails the tests of its maps: do not read it as an explanation.", "#trust")
    assert not any("Activation" in text for _, text, _ in found)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"TP": 39, "FN": 1, "TN": 30, "FP": 10}, "Mistakes are one-sided: 25 % of the reals are called fake, 2.5 % of the fakes real."),
        ({"TP": 30, "FN": 10, "TN": 40, "FP": 0}, "Mistakes are one-sided: 25 % of the fakes are called real, 0 % of the reals fake."),
        ({"TP": 36, "FN": 4, "TN": 40, "FP": 0}, ""),  # too few mistakes
        ({"TP": 30, "FN": 10, "TN": 36, "FP": 4}, ""),  # two and a half times
        ({"TP": 10, "FN": 9, "TN": 40, "FP": 0}, ""),  # too few fakes
    ],
)
def test_one_sided_mistakes(warned: Callable[..., Any], cells: dict[str, int], said: str) -> None:
    found = warned(lambda summary: summary["metrics"]["held_out"].update(confusion=cells))
    assert [text for _, text, _ in found if "one-sided" in text] == ([said] if said else [])


@pytest.mark.parametrize(("ece", "chance", "told"), [(0.15, [0.05, 0.09], True), (0.15, [0.1, 0.2], False), (0.09, None, False), (0.2, None, True)])
def test_bad_calibration(warned: Callable[..., Any], ece: float, chance: Any, told: bool) -> None:
    found = warned(lambda summary: summary["metrics"]["held_out"].update(calibration={"ece": ece, "ece_by_chance": chance}))
    assert any("Scores are not what they say" in text for _, text, _ in found) == told


def test_sizes_and_endings_that_give_the_classes_away(warned: Callable[..., Any]) -> None:
    found = warned(row=lambda row: {"width": 256 if row["label"] == "fake" else 1024})
    assert ("warning", "Picture sizes give the classes away: fakes are mostly 256 × 1024, reals mostly 1024 × 1024.", "#dataset") in found
    # Every picture has a size of its own, and all are about the same.
    found = warned(row=lambda row: {"width": 1000 + int(row["index"])})
    assert not any("Picture sizes" in text for _, text, _ in found)
    found = warned(row=lambda row: {"path": row["path"].replace(".jpg", ".png") if row["label"] == "fake" else row["path"]})
    assert ("warning", "File endings give the classes away: fakes are mostly .png, reals mostly .jpg.", "#dataset") in found
    assert not any("give the classes away" in text for _, text, _ in warned(row=lambda row: {"width": row["index"]}, images=12))  # too few


def test_unequal_classes_copies_and_empty_maps(warned: Callable[..., Any]) -> None:
    found = warned(row=lambda row: {"label": "fake" if int(row["index"]) % 4 else "real", "sha256": int(row["index"]) // 2})
    assert ("severe", "20 pictures both among the reals and the fakes, byte for byte.", "#dataset") in found
    assert ("warning", "The classes are unequal, 20 real and 60 fake: always answering fake would be right on 75 %.", "#dataset") in found

    def empty(summary: Any) -> None:
        for entry in summary["maps"]:
            entry |= {"count": 30, "empty": 10}

    text = "25 % of the maps have no positive value and are in no mean map (HiResCAM at conv, fake)."
    assert ("warning", text, "#look") in warned(empty)


def test_notes_of_the_run_and_where_they_lead(warned: Callable[..., Any]) -> None:
    notes = [
        "all 80 images were used in training or for early stopping: the accuracy says nothing about new images",
        "9 of 80 images have no parts and are left out of everything about face parts: a (b)",
        "3 files skipped: listed under skipped",
        "3 images are copies of others: intervals and tests take them for images of their own",
        "the model came without a card: pixels were given as RGB",
    ]

    def noted(summary: Any) -> None:
        summary["notes"] = notes
        summary["parts"]["faceless"] = {f"{index}.jpg": "no face" for index in range(9)}

    found = {text[:12]: (level, href) for level, text, href in warned(noted)}
    assert found == {
        "No face part": ("warning", "#parts"),
        "All 80 image": ("warning", "#performance"),
        "3 images are": ("warning", "#dataset"),
        "3 files skip": ("note", "#skipped"),
        "The model ca": ("note", "#made"),
    }
    levels = [level for level, _, _ in warned(noted)]
    assert levels == sorted(levels, key=alerts.LEVELS.index)


def test_severe_findings_of_an_inspection(make_run: Callable[..., Path]) -> None:
    path = make_run(layers=SMALL)
    (path / "inspect").mkdir()
    lay(path / "inspect")
    assert alerts.alerts(read(path), SPOT)[0] == ("severe", "Inspection of the data: File size tells all.", "#dataset")


def test_every_alert_leads_somewhere(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run(layers=SMALL)
    edit(path / "summary.json", lambda summary: summary["notes"].extend([HOSTILE, "no face parts: none", "skipped"]))
    page = Tags(reports.render(path).read_text(encoding="utf-8"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes["href"] in alerts.ANCHORS}
    assert links <= {f"#{name}" for name in ids}
    assert {href for _, _, href in alerts.alerts(read(path), SPOT)} <= set(alerts.ANCHORS)
