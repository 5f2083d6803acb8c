"""A browser for the pages, and the pages: each made once from made-up files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.browser import made

HERE = Path(__file__).parent
TOOLS = HERE / "node_modules"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


# Not of the session: while Playwright runs, its event loop is the thread's, and other tests may want their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """Return the running browser; skip where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        pytest.skip("Chromium is missing (Debian: apt-get install chromium)")
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is missing (pip install -e '.[dev]')")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, and what happened since: Playwright's page and texts."""

    page: Any
    complaints: list[str] = field(default_factory=list)  # the console, uncaught errors, the content security policy
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a file in a context of its own."""
    contexts = []

    def visited(path: Path, width: int = 1300, dark: bool = False, offline: bool = False, **options: Any) -> Visit:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=offline, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        found = Visit(context.new_page())

        def refuse(dialog: Any) -> None:
            found.dialogs.append(dialog.message)
            dialog.dismiss()

        context.on("request", lambda request: found.requests.append(request.url))
        found.page.on("console", lambda message: found.complaints.append(message.text) if message.type in ("error", "warning") else None)
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("dialog", refuse)
        found.page.goto(path.as_uri())
        return found

    yield visited
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def axe() -> str:
    """Return axe-core's script."""
    script = TOOLS / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is missing ('make test' installs it where npm is)")
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="package")
def validate() -> Callable[[Path], str]:
    """Return a function that says what is invalid in a page, a line a finding; empty where all is well."""
    program = TOOLS / "html-validate" / "bin" / "html-validate.mjs"
    if not program.is_file():
        pytest.skip("html-validate is missing ('make test' installs it where npm is)")
    # html-validate wants a newer Node.js than Debian has; Playwright brings one along.
    node = Path(pytest.importorskip("playwright").__file__).parent / "driver" / "node"
    if not node.is_file():
        pytest.skip("this Playwright brings no Node.js for html-validate")

    def findings(path: Path) -> str:
        words = [str(node), str(program), "--config", str(HERE / "htmlvalidate.json"), "--formatter", "text", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=path.parent, timeout=120)
        return (done.stdout + done.stderr).strip() if done.returncode else ""

    return findings


@pytest.fixture(scope="package")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return kind -> a page of that kind; not to be changed."""
    folder = tmp_path_factory.mktemp("pages")
    return {name: make(folder / name) for name, make in made.PAGES.items()}


@pytest.fixture(scope="package")
def audit(pages: dict[str, Path]) -> Path:
    """Return the page of an audit with all its parts."""
    return pages["audit"]
