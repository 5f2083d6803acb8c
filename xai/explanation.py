"""From images to maps and overlays: decoding, the map pass and writing overlap."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xai import overlay, store
from xai.aggregate import is_empty
from xai.crop import Box
from xai.detector import Detector, score
from xai.errors import DataError, ImageError, nothing_left
from xai.images import find, read
from xai.maps.placement import Placement
from xai.stream import batches

Maps = dict[tuple[str, str], np.ndarray]
DEFAULT_METHODS = ("activation", "gradcam", "hirescam")  # in the order of the report


@dataclass(frozen=True)
class Explanation:
    """The maps of some images, kept in memory.

    Args:
        paths: of the images that were read.
        logits: of fake, float32 `(N,)`.
        maps: by (layer, method), float32 `(N, h, w)`, signed, raw.
        placements: by layer.
        skipped: path -> reason.
        boxes: per image the face it was cropped to, None for the whole; empty without a crop.
    """

    paths: list[Path]
    logits: np.ndarray
    maps: Maps
    placements: dict[str, Placement]
    skipped: dict[str, str] = field(default_factory=dict)
    boxes: list[Box | None] = field(default_factory=list)

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

    def save(self, folder: str | Path, *, signed: bool = False) -> Path:
        """Write an overlay per image x layer x method, `scores.csv` and `skipped.csv`."""
        from xai.maps.cam import METHODS

        folder = store.make_folder(folder)
        names = output_names(self.paths)
        for index, name in enumerate(names):
            image = self.view(index)
            for (layer, method), maps in self.maps.items():
                shown = signed and METHODS[method].signed
                picture = overlay.overlay(image, maps[index], self.placements[layer], signed=shown)
                store.write_bytes(folder / overlay_name(name, layer, method), overlay.encode(picture))
        write_scores(folder, names, self.paths, self.logits, {pair: is_empty(values) for pair, values in self.maps.items()})
        store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(self.skipped.items()))
        return folder

    def _repr_html_(self) -> str:
        """Show the first images in a notebook, the last layer's last method over each."""
        import base64

        layer, method = list(self.maps)[-1]
        cells = []
        for index in range(min(len(self.paths), 8)):
            picture = overlay.thumbnail(self.overlay(index, layer, method), 256)
            data = base64.b64encode(overlay.encode(picture)).decode()
            cells.append(
                f'<figure style="display:inline-block;margin:4px"><img src="data:image/jpeg;base64,{data}" alt="overlay">'
                f"<figcaption>fake {self.scores[index]:.3f}</figcaption></figure>"
            )
        return f"<p>{len(self.paths)} images, {method} at {layer}</p>{''.join(cells)}"


def explain(
    detector: Detector,
    sources: Sequence[str | Path],
    *,
    layers: str = "auto",
    methods: Sequence[str] = DEFAULT_METHODS,
    target: str = "fake",
    batch_size: int | None = None,
) -> Explanation:
    """Map images and keep the maps.

    Args:
        detector: from `xai.load`.
        sources: files or folders.
        layers: as in `Detector.select`.
        methods: names of map methods.
        target: "fake", or "real" for the opposite sign.
        batch_size: images a pass.

    Returns:
        The explanation; unreadable images are listed in `skipped`.

    Raises:
        WhyfakeError: no images, an unknown layer or method.
    """
    from xai.maps.onepass import compute

    paths = find(sources)
    chosen = detector.select(layers)
    read_paths: list[Path] = []
    skipped: dict[str, str] = {}
    boxes: list[Box | None] = []
    logits: list[np.ndarray] = []
    parts: dict[tuple[str, str], list[np.ndarray]] = {(layer, method): [] for layer in chosen for method in methods}
    for batch in batches(detector, paths, batch_size):
        skipped |= {str(paths[index]): reason for index, reason in batch.skipped.items()}
        if batch.indices:
            found, maps = compute(detector, batch.inputs, chosen, methods, target)
            logits.append(found)
            read_paths += [paths[index] for index in batch.indices]
            boxes += batch.boxes
            for pair, values in maps.items():
                parts[pair].append(values)
    return Explanation(
        read_paths,
        np.concatenate(logits) if logits else np.zeros(0, np.float32),
        {pair: joined(values, detector, pair[0]) for pair, values in parts.items()},
        {layer: detector.layers[layer].placement for layer in chosen},
        skipped,
        boxes,
    )


