"""The grid of images, the tables and the maps, used as a reader uses them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import h5py
import numpy as np
import pytest
from PIL import Image

import reports
from reports.run import read
from tests.browser.conftest import Visit
from tests.reports.conftest import fabricate

pytestmark = pytest.mark.browser
Visits = Callable[..., Visit]


def paths(page) -> list[str]:
    """Return the names under the images that are shown."""
    return page.locator(".gallery .path").all_inner_texts()


def state(page) -> dict[str, str]:
    """Return what the address keeps."""
    return {key: value for key, (value,) in parse_qs(page.evaluate("location.hash").partition("?")[2]).items()}


@pytest.fixture(scope="package")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with more images than fit on one page of the grid, rendered into a folder."""
    folder = fabricate(tmp_path_factory.mktemp("many") / "run", images=120)
    reports.render(folder)
    return folder


@pytest.fixture
def apart(visit: Visits, many: Path):
    """Return the open page of that run, and the run."""
    return visit(many / "report" / "index.html").page, read(many)


def test_pages_of_images(apart) -> None:
    page, run = apart
    names = [row["path"] for row in run.images]
    assert paths(page) == names[:48]
    page.locator("[data-page='1']").first.click()
    assert paths(page) == names[48:96] and state(page) == {"page": "2"}
    assert page.locator("#shown").inner_text() == f"49–{min(96, len(names))} of {len(names)}"


def test_filters_and_order_agree_with_the_table(apart) -> None:
    page, run = apart
    page.locator("details.sieve summary").click()
    page.locator("[data-gallery='outcome']").select_option("FN")
    page.locator("#images [data-gallery='sort']").select_option("low")
    wanted = sorted((row for row in run.images if row["outcome"] == "FN"), key=lambda row: float(row["score"]))
    assert paths(page) == [row["path"] for row in wanted][:48]
    page.locator("[data-clear]").click()
    page.locator("[data-gallery='low']").fill("0.9")
    page.locator("[data-gallery='name']").fill("FAKE")
    page.locator("#images [data-gallery='sort']").select_option("wrong")
    kept = [row for row in run.images if float(row["score"]) >= np.float32(0.9) and "fake" in row["path"]]
    assert paths(page) == [row["path"] for row in sorted(kept, key=lambda row: float(row["logit"]))][:48]
    page.locator("[data-gallery='name']").fill("nothing is called so")
    assert paths(page) == [] and page.locator("#none-shown").is_visible()


def test_the_share_of_a_region_is_a_filter(apart) -> None:
    page, run = apart
    with h5py.File(run.directory / "maps.h5") as file:
        share = file["regions/mass/conv2d_2/hirescam"][:, list(file["regions"].attrs["names"]).index("nose")]
    page.locator("#images [data-gallery='layer']").select_option(label="conv2d_2")
    page.locator("#images [data-gallery='method']").select_option(label="HiResCAM")
    page.locator("details.sieve summary").click()
    page.locator("[data-gallery='region']").select_option(label="nose")
    page.locator("[data-gallery='least']").fill("40")
    page.locator("#images [data-gallery='sort']").select_option("share")
    page.wait_for_function("document.querySelector('#shown').textContent.includes('that fit')")
    wanted = [row for row in np.argsort(-share, kind="stable") if round(float(share[row]), 4) >= 0.4]
    assert wanted and set(paths(page)) == {run.images[row]["path"] for row in wanted[:48]}


def test_a_link_shows_the_same_view(visit: Visits, apart) -> None:
    page, _ = apart
    page.locator("#images [data-gallery='sort']").select_option("random")
    page.locator("[data-shuffle]").click()
    page.locator("#images [data-gallery='layer']").select_option(label="conv2d_4")
    page.locator(".gallery .shot").nth(3).click()
    page.keyboard.press("ArrowRight")
    title = page.locator("#viewer-title").inner_text()
    assert title == paths(page)[4]
    assert set(state(page)) == {"sort", "seed", "layer", "open"}
    again = visit(Path(page.url.removeprefix("file://").partition("#")[0])).page
    again.goto(page.url)
    again.reload()
    assert again.locator("#viewer-title").inner_text() == title and paths(again) == paths(page)
    assert again.locator("#viewer [data-gallery='layer'] option:checked").inner_text() == "conv2d_4"


def test_the_map_is_drawn_where_it_was_measured(visit: Visits, tmp_path: Path) -> None:
    """One cell of four is hot; its quarter of the picture turns to the other end of the colours, nothing else does."""
    folder = fabricate(tmp_path, images=2, layers=[("conv", 2, 256.0, 128.0, 256.0, 2)], methods=["activation"])
    with h5py.File(folder / "maps.h5", "a") as file:
        file["small/conv/activation"][...] = np.array([[0, 0], [32767, 0]], np.int16)
    page = visit(reports.render(folder)).page
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.locator("#images [data-opacity='image']").evaluate("(slider) => { slider.value = 1; slider.dispatchEvent(new Event('input')); }")
    shot = page.locator(".gallery .shot").first
    shot.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    pixels = np.asarray(Image.open(io.BytesIO(shot.screenshot())).convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    hot, cold = pixels[height * 7 // 8, width // 8], pixels[height // 8, width * 7 // 8]
    assert hot[0] > 200 and hot[1] > 200 and hot[2] < 100  # viridis ends in yellow
    assert abs(cold - pixels[2, width - 3]).max() < 12 and cold[0] < 150


def test_tables_sort_search_and_download(visit: Visits, audit: Path) -> None:
    page = visit(audit).page
    page.locator("#performance").scroll_into_view_if_needed()
    box = page.get_by_role("searchbox", name="Search the table measures")
    box.wait_for()
    table = page.locator("table[data-table='measures']")
    first = table.locator("tbody th").all_inner_texts()
    table.locator("thead th").first.click()
    wanted = sorted(first, key=str.lower)
    page.wait_for_function("(wanted) => document.querySelector('[data-table=measures] tbody th').innerText === wanted", arg=wanted[0])
    assert table.locator("tbody th").all_inner_texts() == wanted
    box.fill("recall")
    shown = [text for text in table.locator("tbody th").all_inner_texts() if text]
    assert len(shown) < len(first) and all("recall" in text.lower() or "found" in text.lower() for text in shown)
    with page.expect_download() as download:
        page.locator("#performance").get_by_role("button", name="CSV").first.click()
    rows = [row for row in csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))) if row]
    assert rows[0][0] == "Measure" and len(rows) == 1 + len(shown)


