"""Scores of maps against masks: by hand on 4 x 4, against slow twins, and at chance for maps that know nothing."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import jaccard_score

from xai.maps.placement import Axis, Placement, pixels
from xai.trust.localise import METRICS, TOLERANCE, close, locate, overlap, pointed, ranked

STRIDED = Placement(Axis(2.0, 1.0), Axis(2.0, 1.0), (2, 2), (4, 4))
SMALL = pixels((4, 4))


def masked(rows, columns, side=4):
    """Return a mask of a rectangle, `(1, side, side)`."""
    mask = np.zeros((1, side, side), bool)
    mask[0, rows, columns] = True
    return mask


def scores(found, index=0):
    """Return the five scores and the half area of a map."""
    return [float(getattr(found, name)[index]) for name in (*METRICS, "half")]


# By hand


def test_one_pixel():
    """A pixel is a tent: it keeps 3/4 of its mass along each axis and gives 1/8 to either side, so 49/64 lie on the upper left quarter.

    Of the four highest pixels the first (9/16) is on the mask, the other three share four places (3/32) of which two are: 1 + 3/4 x 2 = 2.5.
    From 3/32 up there are five pixels, three of them on the mask: 3 / (4 + 5 - 3).
    """
    one = np.zeros((1, 4, 4), np.float32)
    one[0, 1, 1] = 5
    assert scores(locate(one, SMALL, masked(slice(0, 2), slice(0, 2)))) == pytest.approx([49 / 64, 2.5 / 4, 1, 1, 0.5, 1 / 16])


def test_one_cell_of_a_strided_layer():
    """Placed: rows 0.75 2.25 2.25 of twelve and a quarter in all (see `Placement.place`)."""
    cells = np.array([[[0, 4], [0, 0]]], np.float32)
    found = locate(np.repeat(cells, 2, 0), STRIDED, np.concatenate([masked(slice(0, 2), slice(2, 4)), masked(slice(2, 4), slice(None))]))
    assert scores(found) == pytest.approx([9 / 12.25, 1, 1, 1, 1, 3 / 16])
    # below: 1.75 of 12.25; of the eight highest, four share the four places from the fifth on, two of them on the mask
    assert scores(found, 1) == pytest.approx([1 / 7, 2 / 8, 0, 0, 3 / 14, 3 / 16])
    assert found.area.tolist() == [0.25, 0.5] and not found.empty.any()


def test_an_even_map_is_chance():
    """Ties are broken in every order at once, wherever the mask is; half of an even map needs half of the picture."""
    placed = np.ones(16, np.float32)
    assert ranked(placed, placed[:3], 16) == pytest.approx(3 / 16) and overlap(placed, placed[:3]) == pytest.approx(3 / 16)
    mask = masked(slice(1, 2), slice(1, 4))
    assert pointed(np.ones((4, 4)), SMALL, mask[0]) == pytest.approx(3 / 16)
    wide = Placement(Axis(2.0, -3.0), Axis(2.0, -3.0), (6, 6), (4, 4))  # cells beyond the edges, so that the picture is evenly full
    found = locate(np.ones((1, 6, 6)), wide, mask)
    assert [found.mass_accuracy[0], found.rank_accuracy[0], found.iou[0], found.half[0]] == pytest.approx([3 / 16, 3 / 16, 3 / 16, 0.5])


def test_two_highest_cells_share_the_point():
    values = np.zeros((1, 4, 4), np.float32)
    values[0, 0, 0] = values[0, 3, 3] = 2
    assert locate(values, SMALL, masked(slice(0, 2), slice(0, 2))).pointing.tolist() == [0.5]


def test_a_highest_cell_beyond_the_edge_points_at_the_edge():
    wide = Placement(Axis(2.0, -1.0), Axis(2.0, -1.0), (3, 3), (4, 4))
    values = np.zeros((1, 3, 3), np.float32)
    values[0, 0, 0] = 1
    assert locate(values, wide, masked(0, 0)).pointing.tolist() == [1]


def one_cell(cell, shape):
    """Return a map of one cell, `(1, *shape)`."""
    values = np.zeros((1, *shape), np.float32)
    values[0, *cell] = 1
    return values


@pytest.mark.parametrize(
    ("cell", "pointing", "exact"),
    [((20, 20), 1, 1), ((20, 19), 1, 0), ((30, 25), 1, 0), ((20, 18), 0, 0), ((31, 25), 0, 0), ((19, 19), 0, 0)],
    ids=["corner", "one left", "one below", "two left", "two below", "one to the side and one up"],
)
def test_a_point_may_be_one_pixel_off_on_64(cell, pointing, exact):
    """Rows and columns 20 to 29 of 64, where 1/64 is one pixel; over the corner it is 1.41."""
    found = locate(one_cell(cell, (64, 64)), pixels((64, 64)), masked(slice(20, 30), slice(20, 30), 64))
    assert (found.pointing[0], found.exact[0]) == (pointing, exact) and found.area[0] == 100 / 4096


@pytest.mark.parametrize(
    ("shape", "margin"),
    [((256, 256), 4), ((64, 128), 2), ((256, 32), 4), ((63, 63), 0), ((100, 100), 1)],
    ids=str,
)  # fmt: skip
def test_the_tolerance_goes_with_the_longer_side(shape, margin):
    mask = np.zeros(shape, bool)
    mask[20:25, 10:20] = True
    near = close(mask)
    assert near[22].nonzero()[0].tolist() == [*range(10 - margin, 20 + margin)]
    assert near[:, 12].nonzero()[0].tolist() == [*range(20 - margin, 25 + margin)]


def test_two_highest_cells_one_of_them_near():
    values = one_cell((20, 19), (64, 64)) + one_cell((20, 20), (64, 64)) + one_cell((0, 0), (64, 64)) + one_cell((63, 63), (64, 64))
    found = locate(values, pixels((64, 64)), masked(slice(20, 30), slice(20, 30), 64))
    assert (found.pointing[0], found.exact[0]) == (0.5, 0.25)


def test_the_mask_may_be_everything():
    values = np.zeros((1, 4, 4), np.float32)
    values[0, 0, 0] = 1  # placed on 2 x 2 pixels
    found = locate(values, SMALL, np.ones((1, 4, 4), bool))
    assert scores(found)[:5] == pytest.approx([1, 1, 1, 1, 4 / 16]) and found.area.tolist() == [1]


def test_empty_maps_and_empty_masks_have_no_score():
    maps = np.stack([np.zeros((4, 4)), -np.ones((4, 4)), np.ones((4, 4)), np.ones((4, 4))])
    masks = np.stack([np.eye(4, dtype=bool)] * 3 + [np.zeros((4, 4), bool)])
    found = locate(maps, SMALL, masks)
    assert found.empty.tolist() == [True, True, False, False] and found.area.tolist() == [0.25, 0.25, 0.25, 0]
    for name in (*METRICS, "half"):
        assert np.isnan(getattr(found, name)).tolist() == [True, True, False, True]


def test_mass_outside_the_image_does_not_count():
    """Two columns of cells, the left one wholly outside: only what is inside is shared out; a map of the outside alone has no score."""
    where = Placement(Axis(2.0, 1.0), Axis(8.0, -8.0), (2, 2), (4, 4))  # centres at x = -8 and 0
    inside, outside = np.zeros((2, 2, 2), np.float32)
    inside[0], outside[:, 0] = [9, 1], 1
    found = locate(np.stack([inside, outside]), where, np.concatenate([masked(slice(0, 2), slice(None))] * 2))
    alone = locate(np.array([[[0, 1], [0, 0]]]), where, masked(slice(0, 2), slice(None)))
    assert found.mass_accuracy[0] == pytest.approx(alone.mass_accuracy[0]) and found.pointing[0] == 1  # the nearest pixel is on the mask
    assert np.isnan(scores(found, 1)).all() and not found.empty[1]


def test_as_many_masks_as_maps():
    with pytest.raises(ValueError, match="2 maps and 1 masks; expected one mask a map"):
        locate(np.ones((2, 4, 4)), SMALL, np.ones((1, 4, 4), bool))


# Against slow twins


def by_orders(values, mask):
    """Return the share of the K highest on the mask, averaged over all orders of the pixels."""
    count = int(mask.sum())
    hits = [mask[np.array(order)][np.argsort(-values[np.array(order)], kind="stable")[:count]].sum() for order in permutations(range(values.size))]
    return np.mean(hits) / count


@given(st.lists(st.integers(0, 2), min_size=5, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5).filter(any))
def test_rank_is_the_mean_over_all_orders_of_ties(values, mask):
    values, mask = np.array(values, np.float32), np.array(mask)
    assert ranked(np.sort(values[values > 0]), values[mask], 5) == pytest.approx(by_orders(values, mask), abs=1e-6)


def slowly(values, placement, mask):
    """Return mass accuracy, rank accuracy, IoU and half area by loops over thresholds and pixels."""
    placed = placement.place(np.maximum(values, 0) / values.max(), mask.shape).astype(np.float64)
    order = np.argsort(-placed, axis=None)
    chances = [(mask.sum() - (placed > value).sum()) / (placed == value).sum() for value in placed[mask]]  # of being among the highest
    tried = [jaccard_score(mask.ravel(), placed.ravel() >= threshold) for threshold in np.unique(placed[placed > 0])]
    needed, sum_of_them = 0, 0.0
    while sum_of_them < placed.sum() / 2:
        sum_of_them += placed.ravel()[order[needed]]
        needed += 1
    return [placed[mask].sum() / placed.sum(), np.clip(chances, 0, 1).mean(), max(tried), needed / mask.size]


@pytest.mark.parametrize(
    "placement",
    [pixels((12, 10)), Placement(Axis(3.0, 2.0), Axis(2.5, -1.0), (4, 5), (12, 10)), Placement(Axis(4.0, 6.0), Axis(4.0, 4.0), (2, 2), (12, 10))],
    ids=["pixels", "strided", "unpadded"],
)
def test_slow_twins(placement):
    rng = np.random.default_rng(1)
    maps = rng.standard_normal((12, *placement.cells)).astype(np.float32)
    maps[:, 0, 0] = np.abs(maps[:, 0, 0]) + 0.1  # none is empty
    masks = np.array([np.roll(masked(slice(0, 4), slice(0, 3), 12)[0, :, :10], shift, (0, 1)) for shift in rng.integers(0, 9, (12, 2)).tolist()])
    found = locate(maps, placement, masks)
    for index in range(12):
        mass, rank, iou, half = slowly(maps[index], placement, masks[index])
        assert scores(found, index)[0] == pytest.approx(mass, abs=1e-5) and found.iou[index] == pytest.approx(iou, abs=1e-6)
        assert found.half[index] == pytest.approx(half, abs=1e-6)
        assert found.rank_accuracy[index] == pytest.approx(rank, abs=1e-6)
        row, column = np.unravel_index(maps[index].argmax(), placement.cells)
        y, x = np.clip(placement.centre((row, column)), 0, (11, 9)).astype(int)
        assert found.pointing[index] == found.exact[index] == masks[index][y, x]  # 12 pixels are too few for a tolerance


def test_the_tolerance_is_a_distance():
    mask = np.random.default_rng(0).random((80, 130)) > 0.995
    far = cdist(np.argwhere(np.ones_like(mask)), np.argwhere(mask)).min(1).reshape(mask.shape)
    assert np.array_equal(close(mask), far <= 130 * TOLERANCE) and mask.sum() < close(mask).sum() < mask.size


# What they mean


@pytest.fixture(scope="module")
def blind():
    """400 maps and 400 masks of 48 of 576 pixels that know nothing of each other."""
    rng = np.random.default_rng(0)
    masks = np.array([np.roll(masked(slice(0, 6), slice(0, 8), 24)[0], shift, (0, 1)) for shift in rng.integers(0, 24, (400, 2)).tolist()])
    return rng.standard_normal((400, 24, 24)).astype(np.float32), masks


@pytest.mark.parametrize("positive", [False, True])
def test_random_maps_score_as_chance(blind, positive):
    """The area share, 1/12; a point hits or misses, so its mean is known to 0.014. The best of all thresholds adds little."""
    maps, masks = blind
    found = locate(np.abs(maps) if positive else maps, pixels((24, 24)), masks)
    assert found.mass_accuracy.mean() == pytest.approx(1 / 12, abs=0.003)
    assert found.rank_accuracy.mean() == pytest.approx(1 / 12, abs=0.01)
    assert found.pointing.mean() == found.exact.mean() == pytest.approx(1 / 12, abs=0.045)
    assert 1 / 12 <= found.iou.mean() <= 1 / 12 + 0.04


def test_the_tolerance_raises_the_chance_of_a_hit():
    """One row of eight is the mask: with its margin three are, which is the chance of a point; a strict one has 1/8. Known to 0.02."""
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 4::8] = True
    where = pixels((64, 64))
    found = locate(np.random.default_rng(0).standard_normal((600, 64, 64)).astype(np.float32), where, mask.repeat(600, 0))
    assert close(mask[0]).mean() == 3 / 8 and (found.area == 1 / 8).all() and (found.pointing >= found.exact).all()
    assert found.pointing.mean() == pytest.approx(3 / 8, abs=0.06) and found.exact.mean() == pytest.approx(1 / 8, abs=0.045)
    even = locate(np.ones((1, 64, 64)), where, mask)  # a constant map is exactly at chance
    assert (even.pointing[0], even.exact[0]) == (3 / 8, 1 / 8)


def test_what_was_planted_scores_best(blind):
    """The mask itself, clean or with noise, beats the mask shifted, blurred, turned round and noise alone, on every measure."""
    noise, masks = blind
    where = pixels((24, 24))
    truth = masks.astype(np.float32)
    others = {"shifted": np.roll(truth, 4, 2), "inverted": 1 - truth, "noise": noise, "even": np.ones_like(truth)}
    best = locate(truth, where, masks)
    assert best.rank_accuracy.min() == best.exact.min() == best.iou.min() == 1 and best.mass_accuracy.min() > 0.75
    noisy = locate(truth + 0.1 * noise, where, masks)
    for name, maps in others.items():
        worse = locate(maps, where, masks)
        for metric in METRICS:
            assert getattr(best, metric).mean() > getattr(worse, metric).mean(), (name, metric)
            assert getattr(noisy, metric).mean() > getattr(worse, metric).mean(), (name, metric)
    assert best.half.max() < 0.05 and noisy.half.mean() < locate(noise, where, masks).half.mean()


def test_only_what_is_positive_counts_and_its_scale_does_not(blind):
    maps, masks = (values[:20] for values in blind)
    found = [scores(locate(maps, pixels((24, 24)), masks), index) for index in range(20)]
    for changed in (np.maximum(maps, 0), 3 * maps, 1e-30 * maps, 1e30 * maps, np.where(maps < 0, 100 * maps, maps)):
        again = locate(changed, pixels((24, 24)), masks)
        assert np.allclose([scores(again, index) for index in range(20)], found, atol=1e-5)


def test_one_at_a_time_is_as_all_at_once(blind):
    maps, masks = (values[:20] for values in blind)
    found = locate(maps, pixels((24, 24)), masks)
    for index in range(20):
        alone = locate(maps[index : index + 1], pixels((24, 24)), masks[index : index + 1])
        assert scores(alone) == scores(found, index)


def test_masks_of_another_resolution(blind):
    """Twice the size: the same region, nearly the same scores; pointing is exactly the same."""
    maps, masks = (values[:50] for values in blind)
    where = pixels((24, 24))
    found, finer = locate(maps, where, masks), locate(maps, where, masks.repeat(2, 1).repeat(2, 2))
    assert np.array_equal(found.pointing, finer.pointing) and np.array_equal(found.area, finer.area)
    assert np.allclose(found.mass_accuracy, finer.mass_accuracy, atol=0.01)
