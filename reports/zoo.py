"""The comparison of several networks as a page: made of `zoo.json` and the pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports import making, words
from reports.run import read_json
from reports.sheet import Picture, Section, Table, page
from xai import store

Row = Mapping[str, Any]
PICTURES = (
    ("accuracy.png", "Accuracy on the same test images", "Bars are 95 % intervals; where they overlap widely, so few images cannot tell."),
    ("effort.png", "Accuracy against what an image costs", ""),
    ("learning.png", "Accuracy and ROC AUC against the number of training images", "A curve that still rises at its right end asks for more images."),
)  # fmt: skip


def render(directory: str | Path) -> Path:
    """Write `index.html` of a comparison.

    Args:
        directory: what `whyfake zoo --out` wrote.

    Raises:
        RunError: a needed file is missing or damaged.
    """
    folder = Path(directory)
    found = read_json(folder, "zoo.json", ("rows", "protocol", "data"), "run the same 'whyfake zoo' command again, it keeps what is done")
    rows = sorted(found["rows"], key=lambda row: (-row["images"], -row["accuracy"]))
    whole = [row for row in rows if row["train_images"] is not None]
    best = whole[0]
    pictures = [Picture(title, (folder / name).read_bytes(), note) for name, title, note in PICTURES if (folder / name).is_file()]
    tiles = [
        ("Best", best["name"], f"{words.percent(best['accuracy'])} of {words.plural(best['count'], 'test image')}"),
        ("Networks", str(len(whole)), ""),
        ("Training images", f"{best['images']:,}", "after validation and test were set aside"),
    ]
    sections = [
        Section("Accuracy", "", (quality(whole), *pictures[:1])),
        Section("Effort", "", (effort(whole), *pictures[1:2])),
        Section("Learning curve", "", (learning(rows), *pictures[2:])) if len(rows) > len(whole) else Section("Learning curve"),
        Section(
            "How this was made",
            "",
            tuple(
                Table(title, ("", ""), [(name, value) for name, value in making.flat(found.get(key))])
                for title, key in (("Protocol", "protocol"), ("Splits", "splits"), ("Versions", "versions"), ("Machine", "machine"))
            ),
        ),
    ]
    text = page(f"{len(whole)} networks on {found['data']}", lead(whole), tiles, sections, eyebrow="whyfake zoo", notes=warnings(whole))
    return store.write_bytes(folder / "index.html", text.encode("utf-8", "replace"))


def lead(rows: Sequence[Row]) -> str:
    """Say who is best, and from whom it cannot be told apart."""
    best = rows[0]
    bounds = words.interval((best["accuracy_low"], best["accuracy_high"]))
    share = f"{words.percent(best['accuracy'])} of {words.plural(best['count'], 'test image')}"
    text = f"{best['name']} is right most often: {share} (95 % interval {bounds})."
    near = [row["name"] for row in rows[1:] if (row["p_against_best"] or 0) >= 0.05]
    if near:
        text += f" On these images it cannot be told apart from {', '.join(near)} (exact McNemar test, p ≥ 0.05)."
    elif len(rows) > 1:
        text += " Every other network is right less often by more than chance explains (exact McNemar test, p < 0.05)."
    return text


def warnings(rows: Sequence[Row]) -> list[str]:
    """Name the networks that answer the same for every image."""
    found = []
    for row in rows:
        if row["called_fake"] in (0.0, 1.0):
            found.append(f"{row['name']} collapsed: it calls every test image {'fake' if row['called_fake'] else 'real'}.")
    return found


def quality(rows: Sequence[Row]) -> Table:
    """Return the table of what each network reached."""
    header = ("Network", "Accuracy", "95 % interval", "Balanced", "ROC AUC", "95 % interval", "Validation", "Called fake", "p against the best")
    cells = [
        (
            row["name"], words.percent(row["accuracy"]), words.interval((row["accuracy_low"], row["accuracy_high"])),
            words.percent(row["balanced_accuracy"]), words.fixed(row["roc_auc"], 3), auc_interval(row), words.percent(row["valid_accuracy"]),
            words.percent(row["called_fake"]), words.number(row["p_against_best"], 2),
        )
        for row in rows
    ]  # fmt: skip
    note = "Accuracy on the test set with its Wilson interval. The last column: exact McNemar test on the images that only one of the two gets right."
    return Table("What each reached", header, cells, note)


def effort(rows: Sequence[Row]) -> Table:
    """Return the table of what each network cost."""
    header = ("Network", "Input", "Parameters", "Multiply-adds", "Epochs (kept)", "Seconds per epoch", "Training time", "Images per second")
    cells = [
        (
            row["name"], f"{row['size']} × {row['size']}", count(row["parameters"]), count(row["multiply_adds"]),
            f"{row['epochs']} ({row['best_epoch']})", words.number(row["seconds_per_epoch"], 2), clock(row["seconds"]),
            words.number(row["images_per_second"], 2),
        )
        for row in rows
    ]  # fmt: skip
    return Table(
        "What each cost", header, cells, "Multiply-adds of one forward pass of one image. Images per second: forward passes in batches of 16."
    )


def learning(rows: Sequence[Row]) -> Table:
    """Return accuracy and ROC AUC by number of training images."""
    cells = [
        (
            row["name"], f"{row['images']:,}", words.percent(row["accuracy"]), words.interval((row["accuracy_low"], row["accuracy_high"])),
            words.fixed(row["roc_auc"], 3), auc_interval(row),
        )
        for row in sorted(rows, key=lambda row: (row["name"], row["images"]))
    ]  # fmt: skip
    header = ("Network", "Training images", "Accuracy", "95 % interval", "ROC AUC", "95 % interval")
    return Table("With fewer training images", header, cells, "The test images are the same.")


def auc_interval(row: Row) -> str:
    """Return the interval of a network's ROC AUC; a dash for comparisons made before it was kept."""
    bounds = [row.get(f"roc_auc_{end}") for end in ("low", "high")]
    return "–" if None in bounds else " to ".join(words.fixed(bound, 3) for bound in bounds)


def count(value: float) -> str:
    """Return a large number in short.

    Example:
        >>> count(337721), count(11685937), count(4.1e9)
        ('338 k', '11.7 M', '4.1 G')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{words.number(value / size)} {unit}"
    return words.number(value)


def clock(seconds: float) -> str:
    """Return a duration.

    Example:
        >>> clock(42.4), clock(754)
        ('42 s', '12 min 34 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
