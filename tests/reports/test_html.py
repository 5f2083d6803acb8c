"""The page as a whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reports
from xai.errors import RunError

Edit = Callable[[Path, Callable[[Any], None]], None]
SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]
HOSTILE = '"><img src=x onerror=alert(1)>.png'
HOSTILE_LAYER = "conv</script><script>alert(2)<!--"


class Tags(HTMLParser):
    """Every tag with its attributes, the text outside scripts, and the JSON block."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.code: list[str] = []
        self.json = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if attributes.get("id") == "data" and tag == "script" and not self.json:
            self.json = data
        if tag in {"script", "style"}:
            self.code.append(data)
        else:
            self.text.append(data)


def rendered(directory: Path) -> str:
    return reports.render(directory).read_text(encoding="utf-8")


def test_the_page_has_every_part(make_run: Callable[..., Path]) -> None:
    path = make_run()
    assert reports.render(path) == path / "index.html"
    page = Tags(rendered(path))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    sections = [
        "top",
        "look",
        "parts",
        "performance",
        "channels",
        "images",
        "dataset",
        "skipped",
        "made",
        "methods",
    ]
    assert [name for name in ids if name in sections] == sections
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for tag, a in page.tags if tag == "a"}
    assert links <= set(ids)
    text = " ".join(" ".join(page.text).split())
    for part in ("1 of the 6 images was in the training set", "no evidence: all 3 maps are empty"):
        assert part in text
    assert len(json.loads(page.json)["images"]["path"]) == 6
    assert not list(path.glob(".*"))


def test_the_same_files_give_the_same_bytes(make_run: Callable[..., Path], tmp_path: Path) -> None:
    path = make_run()
    first = reports.render(path).read_bytes()
    assert reports.render(path).read_bytes() == first
    moved = shutil.copytree(path, tmp_path / "elsewhere")
    assert reports.render(moved).read_bytes() == first


def test_nothing_is_loaded_from_anywhere(make_run: Callable[..., Path]) -> None:
    text = rendered(make_run())
    page = Tags(text)
    for tag, attributes in page.tags:
        for name in {"src", "href", "srcset", "data", "action", "poster"} & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, name)
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not any(name.startswith("on") for name in attributes), tag
    assert not re.search(r"https?://", text)
    assert "@import" not in text
    styles = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert all(target.startswith(("data:", "#")) for target in re.findall(r"url\(([^)]*)\)", styles))


def test_hostile_names_are_text(make_run: Callable[..., Path], edit: Edit) -> None:
    layers = [(HOSTILE_LAYER.replace("/", ""), 4, 128.0, 64.0, 128.0, 2)]
    path = make_run(paths={0: HOSTILE, 1: "</script><script>alert(3)</script>.png"}, layers=layers)
    edit(path / "run.json", lambda record: record["card"].update(note=HOSTILE, **{HOSTILE: HOSTILE}))
    edit(path / "run.json", lambda record: record["model"].update(name=HOSTILE))
    edit(path / "run.json", lambda record: record["command"].append(HOSTILE))
    edit(path / "summary.json", lambda summary: summary["notes"].append(HOSTILE))
    (path / "skipped.csv").write_text('path,reason\n"""><img src=x onerror=alert(1)>","<b>"\n')
    page = Tags(rendered(path))
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    # The data, the library of the tables, and ours; none from a name.
    assert [attributes.get("type") for attributes in scripts if "type" in attributes] == ["application/json", "text/plain"]
    assert sum(text.startswith('"use strict";') for text in page.code) == len(scripts) - 2
    assert all(a.get("src", "").startswith("data:") for tag, a in page.tags if tag == "img" and "src" in a)
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert HOSTILE in page.text
    assert HOSTILE in json.loads(page.json)["images"]["path"]


def test_no_missing_number_is_shown_raw(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()

    def missing(summary: Any) -> None:
        for metrics in summary["metrics"].values():
            metrics |= dict.fromkeys(("precision", "recall", "f1", "roc_auc", "accuracy_interval"))
        for entry in summary["regions"]:
            entry["pointing"] = float("nan")

    edit(path / "summary.json", missing)
    page = Tags(rendered(path))
    start = page.text.index("Where it looks")
    shown = " ".join(t for t in page.text[start:] if not t.startswith(('"use strict"', '{"')) and "run.json" not in t)
    record = (path / "run.json").read_text()
    assert "null" in record  # only the verbatim record may say it
    assert not re.search(r"\b(nan|None|undefined)\b", shown)


def test_without_labels_or_channels(make_run: Callable[..., Path]) -> None:
    path = make_run(labelled=False, layers=SMALL)
    shutil.rmtree(path / "channels")
    (path / "skipped.csv").unlink()
    text = rendered(path)
    for part in ('id="parts"', 'id="channels"', 'id="skipped"'):
        assert part not in text


@pytest.mark.parametrize("name", ["summary.json", "run.json", "images.csv", "maps.h5"])
def test_a_missing_file_is_named(make_run: Callable[..., Path], name: str) -> None:
    path = make_run()
    (path / name).unlink()
    with pytest.raises(RunError, match=rf"^{re.escape(name)} is missing in .*; run the same"):
        reports.render(path)
    assert not (path / "index.html").exists()


@pytest.mark.parametrize("name", ["summary.json", "run.json", "maps.h5"])
def test_a_broken_file_is_named(make_run: Callable[..., Path], name: str) -> None:
    path = make_run()
    (path / name).write_bytes(b'{"half": ')
    with pytest.raises(RunError, match=rf"{re.escape(name)} in .* cannot be read") as caught:
        reports.render(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("summary.json", "[]", "summary.json in .* holds no JSON object"),
        ("summary.json", "{}", "summary.json in .* lacks 'images'"),
        ("summary.json", '{"images": {}, "metrics": {}, "maps": []}', "lists no maps"),
        ("summary.json", '{"images": {}, "metrics": {}, "maps": [{}]}', "lacks 'layer'"),
        ("images.csv", "a,b\n1,2\n", "images.csv in .* has no column 'index'"),
    ],
)
def test_a_file_that_lacks_something(make_run: Callable[..., Path], name: str, content: str, match: str) -> None:
    path = make_run()
    (path / name).write_text(content)
    with pytest.raises(RunError, match=match):
        reports.render(path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a folder"):
        reports.render(tmp_path / "nowhere")


def test_the_old_page_stays_when_a_render_fails(make_run: Callable[..., Path]) -> None:
    path = make_run()
    before = reports.render(path).read_bytes()
    (path / "run.json").unlink()
    with pytest.raises(RunError, match=r"run\.json is missing"):
        reports.render(path)
    assert (path / "index.html").read_bytes() == before
