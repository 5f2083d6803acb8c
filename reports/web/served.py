"""The models of a server: loaded once, warmed up, with what is to be shown of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xai.audit import BESIDE
from xai.calibration import temperature_of
from xai.detector import Detector
from xai.errors import ModelError, WhyfakeError, listed
from xai.maps import mapped
from xai.maps.memory import batch_size
from xai.maps.methods import METHODS, passes, resolve, selected, title
from xai.maps.placement import Placement
from xai.modelfile import is_savedmodel
from xai.recommend import Recommendation

ENDINGS = (".keras", ".h5", ".hdf5", ".onnx")
BLACK_BOX = ("occlusion",)  # of what needs only answers the quickest
MOST_PASSES = 64  # of the map methods that may be asked for at once
MOST_MAPS = 64  # by layers and methods


@dataclass(frozen=True)
class Served:
    """A model that answers.

    Args:
        detector: the detector.
        name: in addresses and on the page, unlike any other's.
        layers, methods: shown unless others are asked for.
        known: what a self-test found on its architecture.
        temperature: that makes its scores probabilities; None where it was not calibrated.
        together: images of one pass.
    """

    detector: Detector
    name: str
    layers: tuple[str, ...]
    methods: tuple[str, ...]
    known: Recommendation | None
    temperature: float | None
    together: int

    @classmethod
    def of(cls, detector: Detector, name: str) -> Served:
        """Prepare a detector."""
        methods = resolve(("auto",), detector, BESIDE) if detector.gradients else BLACK_BOX
        layers = tuple(selected(detector, "auto", methods))
        return cls(detector, name, layers, methods, detector.recommendation(), temperature_of(detector), batch_size(detector))

    def warm(self) -> None:
        """Map a grey image, so that the first visitor need not wait for the network to be compiled."""
        image = np.full((*self.detector.size, 3), 128, np.uint8)
        inputs = self.detector.preprocessing.scale(image)[None]
        mapped.compute(self.detector, inputs, self.layers, self.methods)
        self.detector.logits(inputs)

    def chosen(self, layers: str, methods: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return layers and methods that a request names; "" for the usual ones.

        Raises:
            WhyfakeError: unknown, or not to be had from a server.
        """
        asked = {name.strip() for name in methods.split(",") if name.strip()} or {*self.methods}
        offered = tuple(dict.fromkeys([*self.methods, *allowed()]))
        if unknown := sorted(asked.difference(offered)):
            # No options: some name files of this machine, others hundreds of passes.
            raise WhyfakeError(f"method '{unknown[0][:80]}' is not offered here; expected {listed(allowed(), 30)}")
        names = tuple(name for name in offered if name in asked)  # in one order: each order would be compiled anew
        mapped.check(self.detector, [mapped.parse(name) for name in names])
        if sum(passes(name) for name in names) > max(MOST_PASSES, sum(passes(name) for name in self.methods)):
            raise WhyfakeError(f"these methods take more than {MOST_PASSES} passes together; ask for fewer at once")
        wanted = {*selected(self.detector, layers, names)} if layers else {*self.layers}
        found = tuple(layer for layer in self.detector.layers if layer in wanted)
        if len(found) * len(names) > max(MOST_MAPS, len(self.layers) * len(self.methods)):
            raise WhyfakeError(f"{len(found)} layers by {len(names)} methods; at most {MOST_MAPS} maps are made at once")
        return found, names

    def placements(self, layers: Sequence[str], methods: Sequence[str]) -> dict[str, Placement]:
        """Return where the cells of each layer lie."""
        return mapped.placements(self.detector, layers, methods)

    def record(self) -> dict[str, Any]:
        """Return what is told of the model."""
        height, width = self.detector.size
        return {
            "name": self.name,
            "sha256": self.detector.sha256,
            "height": height,
            "width": width,
            "threshold": self.detector.threshold,
            "calibrated": self.temperature is not None,
            "layers": list(self.layers),
            "methods": [{"name": name, "title": title(name), "signed": mapped.parse(name).method.signed} for name in self.methods],
            "all_layers": list(self.detector.layers),
            "all_methods": list(allowed()) if self.detector.gradients else [],
        }


def allowed() -> tuple[str, ...]:
    """Return the methods that a request may name: those of few passes."""
    return tuple(name for name, method in METHODS.items() if method.needs != "logits" and passes(name) <= MOST_PASSES)


def files(path: Path) -> list[Path]:
    """Return the models at a path: itself, or those in a folder and its folders.

    Raises:
        ModelError: there are none.
    """
    if not path.is_dir() or is_savedmodel(path) or (path / "model.keras").is_file():
        return [path]
    found = [
        entry
        for entry in sorted(path.iterdir())
        if (entry.is_file() and entry.suffix.lower() in ENDINGS) or (entry.is_dir() and (is_savedmodel(entry) or (entry / "model.keras").is_file()))
    ]
    if not found:
        raise ModelError(f"no models in '{path}'; expected files ending in {', '.join(ENDINGS)}, or folders with model.keras in them")
    return found


def named(detectors: Sequence[Detector]) -> list[Served]:
    """Prepare several detectors, each under a name of its own: the network's, or where several share it the file's.

    Args:
        detectors: may share names.
    """
    networks = Counter(detector.name for detector in detectors)
    served: list[Served] = []
    for detector in detectors:
        name = detector.name if networks[detector.name] == 1 else called(detector.path)
        taken = [other.name for other in served]
        numbers = ["", *(f" {number}" for number in range(2, len(taken) + 2))]
        served.append(Served.of(detector, next(f"{name}{number}" for number in numbers if f"{name}{number}" not in taken)))
    return served


def called(path: str) -> str:
    """Return what a model's file is called.

    Example:
        >>> called("runs/first/model.keras"), called("models/a.h5"), called("")
        ('first', 'a', 'model')
    """
    file = Path(path)
    return (file.parent.name if file.stem == "model" else file.stem) or "model"
