"""One image's part of the test: what is changed by every map of it, and what its logits then say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import cv2
import numpy as np

from xai.errors import WhyfakeError
from xai.maps.fills import blurred, veil
from xai.maps.placement import Placement, pixels
from xai.probes.donors import stream
from xai.trust.infidelity import infidelity, squares
from xai.trust.nulls import NULLS, noise_map, region_map
from xai.trust.order import Order, shuffled
from xai.trust.passes import Change
from xai.trust.road import NOISE, TOLERANCE, impute

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
ROAD_FRACTIONS = (0.1, 0.3, 0.5)
SQUARES = 8
WAYS = (("deletion", "blur"), ("deletion", "donor"), ("insertion", "blur"), ("insertion", "donor"))
CURVES = tuple("_".join(way) for way in WAYS)
DRAWN = {"random": noise_map, "region": region_map}
AS_IS, BLURRED, DONATED = range(3)  # whole images, whose logits every curve of an image shares

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured of every image.

    Args:
        pairs: (layer, method) of its maps; the nulls come behind them, at no layer.
        fractions: of all pixels, from 0 to 1, deleted or inserted.
        road: fractions that are imputed, between 0 and 1.
        squares: that infidelity replaces.
        seed: of all that is drawn.
    """

    pairs: tuple[Pair, ...]
    fractions: tuple[float, ...] = FRACTIONS
    road: tuple[float, ...] = ROAD_FRACTIONS
    squares: int = SQUARES
    seed: int = 0

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.fractions, self.fractions[1:], strict=False))
        if not rising or self.fractions[:1] != (0,) or self.fractions[-1:] != (1,):
            raise WhyfakeError(f"fractions {self.fractions}; expected numbers that rise from 0 to 1")
        if not all(0 < fraction < 1 for fraction in self.road) or list(self.road) != sorted(set(self.road)):
            raise WhyfakeError(f"fractions to impute {self.road}; expected numbers that rise, above 0 and below 1")
        if not self.pairs:
            raise WhyfakeError("no map to judge; name a method of the image itself, or a layer")

    @property
    def rows(self) -> tuple[Pair, ...]:
        """Return every (layer, method) judged, the nulls last."""
        return *self.pairs, *(("", null) for null in NULLS)


