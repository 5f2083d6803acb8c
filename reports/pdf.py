"""The short version on paper: HTML with a style sheet for print, which a Chromium that is there makes a PDF of."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from reports import charts, filmstrip, html, short, words
from reports.run import Run, read
from reports.sheet import POLICY
from xai import overlay, store
from xai.errors import RunError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
VARIABLE = "WHYFAKE_CHROMIUM"
SECONDS = 120
PICTURES = 12  # of mean maps; fewer than a page full
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer", "--no-first-run",
    "--no-default-browser-check", "--disable-extensions", "--disable-sync", "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


def render(directory: str | Path) -> Path:
    """Write `report.pdf` of a run directory: the short version, printed by Chromium.

    Args:
        directory: what `whyfake audit --out` wrote.

    Raises:
        RunError: there is no Chromium, it fails, or a needed file is missing or damaged; an old `report.pdf` stays.
    """
    run = read(directory)
    browser = find()
    return store.write_bytes(run.directory / "report.pdf", printed(browser, page(run), run.directory))


def page(run: Run) -> str:
    """Return the short version as a page for print; the same files give the same text."""
    content = short.gather(run)
    return (
        html.environment()
        .get_template("short.html")
        .render(
            short=content,
            pictures=pictures(run, content),
            words=words,
            policy=POLICY,
            style=Markup((html.HERE / "static" / "short.css").read_text(encoding="utf-8")),  # ours, without text from the run
        )
    )


def pictures(run: Run, content: short.Short) -> list[tuple[str, str, str]]:
    """Return the mean maps of what the verdict speaks of: layer, caption, and a coloured picture as a `data:` address."""
    spot = content.spot
    signed = filmstrip.signed(run, content.means)[spot.method]
    counts = {(entry["group"], entry["layer"], entry["method"]): entry for entry in run.summary["maps"]}
    shown = []
    for layer in run.layers_of(spot.method)[-PICTURES:]:
        key = (spot.group, layer, spot.method)
        if (mean := content.means.get(key)) is not None:
            scale = charts.grey(mean.values, signed)[1]
            low, high = f"−{words.number(scale, 2)}" if signed and scale > 0 else "0", words.number(scale, 2)
            full, empty = (int(counts[key].get(name) or 0) for name in ("count", "empty"))
            file = io.BytesIO()
            Image.fromarray(overlay.colour(mean.values, scale, signed)).save(file, "PNG", compress_level=9)
            caption = f"{low} to {high}; {words.plural(full, 'map')}, {words.number(empty)} empty"
            shown.append((layer, caption, charts.uri(file.getvalue(), "image/png")))
    return shown


def find() -> str:
    """Return the path of a Chromium.

    Raises:
        RunError: there is none; says how to get one, and how to do without.
    """
    asked = os.environ.get(VARIABLE, "")
    for name in (asked,) if asked else BROWSERS:
        if path := shutil.which(name):
            return path
    what = f"{VARIABLE} says '{asked}', which is no program" if asked else "no Chromium was found"
    raise RunError(
        f"{what}, and it is what prints the PDF; install it ('apt install chromium', 'brew install --cask chromium') or let {VARIABLE} say "
        "where a Chrome or Edge is; without it, open index.html in any browser and print that, or take --format md"
    )


def printed(browser: str, text: str, place: Path) -> bytes:
    """Return a page as PDF.

    Args:
        browser: the program.
        text: the page.
        place: gets the files in between; a Chromium in a sandbox of its own does not see the system's.

    Raises:
        RunError: the browser failed, or took too long.
    """
    with (
        tempfile.TemporaryDirectory(prefix="whyfake-", ignore_cleanup_errors=True) as profile,
        tempfile.TemporaryDirectory(prefix=".print-", dir=place, ignore_cleanup_errors=True) as work,
    ):
        source, target, said = (Path(work).resolve() / name for name in ("short.html", "report.pdf", "said.txt"))
        source.write_bytes(text.encode("utf-8", "replace"))
        command = [browser, *OPTIONS, f"--user-data-dir={profile}", f"--print-to-pdf={target}", source.as_uri()]
        status = run_browser(command, said)
        data = target.read_bytes() if target.is_file() else b""
        if status == 0 and data.startswith(b"%PDF"):
            return data
        lines = [line.strip() for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    why = f"did not finish within {SECONDS} seconds" if status is None else f"ended with status {status} and no PDF"
    raise RunError(f"{browser} {why}{f': {lines[-1][:300]}' if lines else ''}; open index.html in any browser and print that, or take --format md")


def run_browser(command: list[str], said: Path) -> int | None:
    """Run a browser and return its exit status, None when it took too long; what it says goes to a file.

    A file and not a pipe: the browser's children may hold a pipe open after it was killed.
    """
    with said.open("wb") as file:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True)
        except OSError as error:
            raise RunError(f"{command[0]} cannot be started ({error.strerror}); let {VARIABLE} say where a Chrome or Edge is") from None
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(OSError, AttributeError):  # Windows has no process groups; a browser that has ended none either
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
