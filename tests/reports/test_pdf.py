"""The short version on paper: who prints it, and what is said when nobody does."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import reports
from reports import pdf
from reports.run import read
from xai.errors import RunError

SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]
HOSTILE = '"><img src=x onerror=alert(1)>'


def has_browser() -> bool:
    try:
        return bool(pdf.find())
    except RunError:
        return False


def program(path: Path, body: str) -> str:
    """Write a stand-in for a browser."""
    path.write_text(f"#!{sys.executable}\nimport sys, time, pathlib\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.browser
@pytest.mark.skipif(not has_browser(), reason="no Chromium")
def test_chromium_prints_it_on_a_few_pages(make_run: Callable[..., Path]) -> None:
    path = make_run()
    assert reports.render(path, form="pdf") == path / "report.pdf"
    data = (path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 3
    assert not list(path.glob(".*"))


def test_the_page_is_for_print_and_loads_nothing(make_run: Callable[..., Path]) -> None:
    run = read(make_run(paths={0: HOSTILE}))
    run.record["model"]["name"] = HOSTILE
    run.summary["claims"][0]["claim"] = HOSTILE
    text = pdf.page(run)
    assert text == pdf.page(run)
    assert "@page" in text and "<script" not in text and "<img src=x" not in text
    assert all(found.startswith("data:image/png") for found in re.findall(r'src="([^"]*)"', text))
    assert text.count("<figure>") == 3  # the headlined method has three layers
    assert "−0.3 to 0.3; 3 maps, 0 empty" in text


def test_no_browser_is_one_line_that_helps(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(layers=SMALL)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(pdf.VARIABLE, raising=False)
    with pytest.raises(RunError, match=r"^no Chromium was found.*apt install chromium.*open index\.html in any browser") as caught:
        reports.render(path, form="pdf")
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(pdf.VARIABLE, "/nowhere/chrome")
    with pytest.raises(RunError, match=r"^WHYFAKE_CHROMIUM says '/nowhere/chrome', which is no program"):
        reports.render(path, form="pdf")


def test_the_variable_names_the_browser(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """target = [word.split("=", 1)[1] for word in sys.argv if word.startswith("--print-to-pdf=")][0]
assert pathlib.Path(sys.argv[-1].removeprefix("file://")).read_text().startswith("<!doctype html>")
pathlib.Path(target).write_bytes(b"%PDF-1.4 stand-in")"""
    monkeypatch.setenv(pdf.VARIABLE, program(tmp_path / "browser", body))
    assert reports.render(make_run(layers=SMALL), form="pdf").read_bytes() == b"%PDF-1.4 stand-in"


def test_a_browser_that_fails_is_quoted(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(layers=SMALL)
    (path / "report.pdf").write_bytes(b"%PDF old")
    monkeypatch.setenv(pdf.VARIABLE, program(tmp_path / "browser", 'print("noise\\nno usable display\\n", file=sys.stderr); sys.exit(5)'))
    with pytest.raises(RunError, match=r"ended with status 5 and no PDF: no usable display; open index\.html") as caught:
        reports.render(path, form="pdf")
    assert "\n" not in str(caught.value)
    assert (path / "report.pdf").read_bytes() == b"%PDF old"
    assert not list(path.glob(".*"))


def test_a_browser_that_hangs_is_ended(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(layers=SMALL)
    monkeypatch.setattr(pdf, "SECONDS", 0.5)
    monkeypatch.setenv(pdf.VARIABLE, program(tmp_path / "browser", "time.sleep(60)"))
    with pytest.raises(RunError, match=r"did not finish within 0\.5 seconds"):
        reports.render(path, form="pdf")


def test_what_is_no_program_is_told(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "browser").write_bytes(b"\x7fELF")
    (tmp_path / "browser").chmod(0o755)
    monkeypatch.setenv(pdf.VARIABLE, str(tmp_path / "browser"))
    with pytest.raises(RunError, match="cannot be started"):
        reports.render(make_run(layers=SMALL), form="pdf")
