"""Maps added up in the frame of the mean face; where they lie in it is tested in `test_regions.py`."""

import numpy as np
import pytest

from xai.errors import DataError, RunError
from xai.regions.frame import SIDE, TOGETHER, Sums


def added(maps, seen):
    """The sums of maps `(N, count, 64, 64)`, one after another."""
    sums = Sums.none(maps.shape[1])
    for own, where in zip(maps, seen, strict=True):
        sums.add(own.astype(float), where)
    return sums


def drawn(rng, count=60, kinds=2):
    """Maps of very different strength, and where they are seen."""
    maps = rng.normal(size=(count, kinds, SIDE, SIDE)) * 10.0 ** rng.integers(-30, 30, (count, kinds, 1, 1))
    maps[1::2] = -maps[::2]
    return maps.astype(np.float32), rng.uniform(size=maps.shape) < 0.9


def same(one, two):
    """Say whether all that two sums say is the same, bit for bit."""
    return all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in ("values", "count", "mean", "variance"))


class TestSums:
    def test_by_hand(self):
        maps, seen = np.zeros((3, 1, SIDE, SIDE), np.float32), np.ones((3, 1, SIDE, SIDE), bool)
        maps[:, 0, 0, 0], maps[:, 0, 0, 1] = (1, 3, 8), (5, 7, 100)
        seen[2, 0, 0, 1], seen[1:, 0, 0, 2], seen[:, 0, 0, 3] = False, False, False
        sums = added(maps, seen)
        assert sums.count[0, 0, :4].tolist() == [3, 2, 1, 0]
        assert sums.mean[0, 0, :3].tolist() == [4, 6, 0] and sums.variance[0, 0, :2].tolist() == [13, 2]
        assert np.isnan(sums.mean[0, 0, 3]) and np.isnan(sums.variance[0, 0, 2:4]).all()
        assert sums.of(0).mean.shape == (SIDE, SIDE) and sums.values.shape == (3, 1, SIDE, SIDE)
        assert sums.values[:, 0, 0, 0].tolist() == [3, 12, 74]

    def test_any_order_and_any_merging_is_one_pass(self):
        rng = np.random.default_rng(0)
        maps, seen = drawn(rng)
        whole = added(maps, seen)
        for _ in range(8):
            shards = [added(maps[own], seen[own]) for own in np.array_split(rng.permutation(len(maps)), rng.integers(1, 9))]
            while len(shards) > 1:
                one, two = (shards.pop(rng.integers(len(shards))) for _ in range(2))
                shards.append(one.merge(Sums(two.values)))
            assert same(shards[0], whole) and same(shards[0].of(1), whole.of(1))

    def test_against_numpy(self):
        rng = np.random.default_rng(1)
        maps, seen = rng.normal(3, 1, (2 * TOGETHER + 3, 3, SIDE, SIDE)).astype(np.float32), rng.uniform(size=(2 * TOGETHER + 3, 3, SIDE, SIDE)) < 0.9
        sums, masked = added(maps, seen), np.ma.array(maps.astype(float), mask=~seen)
        assert np.array_equal(sums.count, seen.sum(0))
        assert sums.mean == pytest.approx(masked.mean(0).filled(0), rel=1e-14)
        assert sums.variance == pytest.approx(masked.var(0, ddof=1).filled(0), rel=1e-12)

    def test_what_waits_is_counted(self):
        """Between two batches of `TOGETHER` every number is up to date, and asking changes nothing."""
        maps, seen = drawn(np.random.default_rng(2), TOGETHER + 4)
        one = Sums.none(2)
        for number, (own, where) in enumerate(zip(maps, seen, strict=True)):
            one.add(own.astype(float), where)
            assert one.count.max() <= number + 1 and np.array_equal(one.count, seen[: number + 1].sum(0))
        assert same(one, added(maps, seen))

    def test_a_map_that_is_not_finite_is_left_out(self):
        maps, seen = drawn(np.random.default_rng(3), 4)
        maps[1, 0, 5, 5], maps[2, 0, 0, 0] = np.nan, np.inf
        sums = added(maps, seen)
        assert same(sums.of(0), added(maps[[0, 3]], seen[[0, 3]]).of(0)) and same(sums.of(1), added(maps, seen).of(1))
        assert sums.of(1).count.max() == 4

    def test_equal_maps_do_not_vary(self):
        maps = np.full((50, 1, SIDE, SIDE), 0.1, np.float32)
        assert (added(maps, np.ones(maps.shape, bool)).variance == 0).all()

    def test_the_maps_are_left_as_they_are(self):
        maps, seen = np.ones((1, SIDE, SIDE)), np.zeros((1, SIDE, SIDE), bool)
        Sums.none(1).add(maps, seen)
        assert (maps == 1).all()

    def test_errors(self):
        with pytest.raises(DataError, match="cannot be merged"):
            Sums.none(2).merge(Sums.none(3))
        for values in (
            np.zeros((2, 1, SIDE, SIDE)),
            np.zeros((1, 1, SIDE, 3)),
            np.full((1, 1, SIDE, SIDE), np.nan),
            np.full((3, 1, SIDE, SIDE), np.inf),
        ):
            with pytest.raises(RunError, match="damaged"):
                Sums(values)
