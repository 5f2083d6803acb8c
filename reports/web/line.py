"""Images that wait for the network: a bounded line, one thread that serves it, several at once where they want the same."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from reports.web.refusal import Refusal

CLOSING = "the server is stopping; try again in a moment"
FULL = "too many images are waiting; try again in a moment"
TURNS = 8  # passes after which one that gives way to all others has its turn
YOURS = "too many images from your address are waiting; wait for their answers"


@dataclass(slots=True, eq=False)
class Wish:
    """Something the network is to do.

    Args:
        key: wishes of equal keys are done together.
        value: what it is to be done to.
        work: takes the values of several wishes and returns as many results.
        most: values at once.
        owner: whose it is; "" for one that gives way to all others and is not counted.
    """

    key: Hashable
    value: Any
    work: Callable[[list[Any]], Sequence[Any]]
    most: int
    owner: str
    result: Future = field(default_factory=Future)


class Line:
    """One thread that uses the network, and who waits for it.

    Args:
        waiting: wishes that may wait; more are refused.
        share: of them that may be one owner's.
    """

    def __init__(self, waiting: int, share: int) -> None:
        self.waiting, self.share = waiting, share
        self.first: deque[Wish] = deque()
        self.later: deque[Wish] = deque()
        self.owners: Counter[str] = Counter()
        self.change = threading.Condition()
        self.closed = False
        self.turns = 0  # passes since one of `later`
        self.thread = threading.Thread(target=self._serve, name="whyfake-network", daemon=True)
        self.thread.start()

    def __len__(self) -> int:
        return len(self.first)

    def ask(self, key: Hashable, value: Any, work: Callable[[list[Any]], Sequence[Any]], most: int, owner: str) -> Future:
        """Wait in line; arguments as in `Wish`.

        Raises:
            Refusal: 503 when the line is full or closed, 429 when the owner's share is.
        """
        wish = Wish(key, value, work, most, owner)
        with self.change:
            if self.closed:
                raise Refusal(503, CLOSING, 5)
            if owner:
                if len(self.first) >= self.waiting:
                    raise Refusal(503, FULL, 2)
                if self.owners[owner] >= self.share:
                    raise Refusal(429, YOURS, 2)
                self.owners[owner] += 1
                self.first.append(wish)
            else:
                self.later.append(wish)
            self.change.notify()
        return wish.result

    def close(self) -> None:
        """Take no more wishes, refuse those in line, and end when what is being done is done."""
        with self.change:
            self.closed = True
            left = [*self.first, *self.later]
            for waiting in (self.first, self.later, self.owners):
                waiting.clear()
            self.change.notify()
        for wish in left:
            if wish.result.set_running_or_notify_cancel():
                wish.result.set_exception(Refusal(503, CLOSING, 5))
        self.thread.join()

    def _serve(self) -> None:
        """Do what is wished for, until the line is closed and empty."""
        while True:
            with self.change:
                self.change.wait_for(lambda: self.first or self.later or self.closed)
                if not (self.first or self.later):
                    return
                some = self._next()
            self._do(some)

    def _next(self) -> list[Wish]:
        """Take the wish that waits longest, and those that can be done with it."""
        line = self.later if self.later and (not self.first or self.turns >= TURNS) else self.first
        self.turns = 0 if line is self.later else self.turns + 1
        leader = line[0]
        some = [wish for wish in line if wish.key == leader.key][: leader.most]
        for wish in some:
            line.remove(wish)
            if wish.owner:
                self.owners[wish.owner] -= 1
                if not self.owners[wish.owner]:
                    del self.owners[wish.owner]
        return some

    def _do(self, some: list[Wish]) -> None:
        """Do some wishes together."""
        some = [wish for wish in some if wish.result.set_running_or_notify_cancel()]
        if not some:
            return
        try:
            found = some[0].work([wish.value for wish in some])
        except BaseException as error:  # whoever waits is told; the thread goes on
            for wish in some:
                wish.result.set_exception(error)
        else:
            for wish, result in zip(some, found, strict=True):
                wish.result.set_result(result)
