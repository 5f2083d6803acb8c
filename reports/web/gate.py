"""What is worked on at once: requests, and the memory of the images they hold."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from reports.web.refusal import Refusal

FULL = "too many requests are being answered; try again in a moment"
YOURS = "too many requests from your address are being answered; wait for their answers"


class Gate:
    """Lets so many in at once, and turns the others away.

    Args:
        most: at once.
        share: of them one owner's.
        full, yours: what is said to those turned away for either.
    """

    def __init__(self, most: int, share: int, full: str = FULL, yours: str = YOURS) -> None:
        self.most, self.share, self.full, self.yours = most, share, full, yours
        self.owners: Counter[str] = Counter()
        self.lock = threading.Lock()

    @contextmanager
    def inside(self, owner: str) -> Iterator[None]:
        """Be inside.

        Raises:
            Refusal: 503 when it is full, 429 when the owner's share is.
        """
        with self.lock:
            if self.owners.total() >= self.most:
                raise Refusal(503, self.full, 2)
            if self.owners[owner] >= self.share:
                raise Refusal(429, self.yours, 2)
            self.owners[owner] += 1
        try:
            yield
        finally:
            with self.lock:
                self.owners[owner] -= 1
                self.owners += Counter()  # forgets who is not inside any more


class Room:
    """So much of something, which several share; who finds too little left waits.

    Args:
        whole: all of it.
    """

    def __init__(self, whole: int) -> None:
        self.left = self.whole = whole
        self.change = threading.Condition()

    @contextmanager
    def held(self, size: int, until: float) -> Iterator[None]:
        """Hold some of it; who wants more than all of it gets all of it.

        Args:
            size: how much.
            until: when to give up, in `time.monotonic`'s seconds.

        Raises:
            Refusal: 503, there was not enough until then.
        """
        size = min(size, self.whole)
        with self.change:
            if not self.change.wait_for(lambda: self.left >= size, max(0.0, until - time.monotonic())):
                raise late()
            self.left -= size
        try:
            yield
        finally:
            with self.change:
                self.left += size
                self.change.notify_all()


def late() -> Refusal:
    """Return what is said of an image whose request has taken too long."""
    return Refusal(503, "the request took too long; send fewer images at once, or try again in a moment", 10)
