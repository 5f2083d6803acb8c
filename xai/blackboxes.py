"""Detectors of which only the answers are known: any Python function from images to logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from xai.detector import Detector, finite
from xai.errors import LayerError, ModelError
from xai.graph import Graph, Step
from xai.head import Head
from xai.maps.methods import LAYERLESS
from xai.normalise import normalising
from xai.preprocess import conventions

EPSILON = 1e-7  # a probability nearer to 0 or 1 than this is taken for it: logits beyond ±16 cannot be told apart

Function = Callable[[np.ndarray], Any]


@dataclass(frozen=True, slots=True)
class Opaque(Head):
    """The end of a black box: nothing can be read on the way to it."""

    def logit(self, graph: Graph, values: dict[int, Any], sign: int) -> NoReturn:
        """Refuse: a traced pass would promise layers and gradients that a black box does not have."""
        raise LayerError(f"a black box has neither layers nor gradients; methods that need none: {LAYERLESS}")


@dataclass(frozen=True)
class BlackBox(Detector):
    """A detector without layers and gradients; `model` is the function itself.

    Its graph is one step, from the image to the answer. Everything that needs only
    logits works on it as on any detector.

    Args:
        probabilities: the function answers with probabilities, of which logits are made.
    """

    probabilities: bool = False

    @property
    def gradients(self) -> bool:
        """False: only answers are known."""
        return False

    @property
    def parameters(self) -> None:
        """None: how many numbers a black box has learnt is not known."""
        return None

    def select(self, layers: str = "auto") -> NoReturn:
        """Refuse every request.

        Raises:
            LayerError: always.
        """
        raise LayerError(f"'{self.name}' is a black box, which has no layers; methods that need none: {LAYERLESS}")

    def default_method(self) -> tuple[str, str]:
        """Return the map method to trust by default, and the reason."""
        return "occlusion", "a black box shows neither layers nor gradients; occlusion needs only its answers"

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logit of fake per image.

        Args:
            images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.

        Returns:
            float32 `(N,)`, in logits.

        Raises:
            ModelError: the function's answer has another shape, or is no number.
        """
        if not len(images):
            return np.zeros(0, np.float32)
        answers = np.asarray(self.model(np.asarray(images, np.float32)))
        return finite(self.sign * difference(answers, len(images), self.probabilities))


def blackbox(
    function: Function,
    size: int | tuple[int, int],
    *,
    name: str = "",
    positive: str | None = None,
    colour_order: str | None = None,
    value_range: tuple[float, float] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop: str | None = None,
    resize: str | None = None,
    threshold: float | None = None,
    probabilities: bool = False,
    path: str = "",
    sha256: str = "",
    card: dict[str, Any] | None = None,
    text: str = "",
) -> BlackBox:
    """Make a detector of a function, for every method that needs no gradients.

    Args:
        function: takes float32 `(N, height, width, 3)`, scaled and ordered as said here, and returns
            logits `(N,)` or `(N, 1)`, high for `positive`, or `(N, 2)`, of which the second unit is `positive`.
        size: input side in pixels, or (height, width).
        name: for reports; by default the function's own.
        positive: "fake" or "real": what a high answer means.
        colour_order: "RGB" or "BGR".
        value_range: what pixel values 0 and 255 become; default (0, 255).
        mean, std: what values lose after that, and by what they are divided, three each in the function's colour order.
        crop: "none", or what images are cropped to: the "centre", or the face that "mtcnn" or the "mesh" finds.
        resize: how images are resized, one of `xai.preprocess.RESIZES`; default "area".
        threshold: scores from here on are called fake; default 0.5.
        probabilities: the function answers with probabilities in [0, 1]. A saturated one has
            lost its logit: prefer logits.
        path, sha256, card: of the file it came from, if any.
        text: what its answer is, in words, for the report.

    Returns:
        The detector.

    Raises:
        ModelError: no function, or an impossible size or convention.

    Example:
        >>> brightness = blackbox(lambda images: images.mean((1, 2, 3)) - 100, 2, name="brightness")
        >>> brightness.logits(np.full((1, 2, 2, 3), 130, np.float32)).tolist()
        [30.0]
    """
    if not callable(function):
        raise ModelError(f"a black box is a function from images to logits; {type(function).__name__} cannot be called")
    name = name or getattr(function, "__name__", type(function).__name__)
    height, width = (size, size) if isinstance(size, int) else size
    described = conventions(
        card, (height, width), positive=positive, colour_order=colour_order, value_range=value_range, mean=mean, std=std, crop=crop, resize=resize
    )
    function = normalising(function, described["preprocessing"])
    if threshold is not None:
        described["threshold"] = threshold
    step = Step(name, function, None, {}, (0,), (1,), (None, 1))
    return BlackBox(
        model=function,
        graph=Graph([0], [1], [step]),
        head=Opaque(step, False, 1, text or f"the answer of '{name}', a black box", "black box"),
        layers={},
        refused={},
        name=(card or {}).get("name") or name,
        path=path,
        sha256=sha256,
        card=card,
        probabilities=probabilities,
        **described,
    )


