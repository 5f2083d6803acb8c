"""The Ray engine: one function of one part, run by many processes on one machine or on many.

Ray Data's actor pool does the scheduling, moves work away from machines that die and starts processes
again. What is added here: a part that keeps killing its process is given up after a few attempts (Ray
alone would try for ever), each part is counted once, and what the user can mend comes as one line.
"""

from __future__ import annotations

import pickle
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from xai.engine.desk import actor_class, one_line
from xai.engine.session import connected, load
from xai.errors import RunError
from xai.version import VERSION

T = TypeVar("T")
R = TypeVar("R")

FEW = 4  # parts a process, up to which none is handed out before a process is free for it: another may be idle


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part that has no result.

    Args:
        reason: why, on one line.
    """

    reason: str


def run(
    opening: Callable[[], Callable[[T], R]],
    parts: Sequence[T],
    *,
    address: str | None = None,
    actors: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    marks: Path | None = None,
    attempts: int = 3,
) -> Iterator[tuple[int, R | Trouble]]:
    """Run a function over parts on Ray and yield its results as they come, each part exactly once.

    Every process (actor) calls `opening()` once and its result for one part after another. A part may be
    worked on more than once when a machine dies: whatever it writes must be the same each time.

    Args:
        opening: makes the function, say by loading a model; pickled, as are the parts and the results.
        parts: what the function takes, one at a time.
        address: of a running cluster: "auto", "host:6379" or "ray://host:10001"; None starts Ray on this
            machine and stops it at the end, unless this process is connected to one already.
        actors: how many processes; None as many as the cluster has room for now.
        cpus: CPU cores for each, which is also how many threads TensorFlow, OpenMP and OpenCV get.
        gpus: GPUs for each; 0.25 lets four share one.
        marks: a folder that all machines see, where a process notes what it is about to work on; None a
            temporary one on this machine.
        attempts: times that a part may take its process (or machine) down with it before it is given up.

    Yields:
        `(number, result)`: the part's place in `parts`, and what the function returned or a `Trouble`.

    Raises:
        RunError: Ray is missing or out of reach, no machine has room for an actor, the function cannot be
            made, or a machine lacks whyfake or does not see `marks`.
        WhyfakeError: raised by the function; it ends the run.

    Example:
        >>> squares = run(lambda: lambda part: part**2, [3, 4, 5])  # doctest: +SKIP
        >>> sorted(squares)  # doctest: +SKIP
        [(0, 9), (1, 16), (2, 25)]
    """
    if not parts:
        return
    _check(cpus, gpus, actors, attempts)
    ray = load()
    left = {number: ray.cloudpickle.dumps(part) for number, part in enumerate(parts)}
    with _folder(marks) as folder, connected(ray, address, sum(map(len, left.values()))):
        actor = actor_class(ray.cloudpickle.dumps(opening), str(folder), attempts, VERSION)
        room = _room(ray.nodes(), cpus, gpus)
        for _ in range(attempts):
            for number, kind, body in _answers(ray, actor, left, actors or room, cpus, gpus):
                if kind == "halt":
                    raise RunError(body.decode())
                if kind == "raised":
                    raise pickle.loads(body)
                if left.pop(number, None) is not None:  # Ray repeats a part whose result died with its machine
                    yield number, pickle.loads(body) if kind == "done" else Trouble(body.decode())
            if not left:
                return
        for number in left:
            yield number, Trouble(f"Ray lost its result {attempts} times")


def _check(cpus: float, gpus: float, actors: int | None, attempts: int) -> None:
    """Complain about numbers that Ray cannot work with."""
    if cpus <= 0:
        raise RunError(f"an actor needs CPUs: expected more than 0, got {cpus:g}")
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise RunError(f"an actor gets a share of a GPU, such as 0.25, or a whole number of them, got {gpus:g}")
    if (actors is not None and actors < 1) or attempts < 1:
        raise RunError(f"expected at least 1 actor and 1 attempt, got {actors} and {attempts}")


def _room(nodes: Sequence[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """Return how many actors the machines of a cluster have room for.

    Raises:
        RunError: for none; Ray would wait for ever.

    Example:
        >>> _room([{"Alive": True, "Resources": {"CPU": 8, "GPU": 1}}], 1, 0.25)
        4
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    total = 0
    for machine in machines:
        fits = int(machine.get("CPU", 0) / cpus + 1e-9)
        if gpus:
            cards = machine.get("GPU", 0)
            fits = min(fits, int(cards / gpus) if gpus >= 1 else int(cards) * int(1 / gpus + 1e-9))
        total += fits
    if not total:
        has = ", ".join(sorted({f"{machine.get('CPU', 0):g} CPUs and {machine.get('GPU', 0):g} GPUs" for machine in machines}))
        raise RunError(f"no machine has room for an actor of {cpus:g} CPUs and {gpus:g} GPUs; they have {has}: give an actor less")
    return total


