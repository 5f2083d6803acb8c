"""The map methods by name: what each needs, where its maps lie, and what it may be told.

A method is asked for as `name` or `name:option=value:option=value`, such as
`rise:masks=4000`. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xai.errors import WhyfakeError, listed

INPUT = "input"  # the name, among layers, of the image the network sees


@dataclass(frozen=True, slots=True)
class Method:
    """A map method.

    Args:
        needs: "activations" (forward pass), "gradients" (and a backward pass) or "logits"
            (the answers to changed images; also for black boxes).
        place: "layer": one map per layer, at its resolution. "input": one per image, at the
            resolution of the network's input.
        signed: evidence for real is negative; the map for real is minus the map for fake.
        text: one line for people.
        home: "module.function" below `xai.maps`; empty where it is computed with the others of its
            kind from one forward and one backward pass.
        options: what it may be told, with the defaults.
        beside: names of the further maps it finds, of the same cells.
    """

    needs: str
    place: str
    signed: bool
    text: str
    home: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    @property
    def one_pass(self) -> bool:
        """Say whether the method is computed with the others of its kind from one pass."""
        return not self.home

    def record(self) -> dict[str, Any]:
        """Return what the method is, as JSON knows it."""
        return {"text": self.text, "needs": self.needs, "place": self.place, "signed": self.signed, "options": dict(self.options)}


SAMPLING = {"seed": 0}
ERROR = ("standard_error",)

METHODS: dict[str, Method] = {
    "activation": Method("activations", "layer", False, "mean over channels: where a layer responds, used or not"),
    "activation_max": Method("activations", "layer", False, "strongest channel: where a layer responds, used or not"),
    "activation_top": Method("gradients", "layer", False, "mean of the channels that speak most for fake", options={"channels": 8}),
    "gradcam": Method("gradients", "layer", True, "channels weighted by their mean gradient; right for a pooling head"),
    "gradcampp": Method("gradients", "layer", False, "channels weighted by their positive gradients", options={"alphas": "paper"}),
    "xgradcam": Method("gradients", "layer", True, "channels weighted by their gradient where they respond"),
    "hirescam": Method("gradients", "layer", True, "activation x gradient, summed over channels; keeps each place's own gradient"),
    "gradient_x_activation": Method("gradients", "layer", True, "the field's other name for hirescam"),
    "layercam": Method("gradients", "layer", False, "activation x positive gradient, summed over channels"),
    "scorecam": Method(
        "logits", "layer", True, "channels weighted by the logit of the image seen through them", "scorecam.scorecam", {"fill": "black"}
    ),
    "saliency": Method("gradients", "input", False, "largest |gradient| of a pixel's colours", "gradients.saliency"),
    "gradient_x_input": Method("gradients", "input", True, "pixel x gradient, summed over colours", "gradients.gradient_x_input"),
    "smoothgrad": Method(
        "gradients", "input", False, "saliency of the gradient averaged over noisy copies", "gradients.smoothgrad",
        {"samples": 25, "noise": 0.15} | SAMPLING,
    ),
    "vargrad": Method(
        "gradients", "input", False, "variance of the gradient over noisy copies", "gradients.vargrad", {"samples": 25, "noise": 0.15} | SAMPLING
    ),
    "integrated_gradients": Method(
        "gradients", "input", True, "gradients along the way from a baseline, times the way", "gradients.integrated_gradients",
        {"steps": 64, "baseline": "black"},
    ),
    "lrp": Method(
        "gradients", "input", True, "relevance handed back layer by layer", "lrp.lrp",
        {"composite": "epsilon-gamma-flat", "epsilon": 1e-6, "gamma": 0.25},
    ),
    "occlusion": Method(
        "logits", "input", True, "how far the logit falls when a patch is hidden", "occlusion.occlusion",
        {"patch": None, "stride": None, "fill": "blur"}
    ),
    "rise": Method(
        "logits", "input", True, "mean logit of the masks that keep a pixel, minus the mean of all", "rise.rise",
        {"masks": 1000, "grid": 8, "keep": 0.5, "fill": "black"} | SAMPLING, ERROR,
    ),
    "lime": Method(
        "logits", "input", True, "weights of a local linear model over superpixels or face parts", "surrogate.lime",
        {"samples": 500, "segments": "slic", "count": 49, "fill": "blur", "kernel_width": 0.25, "ridge": 1.0} | SAMPLING, ERROR,
    ),
    "kernel_shap": Method(
        "logits", "input", True, "Shapley values of superpixels or face parts, by weighted regression", "surrogate.kernel_shap",
        {"samples": 500, "segments": "slic", "count": 49, "fill": "blur"} | SAMPLING, ERROR,
    ),
    "sobol": Method(
        "logits", "input", False, "share of the logit's variance that a patch takes part in", "sobol.sobol",
        {"samples": 32, "grid": 8, "fill": "blur"} | SAMPLING
    ),
}  # fmt: skip

# As the papers write them.
TITLES = {
    "activation": "Activation",
    "gradcam": "Grad-CAM",
    "gradcampp": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "scorecam": "Score-CAM",
    "activation_max": "Strongest channel",
    "activation_top": "Top channels",
    "xgradcam": "XGrad-CAM",
    "gradient_x_activation": "Gradient × activation",
    "saliency": "Saliency",
    "gradient_x_input": "Gradient × input",
    "smoothgrad": "SmoothGrad",
    "vargrad": "VarGrad",
    "integrated_gradients": "Integrated gradients",
    "lrp": "LRP",
    "occlusion": "Occlusion",
    "rise": "RISE",
    "lime": "LIME",
    "kernel_shap": "KernelSHAP",
    "sobol": "Sobol indices",
}
LAYERLESS = ", ".join(name for name, method in METHODS.items() if method.needs == "logits" and method.place == "input")  # what a black box can have


@dataclass(frozen=True, slots=True)
class Spec:
    """A method with its options, as asked for.

    Args:
        text: as asked for, files without their folders; names the maps.
        name: of the method.
        options: all of them, defaults filled in.
    """

    text: str
    name: str
    options: Mapping[str, Any]

    @property
    def method(self) -> Method:
        """What the method is."""
        return METHODS[self.name]


def parse(text: str) -> Spec:
    """Read a method as it is asked for.

    Raises:
        WhyfakeError: an unknown method or option, or a value of another kind.

    Example:
        >>> parse("rise:masks=4000").options["masks"]
        4000
        >>> parse("rise:maks=4000")
        Traceback (most recent call last):
        ...
        xai.errors.WhyfakeError: method 'rise' has no option 'maks'; expected masks, grid, keep, fill, seed
        >>> parse("occlusion:fill=people/me.png").text
        'occlusion:fill=me.png'
    """
    name, *pieces = text.split(":")
    if name not in METHODS:
        raise WhyfakeError(f"method '{name}' is not known; expected auto or {listed(METHODS, 40)}")
    known = METHODS[name].options
    options, words = dict(known), [name]
    for piece in pieces:
        key, equals, value = piece.partition("=")
        if not equals or key not in known:
            expected = ", ".join(known) or "none, it has no options"
            raise WhyfakeError(f"method '{name}' has no option '{key}'; expected {expected}")
        options[key] = read_value(name, key, value, known[key])
        words.append(f"{key}={Path(value).name if isinstance(options[key], str) else value}")
    return Spec(":".join(words), name, options)


def specs(methods: Sequence[str]) -> list[Spec]:
    """Read methods, each once.

    Raises:
        WhyfakeError: as in `parse`, or two that bear one name: images in different folders have the same file name.

    Example:
        >>> [spec.text for spec in specs(["hirescam", "occlusion:fill=a/1.png"])]
        ['hirescam', 'occlusion:fill=1.png']
        >>> specs(["occlusion:fill=a/1.png", "occlusion:fill=b/1.png"])
        Traceback (most recent call last):
        ...
        xai.errors.WhyfakeError: 'occlusion:fill=a/1.png' and 'occlusion:fill=b/1.png' would both be called 'occlusion:fill=1.png'; rename one file
    """
    found: dict[str, tuple[str, Spec]] = {}
    for text in methods:
        spec = parse(text)
        first, known = found.setdefault(spec.text, (text, spec))
        if known.options != spec.options:
            raise WhyfakeError(f"'{first}' and '{text}' would both be called '{spec.text}'; rename one file")
    return [spec for _, spec in found.values()]


def title(text: str) -> str:
    """Return a method as it is printed in the literature, with the options it was given.

    Example:
        >>> title("gradcam"), title("rise:masks=4000:seed=1")
        ('Grad-CAM', 'RISE (masks=4000, seed=1)')
    """
    name, *options = text.split(":")
    return TITLES.get(name, name) + (f" ({', '.join(options)})" if options else "")


def passes(text: str) -> int:
    """Return how many backward passes a map takes; 0 for a method that only asks for answers, hundreds of them.

    Example:
        >>> passes("hirescam"), passes("vargrad:samples=4"), passes("rise")
        (1, 4, 0)
    """
    spec = parse(text)
    return 0 if spec.method.needs == "logits" else int(spec.options.get("samples", spec.options.get("steps", 1)))


def table() -> str:
    """Return the methods as text for a terminal."""
    needs = {"activations": "a forward pass", "gradients": "gradients", "logits": "only answers"}
    lines = []
    for name, method in METHODS.items():
        told = ", ".join(f"{key}={'auto' if value is None else value}" for key, value in method.options.items())
        lines.append(f"{name:<22} {method.place:<6} {needs[method.needs]:<15} {method.text}")
        if told:
            lines.append(f"{'':<46}({told})")
    return "\n".join([f"{'method':<22} {'map of':<6} {'needs':<15} shows", *lines])


def read_value(name: str, key: str, value: str, default: Any) -> Any:
    """Return an option's value in the kind of its default; where that is None, a whole number."""
    kind = int if default is None else type(default)
    words = "a whole number from 0" if key == "seed" else {int: "a whole number", float: "a number"}.get(kind, "")
    try:
        found = kind(value)
    except ValueError:
        found = None
    if found is None or (kind is float and not math.isfinite(found)) or (key == "seed" and found < 0):
        raise WhyfakeError(f"option '{key}' of method '{name}' is '{value}'; expected {words}")
    return found


