"""Where the shards of an audit are made: in this process, or by many on Ray. Both run the same `Worker`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from xai.detector import Detector, load
from xai.engine.cluster import Trouble
from xai.engine.shard import Made, Worker
from xai.errors import ModelError, RunError
from xai.items import Item, Work, known

KINDS = ("local", "ray")
Results = Iterator[tuple[int, "Made | Trouble"]]


@dataclass(frozen=True, slots=True)
class Engine:
    """Where shards are made.

    Args:
        kind: "local" or "ray".
        address: of a running Ray cluster; None starts Ray on this machine.
        actors: processes; None as many as there is room for.
        cpus, gpus: of each process.
    """

    kind: str = "local"
    address: str | None = None
    actors: int | None = None
    cpus: float = 1
    gpus: float = 0

    def run(
        self, detector: Detector, work: Work, parts: Sequence[Sequence[Item]], out: Path, batch_size: int | None, progress: Callable[[int], object]
    ) -> Results:
        """Make a shard of each part.

        Args:
            detector: the detector.
            work: what to compute.
            parts: the images of each shard.
            out: the run directory; on Ray one that all machines see.
            batch_size: images a pass.
            progress: told how many more images are done.

        Yields:
            The number of the part and its shard, or why it could not be made.

        Raises:
            RunError: Ray cannot be used, or a full disk.
            ModelError: on Ray, a model that came from no file.
        """
        if self.kind == "local":
            worker = Worker(detector, work, out, batch_size)
            for number, part in enumerate(parts):
                yield number, worker(part, progress)
            return
        from xai.engine import cluster

        if not detector.path or detector.options is None:
            raise ModelError("on Ray every process loads the model from its file, and this one came from none; save it and give the file")
        opening = partial(open_worker, str(Path(detector.path).resolve()), detector.options, known(detector), work, out.resolve(), batch_size)
        for number, made in cluster.run(
            opening, parts, address=self.address, actors=self.actors, cpus=self.cpus, gpus=self.gpus, marks=out.resolve() / "shards" / ".attempts"
        ):
            if isinstance(made, Made) and not (out / "shards" / f"{made.name}.h5").exists():
                raise RunError(f"a shard was made on another machine and is not in '{out}' here; --out must be on a disk that all machines share")
            progress(len(parts[number]))
            yield number, made


LOCAL = Engine()


def open_worker(path: str, options: dict[str, Any], wanted: dict[str, Any], work: Work, out: Path, batch_size: int | None) -> Worker:
    """Load a model in a process of its own and return what makes its shards.

    Args:
        path: of the model.
        options: of `load`.
        wanted: what `known` said of the detector where the run was started.
        work, out, batch_size: as in `Worker`.

    Raises:
        RunError: the model is another one here.
    """
    from xai.backend import import_quietly

    import_quietly()
    detector = replace(load(path, **options), positive=wanted["positive"])
    detector = detector.stretch() if work.stretch else detector
    if known(detector) != wanted:
        raise RunError(f"'{path}' is another model on one of the machines; put the same file on all of them")
    return Worker(detector, work, out, batch_size)