def _answers(ray: Any, *arguments: Any) -> Iterator[tuple[int, str, bytes]]:
    """Yield what `_stream` does, made here or, where Ray Data cannot work (outside of the cluster, ray://), in it."""
    if not ray.util.client.ray.is_connected():
        yield from _stream(ray, *arguments)
        return
    relay = ray.remote(num_cpus=0)(Relay).remote(*arguments)
    try:
        while (answer := ray.get(relay.answer.remote())) is not None:
            yield answer
    except (ray.exceptions.RayError, ConnectionError) as error:
        cause = getattr(error, "cause", error)
        raise cause if isinstance(cause, RunError) else RunError(f"Ray stopped: {one_line(error)}") from None


class Relay:
    """Runs a stream of answers on a machine of the cluster and hands them on one at a time."""

    def __init__(self, *arguments: Any) -> None:
        self.answers = _stream(load(), *arguments)

    def answer(self) -> tuple[int, str, bytes] | None:
        """Return the next answer, None after the last."""
        return next(self.answers, None)


def _stream(ray: Any, actor: type, parts: Mapping[int, bytes], most: int, cpus: float, gpus: float) -> Iterator[tuple[int, str, bytes]]:
    """Yield (number, kind, body) as the actors answer."""
    rows = [{"number": number, "part": part} for number, part in parts.items()]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))  # a block is what Ray hands out and repeats
    data.context.enable_progress_bars = data.context.print_on_execution_start = False
    most = min(most, len(rows))
    ahead = 1 if len(rows) <= FEW * most else 2  # with many, one waits beside the one under work, so that no process idles
    pool = ray.data.ActorPoolStrategy(min_size=1, initial_size=most, max_size=most, max_tasks_in_flight_per_actor=ahead)
    answers = data.map(actor, compute=pool, num_cpus=cpus, num_gpus=gpus or None, runtime_env={"env_vars": _share(cpus, gpus)})
    try:
        for table in answers.iter_batches(batch_size=1, prefetch_batches=0, batch_format="pyarrow"):
            (row,) = table.to_pylist()
            yield row["number"], row["kind"], row["body"]
    except Exception as error:
        raise RunError(f"Ray stopped: {one_line(error)}") from None


def _share(cpus: float, gpus: float) -> dict[str, str]:
    """Return the environment in which an actor's libraries keep to its CPUs and GPUs, so that actors do not fight.

    Example:
        >>> _share(2.5, 0)["OMP_NUM_THREADS"]
        '2'
    """
    names = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS OPENCV_FOR_THREADS_NUM TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS"
    threads = dict.fromkeys(names.split(), str(max(1, int(cpus))))
    # TensorFlow takes all memory of all GPUs that it sees: with a share of one it must not, without one it must see none
    return threads | ({"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if gpus else {"CUDA_VISIBLE_DEVICES": "-1"})


@contextmanager
def _folder(marks: Path | None) -> Iterator[Path]:
    """Give a new folder for the marks of one run; those of a run that was killed are removed."""
    base = Path(marks) if marks else Path(tempfile.mkdtemp(prefix="whyfake-"))
    folder = base.resolve() / f"ray-{secrets.token_hex(4)}"
    try:
        for old in base.glob("ray-*"):
            shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"'{base}' cannot be written: {error.strerror}; give another --out") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # something else is in it
            base.rmdir()
