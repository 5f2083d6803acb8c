"""A permutation test for tables: a row is an image, a column is a cell; real against fake, say.

A draw is an order of all images; the group is, in each column, the first of them that have a value
there, as many as the group truly has. So all columns share their draws, one matrix product sums the
group for all of them, and only the columns with NaN need their few images more or less.
"""

from __future__ import annotations

import numpy as np

from xai.inference import labelled, table

SETTLED = 100  # so many permutations beyond the observed, and a column needs no more: its p is known within a tenth
CELLS = 8_000_000  # permuted images in hand at once: 32 MB


def permutation_test(values: np.ndarray, group: np.ndarray, resamples: int | None = None, seed: int = 0) -> np.ndarray:
    """Test, per column, whether the group and the rest have the same mean, by permuting who is in the group.

    The statistic is Welch's t, two-sided by its size: exact where both sides are alike in all, and right
    in the long run where only their means are; the far tail needs a long run (see `difference_test`). A
    column stops once 100 permutations reached beyond it (its p is no small one).

    Args:
        values: `(N, C)`, any unit; NaN does not count.
        group: whether each image is in it, bool `(N,)`.
        resamples: permutations B at most; by default 9,999 or 40 per column, so that the smallest p,
            1 / (B + 1), is below 0.05 / C, as Holm's correction asks.
        seed: of the permutations.

    Returns:
        p: `(C,)`, (1 + reached) / (1 + permutations); NaN where either side has fewer than two values
        or all are equal.

    Reference:
        Janssen, Studentized permutation tests for non-i.i.d. hypotheses and the generalized
        Behrens-Fisher problem, 1997; Chung and Romano, Exact and asymptotically robust permutation tests,
        2013, doi:10.1214/13-AOS1090; Besag and Clifford, Sequential Monte Carlo p-values, 1991.

    Example:
        >>> permutation_test(np.arange(8.0)[:, None], np.arange(8) > 3).round(2).tolist()
        [0.03]
    """
    values, group = table(values), labelled(group, values)
    draws = max(9_999, 40 * values.shape[1]) if resamples is None else resamples
    there = ~np.isnan(values)
    sizes, members = there.sum(0), there[group].sum(0)
    spread = np.where(there, values, -np.inf).max(0, initial=-np.inf) > np.where(there, values, np.inf).min(0, initial=np.inf)
    live = np.flatnonzero(spread & (np.minimum(members, sizes - members) >= 2))
    p, hits = np.where(np.isin(np.arange(values.shape[1]), live), 1, np.nan), np.zeros(values.shape[1], int)

    scaled = np.where(there, values, 0)[:, live]
    scaled = np.where(there[:, live], scaled - scaled.sum(0) / sizes[live], 0)
    scaled /= np.sqrt((scaled**2).sum(0) / sizes[live])
    observed = _welch(scaled[group].sum(0), (scaled[group] ** 2).sum(0), members[live], sizes[live]) * (1 - 1e-4)  # for rounding

    rng, count, first, done = np.random.default_rng(seed), len(values), int(group.sum()), 0
    there, scaled, members, sizes = there[:, live].astype(np.float32), scaled.astype(np.float32), members[live], sizes[live]
    while done < draws and len(live):
        rows = min(draws - done, 1000, max(1, CELLS // count))
        order = rng.permuted(np.broadcast_to(np.arange(count, dtype=np.int32), (rows, count)), axis=1)
        chosen = np.zeros((rows, count), np.float32)
        np.put_along_axis(chosen, order[:, :first], 1, axis=1)
        total, squares = chosen @ scaled, chosen @ scaled**2
        missing = members - np.rint(chosen @ there).astype(int)
        for column in np.flatnonzero(missing.any(0)):
            for sign, beyond in ((1, order[:, first:]), (-1, order[:, :first][:, ::-1])):
                behind = np.flatnonzero(sign * missing[:, column] > 0)
                more = _more(beyond[behind], np.abs(missing[behind, column]), there[:, column], scaled[:, column])
                total[behind, column] += sign * more[0]
                squares[behind, column] += sign * more[1]
        hits[live] += (_welch(total, squares, members, sizes) >= observed).sum(0)
        done += rows
        p[live] = (hits[live] + 1) / (done + 1)
        going = hits[live] < SETTLED
        live, observed, there, scaled = live[going], observed[going], there[:, going], scaled[:, going]
        members, sizes = members[going], sizes[going]
    return p


def _more(order: np.ndarray, wanted: np.ndarray, there: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the sum of squares of the next images with a value, so many per draw, `(r,)` each.

    Args:
        order: of the images, `(r, n)`.
        wanted: how many, `(r,)`.
        there: whether each image has a value, `(N,)`.
        scaled: its value, 0 without, `(N,)`.
    """
    width = int(1.5 * wanted.max(initial=0) / max(there.mean(), 0.01)) + 10
    while True:
        known = there[order[:, :width]]
        place = known.cumsum(1)
        if width >= order.shape[1] or not len(order) or (place[:, -1] >= wanted).all():
            break
        width *= 2
    taken = scaled[order[:, :width]] * (place <= wanted[:, None])  # an image without a value adds 0
    return taken.sum(1), (taken**2).sum(1)


def _welch(total: np.ndarray, squares: np.ndarray, members: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return Welch's |t| from the group's sum and sum of squares, where all values have mean 0 and mean square 1."""
    rest = sizes - members
    mean, other = total / members, -total / rest
    second = (squares / members - mean**2) / (members - 1) + ((sizes - squares) / rest - other**2) / (rest - 1)
    # below a hundred-thousandth it is rounding: neither side has any spread
    second = np.where(second > 1e-5 * (1 / members + 1 / rest), second, 1e-12)
    return np.abs(mean - other) / np.sqrt(second)
