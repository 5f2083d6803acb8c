"""Run every benchmark and write `benchmarks/results.md` with the machine named."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import feeding
from benchmarks.onepass import BATCH, ROUNDS, SIZE, compare
from xai import store
from xai.backend import import_quietly
from xai.provenance import machine, versions


def main() -> None:
    """Measure and write the table."""
    import_quietly()
    rows, fed = compare(), feeding.compare()
    place = machine()
    found = versions()
    lines = [
        "# Measured",
        "",
        f"`make bench` on {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB; "
        + ", ".join(f"{name} {found[name]}" for name in ("tensorflow", "keras")),
        "",
        f"## Five convolutions of alexnet18 at {SIZE} x {SIZE}, Grad-CAM and HiResCAM at once",
        "",
        f"Batch of {BATCH}, medians of {ROUNDS} rounds, each round runs all three in turn. "
        "tf-keras-vis computes Grad-CAM only, one call a layer, warmed up.",
        "",
        "| what | value |",
        "|---|---|",
        *(f"| {name} | {value:.3g} |" for name, value in rows.items()),
        "",
        f"## Training alexnet18 at {feeding.SIZE} x {feeding.SIZE} from JPEG files",
        "",
        f"Batches of {feeding.BATCH}, {feeding.IMAGES} files, nothing kept in memory; the first two steps are left out.",
        "",
        "| what | value |",
        "|---|---|",
        *(f"| {name} | {value:.3g} |" for name, value in fed.items()),
    ]
    text = "\n".join(lines) + "\n"
    store.write_text(Path(__file__).with_name("results.md"), text)
    print(text)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
