"""Kill an audit at random moments, run it again, and compare what it ends with: nothing may be lost, done twice, or come out otherwise.

python -m benchmarks.kills --kills 20
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENDED_BY_KILL = -signal.SIGKILL


def command(model: Path, faces: Path, out: Path, options: Sequence[str]) -> list[str]:
    """Return the audit's command line."""
    return [sys.executable, "-m", "cli", "audit", str(model), str(faces), "--out", str(out), "--quiet", *options]


def run(words: Sequence[str], seconds: float | None = None) -> int:
    """Run a command, killed without warning after so many seconds; return how it ended."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ENDED_BY_KILL
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {errors.decode()[-2000:]}")
    return process.returncode


def shards(out: Path) -> dict[str, int]:
    """Return every finished file of partial results with its inode: one that is made again gets another."""
    folder = out / "shards"
    return {path.name: path.stat().st_ino for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else {}


def numbers(out: Path) -> dict[str, Any]:
    """Return `summary.json`."""
    return dict(json.loads((out / "summary.json").read_text(encoding="utf-8")))


def apart(one: Any, two: Any) -> float:
    """Return the largest relative difference of two summaries' numbers; infinity where they differ in anything else.

    Example:
        >>> apart({"a": [1.0, "x"]}, {"a": [1.0, "x"]}), apart([1.0], [1.5]), apart(["x"], ["y"])
        (0.0, 0.3333333333333333, inf)
    """
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return max((apart(one[key], two[key]) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return max(map(apart, one, two), default=0.0)
    if isinstance(one, float) and isinstance(two, float):
        return abs(one - two) / max(abs(one), abs(two), 1e-300)
    return 0.0 if one == two and type(one) is type(two) else float("inf")


def compare(model: Path, faces: Path, folder: Path, kills: int, seed: int, options: Sequence[str]) -> list[dict[str, Any]]:
    """Audit once undisturbed, then with so many kills, each at a random moment of a run of its own that is then resumed.

    Returns:
        A row per kill: the second it came, how many files were there, how many of these were made again, and how far
        the numbers are from the undisturbed ones.
    """
    start = time.perf_counter()
    run(command(model, faces, folder / "whole", options))
    whole, expected = time.perf_counter() - start, numbers(folder / "whole")
    names = set(shards(folder / "whole"))
    draw, rows = random.Random(seed), []
    for number in range(kills):
        out = folder / f"killed{number}"
        moment = draw.uniform(0.02, 0.98) * whole
        ended = run(command(model, faces, out, options), moment)
        before = shards(out)
        run(command(model, faces, out, options))
        after = shards(out)
        again = sum(after.get(name) != node for name, node in before.items())
        strays = [path.name for path in out.rglob(".*.tmp*")]
        row = {"second": moment, "killed": ended == ENDED_BY_KILL, "there": len(before), "again": again, "strays": len(strays)}
        rows.append(row | {"same files": set(after) == names, "apart": apart(expected, numbers(out))})
        print(f"kill {number + 1} of {kills}: " + ", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="a detector; default an untrained alexnet18 of 256 x 256")
    parser.add_argument("--faces", help="a data set; default drawn portraits")
    known, options = parser.parse_known_args()  # all else goes to the audits
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, faces = Path(known.model or folder / "model.keras"), Path(known.faces or folder)
        if not known.model:
            from models import build

            build("alexnet18", 256).save(model)
        if not known.faces:
            from benchmarks.scale import data

            faces = data(folder, known.images)
        rows = compare(model, faces, folder, known.kills, known.seed, options)
    print(f"{len(rows)} kills, {sum(row['killed'] for row in rows)} of them before the end")
    print(f"finished files made again: {sum(row['again'] for row in rows)} of {sum(row['there'] for row in rows)}")
    print(f"runs with other files in the end: {sum(not row['same files'] for row in rows)}")
    print(f"largest relative difference of any number in summary.json: {max(row['apart'] for row in rows):.3g}")


if __name__ == "__main__":
    main()
