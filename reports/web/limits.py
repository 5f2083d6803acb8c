"""What the server takes at most; everything else is refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server.

    Args:
        file_bytes: of one image as it is sent.
        request_bytes: of a whole request.
        pixels: of one decoded image.
        side: pixels of its longer side.
        memory: bytes that a decoding process may take.
        seconds: to decode one image.
        images: of one request, and of what is in an archive.
        waiting: images that wait for the network; more are turned away.
        share: of them that may come from one address.
        effects: measurements of parts that run or wait.
        patience: seconds an image may wait for its answer.
        closing: seconds that answers in the making get when the server stops.
        unsure: probabilities of fake between which it says "not sure".
    """

    file_bytes: int = 20_000_000
    request_bytes: int = 64_000_000
    pixels: int = 40_000_000
    side: int = 20_000
    memory: int = 1_500_000_000
    seconds: float = 10.0
    images: int = 32
    waiting: int = 64
    share: int = 48
    effects: int = 2
    patience: float = 60.0
    closing: float = 20.0
    unsure: tuple[float, float] = (0.4, 0.6)
