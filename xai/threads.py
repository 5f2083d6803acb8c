"""How many threads share one matrix product."""

from __future__ import annotations

from contextlib import AbstractContextManager


def alone() -> AbstractContextManager:
    """While it lasts, every matrix product of NumPy and SciPy keeps to the thread that asks for it.

    Ours are small, and several threads ask at once beside TensorFlow's own. Shared out, their halves wait for each other
    longer than they work: on two cores parts of a face cost an audit four times as much, and an upload page gave two
    thirds of the answers a second. Where products are large and nothing else works, leave it out.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