def pairs(layers: Sequence[str], methods: Sequence[str]) -> list[tuple[str, str]]:
    """Return every (layer, method) that a request gives, layer by layer, the image itself last.

    Example:
        >>> pairs(["conv"], ["saliency", "hirescam"])
        [('conv', 'hirescam'), ('input', 'saliency')]
    """
    asked = specs(methods)
    found = [(layer, spec.text) for layer in layers for spec in asked if spec.method.place == "layer"]
    return found + [(INPUT, spec.text) for spec in asked if spec.method.place == "input"]


def beside(wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what methods find beside their maps, each under its method's name and its own.

    Example:
        >>> beside([("conv", "hirescam"), ("input", "rise:masks=20")])
        [('input', 'rise:masks=20:standard_error')]
    """
    return [(layer, f"{method}:{name}") for layer, method in wanted for name in parse(method).method.beside]


def resolve(methods: Sequence[str], detector: Any, beside: Sequence[str] = (), seed: int = 0) -> tuple[str, ...]:
    """Return methods with "auto" replaced by the one to trust on a model's head.

    Args:
        methods: as in `parse`, or "auto".
        detector: the detector, or a black box.
        beside: shown with it, to compare; left out of black boxes, which have no layers.
        seed: of every method that draws and was given none; 0 is what they take by themselves.

    Raises:
        WhyfakeError: an unknown method or option, or two methods of one name.
    """
    found: list[str] = []
    for text in methods:
        if text == "auto":
            found += [*(beside if detector.gradients else ()), detector.default_method()[0]]
        else:
            draws = "seed" in parse(text).options and ":seed=" not in text
            found.append(f"{text}:seed={seed}" if draws and seed else text)
    specs(found)  # before an image is read
    return tuple(dict.fromkeys(found))


def selected(detector: Any, layers: str, methods: Sequence[str]) -> list[str]:
    """Return the layers to map; none where every method maps the image itself."""
    return detector.select(layers) if any(parse(text).method.place == "layer" for text in methods) else []
