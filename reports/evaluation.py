"""What an evaluation or a training left, as a page: made of `metrics.json` and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports import making, network, words
from reports.run import read_json, read_rows
from reports.sheet import Picture, Section, Table, page
from xai import store
from xai.calibration import BINS, at_limit
from xai.errors import RunError

AGAIN = "run the same 'whyfake evaluate' or 'whyfake train' command again"
PICTURES = {
    "confusion.png": ("Answers by class", "Per row, shares of that class, with 95 % intervals."),
    "roc.png": ("Finding fakes against accusing reals", "Every point is a threshold. 0.5 would be chance, 1 is perfect."),
    "pr.png": ("Finding fakes against being right about them", "The average precision is the area below the line."),
    "scores.png": ("How the scores of each class are spread", ""),
    "calibration.png": (
        "Does a score mean what it says",
        "Of images scored 0.8, 80 % should be fake: points on the dotted line. Bars below: images per bin.",
    ),
    "curves.png": ("Loss and accuracy per epoch", ""),
}
SPLITS = {"train": "training", "valid": "validation", "test": "test"}
LEFT_OUT = "left out"  # as `train.manifest` calls what no split has
EVALUATION = ("count", "counts", "confusion", "accuracy", "classes", "calibration", "bootstrap")
Metrics = Mapping[str, Any]


def render(directory: str | Path) -> Path:
    """Write `index.html` of an evaluation; with `detector.json` beside it, of a training too.

    The page is a pure function of the other files: the same files give the same bytes.

    Args:
        directory: what `whyfake evaluate --out` or `whyfake train --out` wrote.

    Returns:
        The page's path.

    Raises:
        RunError: a needed file is missing or damaged; the old page, if any, stays.
    """
    folder = Path(directory)
    metrics = read_json(folder, "metrics.json", EVALUATION, AGAIN)
    card = read_json(folder, "detector.json", (), AGAIN) if (folder / "detector.json").is_file() else {}
    skipped = read_rows(folder, "skipped.csv", ("path", "reason"), needed=False)
    about = metrics.get("about") or {}
    name = str(about.get("model") or card.get("name") or "The detector")
    where = measured_on(about)
    try:
        text = page(
            f"{name} on {where}",
            lead(metrics),
            tiles(metrics),
            [
                Section("Answers", threshold(metrics), (overall(metrics), classes(metrics), *pictures(folder, "confusion.png"))),
                Section("Over all thresholds", "", (areas(metrics), *pictures(folder, "roc.png", "pr.png"))),
                Section("How sure it is", sure_lead(metrics), (belief(metrics), *pictures(folder, "scores.png", "calibration.png"))),
                training(folder, card),
                Section("Skipped", "", (Table("Files that could not be read", ("File", "Reason"), [(r["path"], r["reason"]) for r in skipped]),))
                if skipped
                else Section("Skipped"),
                made(metrics, card),
            ],
            eyebrow="whyfake train" if card else "whyfake evaluate",
            notes=[*notes(metrics, len(skipped)), *left_out(card)],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"metrics.json or detector.json in {folder} has an entry that lacks {error}; run the same command again") from error
    return store.write_bytes(folder / "index.html", text.encode("utf-8", "replace"))


def measured_on(about: Mapping[str, Any]) -> str:
    """Name the images.

    Example:
        >>> measured_on({"data": "faces", "split": "test"}), measured_on({"data": "faces", "split": "all"}), measured_on({"split": "valid"})
        ('faces, test split', 'faces', 'its validation split')
    """
    data, split = about.get("data"), SPLITS.get(str(about.get("split")))
    return f"{data}{f', {split} split' if split else ''}" if data else f"its {split or 'test'} split"


def lead(metrics: Metrics) -> str:
    """Say how often it is right, on each class, when it is sure, and whether its scores can be taken at their word."""
    right = metrics["confusion"]["TP"] + metrics["confusion"]["TN"]
    first = f"It is right on {right:,} of {words.plural(metrics['count'], 'image')}: {spoken(metrics, 'accuracy')}."
    parts = [
        f"{spoken(entry, 'recall')} of the {group}s" for group, entry in metrics["classes"].items() if group in ("real", "fake") and entry["support"]
    ]
    by_class = f"It recognises {' and '.join(parts)}."
    sure = metrics["calibration"]["confident"]
    limit = words.percent(sure["level"], 0)
    if sure["count"]:
        said = f"{spoken(sure, 'share')} of the images get a score that is at least {limit} sure; of those {spoken(sure, 'accuracy')} are right."
    else:
        said = f"No image gets a score that is {limit} sure."
    return "\n".join((f"{first} {by_class}", f"{said} {trusted(metrics)}"))


def trusted(metrics: Metrics) -> str:
    """Say whether the scores can be taken at their word, and what the temperature changes."""
    found, scaled = metrics["calibration"], metrics.get("scaled")
    if not found["ece_by_chance"] or not all(metrics["counts"].values()):  # a score speaks of the mix of both classes
        return ""
    most = words.fixed(found["ece_by_chance"][1], 3)
    text = f"The scores are off by {words.fixed(found['ece'], 3)} on average (ECE), "
    if found["ece"] > found["ece_by_chance"][1]:
        text += f"more than the {most} that chance explains on so many images, so part of it is real."
    else:
        text += f"which chance alone explains (up to {most} on so many images): nothing speaks against taking them at their word."
    if scaled:
        text += f" At the card's temperature of {words.fixed(scaled['temperature'])} it is {words.fixed(scaled['ece'], 3)}."
    return text


def notes(metrics: Metrics, skipped: int) -> list[str]:
    """Return warnings about what the numbers cannot say."""
    found, c, about = [], metrics["confusion"], metrics.get("about") or {}
    if missing := [group for group, count in metrics["counts"].items() if not count]:
        found.append(f"There is no {missing[0]} image in this set: nothing here says how well the classes are told apart.")
    elif not c["TP"] + c["FP"] or not c["TN"] + c["FN"]:
        found.append(f"It calls every image {'fake' if c['TP'] + c['FP'] else 'real'}: it tells nothing apart at this threshold.")
    if trained := about.get("trained_on"):
        found.append(f"{trained:,} of the {metrics['count']:,} images were used in training or for early stopping; expect less on new ones.")
    if metrics["count"] < 100:
        found.append(f"{words.plural(metrics['count'], 'image')} are few: the intervals are wide and, on so few, only rough.")
    if reason := at_limit((metrics.get("scaled") or {}).get("temperature", 1.0)):
        found.append(f"The temperature is {reason}.")
    if skipped:
        found.append(f"{words.plural(skipped, 'file')} could not be read; they are listed under Skipped.")
    return found


def left_out(card: Mapping[str, Any]) -> list[str]:
    """Return what a training did not use since copies of it stand on another side of the split that the data came with."""
    if not (count := sum(((card.get("classes") or {}).get(LEFT_OUT) or {}).values())):
        return []
    return [f"Left out, as they are copies of images on another side of the given split: {words.plural(count, 'image')}."]


def tiles(metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return the large numbers at the top."""
    counts, sure = metrics["counts"], metrics["calibration"]["confident"]
    return [
        ("Images", f"{metrics['count']:,}", f"{counts['real']:,} real, {counts['fake']:,} fake"),
        ("Accuracy", words.percent(metrics["accuracy"]), words.interval(metrics["accuracy_bootstrap"])),
        ("ROC AUC", words.fixed(metrics["roc_auc"], 3), ends(metrics, "roc_auc")),
        ("ECE", words.fixed(metrics["calibration"]["ece"], 3), "mean distance between score and truth"),
        ("90 % sure", f"{sure['count']:,}", f"images, {words.percent(sure['accuracy'])} of them right" if sure["count"] else "images"),
    ]


