"""The plain page: escaped, self-contained, numbers to the right."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from reports.sheet import Picture, Section, Table, numeric, page, side
from tests.reports.test_html import HOSTILE, Tags
from xai.errors import RunError


def picture(kind: str = "PNG", size: tuple[int, int] = (30, 20)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, kind)
    return file.getvalue()


def full(text: str = "text") -> str:
    table = Table(text, (text, "AUC", text), [(text, "0.81 (0.75 to 0.86)", text), (text, "–", text)], note=text)
    sections = [Section(text, text, (table, Picture(text, picture(), text))), Section(text, items=(Table(text, (text,), []),))]
    return page(text, f"{text}\n{text}", [(text, text, text), ("Images", "84", "")], sections, eyebrow=text, notes=[text], command=text)


def test_the_page_has_every_part():
    found = Tags(full("some words"))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert ids == ["main", "top", "part-1", "part-1-title", "part-2", "part-2-title"]
    assert {a["href"][1:] for tag, a in found.tags if tag == "a"} <= set(ids)
    image = next(a for tag, a in found.tags if tag == "img")
    assert (image["width"], image["height"], image["alt"]) == ("30", "20", "some words")
    assert "None" in found.text  # a table without rows says so


def test_nothing_is_loaded_and_nothing_runs():
    text = full()
    found = Tags(text)
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        assert not any(name.startswith("on") for name in attributes), tag
        assert all(attributes[name].startswith(("data:", "#")) for name in {"src", "href", "srcset"} & set(attributes))
    assert not re.search(r"https?://", text)
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'") and "script-src" not in policy


def test_hostile_texts_are_text():
    found = Tags(full(HOSTILE))
    assert not any("onerror" in attributes for _, attributes in found.tags)
    assert len([tag for tag, _ in found.tags if tag == "img"]) == 1
    assert found.text.count(HOSTILE) >= 10


def test_numbers_stand_to_the_right():
    found = Tags(full())
    assert [a.get("class") for tag, a in found.tags if tag == "td"][:2] == ["num", None]
    assert numeric(["1,280", "–", "failed"])  # half of those that hold something
    assert not numeric(["–", ""])
    assert not numeric(["20 files", "conv2d"])
    assert side(["a sentence that is longer than most of the names are"]) == "long"


def test_a_picture_keeps_its_kind_and_a_broken_one_is_named():
    for kind, media in (("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")):
        assert f"data:{media};base64," in page("t", "", [], [Section("s", items=(Picture("p", picture(kind)),))])
    for data in (b"", b"<svg onload='alert(1)'/>", picture("BMP")):
        with pytest.raises(RunError, match="picture 'p' cannot be read; expected a PNG, JPEG or WebP"):
            page("t", "", [], [Section("s", items=(Picture("p", data),))])


def test_a_row_needs_a_cell_per_heading():
    with pytest.raises(ValueError, match=r"row 1 of table 't' has 1 cells; expected 2, one per heading"):
        page("t", "", [], [Section("s", items=(Table("t", ("a", "b"), [("1", "2"), ("1",)]),))])


def test_empty_sections_are_left_out():
    text = page("t", "", [], [Section("unseen"), Section("seen", "a lead")])
    assert "unseen" not in text and "seen" in text
