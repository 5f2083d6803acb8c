"""Several processes that train one model: a step on slices of each global batch, and what has to be said between them."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from train import checkpoint, step, tfconfig
from train.loop import Alone, Plan, readable
from train.options import Options
from train.pipeline import Feed, Part, feed, span
from xai.backend import silenced
from xai.errors import RunError, WhyfakeError
from xai.version import VERSION

CHUNK = 1 << 22  # numbers sent at once


class Done(SystemExit):
    """A worker that is not the chief has done its part: the chief alone has results.

    Unless caught it ends the process with status 0.
    """

    def __init__(self) -> None:
        super().__init__(0)


def crew(options: Options, say: Callable[[str], None] = lambda line: None) -> Alone | Team:
    """Return who trains: this process alone, or a team that has met.

    Args:
        options: of the training; `devices` decides.
        say: told for whom one waits.

    Raises:
        WhyfakeError: as `Team`; or the batches are too small for all, or the precision is not for them.
    """
    if options.devices != "workers":
        return Alone(options.devices)
    if options.precision == "mixed_float16":
        # each worker would see on its own slice alone whether a gradient overflowed, and skip steps that others take
        raise WhyfakeError("--precision mixed_float16 is not for workers; expected mixed_bfloat16 or float32")
    team = Team(say)
    if options.batch_size < team.replicas:
        raise WhyfakeError(
            f"a batch of {options.batch_size} for all together leaves some of {team.replicas} devices without images; give a larger --batch-size"
        )
    return team


class Team:
    """Processes, one a machine as a rule, that train one model together: `tf.distribute.MultiWorkerMirroredStrategy`.

    Its methods are those of `train.loop.Alone`, and the epochs of `train.loop.run` are the
    same: the same global batches in the same order, each process with its slices of them,
    the gradient that of the mean over the whole global batch, however uneven the slices.
    Dropout draws for the global batch, batch normalisation takes the global batch's
    moments, and augmentation is seeded by an image's place among all: what one process
    would compute, but for the order of sums.

    Keras' own `fit` fails under this strategy (keras issue 20585), hence `train.step`. Metrics are
    local; their states, all of them sums, are added up at the end of an epoch, and all processes
    take the chief's row of the history, so that they decide alike.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Meet the others that TF_CONFIG names.

        Args:
            say: told for whom one waits.

        Raises:
            WhyfakeError: TF_CONFIG is wrong, the port is taken, others do not come or differ,
                or TensorFlow has been used before in this process.
        """
        self.seat = tfconfig.seat()
        seconds = tfconfig.patience()
        import keras
        import tensorflow as tf

        facts = {"whyfake": VERSION, "TensorFlow": tf.__version__, "Keras": keras.__version__}
        facts["GPUs"] = len(tf.config.list_physical_devices("GPU"))
        tfconfig.meet(self.seat, facts, seconds, say)
        try:
            with tfconfig.bounded(seconds, "a worker was lost while all started; start the same command on all machines again"), silenced():
                self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (RuntimeError, ValueError) as error:
            raise WhyfakeError(f"workers have to meet before TensorFlow is used in a process ({error}); 'whyfake train' sees to that") from None
        except tf.errors.OpError as error:
            raise WhyfakeError(f"the workers could not connect: {' '.join(error.message.split())[:200]}") from None
        self.chief = self.seat.chief
        self.workers = len(self.seat.addresses)
        self.replicas = self.strategy.num_replicas_in_sync
        local = self.replicas // self.workers
        self.part = Part(self.seat.index * local, local, self.replicas)
        self.epoch = 0
        self.slices = threading.local()  # of the replica that is being traced: local replicas are traced in threads
        self.compiled: tuple[Any, dict[str, Any]] | None = None
        self.aligned: Any = None
        self.adder: Any = None

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Make variables, alike in all processes, for the time of a `with`."""
        with self.together(), self.strategy.scope():
            yield

    def finish(self, say: Callable[[str], None]) -> None:
        """End what is not the chief.

        Raises:
            Done: this is not the chief.
        """
        if not self.chief:
            say(f"{self.seat.name(self.seat.index)} is done; {self.seat.name(0)} writes the results")
            raise Done

    def feed(self, manifest: Any, preprocessing: Any, batch_size: int, **more: Any) -> Feed:
        """Return `train.pipeline.feed` of what all can read: an image that one cannot would shift the places of the rest.

        Every process reads its share of the files for that, once.

        Raises:
            WhyfakeError: none of them can be read.
        """
        share = replace(manifest, rows=manifest.rows[self.seat.index :: self.workers])
        source = feed(share, preprocessing, batch_size)
        if share.rows:
            for _ in source.epoch():
                pass
        found = [json.loads(self.told(json.dumps(source.skipped).encode(), by)) for by in range(self.workers)]
        skipped = {path: reason for one in found for path, reason in one.items()}
        left = replace(manifest, rows=tuple(row for row in manifest.rows if row.path not in skipped))
        source = feed(left, preprocessing, batch_size, **more)
        source.count = len(manifest.rows)
        source.skipped |= skipped
        readable(source)
        return source

    def begin(self, out: Path, key: str, resume: bool) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]] | None:
        """Return the state to go on from, which the chief alone has on its disk, or None.

        Raises:
            checkpoint.Finished: on the chief, what should go on is over.
            Done: the same, on the others.
            RunError: the chief's state is damaged or of another training.
            WhyfakeError: workers see other data or other options than the chief.
        """
        state, error, card = None, "", None
        if self.chief:
            try:
                state = checkpoint.load(out, key) if resume else None
            except checkpoint.Finished as done:
                card = done.card
            except RunError as found:
                error = str(found)
            if not resume:
                checkpoint.remove(out)
        said = json.loads(self.told(json.dumps([key, error, state is not None, card is not None]).encode()))
        differs = np.zeros(self.workers, np.float32)
        differs[self.seat.index] = said[0] != key
        others = [self.seat.name(int(index)) for index in np.flatnonzero(self.summed(differs))]
        if others:
            raise WhyfakeError(
                f"{', '.join(others)} got other data or other options than {self.seat.name(0)}; the same files and the same command are needed"
            )
        if said[1]:
            raise RunError(said[1])
        if said[3]:
            raise checkpoint.Finished(card) if card else Done
        if not said[2]:
            return None
        data = self.told((out / checkpoint.NAME).read_bytes() if self.chief else b"")
        if self.chief:
            return state
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / checkpoint.NAME).write_bytes(data)
            return checkpoint.load(Path(folder), key)

    def train(self, model: Any, source: Feed, epoch: int, plan: Plan, tick: Callable[[], None]) -> dict[str, float]:
        """Train one epoch, as Keras' `fit` would; returns the loss and the metrics by name."""
        self.epoch = epoch
        counters = step.counters(model)
        before = [np.asarray(counter) for counter in counters]
        row = self.each(model, source, plan, "train", epoch, tick)
        steps = -(-int(source.order.cardinality()) // source.batch_size)
        for counter, start in zip(counters, before, strict=True):
            # Keras' fit tries a step more, finds no images and ends; Adam's counter and dropout's seeds have not waited for any
            now = np.asarray(counter)
            counter.assign(now + (now - start) // steps)
        return row

    def measure(self, model: Any, source: Feed, plan: Plan) -> dict[str, float]:
        """Measure on all batches, as Keras' `evaluate` would; returns the loss and the metrics by name."""
        return self.each(model, source, plan, "measure", 0, lambda: None)

    def each(self, model: Any, source: Feed, plan: Plan, what: str, epoch: int, tick: Callable[[], None]) -> dict[str, float]:
        """Run a step on every batch and return what all processes found together."""
        import tensorflow as tf

        data = source.epoch(epoch, self.part)
        if self.compiled is None or self.compiled[0] is not model.optimizer:
            if self.aligned is not model:
                step.align(model, self.slices)
                self.aligned = model
            self.compiled = model.optimizer, step.build(model, plan, data.element_spec, self.strategy, self.part, self.slices)
        one, metrics = self.compiled[1][what]
        for metric in metrics:
            metric.reset_state()
        with self.together():
            batches = iter(data)
            images = int(source.order.cardinality())
            for before in range(0, images, source.batch_size):
                size = min(source.batch_size, images - before)
                slices = self.part.slices(size)
                start, stop = span(slices)
                batch = step.joined(batches, stop - start)
                if batch is None or len(batch[0]) < stop - start:
                    raise WhyfakeError(f"an image that could be read before cannot be now; {': '.join([*source.skipped.items()][-1])}")
                one(*batch, tf.constant(slices), tf.constant(size))
                tick()
            next(batches, None)  # to the end, or what was decoded would not be kept
            states = [variable.numpy() for metric in metrics for variable in metric.variables]
            total = self.summed(np.concatenate([np.ravel(state) for state in states]))
        for variable, value in zip((v for metric in metrics for v in metric.variables), step.parts(total, states), strict=True):
            variable.assign(value)
        row = {metric.name: float(metric.result()) for metric in sorted(metrics, key=lambda metric: metric.name)}  # as Keras orders them
        return dict(json.loads(self.told(json.dumps(row).encode())))  # the chief's, lest the last bit parts the ways

    def told(self, data: bytes, by: int = 0) -> bytes:
        """Return the bytes that one process, the chief unless said otherwise, hands to all.

        They travel as sums with zeros: what `tf.distribute` offers everywhere, exact for 16 bits a number.
        """
        mine = self.seat.index == by
        high, low = self.summed(np.array(divmod(len(data), 1 << 20) if mine else (0, 0), np.float32)).tolist()
        size = (int(high) << 20) + int(low)
        words = np.zeros(-(-size // 2), np.float32)
        if mine:
            words[:] = np.frombuffer(data + b"\0" * (size % 2), "<u2")
        return self.summed(words).astype("<u2").tobytes()[:size]

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Add up a vector over all processes: float32 `(n,)`, as long in all of them."""
        import tensorflow as tf

        if self.adder is None:

            @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)], autograph=False)
            def add(vector: Any) -> Any:
                def once(vector: Any) -> Any:
                    own = tf.identity(vector) if step.number(self.part) == 0 else tf.zeros_like(vector)  # a process counts once, not once a replica
                    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

                return self.strategy.experimental_local_results(self.strategy.run(once, args=(vector,)))[0]

            self.adder = add
        with self.together():
            pieces = [self.adder(tf.constant(values[at : at + CHUNK], tf.float32)).numpy() for at in range(0, len(values), CHUNK)]
        return np.concatenate([np.zeros(0, np.float32), *pieces])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Say in one line that a worker was lost, which TensorFlow notices within seconds.

        Raises:
            WhyfakeError: so it was.
        """
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            lost = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError, tf.errors.CancelledError)
            if not isinstance(error, lost) and "Collective ops is aborted" not in error.message:
                raise
            after = f"with --resume: training goes on after epoch {self.epoch}" if self.epoch else "again"
            raise WhyfakeError(f"a worker was lost; start the same command on all machines {after}") from None
