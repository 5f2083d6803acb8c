"""How large, how quick and how heavy the report of very many images is, in headless Chromium.

Multiplies the images of a finished run (copies of them, with scores of their own), renders the page in a process of
its own and opens it from the disk. Needs Chromium and Playwright.

    python -m benchmarks.pages runs/demo --images 10000 --out runs/pages
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xai import miniature


def multiplied(run: Path, out: Path, images: int) -> Path:
    """Write a run directory with so many copies of a run's images; its full maps are left out, a page does not read them."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copytree(run / "channels", out / "channels")
    for name in ("summary.json", "run.json", "skipped.csv"):
        shutil.copy(run / name, out / name)
    summary = json.loads((out / "summary.json").read_text())
    summary["images"]["read"] = images
    (out / "summary.json").write_text(json.dumps(summary))
    with (run / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    random = np.random.default_rng(0)
    with (out / "images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for index in range(images):
            row = rows[index % len(rows)]
            logit = float(row["logit"]) + random.normal()
            writer.writerow(row | {"index": index, "path": f"{index // 1000:03d}/{row['path']}", "logit": logit, "score": 1 / (1 + np.exp(-logit))})
    side = miniature.sides(images)
    with h5py.File(run / "maps.h5") as source, h5py.File(out / "maps.h5", "w") as target:
        for name in ("mean", "std", "aligned", "difference"):
            if name in source:
                source.copy(name, target)
        chosen = np.arange(images) % len(rows)
        pictures = [shrunk(picture, side[0]) for picture in source["images/picture"][:]]
        miniature.write_pictures(target, "images/picture", [pictures[index] for index in chosen])
        for layer, methods in source["maps"].items():
            for method, maps in methods.items() if isinstance(methods, h5py.Group) else ():
                if method in ("y", "x"):  # where the cells lie
                    continue
                empty = target.create_dataset(f"maps/{layer}/{method}", (images, *maps.shape[1:]), np.float32, chunks=(1, *maps.shape[1:]))
                empty.attrs.update(maps.attrs)
                small = source[f"small/{layer}/{method}"][:].astype(np.float32)
                noisy = small[chosen] + random.normal(0, 300, (images, *small.shape[1:])).astype(np.float32)  # no two maps are alike
                values, _ = miniature.shrink(noisy, side[1])
                target.create_dataset(f"small/{layer}/{method}", data=values, chunks=(64, *values.shape[1:]), compression="gzip", compression_opts=1)
                target[f"scale/{layer}/{method}"] = source[f"scale/{layer}/{method}"][:][chosen]
                if "regions" in source:
                    target[f"regions/mass/{layer}/{method}"] = source[f"regions/mass/{layer}/{method}"][:][chosen]
        if "regions" in source:
            target["regions"].attrs["names"] = source["regions"].attrs["names"]
            target["regions/area"] = source["regions/area"][:][chosen]
    return out


def shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture as an audit of more images keeps it."""
    import cv2

    from reports.pictures import fitted

    return np.asarray(cv2.imencode(".jpg", fitted(cv2.imdecode(picture, cv2.IMREAD_COLOR), side), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]).ravel()


def rendered(out: Path) -> dict[str, Any]:
    """Render the page in a process of its own; return seconds and the most memory it had."""
    started = time.perf_counter()
    # VmHWM and not the resource usage of children: that one starts from what this process held when it forked.
    code = (
        "import sys, reports; print(reports.render(sys.argv[1])); print(*[line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out)], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    name, peak = done.stdout.split("\n")[:2]
    page = Path(name)
    files = [path for path in page.parent.rglob("*") if path.is_file()] if page.parent.name == "report" else [page]
    size = sum(path.stat().st_size for path in files) / 1e6
    return {
        "page": page,
        "render_seconds": round(seconds, 1),
        "render_mib": round(int(peak) / 1024),
        "files": len(files),
        "megabytes": round(size, 1),
    }


def opened(page: Path) -> dict[str, Any]:
    """Open the page and use it; times in milliseconds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
        )
        tab = browser.new_page(viewport={"width": 1300, "height": 900})
        tab.goto(page.as_uri())
        found = tab.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
        ready = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        used = tab.evaluate(
            """() => {
              const set = whyfake.gallery.set, times = [];
              for (const change of [{ sort: "doubt", outcome: "TP" }, { sort: "high", outcome: "" }, { sort: "wrong", label: "fake" },
                                    { sort: "path", label: "", name: "7" }, { sort: "random", name: "", low: "0.5" }]) {
                const start = performance.now();
                set(change);
                document.querySelector(".gallery").offsetHeight;
                times.push(performance.now() - start);
              }
              return times;
            }"""
        )
        tab.evaluate("document.querySelector('#images').scrollIntoView()")
        for sort in ("doubt", "path", "random", "wrong"):
            tab.evaluate("(sort) => whyfake.gallery.set({ sort })", sort)
            tab.wait_for_timeout(1500)
        heap = tab.evaluate("performance.memory.usedJSHeapSize") / 2**20
        memory = sum(resident(process) for process in renderers(browser))
        browser.close()
    return {
        "interactive_ms": round(found), "loaded_ms": round(ready), "filter_and_sort_ms": [round(time, 1) for time in used],
        "heap_mib": round(heap), "renderer_mib": round(memory),
    }  # fmt: skip


def renderers(browser: Any) -> list[int]:
    """Return the browser's renderer processes."""
    session = browser.new_browser_cdp_session()
    return [entry["id"] for entry in session.send("SystemInfo.getProcessInfo")["processInfo"] if entry["type"] == "renderer"]


def resident(process: int) -> float:
    """Return a process's memory in MiB."""
    import psutil

    return float(psutil.Process(process).memory_info().rss / 2**20)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("runs/pages"))
    said = parser.parse_args()
    out = multiplied(said.run, said.out, said.images)
    found = rendered(out)
    found |= opened(found["page"])
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