def difference(answers: np.ndarray, count: int, probabilities: bool) -> np.ndarray:
    """Return logits from a function's answers: one unit as it is, two as the second minus the first.

    Args:
        answers: `(N,)`, `(N, 1)` or `(N, 2)`.
        count: N, the images that were handed in.
        probabilities: the answers lie in [0, 1]; two units are those of a softmax.

    Returns:
        float32 `(N,)`.

    Raises:
        ModelError: another shape, or probabilities outside [0, 1].

    Example:
        >>> difference(np.array([[1.0, 3.0]]), 1, probabilities=False).tolist()
        [2.0]
        >>> difference(np.array([0.5]), 1, probabilities=True).tolist()
        [0.0]
    """
    if answers.shape not in ((count,), (count, 1), (count, 2)) or answers.dtype.kind not in "fiub":
        raise ModelError(
            f"the black box answered with {answers.dtype} of shape {answers.shape} to {count} images; expected numbers of shape "
            f"({count},), ({count}, 1) or ({count}, 2): logits of fake, or of real and fake"
        )
    values = answers.astype(np.float64)
    if probabilities:
        if not ((values >= -1e-6) & (values <= 1 + 1e-6)).all():
            raise ModelError(f"the black box answered {values.min():.4g} to {values.max():.4g}; expected probabilities in [0, 1]")
        values = np.clip(values, EPSILON, 1 - EPSILON)
        values = np.log(values) - (np.log1p(-values) if values.size == count else 0)
    values = values.reshape(count, -1)
    return (values[:, 0] if values.shape[1] == 1 else values[:, 1] - values[:, 0]).astype(np.float32)


def laid_out(run: Function, first: bool, batch: int | None, kind: Any = np.float32) -> Function:
    """Return a function from images float32 `(N, H, W, 3)` to answers `(N, units)`, of one that is more particular.

    Args:
        run: takes images of its own layout, number and type.
        first: it takes channels first.
        batch: how many images it takes at once; None for any number.
        kind: its number type; pixels are rounded to whole numbers.

    Example:
        >>> laid_out(lambda images: images.sum((2, 3)), True, 2)(np.ones((3, 2, 2, 3), np.float32)).tolist()
        [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]
    """
    whole = np.dtype(kind).kind in "iu"

    def answers(images: np.ndarray) -> np.ndarray:
        if whole:
            images = np.clip(np.rint(images), 0, 255)
        values = np.ascontiguousarray(images.transpose(0, 3, 1, 2) if first else images, kind)
        step = batch or len(values)
        parts = []
        for start in range(0, len(values), step):
            part = values[start : start + step]
            filled = np.concatenate([part, np.repeat(part[-1:], step - len(part), 0)]) if len(part) < step else part
            found = np.asarray(run(filled))
            if not found.ndim or len(found) != len(filled):
                raise ModelError(f"the model answers {len(filled)} images with shape {found.shape}; expected a row per image")
            parts.append(found[: len(part)].reshape(len(part), -1))
        return np.concatenate(parts)

    return answers
