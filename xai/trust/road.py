"""Pixels taken out so that no edge tells where: each becomes the weighted mean of its neighbours, plus a little noise.

A sparse solver takes 0.4 s for half the pixels of 256 x 256. The equations are those of a membrane:
conjugate gradients with a multigrid cycle before each round need about 5 rounds, 6 ms.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np

from xai.errors import WhyfakeError
from xai.probes.shift import margin

NOISE = 0.01  # of the range, standard deviation; the paper's
TOLERANCE = 0.1 / 255  # of the range: a tenth of a grey level
ROUNDS = 100  # at most
SMALLEST = 4  # pixels along the shorter side of the coarsest grid
HOLD = 4  # power of a coarse cell's share of removed pixels; at 1, masks of 90 % take six times the rounds
LEFT = 0.3  # of a round's change, about the error that is left after it
BLUR = np.array([0.25, 0.5, 0.25])  # a pixel and its eight neighbours: 3/4 of the way to the paper's weighted mean


class Space(threading.local):
    """Memory that a thread uses again for every image: in fresh arrays, page faults take a third of the time."""

    def __init__(self) -> None:
        self.memory, self.used = np.empty(0, np.uint8), 0

    def clear(self) -> None:
        """Forget all arrays; make room for as many as there were."""
        if self.used > self.memory.size:
            self.memory = np.empty(self.used, np.uint8)
        self.used = 0

    def take(self, like: np.ndarray) -> np.ndarray:
        """Return an array of the shape and type of another, unset."""
        start, self.used = self.used, self.used + -(-like.nbytes // 64) * 64
        if self.used > self.memory.size:
            return np.empty(like.shape, like.dtype)
        return self.memory[start : start + like.nbytes].view(like.dtype).reshape(like.shape)


SPACE = Space()


@dataclass(frozen=True, slots=True)
class Grid:
    """One grid of the pyramid: what may move, float `(h, w, 3)` from 0 (known) to 1 (removed), and arrays to work in."""

    free: np.ndarray
    right: np.ndarray
    found: np.ndarray
    spare: np.ndarray

    @classmethod
    def of(cls, free: np.ndarray) -> Grid:
        """Return a grid for `free`, float `(h, w)`."""
        free = cv2.merge([free, free, free])
        return cls(free, SPACE.take(free), SPACE.take(free), SPACE.take(free))


def impute(image: np.ndarray, removed: np.ndarray, noise: np.ndarray | None = None, tolerance: float = 255 * TOLERANCE) -> np.ndarray:
    """Replace pixels by the weighted mean of their eight neighbours, solved for all at once, and add noise.

    Neighbours side by side weigh 1/6, diagonal ones 1/12; those beyond the picture's edge are left out
    and the others scaled up. As in the paper, noise may leave the range.

    Args:
        image: float32 or float64 `(H, W, 3)`, at least 2 pixels either way, any range.
        removed: bool `(H, W)`, not all of it.
        noise: `(H, W, 3)`, in the image's unit; added to removed pixels.
        tolerance: about the largest error, in the image's unit.

    Returns:
        Same shape and type, a new array; pixels that are not removed keep every bit.

    Raises:
        WhyfakeError: every pixel is removed.

    Example:
        >>> image = np.array([[0.0, 9.0, 4.0], [0.0, 2.0, 4.0]])[..., None].repeat(3, 2)
        >>> impute(image, image[..., 0] == 9, tolerance=1e-9)[0, :, 0].round(6).tolist()
        [0.0, 2.0, 4.0]

    Reference:
        Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, 2022, arXiv:2202.00449.
    """
    if removed.all():
        raise WhyfakeError("every pixel is to be removed; expected a fraction below 1, since the others follow from those that stay")
    out = image.copy()
    if removed.any():
        SPACE.clear()
        x, y, width, height = cv2.boundingRect(removed.view(np.uint8))
        window = margin((slice(y, y + height), slice(x, x + width)), 1, removed.shape)
        inside = np.ascontiguousarray(removed[window])
        values = spread(out[window], inside)
        solve(values, inside, tolerance)
        if noise is not None:
            values += noise[window]
        cv2.copyTo(values, inside.view(np.uint8), out[window])
    return out


def solve(values: np.ndarray, removed: np.ndarray, tolerance: float) -> None:
    """Solve for the removed pixels of `(H, W, 3)` in place, from what stands there.

    Reference:
        Tatebe, The multigrid preconditioned conjugate gradient method, 1993.
    """
    grids = pyramid(removed, values.dtype)
    free, step = grids[0].free, SPACE.take(values)
    rest = blur(values, SPACE.take(values))
    rest -= values
    rest *= free
    before = np.inf
    for _ in range(ROUNDS):
        better = cycle(grids, rest)
        now = product(rest, better)
        if now <= 0:  # nothing is left to mend
            return
        if before == np.inf:
            np.copyto(step, better)
        else:
            cv2.scaleAdd(step, now / before, better, dst=step)
        before = now
        change = blur(step, grids[0].spare)
        np.subtract(step, change, out=change)
        change *= free
        length = now / product(change, step)
        cv2.scaleAdd(step, length, values, dst=values)
        cv2.scaleAdd(change, -length, rest, dst=rest)
        if LEFT * length * cv2.norm(step, cv2.NORM_INF) <= tolerance:
            return


def cycle(grids: list[Grid], right: np.ndarray) -> np.ndarray:
    """Return about what must be added where `right` is missing, `(h, w, 3)`: one V-cycle, a sweep down and one up.

    A sweep is a 3 x 3 blur of what may move. Blurring leaves at most half of anything finer than two
    pixels of the next grid, so one is enough.
    """
    grid, *rest = grids
    found, spare = np.multiply(right, grid.free, out=grid.found), grid.spare
    if not rest:
        for _ in range(4):
            sweep(grid, right)
        return found
    blur(found, spare)
    spare += right
    spare *= grid.free
    spare -= found
    coarse = rest[0]
    halved(spare, coarse.right)
    np.multiply(coarse.right, 4, out=coarse.right)  # a coarse pixel is twice as wide, its curvature four times as large
    cv2.resize(cycle(rest, coarse.right), found.shape[1::-1], dst=spare, interpolation=cv2.INTER_LINEAR)
    if grid is grids[0]:
        spare *= grid.free
    found += spare
    sweep(grid, right)
    return found


def sweep(grid: Grid, right: np.ndarray) -> None:
    """Move what is found a step nearer."""
    values = blur(grid.found, grid.spare)
    values += right
    np.multiply(values, grid.free, out=grid.found)


def blur(values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return the mean of each pixel and its neighbours, weighted 4:2:1; what lies beyond the edge does not count."""
    cv2.sepFilter2D(values, -1, BLUR, BLUR, dst=out, borderType=cv2.BORDER_CONSTANT)
    for edge in (out[0], out[-1], out[:, 0], out[:, -1]):
        edge *= 4 / 3
    return out


