"""Run every benchmark and write `benchmarks/results.md` with the machine named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks import agreement, batch, feeding, onepass, sampling
from benchmarks.rival import PYTHON
from xai import store
from xai.backend import import_quietly
from xai.provenance import machine, versions


def section(title: str, text: str, rows: Mapping[str, float]) -> list[str]:
    """Return a titled table as Markdown lines."""
    table = ["| what | value |", "|---|---|", *(f"| {name} | {value:.3g} |" for name, value in rows.items())]
    lines = ["", f"## {title}", "", text, "", *table]
    print("\n".join(lines), flush=True)
    return lines


def main() -> None:
    """Measure and write the tables."""
    import_quietly()
    place, found = machine(), versions()
    lines = [
        "# Measured",
        "",
        f"`make bench` on {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB; "
        + ", ".join(f"{name} {found[name]}" for name in ("tensorflow", "keras"))
        + ("; xplique 2.0.2 in an environment of its own (tensorflow 2.20.0, the same keras)" if PYTHON.exists() else ""),
    ]
    for case, (_, _, size, rounds) in onepass.CASES.items():
        text = (
            f"Seven methods at once ({', '.join(onepass.SEVEN)}) against Grad-CAM alone of the others, one call a layer, warmed up. "
            f"Batch of {size}, medians of {rounds} rounds, each round runs all in turn."
        )
        lines += section(case, text, onepass.compare(case))
    text = f"{batch.IMAGES} JPEG files of {batch.SIZE} x {batch.SIZE}, `alexnet18`, five layers, HiResCAM; the map pass alone reads none."
    lines += section("Overlays, decode to written JPEG", text, batch.compare() | batch.memory())
    text = "`alexnet18` at 1024 x 1024, one image, both in turn."
    lines += section("Methods of many passes", text, sampling.compare() | sampling.memory())
    text = f"Largest difference relative to the largest value; `lenet` at {agreement.SIZE} x {agreement.SIZE}, two images of noise."
    lines += section("Agreement with xplique", text, agreement.compare())
    text = f"`alexnet18`, batches of {feeding.BATCH}, {feeding.IMAGES} files, nothing kept in memory; the first two steps are left out."
    lines += section(f"Training at {feeding.SIZE} x {feeding.SIZE} from JPEG files", text, feeding.compare())
    store.write_text(Path(__file__).with_name("results.md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
