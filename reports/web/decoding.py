"""Uploads are decoded in processes of their own, which a hostile file may fill or hang without harm."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
from contextlib import suppress
from typing import Any

import numpy as np

from reports.web.limits import Limits
from reports.web.refusal import Refusal
from xai.errors import ImageError
from xai.images import decode

PROCESSES = 2
LIFE = 1000  # images after which a process is replaced: decoders written in C may leak


class Decoder:
    """Decodes uploads, a few at once.

    Args:
        limits: bounds in bytes, pixels and seconds.
    """

    def __init__(self, limits: Limits) -> None:
        from pebble import ProcessPool

        self.limits = limits
        # Not by fork: TensorFlow's threads hold locks that a forked process would wait for.
        spawn: Any = multiprocessing.get_context("spawn")
        self.pool = ProcessPool(max_workers=PROCESSES, max_tasks=LIFE, context=spawn, initializer=settle, initargs=(limits.memory,))
        self.ready()

    def ready(self) -> None:
        """Start the processes now, so that the first upload need not wait for them."""
        for future in [self.pool.schedule(ping) for _ in range(PROCESSES)]:
            future.result()

    def __call__(self, content: bytes) -> np.ndarray:
        """Return the pixels of an upload, uint8 `(h, w, 3)`, RGB.

        Raises:
            Refusal: it is no image, too large, or takes too long.
        """
        if len(content) > self.limits.file_bytes:
            raise Refusal(413, f"the file has {len(content) / 1e6:,.0f} MB; at most {self.limits.file_bytes / 1e6:,.0f} are taken")
        future = self.pool.schedule(decoded, args=(content, self.limits.pixels, self.limits.side), timeout=self.limits.seconds)
        try:
            shape, pixels = future.result()
        except ImageError as error:
            raise Refusal(422, str(error)) from None
        except (TimeoutError, concurrent.futures.TimeoutError):
            raise Refusal(422, f"decoding it took more than {self.limits.seconds:.0f} s; save it again as PNG or JPEG") from None
        except Exception:  # the process died, whatever the file did to it
            raise Refusal(422, "decoding it broke the decoder; save it again as PNG or JPEG") from None
        return np.frombuffer(pixels, np.uint8).reshape(shape)

    def close(self) -> None:
        """End the processes."""
        self.pool.stop()
        self.pool.join()


def settle(memory: int) -> None:
    """Prepare a decoding process: what it may take, and who ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C goes to the whole group; the server ends its processes itself
    with suppress(ImportError, ValueError, OSError):  # not every system can bound it
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def ping() -> bool:
    """Answer."""
    return True


def decoded(content: bytes, pixels: int, side: int) -> tuple[tuple[int, ...], bytes]:
    """Decode in this process; return shape and pixels."""
    image = decode(content, pixels=pixels, side=side)
    return image.shape, image.tobytes()
