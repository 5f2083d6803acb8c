"""The effect table: how the logit answers when a part is replaced, beside controls that should leave it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xai.inference import mean_interval, mean_test
from xai.multiple import holm
from xai.probes.effects import Effects
from xai.probes.plan import KINDS
from xai.regions.table import LEAST

GROUPS = ("both", "fake", "real")
FIELDS = (
    "group", "region", "within", "images", "net", "net_low", "net_high", "p", "p_holm", "share_of_gap",
    *(f"{kind}{end}" for kind in KINDS for end in ("", "_low", "_high", "_flips", "_flips_low", "_flips_high")),
)  # fmt: skip


def effect_rows(effects: Effects, homes: Mapping[str, str], gap: float) -> list[dict[str, Any]]:
    """Return the effect table.

    `opposite`, `same`, `patch`, `blur` and `grey` are mean changes of the logit; `net` is that of the opposite-class
    swap less that of the same-class swap, image by image, which takes away what any seam does. In the groups "fake" and
    "real" a change keeps its sign (positive: more fake). In "both" it is turned so that positive is towards the other
    class. The tests are of the net effect; each group is one family, corrected by Holm's method.

    Args:
        effects: of the sampled images.
        homes: the set that each row is a part of, '' for none.
        gap: mean logit of the fakes minus that of the reals.

    Returns:
        Rows with the fields of `FIELDS`; None where a kind was not asked for or too few images have the part.
    """
    table = []
    for group in GROUPS:
        chosen = np.array([group in ("both", label) for label in effects.labels], bool)
        if not chosen.any():
            continue
        delta, flips = effects.mean, effects.flips
        if group == "both":
            delta = delta * towards(effects)[:, None, None]
        delta, flips = delta[chosen], flips[chosen]  # (M, R, K)
        net = net_of(effects, delta)
        delta, flips = (np.where(np.isnan(net)[..., None], np.nan, values) for values in (delta, flips))  # all of the same images
        count = (~np.isnan(net)).sum(0)
        p = np.where(count >= LEAST, mean_test(net, strict=True), np.nan)
        adjusted = holm(p)
        measures: dict[str, np.ndarray] = {"net": net}
        for place, kind in enumerate(effects.kinds):
            measures |= {kind: delta[:, :, place], f"{kind}_flips": flips[:, :, place]}
        found: dict[str, np.ndarray] = {"images": count, "p": p, "p_holm": adjusted}
        for name, values in measures.items():
            value, low, high = mean_interval(values)
            enough = (~np.isnan(values)).sum(0) >= LEAST
            found |= {name: value, f"{name}_low": np.where(enough, low, np.nan), f"{name}_high": np.where(enough, high, np.nan)}
        found["share_of_gap"] = found["net"] / gap if gap > 0 else np.full(len(count), np.nan)
        table += [
            {"group": group, "region": region, "within": homes.get(region, "")}
            | {name: found[name][index].item() if name in found else None for name in FIELDS[3:]}
            for index, region in enumerate(effects.rows)
            if count[index]
        ]
    return table


def towards(effects: Effects) -> np.ndarray:
    """Return the sign that turns a change of the logit towards the other class, `(M,)`."""
    return np.where(np.array(effects.labels) == "fake", -1.0, 1.0)


def net_of(effects: Effects, delta: np.ndarray) -> np.ndarray:
    """Return the opposite-class swap less the same-class swap, `(M, R)`, from changes `(M, R, K)`."""
    return delta[:, :, effects.kinds.index("opposite")] - delta[:, :, effects.kinds.index("same")]
