"""What a reader must know before trusting the numbers: short sentences, the most important first, each with its place on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports import data, words
from reports.context import Focus, emptied, headline, most_used
from reports.run import Run
from xai.regions.parts import OUTSIDE

LEVELS = ("severe", "warning", "note")
EMPTY = 0.1  # share of empty maps, and of images without a face
LOPSIDED = 3  # times one kind of mistake is as frequent as the other
MISTAKES = 5  # at least, to say so
ENOUGH = 20  # images of each class, likewise
UNEQUAL = 2.0  # times one class is as large as the other
APART = 0.5  # total variation between the classes' sizes or endings
DISTINCT = 20  # picture sizes, beyond which they are compared roughly
ECE = 0.1

ANCHORS = {
    "#look": "where it looks",
    "#parts": "face parts",
    "#trust": "whether to believe it",
    "#performance": "performance",
    "#dataset": "data",
    "#skipped": "skipped files",
    "#made": "how it was made",
}
Alert = tuple[str, str, str]  # level, text, href
# What the run's own notes speak of -> where more of it stands; the first that fits.
PLACES = (
    (("skipped",), "#skipped"),
    (("copies",), "#dataset"),
    (("training",), "#performance"),
    (("parts", "swapped", "face"), "#parts"),
    (("card",), "#made"),
)


def alerts(run: Run, spot: Focus) -> list[Alert]:
    """Return what the first screen warns of.

    Args:
        run: the run.
        spot: what the first screen speaks of.

    Returns:
        `(level, text, href)`: level "severe", "warning" or "note", the worst first; href an anchor of the page.
    """
    told = [*used(run), *believed(run, spot), *stored(run), *answered(run), *mapped(run, spot), *noted(run)]
    told.sort(key=lambda alert: LEVELS.index(alert[0]))  # stable
    return list(dict.fromkeys(told))


def used(run: Run) -> Iterator[Alert]:
    """Tell where what is used most, or looked at most, is no part of the face."""
    best = most_used(run)
    if best is not None and best["region"] in OUTSIDE:
        name, effect = best["region"].replace("_", " "), f"{words.fixed(best['used']['value'])} logits"
        if best["region"].endswith("corner"):
            yield "severe", f"What the model uses most is the {name} ({effect}): a watermark or another shortcut, not the face.", "#parts"
        else:
            yield "warning", f"What the model uses most lies outside the face: {name} ({effect}). It may be a shortcut.", "#parts"


def believed(run: Run, spot: Focus) -> Iterator[Alert]:
    """Tell which methods fail the tests of whether their maps can be believed."""
    for line in (run.summary.get("trust") or {}).get("methods") or ():
        if line["verdict"] == "fails":
            ours = line["method"] == spot.method
            who = words.method(line["method"])
            text = f"{who}, the method of this screen, fails the tests of its maps" if ours else f"{who} fails the tests of its maps"
            yield "severe" if ours else "warning", f"{text}: do not read it as an explanation.", "#trust"


def stored(run: Run) -> Iterator[Alert]:
    """Tell what of the files gives the classes away, and how unequal the classes are."""
    found = data.inspection(run)
    severe = [what for severity, what, _ in found.findings if severity == "severe"] if found else []
    if severe:
        more = f" ({words.plural(len(severe) - 1, 'more such finding')})" if len(severe) > 1 else ""
        yield "severe", f"Inspection of the data: {severe[0]}{more}", "#dataset"
    copies = data.copies(run)
    if copies and copies.across:
        yield "severe", f"{words.plural(copies.across, 'picture')} both among the reals and the fakes, byte for byte.", "#dataset"
    sizes = [sum(row.get("label") == name for row in run.images) for name in data.CLASSES]
    if min(sizes) >= ENOUGH:
        kinds = {data.size(row) for row in run.images}
        for what, kind in (("Picture sizes", data.size if len(kinds) <= DISTINCT else data.about), ("File endings", data.ending)):
            distance, fake, real = data.apart(run, kind)
            if distance >= APART:
                yield "warning", f"{what} give the classes away: fakes are mostly {fake}, reals mostly {real}.", "#dataset"
    if min(sizes) and max(sizes) >= UNEQUAL * min(sizes):
        larger = data.CLASSES[sizes.index(max(sizes))]
        always = words.percent(max(sizes) / sum(sizes), 0)
        text = f"The classes are unequal, {words.number(sizes[0])} real and {words.number(sizes[1])} fake: "
        yield "warning", f"{text}always answering {larger} would be right on {always}.", "#dataset"


def answered(run: Run) -> Iterator[Alert]:
    """Tell what is wrong with the answers: images of the training, one-sided mistakes, scores that mean something else."""
    first, _, held_out = headline(run)
    trained, read = (int((run.summary["images"] or {}).get(key) or 0) for key in ("trained_on", "read"))
    if trained and not any("training" in str(note) for note in run.summary.get("notes") or ()):
        rest = "held-out images are measured apart" if held_out else "the accuracy says nothing about new images"
        yield "warning", f"{trained:,} of the {read:,} images were used in training: {rest}.", "#performance"
    if not first:
        return
    cells = {name: int((first.get("confusion") or {}).get(name) or 0) for name in words.OUTCOMES}
    reals, fakes = cells["TN"] + cells["FP"], cells["TP"] + cells["FN"]
    if min(reals, fakes) >= ENOUGH:
        sides = sorted([(cells["FP"] / reals, cells["FP"], "reals", "fake"), (cells["FN"] / fakes, cells["FN"], "fakes", "real")])
        (low, _, rare, other), (high, mistakes, often, called) = sides
        if mistakes >= MISTAKES and high >= LOPSIDED * low:
            text = f"Mistakes are one-sided: {words.percent(high)} of the {often} are called {called}, {words.percent(low)} of the {rare} {other}."
            yield "warning", text, "#performance"
    belief = first.get("calibration") or {}
    ece, chance = words.real(belief.get("ece")), belief.get("ece_by_chance")
    if ece is not None and ece > ECE and not (chance and ece <= chance[1]):
        yield "warning", f"Scores are not what they say: they are off by {words.fixed(ece)} on average (ECE).", "#performance"


def mapped(run: Run, spot: Focus) -> Iterator[Alert]:
    """Tell how many maps are empty, and in how many images no face was found."""
    none, total = emptied(run, spot)
    if total and none / total > EMPTY:
        where = f"{words.method(spot.method)} at {spot.layer or 'all layers'}, {spot.group}"
        yield "warning", f"{words.percent(none / total, 0)} of the maps have no positive value and are in no mean map ({where}).", "#look"
    missing, read = faceless(run)
    if missing:
        level = "warning" if missing > EMPTY * read else "note"
        text = f"No face parts in {missing:,} of {words.plural(read, 'image')} ({words.percent(missing / read, 0)})"
        yield level, f"{text}: they are left out of everything about face parts.", "#parts" if run.summary.get("regions") else "#dataset"


def faceless(run: Run) -> tuple[int, int]:
    """Return how many images have no face parts, and of how many; zeros where none were looked for."""
    found = run.summary.get("parts") or {}
    missing = found.get("faceless")
    return (len(missing), len(run.images)) if isinstance(missing, Mapping) and run.images else (0, 0)


def noted(run: Run) -> Iterator[Alert]:
    """Give the run's own notes, each with its place."""
    notes = [str(note) for note in run.summary.get("notes") or ()]
    said = bool(faceless(run)[0])
    for note in notes:
        if said and "have no parts" in note:
            continue  # in `mapped`, shorter
        serious = "says nothing about new images" in note or "right only where" in note or "copies of others" in note
        yield "warning" if serious else "note", note[:1].upper() + note[1:] + ("" if note.endswith((".", "!", "?")) else "."), place(run, note)
    skipped = len(run.skipped)
    if skipped and not any("skipped" in note for note in notes):
        yield "note", f"{words.plural(skipped, 'file')} could not be used.", "#skipped"


def place(run: Run, note: str) -> str:
    """Return where more of what a note says stands on the page."""
    there: dict[str, Any] = {"#parts": run.summary.get("regions"), "#skipped": run.skipped}
    href = next((href for keys, href in PLACES if any(key in note for key in keys)), "#made")
    return href if there.get(href, True) else "#made"
