"""The page of an inspection, from made-up files alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import reports
from reports.inspection import render
from tests.reports.test_html import HOSTILE, Tags
from xai.errors import RunError


def spread(low: float, middle: float, high: float) -> dict[str, float]:
    return {"count": 10, "sum": 10 * middle, "median": middle, "low": low, "high": high, "p5": low, "p95": high}


def record(**change: Any) -> dict[str, Any]:
    """What `train.inspection.summary` returns of a small labelled set."""
    kind = {"name": "JPEG", "all": 20, "real": 10, "fake": 10}
    groups = ("all", "real", "fake")
    copies = {"groups": [["a", "b"], ["c", "d", "e"]], "across_splits": [["c", "d", "e"]], "across_classes": [], "files": 5}
    family = {"name": "file size", "auc": 0.97, "interval": [0.91, 1.0], "verdict": "severe", "difference": "fakes are larger"}
    constant = {"name": "format", "auc": 0.5, "interval": None, "verdict": "none", "difference": "the same in every file"}
    return {
        "whyfake": "1", "data": "faces", "layout": "Class folders", "positive": None, "seed": 0, "limit": None, "labelled": True,
        "images": {"found": 22, "inspected": 22, "readable": 20, "unreadable": 2},
        "classes": {"real": 10, "fake": 10}, "splits": {"train": {"real": 8, "fake": 7}, "test": {"real": 2, "fake": 3}},
        "sizes": [kind], "formats": [kind], "modes": [kind], "suffixes": [kind], "compression": [kind], "metadata": [],
        "quality": {group: spread(75, 90, 95) | {"unknown": 0, "histogram": {"75": 10}} for group in groups},
        "bytes": {group: spread(1000, 2000, 3000) for group in groups}, "bits_per_pixel": {group: spread(0.5, 1, 2) for group in groups},
        "suffix_disagrees": 0, "rotated": 0, "duplicates": {"exact": copies, "near": copies}, "skipped": {"x.jpg": "empty", "y.jpg": "text"},
        "imbalance": {"ratio": 1.0, "larger": "real", "smaller": "fake", "sentence": "The classes are of equal size."},
        "leak": {
            "images": 20, "real": 10, "fake": 10, "folds": 5, "rounds": 3, "families": [family, constant],
            "verdict": "severe", "sentence": "File size tells all.", "do": "Store alike.",
        },
        "findings": [{"severity": "severe", "what": "File size tells all.", "do": "Store alike."}, {"severity": "warning", "what": "b", "do": "c"}],
    } | change  # fmt: skip


def lay(folder: Path, **change: Any) -> Path:
    """Write an inspection's folder with one picture."""
    (folder / "inspection.json").write_text(json.dumps(record(**change)))
    file = io.BytesIO()
    Image.new("RGB", (40, 20)).save(file, "PNG")
    (folder / "bytes.png").write_bytes(file.getvalue())
    return folder


def shown(folder: Path) -> Tags:
    return Tags(render(folder).read_text(encoding="utf-8"))


def test_the_page_has_every_part(tmp_path: Path) -> None:
    page = shown(lay(tmp_path))
    text = " ".join(" ".join(page.text).split())
    for part in (
        "What is in faces?",
        "File size tells all.",
        "1 more serious finding below.",
        "0.91 to 1.00",
        "c, d, e",
        "splits",
        "y.jpg",
        "1 to 3",
        "0.50 to 2.00",
    ):
        assert part in text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1
    titles = [data for data in page.text if data in ("Findings", "Leaks", "Files", "Copies", "Unreadable", "How it was made")]
    assert titles[:6] == ["Findings", "Leaks", "Files", "Copies", "Unreadable", "How it was made"]


def test_the_dispatch_finds_it_and_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first = render(lay(tmp_path)).read_bytes()
    assert reports.render(tmp_path).read_bytes() == first


def test_groups_that_cross_are_told_first(tmp_path: Path) -> None:
    text = " ".join(shown(lay(tmp_path)).text)
    assert text.index("c, d, e") < text.index("a, b")


def test_without_classes(tmp_path: Path) -> None:
    alone = {"all": spread(1, 2, 3)}
    kind = [{"name": "PNG", "all": 4}]
    quality = {"all": {"count": 0, "unknown": 4, "histogram": {}}}
    names = dict.fromkeys(("sizes", "formats", "modes", "suffixes", "compression"), kind)
    nothing: dict[str, Any] = {"labelled": False, "classes": {}, "splits": {}, "leak": None, "imbalance": None, "findings": [], "skipped": {}}
    page = shown(lay(tmp_path, bytes=alone, bits_per_pixel=alone, quality=quality, **nothing, **names))
    text = " ".join(page.text)
    assert "Nothing stands out." in text
    assert "Leaks" not in text and "Unreadable" not in text
    assert "None" not in text and "nan" not in text


def test_an_untested_leak_says_why(tmp_path: Path) -> None:
    leak = {"images": 5, "families": [], "verdict": "untested", "sentence": "File facts were not tested: too few.", "do": ""}
    assert "File facts were not tested: too few." in shown(lay(tmp_path, leak=leak)).text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    page = shown(
        lay(tmp_path, data=HOSTILE, layout=HOSTILE, skipped={HOSTILE: HOSTILE}, findings=[{"severity": "note", "what": HOSTILE, "do": HOSTILE}])
    )
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert HOSTILE in page.text


def test_what_is_wrong_with_the_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"inspection.json is missing in .*; run 'whyfake inspect DATA --out DIR' again"):
        render(tmp_path)
    for content, match in (("{", "cannot be read"), ("[]", "holds no JSON object"), ("{}", "lacks 'data'")):
        (tmp_path / "inspection.json").write_text(content)
        with pytest.raises(RunError, match=match):
            render(tmp_path)
    assert not (tmp_path / "index.html").exists()
