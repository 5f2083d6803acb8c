"""Find the logit of a detector: the number before the last sigmoid or softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xai.errors import ModelError, listed
from xai.graph import Graph, Step, without_activation

PASSES = frozenset(["Dropout", "Identity", "Flatten", "Reshape", "Cast"])
SQUASHES = ("sigmoid", "softmax")
FLATTENS = frozenset(["Flatten", "Reshape"])


@dataclass(frozen=True, slots=True)
class Head:
    """How a detector ends.

    Args:
        step: the step that computes the logit (run without its activation).
        strip: whether that step carries an activation to leave out.
        units: 1 or 2 outputs.
        text: the same in words, for the report.
        kind: "flatten", "global pooling" (averaging), "global max pooling" or "other": how space is
            given up; "black box" where that is not known.
    """

    step: Step
    strip: bool
    units: int
    text: str
    kind: str

    def logit(self, graph: Graph, values: dict[int, Any], sign: int) -> Any:
        """Compute the logit of fake from the values that the step reads.

        Args:
            graph: the flat graph that was run up to `step`.
            values: its values by slot.
            sign: 1 where unit 1 (or a high single unit) means fake, else -1.

        Returns:
            float32 tensor `(N,)`, in logits: one unit as it is, two as z_1 - z_0.
        """
        import keras

        operation = without_activation(self.step.operation) if self.strip else None
        (out,) = self.step.call(values, operation)
        out = keras.ops.cast(keras.ops.reshape(out, (-1, self.units)), "float32")
        return sign * (out[:, 0] if self.units == 1 else out[:, 1] - out[:, 0])


def choose_output(names: list[str], output: str | int | None = None) -> int:
    """Return the index of the output that speaks of fake.

    Args:
        names: the model's outputs.
        output: a name, or an index from 0; may be left out where there is only one.

    Raises:
        ModelError: several outputs and none chosen, or no such output.

    Example:
        >>> choose_output(["age", "fake"], "fake"), choose_output(["age", "fake"], "0")
        (1, 0)
    """
    if output is None:
        if len(names) == 1:
            return 0
        raise ModelError(f"the model has {len(names)} outputs ({listed(names)}); say which one speaks of fake with --output NAME or INDEX (from 0)")
    wanted = str(output)
    if names.count(wanted) == 1:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    raise ModelError(f"output '{wanted}' is not in the model; expected one of: {listed(names)}, or an index from 0 to {len(names) - 1}")


def find_head(graph: Graph) -> Head:
    """Find the logit of a model with one sigmoid, two softmax or one or two linear units.

    Args:
        graph: the flat graph, with one output.

    Raises:
        ModelError: more than two units, an unknown last activation, or code at the end that cannot be read.
    """
    step = graph.writer(graph.outputs[0])
    squash = ""
    while step is not None:
        name = activation(step)
        if name in SQUASHES and not squash:
            squash = name
            if hasattr(step.operation, "weights") and step.operation.weights:
                break
        elif step.kind in PASSES or (step.kind == "Activation" and name in ("linear", "")):
            pass
        elif name and name != "linear":
            raise ModelError(
                f"the model ends in '{name}' ({step.name}), which is no score of real or fake; "
                "expected one sigmoid unit, two softmax units or linear logits"
            )
        else:
            break
        step = graph.writer(step.inputs[0])
    if step is None:
        raise ModelError("the model's output is its input; there is nothing to explain")
    refuse_code(step)
    strip = activation(step) in SQUASHES
    if not squash:
        refuse_probabilities(graph, step)
    units = units_of(step)
    if units not in (1, 2) or (units == 2 and squash == "sigmoid") or (units == 1 and squash == "softmax"):
        raise ModelError(f"the model ends in {units} {squash or 'linear'} units; expected one sigmoid unit or two softmax units for real and fake")
    if not squash:
        text = f"output of '{step.name}' ({units} linear unit{'s' if units == 2 else ''})"
    else:
        text = f"input of the {squash} in '{step.name}'" if strip else f"output of '{step.name}', before its {squash}"
    if units == 2:
        text += ", the difference of its two units"
    return Head(step, strip, units, text, spatial_end(graph, step))


def refuse_code(step: Step) -> None:
    """Raise where a model ends in code of its own, of which no one can read whether it gives logits."""
    foreign = type(step.operation).__module__.split(".")[0] != "keras" and not hasattr(step.operation, "activation")
    if step.kind == "Lambda" or foreign:
        raise ModelError(
            f"the model ends in '{step.name}' ({step.kind}), which is code: whether its answer is a logit cannot be read from it; "
            "end the model with a Dense layer, or hand a function that returns logits to xai.blackbox"
        )


def refuse_probabilities(graph: Graph, step: Step | None) -> None:
    """Raise where numbers that look like logits were computed from probabilities without weights in between."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if step is None:
            continue
        if activation(step) in SQUASHES:
            raise ModelError(
                f"the model computes its answer from the {activation(step)} in '{step.name}', so its logit cannot be found; "
                "end the model with that layer, or with linear units"
            )
        if not getattr(step.operation, "weights", None):
            waiting += [graph.writer(slot) for slot in step.inputs]


def activation(step: Step) -> str:
    """Return the name of a step's activation, '' where it has none."""
    if step.kind in ("Softmax", "Sigmoid"):
        return step.kind.lower()
    function = getattr(step.layer, "activation", None)
    return getattr(function, "__name__", type(function).__name__) if function is not None else ""


def units_of(step: Step) -> int:
    """Return how many numbers a step gives per image; 0 where that is not fixed."""
    size = 1
    for length in step.shape[1:]:
        size *= length or 0
    return size


def spatial_end(graph: Graph, logit: Step) -> str:
    """Say how the network turns places into a decision, on the way to its logit."""
    before, found = graph.upstream(logit) | {logit.name}, "other"
    for step in reversed(graph.steps):
        if step.name not in before:
            continue
        source = graph.writer(step.inputs[0])
        grid = source.shape[1:-1] if source is not None else ()
        gone = len(grid) == 2 and step.shape[1:-1] in ((), (1, 1))  # the two axes of space
        if step.kind == "GlobalAveragePooling2D" or (gone and grid != (1, 1) and step.kind in ("AveragePooling2D", "Mean")):
            return "global pooling"
        if step.kind == "GlobalMaxPooling2D" or (gone and grid != (1, 1) and step.kind == "Max"):
            return "global max pooling"
        if step.kind in FLATTENS and len(step.shape) == 2 and units_of(step) > 2:
            found = "flatten"
            if grid != (1, 1):  # else what left this one place may be a mean over all
                return found
    return found
