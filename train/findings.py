"""What an inspection comes to: plain sentences, the worst first, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from train.datasets import remarks
from xai.errors import listed

SEVERITIES = ("severe", "warning", "note")
UNEQUAL = 1.5  # one class so many times the other is worth a warning
FEW = 200  # images of a class; a test share of them decides an accuracy to no better than some ±10 %

Finding = tuple[str, str, str]  # severity, what, do


def findings(found: dict[str, Any]) -> list[dict[str, str]]:
    """Return the findings of an inspection.

    Args:
        found: what `train.inspection.inspect` knows so far.

    Returns:
        `severity` ("severe", "warning" or "note"), `what` and `do` of each, the worst first.
    """
    said = [*leaks(found), *copied(found), *counted(found), *stored(found)]
    said.sort(key=lambda finding: SEVERITIES.index(finding[0]))  # stable: the leak stays before its equals
    return [{"severity": severity, "what": what, "do": do} for severity, what, do in said]


def leaks(found: dict[str, Any]) -> Iterator[Finding]:
    """Tell what file facts give away."""
    leak = found["leak"]
    if leak is None:
        yield "note", "The images have no classes, so file facts were not tested for what they give away.", "Sort them into real/ and fake/."
    elif leak["verdict"] != "none":
        yield {"severe": "severe", "leak": "warning"}.get(leak["verdict"], "note"), leak["sentence"], leak["do"]


def copied(found: dict[str, Any]) -> Iterator[Finding]:
    """Tell what stands in the set more than once."""
    exact, near = found["duplicates"]["exact"], found["duplicates"]["near"]
    if groups := exact["across_classes"]:
        what = f"{stand(groups, 'picture', 'pictures')} both among the reals and the fakes, file for file: {listed(groups[0], 3)}."
        yield "severe", what, "Find out which label is true and delete the other copy."
    if groups := exact["across_splits"]:
        what = f"{stand(groups, 'picture', 'pictures')} in more than one split, file for file: {listed(groups[0], 3)}."
        yield "severe", what, "Delete the copies from all but one split; 'whyfake train' leaves them out, as images seen in training measure nothing."
    if groups := near["across_splits"]:
        what = f"{stand(groups, 'set of near copies', 'sets of near copies')} in more than one split: {listed(groups[0], 3)}."
        yield "warning", what, "Look at them and put each set into one split; 'whyfake train' leaves all but one side of it out."
    if groups := near["across_classes"]:
        what = f"{stand(groups, 'set of near copies', 'sets of near copies')} in both classes, as of edited reals: {listed(groups[0], 3)}."
        yield "note", what, "Keep each set in one split, as 'whyfake train' does."
    for kind, part, word in (("exact", exact, "file for file"), ("near", near, "nearly")):
        inside = [group for group in part["groups"] if group not in part["across_classes"] and group not in part["across_splits"]]
        if inside:
            surplus = sum(map(len, inside)) - len(inside)
            what = f"{count(surplus, 'file repeats', 'files repeat')} another one of the same class and split {word}: {listed(inside[0], 3)}."
            yield "note", what, "Delete them: they count twice." if kind == "exact" else "Look at them: near copies count nearly twice."


def counted(found: dict[str, Any]) -> Iterator[Finding]:
    """Tell what is missing, too little or unequal."""
    images = found["images"]
    if images["unreadable"]:
        path, reason = next(iter(found["skipped"].items()))
        what = f"{images['unreadable']:,} of {images['inspected']:,} files cannot be read; the first, {path}: {reason}."
        yield "warning", what, "Get them again or delete them; until then they are skipped and listed in skipped.csv."
    for remark in remarks(found["layout"]):
        what = f"Some images are {remark}."
        yield "warning", what, "Say what they are by their folders' names (real, fake, train, valid, test) or in the CSV, or move them away."
    if "valid" in found["splits"] and "test" not in found["splits"] and found["labelled"]:
        what = "There is no split for testing: 'whyfake train' tests on valid and takes images of train for validation."
        yield "note", what, "Add a split called test if valid is not what others report on, or train with --test-share 0."
    for name, counts in found["splits"].items():
        if found["labelled"] and name != "none" and len([label for label in counts if counts[label]]) < 2:
            yield "warning", f"The split {name} holds {next(iter(counts))}s only.", "Add images of the other class: without them it measures nothing."
    unequal = found["imbalance"]
    if unequal and unequal["ratio"] >= UNEQUAL:
        yield "warning", unequal["sentence"], "Train with --balance class-weight and read the balanced accuracy, not the accuracy."
    small = {label: number for label, number in found["classes"].items() if number < FEW}
    if small:
        what = f"There are only {' and '.join(count(number, label, label + 's') for label, number in small.items())}."
        yield "note", what, "Read the interval beside every measure: with so few test images it is wide."


def stored(found: dict[str, Any]) -> Iterator[Finding]:
    """Tell how the files are stored, where that may surprise."""
    total = found["images"]["readable"]
    if wrong := found["suffix_disagrees"]:
        what = f"{count(wrong, 'file has', 'files have')} a name whose ending is not that of the content."
        yield "note", what, "whyfake reads them by their content; other programs may not. In files.csv their suffix_fits is 0."
    if turned := found["rotated"]:
        what = f"{count(turned, 'file carries', 'files carry')} a rotation mark."
        yield "note", what, "whyfake turns them upright; a program that does not sees faces lying down."
    if len(found["sizes"]) > 1:
        common = found["sizes"][0]
        what = f"The images differ in size; {common['all']:,} of {total:,} have {common['name']} pixels."
        yield "note", what, "A network sees all of them resized; where sizes differ between the classes, that leaves traces."
    other = [kind for kind in found["modes"] if kind["name"] != "RGB"]
    if other:
        kinds = ", ".join(f"{kind['all']:,} {kind['name']}" for kind in other)
        what = f"Not all images are RGB: {kinds}."
        yield "note", what, "whyfake converts them; check that they are not all of one class."


def stand(groups: list[list[str]], one: str, many: str) -> str:
    """Say how many groups stand somewhere.

    Example:
        >>> stand([["a", "b"]], "picture", "pictures"), stand([["a", "b"], ["c", "d"]], "picture", "pictures")
        ('1 picture stands', '2 pictures stand')
    """
    return count(len(groups), f"{one} stands", f"{many} stand")


def count(number: int, one: str, many: str) -> str:
    """Return a number with its noun, or noun and verb.

    Example:
        >>> count(1, "file carries", "files carry"), count(1200, "file carries", "files carry")
        ('1 file carries', '1,200 files carry')
    """
    return f"{number:,} {one if number == 1 else many}"