def threshold(metrics: Metrics) -> str:
    """Say when an image is called fake, and how the intervals were made."""
    draws = metrics["bootstrap"]["resamples"]
    return f"An image is called fake from a score of {words.number(metrics['threshold'])}. " + (
        f"In brackets: 95 % intervals from {words.plural(draws, 'bootstrap draw')} within each class, whose mix is kept; "
        "* marks Wilson's interval, where every draw gave the same value."
        if draws
        else ""
    )


def classes(metrics: Metrics) -> Table:
    """Return the classification report."""
    rows = [
        (group, *(spoken(entry, name, mark=True) for name in ("precision", "recall", "f1")), f"{entry['support']:,}")
        for group, entry in metrics["classes"].items()
    ]
    note = "Precision: of those called so, how many are. Recall: of those that are, how many are called so. F1: their harmonic mean."
    return Table("By class", ("Class", "Precision", "Recall", "F1", "Images"), rows, note)


def overall(metrics: Metrics) -> Table:
    """Return the measures of the whole set at the threshold."""
    rows = [
        ("Accuracy", spoken(metrics, "accuracy", mark=True), "share of right answers"),
        ("the same", f"({words.interval(metrics['accuracy_interval'])})", "its Wilson interval, as an audit's report has it"),
        ("Balanced accuracy", spoken(metrics, "balanced_accuracy", mark=True), "mean recall of both classes"),
    ]
    return Table("On the whole set", ("Measure", "Value", "Meaning"), rows)


