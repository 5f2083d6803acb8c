"""What one of the Ray engine's processes (an actor) does: it makes the function once and answers for one part after another."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xai.errors import RunError, WhyfakeError, listed, readable
from xai.version import VERSION

SEEN = 5.0  # seconds until a folder made on one machine must be seen on the others


def actor_class(opening: bytes, folder: str, attempts: int, version: str) -> type:
    """Return the class of the actors; the arguments are those of `Desk`.

    It is sent as code and names nothing of ours outside its methods, so that it can say that whyfake is missing.
    """

    class Actor:
        def __init__(self) -> None:
            try:
                from xai.engine.desk import Desk

                self.answer = Desk(opening, folder, attempts, version).answer
            except ImportError as error:
                import socket

                from ray.util import get_node_ip_address

                where = f"machine {socket.gethostname()} ({get_node_ip_address()})"
                said = f"{where} has no whyfake {version} ({error}): install the same on all machines"
                self.answer = lambda number, part: ("halt", said.encode())

        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            kind, body = self.answer(row["number"], row["part"])
            return {"number": row["number"], "kind": kind, "body": body}

    return Actor


class Desk:
    """Makes a function and answers for parts; whatever goes wrong becomes an answer, never an exception.

    Before the function is made and before each part a mark is left in a folder, and removed afterwards:
    marks that are still there tell how often an attempt ended with the process.

    Args:
        opening: what makes the function, pickled.
        folder: where the marks go; the machine that started the run made it.
        attempts: how many marks end the trying.
        version: of whyfake on the machine that started the run.
    """

    def __init__(self, opening: bytes, folder: str, attempts: int, version: str) -> None:
        import ray

        self.folder, self.attempts = Path(folder), attempts
        self.host = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"
        self.work: Callable[[Any], Any] | None = None
        self.halted: tuple[str, bytes]
        try:
            if version != VERSION:
                raise RunError(f"machine {self.host} has whyfake {VERSION}, not {version}: install the same on all machines")
            self.see()
            name = f"opening-{ray.get_runtime_context().get_actor_id()}"  # the same when Ray starts the actor again
            mark = self.mark(name)
            if mark is None:
                raise RunError(f"loading the model killed its process {self.killed(name)}")
            self.work = pickle.loads(opening)()
            mark.unlink(missing_ok=True)
        except WhyfakeError as error:
            self.halted = raised(error)
        except (Exception, SystemExit) as error:
            self.halted = "halt", f"the model could not be loaded on machine {self.host}: {one_line(error)}".encode()

    def answer(self, number: int, part: bytes) -> tuple[str, bytes]:
        """Return what became of a pickled part.

        Returns:
            ("done", the pickled result), ("failed", a line for a `Trouble`), ("raised", a pickled error that ends
            the run) or ("halt", a line that ends it).
        """
        import ray.cloudpickle

        if self.work is None:
            return self.halted
        try:
            mark = self.mark(str(number))
            if mark is None:
                return "failed", f"killed its process {self.killed(str(number))}".encode()
            try:
                return "done", ray.cloudpickle.dumps(self.work(pickle.loads(part)))
            finally:
                mark.unlink(missing_ok=True)
        except WhyfakeError as error:
            return raised(error)
        except (Exception, SystemExit) as error:  # an actor that exits on purpose is not started again
            return "failed", one_line(error).encode()

    def see(self) -> None:
        """Wait until the folder of marks shows up on this machine.

        Raises:
            RunError: it does not.
        """
        until = time.monotonic() + SEEN
        while not self.folder.is_dir():
            if time.monotonic() > until:
                raise RunError(f"machine {self.host} does not see '{self.folder.parent}'; give an --out that all machines share")
            time.sleep(0.2)

    def mark(self, name: str) -> Path | None:
        """Note an attempt and return its file; None when all are used up.

        A file is made that must not exist yet: that holds on network file systems too, whose listings may be old.
        """
        for attempt in range(self.attempts):
            path = self.folder / f"{name}.{attempt}"
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(self.host)
                return path
            except FileExistsError:
                continue
            except OSError as error:
                raise RunError(f"'{path}' cannot be written on machine {self.host}: {error.strerror}") from None
        return None

    def killed(self, name: str) -> str:
        """Return how often and where attempts ended with the process."""
        hosts = {path.read_text(encoding="utf-8") for path in self.folder.glob(f"{name}.*")}
        return f"{self.attempts} times on {listed(sorted(hosts))}; too little memory is the usual cause"


def raised(error: WhyfakeError) -> tuple[str, bytes]:
    """Return the answer that brings an error of ours to the user: itself where it can be pickled, else its line."""
    try:
        body = pickle.dumps(error)
        pickle.loads(body)
    except Exception:
        return "halt", str(error).encode("utf-8", "backslashreplace")
    return "raised", body


def one_line(error: BaseException) -> str:
    """Return an exception as one line; of the tracebacks that Ray puts into its own the last.

    Example:
        >>> one_line(ValueError("no such layer\\nthe layers are ..."))
        'ValueError: no such layer'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = lines[-1 if type(error).__module__.startswith("ray.") else 0]
    return readable(f"{type(error).__name__}: {said}"[:300])
