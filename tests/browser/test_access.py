"""Everybody can use the pages: axe-core's rules, the keyboard alone, less motion, darkness, paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Visit
from tests.browser.made import PAGES

pytestmark = pytest.mark.browser
Visits = Callable[..., Visit]
PAPER = 690  # pixels: A4 between the margins
SERIOUS = ("serious", "critical")


def violations(page: Any, axe: str, within: str = "html") -> list[str]:
    """Return axe-core's serious and critical findings, readable."""
    page.evaluate(axe)
    found = page.evaluate("(within) => axe.run(within, {resultTypes: ['violations']})", within)["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['html'][:160]}\n  {node['failureSummary']}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def check(page: Any, axe: str, within: str = "html") -> None:
    """Fail with axe-core's findings, if there are any."""
    found = violations(page, axe, within)
    assert not found, f"{len(found)} findings:\n" + "\n".join(found[:30])


# axe-core comes from outside the page, which the page's own policy forbids.
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_axe_on_an_audit_and_its_viewer(visit: Visits, audit: Path, axe: str, width: int, dark: bool) -> None:
    page = visit(audit, width, dark, bypass_csp=True).page
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.locator("#images [data-gallery=layer]").select_option("conv2d_4")
    page.locator("#images [data-gallery=method]").select_option("Grad-CAM")  # where some maps are empty
    page.get_by_text("empty: no positive value").first.wait_for()
    check(page, axe)
    page.locator("#images .card button").first.click()
    page.get_by_role("dialog").wait_for()
    check(page, axe, "dialog[open]")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("kind", [kind for kind in PAGES if kind not in ("audit", "apart")])
def test_axe_on_the_other_pages(visit: Visits, pages: dict[str, Path], axe: str, kind: str, dark: bool) -> None:
    check(visit(pages[kind], 390 if dark else 1300, dark, bypass_csp=True).page, axe)


def test_axe_finds_faults(visit: Visits, axe: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<!doctype html><html><body><img src="data:,"><p style="color:#aaa;background:#fff">pale</p></body></html>')
    found = " ".join(violations(visit(tmp_path / "page.html").page, axe))
    assert "image-alt (critical)" in found and "color-contrast (serious)" in found


class TestKeyboard:
    def test_tab_reaches_everything(self, visit: Visits, audit: Path) -> None:
        page = visit(audit).page
        page.keyboard.press("Tab")
        assert focused(page) == "a Skip to the report"
        box = page.locator(":focus").bounding_box()
        assert box["x"] >= 0 and box["y"] >= 0  # seen once it has the focus
        where = "document.activeElement.closest('section, header, nav')"
        reached = set()
        for _ in range(400):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(f"{where}?.id || {where}?.localName"))
            if "made" in reached:
                break
        assert {"nav", "top", "look", "parts", "trust", "performance", "channels", "images", "made"} <= reached

    def test_the_skip_link_skips(self, visit: Visits, audit: Path) -> None:
        page = visit(audit).page
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")

    @pytest.mark.parametrize("kind", ["audit", "apart"])
    def test_the_viewer(self, visit: Visits, pages: dict[str, Path], kind: str) -> None:
        page = visit(pages[kind]).page
        first = page.locator("#images .card button").first
        first.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        names = []
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"):
            names.append(dialog.get_by_role("heading").first.inner_text())
            page.keyboard.press(key)
        assert names[0] != names[1] != names[2] and names[1] == names[3]
        assert dialog.get_by_role("heading").first.inner_text() == names[0]
        for _ in range(40):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.closest('dialog') !== null || document.activeElement === document.body")
        page.keyboard.press("Escape")
        assert dialog.count() == 0 or not dialog.is_visible()
        assert first.evaluate("(button) => button === document.activeElement")

    def test_what_has_the_focus_is_seen(self, visit: Visits, audit: Path) -> None:
        page = visit(audit).page
        for _ in range(12):
            page.keyboard.press("Tab")
            style = "(({ outlineStyle, outlineWidth }) => [outlineStyle, parseFloat(outlineWidth)])"
            kind, width = page.evaluate(f"{style}(getComputedStyle(document.activeElement))")
            assert kind != "none" and width >= 2, focused(page)


def focused(page: Any) -> str:
    """Return tag and text of what has the focus."""
    return page.evaluate("`${document.activeElement.localName} ${document.activeElement.innerText}`")


def luminances(page: Any) -> list[float]:
    """Return the relative luminance of the page's paper and ink, 0 to 1."""
    style = page.evaluate("(() => { const { backgroundColor, color } = getComputedStyle(document.body); return [backgroundColor, color]; })()")
    found = []
    for colour in style:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        found.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return found


@pytest.mark.parametrize("kind", ["audit", "selftest"])
class TestSurroundings:
    def test_less_motion(self, visit: Visits, pages: dict[str, Path], kind: str) -> None:
        page = visit(pages[kind], reduced_motion="reduce").page
        moving = """() => [document.documentElement, ...document.querySelectorAll('*')].filter((each) => {
            const style = getComputedStyle(each);
            const longest = (text) => Math.max(...text.split(',').map(parseFloat));
            return style.scrollBehavior === 'smooth' || longest(style.transitionDuration) > 0.01 || longest(style.animationDuration) > 0.01;
        }).map((each) => each.outerHTML.slice(0, 80))"""
        assert page.evaluate(moving) == []

    def test_light_and_dark(self, visit: Visits, pages: dict[str, Path], kind: str) -> None:
        for dark in (False, True):
            paper, ink = luminances(visit(pages[kind], dark=dark).page)
            assert (paper < 0.05 and ink > 0.7) if dark else (paper > 0.9 and ink < 0.05)

    def test_paper(self, visit: Visits, pages: dict[str, Path], kind: str) -> None:
        page = visit(pages[kind], PAPER, dark=True).page
        page.emulate_media(media="print")
        assert not page.locator("nav.top, .skip, .controls, .copy, dialog").filter(visible=True).count()
        paper, ink = luminances(page)
        assert paper > 0.9 and ink < 0.05  # whatever the screen is
        pale = "[...document.querySelectorAll('body *')].filter((each) => getComputedStyle(each).printColorAdjust !== 'exact').length"
        assert page.evaluate(pale) == 0  # backgrounds are printed: maps, bars and marks are made of them
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER  # nothing is cut off
        pdf = page.pdf(format="A4", prefer_css_page_size=True)
        count = len(re.findall(rb"/Type\s*/Page\b", pdf))
        assert pdf.startswith(b"%PDF") and 1 <= count <= (25 if kind == "audit" else 6), count