def pyramid(removed: np.ndarray, dtype: np.dtype) -> list[Grid]:
    """Return the grids, finest first, each half as fine as the one before."""
    free = removed.astype(dtype)
    grids = [Grid.of(free)]
    while min(free.shape) > SMALLEST and free.any():
        free = halved(free)
        grids.append(Grid.of(free**HOLD))
    return grids


def spread(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Return an image whose removed pixels are guessed from the finest grid on which something is known beside them."""
    known = (~removed).view(np.uint8)
    values, share = SPACE.take(image), known.astype(image.dtype)
    values.fill(0)
    cv2.copyTo(image, known, values)
    levels: list[tuple[np.ndarray, np.ndarray]] = []
    while not share.all() and max(share.shape) > 1:
        levels.append((values, (share > 0).view(np.uint8)))
        values, share = halved(values), halved(share)
        values /= np.maximum(share, 1e-9)[..., None]
        share = (share > 0).astype(image.dtype)
    for finer, there in levels[::-1]:
        values = cv2.resize(values, there.shape[::-1], interpolation=cv2.INTER_LINEAR)
        cv2.copyTo(finer, there, values)
    return values


def halved(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return the means of 2 x 2 pixels, `(h / 2, w / 2, ...)` rounded up; an odd side's pixels are cut to fit.

    For even sides, OpenCV's linear resize is the same and takes a third of the time.
    """
    height, width = values.shape[:2]
    way = cv2.INTER_AREA if height % 2 or width % 2 else cv2.INTER_LINEAR
    return cv2.resize(values, ((width + 1) // 2, (height + 1) // 2), dst=out, interpolation=way)


def product(one: np.ndarray, two: np.ndarray) -> float:
    """Return the scalar product of two `(h, w, 3)`, 3/4 as much for each edge that a pixel lies at.

    There the weights of `blur` are scaled up; with this product, the equations are symmetric all the same.
    """
    total = float(np.vdot(one, two))
    for y in (0, -1):
        total -= float(np.vdot(one[y], two[y])) / 4
        total -= float((one[:, y] * two[:, y]).sum()) / 4
        total += sum(float(np.vdot(one[y, x], two[y, x])) for x in (0, -1)) / 16
    return total
