"""What a command line may say of a model from elsewhere: what it wants of pixels, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

FOREIGN = ("positive", "size", "colour-order", "range", "mean", "std", "crop", "resize", "output", "trust")
KEYWORDS = ("positive", "size", "colour_order", "value_range", "mean", "std", "crop", "resize", "output", "trust")  # the same, as functions call them


def taken(choices: dict[str, Any], but: str = "") -> dict[str, Any]:
    """Take the options of a foreign model out of a command's choices and return them."""
    return {name: choices.pop(name) for name in KEYWORDS if name != but}


def open_detector(model: str, choices: dict[str, Any]) -> tuple[Any, str | None]:
    """Load a detector with the options of a foreign model, which are taken out of a command's choices.

    Returns:
        The detector, what its own card says of the classes standing, and --positive as it was given.
    """
    from xai.backend import import_quietly
    from xai.detector import load

    import_quietly()
    foreign = taken(choices)
    positive = foreign.pop("positive")
    detector = load(model, **foreign)
    known = "positive" in (detector.card or {})
    return detector if known or positive is None else replace(detector, positive=positive), positive


def foreign_options() -> dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """Return the options by the names in `FOREIGN`."""
    return {
        "positive": click.option(
            "--positive",
            type=click.Choice(["fake", "real"]),
            help="What 1 stands for: in a foreign model's answer, in labels 0 and 1.  [default: from the card, else fake]",
        ),
        "size": click.option("--model-size", "size", type=click.IntRange(1), help="Input side of a model that takes any size."),
        "colour-order": click.option(
            "--colour-order", type=click.Choice(["RGB", "BGR"]), help="Of a foreign model.  [default: from the card, else RGB]"
        ),
        "range": click.option(
            "--range",
            "value_range",
            nargs=2,
            type=float,
            metavar="LOW HIGH",
            help="What pixel values 0 and 255 become for a foreign model.  [default: from the card, else 0 255]",
        ),
        "mean": click.option(
            "--mean",
            nargs=3,
            type=float,
            metavar="A B C",
            help="What a foreign model's pixels lose after that, by channel.  [default: from the card, else 0]",
        ),
        "std": click.option(
            "--std", nargs=3, type=float, metavar="A B C", help="By what they are then divided, by channel.  [default: from the card, else 1]"
        ),
        "crop": click.option(
            "--crop",
            type=click.Choice(["none", "centre", "mtcnn", "mesh"]),
            help="What a foreign model's images are cut to.  [default: from the card, else none]",
        ),
        "resize": click.option(
            "--resize",
            type=click.Choice(["area", "nearest", "bilinear", "bicubic", "pillow-bilinear", "pillow-bicubic", "pillow-lanczos"]),
            help="How a foreign model's images were resized in its training.  [default: from the card, else area]",
        ),
        "output": click.option("--output", metavar="NAME|INDEX", help="Which output speaks of fake, where a foreign model has several."),
        "trust": click.option(
            "--trust", is_flag=True, help="Run code that comes with the model: Lambda layers, TensorFlow programs, custom_objects.py beside it."
        ),
    }
