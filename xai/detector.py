"""A loaded detector: its layers, its logit, its class convention, its preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from xai.compiled import Compiled
from xai.errors import LayerError, ModelError, listed
from xai.graph import Graph, flatten, measured, output_names
from xai.head import Head, choose_output, find_head
from xai.maps.geometry import locate
from xai.maps.placement import Placement, stretched
from xai.modelfile import CARD, is_savedmodel, read_card, read_model, sha256
from xai.normalise import normalised
from xai.preprocess import Preprocessing, conventions
from xai.rebuild import channels_last, in_float32
from xai.recommend import Recommendation, recommended
from xai.units import unit_ends

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose")
FEW = 8  # up to so many convolutions, all are mapped by default


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that can be mapped.

    Args:
        name: with the names of nested models before it.
        kind: the Keras class.
        shape: `(h, w, C)` of its output.
        placement: where its cells lie on the image.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    placement: Placement


@dataclass(frozen=True)
class Detector:
    """A model that tells fake from real, ready to be explained. Never changed.

    Args:
        model: the Keras model.
        graph: its flat graph.
        head: where its logit is.
        layers: by name, those that can be mapped, from input to output.
        refused: by name, why the others cannot.
        preprocessing: what its pixels must look like.
        name, path, sha256: of the model's file ('' for a model in memory).
        card: what training recorded, or None for a foreign model.
        positive: what a high score means; "real" flips the sign of every logit.
        threshold: scores from here on are called fake.
        options: that `load` was given besides the path, so that another process can load it too; None in memory.
    """

    model: Any
    graph: Graph
    head: Head
    layers: dict[str, Layer]
    refused: dict[str, str]
    preprocessing: Preprocessing
    name: str = ""
    path: str = ""
    sha256: str = ""
    card: dict[str, Any] | None = None
    positive: str = "fake"
    threshold: float = 0.5
    compiled: Compiled = field(default_factory=Compiled, repr=False, compare=False)
    options: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """Input (height, width) in pixels."""
        return self.preprocessing.height, self.preprocessing.width

    @property
    def sign(self) -> int:
        """1 where the model's own logit already speaks of fake, else -1."""
        return 1 if self.positive == "fake" else -1

    @property
    def gradients(self) -> bool:
        """Whether methods that need layers or gradients can be used; False for a black box."""
        return True

    @property
    def parameters(self) -> int | None:
        """How many numbers the model has learnt; None where that is not known."""
        return int(self.model.count_params())

    def _repr_html_(self) -> str:
        """Show in a notebook what the detector is."""
        from xai.layertable import html

        return html(self)

    def select(self, layers: str = "auto") -> list[str]:
        """Return layer names for a request.

        Args:
            layers: "conv" (every convolution), "last" (the end of the last one's unit, see `xai.units`), "all",
                "auto" (the unit's end of every convolution of a small network, of the last one of each resolution
                of a deep one, and the layer that a self-test recommends) or names with commas between.

        Raises:
            LayerError: an unknown name, or one whose cells have no place on the image.
        """
        convolutions = [name for name, layer in self.layers.items() if layer.kind in CONVOLUTIONS]
        if layers in ("auto", "conv", "last") and not convolutions:
            why = f"; {next(iter(self.refused.values()))}" if self.refused else ""
            raise LayerError(f"'{self.name}' has no convolution that can be mapped{why}; 'whyfake layers MODEL' lists what can")
        if layers in ("auto", "last"):
            ends = unit_ends(self.graph, self.layers, self.head.step)
            if layers == "last":
                return [ends[convolutions[-1]]]
            stages = {self.layers[name].placement.stride: name for name in convolutions}
            known = self.recommendation()
            kept = {*(ends[name] for name in (convolutions if len(convolutions) <= FEW else stages.values())), *([known.layer] if known else [])}
            return [name for name in self.layers if name in kept]
        if layers == "conv":
            return convolutions
        if layers == "all":
            if not self.layers:
                raise LayerError(f"'{self.name}' has no layer that can be mapped")
            return list(self.layers)
        names = [name.strip() for name in layers.split(",") if name.strip()]
        for name in names:
            if name in self.refused:
                raise LayerError(f"layer '{name}' cannot be mapped: {self.refused[name]}; 'whyfake layers MODEL' lists those that can")
            if name not in self.layers:
                raise LayerError(
                    f"layer '{name}' is not in the model; expected auto, conv, last, all or names among: "
                    f"{listed(convolutions)}; 'whyfake layers MODEL' lists all"
                )
        if not names:
            raise LayerError("no layer was named; expected auto, conv, last, all or names with commas between")
        return list(dict.fromkeys(names))

    def recommendation(self) -> Recommendation | None:
        """Return what a self-test found on this architecture; None where there was none."""
        return recommended(self)

    def default_method(self) -> tuple[str, str]:
        """Return the map method to trust by default, and the reason: what a self-test of this architecture found, else by its head."""
        known = self.recommendation()
        if known is not None:
            return known.method, known.why
        if self.head.kind == "global pooling":
            return "hirescam", (
                "the head averages over all places, so at the last layer Grad-CAM and HiResCAM agree; "
                "at earlier layers only HiResCAM keeps each place's own gradient"
            )
        if self.head.kind != "flatten":
            return "hirescam", (
                "how the head treats places is not known, and Grad-CAM is only right where it averages over them; "
                "HiResCAM keeps each place's own gradient"
            )
        return "hirescam", (
            "the head reads every place with its own weights, so averaging the gradient over space "
            "(Grad-CAM) can erase or move the evidence; HiResCAM keeps it"
        )

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logit of fake per image.

        Args:
            images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.

        Returns:
            float32 `(N,)`, in logits.
        """
        import tensorflow as tf

        if "logits" not in self.compiled:

            def forward(images: Any) -> Any:
                values = {self.graph.inputs[0]: images}
                for _ in self.graph.run(values, until=self.head.step.outputs[0]):
                    pass
                return self.head.logit(self.graph, values, self.sign)

            shape = (None, *self.size, 3)
            self.compiled["logits"] = tf.function(forward, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
        return finite(self.compiled["logits"](tf.convert_to_tensor(images, tf.float32)).numpy())

    def stretch(self) -> Detector:
        """Return the detector with every layer's map stretched over the image, as other tools draw it."""
        layers = {name: replace(layer, placement=stretched(layer.placement.cells, layer.placement.image)) for name, layer in self.layers.items()}
        return replace(self, layers=layers, compiled=Compiled())


