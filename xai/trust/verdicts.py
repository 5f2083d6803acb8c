"""What becomes of each map: it passes or fails the tests that were made of it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xai.maps.methods import INPUT, title
from xai.recommend import Recommendation
from xai.trust.sanity import ABOVE, SAME, TWIN

Pair = tuple[str, str]
Row = Mapping[str, Any]

PASSES, FAILS, UNSURE, UNTESTED = "passes", "fails", "unsure", "not tested"
TESTS = {
    "selftest": "finds what was planted",
    "randomised": "depends on the network",
    "faithful": "marks what the network uses",
    "steady": "is the same twice",
}
JUDGED_ON = ("deletion_donor", "deletion_blur")  # the first that was measured
RANDOMISED = {ABOVE: "everything above the layer is randomised", TWIN: "all weights are randomised"}
NULLS = {"region": "regions of the same size at random", "random": "pixels at random"}
TREMBLE = 1e-3  # of a map's largest value, by which two looks at the same image may differ


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one test about one map.

    Args:
        verdict: "passes", "fails", "unsure" or "not tested".
        why: in words.
    """

    verdict: str
    why: str


def answers(
    pairs: Sequence[Pair],
    known: Recommendation | None,
    similar: Sequence[Row],
    unchanged: Mapping[Pair, bool],
    untested: Mapping[str, str],
    stable: Sequence[Row],
    faithful: Sequence[Row],
) -> dict[Pair, dict[str, Answer]]:
    """Return, by map and test, what was found.

    Args:
        pairs: the maps of the run.
        known: what a self-test found on this architecture.
        similar, unchanged, untested, stable: as `xai.trust.sanity.Sanity` has them.
        faithful: rows of `xai.trust.table.faithful_rows`.
    """
    twins = {(row["layer"], row["method"], row["against"]): row for row in similar}
    calm = {(row["layer"], row["method"]): row for row in stable}
    judged = {
        (row["layer"], row["method"], row["metric"]): row
        for row in faithful
        if row["group"] == "both" and row["layer"] and row["metric"] in JUDGED_ON
    }
    found = {}
    for pair in pairs:
        rows = [judged[*pair, metric] for metric in JUDGED_ON if (*pair, metric) in judged]
        found[pair] = {
            "selftest": planted(known, *pair),
            "randomised": randomised(pair, unchanged, twins, untested),
            "faithful": deleted(rows[0] if rows else None, untested.get(pair[1], "")),
            "steady": steady(calm.get(pair), untested.get(pair[1], "")),
        }
    return found


def planted(known: Recommendation | None, layer: str, method: str) -> Answer:
    """Return what the self-test of the architecture says."""
    if known is None:
        return Answer(UNTESTED, "no self-test of this architecture is known")
    said = known.says(layer, ":".join(part for part in method.split(":") if not part.startswith("seed=")))
    who = f"in the self-test of {known.network} at {known.size} x {known.size}"
    if not said:
        return Answer(UNTESTED, f"it was not {who}")
    text = {
        PASSES: f"{who} it pointed at what was planted",
        FAILS: f"{who} it pointed elsewhere in most fakes",
        UNSURE: f"{who} it pointed at what was planted, but not in every data set, or in too few images to be sure",
    }[said]
    return Answer(said, text)


def randomised(pair: Pair, unchanged: Mapping[Pair, bool], twins: Mapping[tuple[str, str, str], Row], untested: Mapping[str, str]) -> Answer:
    """Return whether the map changes when the network is randomised."""
    if pair not in unchanged:
        return Answer(UNTESTED, untested.get(pair[1]) or untested.get("randomised") or "it was not tested")
    rows = {name: twins[*pair, name] for name in RANDOMISED if (*pair, name) in twins and twins[*pair, name]["images"]}
    if not rows:
        return Answer(UNSURE, "the maps are constant, so they cannot be compared with those of a randomised network")
    ranks = {name: kept(row) for name, row in rows.items()}
    text = " and ".join(f"{signed(rank, '')} when {RANDOMISED[name]}" for name, rank in ranks.items())
    if unchanged[pair]:
        return Answer(FAILS, f"it does not change when the network is randomised (rank correlation {text})")
    if max(ranks.values()) > SAME or not any(sure(row) for row in rows.values()):
        count = max(row["images"] for row in rows.values())
        counted = f"{count} image{'' if count == 1 else 's'}"
        return Answer(UNSURE, f"it is not sure that it changes when the network is randomised (rank correlation {text}; {counted})")
    return Answer(PASSES, f"it changes when the network is randomised (rank correlation {text})")


def kept(row: Row) -> float:
    """Return the mean rank correlation of a map with what it was; where it turned constant, that is 0."""
    return 0.0 if row["rank"] is None else float(row["rank"] * (1 - row["undefined"] / row["images"]))


def sure(row: Row) -> bool:
    """Say whether there were images enough to judge by."""
    return row["rank_low"] is not None or row["undefined"] == row["images"] > 1


def deleted(row: Row | None, why: str) -> Answer:
    """Return whether deleting what the map marks moves the logit more than deleting at random."""
    if row is None or row["over_region_low"] is None or row["over_random_low"] is None:
        which = " whose map is not empty" if row is not None and row["empty"] else ""
        return Answer(UNTESTED, why or f"too few images{which} for deletion curves")
    what = "another face's pixels" if row["metric"].endswith("donor") else "a blur"
    verdict, moves, null = UNSURE, "does not surely move the logit more", "region"
    if all(row[f"over_{name}_low"] > 0 for name in NULLS):
        verdict, moves = PASSES, "moves the logit more"
    elif all(row[f"over_{name}_high"] < 0 for name in NULLS):
        verdict, moves = FAILS, "moves the logit less"
    else:
        null = next(name for name in NULLS if row[f"over_{name}_low"] <= 0)
    low, value, high = (signed(row[f"over_{null}{end}"]) for end in ("_low", "", "_high"))
    ends = f"({value} logits, 95 % {low} to {high}, {row['images']} images)"
    return Answer(verdict, f"replacing what it marks by {what} {moves} than replacing {NULLS[null]} {ends}")


