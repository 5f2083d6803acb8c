"""The log loss of a detector at its best temperature, as a Keras metric."""

from __future__ import annotations

from typing import Any

import numpy as np

EDGE, STEP = 17.0, 1 / 16  # of the histogram of logits; float32 probabilities reach 16.1 at most
TEMPERATURES = np.geomspace(0.05, 20, 128)


def metric() -> Any:
    """Return the metric, named `calibrated_loss`; it takes one sigmoid unit or two softmax units.

    The logits are counted in a histogram per class, each shared between its two nearest
    bins, so that one pass over the images is enough and replicas can be added up; the
    loss is the lowest over a grid of temperatures. Both approximations together stay
    below 0.001 (tests/train/test_loop.py compares with `xai.calibration`).

    Reference:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, arXiv:1706.04599.
    """
    import keras
    from keras import ops

    centres = np.arange(-EDGE, EDGE + STEP, STEP)
    # loss of a fake in each bin at each temperature; of a real, the mirrored one
    table = np.logaddexp(0, -centres[None, :] / TEMPERATURES[:, None]).astype(np.float32)  # (temperatures, bins)

    class CalibratedLoss(keras.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="calibrated_loss")
            self.counts = self.add_variable((2, len(centres)), "zeros", name="counts", dtype="float32")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            probability = ops.clip(ops.cast(y_pred, "float32")[:, -1], 1e-7, 1 - 1e-7)
            place = (ops.log(probability) - ops.log1p(-probability) + EDGE) / STEP
            low = ops.floor(place)
            share = place - low
            bins = ops.one_hot(ops.cast(low, "int32"), len(centres)) * (1 - share)[:, None]
            bins = bins + ops.one_hot(ops.cast(low, "int32") + 1, len(centres)) * share[:, None]
            fake = ops.cast(ops.reshape(y_true, (-1,)), "float32") > 0
            classes = ops.cast(ops.stack([ops.logical_not(fake), fake]), "float32")  # (2, N)
            self.counts.assign_add(ops.matmul(classes, bins))

        def result(self) -> Any:
            losses = ops.matmul(table, self.counts[1]) + ops.matmul(table[:, ::-1], self.counts[0])
            return ops.min(losses) / ops.maximum(ops.sum(self.counts), 1e-9)

        def reset_state(self) -> None:
            self.counts.assign(ops.zeros_like(self.counts))

    return CalibratedLoss()
