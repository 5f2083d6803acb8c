"""Changed images on their way through the network: of many images in one pass, painted by two threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Logits, ask
from xai.threads import alone

PAINTERS = 2  # threads; imputed images take them two to three times as long as the network takes for one


@dataclass(frozen=True, slots=True)
class Change:
    """A changed image and where its logit goes.

    Args:
        paint: writes all of float32 `(H, W, 3)`; may run beside others.
        into, at: the array, and the place in it.
    """

    paint: Callable[[np.ndarray], object]
    into: np.ndarray
    at: tuple[int, ...]


def run(logits: Logits, size: tuple[int, int], changes: Iterable[Change], batch_size: int) -> None:
    """Ask for the logit of each change and write it where it belongs; every pass but the last is full.

    Args:
        logits: the function. Its input is a buffer that is written over afterwards.
        size: `(H, W)` of the images, in pixels.
        changes: asked for a pass at a time.
        batch_size: images a pass.

    Raises:
        WhyfakeError: a batch size below 1, or an answer that is no logit per image.
    """
    if batch_size < 1:
        raise WhyfakeError(f"a batch size of {batch_size}; expected 1 or more")
    buffer, waiting = np.empty((batch_size, *size, 3), np.float32), iter(changes)
    part: list[Change] = []

    def paint(first: int) -> None:
        for change, out in zip(part[first::PAINTERS], buffer[first::PAINTERS], strict=False):
            change.paint(out)

    with ThreadPoolExecutor(PAINTERS) as painters, alone():
        while part := list(islice(waiting, batch_size)):
            for _ in painters.map(paint, range(PAINTERS)):
                pass
            for change, logit in zip(part, ask(logits, buffer[: len(part)]).tolist(), strict=True):
                change.into[change.at] = logit
