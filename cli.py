"""The `whyfake` command: one thin function per command, heavy imports inside the bodies."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from xai.foreign import open_detector, taken
from xai.terminal import Commands, facing, finish, say, scaling, serving, several, shared, split_names, talk, testing, training
from xai.version import VERSION

LARGE = 50_000_000  # bytes of a page


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

    import_quietly(training=True)
    from train.demo import run

    result = run(Path(out), size=size, count=count, epochs=epochs, seed=seed, say=talk(quiet), quiet=quiet, render=render_page)
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
@click.argument("data")
@click.option("--out", help="Folder for the page, inspection.json and files.csv.")
@click.option("--positive", type=click.Choice(["fake", "real"]), help="What 1 stands for where classes are only called 0 and 1.")
@shared("limit", "seed", "strict", "quiet", "json")
def inspect(data: str, out: str | None, positive: str | None, limit: int | None, seed: int, strict: bool, quiet: bool, as_json: bool) -> None:
    """Look at a data set: counts, sizes, formats, duplicates, and what files alone give away."""
    from train import inspection

    found = inspection.inspect(data, positive=positive, limit=limit, seed=seed, quiet=quiet)
    click.echo(json.dumps(inspection.summary(found)) if as_json else inspection.text(found))
    if out:
        page = render_page(inspection.write(found, out))
        say(f"report: {page}")
    finish(found["skipped"], Path(out) / "skipped.csv" if out else None, strict)


@main.command()
@click.argument("name")
@click.argument("data")
@click.option("--out", default=None, help="Folder for the model and its card.  [default: runs/NAME]")
@click.option("--encoder", type=click.Path(), help="Of encoder-classifier: the autoencoder's model or folder.")
@click.option("--head", type=click.Choice(["dense", "conv"]), help="Of encoder-classifier.  [default: dense]")
@click.option("--resume", is_flag=True, help="Go on after the last whole epoch of a training that was stopped; leave one that is over.")
@training("workers")
@shared("batch-size", "seed", "strict", "quiet", "json")
def train(name: str, data: str, out: str | None, resume: bool, strict: bool, quiet: bool, as_json: bool, **choices: Any) -> None:
    """Train network NAME on DATA: a folder with real/ and fake/ in it, or another layout that 'inspect' names.

    NAME is one of the networks of the reference. An autoencoder learns from images without labels;
    transfer:BACKBONE starts from any network of keras.applications.
    """
    from train.distribute import prepare

    prepare(choices["devices"])
    from train import autoencode, fit
    from train.options import worded

    folder = Path(out or Path("runs") / name.replace(":", "-"))
    options = worded(name, **choices)
    job: Any = autoencode.fit if name == "autoencoder" else fit.fit
    result = job(name, data, folder, options, resume=resume, say=talk(quiet), quiet=quiet)
    page = render_page(folder) if (folder / "metrics.json").exists() or name == "autoencoder" else None
    if as_json:
        keys = [key for key in ("metrics", "reconstruction") if key in result.card]
        click.echo(json.dumps({"model": str(result.model), "epochs": result.card["training"]["epochs"]} | {key: result.card[key] for key in keys}))
    else:
        from xai.metrics import report as text

        measured = {} if name == "autoencoder" else result.metrics
        if part := next((part for part in ("test", "valid") if part in measured), ""):  # in full on the test set, or on what there is
            click.echo(f"{'test' if part == 'test' else 'validation'}: {text(measured[part])}\n")
        click.echo("\n".join([f"model: {result.model}", *([f"report: {page}"] if page else [])]))
    finish(result.skipped, folder / "skipped.csv", strict)


@main.command()
@click.argument("data")
@click.option("--out", default="runs/zoo", show_default=True, help="Folder for the comparison and its trainings.")
@several("--networks", help="Names with commas between.  [default: the seven of the 64 x 64 comparison]")
@several("--shares", help="Also train on these shares of the training images, such as 0.25,0.5: a learning curve.")
@training()
@shared("batch-size", "seed", "strict", "quiet", "json")
def zoo(data: str, out: str, networks: str, shares: str, augment: str, strict: bool, quiet: bool, as_json: bool, **choices: Any) -> None:
    """Train several networks on DATA under one protocol and compare them; the same command goes on after a stop."""
    from xai.backend import import_quietly

    import_quietly(training=True)
    from train import zoo as comparison
    from train.augment import Augment

    names = split_names(networks, "--networks", "network") if networks else comparison.USUAL
    found = comparison.compare(
        data, out, names=names, shares=comparison.parse_shares(shares), augment=Augment.parse(augment), say=talk(quiet), quiet=quiet, **choices
    )
    page = render_page(Path(out))
    click.echo(json.dumps(found) if as_json else f"{comparison.text(found)}\nreport: {page}")
    finish(found["skipped"], None, strict)


@main.command()
@click.argument("model")
@click.argument("data")
@click.option("--out", help="Folder for metrics.json, predictions.csv and pictures.")
@shared("split", "batch-size", "limit", "seed", "foreign", "strict", "quiet", "json")
def evaluate(
    model: str, data: str, out: str | None, split: str, batch_size: int | None, limit: int | None, seed: int, strict: bool, quiet: bool,
    as_json: bool, **foreign: Any,
) -> None:  # fmt: skip
    """Measure MODEL on a labelled folder DATA."""
    from train.evaluate import evaluate as measure_all
    from train.evaluate import told as text

    detector, positive = open_detector(model, foreign)
    metrics, skipped = measure_all(
        detector, data, out=out, split=split, limit=limit, seed=seed, positive=positive, batch_size=batch_size, quiet=quiet
    )
    click.echo(json.dumps(metrics) if as_json else text(metrics))
    if out:
        say(f"report: {render_page(Path(out))}")
    finish(skipped, Path(out) / "skipped.csv" if out else None, strict)


@main.command()
@click.argument("model")
@shared("foreign", "json")
def layers(model: str, as_json: bool, **foreign: Any) -> None:
    """List the layers of MODEL that can be mapped, its head, and the method to trust by default."""
    from xai import layertable

    detector, _ = open_detector(model, foreign)
    click.echo(json.dumps(layertable.record(detector)) if as_json else layertable.text(detector))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable result on standard output.")
def methods(as_json: bool) -> None:
    """List the map methods: what each shows, needs, and may be told."""
    from xai.maps.methods import METHODS, table

    click.echo(json.dumps({name: method.record() for name, method in METHODS.items()}) if as_json else table())


@main.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--out", required=True, help="Folder for the overlays.")
@click.option("--target", default="fake", show_default=True, type=click.Choice(["fake", "real"]), help="Show the evidence for this class.")
@click.option("--signed", is_flag=True, help="Show evidence for and against, in diverging colours.")
@click.option("--opacity", default=0.6, show_default=True, type=click.FloatRange(0, 1), help="Of the strongest value.")
@click.option("--fuse", "fused", is_flag=True, help="One overlay per method: its maps of all layers as one.")
@click.option("--maps", is_flag=True, help="Also write maps.h5: raw maps at their own resolution, with their placement.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Threads that decode and write.")
@click.option("--clean", is_flag=True, help="At the end, remove what earlier runs with other options noted in OUT/shards.")
@shared("layers", "method", "stretch", "batch-size", "limit", "seed", "foreign", "strict", "quiet", "json")
def explain(
    model: str, images: Sequence[str], out: str, stretch: bool, methods: str, seed: int, strict: bool, quiet: bool, as_json: bool, **choices: Any
) -> None:  # fmt: skip
    """Write overlays, one per image x layer x method, for IMAGES (files or folders); the same command goes on where it was stopped."""
    from xai.maps.methods import resolve
    from xai.overlays import write_overlays

    detector, _ = open_detector(model, choices)
    detector = detector.stretch() if stretch else detector
    asked = resolve(split_names(methods), detector, seed=seed)
    result = write_overlays(detector, images, out, methods=asked, quiet=quiet, say=talk(quiet), **choices)
    if as_json:
        numbers = {"images": result.images, "overlays": result.overlays, "empty": result.empty, "skipped": len(result.skipped), "out": out}
        click.echo(json.dumps(numbers))
    else:
        empty = f", {result.empty} of them of empty maps" if result.empty else ""
        click.echo(f"{result.overlays} overlays of {result.images} images{empty}: {out}")
    finish(result.skipped, Path(out) / "skipped.csv", strict)


@main.command()
@click.argument("images", nargs=-1, required=True)
@click.option("--out", required=True, help="Folder for the pictures, regions.csv and skipped.csv.")
@click.option("--regions", default="mesh", show_default=True, type=click.Choice(["mesh", "template"]), help="The face mesh, or a mean face.")
@click.option("--masks", help="Folder of label images to draw instead, with a legend.json or CelebAMask-HQ's classes.")
@shared("limit", "strict", "quiet", "json")
def regions(images: Sequence[str], out: str, regions: str, masks: str | None, limit: int | None, strict: bool, quiet: bool, as_json: bool) -> None:
    """Draw the parts of the face over IMAGES (files or folders), to see whether they lie where they should."""
    from xai.regions import show

    result = show.show_regions(images, out, regions=regions, masks=masks, limit=limit, quiet=quiet, say=talk(quiet))
    if as_json:
        click.echo(json.dumps({"images": result.images, "source": result.source, "parts": result.parts, "skipped": len(result.skipped), "out": out}))
    else:
        click.echo(f"{show.text(result)}\n{result.images} picture{'s' if result.images != 1 else ''}: {out}")
    finish(result.skipped, Path(out) / "skipped.csv", strict)


@main.command()
@click.argument("model")
@click.argument("data")
@click.option("--out", required=True, help="The run directory; the same command goes on where it was stopped.")
@facing()
@shared("layers", "methods", "split", "stretch", "batch-size", "limit", "seed")
@scaling()
@shared("foreign", "layout", "strict", "quiet", "json")
def audit(
    model: str, data: str, out: str, masks: str | None, methods: str, batch_size: int | None, clean: bool, kind: str, address: str | None,
    actors: int | None, cpus: float, gpus: float, layout: str, strict: bool, quiet: bool, as_json: bool, **choices: Any,
) -> None:  # fmt: skip
    """Map MODEL over a data set DATA, swap face parts to see what it uses, and write the report."""
    from train.audit import audit_folder
    from xai.engine.engines import Engine
    from xai.provenance import Request

    if kind == "local" and (address or actors):
        raise click.UsageError(f"{'--address' if address else '--actors'} is for --engine ray; give that too")
    detector, positive = open_detector(model, choices)
    request = Request(masks=masks, methods=tuple(split_names(methods)), command=("whyfake", *sys.argv[1:]), **choices)
    result = audit_folder(
        detector, data, out, request, positive=positive, engine=Engine(kind, address, actors, cpus, gpus), batch_size=batch_size, clean=clean,
        quiet=quiet, say=talk(quiet),
    )  # fmt: skip
    tell(result, layout, as_json, strict)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", required=True, help="Folder for the merged run.")
@shared("layout", "strict", "quiet", "json")
def merge(runs: Sequence[str], out: str, layout: str, strict: bool, quiet: bool, as_json: bool) -> None:
    """Join RUNs that audited different images with the same model and options, on different machines say, and write the report."""
    from xai.merge import merge_runs

    result = merge_runs(runs, out, command=("whyfake", *sys.argv[1:]), say=talk(quiet))
    tell(result, layout, as_json, strict)


def tell(result: Any, layout: str, as_json: bool, strict: bool) -> None:
    """Render the page of an audit and say what it found."""
    page = render_page(result.folder, layout)
    if as_json:
        click.echo(json.dumps({"report": str(page)} | {key: result.summary[key] for key in ("images", "metrics", "claims", "verdicts")}))
    else:
        believed = (result.summary["trust"] or {}).get("meaning")
        for line in [result.summary["finding"], *result.summary["verdicts"], believed, *result.summary["notes"]]:
            if line:
                click.echo(line)
        click.echo(f"report: {page}")
    finish(result.skipped, result.folder / "skipped.csv", strict)


@main.command()
@click.argument("model")
@click.argument("data", required=False)
@click.option("--out", required=True, help="Folder for the page, features.json and the pictures.")
@click.option(
    "--channels", default="8", show_default=True,
    help="How many of a layer, all, or numbers with commas ('7,' for one alone). So many: those whose maximum varies most between images; "
    "without DATA the first.",
)  # fmt: skip
@click.option("--steps", default=96, show_default=True, type=click.IntRange(1), help="Of the ascent from grey to a picture.")
@click.option("--top", default=9, show_default=True, type=click.IntRange(1, 100), help="Images per channel.")
@shared("layers", "split", "batch-size", "limit", "seed", "foreign", "strict", "quiet", "json")
def features(
    model: str, data: str | None, out: str, split: str, limit: int | None, seed: int, strict: bool, quiet: bool, as_json: bool, **choices: Any
) -> None:
    """Show what the channels of MODEL look for: pictures made to excite them, beside the strongest places in DATA."""
    from train.audit import Items, chosen

    detector, positive = open_detector(model, choices)
    from xai.features import write_features  # brings TensorFlow, which must be imported quietly first

    items: Any = []
    name = ""
    if data:
        manifest, _ = chosen(detector, data, split=split, limit=limit, seed=seed, labelled=False, positive=positive, out=out)
        items, name = Items(manifest), manifest.name
    found = write_features(
        detector, items, out, seed=seed, limit=limit, data=name, command=("whyfake", *sys.argv[1:]), quiet=quiet, say=talk(quiet), **choices
    )
    page = render_page(found.folder)
    click.echo(json.dumps(found.counts | {"report": str(page)}) if as_json else f"{found.text}\nreport: {page}")
    finish(found.skipped, found.folder / "skipped.csv", strict)


@main.command()
@click.argument("what", metavar="NAME|MODEL")
@click.option("--out", help="Folder for the leaderboard; the same command goes on where it was stopped.  [default: runs/selftest-NAME]")
@testing()
@shared("positive", "colour-order", "range", "mean", "std", "crop", "resize", "output", "trust", "seed", "quiet", "json")
def selftest(what: str, out: str | None, plants: str | None, seed: int, quiet: bool, as_json: bool, **choices: Any) -> None:
    """Find out which map tells the truth on an architecture: plant artefacts, train on them, score every map against them.

    NAME is a network, trained from its start; of a MODEL a copy is fine-tuned. The result is remembered:
    audits of the same architecture take it for --method auto and name the methods that failed.
    """
    from xai.backend import import_quietly

    import_quietly(training=True)
    from train.selftest import Settings
    from train.selftest import selftest as run
    from train.selftestwords import text

    folder = out or str(Path("runs") / f"selftest-{Path(what).stem.replace(':', '-')}")
    if plants:
        choices["plants"] = tuple(split_names(plants, "--plants", "plant"))
    foreign = taken(choices, but="size")
    settings = Settings(seed=seed, foreign=foreign, **choices)
    found = run(what, folder, settings, command=("whyfake", *sys.argv[1:]), say=talk(quiet), quiet=quiet)
    page = render_page(found.folder)
    click.echo(json.dumps(found.summary) if as_json else f"{text(found.summary)}\nreport: {page}")


@main.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@serving()
@shared("foreign", "quiet")
def serve(models: Sequence[str], donors: str | None, unsure: tuple[float, float], quiet: bool, **choices: Any) -> None:
    """Answer uploads on a web page and to programs: Real or Fake, and why. MODELs are files, or folders of them."""
    from reports.web.limits import Limits
    from reports.web.serve import ready, serve
    from reports.web.served import files

    ready()
    own = taken(choices)
    detectors = [open_detector(str(file), dict(own))[0] for model in models for file in files(Path(model))]
    from train.lenders import lenders

    serve(detectors, limits=Limits(unsure=unsure), pools=lenders(donors) if donors else None, say=say, quiet=quiet, **choices)


@main.command()
@click.argument("folder")
@click.option(
    "--format", "form", default="html", show_default=True, type=click.Choice(["html", "md", "pdf"]),
    help="The page, or of an audit a short version: summary.md, or report.pdf, which Chromium prints.",
)  # fmt: skip
@shared("layout")
def report(folder: str, form: str, layout: str) -> None:
    """Render the page of a FOLDER of results again, or a short version; needs neither model nor images."""
    if form != "html" and layout != "auto":
        raise click.UsageError(f"--single-file and --folder are for the page; leave them out with --format {form}")
    click.echo(f"report: {render_page(Path(folder), layout, form)}")


def render_page(folder: Path, layout: str = "auto", form: str = "html") -> Path:
    """Render a run's page, or a short version of it."""
    from reports import render

    page = render(folder, layout, form=form)
    if page.stat().st_size > LARGE:
        say(f"{page.name} has {page.stat().st_size / 1e6:.0f} MB, which browsers open slowly; --folder makes a folder that opens at once")
    return page


if __name__ == "__main__":
    main()
