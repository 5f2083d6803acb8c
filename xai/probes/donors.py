"""Faces that lend their parts: a pool of each class, and the choice of those that fit a face."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from scipy.stats import rankdata

from xai.errors import ImageError
from xai.probes.shift import COVER, Region, Shift, cover, rounded, step
from xai.probes.swap import Face, means, region
from xai.regions.align import anchors
from xai.regions.parts import Parts
from xai.stream import batches

if TYPE_CHECKING:
    from xai.items import Item
    from xai.preprocess import Preprocessing
    from xai.regions.source import Source

CLASSES = ("real", "fake")
BUDGET = 256 * 2**20  # bytes of all donors
MOST = 64  # donors of a class; more would hardly fit better and must all be decoded
TRIED = 4  # donors looked at for each that is wanted
CHUNK = 16  # donors decoded at once


@dataclass(frozen=True, slots=True)
class Donor:
    """A face that lends its parts.

    Args:
        index, sha256: of its item.
        image: uint8 `(H, W, 3)`, RGB, in the network's size.
        parts: labels `(H, W)`.
        anchors: `(A, 2)`, pixels (y, x).
        tone: mean colour of its face, `(3,)`, in the network's range and order.
        sums: float64 `(256, 3)`, per label: its pixels, the sum of their rows and of their columns.
    """

    index: int
    sha256: str
    image: np.ndarray
    parts: Parts
    anchors: np.ndarray
    tone: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, index: int, sha256: str, image: np.ndarray, parts: Parts, preprocessing: Preprocessing) -> Donor:
        """Return a donor, measured."""
        return cls(index, sha256, image, parts, anchors(parts), tone(Face(preprocessing.scale(image), parts)), sums(parts.labels))

    def face(self, preprocessing: Preprocessing) -> Face:
        """Return it as the network wants it."""
        return Face(preprocessing.scale(self.image), self.parts)


@dataclass(frozen=True, slots=True)
class Fitting:
    """A donor and how it is moved to lie on a target, `(2,)` pixels down and right, as its anchors would have it."""

    donor: Donor
    shift: np.ndarray


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a row that is moved by itself: one eye of two.

    Args:
        place: where it lies on the target.
        members: indices of the parts it is made of; None for a place that is no part.
        middle: mean row and column of the place, `(2,)`.
    """

    place: Region
    members: tuple[int, ...] | None
    middle: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, members: tuple[int, ...] | None = None) -> Piece | None:
        """Return the piece under a mask, bool `(H, W)`; None where it is empty."""
        place = region(mask)
        if place is None:
            return None
        moments = cv2.moments(mask[place.window].view(np.uint8), binaryImage=True)
        inside = np.array([moments["m01"], moments["m10"]]) / moments["m00"]
        return cls(place, members, inside + [span.start for span in place.window])


@dataclass(frozen=True, slots=True)
class Loan:
    """A donor and the shift by which each piece of a row comes to a target, in whole pixels."""

    donor: Donor
    shifts: tuple[Shift, ...]


