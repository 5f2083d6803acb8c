"""A table held by columns that is read like a list of dicts: a million images fit, each as a few numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np


class Rows(Sequence[dict[str, Any]]):
    """Images and what is known of each, as columns.

    Args:
        columns: name -> array `(N,)`; text as objects.

    Example:
        >>> rows = Rows({"path": texts(["a", "b"]), "logit": np.array([1.0, -2.0])})
        >>> len(rows), rows[1], rows.column("logit").tolist()
        (2, {'path': 'b', 'logit': -2.0}, [1.0, -2.0])
        >>> [row["path"] for row in rows.where(rows.column("logit") > 0)]
        ['a']
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self.columns = dict(columns)
        lengths = {len(values) for values in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        self.length = lengths.pop() if lengths else 0

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Rows: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Rows:
        """Return one row as a dict of plain values, or some rows."""
        if isinstance(index, slice):
            return Rows({name: values[index] for name, values in self.columns.items()})
        return {name: plain(values[index]) for name, values in self.columns.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(self.length))

    def __contains__(self, name: object) -> bool:
        """Say whether there is such a column."""
        return name in self.columns

    def column(self, name: str) -> np.ndarray:
        """Return one column `(N,)`."""
        return self.columns[name]

    def where(self, chosen: np.ndarray) -> Rows:
        """Return some rows: bool `(N,)`, or their numbers in the order wanted."""
        return Rows({name: values[chosen] for name, values in self.columns.items()})

    def among(self, name: str, *values: str) -> np.ndarray:
        """Say per row whether a column has one of some values, bool `(N,)`."""
        return np.isin(self.columns[name].astype(str), values) if self.length else np.zeros(0, bool)

    def firsts(self, name: str) -> np.ndarray:
        """Return the numbers of the rows whose value in a column was not there before, in their order."""
        seen: dict[Any, int] = {}
        for place, value in enumerate(self.columns[name]):
            seen.setdefault(value, place)
        return np.fromiter(seen.values(), np.int64, len(seen))


def plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def texts(values: Iterable[str]) -> np.ndarray:
    """Return text as a column; equal values share their memory."""
    known: dict[str, str] = {}
    found = [known.setdefault(value, value) for value in values]
    column = np.empty(len(found), object)
    column[:] = found
    return column
