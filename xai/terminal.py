"""How the command line talks: errors in one line, options that mean the same everywhere, what was skipped."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from xai.errors import WhyfakeError, readable, tally
from xai.foreign import FOREIGN, foreign_options


class Commands(click.Group):
    """Turns every error the user can mend into one line and exit status 1, in one place."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WhyfakeError as error:
            raise click.ClickException(readable(" ".join(str(error).split()))) from None
        except MemoryError:
            raise click.ClickException("out of memory; try a smaller --batch-size") from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # `whyfake … | head`: click ends quietly
                raise
            where = f" ('{error.filename}')" if error.filename else ""
            raise click.ClickException(readable(f"{error.strerror or error}{where}")) from None

        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:
            if os.environ.get("WHYFAKE_DEBUG"):
                raise
            text = readable(" ".join(str(error).split()))[:300]
            if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which must not be imported here
                raise click.ClickException("out of memory; try a smaller --batch-size") from None
            raise click.ClickException(f"unexpected {type(error).__name__}: {text}; WHYFAKE_DEBUG=1 shows where, please report it") from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the work, not of the alphabet


def say(line: str) -> None:
    """Print a line for people: on standard error, so that --json output stays clean."""
    click.echo(line, err=True)


def talk(quiet: bool) -> Callable[[str], None]:
    """Return `say`, or what says nothing."""
    return (lambda line: None) if quiet else say