def areas(metrics: Metrics) -> Table:
    """Return the measures that need no threshold."""
    rows = [
        ("ROC AUC", decimal(metrics, "roc_auc"), "chance that a fake scores above a real"),
        ("Average precision", decimal(metrics, "average_precision"), "area under precision over recall"),
    ]
    return Table("Areas", ("Measure", "Value", "Meaning"), rows)


def sure_lead(metrics: Metrics) -> str:
    """Say what the temperature is, and what an ECE counts."""
    text = f"ECE: mean distance between a score and the share of fakes among images of that score, over {BINS} bins of equal width. "
    text += (
        "On few images noise counts as error: compare it with what chance alone would give. Its interval takes the noise off and may lie below it."
    )
    if scaled := metrics.get("scaled"):
        text += f"\nThe temperature, {words.fixed(scaled['temperature'])}, was fitted on the validation split; it divides the logits and changes "
        text += "how sure a score is, but neither the order of the images nor, at a threshold of 0.5, any answer."
    return text


def belief(metrics: Metrics) -> Table:
    """Return calibration and confident images, as they are and at the temperature."""
    columns = [metrics["calibration"]] + ([metrics["scaled"]] if metrics.get("scaled") else [])
    header = ("", "Scores as they are", *(f"At temperature {words.fixed(b['temperature'])}" for b in columns[1:]))
    limit = words.percent(columns[0]["confident"]["level"], 0)
    rows: list[tuple[str, ...]] = [
        ("ECE", *(decimal(b, "ece") for b in columns)),
        (
            "ECE by chance alone",
            *(f"{b['ece_by_chance'][0]:.3f}, up to {b['ece_by_chance'][1]:.3f}" if b["ece_by_chance"] else words.NONE for b in columns),
        ),
        ("Log loss", *(decimal(b, "nll") for b in columns)),
        ("Brier score", *(decimal(b, "brier") for b in columns)),
        (f"Images {limit} sure", *(f"{b['confident']['count']:,}" for b in columns)),
        ("… share of all", *(spoken(b["confident"], "share", mark=True) for b in columns)),
        ("… right", *(spoken(b["confident"], "accuracy", mark=True) for b in columns)),
    ]
    for group in ("real", "fake"):
        rows.append((f"… sure of {group}", *(f"{b['confident'][group]['count']:,}" for b in columns)))
        rows.append((f"… right when sure of {group}", *(spoken(b["confident"][group], "accuracy", mark=True) for b in columns)))
    return Table("Can the score be believed", header, rows)


