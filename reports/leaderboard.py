"""A table of methods by layers as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports import words

LIGHT = 0.55  # of the scale, from which text on it is black


def matrix(rows: Sequence[Mapping[str, Any]], measure: str) -> bytes:
    """Draw a share in [0, 1] by method (down, the best first) and layer (across), passing maps framed; PNG bytes.

    Args:
        rows: method, layer, score, verdict and the measure.
        measure: name of a share.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    layers = list(dict.fromkeys(row["layer"] for row in rows))
    best: dict[str, float] = {}
    for row in rows:
        best[row["method"]] = max(best.get(row["method"], 0.0), words.real(row["score"]) or 0.0)
    methods = sorted(best, key=lambda name: -best[name])
    known = {(row["method"], row["layer"]): row for row in rows}
    values = np.full((len(methods), len(layers)), np.nan)
    for (method, layer), row in known.items():
        values[methods.index(method), layers.index(layer)] = np.nan if words.real(row[measure]) is None else row[measure]
    sheet = Figure(figsize=(2.2 + 0.85 * len(layers), 0.9 + 0.3 * len(methods)), dpi=110, layout="constrained")
    FigureCanvasAgg(sheet)
    axes = sheet.add_subplot()
    axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (row_at, column), value in np.ndenumerate(values):
        ink = "grey" if np.isnan(value) else "black" if value > LIGHT else "white"
        axes.text(column, row_at, "–" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
        if known.get((methods[row_at], layers[column]), {}).get("verdict") == "passes":
            axes.add_patch(Rectangle((column - 0.47, row_at - 0.45), 0.94, 0.9, fill=False, ec="tab:red", lw=1.6))
    names = ["the image" if name == "input" else name.split("/")[-1] for name in layers]
    axes.set_xticks(range(len(layers)), names, fontsize=8, rotation=20, ha="right", parse_math=False)  # a name may hold $
    axes.set_yticks(range(len(methods)), [words.method(name) for name in methods], fontsize=8, parse_math=False)
    axes.tick_params(length=0)
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
