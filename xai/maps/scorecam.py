"""Score-CAM: what the logit says when only one channel's places are lit."""

from __future__ import annotations

import numpy as np

from xai.errors import WhyfakeError
from xai.maps.answer import Answer, Logits, ask, checked, sweep
from xai.maps.fills import fills_of, veil
from xai.maps.placement import Placement


def scorecam(
    logits: Logits,
    images: np.ndarray,
    activations: np.ndarray,
    placement: Placement,
    *,
    fill: str | np.ndarray = "black",
    low: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Answer:
    """Weight a layer's channels by the logit of the image seen through each, and sum them.

    A channel, scaled to [0, 1] by its minimum and maximum, becomes a mask on the image; its weight is
    logit(masked) - logit(black image). Deviations from the paper: no softmax over the channels' scores, which
    would make every weight positive and count what speaks for real as speaking for fake; none over the
    outputs, which for a single sigmoid unit is always 1; the logit rather than the probability; no
    final ReLU; masks lie where the layer's cells lie instead of being stretched, so that what lies
    beyond the outer cells is hidden in all of them.

    Args:
        logits: float32 `(n, H, W, 3)` -> `(n,)`, the logit of fake.
        images: float32 `(N, H, W, 3)`, as the network wants them.
        activations: float32 `(N, h, w, C)`, the layer's output for them.
        placement: where the layer's cells lie on the image.
        fill, low: what hides, as in `xai.maps.fills.fill`; the paper hides with black.
        seed: not read; nothing here is drawn by chance.
        batch_size: images asked about at once; one for each channel of each image in all.

    Returns:
        Maps `(N, h, w)`, signed, in logits times the layer's unit; the paper's map is the positive part.
        extras: "skipped_channels" `(N,)`: those that are constant on the image, which show no place.

    Raises:
        WhyfakeError: activations or a placement that do not belong to the images.

    Reference:
        Wang et al., Score-CAM: Score-weighted visual explanations for convolutional neural networks, 2020,
        arXiv:1910.01279.

    Example:
        >>> from xai.maps.placement import stretched
        >>> image = np.ones((1, 2, 2, 3), np.float32)
        >>> layer = np.array([[[[4, 7], [0, 7]], [[0, 7], [0, 7]]]], np.float32)  # a lit corner; a constant
        >>> answer = scorecam(lambda x: x.sum((1, 2, 3)), image, layer, stretched((2, 2), (2, 2)))
        >>> answer.maps.tolist(), answer.extras["skipped_channels"].tolist()
        ([[[12.0, 0.0], [0.0, 0.0]]], [1])
    """
    images = checked(images)
    activations = np.asarray(activations, np.float32)
    if activations.ndim != 4 or len(activations) != len(images) or activations.shape[1:3] != placement.cells:
        raise WhyfakeError(
            f"activations of shape {activations.shape} do not fit; expected ({len(images)}, {placement.cells[0]}, {placement.cells[1]}, channels)"
        )
    if images.shape[1:3] != placement.image:
        raise WhyfakeError(f"the placement is on images of {placement.image} pixels; expected {images.shape[1:3]}, height before width")
    maps, skipped = np.zeros(activations.shape[:3], np.float32), np.zeros(len(images), np.int64)
    for index, (image, hidden) in enumerate(zip(images, fills_of(images, fill, low), strict=True)):
        layer = activations[index]  # (h, w, C)
        bottom, top = layer.min((0, 1)), layer.max((0, 1))
        live = np.flatnonzero(top > bottom)
        skipped[index] = layer.shape[-1] - len(live)
        masks = ((layer[..., live] - bottom[live]) / (top - bottom)[live]).transpose(2, 0, 1)  # (live, h, w)
        weights = shown_through(logits, image, hidden, masks, placement, batch_size) - ask(logits, hidden[None])
        maps[index] = layer[..., live] @ weights.astype(np.float32)
    return Answer(maps, {"skipped_channels": skipped})


def shown_through(logits: Logits, image: np.ndarray, hidden: np.ndarray, masks: np.ndarray, placement: Placement, batch_size: int) -> np.ndarray:
    """Return the logits of an image seen through each of `masks` `(n, h, w)`, float64 `(n,)`; `hidden` is the fill.

    A mask on the image is `placement.show` of it, which is `place` times a factor per pixel: that factor is
    put on the image once rather than on every mask.
    """
    flat = np.ones(placement.cells, np.float32)
    placed = placement.place(flat)
    factor = np.divide(placement.show(flat), placed, out=np.zeros_like(placed), where=placed > 0)
    paint = veil(hidden + factor[..., None] * (image - hidden), hidden)
    return sweep(logits, placement.image, len(masks), lambda index, out: paint(placement.place(masks[index]), out), batch_size)
