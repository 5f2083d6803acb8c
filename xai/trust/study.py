"""The trust tests of an audit: a sample of its images in, the tables and what becomes of every map out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from xai import raw, store
from xai.detector import Detector
from xai.items import Item
from xai.maps.methods import pairs, parse
from xai.progress import bar
from xai.provenance import Request
from xai.recommend import Recommendation
from xai.rows import Rows
from xai.stream import batches
from xai.study import taken
from xai.trust import table, verdicts
from xai.trust.measure import Faithfulness, measure
from xai.trust.sanity import SIMILAR_FIELDS, STABLE_FIELDS, Sanity, looks, sanity

TABLES = ("sanity.csv", "stability.csv", "faithfulness.csv", "curves.csv")
FILES = (*TABLES, raw.FAITHFUL)
ROOM = 2**28  # bytes of images that the sanity checks hold at once
LEAST = 8  # images that they take in any case
SLOW = 4  # images on which a black box's methods are checked, each of which asks hundreds of times


def believe(
    detector: Detector,
    items: Sequence[Item],
    rows: Rows,
    layers: Sequence[str],
    methods: Sequence[str],
    request: Request,
    out: Path,
    *,
    batch_size: int | None,
    quiet: bool,
    say: Callable[[str], None],
) -> dict[str, Any] | None:
    """Test whether the maps of a run can be believed, and write `sanity.csv`, `stability.csv`, `faithfulness.csv` and `curves.csv`.

    Args:
        detector: the detector.
        items: the images of the audit.
        rows: of those that were read.
        layers, methods: of the run.
        request: on how many images, the seed.
        out: the run directory.
        batch_size, quiet, say: as in `xai.audit.audit`.

    Returns:
        For `summary.json`: images, tests, maps (a verdict per map with the answer of each test), methods (one line
        each), meaning, recommended, untested, similar, stable, faithful, curves. None where nothing was to be tested.
    """
    forget(out)
    if not request.checks:
        return None
    few = rows.where(sample(rows, request.checks, request.seed))
    chosen = taken(items, few)
    targets = {row["index"]: row["label"] or row["prediction"] for row in few}
    say(f"testing {len(pairs(layers, methods))} maps on {len(chosen)} images")
    checked = some(chosen, fitting(detector.size) if detector.gradients else SLOW)
    found, count = check(detector, checked, targets, layers, methods, request.seed, batch_size, quiet)
    able = quick(methods, found)
    measured = None
    if able:
        measured = measure(detector, chosen, layers, able, out, seed=request.seed, batch_size=batch_size, quiet=quiet)
        if measured.skipped:
            say(f"{len(measured.skipped)} of these could no longer be read: {', '.join(sorted(measured.skipped))}")
    return conclude(found, count, measured, pairs(layers, methods), detector.recommendation(), out)


def conclude(
    found: Sanity, count: int, measured: Faithfulness | None, maps: Sequence[tuple[str, str]], known: Recommendation | None, out: Path
) -> dict[str, Any]:
    """Write the tables and return what becomes of every map.

    Args:
        found: by the sanity checks.
        count: on so many images.
        measured: how faithful the maps are; None where that was not measured.
        maps: their (layer, method).
        known: what a self-test of the architecture recommends.
        out: the run directory.
    """
    tested, faithful, curves = (0, [], []) if measured is None else (len(measured.index), table.faithful_rows(measured), table.curve_rows(measured))
    raw.write_faithful(out, measured)
    for name, fields, content in zip(
        TABLES, (SIMILAR_FIELDS, STABLE_FIELDS, table.FIELDS, table.CURVE_FIELDS), (found.similar, found.stable, faithful, curves), strict=True
    ):
        store.write_table(out / name, fields, ([row[field] for field in fields] for row in content))
    said = verdicts.answers(maps, known, found.similar, found.verdicts(), found.untested, found.stable, faithful)
    lines = verdicts.methods(said)
    judged = [
        {
            "layer": pair[0],
            "method": pair[1],
            "verdict": verdicts.together(tests),
            "answers": {name: asdict(answer) for name, answer in tests.items()},
        }
        for pair, tests in said.items()
    ]
    told = {"images": tested, "checked": count, "tests": verdicts.TESTS, "methods": lines, "maps": judged}
    told |= {"meaning": verdicts.meaning(lines, known), "recommended": None if known is None else asdict(known), "stages": found.stages}
    return told | {"untested": found.untested, "similar": found.similar, "stable": found.stable, "faithful": faithful, "curves": curves}


def forget(out: Path) -> None:
    """Remove what an earlier run left."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def fitting(size: tuple[int, int]) -> int:
    """Return on how many images of a size `(H, W)` the sanity checks can be made: they hold all of them at once."""
    return max(LEAST, ROOM // (12 * size[0] * size[1]))


def some(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many items, from all over the list, so that both classes stay.

    Example:
        >>> some([1, 2, 3, 4, 5], 3), some([1, 2], 3)
        ([1, 3, 5], [1, 2])
    """
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))] if items else []


def quick(methods: Sequence[str], found: Sanity) -> list[str]:
    """Return the methods whose maps can be made again for every image."""
    return [method for method in methods if parse(method).text not in found.untested]


def sample(rows: Rows, count: int, seed: int) -> np.ndarray:
    """Return the rows of up to `count` images, half of each class (as called, where there are no labels), unseen ones first.

    Where there is one class alone, all are of that.
    """
    rng = np.random.default_rng([seed, 6])
    unique, trained = rows.firsts("sha256"), rows.among("split", "train", "valid")
    called = np.where(rows.among("label", ""), rows.column("prediction"), rows.column("label"))
    classes = {label: unique[called[unique] == label] for label in ("real", "fake")}
    shares = {"real": count // 2, "fake": count - count // 2} if all(map(len, classes.values())) else dict.fromkeys(classes, count)
    chosen = []
    for label, own in classes.items():
        order = rng.permutation(own)
        chosen.append(order[np.argsort(trained[order], kind="stable")][: shares[label]])
    return np.sort(np.concatenate(chosen))


def check(
    detector: Detector,
    items: Sequence[Item],
    targets: Mapping[int, str],
    layers: Sequence[str],
    methods: Sequence[str],
    seed: int,
    batch_size: int | None,
    quiet: bool,
) -> tuple[Sanity, int]:
    """Run the sanity checks on a few images; return how many of them could still be read."""
    inputs: list[np.ndarray] = []
    read: list[Item] = []
    for batch in batches(detector, [item.file for item in items], batch_size):
        inputs += list(batch.inputs)
        read += [items[index] for index in batch.indices]
    if not read:
        return Sanity([], [], dict.fromkeys((parse(method).text for method in methods), "the images could no longer be read"), []), 0
    named = [targets[item.index] for item in read]
    with bar(len(read) * looks(detector, layers), "checking maps", quiet=quiet) as progress:
        found = sanity(
            detector,
            np.stack(inputs),
            named,
            layers,
            methods,
            seed=seed,
            batch_size=batch_size,
            progress=progress.update,
            slow=not detector.gradients,
        )
    # What a caller in Python is told is of no use to a reader of the report.
    return replace(found, untested={name: why.removesuffix("; slow=True checks it") for name, why in found.untested.items()}), len(read)