def several(*names: str, default: str = "", help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option of names with commas between, which may also be given several times."""
    help += f"  [default: {default}]" if default else ""
    return click.option(*names, multiple=True, default=[default], help=help, callback=lambda context, option, given: ",".join(given))


def shared(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds options which look and mean the same everywhere; "foreign" stands for all of a foreign model."""
    options = foreign_options() | {
        "layers": several("--layers", default="auto", help="auto, conv, last, all, or names with commas between."),
        "methods": several(
            "--method",
            "methods",
            default="auto",
            help="Map methods, commas between, as NAME or NAME:OPTION=VALUE; 'whyfake methods' lists them. auto: what a self-test of the "
            "architecture recommends, else what suits the model's head, beside activation, gradcam and hirescam.",
        ),
        "method": several(
            "--method",
            "methods",
            default="auto",
            help="Map methods, commas between, as NAME or NAME:OPTION=VALUE; 'whyfake methods' lists them. auto: what a self-test "
            "of the architecture recommends, else what suits the model's head.",
        ),
        "batch-size": click.option("--batch-size", type=click.IntRange(1), help="Images a pass; by default as the size allows."),
        "seed": click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of every random choice."),
        "limit": click.option("--limit", type=click.IntRange(1), help="Take at most so many images."),
        "split": click.option(
            "--split",
            default="all",
            show_default=True,
            type=click.Choice(["all", "train", "valid", "test"]),
            help="Only images that were in this split in training.",
        ),
        "stretch": click.option("--stretch", is_flag=True, help="Stretch maps over the image as other tools do, instead of placing them."),
        "layout": click.option(
            "--single-file/--folder",
            "layout",
            default=None,
            callback=lambda context, option, value: {None: "auto", True: "single", False: "folder"}[value],
            help="The page as one file, or as a folder with its data beside it.  [default: by the number of images]",
        ),
        "strict": click.option("--strict", is_flag=True, help="Fail if any image cannot be read."),
        "quiet": click.option("--quiet", is_flag=True, help="Print only the result and errors."),
        "json": click.option("--json", "as_json", is_flag=True, help="Machine-readable result on standard output."),
    }

    spelt = [one for name in names for one in (FOREIGN if name == "foreign" else (name,))]
    return adding([options[name] for name in spelt])


def adding(options: list[Callable[..., Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds options in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def training(*devices: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds what `train` and `zoo` both take; names as in `train.options.Options`.

    Args:
        devices: what --devices may be beside one and all. Several machines are one more answer to its
            question; a flag of their own could contradict it.
    """
    return adding(
        [
            click.option("--size", type=click.IntRange(1), help="Side of the input in pixels.  [default: its project's, 1024 for alexnet18]"),
            click.option("--epochs", default=40, show_default=True, type=click.IntRange(1), help="At most; stops earlier by itself."),
            click.option("--patience", default=8, show_default=True, type=click.IntRange(1), help="Epochs without a better validation loss."),
            click.option("--learning-rate", default=1e-4, show_default=True, type=click.FloatRange(0, min_open=True), help="Of Adam."),
            click.option(
                "--test-share", "test", default=0.15, show_default=True, type=click.FloatRange(0, 0.9), help="Of each class, set aside first."
            ),
            click.option(
                "--average", default=1.5, show_default=True, type=click.FloatRange(0, 50), help="Average the weights over so many epochs; 0: not."
            ),
            several("--augment", default="none", help="Random changes: flip, crop, jpeg, blur, colour, erase; commas between, =strength."),
            click.option(
                "--balance", default="none", show_default=True, type=click.Choice(["none", "class-weight", "undersample", "oversample"]),
                help="What to do about classes of unequal size.",
            ),
            click.option(
                "--crop", default="none", show_default=True, type=click.Choice(["none", "centre", "mtcnn", "mesh"]),
                help="Cut images to the middle 5/8, for pictures framed as FFHQ's, or to the face that MTCNN or the mesh finds.",
            ),
            click.option("--positive", type=click.Choice(["fake", "real"]), help="What 1 stands for where classes are only called 0 and 1."),
            click.option("--weights", help="Of transfer learning: imagenet, none or a FILE.  [default: imagenet]"),
            click.option(
                "--frozen-epochs", "frozen", type=click.IntRange(0),
                help="Of transfer learning: epochs at most before the backbone is tuned too.  [default: 8]",
            ),
            click.option(
                "--precision", default="float32", show_default=True, type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]),
                help="Mixed precision is faster on GPUs; the saved model is float32.",
            ),
            click.option(
                "--devices", default="one", show_default=True, type=click.Choice(["one", "all", *devices]),
                help="Of this machine, to train on" + ("; workers: with those on other machines that TF_CONFIG names." if devices else "."),
            ),
        ]
    )  # fmt: skip


def facing() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds what an audit may be told of face parts; names as in `xai.provenance.Request`."""
    return adding(
        [
            click.option(
                "--regions", default="auto", show_default=True, type=click.Choice(["auto", "mesh", "template", "none"]),
                help="Who says the parts of the face: the face mesh, or a mean face for sets aligned as FFHQ is. auto: label images, else the mesh.",
            ),
            click.option("--masks", help="Folder of label images of the parts, with a legend.json or CelebAMask-HQ's classes."),
            click.option(
                "--claim", "claims", multiple=True, metavar="TEXT",
                help="Judge a claim: 'eyes', 'eyes > mouth', 'background < 10%'; may be repeated.  [default: eyes]",
            ),
            click.option(
                "--effects", default=40, show_default=True, type=click.IntRange(0),
                help="Images whose parts are swapped to see what the detector uses, half of each class; 0: none.",
            ),
            click.option("--donors", default=2, show_default=True, type=click.IntRange(1, 50), help="Faces that each part is taken from."),
            click.option("--grey", is_flag=True, help="Also fill the parts with grey, which misleads: it adds edges that no face has."),
            click.option(
                "--checks", default=16, show_default=True, type=click.IntRange(0),
                help="Images on which it is tested whether the maps can be believed, half of each class; 0: none.",
            ),
        ]
    )  # fmt: skip


def scaling() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds what an audit may be told of many images and many machines; names as in `xai.engine.engines.Engine`."""
    return adding(
        [
            click.option(
                "--keep-maps", default="sample", show_default=True, type=click.Choice(["none", "sample", "all"]),
                help="Whose maps stand in full in maps.h5: sample takes up to 1,000 images. Means, shares and the page have all in any case.",
            ),
            click.option(
                "--maps-dtype", default="float32", show_default=True, type=click.Choice(["float32", "float16"]), help="Of the maps in full."
            ),
            click.option("--clean", is_flag=True, help="At the end, remove partial results of earlier runs with other parameters from OUT."),
            click.option("--engine", "kind", default="local", show_default=True, type=click.Choice(["local", "ray"]), help="What makes the maps."),
            click.option("--address", help="With --engine ray: of a running cluster, such as auto or host:6379.  [default: Ray on this machine]"),
            click.option("--actors", type=click.IntRange(1), help="With --engine ray: processes.  [default: as many as there is room for]"),
            click.option("--actor-cpus", "cpus", default=1.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Cores of each."),
            click.option("--actor-gpus", "gpus", default=0.0, show_default=True, type=click.FloatRange(0), help="GPUs of each; 0.25: four share it."),
        ]
    )  # fmt: skip


def testing() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds what a self-test may be told; names as in `train.selftest.Settings`."""
    return adding(
        [
            click.option("--size", "--model-size", "size", type=click.IntRange(64), help="Side of the images.  [default: 256, or the model's own]"),
            click.option(
                "--plants",
                help="What to plant, commas between: KIND, KIND:REGION or KIND:REGION:STRENGTH.  [default: a checkerboard on eyes, mouth, nose "
                "and brows, a watermark, a colour cast, JPEG blocks]",
            ),
            click.option("--photos", type=click.Path(), help="Plant in the real photos of this folder, not in drawn portraits; needs the face mesh."),
            click.option("--count", default=600, show_default=True, type=click.IntRange(60), help="Images a plant, half of them fake."),
            click.option("--images", default=40, show_default=True, type=click.IntRange(8), help="Held-out fakes that quick methods are scored on."),
            click.option(
                "--slow", default=1, show_default=True, type=click.IntRange(0),
                help="Of those, for methods that ask the network hundreds of times a map; 0 leaves these out.",
            ),
            click.option("--effects", default=16, show_default=True, type=click.IntRange(0), help="Held-out images whose regions are swapped."),
            click.option("--epochs", default=12, show_default=True, type=click.IntRange(1), help="At most, for each training."),
            click.option("--learning-rate", default=3e-4, show_default=True, type=click.FloatRange(0, min_open=True), help="Of Adam."),
            click.option("--keep", is_flag=True, help="Keep the planted images."),
        ]
    )  # fmt: skip


def split_names(text: str, option: str = "--method", what: str = "method") -> list[str]:
    """Return names given with commas between; none at all is wrong usage."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise click.UsageError(f"{option} names no {what}; expected names with commas between")
    return names


def finish(skipped: dict[str, str], where: Path | None, strict: bool) -> None:
    """Say what was skipped; with --strict that is a failure."""
    if not skipped:
        return
    click.echo(f"{tally(skipped)}{f': see {where}' if where else ''}", err=True)
    if strict:
        path, reason = next(iter(sorted(skipped.items())))
        raise click.ClickException(readable(f"--strict: {tally(skipped)}; the first is {path}: {reason}"))


def serving() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of the web server."""
    return adding(
        [
            click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 lets others in, who may then use it."),
            click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 for any that is free."),
            click.option(
                "--token", default="", envvar="WHYFAKE_TOKEN", help="Ask every visitor for this word; better in the environment, as WHYFAKE_TOKEN."
            ),
            click.option(
                "--proxy",
                default="",
                metavar="NAME",
                help="Name under which a proxy on this machine (Caddy, nginx) is asked; visitors are told apart by its X-Forwarded-For.",
            ),
            click.option(
                "--regions",
                default="auto",
                show_default=True,
                type=click.Choice(["auto", "mesh", "template", "none"]),
                help="Who says which pixels are which part of a face; auto: the face mesh where it is installed.",
            ),
            click.option("--donors", help="Data set of real and fake faces that lend parts, to swap them; without it parts are blurred."),
            click.option(
                "--unsure",
                nargs=2,
                default=(0.4, 0.6),
                show_default=True,
                type=click.FloatRange(0, 1),
                metavar="LOW HIGH",
                help="Between these probabilities of fake the answer is 'not sure'.",
            ),
        ]
    )
