"""How the server is doing, for Prometheus and for a graceful stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.web.desk import Desk

KIND = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds


class Gauges:
    """Counts requests, images and who is waiting.

    Args:
        desk: whose line is looked at.
    """

    def __init__(self, desk: Desk) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        named: dict[str, Any] = {"registry": self.registry, "namespace": "whyfake"}
        self.requests = Counter("requests", "Requests by address and status.", ["endpoint", "status"], **named)
        self.seconds = Histogram("request_seconds", "Seconds until an answer began, by address.", ["endpoint"], buckets=BUCKETS, **named)
        self.answers = Counter("answers", "Answers given for an image by a model, and refusals.", ["outcome"], **named)
        Gauge("waiting_images", "Images that wait for the network.", **named).set_function(lambda: len(desk.line))
        self.lock = threading.Lock()
        self.running = 0
        self.stopping = False

    def begin(self) -> None:
        """Note a request that begins."""
        with self.lock:
            self.running += 1

    def over(self) -> None:
        """Note a request that is over, however it went."""
        with self.lock:
            self.running -= 1

    def end(self, endpoint: str, status: int, seconds: float) -> None:
        """Note an answer."""
        self.requests.labels(endpoint, str(status)).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def images(self, right: int, refused: int) -> None:
        """Note what became of a request's images."""
        self.answers.labels("answered").inc(right)
        self.answers.labels("refused").inc(refused)

    def text(self) -> bytes:
        """Return everything in Prometheus' format."""
        from prometheus_client import generate_latest

        found: bytes = generate_latest(self.registry)
        return found


def within(answer: Iterator[str], gauges: Gauges) -> Iterator[str]:
    """Yield a long answer, counted as running until its end."""
    gauges.begin()
    try:
        yield from answer
    finally:
        gauges.over()
