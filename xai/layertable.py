"""The layers of a detector that can be mapped, as a record and as text for a terminal."""

from __future__ import annotations

from typing import Any

from xai import notebook
from xai.detector import Detector


def record(detector: Detector) -> dict[str, Any]:
    """Return layers, head, logit and the map to trust by default, as JSON knows them."""
    method, why = detector.default_method()
    known = detector.recommendation()
    rows = [
        {"name": layer.name, "type": layer.kind, "shape": layer.shape, "stride": layer.placement.stride, "offset": layer.placement.offset,
         "receptive_field": layer.placement.receptive_field}
        for layer in detector.layers.values()
    ]  # fmt: skip
    return {
        "layers": rows, "refused": detector.refused, "head": detector.head.kind, "logit": detector.head.text, "method": method,
        "layer": known.layer if known else None, "reason": why,
    }  # fmt: skip


def text(detector: Detector) -> str:
    """Return the same as lines for people."""
    found = record(detector)
    where = f" at {found['layer']}" if found["layer"] else ""
    lines = [
        f"{detector.name}: {detector.size[1]} x {detector.size[0]}, head: {found['head']}, logit: {found['logit']}",
        f"default method: {found['method']}{where} ({found['reason']})",
        "",
    ]
    width = max((len(row["name"]) for row in found["layers"]), default=5)
    kinds = max([16, *(len(row["type"]) for row in found["layers"])])
    lines.append(f"{'layer':<{width}}  {'type':<{kinds}} {'cells x channels':<18} {'stride':>12} {'first centre':>14} {'sees':>12}   (pixels, y x)")
    for row in found["layers"]:
        h, w, c = row["shape"]
        stride, offset, field = (" ".join(f"{value:g}" for value in row[key]) for key in ("stride", "offset", "receptive_field"))
        lines.append(f"{row['name']:<{width}}  {row['type']:<{kinds}} {f'{h} x {w} x {c}':<18} {stride:>12} {offset:>14} {field:>12}")
    lines += [f"{name:<{width}}  no map: {reason}" for name, reason in detector.refused.items()]
    return "\n".join(lines)


def html(detector: Detector) -> str:
    """Return what a detector is, as a small table for a notebook."""
    found, count = record(detector), detector.parameters
    where = f" at {found['layer']}" if found["layer"] else ""
    refused = f", {len(found['refused'])} that cannot" if found["refused"] else ""
    rows = [
        ("input", detector.preprocessing.text()),
        ("logit", f"{found['logit']}; high means {detector.positive}, fake from a score of {detector.threshold:g}"),
        ("head", found["head"]),
        ("layers", f"{len(found['layers'])} that can be mapped{refused}" if detector.gradients else "none: only answers are known"),
        ("parameters", "not known" if count is None else f"{count:,}"),
        ("default method", f"{found['method']}{where} ({found['reason']})"),
        *([("file", detector.path), ("sha256", detector.sha256)] if detector.path else []),
    ]
    return notebook.table(rows, (detector.name, ""))
