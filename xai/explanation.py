"""From images to maps kept in memory: what a notebook works with."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

import numpy as np

from xai import notebook, overlay, store
from xai.aggregate import is_empty
from xai.crop import Box
from xai.detector import Detector, score
from xai.errors import ImageError, LayerError, listed, tally
from xai.images import find, read
from xai.maps import mapped
from xai.maps.fuse import FUSED, fuse
from xai.maps.methods import INPUT, METHODS, pairs, parse, resolve, selected, title
from xai.maps.placement import Placement
from xai.naming import output_names, overlay_name
from xai.overlays import write_maps, write_scores
from xai.places import File
from xai.stream import batches

Pair = tuple[str, str]
SHOWN = 8  # images in a notebook


@dataclass(frozen=True)
class Explanation:
    """The maps of some images, kept in memory.

    Args:
        paths: of the images that were read.
        logits: of fake, float32 `(N,)`.
        maps: by (layer, method), float32 `(N, h, w)`, signed, raw; the image itself is the layer "input".
        placements: by layer, where its maps are drawn.
        skipped: path -> reason.
        boxes: per image the face it was cropped to, None for the whole; empty without a crop.
        extras: by (layer, method), what else a method found, by name: numbers `(N,)` such as
            `completeness_error`, or maps `(N, h, w)` such as `standard_error`.
        true_placements: by layer, where its cells lie; another place where the detector stretches its maps.
    """

    paths: list[File]
    logits: np.ndarray
    maps: dict[Pair, np.ndarray]
    placements: dict[str, Placement]
    skipped: dict[str, str] = field(default_factory=dict)
    boxes: list[Box | None] = field(default_factory=list)
    extras: dict[Pair, dict[str, np.ndarray]] = field(default_factory=dict)
    true_placements: dict[str, Placement] = field(default_factory=dict)

    @property
    def scores(self) -> np.ndarray:
        """Probability of fake per image, `(N,)`."""
        return score(self.logits)

    def view(self, index: int) -> np.ndarray:
        """Return what the network saw of one image, uint8 `(H, W, 3)`, RGB, at its own resolution."""
        image, box = read(self.paths[index]), self.boxes[index] if self.boxes else None
        return image if box is None else box.cut(image)

    def overlay(self, index: int, layer: str, method: str, *, signed: bool = False, opacity: float = 0.6) -> np.ndarray:
        """Return one image's view with one map laid over it, uint8 `(H, W, 3)`, at its own resolution."""
        values = self.maps[layer, method][index]
        return overlay.overlay(self.view(index), values, self.placements[layer], signed=signed, opacity=opacity)

    def fuse(self, method: str, layers: Sequence[str] | None = None) -> Explanation:
        """Return the explanation with one more map: a method's maps of several layers as one.

        Args:
            method: as it was asked for.
            layers: default all that have the method's maps.

        Returns:
            The same with `maps["fused", method]`; see `xai.maps.fuse.fuse`.

        Raises:
            LayerError: no such maps, or fused ones of another grid are there.
        """
        layers = [layer for layer, name in self.maps if name == method and layer != FUSED] if layers is None else list(layers)
        if layers == [INPUT]:
            raise LayerError(f"'{method}' maps the image itself, once; there is nothing to fuse")
        missing = [layer for layer in layers if (layer, method) not in self.maps]
        if missing or not layers:
            raise LayerError(f"there are no maps of '{method}' {f'at {missing[0]}' if missing else ''}; explain with it first".replace("  ", " "))
        fused, where = fuse([self.maps[layer, method] for layer in layers], [self.placements[layer] for layer in layers])
        others = [name for layer, name in self.maps if layer == FUSED and name != method]
        if others and self.placements[FUSED] != where:
            raise LayerError(f"'{method}' at {listed(layers)} lies on another grid than the fused '{others[0]}'; fuse it without that one")
        return replace(self, maps=self.maps | {(FUSED, method): fused}, placements=self.placements | {FUSED: where})

    def save(self, folder: str | Path, *, signed: bool = False) -> Path:
        """Write an overlay per image x layer x method, `maps.h5`, `scores.csv` and `skipped.csv`.

        Maps that a method found beside its own lie in `maps.h5` beside them, as `/maps/<layer>/<method>:<name>`; all at
        their true places, also where the overlays are stretched.
        """
        folder = store.make_folder(folder)
        names = output_names(self.paths)
        for index, name in enumerate(names):
            image = self.view(index)
            for (layer, method), maps in self.maps.items():
                shown = signed and layer != FUSED and METHODS[parse(method).name].signed
                picture = overlay.overlay(image, maps[index], self.placements[layer], signed=shown)
                store.write_bytes(folder / overlay_name(name, layer, method), overlay.encode(picture))
        found = mapped.Mapped(self.logits, self.maps, self.extras)
        where = self.placements | self.true_placements
        write_maps(folder / "maps.h5", names, self.logits, self.maps | found.beside(), where, where != self.placements)
        empty = {pair: is_empty(values) for pair, values in self.maps.items()}
        write_scores(folder, names, self.paths, self.logits, empty, found.columns())
        store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(self.skipped.items()))
        return folder

    def _repr_html_(self) -> str:
        """Show the first images in a notebook, the last layer's last method over each."""
        count = f"{len(self.paths)} image{'s' if len(self.paths) != 1 else ''}"
        skipped = tally(self.skipped) if self.skipped else ""
        if not self.paths or not self.maps:
            return notebook.paragraphs([count, skipped])
        layer, method = list(self.maps)[-1]
        shown = range(min(len(self.paths), SHOWN))
        first = f", the first {SHOWN} shown" if len(self.paths) > SHOWN else ""
        where = "the image itself" if layer == INPUT else f"layer {layer}"
        lead = f"{count}{first}: {title(method)}, {where}. Each map has its own scale, from 0 to its strongest value; below 0 nothing is shown."
        return notebook.paragraphs([lead]) + "".join(self._figure(index, layer, method) for index in shown) + notebook.paragraphs([skipped])

    def _figure(self, index: int, layer: str, method: str) -> str:
        """Return one image with a map laid over it, as HTML."""
        values = self.maps[layer, method][index]
        scale = "empty map: no positive value" if is_empty(values[None])[0] else f"0 to {values.max():.3g}"
        try:
            data = base64.b64encode(overlay.encode(overlay.thumbnail(self.overlay(index, layer, method), 256))).decode()
            picture = f'<img src="data:image/jpeg;base64,{data}" alt="overlay">'
        except ImageError as error:  # the file has been moved since
            picture = notebook.paragraphs([error])
        words = "<br>".join(escape(text) for text in (self.paths[index].name, f"fake {self.scores[index]:.3f}", scale))
        style = "display:inline-block;margin:4px;max-width:256px;overflow-wrap:anywhere"
        return f'<figure style="{style}">{picture}<figcaption>{words}</figcaption></figure>'


