"""Which map tells the truth on an architecture: what self-tests found, kept for audits that come later."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai import store
from xai.errors import RunError, WhyfakeError

if TYPE_CHECKING:
    from xai.detector import Detector
    from xai.graph import Graph

SHIPPED = Path(__file__).with_name("recommendations.json")
HOME = "WHYFAKE_HOME"  # environment variable: where a user's own are kept
# What of a layer makes an architecture; sizes of images and weights do not.
SHAPING = ("filters", "units", "kernel_size", "strides", "padding", "dilation_rate", "groups", "depth_multiplier", "pool_size", "activation")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a self-test found on an architecture.

    Args:
        method: to be used for `--method auto`.
        layer: its name in the model at hand; "input" for a method of the image itself.
        why: in words.
        passing, failed, unsure: method -> the layers, by name in the model at hand, at which it passed, failed, or neither.
        source: "whyfake", or "this machine" for a self-test that was run here.
        network, size: of the self-test.
    """

    method: str
    layer: str
    why: str
    passing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unsure: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = "whyfake"
    network: str = ""
    size: int = 0

    def says(self, layer: str, method: str) -> str:
        """Return "passes", "fails", "unsure", or "" for a map that was not in the self-test."""
        told = {"passes": self.passing, "fails": self.failed, "unsure": self.unsure}
        return next((verdict for verdict, layers in told.items() if layer in layers.get(method, ())), "")


def architecture(graph: Graph) -> str:
    """Return a fingerprint of a network's build: equal for equal layers in equal order, whatever their names, weights and image size.

    Returns:
        16 hexadecimal digits.
    """
    homes = {slot: index for index, step in enumerate(graph.steps) for slot in step.outputs}
    steps = []
    for step in graph.steps:
        config = configuration(step.layer)
        steps.append([step.kind, [homes.get(slot, -1) for slot in step.inputs], {key: config[key] for key in SHAPING if key in config}])
    return hashlib.sha256(json.dumps(steps, sort_keys=True, default=str).encode()).hexdigest()[:16]


def configuration(layer: Any) -> Mapping[str, Any]:
    """Return what a layer says of its build; nothing of a user's own layer that cannot say it, since nothing is to be saved here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of functions, which a file would not hold
            found: Mapping[str, Any] = layer.get_config()
    except Exception:  # a user's own code, which may fail in any way
        return {}
    return found


def own_file() -> Path:
    """Return where this user's self-tests are remembered."""
    if os.environ.get(HOME):
        return Path(os.environ[HOME]) / "recommendations.json"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "whyfake" / "recommendations.json"


def read(path: Path) -> list[dict[str, Any]]:
    """Return what a file remembers; nothing where it is missing.

    Raises:
        RunError: damaged.
    """
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' cannot be read ({error}); remove it, self-tests will write it again") from None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise RunError(f"'{path}' is no list of recommendations; remove it, self-tests will write it again")
    return found


def remember(record: Mapping[str, Any]) -> Path:
    """Keep a self-test's record for audits of the same architecture; an earlier one of that size gives way.

    Args:
        record: architecture, size, network, method, layer (index among the layers that can be mapped, -1 for the image),
            why; passing, failed and unsure (method -> indices).

    Returns:
        Where it is kept.

    Raises:
        RunError: damaged, or it cannot be written.
    """
    path = own_file()
    same = ("architecture", "size")
    kept = [entry for entry in read(path) if any(entry.get(key) != record[key] for key in same)]
    try:
        store.write_json(path, [*kept, dict(record)])
    except RunError as error:
        why = str(error).split(";")[0]
        raise RunError(f"the recommendation was not remembered: {why}; set {HOME} to a folder that can be written, run the same again") from None
    return path


def recommended(detector: Detector) -> Recommendation | None:
    """Return what is known of a detector's architecture: this machine's own self-tests first, then those that come with whyfake.

    Of several the one at the nearest image size. None where nothing fits: an architecture never tested, or a black box.

    Raises:
        RunError: a file is damaged, or an entry does not fit the architecture that it names.
    """
    if not detector.gradients:
        return None
    key, side = architecture(detector.graph), max(detector.size)
    for source, path in (("this machine", own_file()), ("whyfake", SHIPPED)):
        fitting = [entry for entry in read(path) if entry.get("architecture") == key]
        if fitting:
            try:
                nearest = min(fitting, key=lambda entry: abs(entry["size"] - side))
                return named(nearest, detector, source)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, WhyfakeError) as error:
                raise RunError(
                    f"'{path}' holds a recommendation that cannot be used ({error!r}); remove the file, or run the self-test again"
                ) from None
    return None


def named(entry: Mapping[str, Any], detector: Detector, source: str) -> Recommendation:
    """Return an entry with a detector's own layer names in it."""
    from xai.maps.methods import INPUT, parse

    names = [*detector.layers, INPUT]  # -1 is the image
    at = {
        key: {method: tuple(names[index] for index in indices) for method, indices in entry[key].items()} for key in ("passing", "failed", "unsure")
    }
    method, layer = parse(entry["method"]).text, names[entry["layer"]]
    return Recommendation(method, layer, entry["why"], **at, source=source, network=entry["network"], size=int(entry["size"]))
