"""The same shards made by this process and by Ray on the same cores, and by two machines of which one is killed half-way.

python -m benchmarks.cluster MODEL FACES --images 2560
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kills import apart
from train.audit import Items
from train.datasets import limited, scan
from xai import miniature
from xai.audit import BESIDE
from xai.backend import import_quietly
from xai.detector import Detector, load
from xai.engine.engines import LOCAL, Engine
from xai.engine.shard import Made
from xai.gather import listing
from xai.items import Item, Work
from xai.mapfile import merge
from xai.maps.mapped import placements
from xai.maps.methods import resolve, selected
from xai.store import plain

PART = 64  # images: many small shards show more of what an engine costs than few large ones


def made(engine: Engine, detector: Detector, work: Work, parts: Sequence[Sequence[Item]], out: Path) -> Iterator[tuple[int, Made, float]]:
    """Yield each shard with the second at which it was there."""
    start = time.perf_counter()
    for number, result in engine.run(detector, work, parts, out, None, lambda count: None):
        assert isinstance(result, Made), result
        yield number, result, time.perf_counter() - start


def rate(done: Sequence[tuple[int, Made, float]]) -> float:
    """Return images a second from the first shards on, so that loading models and starting processes is left out."""
    seconds = [second for _, _, second in done]
    first = next(place for place, (one, two) in enumerate(pairwise(seconds)) if two > one)
    return PART * (len(done) - 1 - first) / (seconds[-1] - seconds[first])


def numbers(done: Sequence[tuple[int, Made, float]], detector: Detector, work: Work, out: Path) -> Any:
    """Return everything that an audit makes of its shards: rows, and what `summary.json` says of the maps."""
    shards = [out / "shards" / f"{one.name}.h5" for _, one, _ in sorted(done, key=lambda entry: entry[0])]
    found = listing(shards, detector.threshold)
    told, _, _ = merge(shards, found, work.pairs, placements(detector, work.layers, work.methods), None, work.dtype, out)
    return plain({"rows": list(found.rows), "maps": told})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("faces")
    parser.add_argument("--images", type=int, default=2560)
    known = parser.parse_args()
    import_quietly()
    detector = load(known.model)
    methods = resolve(("auto",), detector, BESIDE, 0)
    work = Work(tuple(selected(detector, "auto", methods)), methods, miniature.sides(known.images))
    manifest = limited(scan(known.faces), known.images, 0)
    items = Items(manifest, np.zeros(len(manifest.rows), bool))
    parts = [items[start : start + PART] for start in range(0, len(items), PART)]
    with tempfile.TemporaryDirectory() as folder:
        here = list(made(LOCAL, detector, work, parts, Path(folder) / "here"))
        print(f"this process: {rate(here):.1f} images a second", flush=True)
        expected = numbers(here, detector, work, Path(folder) / "here")
        there = list(made(Engine("ray", actors=2), detector, work, parts, Path(folder) / "there"))
        print(f"Ray, two actors on the same two cores: {rate(there):.1f} images a second, the first shard after {there[0][2]:.1f} s")
        print(f"overhead after start-up: {rate(here) / rate(there) - 1:+.1%}")
        print(f"largest relative difference of any number: {apart(expected, numbers(there, detector, work, Path(folder) / 'there')):.3g}", flush=True)
        import ray
        from ray.cluster_utils import Cluster

        played = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes = [played.add_node(num_cpus=1) for _ in range(2)]
        ray.init(address=played.address, log_to_driver=False, configure_logging=False)
        done: list[tuple[int, Made, float]] = []
        killed = False
        for entry in made(Engine("ray", address=played.address, actors=2), detector, work, parts, Path(folder) / "half"):
            done.append(entry)
            if not killed and len(done) >= len(parts) // 2:
                played.remove_node(nodes[1], allow_graceful=False)
                killed = True
        ray.shutdown()
        played.shutdown()
        counted = Counter(number for number, _, _ in done)
        print(f"two machines, one killed after {len(parts) // 2} of {len(parts)} shards: {len(counted)} shards, {max(counted.values())} time each")
        print(f"largest relative difference of any number: {apart(expected, numbers(done, detector, work, Path(folder) / 'half')):.3g}")


if __name__ == "__main__":
    main()
