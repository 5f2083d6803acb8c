"""The pages in a browser: they keep to themselves, are valid, and show what is written in them as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.made import AUDITS, PAGES
from tests.reports.test_html import HOSTILE, HOSTILE_LAYER

pytestmark = pytest.mark.browser
OTHER = "</script><script>alert(3)</script>.png"
Visits = Callable[..., Visit]


def exercise(page) -> None:
    """Use everything that may load or compute something: open all, choose all, scroll to the end."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    for select in page.locator("main select:visible").all():
        before = select.input_value()
        for value in [*select.locator("option").evaluate_all("(all) => all.map((each) => each.value)"), before]:
            if select.is_visible():  # one choice may hide another
                select.select_option(value)
    page.evaluate("document.querySelector('main').scrollIntoView(false)")
    page.wait_for_timeout(100)


def outside(seen: Visit, path: Path) -> list[str]:
    """Return the requests that left the folder of the page; that of the page itself must be among the others."""
    assert path.as_uri() in seen.requests
    return [url for url in seen.requests if not url.startswith(("data:", "blob:", path.parent.as_uri() + "/"))]


@pytest.mark.parametrize(("width", "offline"), [(1300, False), (390, True)], ids=["wide", "phone, offline"])
@pytest.mark.parametrize("kind", ["audit", "bare", "apart"])
def test_an_audit_keeps_to_itself_and_does_not_complain(visit: Visits, pages: dict[str, Path], kind: str, width: int, offline: bool) -> None:
    seen = visit(pages[kind], width, offline=offline)
    exercise(seen.page)
    assert seen.page.locator("h1").inner_text().startswith("Where does")
    assert seen.complaints == [] and seen.dialogs == [] and outside(seen, pages[kind]) == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width  # it scrolls one way


@pytest.mark.parametrize("kind", [kind for kind in PAGES if kind not in AUDITS])
def test_other_pages_keep_to_themselves(visit: Visits, pages: dict[str, Path], kind: str) -> None:
    seen = visit(pages[kind], width=390, offline=True)
    assert seen.complaints == [] and seen.dialogs == [] and seen.page.locator("img[src='x']").count() == 0
    assert outside(seen, pages[kind]) == []
    if kind != "printed":
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("kind", PAGES)
def test_html_is_valid(validate: Callable[[Path], str], pages: dict[str, Path], kind: str) -> None:
    found = validate(pages[kind])
    assert not found, found


def test_the_validator_finds_faults(validate: Callable[[Path], str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><html lang="en"><head><title>t</title></head><body><p id="a"></p><ul id="a"><p></p></ul><img></body></html>')
    found = validate(page)
    assert "no-dup-id" in found and "element-permitted-content" in found and "src" in found


def test_hostile_texts_are_shown_as_text(visit: Visits, pages: dict[str, Path]) -> None:
    seen = visit(pages["hostile"], width=390)
    page = seen.page
    exercise(page)
    text = page.locator("body").inner_text()
    assert HOSTILE in page.locator("h1").inner_text()
    for part, hostile in (("#images", HOSTILE), ("#images", OTHER), ("#skipped", HOSTILE), ("#made", HOSTILE)):
        shown = page.locator(part).get_by_text(hostile).last
        shown.scroll_into_view_if_needed()
        assert shown.is_visible(), part
    for layer in (HOSTILE, HOSTILE_LAYER):
        assert layer.replace("/", "") in text
    page.locator("#images .card button").first.click()
    assert page.get_by_role("dialog").get_by_text(HOSTILE).first.is_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert seen.dialogs == [] and seen.complaints == []
    assert page.locator("img[src='x']").count() == 0
    run = "(all) => all.filter((each) => !each.type.endsWith('json') && /alert\\([123]\\)/.test(each.textContent)).length"
    assert page.locator("script").evaluate_all(run) == 0
    assert outside(seen, pages["hostile"]) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
