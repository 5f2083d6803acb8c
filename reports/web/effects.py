"""What the logit does when a part of the face is changed: measured on request, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.web.framing import View
from reports.web.line import Line
from reports.web.served import Served
from xai.detector import score
from xai.probes.donors import Donor
from xai.probes.effects import effects
from xai.probes.plan import Subject
from xai.probes.swap import Face
from xai.regions.parts import Parts, units

KINDS = ("opposite", "same", "blur")  # without donors only the last
DONORS = 3


@dataclass(frozen=True, slots=True)
class Behind:
    """A detector whose logits are computed in the server's line, behind everything that waits there.

    Args:
        served: the model.
        line: the line.
        wait: for one batch.
    """

    served: Served
    line: Line
    wait: Callable[[Future], Any]

    @property
    def preprocessing(self) -> Any:
        """What the detector's pixels must look like."""
        return self.served.detector.preprocessing

    @property
    def threshold(self) -> float:
        """The score from which the detector calls an image fake."""
        return self.served.detector.threshold

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logit of fake per image."""
        work = self.served.detector.logits
        found: np.ndarray = self.wait(self.line.ask(object(), images, lambda values: [work(values[0])], 1, ""))
        return found


def measured(
    served: Served, view: View, parts: Parts, pools: Mapping[str, Sequence[Donor]], line: Line, wait: Callable[[Future], Any]
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield, part by part, how many are done, of how many, and what the part's change does; first that none is.

    A part is replaced by that of faces of the other class and, as a control, of its own class, where the server
    was given such faces; without, it is blurred only, which takes fine detail away and may itself look generated.

    Args:
        served: the model.
        view: what it saw.
        parts: on the view.
        pools: class -> faces that lend parts; may be empty.
        line: where the network is asked.
        wait: for one batch.
    """
    detector = Behind(served, line, wait)
    image, placed = served.detector.preprocessing.prepare(view.pixels), parts.resized(served.detector.size)
    kinds = KINDS if pools else KINDS[-1:]
    counts = np.bincount(placed.labels.ravel(), minlength=256)
    rows = {name: members for name, members in units(parts.names).items() if counts[list(members)].sum()}
    yield 0, len(rows), {}
    logit = float(detector.logits(image[None])[0])
    label = "fake" if float(score(np.array(logit))) >= detector.threshold else "real"
    for done, (name, members) in enumerate(rows.items(), 1):
        subject = Subject(Face(image, placed), label, "upload")
        found = effects(detector, [subject], pools, {name: members}, kinds=kinds, donors=DONORS, batch_size=served.together)[0]
        means = {kind: mean(found.delta[0, place]) for place, kind in enumerate(kinds)}
        flips = {kind: bool(found.flipped[0, place].any()) for place, kind in enumerate(kinds)}
        yield done, len(rows), {"part": name, "area": round(float(found.area[0]), 5), "effect": means, "flips": flips}


def mean(deltas: np.ndarray) -> float | None:
    """Return the mean change of the logit over donors; None where none had the part."""
    there = deltas[np.isfinite(deltas)]
    return round(float(there.mean()), 5) if len(there) else None