def training(folder: Path, card: Mapping[str, Any]) -> Section:
    """Return how the detector was trained; an empty section without a card."""
    if not card:
        return Section("Training")
    options = card.get("training") or {}
    text = ""
    if options.get("epochs") and options.get("best_epoch"):
        text = f"Trained for {words.plural(options['epochs'], 'epoch')}; the weights of epoch {options['best_epoch']} are kept, "
        text += "as they had the lowest validation loss"
        text += " at its best temperature." if any("val_calibrated_loss" in row for row in card.get("history") or ()) else "."
    counts = card.get("classes") or {}
    splits = [split for split in (*SPLITS, LEFT_OUT) if split in counts]
    used = [(split, *(f"{counts[split].get(group, 0):,}" for group in ("real", "fake"))) for split in splits]
    items: list[Picture | Table] = [*pictures(folder, "curves.png")]
    if used:
        items.append(Table("Images", ("Split", "Real", "Fake"), used))
    items.append(Table("Options", ("Option", "Value"), [(name.replace("_", " "), value) for name, value in making.flat(options)]))
    items += network.items(folder)
    return Section("Training", text, tuple(items))


def made(metrics: Metrics, card: Mapping[str, Any]) -> Section:
    """Return what the numbers were made from."""
    own = {
        key: card[key]
        for key in ("name", "model_sha256", "input", "colour_order", "range", "mean", "std", "crop", "resize", "parameters", "layout", "seed")
        if key in card
    }
    parts = (("Evaluation", metrics.get("about")), ("Intervals", metrics["bootstrap"]), ("Model", own), ("Versions", card.get("versions")))
    return Section(
        "How this was made",
        "metrics.csv and metrics.json have every number above, predictions.csv the score of each image, "
        "roc.csv, pr.csv and calibration.csv the points of the curves.",
        tuple(Table(title, ("", ""), [(key.replace("_", " "), value) for key, value in making.flat(part)]) for title, part in parts if part),
    )


def pictures(folder: Path, *names: str) -> tuple[Picture, ...]:
    """Return those of the pictures that are there."""
    return tuple(Picture(PICTURES[name][0], (folder / name).read_bytes(), PICTURES[name][1]) for name in names if (folder / name).is_file())


def spoken(entry: Metrics, name: str, mark: bool = False) -> str:
    """Return a share in per cent with its interval; with `mark`, a star where that is Wilson's.

    Example:
        >>> spoken({"recall": 0.75, "recall_interval": [0.675, 0.825]}, "recall").replace(words.SPACE, " ")
        '75 % (67.5 to 82.5 %)'
    """
    # accuracy has two intervals, and the bootstrap's goes with the others
    bounds = words.interval(entry.get(f"{name}_bootstrap") or entry.get(f"{name}_interval"))
    star = "*" if mark and entry.get(f"{name}_wilson") else ""
    return words.percent(entry[name]) + (f" ({bounds}){star}" if bounds != words.NONE else "")


def decimal(entry: Metrics, name: str) -> str:
    """Return a number with its interval, to three decimals.

    Example:
        >>> decimal({"ece": 0.1, "ece_interval": [0, 0.125]}, "ece"), decimal({"ece": None}, "ece")
        ('0.100 (0.000 to 0.125)', '–')
    """
    bounds = ends(entry, name)
    return words.fixed(entry[name], 3) + (f" ({bounds}){'*' if entry.get(f'{name}_wilson') else ''}" if bounds else "")


def ends(entry: Metrics, name: str) -> str:
    """Return an interval to three decimals, or nothing."""
    bounds = entry.get(f"{name}_interval")
    return f"{words.fixed(bounds[0], 3)} to {words.fixed(bounds[1], 3)}" if bounds else ""
