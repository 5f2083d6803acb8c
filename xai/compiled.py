"""Compiled passes of a detector, kept for the next batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

PASSES = 32  # that are kept: a server may be asked for ever others


class Compiled(OrderedDict[Any, Callable[..., Any]]):
    """Compiled passes by what they compute; the one that was not used for the longest time goes when there are too many."""

    def __getitem__(self, key: Any) -> Callable[..., Any]:
        self.move_to_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Callable[..., Any]) -> None:
        super().__setitem__(key, value)
        while len(self) > PASSES:
            self.popitem(last=False)
