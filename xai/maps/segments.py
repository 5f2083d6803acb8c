"""An image cut into segments that are hidden or shown as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xai.errors import WhyfakeError

KINDS = ("grid", "slic")
PARTS = ("mesh", "template")  # who says the parts of a face; they need to know how the network's pixels look
UNCUT = -1  # label of every pixel of a picture that was not cut: no face was found


def segments(image: np.ndarray, kind: str | np.ndarray = "slic", count: int = 49) -> np.ndarray:
    """Cut an image into segments.

    Args:
        image: float32 `(H, W, 3)`, any range.
        kind: "grid" (rectangles of nearly equal size), "slic" (pieces of like colour, which follow
            the image's edges) or the caller's own integer labels `(H, W)`, such as face parts;
            pictures whose labels are all below 0 are not cut.
        count: about how many; read by "grid" and "slic". SLIC gives fewer on smooth images.

    Returns:
        int32 `(H, W)`: labels from 0 without gaps, in the order of the caller's labels; -1 throughout where nothing was cut.

    Raises:
        WhyfakeError: an unknown kind, labels that do not fit, or scikit-image is not installed.

    Reference:
        Achanta et al., SLIC superpixels compared to state-of-the-art superpixel methods, 2012,
        doi:10.1109/TPAMI.2012.120.

    Example:
        >>> segments(np.zeros((2, 4, 3)), "grid", 2).tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
        >>> segments(np.zeros((1, 3, 3)), np.array([[7, 0, 9]])).tolist()
        [[1, 0, 2]]
    """
    size = image.shape[:2]
    if isinstance(kind, str):
        if kind in PARTS:
            raise WhyfakeError(f"segments '{kind}' are found by a detector's own methods; give the labels of `face_parts` instead")
        if kind not in KINDS:
            raise WhyfakeError(f"segments '{kind}' are not known; expected {', '.join(KINDS + PARTS)} or an array of labels")
        if count < 1:
            raise WhyfakeError(f"{count} segments; expected 1 or more")
        return rectangles(size, count) if kind == "grid" else superpixels(image, count)
    labels = np.asarray(kind)
    if labels.shape != size or not np.issubdtype(labels.dtype, np.integer):
        raise WhyfakeError(f"labels of shape {labels.shape} and type {labels.dtype} do not fit; expected integers of shape {size}")
    return without_gaps(labels) if labels.max() >= 0 else np.full(size, UNCUT, np.int32)


def face_parts(pictures: np.ndarray, kind: str = "mesh") -> np.ndarray:
    """Return the parts of faces as labels.

    Args:
        pictures: uint8 `(N, H, W, 3)`, RGB.
        kind: "mesh" (found in each picture; extra `faces`) or "template" (the mean face's, for pictures framed as FFHQ's).

    Returns:
        int32 `(N, H, W)`, indices into `xai.regions.meshparts.NAMES`; -1 throughout where no face was found.

    Raises:
        ModelError: the extra is not installed.

    Example:
        >>> int(face_parts(np.zeros((1, 64, 64, 3), np.uint8), "template")[0, 38, 32])  # on the nose
        6
    """
    from xai.regions import meshparts, template

    size = pictures.shape[1:3]
    labels = np.full(pictures.shape[:3], UNCUT, np.int32)
    mean = template.parts(size) if kind == "template" else None
    for index, picture in enumerate(pictures):
        parts = mean or meshparts.parts(picture)
        if parts is not None:
            labels[index] = parts.resized(size).labels
    return labels


def segments_of(images: np.ndarray, kind: str | np.ndarray = "slic", count: int = 49) -> Iterator[np.ndarray]:
    """Yield the segments of each image.

    Args:
        images: float32 `(N, H, W, 3)`.
        kind: as in `segments`, or labels `(N, H, W)`: those of each image.
        count: as in `segments`.

    Yields:
        int32 `(H, W)`.

    Raises:
        WhyfakeError: as `segments`.
    """
    single = isinstance(kind, str) or np.ndim(kind) < 3
    if not single and len(kind) != len(images):
        raise WhyfakeError(f"labels for {len(kind)} images; expected them for each of {len(images)}")
    for index, image in enumerate(images):
        yield segments(image, kind if single else kind[index], count)


def rectangles(size: tuple[int, int], count: int) -> np.ndarray:
    """Return a grid of about `count` rectangles, as square as that allows, int32 `(H, W)`.

    Example:
        >>> np.bincount(rectangles((7, 7), 49).ravel()).tolist() == [1] * 49
        True
    """
    height, width = size
    rows = min(height, max(1, round(np.sqrt(count * height / width))))
    columns = min(width, max(1, round(count / rows)))
    labels = (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    return labels.astype(np.int32)


def superpixels(image: np.ndarray, count: int) -> np.ndarray:
    """Return SLIC's superpixels, int32 `(H, W)`; colours are compared in Lab, the image's range scaled to [0, 1]."""
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise WhyfakeError("SLIC needs scikit-image, which is not installed; 'pip install scikit-image', or take the segments 'grid'") from error
    return without_gaps(slic(image, n_segments=count, start_label=0))


def without_gaps(labels: np.ndarray) -> np.ndarray:
    """Return labels renumbered from 0 without gaps, order kept, int32 of the same shape."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
