"""What the server answers about one image and one model: numbers, maps, and on which parts of the face they lie."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from reports.gallery import grey
from reports.web.framing import View
from reports.web.limits import Limits
from reports.web.served import Served
from xai import miniature
from xai.detector import score
from xai.errors import ImageError
from xai.maps.mapped import Mapped, parse
from xai.maps.methods import title
from xai.maps.placement import Placement
from xai.regions.attention import Ground, attend
from xai.regions.parts import Parts, units
from xai.regions.source import Source
from xai.regions.table import summed

CELLS = 128  # a side of a map that is sent: enough for a picture of a thousand pixels, since cells are blended
QUALITY = 88  # of the view that is sent back

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model says of one image.

    Args:
        served: the model.
        view: what it saw.
        logit: of fake.
        maps: by (layer, method), float32 `(h, w)`, raw.
        placements: by layer.
        parts: of the face, on the view; None where there are none.
        rows: name -> indices of its parts.
        area: share of the view of each row.
        shares: by (layer, method), share of the positive mass on each row; NaN for an empty map.
        faceless: why there are no parts, "" where nobody asked.
    """

    served: Served
    view: View
    logit: float
    maps: dict[Pair, np.ndarray] = field(default_factory=dict)
    placements: dict[str, Placement] = field(default_factory=dict)
    parts: Parts | None = None
    rows: dict[str, tuple[int, ...]] = field(default_factory=dict)
    area: np.ndarray | None = None
    shares: dict[Pair, np.ndarray] = field(default_factory=dict)
    faceless: str = ""

    @property
    def probability(self) -> float:
        """Of fake: the score, at the temperature on the model's card where there is one."""
        return float(score(np.array(self.logit / (self.served.temperature or 1.0))))

    @property
    def image(self) -> np.ndarray:
        """What the network saw, uint8 `(height, width, 3)`, RGB, in its size."""
        return self.served.detector.preprocessing.fit(self.view.pixels)

    def says(self, limits: Limits) -> str:
        """Return "fake", "real" or "not sure"."""
        low, high = limits.unsure
        if low < self.probability < high:
            return "not sure"
        return "fake" if float(score(np.array(self.logit))) >= self.served.detector.threshold else "real"

    def record(self, limits: Limits) -> dict[str, Any]:
        """Return the numbers, as JSON."""
        return {
            "model": self.served.name,
            "answer": self.says(limits),
            "probability": round(self.probability, 6),
            "calibrated": self.served.temperature is not None,
            "logit": round(self.logit, 6),
            "threshold": self.served.detector.threshold,
            "note": self.view.note,
        }

    def explained(self, limits: Limits) -> dict[str, Any]:
        """Return the numbers, the picture and the maps, as JSON."""
        height, width = self.served.detector.size
        pairs = list(self.maps)
        top, left, high, wide = self.view.box
        return self.record(limits) | {
            "view": {
                "width": width,
                "height": height,
                "box": [top, left, high, wide],
                "jpeg": base64.b64encode(encoded(self.image)).decode(),
            },
            "maps": [self.map(pair) for pair in pairs],
            "parts": None if self.area is None else [self.part(index, name, pairs) for index, name in enumerate(self.rows)],
            "faceless": self.faceless,
        }

    def map(self, pair: Pair) -> dict[str, Any]:
        """Return one map as JSON: levels of grey and what they stand for."""
        layer, method = pair
        signed, values = parse(method).method.signed, self.maps[pair][None]
        levels, scale = grey(*miniature.shrink(values, CELLS), signed, CELLS)
        return {
            "layer": layer,
            "method": method,
            "title": title(method),
            "signed": signed,
            "empty": not values.max() > 0,
            "highest": float(f"{values.max():.6g}"),
            "scale": float(f"{scale[0]:.6g}"),
            "height": levels.shape[1],
            "width": levels.shape[2],
            "levels": base64.b64encode(levels.tobytes()).decode(),
            "box": [round(edge, 6) for edge in box(self.placements[layer])],
            "selftest": self.served.known.says(layer, method) if self.served.known else "",
        }

    def part(self, index: int, name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return one part as JSON; its shares in the order of the maps, None for an empty one."""
        assert self.area is not None
        shares = [float(self.shares[pair][index]) for pair in pairs]
        return {"part": name, "area": round(float(self.area[index]), 5), "shares": [None if np.isnan(share) else round(share, 5) for share in shares]}


def encoded(image: np.ndarray) -> bytes:
    """Return pixels as a JPEG."""
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def box(placement: Placement) -> tuple[float, float, float, float]:
    """Return where a layer's cells lie, as shares of the view: top, left, height and width; may reach beyond it."""
    starts, lengths = [], []
    for axis, cells, image in zip((placement.y, placement.x), placement.cells, placement.image, strict=True):
        starts.append((axis.offset - axis.stride / 2) / image)
        lengths.append(cells * axis.stride / image)
    return starts[0], starts[1], lengths[0], lengths[1]


def located(source: Source | None, view: View) -> Parts | str:
    """Return the parts of the face on a view, or why there are none."""
    if source is None:
        return "parts of the face need the extra 'faces': pip install 'whyfake[faces]'"
    try:
        return source.parts("", view.pixels)
    except ImageError as error:
        return str(error)


def answered(served: Served, view: View, found: Mapped, at: int, layers: Sequence[str], methods: Sequence[str], parts: Parts | str) -> Answer:
    """Return the answer for one image of a batch.

    Args:
        served: the model.
        view: what it saw.
        found: the batch's maps.
        at: the image's place in the batch.
        layers, methods: of the maps.
        parts: of the face, or why there are none.
    """
    maps = {pair: values[at] for pair, values in found.maps.items()}
    placements, logit = served.placements(layers, methods), float(found.logits[at])
    if isinstance(parts, str):
        return Answer(served, view, logit, maps, placements, faceless=parts)
    rows = units(parts.names)
    ground = Ground.of(parts, served.detector.size)
    count = len(ground.area)
    shares = {pair: summed(values[None, :count], rows)[0] for pair, values in attend(maps, placements, ground).items()}
    return Answer(served, view, logit, maps, placements, parts, rows, summed(ground.area[None], rows)[0], shares)
