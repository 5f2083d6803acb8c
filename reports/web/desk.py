"""From uploads to answers: decoded, framed, mapped in line, with their parts. Knows nothing of HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from reports.web.answers import Answer, answered, located
from reports.web.decoding import AHEAD, PROCESSES, Decoder
from reports.web.effects import measured
from reports.web.framing import frame
from reports.web.gate import Gate, Room, late
from reports.web.limits import Limits
from reports.web.line import Line
from reports.web.refusal import Refusal
from reports.web.served import Served
from reports.web.uploads import Upload
from xai.maps import mapped
from xai.probes.donors import Donor
from xai.regions.parts import Parts
from xai.regions.source import Source

COPIES = 2  # of a decoded image that are held: itself, and what is cut out of it
OTHERS = "others are having their parts measured; try again in a moment"
MINE = "parts are being measured for your address already; wait for their end"


class Desk:
    """Answers for uploads.

    Args:
        models: the models.
        limits: what is taken at most.
        source: of face parts; None for none.
        pools: model's name -> class -> faces that lend parts.
    """

    def __init__(
        self,
        models: Sequence[Served],
        limits: Limits,
        source: Source | None = None,
        pools: Mapping[str, Mapping[str, Sequence[Donor]]] | None = None,
    ) -> None:
        self.models = {served.name: served for served in models}
        self.limits, self.source, self.pools = limits, source, pools or {}
        self.decoder, self.line = Decoder(limits), Line(limits.waiting, limits.share)
        self.helpers = ThreadPoolExecutor(2, "whyfake-parts")
        self.gate, self.measuring = Gate(limits.waiting, limits.share), Gate(limits.effects, 1, OTHERS, MINE)
        self.decoding, self.room = Room(PROCESSES + AHEAD), Room(limits.held)

    def named(self, names: str) -> list[Served]:
        """Return the models that a request names, commas between; "" for all.

        Raises:
            Refusal: an unknown one.
        """
        asked = [name.strip() for name in names.split(",") if name.strip()]
        if unknown := [name for name in asked if name not in self.models]:
            raise Refusal(404, f"model '{unknown[0][:80]}' is not served; expected one of: {', '.join(self.models)}")
        return [self.models[name] for name in dict.fromkeys(asked)] if asked else list(self.models.values())

    def until(self) -> float:
        """Return when a request that begins now has taken too long, in `time.monotonic`'s seconds."""
        return time.monotonic() + self.limits.request_seconds

    @contextmanager
    def opened(self, upload: Upload, until: float) -> Iterator[np.ndarray]:
        """Give an upload's pixels, uint8 `(h, w, 3)`, RGB, for which there is room only so long.

        Raises:
            Refusal: it cannot be read, or there was no room for it until then.
        """
        if upload.reason:
            raise Refusal(422, upload.reason)
        if time.monotonic() > until:
            raise late()
        with ExitStack() as stack:
            with self.decoding.held(1, until):
                image = self.decoder(upload.content)
                stack.enter_context(self.room.held(COPIES * image.nbytes, until))
            yield image

    def predict(self, image: np.ndarray, served: Served, owner: str) -> Answer:
        """Return what a model says, without maps.

        Raises:
            Refusal: the image does not fit, or the line is full.
        """
        view = frame(image, served.detector.preprocessing)
        inputs = served.detector.preprocessing.prepare(view.pixels)

        def work(images: list[np.ndarray]) -> Sequence[float]:
            found: list[float] = served.detector.logits(np.stack(images)).tolist()
            return found

        logit = self.wait(self.line.ask((served.name, "logits"), inputs, work, served.together, owner))
        return Answer(served, view, float(logit))

    def explain(self, image: np.ndarray, served: Served, owner: str, layers: str = "", methods: str = "") -> Answer:
        """Return what a model says and where it looks.

        Raises:
            Refusal: the image does not fit, or the line is full.
            WhyfakeError: an unknown layer or method.
        """
        view = frame(image, served.detector.preprocessing)
        chosen, named = served.chosen(layers, methods)
        inputs = served.detector.preprocessing.prepare(view.pixels)

        def work(images: list[np.ndarray]) -> Sequence[tuple[mapped.Mapped, int]]:
            found = mapped.compute(served.detector, np.stack(images), chosen, named)
            return [(found, place) for place in range(len(images))]

        waiting = self.line.ask((served.name, chosen, named), inputs, work, served.together, owner)
        parts = self.helpers.submit(located, self.source, view)  # while the network is busy
        found, place = self.wait(waiting)
        return answered(served, view, found, place, chosen, named, parts.result())

    def effects(self, upload: Upload, served: Served, owner: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield how many parts are done, of how many, and what changing the last one does to the logit; the first at once.

        Raises:
            Refusal: the image does not fit, there is no face, or too many measure already.
        """
        with self.measuring.inside(owner), self.gate.inside(owner), self.opened(upload, self.until()) as image:
            view = frame(image, served.detector.preprocessing)
            parts = located(self.source, view)
            if not isinstance(parts, Parts):
                raise Refusal(422, parts)
            yield from measured(served, view, parts, self.pools.get(served.name, {}), self.line, self.wait)

    def wait(self, future: Future) -> Any:
        """Return the result of a wish; 503 when it takes too long."""
        try:
            return future.result(self.limits.patience)
        except Late:
            future.cancel()
            raise Refusal(503, f"no answer within {self.limits.patience:.0f} s; try again in a moment", 10) from None

    def close(self) -> None:
        """End threads and processes, when what is in line is done."""
        self.line.close()
        self.helpers.shutdown()
        self.decoder.close()