def finite(logits: np.ndarray) -> np.ndarray:
    """Return the logits, or say that the model is broken: NaN or infinity explains nothing."""
    if not np.isfinite(logits).all():
        raise ModelError("the model answers with NaN or infinity on some image; its weights or the pixel range (--range) are wrong")
    return logits


def score(logits: np.ndarray) -> np.ndarray:
    """Return the probability of fake, `(N,)` in [0, 1], from logits `(N,)`.

    Example:
        >>> score(np.array([0.0])).tolist()
        [0.5]
    """
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def load(
    path: str | Path,
    *,
    positive: str | None = None,
    size: int | None = None,
    colour_order: str | None = None,
    value_range: tuple[float, float] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop: str | None = None,
    resize: str | None = None,
    output: str | int | None = None,
    trust: bool = False,
) -> Detector:
    """Load a detector from a file or folder, with its card if one lies beside it.

    Args:
        path: a `.keras` or `.h5` file, a folder that holds `model.keras`, a SavedModel folder, or
            an `.onnx` file, which becomes a black box: no layers, no gradients.
        positive: "fake" or "real": what a high score means; default from the card, else fake.
        size: input side in pixels, only for models that take any size.
        colour_order: "RGB" or "BGR"; default from the card, else RGB.
        value_range: what pixel values 0 and 255 become; default from the card, else (0, 255).
        mean, std: what values lose after that, and by what they are divided, three each in the model's colour order; default
            from the card, else nothing.
        crop: "none", or what images are cropped to: the "centre", or the face that "mtcnn" or the "mesh" finds; default from the card, else none.
        resize: how images are resized, one of `xai.preprocess.RESIZES`; default from the card, else "area".
        output: which output speaks of fake, by name or index, where the model has several.
        trust: load Lambda layers and TensorFlow programs too, which run code from whoever saved the model.

    Returns:
        The detector.

    Raises:
        ModelError: missing, damaged, no detector, or unsafe to load.
    """
    said: dict[str, Any] = {
        "positive": positive, "size": size, "colour_order": colour_order, "value_range": value_range, "mean": mean, "std": std,
        "crop": crop, "resize": resize, "output": output,
    }  # fmt: skip
    options = said | {"trust": trust}
    path = Path(path)
    saved = is_savedmodel(path)
    if path.is_dir() and not saved:
        path = path / "model.keras"
    name = path.name if saved else path.parent.name if path.stem == "model" else path.stem
    settings: dict[str, Any] = said | {"name": name, "path": str(path)}
    if path.suffix.lower() == ".onnx" and path.is_file():
        from xai.onnxfile import read_onnx

        return replace(read_onnx(path, **settings), options=options)
    if saved:
        from xai.savedmodel import read_savedmodel

        return replace(read_savedmodel(path, trust=trust, **settings), options=options)
    model = read_model(path, trust)
    digest = sha256(path)
    return replace(wrap(model, sha256=digest, card=read_card(path.parent / CARD, digest), **settings), options=options)


