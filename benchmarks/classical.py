"""What 64 x 64 pixels tell without a neural network: support vector machines on gradients' orientations and on principal components.

    python -m benchmarks.classical DATA [--crop centre]

Every image is in one of five test folds once; the rest trains. A data set on which these do as well as the
networks limits the networks by its size, not by their build.
"""

from __future__ import annotations

import argparse

import numpy as np

from train import datasets
from xai.images import read
from xai.metrics import wilson
from xai.preprocess import Preprocessing

SIDE, FOLDS = 64, 5
COMPONENTS = 100


def main() -> None:
    """Print the accuracy of each with its interval."""
    from skimage.feature import hog
    from sklearn.decomposition import PCA
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="as whyfake train takes it")
    parser.add_argument("--crop", default="none", help="as whyfake train takes it")
    asked = parser.parse_args()
    manifest, seen = datasets.scan(asked.data), Preprocessing(SIDE, SIDE, crop=asked.crop)
    images = np.stack([seen.fit(seen.view(read(manifest.file(row)))[0]) for row in manifest.rows])
    fake = np.array([row.label == "fake" for row in manifest.rows])
    inputs = {
        "orientations of gradients": np.stack([hog(image, channel_axis=-1, pixels_per_cell=(8, 8), cells_per_block=(2, 2)) for image in images]),
        f"{COMPONENTS} principal components": images.reshape(len(images), -1) / np.float32(255),
    }
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for name, values in inputs.items():
        first = PCA(COMPONENTS, random_state=0) if "components" in name else "passthrough"
        answers = cross_val_predict(make_pipeline(first, StandardScaler(), SVC(C=3)), values, fake, cv=folds)
        right = int((answers == fake).sum())
        low, high = wilson(right, len(fake))
        print(f"{name}: accuracy {right / len(fake):.3f} ({low:.3f} to {high:.3f}) on {len(fake)} images in {FOLDS} folds")


if __name__ == "__main__":
    main()
