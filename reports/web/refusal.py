"""What the server says when it does not answer: a status of HTTP, a sentence, and when to come again."""

from __future__ import annotations

from xai.errors import WhyfakeError


class Refusal(WhyfakeError):
    """A request that is not answered.

    Args:
        status: of HTTP.
        reason: in one sentence, with what to do.
        again: seconds after which another try may do; None where it will not.
    """

    def __init__(self, status: int, reason: str, again: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.again = status, reason, again
