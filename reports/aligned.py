"""Pictures of where fakes differ from reals, in the mean face's frame."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import h5py
import numpy as np
from PIL import Image

from reports import charts, words
from reports.run import Run
from xai import store

SIDE = 256  # pixels of a picture
LEVEL = 0.05  # q value up to which a cell is coloured


@dataclass(frozen=True, slots=True)
class Difference:
    """One layer's difference between fakes and reals.

    Args:
        layer, method: of the maps.
        picture: PNG as a `data:` address.
        scale: end of the colour scale, as text.
        sure: whether any cell differs surely.
        fakes, reals: how many maps.
        higher, lower: share of the cells where fakes are surely higher or lower, as text.
        words: the alternative text.
    """

    layer: str
    method: str
    picture: str
    scale: str
    sure: bool
    fakes: str
    reals: str
    higher: str
    lower: str
    words: str


def differences(run: Run) -> list[Difference]:
    """Return the differences of all layers and methods that have enough maps of both classes."""
    entries = run.summary.get("aligned") or []
    if not entries:
        return []
    shown = []
    with h5py.File(run.directory / "maps.h5", "r") as file:
        for entry in entries:
            data = file.get(f"difference/{store.home(entry['layer'], entry['method'])}")
            if data is None:
                continue
            content, scale = draw(data[0], data[1])
            higher, lower = (words.percent(entry[key], 0) for key in ("higher", "lower"))
            title = f"Fakes minus reals, {words.method(entry['method'])}, layer {entry['layer']}: "
            title += f"surely higher on {higher}, lower on {lower} of the cells"
            shown.append(
                Difference(
                    entry["layer"], entry["method"], charts.uri(content, "image/png"), words.number(scale, 2), scale > 0,
                    words.number(entry["fakes"]), words.number(entry["reals"]), higher, lower, title,
                )
            )  # fmt: skip
    return shown


def draw(values: np.ndarray, q: np.ndarray) -> tuple[bytes, float]:
    """Draw a difference: coloured where it is sure, grey where it is not, white where too few maps reach; the mean face's parts as lines.

    Args:
        values: float `(h, w)`, fake minus real; NaN where there are too few maps.
        q: float `(h, w)`.

    Returns:
        PNG, and the value of the strongest colour.
    """
    from matplotlib import colormaps

    sure = q <= LEVEL
    scale = float(np.abs(values[sure]).max()) if sure.any() else 0.0
    parts = np.nan_to_num(values) / scale if scale > 0 else np.zeros_like(values)
    colours = colormaps["PuOr_r"](0.5 + parts / 2)[..., :3]
    colours[~sure] = 0.86
    colours[np.isnan(q)] = 1.0
    pixels = np.rint(255 * np.kron(colours, np.ones((SIDE // len(q), SIDE // len(q), 1)))).astype(np.uint8)
    pixels[outlines()] = (70, 74, 80)
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue(), scale


@cache
def outlines() -> np.ndarray:
    """Return the borders between the mean face's parts, bool `(256, 256)`."""
    from xai.regions.template import parts

    labels = parts((SIDE, SIDE)).labels
    lines = np.zeros(labels.shape, bool)
    lines[:-1] |= labels[:-1] != labels[1:]
    lines[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return lines