def test_figures_are_saved(visit: Visits, audit: Path) -> None:
    page = visit(audit, reduced_motion="reduce").page
    page.wait_for_timeout(500)
    for figure, kind, start in (("roc", "SVG", b"<"), ("roc", "PNG", b"\x89PNG")):
        holder = page.locator(f"[data-figure='{figure}']").first
        holder.scroll_into_view_if_needed()
        holder.hover()
        with page.expect_download() as download:
            holder.get_by_role("button", name=kind).first.click()
        assert Path(download.value.path()).read_bytes().startswith(start)


def test_an_image_with_its_map_is_saved_at_full_size(visit: Visits, tmp_path: Path) -> None:
    folder = fabricate(tmp_path, images=2, layers=[("conv", 2, 256.0, 128.0, 256.0, 2)], methods=["activation"])
    with h5py.File(folder / "maps.h5", "a") as file:
        file["small/conv/activation"][...] = np.array([[0, 0], [32767, 0]], np.int16)
    page = visit(reports.render(folder), reduced_motion="reduce").page
    page.locator(".gallery .shot").first.click()
    shot = page.locator("#viewer-shot")
    shot.hover()
    with page.expect_download() as download:
        shot.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "fake-0000.jpg-conv-activation.png"
    pixels = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    hot, cold = pixels[height * 7 // 8, width // 8], pixels[height // 8, width * 7 // 8]
    assert min(height, width) >= 400 and hot[1] - hot[2] > 80 and abs(cold[1] - cold[2]) < 60


def test_maps_of_a_folder_say_why_they_cannot_be_saved(apart) -> None:
    page, _ = apart
    page.locator(".gallery .shot").first.click()
    shot = page.locator("#viewer-shot")
    shot.hover()
    shot.get_by_role("button", name="Save").click()
    shot.get_by_text("one file, or open the folder through a web server").wait_for()


def test_colours_change_at_once(visit: Visits, audit: Path) -> None:
    page = visit(audit).page
    before = page.locator("#look .map.div, #look .map.seq").first.evaluate("(map) => getComputedStyle(map).filter")
    for select in page.locator("#look [data-palette]").all():
        select.select_option(index=1)
    after = page.locator("#look .map.div, #look .map.seq").first.evaluate("(map) => getComputedStyle(map).filter")
    assert before != after


def test_decimals_can_be_typed(apart) -> None:
    page, run = apart
    page.locator("details.sieve summary").click()
    for name, text in (("low", "0.35"), ("high", "0.95")):
        page.locator(f"[data-gallery='{name}']").click()
        page.keyboard.type(text)
        assert page.locator(f"[data-gallery='{name}']").input_value() == text
    kept = [row for row in run.images if np.float32(0.35) <= np.float32(row["score"]) <= np.float32(0.95)]
    assert kept and paths(page) == [row["path"] for row in kept][:48]


def test_a_bound_is_within(apart) -> None:
    """Scores are kept in single precision: 0.9 typed is not 0.9 kept, and still the image belongs."""
    page, run = apart
    score = run.images[0]["score"]
    page.locator("details.sieve summary").click()
    page.locator("[data-gallery='low']").fill(score)
    page.locator("[data-gallery='high']").fill(score)
    assert run.images[0]["path"] in paths(page)


def test_a_late_answer_does_not_undo_a_newer_choice(visit: Visits, many: Path) -> None:
    page = visit(many / "report" / "index.html").page
    page.context.route("**/shares-0.js", lambda route: (page.wait_for_timeout(800), route.continue_()))
    page.evaluate("whyfake.gallery.set({ layer: '0', method: '0' })")
    page.evaluate("whyfake.gallery.set({ sort: 'share', region: '1' })")
    page.evaluate("whyfake.gallery.set({ method: '1' })")
    page.wait_for_timeout(1500)
    with h5py.File(many / "maps.h5") as file:
        share = file["regions/mass/conv2d/gradcam"][:, 1].round(4)
    names = [row["path"] for row in read(many).images]
    assert paths(page) == [names[row] for row in np.argsort(-share, kind="stable")[:48]]


def test_a_file_that_is_missing_is_said(visit: Visits, tmp_path: Path) -> None:
    folder = fabricate(tmp_path, images=3)
    page = reports.render(folder, "folder")
    for path in (folder / "report" / "data").glob("pair-*.js"):
        path.unlink()
    seen = visit(page).page
    seen.locator("#missing-note").wait_for()
    assert seen.locator(".gallery .badge").first.inner_text() == "loading"


def test_an_address_that_means_nothing(visit: Visits, many: Path) -> None:
    seen = visit(many / "report" / "index.html")
    for words in ("sort=__proto__", "page=99", "page=abc", "region=9&least=10", "open=99999", "layer=none&method=none"):
        seen.page.goto(f"{(many / 'report' / 'index.html').as_uri()}#images?{words}")
        seen.page.reload()
        assert seen.page.locator("#shown").inner_text()
    assert not seen.complaints
