"""A self-test as a page: made of `selftest.json` and the examples beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports import making, words
from reports.leaderboard import matrix
from reports.run import read_json
from reports.sheet import Picture, Section, Table, page
from xai import store
from xai.errors import RunError

AGAIN = "run the same 'whyfake selftest' command again, it keeps what is done"
NEEDED = ("subject", "plants", "rows", "methods", "sentences")
MARKS = {"passes": "✓\u00a0passes", "fails": "✗\u00a0fails", "unsure": "?\u00a0unsure"}
Row = Mapping[str, Any]
NAMES = {"cast": "colour cast", "jpeg": "JPEG blocks", "picture": "the whole picture"}
PLANTED = (
    "Every data set's fakes differ from its real pictures by one planted artefact and by nothing else, so what the detector goes by is known to the "
    "pixel."
)
HOW = (
    "Each map of held-out fakes is laid over the image where its cells are, never stretched, and compared with the mask of what was planted.\n"
    "A map passes where it points at the artefact in at least half of the fakes of every data set, with the 95 % interval of all together above one "
    "half; it fails where that interval lies below one half. A method passes where it does at some layer, and fails where it does at every layer.\n"
    "Points: the highest cell lies on the artefact or within 1/64 of the side of it (an empty map misses). Mass: share of the positive map on it. "
    "Density: mass ÷ the artefact's share of the picture (1: as by chance). Rank: of the K highest pixels, K being the artefact's size, the share on "
    "it. IoU: area shared by artefact and map ÷ area of both together, the map cut at the best height."
)


def render(directory: str | Path) -> Path:
    """Write `index.html` of a self-test.

    The page is a pure function of the other files: the same files give the same bytes.

    Args:
        directory: what `whyfake selftest --out` wrote.

    Raises:
        RunError: a needed file is missing or damaged.
    """
    folder = Path(directory)
    found = read_json(folder, "selftest.json", NEEDED, AGAIN)
    try:
        together = [row for row in found["rows"] if row["plant"] == "all"]
        tables = tuple(effects(plant) for plant in found["plants"] if plant["effects"])
        covered = tuple(even(text, rows) for text, rows in found["whole"].items())
        sections = [
            Section("Leaderboard", HOW, (*charts(together), best(found, together))) if together else Section("Leaderboard"),
            Section("What was planted", PLANTED, (planted(found["plants"]), *examples(folder, found["plants"]))),
            Section("Swapped regions", EFFECT, tables) if tables else Section("Swapped regions"),
            Section("Every map", "", (every(found["rows"], together),) if together else ()),
            Section("Does it carry over?", "", transferred(found["transferred"])),
            Section("Whole pictures", WHOLE, covered) if covered else Section("Whole pictures"),
            made(found),
        ]
        text = page(
            f"Which map tells the truth on {found['subject']}?",
            "\n".join(found["sentences"]),
            tiles(found, together),
            sections,
            eyebrow="whyfake selftest",
            notes=notes(found),
            command=shlex.join(map(str, found.get("command") or [])),
        )
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, StopIteration) as error:
        raise RunError(f"selftest.json in {folder} has an entry that lacks or garbles {str(error) or 'a map'}; {AGAIN}") from error
    return store.write_bytes(folder / "index.html", text.encode("utf-8", "replace"))


EFFECT = (
    "No map is needed for this: each region is swapped for that of a face of the other class, and for that of a face of its own class. The "
    "difference of the two is shown: mean change of the logit towards the other class, with its 95 % interval. The region of the artefact should "
    "come first."
)
WHOLE = (
    "Of an artefact over the whole picture no region is right. A map that is narrow all the same shows a focus that is not there: 50 % would be an "
    "even map."
)


def spot(row: Row) -> str:
    """Return a map's method and layer."""
    return words.method(row["method"]) + ("" if row["layer"] == "input" else f" at {row['layer']}")


def place(layer: str) -> str:
    """Return where a map lies, in words."""
    return "the\u00a0image" if layer == "input" else layer


def named(name: str) -> str:
    """Return a kind of artefact or a region, in words.

    Example:
        >>> named("jpeg"), named("left_eye")
        ('JPEG blocks', 'left eye')
    """
    return NAMES.get(name, name.replace("_", " "))


