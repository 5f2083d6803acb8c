"""Counts of values: quantiles, shares and histograms that merge exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.counts import BUCKETS, FEW, TOGETHER, Counts, spans
from xai.errors import DataError, RunError

SHARES = (0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1)


def drawn(kind, count=20_000):
    """Values of many kinds, float32."""
    rng = np.random.default_rng(0)
    values = {
        "normal": lambda: rng.normal(size=count),
        "lognormal": lambda: rng.lognormal(0, 3, count),
        "tiny": lambda: rng.lognormal(-70, 3, count),  # about 1e-31
        "mixed": lambda: rng.normal(size=count) ** 7 * rng.choice([0, 1, 1e-5, 1e5], count),
        "constant": lambda: np.full(count, -0.3),
        "few": lambda: rng.choice([1.0, 2.0, 1e6], 7),
    }[kind]()
    return values.astype(np.float32)


KINDS = ("normal", "lognormal", "tiny", "mixed", "constant", "few")


def same(one, two):
    """Say whether two counts are the same."""
    return all(np.array_equal(one.arrays()[name], two.arrays()[name]) for name in ("buckets", "counts"))


class TestCounts:
    def test_by_hand(self):
        counts = Counts.of(np.float32([[1, 1.0078125, -1], [0, -0.0, np.nan], [np.inf, -np.inf, 1.001]]))
        assert (len(counts), counts.positive, counts.negative, counts.zero, counts.broken) == (6, 3, 1, 2, 3)
        # 1 is 0x3F80....; the next bucket begins at 1 + 2^-7
        assert counts.arrays()["buckets"].tolist() == [0, 0x3F80, 0x3F81, 0x7F80, 0x7FC0, 0x8000, 0xBF80, 0xFF80]
        assert counts.arrays()["counts"].tolist() == [1, 2, 1, 1, 1, 1, 1, 1]
        assert [counts.quantile(share) for share in (0, 0.5, 0.51, 1)] == [-1.00390625, 0, 1.00390625, 1.01171875]
        assert counts.quantile(0.5, positive=True) == 1.00390625
        assert counts.share_above(0) == 0.5 and counts.share_above(-5) == 1 and counts.share_above(5) == 0

    @pytest.mark.parametrize("kind", KINDS)
    def test_quantiles_are_within_their_bound(self, kind):
        values = drawn(kind)
        counts = Counts.of(values)
        for share in SHARES:
            true = float(np.quantile(values, share, method="inverted_cdf"))
            assert abs(counts.quantile(share) - true) <= abs(true) / 256
            if (values > 0).any():
                true = float(np.quantile(values[values > 0], share, method="inverted_cdf"))
                assert abs(counts.quantile(share, positive=True) - true) <= true / 256

    @pytest.mark.parametrize("kind", KINDS)
    def test_shares_are_within_the_share_of_a_bucket(self, kind):
        values = drawn(kind)
        counts = Counts.of(values)
        assert counts.share_above(0) == (values > 0).mean()
        for value in (*np.quantile(values, SHARES), -1e30, -1e-6, 1e-6, 1e30):
            own = np.abs(values / value - 1) <= 1 / 127 if value else values == 0
            assert abs(counts.share_above(float(value)) - (values > value).mean()) <= own.mean()

    @pytest.mark.parametrize("kind", KINDS)
    def test_histogram(self, kind):
        values = drawn(kind)
        low, high = float(values.min()), float(values.max())
        edges = np.linspace(low - abs(low) / 100, high + abs(high) / 100 + 1e-30, 20)
        found, true = Counts.of(values).histogram(edges), np.histogram(values, edges)[0]
        assert found.sum() == pytest.approx(len(values)) and (found >= 0).all()
        cut = [np.sum(np.abs(values / edge - 1) <= 1 / 127) for edge in edges]
        assert (np.abs(found - true) <= np.add(cut[1:], cut[:-1]) + 1e-6).all()

    def test_histogram_at_zero(self):
        counts = Counts.of(np.float32([-1, 0, 0, 1]))
        assert counts.histogram([-2, 0]).tolist() == [3] and counts.histogram([0, 2]).tolist() == [3]
        assert counts.histogram([-2, 0, 2]).tolist() == [1, 3]

    def test_fifty_shardings_in_any_order_are_one_pass(self):
        rng = np.random.default_rng(1)
        values = np.concatenate([drawn(kind) for kind in KINDS] + [np.float32([np.nan, np.inf, 1e-45])])
        whole = Counts.of(values)
        for _ in range(50):
            shards = [Counts() for _ in range(rng.integers(1, 12))]
            for part in np.array_split(rng.permutation(values), rng.integers(1, 12)):
                shards[rng.integers(len(shards))].add(part)
            while len(shards) > 1:
                one, two = (shards.pop(rng.integers(len(shards))) for _ in range(2))
                shards.append(one.merge(Counts.read(two.arrays())))
            assert same(shards[0], whole) and shards[0].quantile(0.3) == whole.quantile(0.3)

    @given(st.lists(st.floats(width=32), max_size=30), st.lists(st.floats(width=32), max_size=30))
    def test_every_value_is_counted_once(self, a, b):
        one, two = Counts.of(np.array(a, np.float32)), Counts.of(np.array(b, np.float32))
        both = one.merge(two)
        assert same(both, two.merge(one)) and same(both, Counts.of(np.array(a + b, np.float32)))
        assert len(both) + both.broken == len(a) + len(b)
        assert both.positive + both.zero + both.negative == len(both)
        assert (both.quantile(0.5) == both.quantile(0.5)) == bool(len(both))  # NaN without values

    def test_small_and_large_counts_agree(self):
        values = np.random.default_rng(0).normal(size=TOGETHER + FEW + 5).astype(np.float32)
        counts = Counts.of(values.reshape(-1, 1))
        assert np.array_equal(counts.tally, np.bincount(values.view(np.uint32) >> 16, minlength=BUCKETS))

    def test_smallest_and_largest_values(self):
        largest = float(np.finfo(np.float32).max)
        counts = Counts.of(np.array([1e-45, -1e-41, 2.0**-133, 2.0**-126, largest, -largest, 1e39]))
        assert (counts.zero, counts.positive, counts.negative, counts.broken) == (2, 3, 1, 1)
        assert counts.quantile(1) == pytest.approx(largest, rel=1 / 256) and counts.quantile(0) == -counts.quantile(1)
        assert counts.quantile(0, positive=True) == pytest.approx(2.0**-133, abs=2.0**-134)

    def test_buckets_follow_each_other(self):
        lows, highs = spans()
        assert (lows[1:] >= highs[:-1]).all() and (lows <= highs).all()
        middles = ((lows + highs) / 2).astype(np.float32)
        tally = Counts.of(middles).ordered()
        assert (tally == 1).all()

    def test_nothing_counted(self):
        counts = Counts()
        assert len(counts) == 0 and np.isnan(counts.quantile(0.5)) and np.isnan(counts.share_above(0))
        assert counts.histogram([0, 1]).tolist() == [0] and same(Counts.read(counts.arrays()), counts)
        assert np.isnan(Counts.of(np.float32([-1, 0])).quantile(0.5, positive=True))

    def test_errors(self):
        counts = Counts.of(np.float32([1, 2]))
        for share in (-0.1, 1.1, np.nan):
            with pytest.raises(DataError, match="from 0 to 1"):
                counts.quantile(share)
        for edges in ([1], [1, 1], [2, 1], [0, np.inf], [[0, 1]]):
            with pytest.raises(DataError, match="edges"):
                counts.histogram(edges)
        with pytest.raises(RunError, match="lacks the counts"):
            Counts.read({"buckets": np.zeros(0, np.uint16)})
        for buckets, numbers in (([1, 2], [3]), ([BUCKETS], [1]), ([-1], [1]), ([1], [-1])):
            with pytest.raises(RunError, match="damaged"):
                Counts.read({"buckets": np.array(buckets), "counts": np.array(numbers)})
