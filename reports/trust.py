"""Whether the maps can be believed, ready for the page: marks, tables and charts, without any HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import charts, trustcharts, words
from reports.run import AGAIN, Run
from xai.errors import RunError

MARKS = {"passes": "✓", "fails": "✗", "unsure": "?", "not tested": "–"}
TESTS = {
    "selftest": ("Finds what was planted", "in the self-test of this architecture"),
    "faithful": ("Marks what is used", "deletion moves the logit more than at random"),
    "randomised": ("Depends on the network", "changes with random weights"),
    "steady": ("Is the same twice", ""),
}
SHOWN = {
    "deletion_donor": ("Deletion, donor", "logits"),
    "deletion_blur": ("Deletion, blur", "logits"),
    "insertion_donor": ("Insertion, donor", "logits"),
    "insertion_blur": ("Insertion, blur", "logits"),
    "sufficiency": ("Sufficiency of the top 5 %", "share of the gap"),
    "road": ("ROAD", "logits"),
    "average_drop": ("Average drop", "of the probability"),
    "average_increase": ("Average increase", "of images"),
    "infidelity": ("Infidelity", "logits²"),
}
ALSO = {"above": "random weights above the layer", "random twin": "random weights everywhere"}
Row = Mapping[str, Any]
Cell = tuple[str, str, str, bool]


@dataclass(frozen=True, slots=True)
class Trust:
    """What the page says of the maps' trustworthiness.

    Args:
        images, checked: on how many it was tested.
        meaning: what it means for reading the maps, in a sentence or two.
        methods: per method (name, verdict, mark, why).
        layers: of the grid's columns.
        grid: per method its name and a (verdict, mark) per layer, None where it has no map.
        maps: per map (method, layer, verdict, mark, [(test, verdict, mark, why)]).
        tests: (title, note) of the tests, in the order of `maps`.
        curves, cascade: pictures as `data:` addresses with their size, or None.
        faithful: header and rows; a cell is (value, advantage, its interval, better than both nulls) or None.
        baselines: header and rows of rank correlations.
        stable: rows of (method, layer, sensitivity, Lipschitz).
        untested: (what, why).
    """

    images: int
    checked: int
    meaning: str
    methods: list[tuple[str, str, str, str]]
    layers: list[str]
    grid: list[tuple[str, list[tuple[str, str] | None]]]
    maps: list[tuple[str, str, str, str, list[tuple[str, str, str, str]]]]
    tests: list[tuple[str, str]]
    curves: tuple[str, tuple[int, int]] | None
    cascade: tuple[str, tuple[int, int]] | None
    faithful: tuple[list[tuple[str, str]], list[tuple[str, str, list[Cell | None]]]]
    baselines: tuple[list[str], list[tuple[str, str, list[str]]]]
    stable: list[tuple[str, str, str, str]]
    untested: list[tuple[str, str]]


def trust(run: Run) -> Trust | None:
    """Return what the run says about its own maps; None for one that did not test them."""
    found = run.summary.get("trust")
    if not found:
        return None
    try:
        answers = {(entry["layer"], entry["method"]): entry for entry in found["maps"]}
        return Trust(
            images=int(found["images"]),
            checked=int(found["checked"]),
            meaning=str(found["meaning"]),
            methods=[(words.method(line["method"]), line["verdict"], MARKS[line["verdict"]], line["why"]) for line in found["methods"]],
            layers=list(run.layers),
            grid=[(words.method(method), [cell(answers.get((layer, method))) for layer in run.layers]) for method in run.methods],
            maps=[
                (words.method(entry["method"]), entry["layer"], *marked(entry), [(name, *marked(one), one["why"]) for name, one in tests(entry)])
                for entry in found["maps"]
            ],
            tests=[TESTS[name] for name, _ in tests(found["maps"][0])],
            curves=picture(trustcharts.curves(found["curves"], run.methods, run.layers)),
            cascade=picture(trustcharts.cascade(found["similar"], found["stages"], run.methods, run.layers)),
            faithful=faithful(found["faithful"]),
            baselines=baselines(found["similar"]),
            stable=[
                (words.method(row["method"]), row["layer"], spanned(row, "sensitivity"), spanned(row, "lipschitz")) for row in found["stable"]
            ],
            untested=untested(found["untested"]),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise RunError(f"summary.json in {run.directory} has an entry on trust that lacks or garbles {error}; {AGAIN}") from error


def marks(run: Run) -> dict[tuple[str, str], tuple[str, str]]:
    """Return, by (layer, method), the verdict and its mark, to stand beside the maps; empty where nothing was tested."""
    found = run.summary.get("trust") or {}
    return {(entry["layer"], entry["method"]): (entry["verdict"], MARKS.get(entry["verdict"], "")) for entry in found.get("maps") or ()}


def reasons(run: Run) -> dict[tuple[str, str], str]:
    """Return, by (layer, method), one sentence on a map that fails."""
    found = run.summary.get("trust") or {}
    said = {}
    for entry in found.get("maps") or ():
        failed = [answer["why"] for _, answer in tests(entry) if answer["verdict"] == "fails"]
        if failed:
            said[entry["layer"], entry["method"]] = f"Fails: {failed[0]}."
    return said


def tests(entry: Row) -> list[tuple[str, Row]]:
    """Return a map's tests and their answers, in the order of the page."""
    return [(name, entry["answers"][name]) for name in TESTS if name in entry["answers"]]


