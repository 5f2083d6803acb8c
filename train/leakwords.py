"""Which file facts are judged together, and how a leak is told: what differs, how much, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from train.filefacts import BASICS, Facts, amount

Values = dict[str, float | str | None]
ALL = "all together"

# What is known of a file, in the order in which it is told; what a family holds is judged together.
FAMILIES: dict[str, Callable[[Facts], Values]] = {
    "file size": lambda f: {"bytes": f.bytes},
    "bits per pixel": lambda f: {"bits per pixel": f.bits_per_pixel},
    "dimensions": lambda f: {"width": f.width, "height": f.height},
    "format": lambda f: {"format": f.format, "mode": f.mode},
    "quality": lambda f: {"quality": f.quality, "step": f.step, "subsampling": f.subsampling},
    "metadata": lambda f: {"bytes of metadata": f.metadata_bytes} | dict.fromkeys(marks(f), 1.0),
}
# The families that are told by their commonest words, the others by their medians.
WORDS: dict[str, Callable[[Facts], tuple[str, ...]]] = {
    "dimensions": lambda f: (f"{f.width} × {f.height}",),
    "format": lambda f: (f"{f.format} {f.mode}",),
    "quality": lambda f: (compressed(f),),
    "metadata": lambda f: marks(f),
}


def marks(facts: Facts) -> tuple[str, ...]:
    """Return the names of everything that stands around a file's pixels."""
    own = [name for name in facts.metadata if name not in BASICS]
    own += [f"ending {facts.suffix}", *(["progressive coding"] if facts.progressive else []), *(["rotation mark"] if facts.orientation > 1 else [])]
    return tuple(own)


def compressed(facts: Facts) -> str:
    """Return in words how strongly a file is compressed."""
    if facts.step is None:
        return f"no JPEG ({facts.format})"
    quality = f"quality {facts.quality}" if facts.quality else f"own tables, mean step {facts.step:.1f}"
    return f"{quality}, {facts.subsampling}" if facts.subsampling else quality


def difference(name: str, facts: Sequence[Facts], truth: np.ndarray, constant: bool = False) -> str:
    """Say how the classes differ in a family of facts; "" for all families together.

    Args:
        name: of the family.
        facts: of all files.
        truth: 1 is fake, `(N,)`.
        constant: the facts are the same in every file.
    """
    reals, fakes = ([f for f, fake in zip(facts, truth, strict=True) if fake == index] for index in (0, 1))
    if name == ALL:
        return ""
    if name in WORDS:
        if constant and name != "metadata":
            return f"the same in every file: {WORDS[name](facts[0])[0]}"
        if constant:
            return "the same in every file"
        counts = [Counter(word for f in part for word in WORDS[name](f)) for part in (reals, fakes)]
        shares = {word: (counts[0][word] / len(reals), counts[1][word] / len(fakes)) for word in sorted(counts[0] | counts[1])}
        word, (real, fake) = max(shares.items(), key=lambda item: abs(item[1][0] - item[1][1]))
        return f"{word}: {100 * real:.0f} % of reals, {100 * fake:.0f} % of fakes"
    medians = [float(np.median([next(iter(FAMILIES[name](f).values())) for f in part])) for part in (fakes, reals)]
    shown = [amount(value) if name == "file size" else f"{value:.2f}" for value in medians]
    if shown[0] == shown[1]:
        return f"the medians are equal ({shown[0]})"
    return f"fakes are {'larger' if medians[0] > medians[1] else 'smaller'}: median {shown[0]}, reals {shown[1]}"


def sentence(families: Sequence[dict[str, Any]]) -> str:
    """Return the verdict on all families in a sentence or two."""
    worst = families[0]
    if worst["verdict"] == "none":
        return f"File facts do not tell real from fake: AUC {written(next(f for f in families if f['name'] == ALL))}."
    how = {
        "severe": "alone tells real from fake almost without fail",
        "leak": "alone tells real from fake far better than chance",
        "slight": "alone tells real from fake a little better than chance",
    }
    name = "The file facts" if worst["name"] == ALL else worst["name"].capitalize()
    verb = how[worst["verdict"]].replace("alone tells", "together tell") if worst["name"] == ALL else how[worst["verdict"]]
    detail = f"; {worst['difference']}" if worst["difference"] else ""
    others = [f for f in families[1:] if f["verdict"] in ("severe", "leak") and f["name"] != ALL]
    names = ", ".join(f"{family['name']} (AUC {family['auc']:.2f})" for family in others)
    also = f" So {'does' if len(others) == 1 else 'do'}: {names}." if others else ""
    return f"{name} {verb}: AUC {written(worst)}{detail}.{also}"


def written(family: dict[str, Any]) -> str:
    """Return an AUC with its interval as text."""
    if family["interval"] is None:
        return f"{family['auc']:.2f}"
    return f"{family['auc']:.2f} ({family['interval'][0]:.2f} to {family['interval'][1]:.2f})"


def remedy(families: Sequence[dict[str, Any]], facts: Sequence[Facts], truth: np.ndarray) -> str:
    """Say what to do about the worst of the leaks."""
    loud = {family["name"]: family["auc"] for family in families if family["verdict"] in ("severe", "leak")}
    if not loud:
        return "Nothing has to be done: it is only what a detector must beat to know more than the files tell."
    if {"dimensions", "format", "quality"} & set(loud):
        return (
            "A network sees the traces of this in the pixels and learns them first. Store both classes alike, from the originals "
            f"where there are any, at the size and quality of the poorer class, with Pillow: {recipe(facts, truth)}; then inspect "
            "again. Traces of an earlier compression stay: train with --augment jpeg as well."
        )
    if sizes := {"file size", "bits per pixel"} & set(loud):
        return (
            "Size, format and quality are alike in both classes, so the pictures of one class hold more detail or noise; storing "
            f"them again changes nothing. A detector knows more than that only if its AUC is clearly above {max(loud[n] for n in sizes):.2f}."
        )
    return (
        "A network does not see what stands around the pixels, but the classes came through different programs, which often shows "
        "in the pixels too. Find out how each class was made and store both with the same program."
    )


def recipe(facts: Sequence[Facts], truth: np.ndarray) -> str:
    """Return the Pillow call that stores both classes as the poorer of them is stored."""
    parts = [[f for f, fake in zip(facts, truth, strict=True) if fake == index] for index in (0, 1)]
    width, height = min((Counter((f.width, f.height) for f in part).most_common(1)[0][0] for part in parts), key=lambda size: size[0] * size[1])
    save = "save(copy, 'PNG')"
    if any(f.format == "JPEG" for f in facts):
        qualities = [np.median([f.quality for f in part if f.quality]) for part in parts if any(f.quality for f in part)]
        save = f"save(copy, 'JPEG', quality={int(min(qualities, default=90))}, subsampling='4:2:0')"
    return f"Image.open(path).convert('RGB').resize(({width}, {height}), Image.Resampling.LANCZOS).{save}"
