"""A request's images, answered one after another; of each only the answers stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reports.web.desk import Desk
from reports.web.refusal import Refusal
from reports.web.served import Served
from reports.web.uploads import Upload
from xai.errors import WhyfakeError


class Asking:
    """What became of a request's images.

    Args:
        desk: opens uploads.
        served: the models that are asked.
        answer: what one of them says of an image, as JSON.
        until: when the request has taken too long, in `time.monotonic`'s seconds.
    """

    def __init__(self, desk: Desk, served: Sequence[Served], answer: Callable[[np.ndarray, Served], dict[str, Any]], until: float) -> None:
        self.desk, self.served, self.answer, self.until = desk, served, answer, until
        self.images: list[dict[str, Any]] = []
        self.refused: list[Refusal] = []
        self.right = 0

    def take(self, upload: Upload) -> None:
        """Answer for one upload; its pixels are gone afterwards, while the next one waits for room."""
        entry: dict[str, Any] = {"name": upload.name}
        self.images.append(entry)
        try:
            with self.desk.opened(upload, self.until) as image:
                entry |= {"width": image.shape[1], "height": image.shape[0], "answers": []}
                for served in self.served:
                    entry["answers"].append(self.ask(image, served))
        except Refusal as refusal:
            entry["error"] = self.refuse(refusal)

    def ask(self, image: np.ndarray, served: Served) -> dict[str, Any]:
        """Return what one model says of an image, or why it says nothing."""
        try:
            found = self.answer(image, served)
        except WhyfakeError as error:
            return {"model": served.name, "error": self.refuse(error)}
        self.right += 1
        return found

    def refuse(self, error: WhyfakeError) -> str:
        """Note a refusal, not the error itself: that would hold on to the pixels it was raised beside. Return the reason."""
        status, again = (error.status, error.again) if isinstance(error, Refusal) else (400, None)
        self.refused.append(Refusal(status, str(error), again))
        return str(error)
