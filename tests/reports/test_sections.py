"""Sections from outside: shown in their place, escaped, and never the end of a report."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

import reports
from reports import Section, sections
from reports.run import Run
from xai.errors import RunError

SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]
installed_here = Section("from_outside", "From a package", lambda run: f"{len(run.images)} images")
no_section = 7


def broken(run: Run) -> str:
    raise KeyError("<b>gone</b>")


def rendered(path: Path, *given: Section) -> str:
    return reports.render(path, sections=given).read_text(encoding="utf-8")


@pytest.fixture
def small(make_run: Callable[..., Path]) -> Path:
    return make_run(layers=SMALL)


@pytest.fixture
def brings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that stands in for installed packages: name=module:attribute."""

    def bring(**points: str) -> None:
        found = EntryPoints(EntryPoint(name, value, sections.GROUP) for name, value in points.items())
        monkeypatch.setattr(sections, "entry_points", lambda group: found.select(group=group))

    return bring


def test_a_section_stands_before_how_it_was_made(small: Path) -> None:
    text = rendered(small, Section("doubt", "In doubt", lambda run: Markup("<p>{}</p>").format(len(run.images))))
    ids = re.findall(r'<section id="([\w-]+)"', text)
    assert ids.index("images") < ids.index("doubt") < ids.index("made")
    assert '<li><a href="#doubt">In doubt</a></li>' in text and "<p>6</p>" in text
    assert rendered(small) == rendered(small)
    assert "doubt" not in re.findall(r'<section id="([\w-]+)"', rendered(small))


def test_plain_text_is_escaped_and_titles_are(small: Path) -> None:
    text = rendered(small, Section("a", "<script>alert(1)</script>", lambda run: "<img src=x>\n\nsecond"))
    assert "<p>&lt;img src=x&gt;</p>\n<p>second</p>" in text
    assert "<script>alert(1)" not in text and "<img src=x>" not in text


@pytest.mark.parametrize(
    ("body", "said"),
    [(broken, "KeyError: &#39;&lt;b&gt;gone&lt;/b&gt;&#39;"), (lambda run: None, "TypeError: the body is no text but NoneType")],
)
def test_a_broken_one_says_so_in_its_place(small: Path, body: Any, said: str) -> None:
    text = rendered(small, Section("bad", "Bad", body), Section("good", "Good", lambda run: "well"))
    assert f"This section could not be made: {said}" in text and "<p>well</p>" in text


def test_names_are_ids_and_not_ours() -> None:
    for name in ("", "A", "1a", "a b", 'a"b', None):
        with pytest.raises(ValueError, match="is no name for a section"):
            Section(name, "x", str)  # type: ignore[arg-type]
    for name in ("top", "look", "images", "images-title", "made", "data", "viridis"):
        with pytest.raises(ValueError, match=f"the page has a '{name}' of its own"):
            Section(name, "x", str)


def test_names_are_given_once(small: Path) -> None:
    with pytest.raises(RunError, match="two sections are called 'a'"):
        rendered(small, Section("a", "A", lambda run: ""), Section("a", "B", lambda run: ""))
    assert not (small / "index.html").exists()


def test_installed_packages_bring_sections(small: Path, brings: Callable[..., None]) -> None:
    brings(mine=f"{__name__}:installed_here", none=f"{__name__}:no_section", gone="no_such_module:x", twice=f"{__name__}:installed_here")
    text = rendered(small, Section("doubt", "In doubt", lambda run: "given"))
    ids = re.findall(r'<section id="([\w-]+)" class="extra"', text)
    assert ids == ["installed-1", "from_outside", "installed-3", "installed-4", "doubt"]  # by name: gone, mine, none, twice
    assert "<p>6 images</p>" in text
    assert "could not be made by no_such_module:x: ModuleNotFoundError" in text
    assert "TypeError: it is no reports.Section but int" in text
    assert "another section is called &#39;from_outside&#39;" in text


def test_only_audits_take_sections(tmp_path: Path) -> None:
    (tmp_path / "selftest.json").write_text("{}")
    with pytest.raises(RunError, match="only an audit is shown with further sections"):
        reports.render(tmp_path, sections=[installed_here])