def stream(seed: int, *words: str) -> np.random.Generator:
    """Return random numbers of their own for a purpose: what else is drawn, and in which order, does not matter."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words)])


def gather(detector: Any, items: Iterable[Item], source: Source, *, seed: int = 0, most: int = MOST, budget: int = BUDGET) -> dict[str, list[Donor]]:
    """Read the donors of both classes, drawn at random.

    Args:
        detector: says what the pixels must look like.
        items: images to draw from; those of no known class, and copies, are left out.
        source: of their parts; images without parts and unreadable ones are left out.
        seed: of the draw.
        most: of a class.
        budget: bytes of all.

    Returns:
        Class -> donors, in the order drawn.
    """
    height, width = detector.size
    most = int(np.clip(budget // (2 * 4 * height * width), 1, most))
    unique = {item.sha256 or item.path: item for item in items}
    pools: dict[str, list[Donor]] = {}
    for label in CLASSES:
        candidates = sorted((item for item in unique.values() if item.label == label), key=lambda item: (item.sha256, item.path))
        order = [candidates[place] for place in stream(seed, "pool", label).permutation(len(candidates))]
        pool = pools[label] = []
        for start in range(0, len(order), CHUNK):
            if len(pool) >= most:
                break
            pool += read(detector, order[start : start + CHUNK], source)
        del pool[most:]
    return pools


def read(detector: Any, items: Sequence[Item], source: Source) -> list[Donor]:
    """Read donors; those that cannot be read or have no parts are left out."""
    found: list[Donor] = []
    for batch in batches(detector, [item.file for item in items]):
        for place, view, box in zip(batch.indices, batch.images, batch.boxes, strict=True):
            try:
                parts = source.parts(items[place].path, view, box).resized(detector.size)
            except ImageError:
                continue
            image = detector.preprocessing.fit(view)
            found.append(Donor.of(items[place].index, items[place].sha256 or items[place].path, image, parts, detector.preprocessing))
    return found


def rank(face: Face, sha256: str, pool: Sequence[Donor], rng: np.random.Generator, least: int = 1) -> list[Fitting]:
    """Return the half of a pool that fits a face best, in random order, then the rest, best first.

    Donors are neither resampled nor given another complexion, so that faces of the same size, pose and
    colour are wanted. Fit is the sum of two ranks: how far a shift leaves the donor's anchors from the
    face's (root mean square), and how far their mean colours lie apart.

    Args:
        face: to be changed.
        sha256: of its file: it never lends to itself or to a copy.
        pool: the donors; those with fewer than two of the face's anchors are left out.
        rng: draws the order.
        least: the "half" has so many at least.
    """
    points, colour = anchors(face.parts), tone(face)
    found: list[Fitting] = []
    apart: list[tuple[float, float]] = []
    for donor in pool:
        between = points - donor.anchors
        between = between[np.isfinite(between).all(1)]
        if len(between) >= 2 and donor.sha256 != sha256:
            shift = between.mean(0)
            found.append(Fitting(donor, shift))
            apart.append((((between - shift) ** 2).sum(1).mean(), ((donor.tone - colour) ** 2).sum()))
    order = rankdata(np.array(apart).reshape(-1, 2), axis=0).sum(1).argsort(kind="stable")
    half = max(-(-len(found) // 2), min(least, len(found)))
    return [found[place] for place in [*rng.permutation(order[:half]), *order[half:]]]


def tone(face: Face) -> np.ndarray:
    """Return the mean colour of a face, of the whole picture where its parts name no face, float64 `(3,)`."""
    inside = face.parts.face()
    return means(face.image, inside if inside.any() else np.ones_like(inside))


def choose(ranked: Sequence[Fitting], count: int, pieces: Sequence[Piece]) -> list[Loan]:
    """Return the donors whose own parts cover a row best, of the first few of a ranking, four for each that is wanted.

    A piece is moved as the face is, or middle on middle where it then covers more. A donor that covers
    less than a quarter of the row does not count; fewer are returned where there are no more.

    Args:
        ranked: from `rank`.
        count: how many are wanted.
        pieces: of the row.
    """
    found: list[tuple[float, Loan]] = []
    areas = np.array([piece.place.mask[piece.place.window].sum() for piece in pieces], np.float64)
    for fitting in ranked:
        if len(found) == TRIED * count:
            break
        laid = [best(fitting, piece) for piece in pieces]
        covered = float(np.array([share for share, _ in laid]) @ areas / areas.sum())
        if covered >= COVER:
            found.append((covered, Loan(fitting.donor, tuple(shift for _, shift in laid))))
    found.sort(key=lambda pair: -pair[0])
    return [loan for _, loan in found[:count]]


def best(fitting: Fitting, piece: Piece) -> tuple[float, Shift]:
    """Return how much of a piece a donor covers at most, and by which shift."""
    donor, grid = fitting.donor, step(piece.place.mask.shape)
    shifts = [rounded(fitting.shift, grid)]
    if piece.members is not None:
        area, *total = donor.sums[list(piece.members)].sum(0)
        if area:
            shifts.append(rounded(piece.middle - np.array(total) / area, grid))
    covered = [cover(donor.parts, shift, piece.members, piece.place) for shift in shifts]
    first = int(np.argmax(covered))
    return covered[first], shifts[first]


def sums(labels: np.ndarray) -> np.ndarray:
    """Return per label its pixels, the sum of their rows and the sum of their columns, float64 `(256, 3)`.

    Example:
        >>> sums(np.uint8([[0, 1, 1]]))[:2].tolist()
        [[1.0, 0.0, 0.0], [2.0, 0.0, 3.0]]
    """
    height, width = labels.shape
    rows = np.bincount((labels + 256 * np.arange(height)[:, None]).ravel(), minlength=256 * height).reshape(height, 256)
    columns = np.bincount((labels + 256 * np.arange(width)).ravel(), minlength=256 * width).reshape(width, 256)
    return np.stack([rows.sum(0), np.arange(height) @ rows, np.arange(width) @ columns], 1).astype(np.float64)
