"""The epochs of a training: fit, average, validate, keep the best, remember everything."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from train import calibrated, checkpoint
from train.distribute import mirrored
from train.pipeline import Feed, feed
from xai import store
from xai.errors import WhyfakeError
from xai.progress import bar

Say = Callable[[str], None]
CALIBRATED = "val_calibrated_loss"


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs with one optimizer.

    Args:
        until: the epoch (from 1) after which the next phase starts.
        learning_rate: of Adam.
        prepare: called with the model before it is compiled, to freeze or free layers.
    """

    until: int
    learning_rate: float
    prepare: Callable[[Any], None] = lambda model: None


@dataclass(slots=True)
class Progress:
    """Where a training is.

    Args:
        epoch: epochs done.
        rows: the history, one a done epoch.
        lowest: criterion so far.
        waited: epochs since then.
        phase: the phase that runs, from 0.
    """

    epoch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    lowest: float = float("inf")
    waited: int = 0
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How the epochs run.

    Args:
        phases: one after the other; each stops by itself when its patience is out.
        patience: epochs without a better validation loss (`criterion`).
        momentum: of the weights' moving average, 0 for none.
        loss: a Keras loss.
        metrics: Keras metrics by name.
        calibrated: choose by the loss at the best temperature (a detector), not by the loss itself.
        class_weights: index of the class -> weight, None for all alike.
        key: identity of the training, for resuming.
        keep: whether a state for resuming is written after every epoch.
        enough: validation loss (`criterion`) from which down nothing is left to learn: the training ends.
    """

    phases: Sequence[Phase]
    patience: int
    momentum: float
    loss: str
    metrics: tuple[str, ...] = ("accuracy",)
    calibrated: bool = True
    class_weights: dict[int, float] | None = None
    key: str = ""
    keep: bool = True
    enough: float = -1.0


class Alone:
    """A process that trains by itself: Keras' own `fit` and `evaluate`.

    `train.team.Team` has the same methods for several processes, so that the epochs are the same.

    Args:
        devices: "one" or "all" of this machine.
    """

    chief = True  # writes files
    feed = staticmethod(feed)

    def __init__(self, devices: str = "one") -> None:
        self.strategy = mirrored() if devices == "all" else None

    def scope(self) -> Any:
        """Return the context in which variables are made."""
        return self.strategy.scope() if self.strategy else nullcontext()

    def begin(self, out: Path, key: str, resume: bool) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]] | None:
        """Return the state to go on from, None for the start."""
        if resume:
            return checkpoint.load(out, key)
        checkpoint.remove(out)
        return None

    def train(self, model: Any, source: Feed, epoch: int, plan: Plan, tick: Callable[[], None]) -> dict[str, float]:
        """Train one epoch; returns the loss and the metrics by name.

        Args:
            model: compiled.
            source: of the batches.
            epoch: from 0.
            plan: how.
            tick: called after every step.
        """
        import keras

        watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: tick())
        found = model.fit(source.epoch(epoch), verbose=0, shuffle=False, class_weight=plan.class_weights, callbacks=[watch])
        return {name: float(values[-1]) for name, values in found.history.items()}

    def measure(self, model: Any, source: Feed, plan: Plan) -> dict[str, float]:
        """Return the loss and the metrics of all batches by name."""
        return {name: float(value) for name, value in model.evaluate(source.epoch(), verbose=0, return_dict=True).items()}

    def finish(self, say: Say) -> None:
        """Go on to the results."""


def run(
    model: Any,
    training: Feed,
    validation: Feed,
    plan: Plan,
    out: Path,
    *,
    crew: Any = None,
    resume: bool = False,
    say: Say = lambda line: None,
    quiet: bool = True,
) -> list[dict[str, float]]:
    """Train; the model ends with the weights that had the lowest validation loss, as `criterion` reads it.

    Args:
        model: built, not compiled.
        training, validation: what to learn from.
        plan: how.
        out: gets `history.csv` and, until the end, `resume.h5`.
        crew: who trains, `Alone` by default, or a `train.team.Team`.
        resume: go on from there.
        say: told a line per epoch.
        quiet: no progress bar.

    Returns:
        A row per epoch: epoch, phase, loss, metrics, their `val_` twins, learning_rate, seconds.

    Raises:
        WhyfakeError: the loss is not finite from the start, or Keras stopped.
        checkpoint.Finished: what should go on is over.
    """
    crew = crew or Alone()
    state = crew.begin(out, plan.key, resume)
    progress = Progress(**state[0]) if state else Progress()
    best: list[np.ndarray] = state[1]["best"] if state else []
    if progress.epoch:
        say(f"going on after epoch {progress.epoch}")
    for number, phase in enumerate(plan.phases):
        if number < progress.phase:
            continue
        phase.prepare(model)
        with crew.scope():
            compile_model(model, plan, phase)
        statistics = Statistics()
        if state is not None:  # into the phase that was running
            restore(model, state[1])
            statistics.values = state[1]["statistics"]
            state = None
        while progress.epoch < phase.until and progress.waited < plan.patience and progress.lowest > plan.enough:
            row, weights = one_epoch(model, training, validation, plan, progress.epoch, phase, statistics, crew, quiet)
            progress.epoch += 1
            progress.rows.append({"epoch": progress.epoch, "phase": number + 1, **row})
            progress.waited += 1
            if criterion(row) < progress.lowest:
                progress.lowest, progress.waited, best = criterion(row), 0, weights
            if crew.chief:
                store.write_table(out / "history.csv", tuple(progress.rows[0]), (tuple(row.values()) for row in progress.rows))
            if crew.chief and plan.keep:
                kept = {"best": best, "model": arrays(model), "adam": values(model.optimizer), "statistics": statistics.values}
                checkpoint.save(out, plan.key, asdict(progress), kept)
            say(line(progress.rows[-1], plan.metrics))
        progress.phase, progress.waited = number + 1, 0
        if best:
            model.set_weights(best)  # the next phase goes on from the best of this one
    if not best:
        raise WhyfakeError("training gave no finite validation loss; try a smaller --learning-rate")
    return progress.rows


def compile_model(model: Any, plan: Plan, phase: Phase) -> None:
    """Give the model a fresh Adam, which keeps the moving average beside the weights."""
    import keras

    class Adam(keras.optimizers.Adam):
        def finalize_variable_values(self, variables: Any) -> None:
            """Leave the weights: `fit` would put the average in their place at its end, and here every epoch is a `fit`."""

        def lend_average(self, variables: Any) -> None:
            """Put the average in the weights' place."""
            super().finalize_variable_values(variables)

    adam = Adam(phase.learning_rate, use_ema=plan.momentum > 0, ema_momentum=plan.momentum or 0.99)
    model.compile(adam, plan.loss, metrics=[*plan.metrics, *([calibrated.metric()] if plan.calibrated else [])])
    model.optimizer.build(model.trainable_variables)  # not Adam alone: in mixed_float16 Keras has wrapped it


