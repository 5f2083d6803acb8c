"""The short version of an audit: what the page says first, and the few tables behind it; as Markdown, and as what is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports import alerts, context, filmstrip, making, markdown, parts, performance, trust, words
from reports.drawn import Drawn, MapFile
from reports.run import AGAIN, Run, read
from reports.sheet import Section, Table
from xai import store
from xai.errors import RunError

SAID = {"severe": "Beware", "warning": "Warning", "note": "Note"}  # of alerts
MOST = 8  # parts in the table; the page has all
MADE = ("Run", "Model", "Preprocessing", "Data", "Versions")  # of how it was made; the page has the rest


@dataclass(frozen=True, slots=True)
class Short:
    """The short version, without any markup.

    Args:
        title, asked: what was audited.
        verdict: plain sentences.
        tiles: name, value and note of the first numbers.
        notes: how serious it is, and what a reader must know.
        sections: a title, sentences, and tables.
        command: as one would type it.
        spot: the group, method and layer that it speaks of.
        means: the mean maps, for who draws them.
    """

    title: str
    asked: str
    verdict: tuple[str, ...]
    tiles: tuple[tuple[str, str, str], ...]
    notes: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    command: str
    spot: context.Focus
    means: Mapping[filmstrip.Key, Drawn]


def render(directory: str | Path) -> Path:
    """Write `summary.md` of a run directory.

    The same files give the same bytes.

    Args:
        directory: what `whyfake audit --out` wrote.

    Raises:
        RunError: a needed file is missing or damaged.
    """
    run = read(directory)
    return store.write_bytes(run.directory / "summary.md", text(gather(run)).encode("utf-8", "replace"))


def gather(run: Run) -> Short:
    """Return the short version of a run."""
    with MapFile(run.directory / "maps.h5") as maps:
        means = filmstrip.means(run, maps)
    spot = context.focus(run, means)
    name = (run.record["model"] or {}).get("name") or "the model"
    methods = ", ".join(words.method(method) for method in run.methods)
    data = (run.record.get("data") or {}).get("name") or "the images"
    sections = (claims(run), telling(run), believed(run), measured(run), made(run))
    return Short(
        title=f"Where does {name} look?",
        asked=f"{words.plural(len(run.images), 'image')} of {data}, {words.plural(len(run.layers), 'layer')}, {methods}",
        verdict=tuple(context.verdict(run, spot)),
        tiles=tuple((str(tile["name"]), str(tile["value"]), str(tile["note"])) for tile in context.tiles(run, spot)),
        notes=tuple((SAID[level], note) for level, note, _ in alerts.alerts(run, spot)),
        sections=tuple(section for section in sections if section is not None),
        command=making.command(run),
        spot=spot,
        means=means,
    )


def claims(run: Run) -> Section | None:
    """Return the claims and what became of them."""
    found = run.summary.get("claims")
    if not found:
        return None
    try:
        rows = [(str(entry["claim"]), answer(entry["looked"]), answer(entry["used"])) for entry in found]
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"summary.json in {run.directory} has a claim that lacks {error}; {AGAIN}") from error
    return Section("Claims", items=(Table("", ("Claim", "Looked at", "Used"), rows),))


def answer(part: Mapping[str, Any]) -> str:
    """Return a verdict with its number.

    Example:
        >>> answer({"verdict": "supported", "value": 3.94, "low": 3.1, "high": None, "unit": "times chance"})
        'supported: 3.94 times chance (3.10 to ∞)'
        >>> answer({"verdict": "not tested"})
        'not tested'
    """
    if part["verdict"] == "not tested" or words.real(part.get("value")) is None:
        return str(part["verdict"])
    unit = str(part.get("unit") or "")
    shown = words.percent if unit.startswith("of the") else words.fixed
    high = "∞" if part.get("high") is None else shown(part["high"])
    return f"{part['verdict']}: {shown(part['value'])} {unit} ({shown(part.get('low'))} to {high})"


def telling(run: Run) -> Section | None:
    """Return the parts that the decision hangs on most, looked at beside used; None without parts."""
    pairs = parts.pairs(run)
    if pairs is None:
        return None
    focus = run.summary.get("focus") or {}
    rows = [(region, dot(looked), dot(used)) for region, looked, used in pairs.rows[:MOST]]
    how = f"{words.method(str(focus.get('method')))}, {words.group(str(focus.get('group')))[0].lower()}" if focus else ""
    lead = (
        f"Looked at: how many times more of the map ({how}) lies on the part than by chance. Used: by how many logits the answer moves towards "
        f"the other class when the part comes from a face of that class, less the same with one of its own. 95{words.SPACE}% intervals."
    )
    note = f"The first {MOST} of {len(pairs.rows)} parts." if len(pairs.rows) > MOST else ""
    return Section("Looked at, and used", lead, (Table("", ("Part", "Looked at", "Used"), rows, note),))


def dot(found: parts.Dot | None) -> str:
    """Return a value with its interval and verdict."""
    return words.NONE if found is None else f"{found.text} ({found.span}), {found.verdict}"


def believed(run: Run) -> Section | None:
    """Return which methods can be believed; None where nothing was tested."""
    found = trust.trust(run)
    if found is None:
        return None
    rows = [(name, f"{mark} {verdict}", why) for name, verdict, mark, why in found.methods]
    return Section("Can the maps be believed?", items=(Table("", ("Method", "Verdict", "Why"), rows),))


def measured(run: Run) -> Section | None:
    """Return how well the detector separates the classes; None without labels."""
    table = performance.table(run)
    if table is None:
        return None
    header = ("Measure", *(f"{name} ({words.plural(int(count.replace(',', '')), 'image')})" for name, count in table["columns"]))
    rows = [(name, *(value if bounds == words.NONE else f"{value} ({bounds})" for value, bounds in values)) for name, _, values in table["rows"]]
    matrices = []
    for matrix in performance.confusion(run):
        cells = {name: f"{cell['count']} ({cell['text']})" for name, cell in matrix["cells"].items()}
        lines = [("is fake", cells["TP"], cells["FN"]), ("is real", cells["FP"], cells["TN"])]
        matrices.append(Table(matrix["title"], ("", "called fake", "called real"), lines))
    lead = f"Fake is the positive class, from a score of {words.number(run.threshold)}. 95{words.SPACE}% intervals."
    return Section("Performance", lead, (Table("", header, rows), *matrices))


def made(run: Run) -> Section:
    """Return how the audit was made."""
    known = dict(making.sections(run))
    rows = []
    for title in MADE:
        facts = [f"{name} {value}" for name, value in known.get(title, ()) if value != words.NONE and not name.startswith("seconds")]
        rows += [(title, "; ".join(facts))] if facts else []
    return Section("How this was made", items=(Table("", ("Of", "What"), rows),))


def text(short: Short) -> str:
    """Return the short version as GitHub's Markdown."""
    blocks = [f"# {markdown.escape(short.title)}", markdown.escape(short.asked), *map(markdown.escape, short.verdict)]
    blocks += [f"> **{level}:** {markdown.escape(note)}" for level, note in short.notes]
    blocks.append(markdown.table(("Number", "", ""), short.tiles))
    for section in short.sections:
        blocks += [f"## {markdown.escape(section.title)}", *([markdown.escape(section.lead)] if section.lead else ())]
        for table in (item for item in section.items if isinstance(item, Table)):
            blocks += [f"**{markdown.escape(table.title)}**"] if table.title else []
            blocks += [markdown.table(table.header, table.rows), *([markdown.escape(table.note)] if table.note else ())]
    if short.command:
        blocks.append(markdown.code(short.command))
    blocks.append("More, with pictures: [index.html](index.html).")
    return "\n\n".join(blocks) + "\n"
