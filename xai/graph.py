"""A Keras model as a flat list of steps, nested models unrolled.

The model is read, never called symbolically or changed: running the steps on real
tensors gives every intermediate value without building a second model. This is
the only file that touches Keras' internal graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from xai.errors import ModelError


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of the flat graph.

    Args:
        name: the layer's name, behind its nested models' names and '/'; a layer that
            is used again gets '#2', '#3', ….
        operation: the Keras layer or operation.
        arguments: Keras' record of the call's arguments.
        slots: from the id of each symbolic argument to the slot that holds its value.
        inputs: the slots read, in order.
        outputs: the slots written.
        shape: of the first output, with None for the batch.
    """

    name: str
    operation: Any
    arguments: Any
    slots: dict[int, int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]

    @property
    def kind(self) -> str:
        """The operation's class name; of a wrapper that changes only weights, what it wraps."""
        return type(self.layer).__name__

    @property
    def layer(self) -> Any:
        """The operation, or the layer inside `SpectralNormalization`."""
        return self.operation.layer if type(self.operation).__name__ == "SpectralNormalization" else self.operation

    def call(self, values: dict[int, Any], operation: Callable[..., Any] | None = None) -> list[Any]:
        """Run the step on the values so far and return its outputs, flat, as in use (not training)."""
        import keras

        filled = {key: values[slot] for key, slot in self.slots.items()}
        args, kwargs = self.arguments.fill_in(filled)
        if operation is None and takes_training(self.operation):
            kwargs = kwargs | {"training": False}  # as `predict` does; Keras' random layers would train by default
        return keras.tree.flatten((operation or self.operation)(*args, **kwargs))


@dataclass(slots=True)
class Graph:
    """The flat graph of one model.

    Args:
        inputs: slots of the model's inputs.
        outputs: slots of the model's outputs.
        steps: in an order in which they can run.
    """

    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def run(self, values: dict[int, Any], until: int | None = None) -> Iterator[Step]:
        """Run the steps one by one on real tensors.

        Args:
            values: the inputs by slot; every output is added. A caller may replace a
                value (by a watched copy, say) before the next step reads it.
            until: stop before the step that writes this slot.

        Yields:
            The step that just ran.
        """
        for step in self.steps:
            if until in step.outputs:
                return
            values.update(zip(step.outputs, step.call(values), strict=True))
            yield step

    def upstream(self, step: Step) -> set[str]:
        """Return the names of all steps that a step's inputs come from."""
        needed, found = set(step.inputs), set()
        for earlier in reversed(self.steps):
            if needed & set(earlier.outputs):
                found.add(earlier.name)
                needed |= set(earlier.inputs)
        return found

    def ending(self, output: int) -> Graph:
        """Return the graph with only one of its outputs, by index."""
        return replace(self, outputs=[self.outputs[output]])

    def writer(self, slot: int) -> Step | None:
        """Return the step that writes a slot; None for an input."""
        return next((step for step in self.steps if slot in step.outputs), None)


def takes_training(operation: Any) -> bool:
    """Say whether a layer behaves differently in training."""
    return "training" in inspect.signature(operation.call).parameters if hasattr(operation, "call") else False


def flatten(model: Any) -> Graph:
    """Unroll a Sequential or Functional model, nested ones included.

    Args:
        model: a built `keras.Model`.

    Returns:
        The flat graph.

    Raises:
        ModelError: the model keeps no graph (subclassed, or never built).
    """
    graph = Graph()
    functional = graph_of(model)
    if functional is None:
        raise ModelError(
            f"'{model.name}' keeps no layer graph (a subclassed or unbuilt model); wrap its call in keras.Input / keras.Model and save that, "
            "or map it by its answers alone: xai.blackbox(model, size)"
        )
    counter = iter(range(1 << 60))
    seen: dict[str, int] = {}
    slots: dict[int, int] = {}
    for tensor in functional.inputs:
        slots[id(tensor)] = next(counter)
    graph.inputs = [slots[id(tensor)] for tensor in functional.inputs]
    unroll(functional, slots, "", graph.steps, counter, seen)
    graph.outputs = [slots[id(tensor)] for tensor in functional.outputs]
    return graph