def titled(plant: Row) -> str:
    """Return what was planted, and where."""
    return f"{named(plant['kind'])}, {named(plant['region'])}"


def tiles(found: Row, together: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return the large numbers."""
    chosen = found["recommended"]
    learnt = [plant for plant in found["plants"] if plant["learnt"]]
    tried = [plant for plant in learnt if plant["found"] is not None]
    counted = {verdict: sum(entry["verdict"] == verdict for entry in found["methods"]) for verdict in MARKS}
    result = []
    if chosen is not None:
        row = next(row for row in together if (row["layer"], row["method"]) == (chosen["layer"], chosen["method"]))
        result.append(("Use", words.method(chosen["method"]), "" if chosen["layer"] == "input" else f"at {chosen['layer']}"))
        result.append(("It points at the artefact", words.percent(row["pointing"], 0), f"of {words.plural(row['images'], 'fake')}"))
        result.append(("Its density there", words.number(row["density"], 2), "times that of the picture"))
    result.append(("Methods that pass", f"{counted['passes']} of {len(found['methods'])}", f"{counted['fails']} fail, {counted['unsure']} unsure"))
    result.append(("Found by swapping regions", f"{sum(plant['found'] for plant in tried)} of {len(tried)}", "planted regions come first"))
    return [*result, ("Artefacts learnt", f"{len(learnt)} of {len(found['plants'])}", "")]


def notes(found: Row) -> list[str]:
    """Return what a reader must know before believing the page."""
    said = []
    if found["images"] == "drawn portraits":
        said.append("Measured on drawn portraits. Real generators leave fainter and wider traces; --photos plants in real faces.")
    few = sorted({row["images"] for row in found["rows"] if row["plant"] == "all"})
    if len(few) > 1 and few[0] < 20:
        said.append(f"Slow methods were scored on {few[0]} fakes only, so that most of them stay unsure; --slow takes more.")
    return said


def charts(together: Sequence[Row]) -> list[Picture]:
    """Return the matrices of pointing and mass by method and layer."""
    if not together:
        return []
    return [
        Picture("Points at the artefact: share of fakes", matrix(together, "pointing"), "Framed: the map passes. A dash: no map was made."),
        Picture("Share of the map's mass on the artefact", matrix(together, "mass_accuracy"), "Over the fakes whose map is not empty."),
    ]


def best(found: Row, together: Sequence[Row]) -> Table:
    """Return the best layer of every method."""
    header = ("Method", "Verdict", "Passes at", "Best score at", "Fakes", "Points", "Mass", "Density", "Rank", "IoU", "Empty maps")
    cells = []
    for entry in found["methods"]:
        row = next(row for row in together if (row["layer"], row["method"]) == (entry["best"], entry["method"]))
        layers = ", ".join(map(place, entry["layers"])) or words.NONE
        cells.append((words.method(entry["method"]), MARKS[entry["verdict"]], layers, place(row["layer"]), str(row["images"]), *numbers(row)))
    note = "The numbers, with 95 % intervals over fakes, are those of the layer with the best score: the mean of points, mass and rank."
    return Table("Every method at its best layer", header, cells, note)


def numbers(row: Row) -> tuple[str, ...]:
    """Return a row's scores with their intervals."""
    shares = tuple(
        words.percent(row[name], 0)
        + (f" ({words.interval((row[f'{name}_low'], row[f'{name}_high']), 0)})" if words.real(row[name]) is not None else "")
        for name in ("pointing", "mass_accuracy")
    )
    rest = tuple(words.percent(row[name], 0) for name in ("rank_accuracy", "iou"))
    return (*shares, words.number(row["density"], 2), *rest, words.percent(row["empty"] / row["images"], 0))


def planted(plants: Sequence[Row]) -> Table:
    """Return what was planted and whether it was learnt."""
    header = ("Planted", "Region", "Strength", "Share of the picture", "Accuracy, held out", "95 % interval", "Epochs", "Seconds")
    cells = [
        (
            named(plant["kind"]), named(plant["region"]), words.number(plant["strength"]), words.percent(plant["area_share"]),
            words.percent(plant["accuracy"]) + ("" if plant["learnt"] else " (not learnt, left out)"), words.interval(plant["accuracy_interval"]),
            words.number(plant["epochs"]) if plant["epochs"] else words.NONE, words.number(plant["seconds"]),
        )
        for plant in plants
    ]  # fmt: skip
    return Table("One detector for every artefact", header, cells)


def examples(folder: Path, plants: Sequence[Row]) -> list[Picture]:
    """Return one fake of every data set with its maps."""
    found = []
    for plant in plants:
        path = folder / plant["name"] / "example.png"
        if path.is_file():
            found.append(Picture(titled(plant), path.read_bytes(), "Each map on its own scale."))
    return found


def effects(plant: Row) -> Table:
    """Return the regions that move the logit most."""
    outer = sorted((row for row in plant["effects"] if not row["within"]), key=lambda row: -(words.real(row["net"]) or 0))[:6]
    cells = [
        (
            row["region"].replace("_", " ") + (" ← planted" if row["region"] == plant["region"] else ""), str(row["images"]),
            words.fixed(row["net"]), words.NONE if row["net_low"] is None else f"{words.fixed(row['net_low'])} to {words.fixed(row['net_high'])}",
        )
        for row in outer
    ]  # fmt: skip
    header = ("Region", "Images", "Logits", "95 % interval")
    return Table(f"{titled(plant)}: the first of {words.plural(sum(not row['within'] for row in plant['effects']), 'region')}", header, cells)


def every(rows: Sequence[Row], together: Sequence[Row]) -> Table:
    """Return every map: all artefacts together, and at how many fakes of each it points."""
    plants = list(dict.fromkeys(row["plant"] for row in rows if row["plant"] != "all"))
    regions = [plant.split(":")[1] for plant in plants]
    heads = [f"Points, {named(region) if regions.count(region) == 1 else plant}" for plant, region in zip(plants, regions, strict=True)]
    points = {(row["plant"], row["layer"], row["method"]): words.percent(row["pointing"], 0) for row in rows}
    header = ("Map", "Verdict", "Fakes", "Points", "Mass", "Density", "Rank", "IoU", "Empty maps", *heads)
    cells = [
        (
            spot(row), MARKS.get(row["verdict"], ""), str(row["images"]), *numbers(row),
            *(points.get((plant, row["layer"], row["method"]), words.NONE) for plant in plants),
        )
        for row in together
    ]  # fmt: skip
    return Table("Every method and layer", header, cells, "All measures of every artefact, unrounded: leaderboard.csv.")


def transferred(rows: Sequence[Row]) -> tuple[Table, ...]:
    """Return what the recommendation from the other artefacts is worth on each."""
    if not rows:
        return ()
    header = ("Planted", "Chosen on the others", "Score", "Best here", "Score", "Short by")
    cells = [
        (row["plant"], spot(row), words.fixed(row["score"], 3), spot({"method": row["best_method"], "layer": row["best_layer"]}),
         words.fixed(row["best"], 3), words.percent(row["regret"]))
        for row in rows
    ]  # fmt: skip
    note = (
        "The map is chosen on all other artefacts and scored on this one: what the choice is worth where the artefact is not known beforehand. "
        "Score: mean of points, mass and rank, an empty map counting 0."
    )
    return (Table("Chosen on the others, scored on this one", header, cells, note),)


def even(text: str, rows: Sequence[Row]) -> Table:
    """Return how narrow each map is where the trace is everywhere."""
    header = ("Map", "Fakes", "Half of its mass lies on", "Empty maps")
    cells = [(spot(row), str(row["images"]), words.percent(row["half_area"]), words.percent(row["empty"] / row["images"], 0)) for row in rows]
    return Table(f"{named(text.split(':')[0])}: on how little of the picture half of the map lies", header, cells)


def made(found: Row) -> Section:
    """Return how it was made."""
    titled = (("Settings", "settings"), ("Versions", "versions"), ("Machine", "machine"))
    tables = [Table(title, ("", ""), making.flat(found.get(key))) for title, key in titled]
    run = [(name, making.text(found.get(name))) for name in ("whyfake", "subject", "architecture", "size", "images", "seconds")]
    return Section("How this was made", "", (Table("Run", ("", ""), run), *tables))
