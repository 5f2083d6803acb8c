"""Run every benchmark and write `benchmarks/results.md` with the machine named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks import agreement, attention, batch, feeding, onepass, sampling, trust
from benchmarks.rival import PYTHON
from xai import store
from xai.backend import import_quietly
from xai.provenance import machine, versions


def section(title: str, text: str, rows: Mapping[str, float]) -> str:
    """Return a titled table as Markdown."""
    table = ["| what | value |", "|---|---|", *(f"| {name} | {value:.3g} |" for name, value in rows.items())]
    return "\n".join([f"## {title}", "", text, "", *table, ""])


def one_pass(case: str) -> str:
    """Return the section of one network's single pass."""
    _, _, size, rounds = onepass.CASES[case]
    text = (
        f"Seven methods at once ({', '.join(onepass.SEVEN)}) against Grad-CAM alone of the others, one call a layer, warmed up. "
        f"Batch of {size}, medians of {rounds} rounds, each round runs all in turn."
    )
    return section(case, text, onepass.compare(case))


def overlays() -> str:
    """Return the section of overlays and memory."""
    text = f"{batch.IMAGES} JPEG files of {batch.SIZE} x {batch.SIZE}, `alexnet18`, five layers, HiResCAM; the map pass alone reads none."
    return section("Overlays, decode to written JPEG", text, batch.compare() | batch.memory())


def many_passes() -> str:
    """Return the section of methods that need many passes."""
    return section("Methods of many passes", "`alexnet18` at 1024 x 1024, one image, both in turn.", sampling.compare() | sampling.memory())


def agreeing() -> str:
    """Return the section of numbers against xplique's."""
    text = f"Largest difference relative to the largest value; `lenet` at {agreement.SIZE} x {agreement.SIZE}, two images of noise."
    return section("Agreement with xplique", text, agreement.compare())


def reading() -> str:
    """Return the section of input while training."""
    text = f"`alexnet18`, batches of {feeding.BATCH}, {feeding.IMAGES} files, nothing kept in memory; the first two steps are left out."
    return section(f"Training at {feeding.SIZE} x {feeding.SIZE} from JPEG files", text, feeding.compare())


def parts() -> str:
    """Return the section of what face parts cost."""
    text = (
        f"`alexnet18` at {attention.SIZE} x {attention.SIZE}, five layers, three methods, {attention.IMAGES:,} portraits with label images, "
        f"medians of {attention.ROUNDS} rounds, each runs all in turn. The map pass decodes, maps, averages and writes."
    )
    return section("Face parts in an audit", text, attention.compare())


def tests() -> str:
    """Return the section of what testing maps costs."""
    text = f"`alexnet18` at {trust.SIZE} x {trust.SIZE}, {', '.join(trust.METHODS)} at five layers, and two maps that know nothing."
    return section("Testing the maps", text, trust.compare())


def main() -> None:
    """Measure and write the tables, one after the other, so that a stop loses one only."""
    import_quietly()
    place, found = machine(), versions()
    rivals = "; xplique 2.0.2 in an environment of its own (tensorflow 2.20.0, the same keras)" if PYTHON.exists() else ""
    pages = [
        "# Measured\n\n"
        f"`make bench` on {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB; "
        f"tensorflow {found['tensorflow']}, keras {found['keras']}{rivals}\n"
    ]
    first, *others = onepass.CASES
    for work in (partial(one_pass, first), overlays, parts, tests, many_passes, agreeing, reading, *(partial(one_pass, case) for case in others)):
        pages.append(work())
        print(pages[-1], flush=True)
        store.write_text(Path(__file__).with_name("results.md"), "\n".join(pages))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
