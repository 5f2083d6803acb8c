"""xplique's side of a comparison, run by the Python of an environment of its own (`make bench`).

Reads a JSON request a line on standard input and answers each with one: the seconds it
took and, where asked for, the file its maps were saved to. It imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


class Worker:
    """A linear model and images, and the explainers made for them so far.

    Args:
        folder: has `model.keras` and `images.npy`; results are written there.
    """

    def __init__(self, folder: Path) -> None:
        import keras

        self.folder = folder
        self.model = keras.models.load_model(folder / "model.keras", compile=False)
        self.images = np.load(folder / "images.npy")
        self.explainers: dict[str, Any] = {}

    def explainer(self, kind: str, options: dict[str, Any]) -> Any:
        """Return an explainer, made when first asked for."""
        from xplique import attributions

        key = json.dumps([kind, options])
        if key not in self.explainers:
            self.explainers[key] = getattr(attributions, kind)(self.model, **options)
        return self.explainers[key]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Explain the images with every option set of a request, one after the other."""
        if request.get("inputs"):
            self.patch(np.load(self.folder / request["inputs"]), request["kind"])
        explainers = [self.explainer(request["kind"], options) for options in request["options"]]
        images = self.images[: request.get("limit")]
        targets = np.ones((len(images), 1), np.float32)
        started = time.perf_counter()
        maps = [np.asarray(explainer(images, targets)) for explainer in explainers]
        seconds = time.perf_counter() - started
        if request.get("save"):
            np.save(self.folder / request["save"], maps[0])
        return {"seconds": seconds}

    def patch(self, given: np.ndarray, kind: str) -> None:
        """Make xplique take our random numbers: the masks of RISE, the noise of SmoothGrad."""
        import tensorflow as tf
        from xplique import attributions
        from xplique.attributions.gradient_statistics import gradient_statistic

        if kind == "Rise":
            masks = tf.constant(given[..., None], tf.float32)
            attributions.Rise._get_masks = staticmethod(lambda *_: masks)
            attributions.Rise._apply_masks = staticmethod(lambda image, part, value: (part * image[None] + (1 - part) * value, part))
        else:
            noise = tf.constant(given, tf.float32)
            gradient_statistic.GradientStatistic._perturb_samples = staticmethod(
                lambda images, count, _: tf.reshape(images[:, None] + noise[None], (-1, *images.shape[1:]))
            )


def main() -> None:
    """Serve requests until standard input closes."""
    worker = Worker(Path(sys.argv[1]))
    answers = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