def wrap(
    model: Any,
    *,
    name: str = "",
    path: str = "",
    sha256: str = "",
    card: dict[str, Any] | None = None,
    positive: str | None = None,
    size: int | None = None,
    colour_order: str | None = None,
    value_range: tuple[float, float] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop: str | None = None,
    resize: str | None = None,
    output: str | int | None = None,
) -> Detector:
    """Make a detector of a Keras model in memory; arguments as in `load`."""
    graph = flatten(model)
    if len(graph.inputs) != 1:
        raise ModelError(f"the model takes {len(graph.inputs)} inputs; expected one image")
    graph = graph.ending(choose_output(output_names(model), output))
    shape = tuple(model.inputs[0].shape)
    first = len(shape) == 4 and shape[1] == 3 != shape[3]
    if len(shape) != 4 or not (first or shape[3] == 3):
        raise ModelError(f"the model takes inputs of shape {shape}; expected (None, height, width, 3), RGB")
    height, width = sides(shape[2:] if first else shape[1:3], size)
    if first:
        graph = channels_last(graph)
    graph = in_float32(graph)
    if None in shape[1:]:
        graph = measured(graph, height, width)
    meaning = conventions(
        card, (height, width), positive=positive, colour_order=colour_order, value_range=value_range, mean=mean, std=std, crop=crop, resize=resize
    )
    graph = normalised(graph, meaning["preprocessing"])
    head = find_head(graph)
    placed = locate(graph, (height, width))
    before = graph.upstream(head.step)
    placed |= {name: f"'{name}' is the logit's own layer or does not lead to it" for name in placed if name not in before}
    layers = {
        step.name: Layer(step.name, step.kind, step.shape[1:], place)  # type: ignore[arg-type]
        for step in graph.steps
        if isinstance(place := placed[step.name], Placement) and len(step.shape) == 4
    }
    return Detector(
        model=model,
        graph=graph,
        head=head,
        layers=layers,
        refused={name: why for name, why in placed.items() if isinstance(why, str)},
        name=(card or {}).get("name") or name or model.name,
        path=path,
        sha256=sha256,
        card=card,
        **meaning,
    )


def sides(shape: tuple[int | None, ...], size: int | None) -> tuple[int, int]:
    """Return a model's input (height, width), the open ones filled in by --model-size."""
    height, width = (side or size for side in shape)
    if height is None or width is None:
        raise ModelError("the model takes images of any size; say which with --model-size")
    if size is not None and (height, width) != (size, size):
        raise ModelError(f"the model takes {width} x {height} images; --model-size {size} does not fit, leave it out")
    return height, width
