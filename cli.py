"""The `whyfake` command: one thin function per command, heavy imports inside the bodies."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from xai.errors import WhyfakeError, readable
from xai.version import VERSION


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


def shared(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds options which look and mean the same everywhere."""
    options = {
        "layers": click.option("--layers", default="auto", show_default=True, help="auto, conv, last, all, or names with commas between."),
        "methods": click.option("--method", "methods", default="activation,gradcam,hirescam", show_default=True, help="Map methods, commas between."),
        "method": click.option(
            "--method", "methods", default="hirescam", show_default=True, help="Map methods, commas between: activation, gradcam, hirescam."
        ),
        "batch-size": click.option("--batch-size", type=click.IntRange(1), help="Images a pass; by default as the size allows."),
        "seed": click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of every random choice."),
        "limit": click.option("--limit", type=click.IntRange(1), help="Take at most so many images."),
        "positive": click.option(
            "--positive", type=click.Choice(["fake", "real"]), help="What a high score of a foreign model means.  [default: from the card, else fake]"
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
        "split": click.option(
            "--split",
            default="all",
            show_default=True,
            type=click.Choice(["all", "train", "valid", "test"]),
            help="Only images that were in this split in training.",
        ),
        "stretch": click.option("--stretch", is_flag=True, help="Stretch maps over the image as other tools do, instead of placing them."),
        "strict": click.option("--strict", is_flag=True, help="Fail if any image cannot be read."),
        "quiet": click.option("--quiet", is_flag=True, help="Print only the result and errors."),
        "json": click.option("--json", "as_json", is_flag=True, help="Machine-readable result on standard output."),
    }

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = options[name](function)
        return function

    return decorate


FOREIGN = ("positive", "size", "colour-order", "range")


def open_detector(model: str, foreign: dict[str, Any]) -> Any:
    """Load a detector with the options of a foreign model."""
    from xai.backend import import_quietly
    from xai.detector import load

    import_quietly()
    return load(model, **foreign)


def split_names(text: str) -> list[str]:
    """Return names given with commas between; none at all is wrong usage."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise click.UsageError("--method names no method; expected names with commas between")
    return names


def finish(skipped: dict[str, str], where: Path | None, strict: bool) -> None:
    """Say what was skipped; with --strict that is a failure."""
    if not skipped:
        return
    click.echo(f"skipped {len(skipped)} unreadable file{'s' if len(skipped) > 1 else ''}{f': see {where}' if where else ''}", err=True)
    if strict:
        path, reason = next(iter(sorted(skipped.items())))
        raise click.ClickException(readable(f"--strict: {len(skipped)} unreadable, the first is {path}: {reason}"))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="whyfake")
def main() -> None:
    """Where does a detector of generated faces look, does it use what it looks at, and should anyone believe the picture?

    Start with 'whyfake demo': it draws portraits, trains a detector, audits it and prints a report's path.
    """


@main.command()
@click.option("--out", default="runs/demo", show_default=True, help="Folder for everything the demo makes.")
@click.option("--size", default=512, show_default=True, type=click.IntRange(256), help="Side of the images in pixels.")
@click.option("--count", default=600, show_default=True, type=click.IntRange(60), help="Portraits to draw.")
@click.option("--epochs", default=6, show_default=True, type=click.IntRange(1), help="Training epochs at most.")
@shared("seed", "quiet", "json")
def demo(out: str, size: int, count: int, epochs: int, seed: int, quiet: bool, as_json: bool) -> None:
    """Draw portraits, train on them, audit the held-out ones."""
    from xai.backend import import_quietly

    import_quietly()
    from train.demo import run

    result = run(
        Path(out), size=size, count=count, epochs=epochs, seed=seed, say=(lambda line: None) if quiet else say, quiet=quiet, render=render_page
    )
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo("\n".join([*result["sentences"], f"report: {result['report']}"]))


@main.command()
@click.argument("folder")
@click.option("--count", default=600, show_default=True, type=click.IntRange(2), help="Images in all, half of them fake.")
@click.option("--size", default=512, show_default=True, type=click.IntRange(64, 4096), help="Side in pixels.")
@click.option("--artefact", default="checkerboard", show_default=True, help="What the fakes carry.")
@click.option("--region", help="Where it is planted.  [default: the artefact's own]")
@click.option("--strength", type=float, help="How strong.  [default: the artefact's own]")
@shared("seed", "quiet")
def portraits(folder: str, count: int, size: int, artefact: str, region: str | None, strength: float | None, seed: int, quiet: bool) -> None:
    """Draw a data set of portraits with exact region masks and a planted artefact."""
    from train.demo import draw_portraits

    path = draw_portraits(Path(folder), count=count, size=size, kind=artefact, region=region, strength=strength, seed=seed, quiet=quiet)
    click.echo(f"{count} portraits: {path}")


@main.command()
@click.argument("name")
@click.argument("data")
@click.option("--out", default=None, help="Folder for the model and its card.  [default: runs/NAME]")
@click.option("--size", type=click.IntRange(1), help="Side of the network's input in pixels.  [default: its project's, 1024 for alexnet18]")
@click.option("--epochs", default=40, show_default=True, type=click.IntRange(1), help="At most; stops earlier by itself.")
@click.option("--patience", default=8, show_default=True, type=click.IntRange(1), help="Epochs without a better validation loss.")
@click.option("--learning-rate", default=1e-4, show_default=True, type=click.FloatRange(0, min_open=True), help="Of Adam.")
@click.option("--test-share", default=0.15, show_default=True, type=click.FloatRange(0, 0.9), help="Of each class, set aside first.")
@click.option("--average", default=1.5, show_default=True, type=click.FloatRange(0, 50), help="Average the weights over so many epochs; 0: not.")
@click.option("--flip", is_flag=True, help="Mirror training images at random.")
@shared("batch-size", "seed", "strict", "quiet", "json")
def train(
    name: str, data: str, out: str | None, size: int | None, epochs: int, patience: int, learning_rate: float, test_share: float, average: float,
    flip: bool, batch_size: int | None, seed: int, strict: bool, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train network NAME on a folder DATA with real/ and fake/ in it."""
    from xai.backend import import_quietly

    import_quietly()
    from train.fit import Options, fit, native_size

    options = Options(
        size=size or native_size(name),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        seed=seed,
        test=test_share,
        flip=flip,
        average=average,
    )
    folder = Path(out or Path("runs") / name)
    result = fit(name, data, folder, options, say=(lambda line: None) if quiet else say, quiet=quiet)
    if as_json:
        click.echo(json.dumps({"model": str(result.model), "metrics": result.card["metrics"], "epochs": result.card["training"]["epochs"]}))
    else:
        from xai.metrics import report as text

        for part, metrics in result.card["metrics"].items():
            click.echo(f"{'test' if part == 'test' else 'validation'}\n{text(metrics)}\n")
        click.echo(f"model: {result.model}")
    finish(result.skipped, folder / "skipped.csv", strict)


@main.command()
@click.argument("model")
@click.argument("data")
@click.option("--out", help="Folder for metrics.json, predictions.csv and pictures.")
@shared("split", "batch-size", "limit", "seed", *FOREIGN, "strict", "quiet", "json")
def evaluate(
    model: str, data: str, out: str | None, split: str, batch_size: int | None, limit: int | None, seed: int, strict: bool, quiet: bool,
    as_json: bool, **foreign: Any,
) -> None:  # fmt: skip
    """Measure MODEL on a labelled folder DATA."""
    from train.evaluate import evaluate as measure_all
    from xai.metrics import report as text

    detector = open_detector(model, foreign)
    metrics, skipped = measure_all(detector, data, out=out, split=split, limit=limit, seed=seed, batch_size=batch_size, quiet=quiet)
    click.echo(json.dumps(metrics) if as_json else text(metrics))
    finish(skipped, Path(out) / "skipped.csv" if out else None, strict)


@main.command()
@click.argument("model")
@shared(*FOREIGN, "json")
def layers(model: str, as_json: bool, **foreign: Any) -> None:
    """List the layers of MODEL that can be mapped, its head, and the method to trust by default."""
    detector = open_detector(model, foreign)
    method, why = detector.default_method()
    rows = [
        {"name": layer.name, "type": layer.kind, "shape": layer.shape, "stride": layer.placement.stride, "offset": layer.placement.offset,
         "receptive_field": layer.placement.receptive_field}
        for layer in detector.layers.values()
    ]  # fmt: skip
    if as_json:
        click.echo(
            json.dumps(
                {
                    "layers": rows,
                    "refused": detector.refused,
                    "head": detector.head.kind,
                    "logit": detector.head.text,
                    "method": method,
                    "reason": why,
                }
            )
        )
        return
    click.echo(f"{detector.name}: {detector.size[1]} x {detector.size[0]}, head: {detector.head.kind}, logit: {detector.head.text}")
    click.echo(f"default method: {method} ({why})\n")
    width = max(len(row["name"]) for row in rows)
    click.echo(f"{'layer':<{width}}  {'type':<16} {'cells x channels':<18} {'stride':>12} {'first centre':>14} {'sees':>12}   (pixels, y x)")
    for row in rows:
        h, w, c = row["shape"]
        stride, offset, field = (" ".join(f"{value:g}" for value in row[key]) for key in ("stride", "offset", "receptive_field"))
        click.echo(f"{row['name']:<{width}}  {row['type']:<16} {f'{h} x {w} x {c}':<18} {stride:>12} {offset:>14} {field:>12}")
    for name, reason in detector.refused.items():
        click.echo(f"{name:<{width}}  no map: {reason}")


@main.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--out", required=True, help="Folder for the overlays.")
@click.option("--target", default="fake", show_default=True, type=click.Choice(["fake", "real"]), help="Show the evidence for this class.")
@click.option("--signed", is_flag=True, help="Show evidence for and against, in diverging colours.")
@click.option("--opacity", default=0.6, show_default=True, type=click.FloatRange(0, 1), help="Of the strongest value.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Threads that decode and write.")
@shared("layers", "method", "stretch", "batch-size", "limit", *FOREIGN, "strict", "quiet", "json")
def explain(
    model: str, images: Sequence[str], out: str, target: str, signed: bool, stretch: bool, opacity: float, workers: int, layers: str, methods: str,
    batch_size: int | None, limit: int | None, strict: bool, quiet: bool, as_json: bool, **foreign: Any,
) -> None:  # fmt: skip
    """Write overlays, one per image x layer x method, for IMAGES (files or folders)."""
    from xai.explanation import write_overlays

    detector = open_detector(model, foreign)
    result = write_overlays(
        detector.stretch() if stretch else detector, images, out, layers=layers, methods=split_names(methods), target=target, signed=signed,
        opacity=opacity, batch_size=batch_size, limit=limit, workers=workers, quiet=quiet, say=(lambda line: None) if quiet else say,
    )  # fmt: skip
    if as_json:
        click.echo(
            json.dumps({"images": result.images, "overlays": result.overlays, "empty": result.empty, "skipped": len(result.skipped), "out": out})
        )
    else:
        empty = f", {result.empty} of them of empty maps" if result.empty else ""
        click.echo(f"{result.overlays} overlays of {result.images} images{empty}: {out}")
    finish(result.skipped, Path(out) / "skipped.csv", strict)


@main.command()
@click.argument("model")
@click.argument("data")
@click.option("--out", required=True, help="The run directory; the same command goes on where it was stopped.")
@click.option("--masks", help="Folder of label images with a legend.json: adds the region table.")
@shared("layers", "methods", "split", "stretch", "batch-size", "limit", "seed", *FOREIGN, "strict", "quiet", "json")
def audit(
    model: str, data: str, out: str, split: str, masks: str | None, stretch: bool, layers: str, methods: str, batch_size: int | None,
    limit: int | None, seed: int, strict: bool, quiet: bool, as_json: bool, **foreign: Any,
) -> None:  # fmt: skip
    """Map MODEL over a data set DATA and write the report."""
    from train.audit import audit_folder
    from xai.provenance import Request

    request = Request(
        layers=layers, methods=tuple(split_names(methods)), seed=seed, limit=limit, split=split, masks=masks, stretch=stretch,
        command=("whyfake", *sys.argv[1:]),
    )  # fmt: skip
    detector = open_detector(model, foreign)
    result = audit_folder(detector, data, out, request, batch_size=batch_size, quiet=quiet, say=(lambda line: None) if quiet else say)
    page = render_page(result.folder)
    if as_json:
        click.echo(json.dumps({"report": str(page), "images": result.summary["images"], "metrics": result.summary["metrics"]}))
    else:
        for line in [result.summary["finding"], *result.summary["notes"]]:
            if line:
                click.echo(line)
        click.echo(f"report: {page}")
    finish(result.skipped, result.folder / "skipped.csv", strict)


@main.command()
@click.argument("folder")
def report(folder: str) -> None:
    """Render the page of a run FOLDER again; needs neither model nor images."""
    click.echo(f"report: {render_page(Path(folder))}")


def render_page(folder: Path) -> Path:
    """Render a run's page."""
    from reports import render

    return render(folder)


if __name__ == "__main__":
    main()
