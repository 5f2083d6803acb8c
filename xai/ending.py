"""Find the logit in a graph of named operations, as ONNX files and TensorFlow programs keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xai.errors import ModelError

PASSES = frozenset("Identity Cast Flatten Reshape Squeeze Unsqueeze ExpandDims Dropout StopGradient EnsureShape Clip ClipByValue".split())
SQUASHES = frozenset(["Sigmoid", "Softmax"])
WEIGHTED = frozenset("Gemm MatMul MatMulInteger BatchMatMulV2 Conv Conv2D ConvTranspose Einsum _FusedMatMul".split())
DECISIONS = frozenset(
    """ArgMax ArgMin Greater GreaterOrEqual GreaterEqual Less LessOrEqual LessEqual Equal Where SelectV2 TopK TopKV2
    Sign Round Floor Ceil Tanh HardSigmoid Softsign Softplus Exp""".split()
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of such a graph.

    Args:
        kind: its type, such as "Sigmoid".
        name: its own, which may be ''.
        inputs: the values it reads, in order.
    """

    kind: str
    name: str
    inputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ending:
    """How such a graph ends.

    Args:
        value: the name of the value that is the logit, or of the probability where that is all there is.
        squash: "Sigmoid" or "Softmax" where one follows the value, else ''.
        probabilities: the value is a probability, of which the logit has to be computed back.
    """

    value: str
    squash: str
    probabilities: bool

    def text(self, units: int) -> str:
        """Return in words what the logit is, for the report."""
        pair = ", the difference of its two units" if units == 2 else ""
        if self.probabilities:
            return f"computed back from the probability '{self.value}'{pair}: answers beyond 1 - 1e-7 cannot be told apart"
        if self.squash:
            return f"input of the last {self.squash} ('{self.value}'){pair}"
        return f"output '{self.value}' ({units} linear unit{'s' if units == 2 else ''}){pair}"


def find_ending(writers: Mapping[str, Node], output: str) -> Ending:
    """Find the value before the last sigmoid or softmax.

    Args:
        writers: by value, the operation that computes it.
        output: the value the model answers with.

    Raises:
        ModelError: the model answers with a decision, not with a score.

    Example:
        >>> find_ending({"p": Node("Sigmoid", "s", ["z"]), "z": Node("Gemm", "g", ["x"])}, "p").value
        'z'
    """
    value = output
    while (node := writers.get(value)) and node.kind in PASSES:
        value = node.inputs[0]
    if node and node.kind in SQUASHES:
        return Ending(node.inputs[0], node.kind, False)
    if node and (node.kind in DECISIONS or "." in node.kind):  # an operation of another maker may hide a sigmoid
        raise ModelError(
            f"the model ends in '{node.kind}', which is no score of real or fake; expected one sigmoid unit, two softmax units or linear logits"
        )
    return Ending(output, "", squashed(writers, value))


def squashed(writers: Mapping[str, Node], value: str) -> bool:
    """Say whether a value was computed from a sigmoid or softmax without weights in between."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        node = writers.get(value)
        if node is None or value in seen or node.kind in WEIGHTED:
            continue
        if node.kind in SQUASHES:
            return True
        seen.add(value)
        waiting += node.inputs
    return False


def check_units(ending: Ending, units: int) -> None:
    """Raise for an ending that does not tell two classes apart."""
    wrong = units not in (1, 2) or (ending.squash == "Sigmoid" and units == 2) or (ending.squash == "Softmax" and units == 1)
    if wrong:
        raise ModelError(
            f"the model ends in {units} {ending.squash.lower() or 'linear'} units; expected one sigmoid unit or two softmax units for real and fake"
        )


def image_layout(shape: Sequence[int | None]) -> tuple[bool, tuple[int | None, int | None]]:
    """Tell from an input's shape where its channels stand.

    Args:
        shape: `(N, 3, H, W)` or `(N, H, W, 3)`, None where open.

    Returns:
        Whether channels come first, and (height, width).

    Raises:
        ModelError: neither, or both.

    Example:
        >>> image_layout([None, 3, 64, None])
        (True, (64, None))
    """
    first, last = (len(shape) == 4 and shape[axis] == 3 for axis in (1, 3))
    if first == last:
        shown = tuple("?" if side is None else side for side in shape)
        raise ModelError(f"the model takes inputs of shape {shown}; expected (N, 3, height, width) or (N, height, width, 3), RGB")
    return first, (shape[2], shape[3]) if first else (shape[1], shape[2])
