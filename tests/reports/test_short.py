"""The short version as Markdown: the page's numbers, and nothing from a run becomes markup."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reports
from reports import context, markdown, short
from reports.run import read
from xai.errors import RunError

Edit = Callable[[Path, Callable[[Any], None]], None]
HOSTILE = "a|b <img src=x onerror=alert(1)>\n# `c` **d** [e](javascript:f)"
SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]


def written(path: Path) -> str:
    return reports.render(path, form="md").read_text(encoding="utf-8")


def rows(text: str, title: str) -> list[list[str]]:
    """Return the cells of the first table after a heading, its ruler left out."""
    block = next(part for part in text.split(f"## {title}\n", 1)[1].split("\n\n") if part.lstrip().startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.strip().splitlines() if "---" not in line]


def test_it_says_what_the_page_says(make_run: Callable[..., Path]) -> None:
    path = make_run()
    text = written(path)
    run = read(path)
    content = short.gather(run)
    assert text.startswith("# Where does alexnet18 look?\n\n6 images of faces, 3 layers, Activation, Grad-CAM, HiResCAM\n\n")
    assert content.verdict == tuple(context.verdict(run, content.spot)) and len(content.verdict) == 4
    assert all(sentence in text for sentence in content.verdict)
    assert "> **Note:** 1 of the 6 images was in the training set" in text
    assert [tile["value"] for tile in context.tiles(run, content.spot)] == [value for _, value, _ in content.tiles]
    assert rows(text, "Claims")[1] == ["eyes", "supported: 9.00 times chance (8.70 to 9.30)", "supported: 1.00 logits (0.70 to 1.30)"]
    assert rows(text, "Looked at, and used")[1] == ["eyes", "9 × (8.70 to 9.30), supported", "1.00 (0.70 to 1.30), supported"]
    assert rows(text, "Performance")[0] == ["Measure", "Not in training (5 images)", "Including training images (6 images)"]
    assert "ab" * 32 in text and "cd" * 32 in text and "numpy 2.4.6" in text
    assert "```text\nwhyfake audit model.keras 'my faces' --out audit\n```" in text


def test_methods_stand_with_whether_they_can_be_believed(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()
    why = {"method": "hirescam", "verdict": "passes", "layers": ["conv2d"], "fails_at": [], "why": "marks what is used"}
    answers = {"faithful": {"verdict": "passes", "why": "better than chance"}}
    trust = {"images": 16, "checked": 16, "meaning": "Believe HiResCAM.", "methods": [why], "stages": [], "untested": {}, "similar": []}
    trust |= {"stable": [], "faithful": [], "curves": [], "recommended": None}
    trust["maps"] = [{"layer": "conv2d", "method": "hirescam", "verdict": "passes", "answers": answers}]
    edit(path / "summary.json", lambda summary: summary.update(trust=trust))
    text = written(path)
    assert rows(text, "Can the maps be believed?")[1] == ["HiResCAM", "✓ passes", "marks what is used"]
    assert "Believe HiResCAM." in text


def test_the_same_files_give_the_same_bytes(make_run: Callable[..., Path], tmp_path: Path) -> None:
    path = make_run()
    first = reports.render(path, form="md").read_bytes()
    assert reports.render(shutil.copytree(path, tmp_path / "elsewhere"), form="md").read_bytes() == first
    assert not (path / "index.html").exists() and not list(path.glob(".*"))


def test_hostile_names_are_text(make_run: Callable[..., Path], edit: Edit) -> None:
    layers = [("conv|</td><script>", 4, 128.0, 64.0, 128.0, 2)]
    path = make_run(layers=[(name.replace("/", ""), *rest) for name, *rest in layers])

    def rename(summary: Any) -> None:
        summary["notes"].append(HOSTILE)
        summary["claims"][0]["claim"] = HOSTILE
        summary["uses"][0]["region"] = HOSTILE

    edit(path / "summary.json", rename)
    edit(path / "run.json", lambda record: record["model"].update(name=HOSTILE))
    edit(path / "run.json", lambda record: record["command"].append("```\n<script>alert(1)</script>\n# heading"))
    text = written(path)
    assert {len(row) for row in rows(text, "Claims")} == {3}
    assert {len(row) for row in rows(text, "Looked at, and used")} == {3}
    shown = markdown_html(text)
    assert not re.search(r"<(img|script)|href=\"javascript", shown)
    assert shown.count("<h1>") == 1
    assert "a|b &lt;img src=x onerror=alert(1)&gt; # `c` **d** [e](javascript:f)" in shown


def markdown_html(text: str) -> str:
    """Return Markdown as a parser of GitHub's tables has it, HTML in it let through."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return str(parser.render(text))


@settings(deadline=None)
@given(st.text(st.sampled_from("a1_*`|\\<>&[]()!#-+=~.$ \n\t\r\u2028é"), max_size=24))
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    import html

    seen = " ".join(text.replace("\u2028", " ").split())
    for page in (markdown_html(markdown.escape(text)), markdown_html(markdown.table(("x",), [(text,)]))):
        page = page.replace("<!-- -->", "")  # keeps GitHub from linking
        plain = html.unescape(re.sub(r"</?(p|table|thead|tbody|tr|th|td)>", " ", page))
        assert " ".join(plain.split()).removeprefix("x").strip() == seen


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert markdown_html(markdown.code("a\n```\n<b>")).count("<pre>") == 1


def test_without_labels_and_parts(make_run: Callable[..., Path]) -> None:
    text = written(make_run(labelled=False, layers=SMALL))
    assert "## How this was made" in text
    assert not re.search(r"^## (Claims|Looked at|Performance)|\b(None|nan|null)\b", text, re.M)


@pytest.mark.parametrize("form", ["md", "pdf"])
def test_only_an_audit_has_a_short_version(tmp_path: Path, form: str) -> None:
    (tmp_path / "zoo.json").write_text(json.dumps({}))
    with pytest.raises(RunError, match=f"holds zoo.json: only an audit is shown as {form}"):
        reports.render(tmp_path, form=form)
    with pytest.raises(RunError, match="only an audit is shown as a folder"):
        reports.render(tmp_path, "folder")


def test_what_is_asked_for_must_exist(make_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layout 'wide'"):
        reports.render(make_run(), "wide")
    with pytest.raises(ValueError, match="form 'docx'"):
        reports.render(tmp_path, form="docx")
    with pytest.raises(RunError, match="is not a folder"):
        reports.render(tmp_path / "nowhere", form="md")
