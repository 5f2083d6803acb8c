"""Methods that need many passes, at 1024 x 1024: against xplique, and Score-CAM's memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import memory as used
from benchmarks.onepass import setting, timed
from benchmarks.rival import rival

STEPS, MASKS = 64, 1000


def compare() -> dict[str, float]:
    """Return the seconds an image of integrated gradients and RISE, ours and xplique's, in turn."""
    from xai.maps.mapped import compute

    detector, twin, images, _ = setting("alexnet18", 1024, 1)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, rival(twin, images, Path(name)) as other:
        jobs = {
            f"integrated gradients, {STEPS} steps": (
                f"integrated_gradients:steps={STEPS}",
                "IntegratedGradients",
                {"steps": STEPS, "batch_size": 4},
                3,
            ),
            f"RISE, {MASKS} masks": (f"rise:masks={MASKS}", "Rise", {"nb_samples": MASKS, "grid_size": 8, "batch_size": 4}, 1),
        }
        for what, (method, kind, options, rounds) in jobs.items():
            short = method.split(":")[0] + (":steps=4" if rounds > 1 else ":masks=8")
            compute(detector, images, [], [short])  # compiles
            if other is not None:
                other.ask(kind, options | ({"steps": 4} if rounds > 1 else {"nb_samples": 8}))
            pairs = [
                (timed(lambda method=method: compute(detector, images, [], [method])), other.ask(kind, options) if other is not None else np.nan)
                for _ in range(rounds)
            ]
            ours, theirs = np.median(pairs, 0)
            found |= {f"{what}, ours, s an image": float(ours), f"{what}, xplique, s": float(theirs), f"{what}, xplique / ours": float(theirs / ours)}
    return found


def scorecam() -> dict[str, float]:
    """Map the last convolution (128 channels) of one image and return seconds and peak memory."""

    from xai.maps.mapped import compute

    detector, _, images, layers = setting("alexnet18", 1024, 1)
    seconds = timed(lambda: compute(detector, images, layers[-1:], ["scorecam"]))
    return {"seconds": seconds, "gib": used.peak() / 2**30}


def memory() -> dict[str, float]:
    """Return what Score-CAM takes, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.sampling"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"Score-CAM of 128 channels, s an image": found["seconds"], "Score-CAM of 128 channels, peak memory, GiB": found["gib"]}


if __name__ == "__main__":
    from xai.backend import import_quietly

    import_quietly()
    print(json.dumps(scorecam()))
