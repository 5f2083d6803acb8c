"""The upload page in a browser: a face goes in by every way, the answer can be looked at from all sides."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(trained: Any, tmp_path_factory: Any) -> Iterator[str]:
    """Start a server with two models and return its address."""
    home = tmp_path_factory.mktemp("models")
    for name in ("first", "second"):
        shutil.copytree(trained.model.parent, home / name, ignore=shutil.ignore_patterns("*.png", "checkpoint*"))
    words = [sys.executable, "-m", "cli", "serve", str(home), "--port", "0", "--regions", "template"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"at (http://\S+/)", line):
            break
    else:
        raise AssertionError("the server did not start")
    reader = threading.Thread(target=process.stderr.read)  # what it goes on to say must not fill the pipe
    reader.start()
    yield found[1]
    process.terminate()
    assert process.wait(30) == 0
    reader.join()
    process.stderr.close()


@pytest.fixture
def opened(chromium: Any, server: str) -> Iterator[Any]:
    """Open the page; return it with what it complained of."""
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.complaints, page.foreign = [], []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((server, "data:", "blob:")) else page.foreign.append(request.url))
    page.goto(server)
    page.locator("#status", has_text="sees 256").wait_for()
    yield page
    assert page.foreign == []
    context.close()


def answered(page: Any) -> None:
    page.wait_for_selector("#answer:not([hidden]) #strip canvas")
    page.locator("#status", has_text="pixels.").wait_for()


def test_upload_switch_and_compare(opened: Any, portraits: Path) -> None:
    face = sorted((portraits / "fake").iterdir())[0]
    opened.set_input_files("#files", str(face))
    answered(opened)
    assert opened.locator(".card").count() == 2
    assert opened.locator(".card[aria-pressed=true] .name").text_content() == "first"
    assert re.search(r"Probability of fake \d", opened.locator(".card").first.text_content())
    shown = opened.evaluate("document.querySelector('#stage').toDataURL()")
    layers = opened.locator("#layer option").all_text_contents()
    opened.select_option("#method", "hirescam")
    layers = opened.locator("#layer option").all_text_contents()
    assert layers == ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"]
    opened.locator("#strip button").first.click()
    assert opened.locator("#layer").input_value() == "conv2d"
    assert "HiResCAM, conv2d" in opened.locator("#caption").text_content()
    assert opened.evaluate("document.querySelector('#stage').toDataURL()") != shown
    opened.locator("#opacity").fill("0")
    bare = opened.evaluate("document.querySelector('#stage').toDataURL()")
    opened.locator("#opacity").fill("100")
    assert opened.evaluate("document.querySelector('#stage').toDataURL()") != bare
    opened.locator(".card").nth(1).click()
    assert opened.locator(".card[aria-pressed=true] .name").text_content() == "second"
    assert opened.locator("#parts tbody tr").count() > 5
    assert opened.complaints == []


def test_parts_are_measured_on_request(opened: Any) -> None:
    opened.locator(".sample").first.click()
    answered(opened)
    opened.locator("#measure").click()
    opened.locator("#effect-head", has_text="Blurred: change of the logit").wait_for()
    opened.locator("#measure:not([disabled])").wait_for()
    cells = opened.locator("#parts tbody td:last-child").all_text_contents()
    assert any(re.fullmatch(r"[+−]\d+\.\d\d", cell) for cell in cells)
    assert opened.complaints == []


def test_an_image_can_be_pasted_or_dropped(opened: Any) -> None:
    for event, holder in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        opened.evaluate(
            """async ([event, holder]) => {
                const content = await (await fetch('/samples/real-1.jpg')).blob();
                const data = new DataTransfer();
                data.items.add(new File([content], `${event}ed.jpg`, { type: 'image/jpeg' }));
                const kind = event === 'paste' ? ClipboardEvent : DragEvent;
                document.body.dispatchEvent(new kind(event, { [holder]: data, bubbles: true, cancelable: true }));
            }""",
            [event, holder],
        )
        opened.locator("#status", has_text=f"{event}ed.jpg: 1024 × 1024 pixels").wait_for()
        assert "made smaller to 256 × 256" in opened.locator(".card").first.text_content()
    assert opened.complaints == []


def test_errors_are_said_and_the_page_goes_on(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"hello")
    Image.new("RGB", (100, 100)).save(tmp_path / "small.png")
    for name, reason in (("no.png", "Not an image: it is a text file"), ("small.png", "The image has 100 × 100 pixels; this model needs at least")):
        opened.set_input_files("#files", str(tmp_path / name))
        opened.locator("#problem", has_text=reason).wait_for()
    opened.locator(".sample").first.click()
    answered(opened)
    assert not opened.locator("#problem").is_visible()


def test_several_images_become_a_table_and_a_report(opened: Any, portraits: Path, tmp_path: Path) -> None:
    faces = [str(path) for path in sorted((portraits / "real").iterdir())[:2]]
    (tmp_path / "<b>no.png").write_bytes(b"hello")
    opened.set_input_files("#files", [*faces, str(tmp_path / "<b>no.png")])
    opened.wait_for_selector("#several:not([hidden]) tbody tr")
    rows = opened.locator("#batch tbody tr").all_text_contents()
    assert len(rows) == 5
    assert "No answer" in rows[-1]
    assert "<b>no.png" in rows[-1]
    with opened.expect_download() as download:
        opened.locator("#report").click()
    download.value.save_as(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "it is a text file" in text
    assert opened.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (1300, "dark"), (390, "light")])
def test_the_page_is_accessible(opened: Any, axe: str, width: int, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": width, "height": 900})
    opened.locator(".sample").first.click()
    answered(opened)
    opened.evaluate(axe)  # as a tool of the browser's, which the policy does not bind
    found = opened.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found["violations"]] == []
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_interface_can_be_tried(opened: Any, server: str) -> None:
    opened.goto(f"{server}docs")
    opened.get_by_text("/api/v1/explain").first.wait_for()
    assert opened.complaints == []