def explain(
    detector: Detector,
    sources: Sequence[str | Path],
    *,
    layers: str = "auto",
    methods: Sequence[str] = ("auto",),
    target: str = "fake",
    batch_size: int | None = None,
) -> Explanation:
    """Map images and keep the maps.

    Args:
        detector: from `xai.load`.
        sources: files or folders.
        layers: as in `Detector.select`; not read by methods of the image itself.
        methods: as in `xai.maps.methods.parse`; "auto" is the one to trust on the model's head.
        target: "fake", or "real" for the opposite sign.
        batch_size: images a pass.

    Returns:
        The explanation; unreadable images are listed in `skipped`.

    Raises:
        WhyfakeError: no images, an unknown layer or method.
    """
    paths = find(sources)
    methods = resolve(methods, detector)
    chosen = selected(detector, layers, methods)
    read_paths: list[File] = []
    skipped: dict[str, str] = {}
    boxes: list[Box | None] = []
    parts: list[mapped.Mapped] = []
    for batch in batches(detector, paths, batch_size):
        skipped |= {str(paths[index]): reason for index, reason in batch.skipped.items()}
        if batch.indices:
            parts.append(mapped.compute(detector, batch.inputs, chosen, methods, target, batch_size))
            read_paths += [paths[index] for index in batch.indices]
            boxes += batch.boxes
    where = mapped.placements(detector, chosen, methods)
    found = mapped.joined(parts, {pair: where[pair[0]].cells for pair in pairs(chosen, methods)})
    return Explanation(read_paths, found.logits, found.maps, where, skipped, boxes, found.extras, mapped.true_placements(detector, chosen, methods))
