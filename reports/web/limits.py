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
        held: bytes of all decoded images at once; who finds no room waits.
        waiting: requests with images that are answered at once, and images that wait for the network; more are turned away.
        share: of either that may come from one address.
        effects: measurements of parts at once, one for an address.
        patience: seconds an image may wait for its answer.
        request_seconds: after which no further image of a request is begun.
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
    held: int = 1_000_000_000
    waiting: int = 64
    share: int = 48
    effects: int = 2
    patience: float = 60.0
    request_seconds: float = 120.0
    closing: float = 20.0
    unsure: tuple[float, float] = (0.4, 0.6)
