"""Start xplique in its own environment and ask it things; without that environment, go without."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

PYTHON = Path(os.environ.get("XPLIQUE_PYTHON", ".venv-xplique/bin/python"))


class Rival:
    """A running worker.

    Args:
        process: reads requests, writes answers, a JSON line each.
        folder: where it reads the model and images from and saves maps to.
    """

    def __init__(self, process: subprocess.Popen, folder: Path) -> None:
        self.process, self.folder = process, folder

    def ask(self, kind: str, *options: dict[str, Any], **request: Any) -> float:
        """Return the seconds that xplique takes to explain the images with each option set in turn."""
        self.process.stdin.write(json.dumps({"kind": kind, "options": list(options), **request}) + "\n")
        self.process.stdin.flush()
        return float(self.read()["seconds"])

    def read(self) -> dict[str, Any]:
        """Return the next answer."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"xplique stopped: {(self.folder / 'stderr').read_text()[-2000:]}")
        return json.loads(line)

    def maps(self, name: str) -> np.ndarray:
        """Return saved maps."""
        return np.load(self.folder / name)


@contextmanager
def rival(model: Any, images: np.ndarray, folder: Path) -> Iterator[Rival | None]:
    """Give a worker with a linear model and images; None where there is no environment for it."""
    if not PYTHON.exists():
        yield None
        return
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images)
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [PYTHON, Path(__file__).with_name("xplique_worker.py"), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            found = Rival(process, folder)
            found.read()
            yield found
        finally:
            process.stdin.close()
            process.wait(60)