@dataclass(frozen=True, slots=True)
class Subject:
    """An image whose maps are judged.

    Args:
        image: float32 `(H, W, 3)`, as the network wants it.
        label: "real" or "fake": its own class.
        sha256: of its file; its random numbers follow from it.
        maps: by (layer, method), float32 `(h, w)`, evidence for its own class.
        donor: float32 `(H, W, 3)`, an image of the other class, or None.
    """

    image: np.ndarray
    label: str
    sha256: str
    maps: Mapping[Pair, np.ndarray]
    donor: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one image; NaN where it has no donor and for its empty maps.

    Args:
        whole: float64 `(3,)`, logits: as it is, blurred, its donor.
        curves: float64 `(M, 4, F)`, logits at each fraction, of `CURVES`.
        road: float64 `(M, R)`, logits with the top fractions imputed.
        shown: float64 `(M,)`, logits of the image seen through each map.
        infidelity: float64 `(M,)`, logits squared.
        empty: bool `(M,)`.
    """

    whole: np.ndarray
    curves: np.ndarray
    road: np.ndarray
    shown: np.ndarray
    infidelity: np.ndarray
    empty: np.ndarray

    @classmethod
    def blank(cls, settings: Settings, count: int | None = None) -> Found:
        """Return results to be filled in, of one image or of `count`."""
        lead = () if count is None else (count,)
        maps = *lead, len(settings.rows)
        return cls(
            whole=np.full((*lead, 3), np.nan),
            curves=np.full((*maps, len(CURVES), len(settings.fractions)), np.nan),
            road=np.full((*maps, len(settings.road)), np.nan),
            shown=np.full(maps, np.nan),
            infidelity=np.full(maps, np.nan),
            empty=np.zeros(maps, bool),
        )

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Trial:
    """One image on its way: hands out its changes, takes their logits and sums up; keeps no pixels.

    Args:
        subject: the image.
        settings: what is measured.
    """

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self.settings, self.turn = settings, 1 if subject.label == "fake" else -1
        self.found = Found.blank(settings)
        self.without = np.full(settings.squares, np.nan)  # logits with a square replaced
        self.sums = np.full((len(settings.rows), settings.squares), np.nan)  # of each map, over each square

    def changes(self, subject: Subject, placements: Mapping[str, Placement], low: float, high: float) -> Iterator[Change]:
        """Yield every changed image; the logits go to where `result` looks for them.

        Args:
            subject: the image.
            placements: where the cells of each layer lie.
            low, high: the range of pixel values.
        """
        image, size = subject.image, subject.image.shape[:2]
        random = partial(stream, self.settings.seed, subject.sha256)
        hidden = {"blur": blurred(image)} | ({} if subject.donor is None else {"donor": subject.donor})
        for place, whole in zip((AS_IS, BLURRED, DONATED), (image, *hidden.values()), strict=False):
            yield Change(partial(np.copyto, src=whole), self.found.whole, (place,))
        windows = squares(size, self.settings.squares, random("squares"))
        for place, square in enumerate(windows):
            yield Change(partial(patch, image, hidden["blur"], square), self.without, (place,))
        ties, span = shuffled(size, random("ties")), abs(high - low)
        noise = (NOISE * span * random("noise").standard_normal(image.shape)).astype(np.float32)
        see = veil(image, np.full_like(image, low))
        for row, (layer, method) in enumerate(self.settings.rows):
            values = placed(subject.maps[layer, method], placements[layer]) if layer else DRAWN[method](size, random(method))
            peak = values.max()
            self.found.empty[row] = empty = not peak > 0
            if not empty:
                self.sums[row] = [values[square].sum(dtype=np.float64) for square in windows]
                order = Order.of(values, ties, (*self.settings.fractions[1:-1], *self.settings.road))
                yield from self.moved(row, image, hidden, order)
                yield from self.imputed(row, image, order, noise, TOLERANCE * span)
                yield Change(partial(see, np.maximum(values, 0) / peak), self.found.shown, (row,))

    def moved(self, row: int, image: np.ndarray, hidden: Mapping[str, np.ndarray], order: Order) -> Iterator[Change]:
        """Yield what is deleted and inserted in the order of one map; nothing and all of it are whole images."""
        for column, (way, baseline) in enumerate(WAYS):
            if baseline in hidden:
                under, over = (image, hidden[baseline]) if way == "deletion" else (hidden[baseline], image)
                for place, fraction in enumerate(self.settings.fractions[1:-1], 1):
                    yield Change(partial(paste, under, over, order, fraction), self.found.curves, (row, column, place))

    def imputed(self, row: int, image: np.ndarray, order: Order, noise: np.ndarray, tolerance: float) -> Iterator[Change]:
        """Yield the image with the top of one map imputed."""
        for place, fraction in enumerate(self.settings.road):
            yield Change(partial(take, image, order, fraction, noise, tolerance), self.found.road, (row, place))

    def result(self) -> Found:
        """Return what was found, once all logits are there; all of them turned to the image's own class."""
        found, judged = self.found, ~self.found.empty
        for values in (found.whole, found.curves, found.road, found.shown):
            values *= self.turn
        for column, (way, baseline) in enumerate(WAYS):
            ends = found.whole[AS_IS], found.whole[BLURRED if baseline == "blur" else DONATED]
            if np.isfinite(ends).all():
                found.curves[judged, column, 0], found.curves[judged, column, -1] = ends if way == "deletion" else ends[::-1]
        found.infidelity[judged] = infidelity(self.sums[judged], found.whole[AS_IS] - self.turn * self.without)
        return found


def placed(values: np.ndarray, placement: Placement) -> np.ndarray:
    """Return a map on the network's pixels, float32 `(H, W)`; one of the pixels themselves as it is, where tents would blur it."""
    if placement == pixels(placement.image):
        return values.astype(np.float32, copy=False)
    return placement.place(values)


def paste(under: np.ndarray, over: np.ndarray, order: Order, fraction: float, out: np.ndarray) -> None:
    """Paint one image, and the top pixels of another over it."""
    np.copyto(out, under)
    cv2.copyTo(over, order.top(fraction).view(np.uint8), out)


def take(image: np.ndarray, order: Order, fraction: float, noise: np.ndarray, tolerance: float, out: np.ndarray) -> None:
    """Paint an image whose top pixels are imputed."""
    np.copyto(out, impute(image, order.top(fraction), noise, tolerance))


def patch(image: np.ndarray, hidden: np.ndarray, square: Sequence[slice], out: np.ndarray) -> None:
    """Paint an image with a square replaced."""
    np.copyto(out, image)
    out[square[0], square[1]] = hidden[square[0], square[1]]