def one_epoch(
    model: Any, training: Feed, validation: Feed, plan: Plan, epoch: int, phase: Phase, statistics: Statistics, crew: Any, quiet: bool
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Train one epoch and validate.

    Returns:
        The history's row, and the weights that were validated: the averaged ones where the plan averages.
    """
    started = time.perf_counter()
    last = plan.phases[-1].until

    def tick() -> None:
        progress.update(min(training.batch_size, training.count - progress.n))
        if plan.momentum:
            statistics.step(model, plan.momentum)

    try:
        with warnings.catch_warnings(), bar(training.count, f"epoch {epoch + 1} of at most {last}", quiet=quiet) as progress:
            # how many images there are is known only when all have been read, since bad ones drop out
            warnings.filterwarnings("ignore", "Your input ran out of data")
            row = crew.train(model, training, epoch, plan, tick)
            with averaged(model, plan.momentum, statistics):
                measured = crew.measure(model, validation, plan)
                weights_now = model.get_weights()
    except (ValueError, RuntimeError) as error:
        readable(training, validation)
        raise WhyfakeError(f"training stopped: {' '.join(str(error).split())[:300]}") from None
    readable(training, validation)
    row |= {f"val_{name}": value for name, value in measured.items()}
    return row | {"learning_rate": phase.learning_rate, "seconds": time.perf_counter() - started}, weights_now


def criterion(row: Mapping[str, float]) -> float:
    """Return what the kept epoch is chosen by, from a row of the history: lower is better.

    Of a detector it is the validation loss at its best temperature. On small data sets a
    network grows sure of itself long before it stops learning: its plain loss rises while
    its accuracy does too, and a temperature is fitted after training in any case.
    """
    return row.get(CALIBRATED, row["val_loss"])


def readable(*sources: Feed) -> None:
    """Raise where not one image of a split could be read."""
    for source in sources:
        if len(source.skipped) >= source.count:
            path, reason = next(iter(sorted(source.skipped.items())))
            raise WhyfakeError(f"none of {source.count} images of a split could be read; {path}: {reason}")


@dataclass(slots=True)
class Statistics:
    """The moving average of batch normalisation's running statistics.

    Averaged weights go with statistics averaged over the same steps: with those of the
    last weights, alexnet_bn's validation loss on 64 x 64 faces was 0.01 to 0.08 higher
    from the ninth epoch on.

    Args:
        values: one an averaged variable; empty before the first step.
    """

    values: list[np.ndarray] = field(default_factory=list)

    @staticmethod
    def variables(model: Any) -> list[Any]:
        """Return what is averaged."""
        return [variable for variable in model.non_trainable_variables if variable.name in ("moving_mean", "moving_variance")]

    def step(self, model: Any, momentum: float) -> None:
        """Take in the statistics after a training step."""
        now = [variable.numpy() for variable in self.variables(model)]
        # written so that what does not change, a frozen part's statistics, stays exactly what it was
        self.values = [old + (1 - momentum) * (new - old) for old, new in zip(self.values, now, strict=True)] if self.values else now


@contextmanager
def averaged(model: Any, momentum: float, statistics: Statistics) -> Any:
    """Lend a model the moving average of its weights, and of batch normalisation's statistics."""
    if not momentum:
        yield
        return
    lent = [*model.trainable_variables, *Statistics.variables(model)]
    raw = [variable.numpy() for variable in lent]
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed precision wraps it to scale the loss
    optimizer.lend_average(model.trainable_variables)
    for variable, value in zip(Statistics.variables(model), statistics.values, strict=True):
        variable.assign(value)
    try:
        yield
    finally:
        for variable, value in zip(lent, raw, strict=True):
            variable.assign(value)


def arrays(model: Any) -> list[np.ndarray]:
    """Return weights and the state of every random layer."""
    return [np.asarray(variable) for variable in model.variables]


def values(optimizer: Any) -> list[np.ndarray]:
    """Return an optimizer's state."""
    return [np.asarray(variable) for variable in optimizer.variables]


def restore(model: Any, saved: dict[str, list[np.ndarray]]) -> None:
    """Put a saved state into a compiled model."""
    for variables, kept in ((model.variables, saved["model"]), (model.optimizer.variables, saved["adam"])):
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def line(row: dict[str, float], metrics: Sequence[str]) -> str:
    """Return an epoch as one line for people."""
    parts = [f"epoch {int(row['epoch']):>3}", f"loss {row['loss']:.4f}"]
    parts += [f"{name} {row[name]:.3f}" for name in metrics]
    parts += [f"validation loss {row['val_loss']:.4f}"]
    parts += [f"{name} {row[f'val_{name}']:.3f}" for name in metrics]
    return "  ".join([*parts, f"{row['seconds']:.0f} s"])


def best_epoch(rows: Sequence[dict[str, float]]) -> int:
    """Return the epoch (from 1) whose weights were kept."""
    return int(np.nanargmin([criterion(row) for row in rows])) + 1