def joined(values: list[np.ndarray], detector: Detector, layer: str) -> np.ndarray:
    """Return batches of maps as one array, also where there are none."""
    return np.concatenate(values) if values else np.zeros((0, *detector.layers[layer].placement.cells), np.float32)


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch run left: how many images and pictures, and what was skipped and why."""

    images: int
    overlays: int
    empty: int
    skipped: dict[str, str]


def write_overlays(
    detector: Detector,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    layers: str = "auto",
    methods: Sequence[str] = ("hirescam",),
    target: str = "fake",
    signed: bool = False,
    opacity: float = 0.6,
    batch_size: int | None = None,
    limit: int | None = None,
    workers: int = 2,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write an overlay per image x layer x method, streaming: memory does not grow with the images.

    Args:
        detector, sources, layers, methods, target, batch_size: as in `explain`.
        out: the folder; also gets `scores.csv` and `skipped.csv`.
        signed: show evidence for real as well, in diverging colours.
        opacity: of the strongest value.
        limit: images at most.
        workers: threads that decode, and as many that write.
        quiet: no progress bar.
        say: told how many images there are.
    """
    from xai.maps.cam import METHODS
    from xai.maps.onepass import compute

    chosen = detector.select(layers)
    folder = store.make_folder(out)
    paths = outside(find(sources), folder)[:limit]
    names = output_names(paths)
    placements = {layer: detector.layers[layer].placement for layer in chosen}
    say(f"{len(paths)} images, {len(chosen)} layers, {len(methods)} methods")
    skipped: dict[str, str] = {}
    rows: list[int] = []
    logits: list[np.ndarray] = []
    emptiness: dict[tuple[str, str], list[np.ndarray]] = {(layer, method): [] for layer in chosen for method in methods}

    def write(index: int, image: np.ndarray, layer: str, method: str, values: np.ndarray) -> None:
        shown = signed and METHODS[method].signed
        picture = overlay.overlay(image, values, placements[layer], signed=shown, opacity=opacity)
        store.write_bytes(folder / overlay_name(names[index], layer, method), overlay.encode(picture))

    with ThreadPoolExecutor(workers) as pool:
        pending: list[Future] = []
        for batch in batches(detector, paths, batch_size, label="explaining", quiet=quiet, workers=workers):
            skipped |= {str(paths[index]): reason for index, reason in batch.skipped.items()}
            if not batch.indices:
                continue
            found, maps = compute(detector, batch.inputs, chosen, methods, target)
            for future in pending:  # the previous batch is on disk before the next one queues up
                future.result()
            logits.append(found)
            rows += batch.indices
            for pair, values in maps.items():
                emptiness[pair].append(is_empty(values))
            pending = [
                pool.submit(write, index, image, layer, method, maps[layer, method][place])
                for place, (index, image) in enumerate(zip(batch.indices, batch.images, strict=True))
                for layer, method in maps
            ]
        for future in pending:
            future.result()
    store.write_table(folder / "skipped.csv", ("path", "reason"), sorted(skipped.items()))
    if not rows:
        raise ImageError(f"{nothing_left(len(paths), skipped)}; '{folder / 'skipped.csv'}' says why")
    empty = {pair: np.concatenate(values) for pair, values in emptiness.items()}
    write_scores(folder, [names[i] for i in rows], [paths[i] for i in rows], np.concatenate(logits), empty)
    return Written(len(rows), len(rows) * len(empty), int(sum(values.sum() for values in empty.values())), skipped)


def write_scores(
    folder: Path,
    names: Sequence[str],
    paths: Sequence[Path],
    logits: np.ndarray,
    empty: dict[tuple[str, str], np.ndarray],
) -> None:
    """Write `scores.csv`: path, file stem of the overlays, logit, score, and which maps were empty."""
    header = ["path", "name", "logit", "score", *(f"empty:{layer}:{method}" for layer, method in empty)]
    scores = score(logits)
    rows = (
        [path.as_posix(), names[i], float(logits[i]), float(scores[i]), *(bool(values[i]) for values in empty.values())]
        for i, path in enumerate(paths)
    )
    store.write_table(folder / "scores.csv", header, rows)


def outside(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return the paths that are not below a folder: what a run wrote is not its input.

    Raises:
        DataError: none is left.
    """
    place = Path(os.path.abspath(folder))
    kept = [path for path in paths if place not in Path(os.path.abspath(path)).parents]
    if not kept:
        raise DataError(f"all {len(paths)} images lie in the output folder '{folder}'; give another --out")
    return kept


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a file stem per image that is unique: its path below the folder all share, '/' as '+'.

    Example:
        >>> output_names([Path("d/real/1.png"), Path("d/fake/1.png")])
        ['real+1.png', 'fake+1.png']
    """
    if not paths:
        return []
    paths = [Path(os.path.abspath(path)) for path in paths]  # relative and absolute ones may be mixed
    parents = [path.parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    names: list[str] = []
    seen: set[str] = set()
    for path in paths:
        name = "+".join(path.parts[shared:])
        if len(os.fsencode(name)) > 120 or name in seen:  # room for layer and method within 255 bytes
            mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
            name = f"{os.fsencode(name)[:100].decode('utf-8', 'ignore')}-{mark}"
        seen.add(name)
        names.append(name)
    return names


def overlay_name(name: str, layer: str, method: str) -> str:
    """Return the file name of one overlay."""
    return f"{name}__{layer.replace('/', '+')[-80:]}__{method}.jpg"