def untested(found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what was left out, in words, and why.

    Example:
        >>> untested({"rise:masks=500": "slow", "randomised": "no weights", "random twin": "no weights", "above: conv": "none"})
        [('RISE (masks=500)', 'slow'), ('random weights', 'no weights'), ('random weights above conv', 'none')]
    """
    told = []
    for name, why in found.items():
        what, _, where = name.partition(": ")
        if what in ("randomised", "above"):
            told.append((" ".join(("random weights", {"above": "above"}.get(what, ""), where)).replace("  ", " ").strip(), why))
        elif name != "random twin" or found.get("randomised") != why:  # said already
            told.append((ALSO.get(name) or words.method(name), why))
    return told


def marked(entry: Row) -> tuple[str, str]:
    """Return a verdict and its mark."""
    return entry["verdict"], MARKS[entry["verdict"]]


def cell(entry: Row | None) -> tuple[str, str] | None:
    """Return a map's verdict and mark."""
    return None if entry is None else marked(entry)


def picture(drawn: bytes | None) -> tuple[str, tuple[int, int]] | None:
    """Return a PNG as a `data:` address with its size on the page."""
    if drawn is None:
        return None
    size = int.from_bytes(drawn[16:20], "big"), int.from_bytes(drawn[20:24], "big")
    return charts.uri(drawn, "image/png"), size


def faithful(rows: Sequence[Row]) -> tuple[list[tuple[str, str]], list[tuple[str, str, list[Cell | None]]]]:
    """Return the faithfulness table of both classes: per map, every metric's value and its advantage over a region of the same size."""
    own = [row for row in rows if row["group"] == "both" and row["layer"]]
    metrics = [name for name in SHOWN if any(row["metric"] == name for row in own)]
    table = {(row["layer"], row["method"], row["metric"]): row for row in own}
    pairs = list(dict.fromkeys((row["layer"], row["method"]) for row in own))
    lines = [(words.method(method), layer, [measured(table.get((layer, method, name))) for name in metrics]) for layer, method in pairs]
    return [SHOWN[name] for name in metrics], lines


def measured(row: Row | None) -> Cell | None:
    """Return a value, its advantage over the region null, the interval of that, and whether it beats both nulls for sure."""
    if row is None or row["value"] is None:
        return None
    over = "" if row["over_region"] is None else signed(row["over_region"])
    ends = "" if row["over_region_low"] is None else f"{signed(row['over_region_low'])} to {signed(row['over_region_high'])}"
    sure = all((row[f"over_{null}_low"] or 0) > 0 for null in ("random", "region"))
    return words.number(row["value"]), over, ends, sure


def signed(value: Any) -> str:
    """Return a number with its sign."""
    text = words.number(value, 2)
    return f"+{text}" if (words.real(value) or 0) > 0 else text


def baselines(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
    """Return rank correlations with what knows nothing of this image's decision."""
    own = [row for row in rows if row["test"] == "baseline" or row["against"] == "above"]
    names = list(dict.fromkeys(row["against"] for row in own))
    table = {(row["layer"], row["method"], row["against"]): row for row in own}
    pairs = list(dict.fromkeys((row["layer"], row["method"]) for row in own))
    return [ALSO.get(name, name) for name in names], [
        (words.method(method), layer, [spanned(table.get((layer, method, name), {}), "rank", plain=True) for name in names])
        for layer, method in pairs
    ]


def spanned(row: Row, name: str, plain: bool = False) -> str:
    """Return a mean with its interval; `plain`: with two decimals however small it is."""
    if words.real(row.get(name)) is None:
        return words.NONE
    plain = plain or row[name] == 0 or 0.01 <= abs(row[name]) < 1e3
    text = words.fixed(row[name]) if plain else words.number(row[name], 2)
    if words.real(row.get(f"{name}_low")) is None:
        return text
    ends = [words.fixed(row[f"{name}_{end}"]) if plain else words.number(row[f"{name}_{end}"], 2) for end in ("low", "high")]
    return f"{text} ({ends[0]} to {ends[1]})"