def signed(value: float, sign: str = "+") -> str:
    """Return a number with two decimals and its sign.

    Example:
        >>> signed(1.234), signed(-0.5), signed(-0.001), signed(0.3, sign="")
        ('+1.23', '−0.50', '0.00', '0.30')
    """
    rounded = round(value, 2) + 0.0
    return format(rounded, f"{sign if rounded else ''}.2f").replace("-", "−")


def steady(row: Row | None, why: str) -> Answer:
    """Return whether the map is the same twice."""
    if row is None:
        return Answer(UNTESTED, why or "it was not tested")
    if row["difference"] > TREMBLE:
        return Answer(FAILS, f"two looks at the same image differ by {row['difference']:.1%} of the map's largest value")
    return Answer(PASSES, "two looks at the same image agree")


def together(tests: Mapping[str, Answer]) -> str:
    """Return one verdict for a map: it fails with any test; it passes where nothing fails and a test of its meaning is passed.

    Being the same twice says nothing about meaning, and so does being changed by a randomised network: noise has both.

    Example:
        >>> together({"selftest": Answer(UNTESTED, ""), "randomised": Answer(PASSES, ""), "faithful": Answer(UNSURE, "")})
        'unsure'
    """
    said = {name: answer.verdict for name, answer in tests.items()}
    if FAILS in said.values():
        return FAILS
    if PASSES in (said.get("selftest"), said.get("faithful")):
        return PASSES
    return UNTESTED if set(said.values()) <= {UNTESTED} else UNSURE


def methods(found: Mapping[Pair, Mapping[str, Answer]]) -> list[dict[str, Any]]:
    """Return one line per method: its verdict, where it passes and where not, and why.

    Returns:
        method, verdict ("passes" where it does at some layer), layers, where (these in words, "" for the image), fails_at,
        why; in the order of the run.
    """
    lines = []
    for method in dict.fromkeys(method for _, method in found):
        own = {layer: tests for (layer, name), tests in found.items() if name == method}
        verdicts = {layer: together(tests) for layer, tests in own.items()}
        at = {verdict: [layer for layer, said in verdicts.items() if said == verdict] for verdict in (PASSES, FAILS, UNSURE, UNTESTED)}
        verdict = next(name for name in (PASSES, UNSURE, FAILS, UNTESTED) if at[name])
        where = among(at[PASSES], own)
        lines.append({"method": method, "verdict": verdict, "layers": at[PASSES], "where": where, "fails_at": at[FAILS], "why": reason(own, at)})
    return lines


def reason(own: Mapping[str, Mapping[str, Answer]], at: Mapping[str, Sequence[str]]) -> str:
    """Return why: at which layers it passes, and what it failed at the others."""
    parts = []
    if at[PASSES]:
        parts.append(f"passes{among(at[PASSES], own)}")
    for name in TESTS:
        layers = [layer for layer in at[FAILS] if own[layer][name].verdict == FAILS]
        if layers:
            parts.append(f"fails{among(layers, own)}: {example(layers, own, name)}")
    if at[UNSURE]:
        tests = own[at[UNSURE][0]]
        doubt = next((name for name in ("faithful", "selftest", "randomised") if tests[name].verdict == UNSURE), "faithful")
        parts.append(f"unsure{among(at[UNSURE], own)}: {example(at[UNSURE], own, doubt)}")
    if at[UNTESTED]:
        parts.append(f"not tested{among(at[UNTESTED], own)}: {own[at[UNTESTED][0]]['randomised'].why}")
    return "; ".join(parts)


def example(layers: Sequence[str], own: Mapping[str, Mapping[str, Answer]], name: str) -> str:
    """Return what a test says of the first of these layers."""
    return (f"at {layers[0]}, " if len(layers) > 1 else "") + own[layers[0]][name].why


def among(layers: Sequence[str], own: Mapping[str, Any]) -> str:
    """Return where, in words: at all layers, or at those named; nothing for a map of the image itself.

    Example:
        >>> among(["a", "b"], {"a": 0, "b": 0}), among(["b"], {"a": 0, "b": 0}), among(["input"], {"input": 0})
        (' at every layer', ' at b', '')
    """
    if not layers or list(layers) == [INPUT]:
        return ""
    return " at every layer" if len(layers) == len(own) > 1 else f" at {', '.join(layers)}"


def meaning(lines: Sequence[Row], known: Recommendation | None) -> str:
    """Return, in a sentence or three, what the verdicts mean for reading the maps."""
    good = [f"{title(line['method'])}{line['where']}" for line in lines if line["layers"]]
    bad = [title(line["method"]) for line in lines if line["verdict"] == FAILS]
    text = f"Believe {'; '.join(good)}." if good else "None of these maps has shown that it can be believed."
    if len(bad) == 1:
        text += f" Do not read {bad[0]} as an explanation: it fails wherever it was tested."
    elif bad:
        text += f" Do not read {', '.join(bad)} as explanations: they fail wherever they were tested."
    if known is None and good:
        text += " No self-test of this architecture is known, so this stands on the images of this run alone."
    return text
