"""Who says which pixels are which part of a face: label images, the mesh, or a mean face. One signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xai.crop import Box
from xai.errors import FACELESS, DataError, ModelError, NoFaceError
from xai.faces import lite
from xai.modelfile import sha256
from xai.regions.labels import LEGEND, open_labels
from xai.regions.parts import Parts

KINDS = ("auto", "mesh", "template", "none")


class Source(Protocol):
    """Gives the parts of images; all its images share the same names."""

    @property
    def kind(self) -> str:
        """Return "labels", "mesh" or "template"."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all parts it knows."""

    def parts(self, path: str, view: np.ndarray, box: Box | None = None) -> Parts:
        """Return the parts of one image.

        Args:
            path: of the image, relative to the data set.
            view: uint8 `(h, w, 3)`, RGB: what the detector gets to see, before it is resized.
            box: the part of the picture that the view is; None for the whole.

        Raises:
            ImageError: there are none, with the reason: no face found, no label image, or one that does not fit.
        """

    def identity(self, path: str) -> str:
        """Return what else than the image itself decides its parts."""

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of the parts."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Parts from the 468-point mesh of the largest face."""

    kind = "mesh"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all parts."""
        from xai.regions.meshparts import NAMES

        return NAMES

    def parts(self, path: str, view: np.ndarray, box: Box | None = None) -> Parts:
        """Return the parts of one image; arguments and errors as in `Source`."""
        from xai.regions import meshparts

        found = meshparts.parts(view)
        if found is None:
            raise NoFaceError(f"{FACELESS} by mesh")
        return found

    def identity(self, path: str) -> str:
        """Return nothing: the image decides."""
        return ""

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of the parts; they change with the weights and with the mesh."""
        from xai.regions import borders, template

        return {
            "kind": self.kind,
            "names": list(self.names),
            "data": [sha256(borders.WEIGHTS)[:12], sha256(template.MEAN)[:12]],
            "mesh": lite.version(),
        }


@dataclass(frozen=True, slots=True)
class Template(Mesh):
    """The mean face's parts, the same for every image: only for sets that are aligned as FFHQ is."""

    kind = "template"

    def parts(self, path: str, view: np.ndarray, box: Box | None = None) -> Parts:
        """Return the parts of the mean face in the size of the view."""
        from xai.regions import template

        return template.parts(view.shape[:2])


def open_source(kind: str = "auto", masks: str | Path | None = None, data: str | Path | None = None) -> Source | None:
    """Return who says the parts.

    Args:
        kind: "mesh", "template" (the mean face, for sets aligned as FFHQ is), "none", or "auto": label
            images where `masks` names them or the data folder brings its own (`masks/labels`, as drawn
            portraits do), else the mesh where its packages are installed, else none.
        masks: folder of label images.
        data: the data folder.

    Raises:
        DataError: an unknown kind, or label images that are not there or have no legend.
        ModelError: "mesh" was asked for and a package is not installed.
    """
    if kind not in KINDS:
        raise DataError(f"regions '{kind}' are not known; expected one of: {', '.join(KINDS)}")
    if masks and kind != "auto":
        raise DataError(f"--regions {kind} and --masks exclude each other: label images say the parts themselves; leave one out")
    if kind == "none":
        return None
    if masks:
        return open_labels(masks)
    if kind == "template":
        return Template()
    own = Path(data) / "masks" / "labels" if data else None
    if kind == "auto" and own is not None and own.is_dir() and (Path(data or "") / LEGEND).is_file():
        return open_labels(own)
    from xai.faces import mesh

    try:
        mesh.ready()
    except ModelError:
        if kind == "mesh":
            raise
        return None
    return Mesh()
