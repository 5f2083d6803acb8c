"""Uploads are decoded in processes of their own, which a hostile file may fill or hang without harm."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from contextlib import suppress
from typing import Any

import numpy as np

from reports.web.limits import Limits
from reports.web.refusal import Refusal
from xai.errors import ImageError
from xai.images import decode

PROCESSES = 2
AHEAD = 2  # images that wait for a process
PATIENCE = 4  # times the limit of one image: so long those before it may take
LIFE = 1000  # images after which a process is replaced: decoders written in C may leak


class Decoder:
    """Decodes uploads, a few at once.

    Args:
        limits: bounds in bytes, pixels and seconds.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.lock = threading.Lock()
        self.pool = self.start()
        for future in [self.pool.schedule(ping) for _ in range(PROCESSES)]:  # now, so that the first upload need not wait for them
            future.result()

    def start(self) -> Any:
        """Return new processes."""
        from pebble import ProcessPool

        # Not by fork: TensorFlow's threads hold locks that a forked process would wait for.
        spawn: Any = multiprocessing.get_context("spawn")
        return ProcessPool(max_workers=PROCESSES, max_tasks=LIFE, context=spawn, initializer=settle, initargs=(self.limits.memory,))

    def renew(self, broken: Any) -> None:
        """Replace processes that can no longer be used: the system may end one that is idle, or refuse to start another."""
        with self.lock:
            if self.pool is broken:
                self.pool = self.start()
                broken.stop()

    def __call__(self, content: bytes) -> np.ndarray:
        """Return the pixels of an upload, uint8 `(h, w, 3)`, RGB.

        Raises:
            Refusal: it is no image, too large, or takes too long; 503 where the processes cannot be started.
        """
        if len(content) > self.limits.file_bytes:
            raise Refusal(413, f"the file has {len(content) / 1e6:,.0f} MB; at most {self.limits.file_bytes / 1e6:,.0f} are taken")
        for _ in range(2):
            pool, future = self.pool, None
            try:
                future = pool.schedule(decoded, args=(content, self.limits.pixels, self.limits.side), timeout=self.limits.seconds)
                shape, pixels = future.result(PATIENCE * self.limits.seconds)
                return np.frombuffer(pixels, np.uint8).reshape(shape)
            except ImageError as error:
                raise Refusal(422, str(error)) from None
            except TimeoutError:
                if future is not None and future.done():
                    raise Refusal(422, f"decoding it took more than {self.limits.seconds:.0f} s; save it again as PNG or JPEG") from None
                self.renew(pool)  # not even its end was told
            except Exception:  # the process died, whatever the file did to it
                if pool.active:
                    raise Refusal(422, "decoding it broke the decoder; save it again as PNG or JPEG") from None
                self.renew(pool)
        raise Refusal(503, "the decoder is starting again; try again in a moment", 5)

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
