"""What maps are held against that know nothing of the network: edges, the middle, the lines of the mean face."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from xai.maps.placement import Placement, pixels
from xai.preprocess import Preprocessing
from xai.regions.null import middle
from xai.trust.similarity import pooled

BASELINES = ("edges", "centre", "mean face")
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, Rec. 601


def baselines(images: np.ndarray, preprocessing: Preprocessing, places: Mapping[str, Placement]) -> dict[str, dict[str, np.ndarray]]:
    """Return the baselines at the cells of the maps they are compared with.

    "edges": the Sobel magnitude of the image's luminance. "centre": a Gaussian around the middle of the picture.
    "mean face": the Sobel magnitude of the mean of the images, which shows the lines that all of them share.

    Args:
        images: float32 `(N, height, width, 3)` from `preprocessing.prepare`.
        preprocessing: the order of their colours.
        places: by layer, where the cells of its maps lie.

    Returns:
        By layer and baseline, float32 `(N, h, w)`, pooled as the maps are.
    """
    weights = np.array(LUMINANCE if preprocessing.colour_order == "RGB" else LUMINANCE[::-1], np.float32)
    mean = np.zeros(images.shape[1:3], np.float32)
    edges: dict[str, list[np.ndarray]] = {layer: [] for layer in places}
    for image in images:
        luminance = image @ weights
        mean += luminance / np.float32(len(images))
        lines = sobel(luminance)
        for layer, place in places.items():
            edges[layer].append(at_cells(lines, place))
    shared, centre = sobel(mean), middle(*images.shape[1:3])
    found = {}
    for layer, place in places.items():
        own = np.stack(edges[layer])
        same = {"centre": at_cells(centre, place), "mean face": at_cells(shared, place)}
        found[layer] = {"edges": own} | {name: np.broadcast_to(values, own.shape) for name, values in same.items()}
    return found


def sobel(luminance: np.ndarray) -> np.ndarray:
    """Return the length of the Sobel gradient, float32 `(h, w)`, in the unit of the luminance.

    Example:
        >>> sobel(np.float32([[0, 0, 1, 1]] * 3))[1].tolist()
        [0.0, 4.0, 4.0, 0.0]
    """
    values = luminance.astype(np.float32)
    return np.hypot(cv2.Sobel(values, cv2.CV_32F, 1, 0), cv2.Sobel(values, cv2.CV_32F, 0, 1))


def at_cells(canvas: np.ndarray, place: Placement) -> np.ndarray:
    """Return the mean of a canvas under each cell of a map, weighted as the cell is drawn, pooled.

    Args:
        canvas: float32 `(height, width)`, as large as the network's input.
        place: where the map's cells lie.

    Returns:
        float32 `(h, w)`; zero for cells outside the canvas.
    """
    if place == pixels(place.image):
        return pooled(canvas[None])[0]
    cover = place.coverage(canvas.shape)
    sums = place.gather(canvas)
    return pooled(np.divide(sums, cover, out=np.zeros_like(sums), where=cover > 0)[None])[0]
