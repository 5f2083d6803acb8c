"""Peak memory of mapping 1024 x 1024 images, each network in a process of its own.

python -m benchmarks.large [NETWORK ...]
"""

from __future__ import annotations

import os
import subprocess
import sys

SIDE = 1024
NETWORKS = ("alexnet18", "VGG16", "ResNet50", "DenseNet121")
METHODS = ("activation", "gradcam", "hirescam", "layercam")


def measure(name: str) -> None:
    """Map a batch, as large as whyfake chooses it, at the layers that it chooses, and print the peak."""
    import keras
    import numpy as np

    from benchmarks.memory import peak
    from models import build
    from xai import wrap
    from xai.maps.mapped import compute
    from xai.maps.memory import batch_size

    if name == "alexnet18":
        model = build(name, SIDE)
    else:
        body = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3), pooling="avg")
        model = keras.Model(body.input, keras.layers.Dense(1, activation="sigmoid")(body.output))
    detector = wrap(model)
    count, layers = batch_size(detector), detector.select("auto")
    compute(detector, np.random.default_rng(0).uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32), layers, METHODS)
    print(f"| {name} | {count} | {len(layers)} | {peak() / 2**30:.2f} |", flush=True)


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2])
    else:
        print("| network | images a batch | layers | peak, GiB |\n|---|---|---|---|", flush=True)
        for network in sys.argv[1:] or NETWORKS:
            subprocess.run([sys.executable, "-m", "benchmarks.large", "--one", network], check=True)