def unroll(
    functional: Any,
    slots: dict[int, int],
    prefix: str,
    steps: list[Step],
    counter: Iterator[int],
    seen: dict[str, int],
) -> None:
    """Append the steps of one model; `slots` maps its symbolic tensors and grows."""
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.operation is None or node.is_input:
                continue
            sources = node.arguments.keras_tensors
            if any(id(tensor) not in slots for tensor in sources):
                continue  # a part of the graph that this model's inputs do not reach
            inner = graph_of(node.operation)
            if inner is not None:
                inside = {id(symbol): slots[id(tensor)] for symbol, tensor in zip(inner.inputs, sources, strict=True)}
                unroll(inner, inside, f"{prefix}{node.operation.name}/", steps, counter, seen)
                for tensor, symbol in zip(node.outputs, inner.outputs, strict=True):
                    slots[id(tensor)] = inside[id(symbol)]
                continue
            for tensor in node.outputs:
                slots[id(tensor)] = next(counter)
            name = prefix + node.operation.name
            seen[name] = seen.get(name, 0) + 1
            steps.append(
                Step(
                    name=name if seen[name] == 1 else f"{name}#{seen[name]}",
                    operation=node.operation,
                    arguments=node.arguments,
                    slots={id(tensor): slots[id(tensor)] for tensor in sources},
                    inputs=tuple(slots[id(tensor)] for tensor in sources),
                    outputs=tuple(slots[id(tensor)] for tensor in node.outputs),
                    shape=tuple(node.outputs[0].shape),
                )
            )


def output_names(model: Any) -> list[str]:
    """Return the names of a model's outputs in the order of its graph: the keys where it returns a dict."""
    import keras

    answer = getattr(model, "output", None)
    if isinstance(answer, dict):
        return ["/".join(str(part) for part in path) for path, _ in keras.tree.flatten_with_path(answer)]
    names = list(getattr(model, "output_names", []))
    return names if len(names) == len(model.outputs) else [str(index) for index in range(len(model.outputs))]


def measured(graph: Graph, height: int, width: int) -> Graph:
    """Return the graph of a model that takes any size, its shapes filled in by one run at this one."""
    import keras

    values = {graph.inputs[0]: keras.ops.zeros((1, height, width, 3))}
    shapes = {step.name: (None, *values[step.outputs[0]].shape[1:]) for step in graph.run(values)}
    return Graph(graph.inputs, graph.outputs, [replace(step, shape=shapes[step.name]) for step in graph.steps])


def graph_of(operation: Any) -> Any | None:
    """Return the Functional model behind a model or layer; None where there is no graph."""
    operation = getattr(operation, "_functional", None) or operation  # a built Sequential
    return operation if hasattr(operation, "_nodes_by_depth") and hasattr(operation, "inputs") else None


def opaque(operation: Any) -> bool:
    """Say whether an operation is a model that keeps no graph of its layers (a subclassed one)."""
    import keras

    return isinstance(operation, keras.Model) and graph_of(operation) is None


def without_activation(layer: Any) -> Callable[..., Any]:
    """Return the layer's computation without its activation, the layer left as it is.

    A second object shares the layer's variables; only its `activation` differs. So
    the logit needs no copy of the weights and no change of the user's model.
    """
    import keras

    def linear(layer: Any) -> Any:
        twin = object.__new__(type(layer))
        twin.__dict__.update(layer.__dict__)
        if type(layer).__name__ == "SpectralNormalization":
            twin.__dict__["layer"] = linear(layer.layer)
        else:
            twin.__dict__["activation"] = keras.activations.linear
        return twin

    twin = linear(layer)

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return twin.call(keras.ops.cast(inputs, layer.compute_dtype), *args, **kwargs)

    return call
