"""The effect of a region: by how much the logit changes when that region comes from another face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from xai.detector import score
from xai.errors import WhyfakeError
from xai.maps.answer import Logits, ask
from xai.probes.donors import Donor
from xai.probes.plan import KINDS, USUAL, Easel, Rows, Subject, plan


@dataclass(frozen=True, slots=True)
class Effect:
    """What swapping regions did to one image's logit.

    Args:
        logit: of the image as it is.
        delta: float32 `(rows, kinds, donors)`, logits: changed minus as it is. NaN where the image
            lacks the region, no donor has it, or it can be put nowhere else. Blur and grey stand at donor 0.
        flipped: bool, same shape: the decision changed.
        donor: int32, same shape: the donor's index in its data set, -1 for none.
        area: float32 `(rows,)`: share of the picture that the region covers; 0 where it is absent.
    """

    logit: float
    delta: np.ndarray
    flipped: np.ndarray
    donor: np.ndarray
    area: np.ndarray


@dataclass(frozen=True, slots=True)
class Effects:
    """The effects of all images, raw: intervals and tests are made of them elsewhere.

    Args:
        rows: names of the regions.
        kinds: what the regions were replaced by, of `effects.KINDS`.
        index: int64 `(N,)`: the images' items.
        paths, labels: of the images.
        logit: float64 `(N,)`, of the images as they are.
        delta: float32 `(N, rows, kinds, donors)`, logits; NaN where nothing could be measured.
        flipped: bool, same shape: the decision changed.
        donor: int32, same shape: index of the donor's item, -1 for none.
        area: float32 `(N, rows)`: share of the picture that the region covers.
        skipped: path -> reason of the images that are left out; without parts, the reason is `measure.PARTLESS`.
    """

    rows: tuple[str, ...]
    kinds: tuple[str, ...]
    index: np.ndarray
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    logit: np.ndarray
    delta: np.ndarray
    flipped: np.ndarray
    donor: np.ndarray
    area: np.ndarray
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def mean(self) -> np.ndarray:
        """Return each image's effects averaged over its donors, float64 `(N, rows, kinds)`, in logits; NaN without any."""
        there = np.isfinite(self.delta)
        count = there.sum(-1)
        total = np.where(there, self.delta, 0).sum(-1, dtype=np.float64)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    @property
    def flips(self) -> np.ndarray:
        """Return the share of donors that changed the decision, float64 `(N, rows, kinds)`; NaN without any."""
        there = np.isfinite(self.delta)
        count = there.sum(-1)
        return np.where(count > 0, (self.flipped & there).sum(-1) / np.maximum(count, 1), np.nan)

    @property
    def passes(self) -> int:
        """Return how many images went through the network."""
        return len(self.logit) + int(np.isfinite(self.delta).sum())


def answers(logits: Logits, size: tuple[int, int], drawings: Iterable[Callable[[np.ndarray], None]], batch_size: int) -> Iterator[float]:
    """Yield the logit of each drawing; drawings of many images share a pass, and every pass but the last is full.

    Args:
        logits: the function. Its input is a buffer that is written over afterwards.
        size: `(H, W)` of the images, in pixels.
        drawings: each paints into float32 `(H, W, 3)`; asked for one by one.
        batch_size: images a pass.

    Raises:
        WhyfakeError: a batch size below 1, or an answer that is no logit per image.
    """
    if batch_size < 1:
        raise WhyfakeError(f"a batch size of {batch_size}; expected 1 or more")
    buffer, filled = np.empty((batch_size, *size, 3), np.float32), 0
    for draw in drawings:
        draw(buffer[filled])
        filled += 1
        if filled == batch_size:
            yield from ask(logits, buffer).tolist()
            filled = 0
    if filled:
        yield from ask(logits, buffer[:filled]).tolist()


def effects(
    detector: Any,
    subjects: Iterable[Subject],
    pools: Mapping[str, Sequence[Donor]],
    rows: Rows,
    *,
    kinds: Sequence[str] = USUAL,
    donors: int = 3,
    seed: int = 0,
    batch_size: int = 16,
    progress: Callable[[int], object] | None = None,
) -> list[Effect]:
    """Swap every region of every image and watch the logit.

    Costs one pass through the network per image, and per region of it one for each donor of
    "opposite", "same" and "patch" and one for "blur" and "grey": 10 a region with the usual kinds
    and 3 donors. Memory holds one image's regions and one batch, however many images there are.

    Args:
        detector: has `logits`, `preprocessing` and `threshold`.
        subjects: the images; may be read as they are needed.
        pools: class -> donors.
        rows: region -> indices of its parts.
        kinds: of `KINDS`.
        donors: of each kind, per region.
        seed: of all that is drawn.
        batch_size: images a pass.
        progress: called with the number of images finished since the last call.

    Returns:
        One per subject, in order. They do not depend on the batch size but for the last bits of a
        network's arithmetic.

    Raises:
        WhyfakeError: an unknown kind, fewer than one donor, or no logit per image.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or donors < 1:
        raise WhyfakeError(
            f"swaps of kind '{unknown[0]}' are not known; expected {', '.join(KINDS)}" if unknown else f"{donors} donors; expected 1 or more"
        )
    preprocessing = detector.preprocessing
    size = preprocessing.height, preprocessing.width
    plans: list[list[tuple[tuple[int, int, int], int]]] = []  # where each effect is written, and the donor; not the regions themselves
    areas: list[np.ndarray] = []

    def drawings() -> Iterator[Callable[[np.ndarray], None]]:
        for subject in subjects:
            jobs, easel = plan(subject, pools, rows, kinds, donors, seed), Easel(subject, preprocessing, kinds)
            counts = np.bincount(subject.face.parts.labels.ravel(), minlength=256)
            areas.append(np.array([counts[list(members)].sum() for members in rows.values()], np.float32) / np.float32(size[0] * size[1]))
            plans.append([(job.at, job.lender) for job in jobs])
            yield easel.plain
            yield from (partial(easel.draw, job) for job in jobs)
            if progress is not None:
                progress(1)

    found = np.array(list(answers(detector.logits, size, drawings(), batch_size)))
    result, start = [], 0
    for jobs, area in zip(plans, areas, strict=True):
        own = found[start : start + 1 + len(jobs)]
        result.append(gathered(own, jobs, area, (len(rows), len(kinds), donors), detector.threshold))
        start += len(own)
    return result


def gathered(logits: np.ndarray, done: Sequence[tuple[Any, int]], area: np.ndarray, shape: tuple[int, int, int], threshold: float) -> Effect:
    """Return the effects of one image from its logits: as it is, then one per change (where it is written, donor)."""
    delta, flipped, donor = np.full(shape, np.nan, np.float32), np.zeros(shape, bool), np.full(shape, -1, np.int32)
    called = score(logits) >= threshold
    for (at, lender), logit, fake in zip(done, logits[1:], called[1:], strict=True):
        delta[at], flipped[at], donor[at] = logit - logits[0], fake != called[0], lender
    return Effect(float(logits[0]), delta, flipped, donor, area)
