"""Charts of the trust tests, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from reports import words

WIDE = 3.4  # inches of a panel
HIGH = 2.7
NULLS = {"random": ("random pixels", ":"), "region": ("random regions", "--")}
LEAST = 0.005  # fraction that stands for 0 on a logarithmic axis
Row = Mapping[str, Any]


def curves(rows: Sequence[Row], methods: Sequence[str], layers: Sequence[str]) -> bytes | None:
    """Draw, per method, how the logit of the image's own class falls as the top pixels are replaced, a line a layer, the nulls grey."""
    own = [row for row in rows if row["group"] == "both"]
    kind = next((name for name in ("deletion_donor", "deletion_blur") if any(row["curve"] == name for row in own)), None)
    if kind is None:
        return None
    table: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in own:
        if row["curve"] == kind and row["logit"] is not None:
            table.setdefault((row["layer"], row["method"]), []).append((row["fraction"], row["logit"]))
    shown = [method for method in methods if any(name == method for _, name in table)]
    if not shown:
        return None
    sheet, panels = sheets(len(shown))
    for axes, method in zip(panels, shown, strict=False):
        for null, (label, style) in NULLS.items():
            line(axes, table.get(("", null), []), color="grey", ls=style, label=label)
        for layer, colour in zip(layers, colours(len(layers)), strict=True):
            line(axes, table.get((layer, method), []), color=colour, label=layer)
        axes.set_title(words.method(method), fontsize=9, parse_math=False)
        axes.set_xscale("log")
        ticks = (0.01, 0.05, 0.2, 1.0)
        axes.set_xticks([LEAST, *ticks], ["0", *(f"{tick:.0%}" for tick in ticks)], fontsize=8)
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("logit of the own class", fontsize=8)
    what = "a face of the other class" if kind.endswith("donor") else "a blur"
    sheet.supxlabel(f"share of the picture replaced by {what}, what the map marks first", fontsize=8)
    return finished(sheet, panels)


def cascade(rows: Sequence[Row], stages: Sequence[str], methods: Sequence[str], layers: Sequence[str]) -> bytes | None:
    """Draw, per method, how far its maps stay what they were as more and more layers are randomised, from the logit down."""
    own = [row for row in rows if row["test"] == "randomised" and row["against"] in stages]
    shown = [method for method in methods if any(row["method"] == method for row in own)]
    if not shown or not stages:
        return None
    places = {stage: place for place, stage in enumerate(stages, 1)}
    sheet, panels = sheets(len(shown))
    for axes, method in zip(panels, shown, strict=False):
        axes.axhspan(0.5, 1.02, color="tab:red", alpha=0.07)
        for layer, colour in zip(layers, colours(len(layers)), strict=True):
            points = [(0.0, 1.0)] + [
                (float(places[row["against"]]), row["rank"])
                for row in own
                if (row["layer"], row["method"]) == (layer, method) and row["rank"] is not None
            ]
            if len(points) > 1:
                axes.plot(*zip(*points, strict=True), "o-", ms=3, lw=1.3, color=colour, label=layer)
        axes.set_title(words.method(method), fontsize=9, parse_math=False)
        names = ["none", *(stage.split("/")[-1] for stage in stages)]
        axes.set_xticks(range(len(stages) + 1), names, rotation=60, ha="right", fontsize=7, parse_math=False)
        axes.set_ylim(-1.05, 1.05)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("rank correlation with the map", fontsize=8)
    sheet.supxlabel("randomised, from the logit down to and with", fontsize=8)
    return finished(sheet, panels)


def sheets(count: int) -> tuple[Any, list[Any]]:
    """Return an empty sheet with so many panels, at most three in a row, with one vertical axis a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(3, count)
    rows = -(-count // columns)
    sheet = Figure(figsize=(WIDE * columns + 1.4, HIGH * rows + 0.3), dpi=110, layout="constrained")
    FigureCanvasAgg(sheet)
    panels = sheet.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for spare in panels[count:]:
        spare.set_visible(False)
    for axes in panels:
        axes.tick_params(labelsize=8)
    return sheet, list(panels)


def line(axes: Any, points: Sequence[tuple[float, float]], **style: Any) -> None:
    """Draw a curve over fractions of the picture; 0 stands at the left edge."""
    if points:
        x, y = zip(*sorted(points), strict=True)
        axes.plot(np.maximum(x, LEAST), y, lw=1.4, **style)


def colours(count: int) -> Iterator[Any]:
    """Yield a colour per layer, from the first to the last, safe for the colour-blind."""
    from matplotlib import colormaps

    yield from colormaps["viridis"](np.linspace(0, 0.9, count))


def finished(sheet: Any, panels: Sequence[Any]) -> bytes:
    """Return the sheet with one legend, as a PNG."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = [name.split("/")[-1] if len({other.split("/")[-1] for other in handles}) == len(handles) else name for name in handles]
    legend = sheet.legend(handles.values(), names, loc="outside right upper", fontsize=7, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name may hold $
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
