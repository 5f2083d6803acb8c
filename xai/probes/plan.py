"""What is to be changed in one image: every swap of every region, and how each is painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xai.maps.fills import blurred
from xai.probes.donors import CLASSES, Donor, Loan, Piece, choose, rank, stream
from xai.probes.place import elsewhere
from xai.probes.shift import members_mask
from xai.probes.swap import Face, content, paint
from xai.regions.parts import OUTSIDE, Parts

KINDS = {
    "opposite": "from faces of the other class",
    "same": "from other faces of its own class: what swapping itself does",
    "patch": "from faces of the other class, at a random place of the same area: what any place does",
    "blur": "blurred: takes fine detail away, and adds smoothness, which may itself look generated",
    "grey": "grey: misleading, it adds edges and an evenness that no face has",
}
USUAL = ("opposite", "same", "patch", "blur")
DONATED = ("opposite", "same", "patch")  # measured once per donor; the others once

Rows = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Subject:
    """An image whose regions are to be swapped.

    Args:
        face: its pixels and parts.
        label: "real" or "fake".
        sha256: of its file; its random numbers follow from it.
    """

    face: Face
    label: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Job:
    """One change of an image: what is painted where, and where its effect is written."""

    at: tuple[int, int, int]
    pieces: tuple[Piece, ...]
    loan: Loan | None = None

    @property
    def lender(self) -> int:
        """Return the donor's index, -1 for none."""
        return -1 if self.loan is None else self.loan.donor.index


@dataclass(slots=True)
class Easel:
    """Paints the changes of one subject; keeps the last donor, so that jobs sorted by donor scale each once."""

    subject: Subject
    preprocessing: Any
    kinds: Sequence[str]
    last: tuple[Donor, Face] | None = None
    fills: dict[str, np.ndarray] = field(default_factory=dict)

    def plain(self, out: np.ndarray) -> None:
        """Paint the image as it is."""
        np.copyto(out, self.subject.face.image)

    def draw(self, job: Job, out: np.ndarray) -> None:
        """Paint one change into `out`, float32 `(H, W, 3)`."""
        self.plain(out)
        for number, piece in enumerate(job.pieces):
            paint(out, self.content(job, number), piece.place)

    def content(self, job: Job, number: int) -> np.ndarray:
        """Return what is painted into a piece, of its window."""
        piece = job.pieces[number]
        face, low, high = self.subject.face, self.preprocessing.low, self.preprocessing.high
        if job.loan is None:
            kind = self.kinds[job.at[1]]
            if kind not in self.fills:
                self.fills[kind] = blurred(face.image) if kind == "blur" else np.full_like(face.image, (low + high) / 2)
            return self.fills[kind][piece.place.window]
        donor = job.loan.donor
        if self.last is None or self.last[0] is not donor:
            self.last = donor, donor.face(self.preprocessing)
        return content(face, self.last[1], job.loan.shifts[number], piece.place, piece.members, low, high)


def plan(subject: Subject, pools: Mapping[str, Sequence[Donor]], rows: Rows, kinds: Sequence[str], donors: int, seed: int) -> list[Job]:
    """Return every change of a subject that can be made, sorted by donor.

    Each random choice has numbers of its own, from the seed, the image's SHA-256 and the purpose:
    other rows, kinds or images change nothing.
    """
    face = subject.face
    other = CLASSES[1 - CLASSES.index(subject.label)]
    ranked = {
        kind: rank(face, subject.sha256, pools.get(label, ()), stream(seed, subject.sha256, kind), donors)
        for kind, label in (("opposite", other), ("same", subject.label))
        if kind in kinds or (kind == "opposite" and "patch" in kinds)
    }
    jobs = []
    for row, (name, members) in enumerate(rows.items()):
        pieces = cut(face.parts, members)
        if not pieces:
            continue
        for column, kind in enumerate(kinds):
            if kind not in DONATED:
                jobs.append(Job((row, column, 0), pieces))
            elif kind == "patch":
                outer = all(face.parts.names[index] in OUTSIDE for index in members)
                mask = members_mask(face.parts.labels, members)
                domain = np.ones_like(mask) if outer else face.parts.face()
                places = [Piece.of(place) for place in elsewhere(mask, domain, donors, stream(seed, subject.sha256, kind, name))]
                moved = [(place,) for place in places if place is not None]
                lenders = choose(ranked["opposite"], donors, moved[0]) if moved else []
                jobs += [Job((row, column, number), place, lenders[number % len(lenders)]) for number, place in enumerate(moved) if lenders]
            else:
                jobs += [Job((row, column, number), pieces, loan) for number, loan in enumerate(choose(ranked[kind], donors, pieces))]
    return sorted(jobs, key=lambda job: job.lender)


def cut(parts: Parts, members: Sequence[int]) -> tuple[Piece, ...]:
    """Return the pieces of a row on a face: left and right each by itself, anything else as one; none where it is absent."""
    sides = {index: parts.names[index].split("_")[0] for index in members}
    groups = [(index,) for index in members] if set(sides.values()) <= {"left", "right"} else [tuple(members)]
    found = [Piece.of(members_mask(parts.labels, group), group) for group in groups]
    return tuple(piece for piece in found if piece is not None)
