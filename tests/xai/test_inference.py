"""Intervals and tests for tables: by hand, against SciPy and the bootstrap, and how often they are right."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.coverage import SHARES, familywise, familywise_difference, simulate, simulate_difference, simulate_ratio
from xai.inference import difference_interval, difference_test, mean_interval, mean_test, ratio_interval, share_interval
from xai.multiple import benjamini_hochberg, holm, needed, welch_map
from xai.permutation import permutation_test

BETA = SHARES["Beta(1, 20)"][0]


def half(rng, shape):
    """Return Beta(1, 20), half of it missing."""
    return np.where(rng.random(shape) < 0.5, np.nan, BETA(rng, shape))


SYMMETRIC = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])


@pytest.fixture(scope="module")
def table():
    """30 images by 6 columns of skewed shares, some missing in columns 2 to 5, and which images are fake."""
    rng = np.random.default_rng(0)
    values = rng.beta(1, 20, (30, 6))
    values[rng.random(values.shape) < [0, 0, 0.1, 0.3, 0.3, 0.6]] = np.nan
    return values, np.arange(30) % 3 > 0


CALLS = {
    "mean_interval": lambda values, group: mean_interval(values),
    "mean_test": lambda values, group: mean_test(values, 0.04),
    "ratio_interval": lambda values, group: ratio_interval(values, np.linspace(0.01, 0.1, len(group))[:, None] + 0 * values),
    "difference_interval": lambda values, group: difference_interval(values, group),
    "difference_test": lambda values, group: difference_test(values, group),
    "permutation_test": lambda values, group: permutation_test(values, group, 500),
}


class TestEveryFunction:
    @pytest.mark.parametrize("name", CALLS)
    def test_columns_do_not_know_each_other(self, table, name):
        values, group = table
        whole = np.atleast_2d(CALLS[name](values, group))
        for column in range(values.shape[1]):
            alone = np.atleast_2d(CALLS[name](values[:, [column]], group))
            assert alone[:, 0] == pytest.approx(whole[:, column], rel=1e-9), column

    @pytest.mark.parametrize("name", [name for name in CALLS if name not in ("ratio_interval", "permutation_test")])
    def test_nan_is_as_if_the_row_were_not_there(self, table, name):
        values, group = table
        whole = np.atleast_2d(CALLS[name](values, group))
        for column in range(values.shape[1]):
            rows = ~np.isnan(values[:, column])
            assert np.atleast_2d(CALLS[name](values[rows][:, [column]], group[rows]))[:, 0] == pytest.approx(whole[:, column], rel=1e-9)

    @pytest.mark.parametrize("name", CALLS)
    def test_nothing_to_go_by(self, name):
        """A column without values, one with a single one, and no columns at all."""
        values = np.full((6, 2), np.nan)
        values[2, 1] = 0.3
        found = np.atleast_2d(CALLS[name](values, np.arange(6) > 2))
        assert np.isnan(found[:, 0]).all() and np.isnan(found[1:, 1]).all()
        assert np.atleast_2d(CALLS[name](values[:, :0], np.arange(6) > 2)).shape[1] == 0

    @pytest.mark.parametrize("name", CALLS)
    def test_one_column_must_be_a_column(self, name):
        with pytest.raises(ValueError, match=r"must be \(images, columns\), got shape \(3,\)"):
            CALLS[name](np.ones(3), np.ones(3, bool))


class TestMean:
    def test_without_skewness_it_is_students_t(self):
        mean, low, high = mean_interval(SYMMETRIC)
        half = 2.776445 * np.sqrt(2.5 / 5)  # t(0.975) of 4 degrees, variance 2.5
        assert (mean.item(), low.item(), high.item()) == pytest.approx((3, 3 - half, 3 + half))
        assert mean_test(SYMMETRIC, 1) == pytest.approx(stats.ttest_1samp(SYMMETRIC, 1).pvalue)

    def test_by_hand(self):
        """0, 0, 3: mean 1, variance 3, standard error 1, third cumulant of the mean 3 · 6 / (2 · 1) / 9 = 1."""
        values = np.array([[0.0], [0.0], [3.0]])
        t = 1 + 1 / 3 + 1 / 27 + 1 / 6
        assert mean_test(values) == pytest.approx(2 * stats.t.sf(t, 2))
        _, low, high = mean_interval(values)
        q = 4.302653  # t(0.975) of 2 degrees
        ends = [1 - 3 * (np.cbrt(1 + x - 1 / 6) - 1) for x in (q, -q)]
        assert (low.item(), high.item()) == pytest.approx(ends)

    @settings(max_examples=50)
    @given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.sampled_from([0.5, 0.95, 0.99]))
    def test_the_end_is_where_the_test_turns(self, seed, count, level):
        values = np.random.default_rng(seed).lognormal(size=(count, 3)) * [1, 1000, -1]
        for end in mean_interval(values, level)[1:]:
            p = [mean_test(values[:, [column]], end[column]).item() for column in range(3)]
            assert p == pytest.approx([1 - level] * 3)

    def test_near_the_bootstrap(self):
        values = np.random.default_rng(0).beta(1, 20, (200, 1))
        _, low, high = mean_interval(values)
        bca = stats.bootstrap((values[:, 0],), np.mean, method="BCa", rng=np.random.default_rng(0)).confidence_interval
        assert (low.item(), high.item()) == pytest.approx(tuple(bca), abs=0.15 * (bca.high - bca.low))
        assert high + low > 2 * values.mean()  # the long tail is the upper one

    def test_all_equal(self):
        values = np.array([[0.1, 0.0], [0.1, 0.0], [0.1, 0.0]])
        mean, low, high = mean_interval(values)
        assert mean == pytest.approx([0.1, 0]) and (low == mean).all() and (high == mean).all()
        assert np.isnan(mean_test(values)).all()

    def test_bounds(self):
        _, low, high = mean_interval(np.array([[0.0], [0.0], [0.9]]), bounds=(0, 1))
        assert (low.item(), high.item()) == (0, 1)


class TestRatio:
    def test_over_a_constant_it_is_the_mean(self):
        values = np.random.default_rng(0).beta(1, 20, (40, 2))
        for ratio, mean in zip(ratio_interval(values, np.full_like(values, 0.25)), mean_interval(values), strict=True):
            assert ratio == pytest.approx(mean * 4, rel=1e-9)

    def test_the_end_is_where_the_test_turns(self):
        rng = np.random.default_rng(0)
        bottom = rng.beta(2, 10, (25, 3))
        top = bottom * rng.lognormal(size=bottom.shape)
        ratio, low, high = ratio_interval(top, bottom)
        assert ratio == pytest.approx(top.sum(0) / bottom.sum(0)) and (low < ratio).all() and (high > ratio).all()
        for end in (low, high):
            assert [mean_test((top - end * bottom)[:, [column]]).item() for column in range(3)] == pytest.approx([0.05] * 3, abs=1e-6)

    def test_absent_images_say_nothing(self):
        top, bottom = np.array([[0.1], [0.3], [0.2], [0.4]]), np.array([[0.1], [0.1], [0.2], [0.3]])
        padded = [np.concatenate([part, [[0.0], [0.0], [gap]]]) for part, gap in ((top, np.nan), (bottom, 0.5))]
        assert np.array(ratio_interval(*padded)) == pytest.approx(np.array(ratio_interval(top, bottom)))

    def test_one_ratio_for_all_and_none_at_all(self):
        bottom = np.array([[0.1, 0.0], [0.2, 0.0], [0.4, 0.0]])
        ratio, low, high = ratio_interval(3 * bottom, bottom)
        assert ratio[0] == pytest.approx(3) and low[0] == ratio[0] == high[0]
        assert np.isnan([ratio[1], low[1], high[1]]).all()
        assert [part.item() for part in ratio_interval(0 * bottom[:, :1], bottom[:, :1])] == [0, 0, 0]

    def test_a_bottom_that_may_be_nothing_has_no_upper_end(self):
        bottom = np.array([[0.0], [0.0], [0.0], [0.1]])
        top = np.array([[0.1], [0.1], [0.3], [0.2]])
        assert np.isinf(ratio_interval(top, bottom)[2]) and ratio_interval(top, bottom, bounds=(0, 50))[2] == 50


class TestDifference:
    def test_without_skewness_it_is_welchs(self):
        values = np.concatenate([SYMMETRIC * 2 + 1, SYMMETRIC[1:4]])
        group = np.arange(8) < 5
        known = stats.ttest_ind(values[group], values[~group], equal_var=False)
        expected = known.confidence_interval()
        found = difference_interval(values, group)
        assert np.array(found).ravel() == pytest.approx([4, expected.low.item(), expected.high.item()])
        assert difference_test(values, group) == pytest.approx(known.pvalue)

    def test_the_end_is_where_the_test_turns(self, table):
        values, group = table
        for end in difference_interval(values, group)[1:]:
            assert difference_test(values - end * group[:, None], group) == pytest.approx(np.full(6, 0.05))

    def test_sides_may_be_swapped(self, table):
        values, group = table
        value, low, high = difference_interval(values, group)
        assert np.array(difference_interval(values, ~group)) == pytest.approx(-np.array([value, high, low]))

    def test_a_constant_group_leaves_the_other_ones_mean(self):
        values = np.concatenate([np.full((5, 1), 0.5), np.random.default_rng(0).beta(1, 20, (9, 1))])
        _, low, high = difference_interval(values, np.arange(14) >= 5)
        assert (low.item() + 0.5, high.item() + 0.5) == pytest.approx([end.item() for end in mean_interval(values[5:])[1:]])
        assert [part.item() for part in difference_interval(np.array([[1.0], [1], [3], [3]]), np.arange(4) > 1)] == [2, 2, 2]

    @pytest.mark.parametrize("group", [np.ones(3, bool), np.array([0, 1, 1, 0]), np.ones((4, 1), bool)], ids=["short", "numbers", "table"])
    def test_the_group_is_bool_and_one_per_image(self, group):
        for call in (difference_interval, permutation_test):
            with pytest.raises(ValueError, match=r"group must be bool, one per image \(4,\), got"):
                call(np.ones((4, 2)), group)


class TestPermutation:
    def test_against_every_permutation(self):
        """Nine images, three in the group: all 84 ways."""
        values = np.array([0.1, 0.3, 0.2, 1.5, 0.9, 2.5, 0.4, 0.8, 0.35])
        group = np.isin(np.arange(9), [3, 5, 7])

        def welch(members):
            inside = np.isin(np.arange(9), members)
            return abs(stats.ttest_ind(values[inside], values[~inside], equal_var=False).statistic)

        exact = np.mean([welch(members) >= welch([3, 5, 7]) - 1e-12 for members in combinations(range(9), 3)])
        assert 0.01 < exact < 0.2
        # alone; then with NaN besides: half of them in the group, all, none
        columns = [values, *(np.concatenate([values, np.full(16, np.nan)]) for _ in range(3))]
        groups = [group, *(np.concatenate([group, np.arange(16) < members]) for members in (8, 16, 0))]
        for column, labels in zip(columns, groups, strict=True):
            # a column stops after 100 hits: one sigma is a tenth
            assert permutation_test(column[:, None], labels, 20_000) == pytest.approx(exact, rel=0.25)

    def test_missing_images_side_by_side(self):
        """Columns that lack different images, each as near its p without them as two draws of 100 hits are."""
        rng = np.random.default_rng(0)
        group = np.arange(60) < 20
        values = rng.beta(1, 20, (60, 4)) + 0.03 * group[:, None]
        values[rng.random(values.shape) < np.where(group[:, None], [0, 0.5, 0, 0.3], [0, 0, 0.7, 0.3])] = np.nan
        for column, p in enumerate(permutation_test(values, group, 20_000)):
            rows = ~np.isnan(values[:, column])
            alone = permutation_test(values[rows][:, [column]], group[rows], 20_000, seed=1).item()
            assert p == pytest.approx(alone, rel=0.35, abs=2e-4)

    def test_seeded(self, table):
        first, again, other = (permutation_test(*table, 300, seed) for seed in (0, 0, 1))
        assert np.array_equal(first, again) and not np.array_equal(first, other)

    def test_small_p(self):
        group = np.arange(60) < 30
        values = np.random.default_rng(0).normal(size=(60, 1)) + 5 * group[:, None]
        assert permutation_test(values, group).item() == 1 / 10_000  # none of 9,999 reached it
        assert permutation_test(np.repeat(values, 500, 1), group).max() == 1 / 20_001 < 0.05 / 500

    def test_no_spread(self):
        assert np.isnan(permutation_test(np.ones((8, 1)), np.arange(8) > 3)).all()
        two = np.repeat([[0.0], [1.0]], 3, axis=0)  # each side constant: 2 of the 20 ways are as extreme
        assert permutation_test(two, np.arange(6) > 2, 5000).item() == pytest.approx(0.1, rel=0.3)


class TestShare:
    def test_equals_scipy(self):
        hits, counts = np.array([0, 1, 9, 10]), np.array([10, 10, 10, 10])
        share, low, high = share_interval(hits, counts)
        for k, (right, count) in enumerate(zip(hits.tolist(), counts.tolist(), strict=True)):
            known = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
            assert (share[k], low[k], high[k]) == pytest.approx((right / count, known.low, known.high))

    def test_no_trials(self):
        assert np.isnan(np.array(share_interval(np.array([0]), np.array([0])))).all()


class TestMultiple:
    def test_holm_by_hand(self):
        assert holm(np.array([[0.01, 0.02], [np.nan, 0.03]])) == pytest.approx(np.array([[0.03, 0.04], [np.nan, 0.04]]), nan_ok=True)
        assert holm(np.array([0.9, 0.6])).tolist() == [1, 1] and holm(np.array([])).size == 0

    @settings(max_examples=30)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    def test_false_discoveries_as_scipy(self, p):
        assert benjamini_hochberg(np.array(p)) == pytest.approx(stats.false_discovery_control(p))
        assert benjamini_hochberg(np.array([*p, np.nan]))[:-1] == pytest.approx(stats.false_discovery_control(p))

    def test_needed_by_hand(self):
        # (1.96 + 0.84)² · (0.1 / 0.2)² · 50 + 1.96² / 2 = 98.1 + 1.9, rounded up
        assert needed(50, 1.2, 0.1, 1, 1) == needed(50, 0.8, 0.1, 1, 1) == 101
        assert needed(50, 0.8, 0.1, supported_above=0.5, refuted_below=1) == needed(50, 0.8, 0.1, 0.5, 0.5)  # 0.3 beyond is nearer than 0.2
        assert needed(50, 1.2, 0, 1, 1) == 2

    def test_what_no_number_of_images_decides(self):
        for value, error in ((1.0, 0.1), (np.nan, 0.1), (1.2, np.nan)):
            assert needed(50, value, error, 1, 1) is None
        assert needed(50, 1.0, 0.1, supported_above=1.1, refuted_below=0.9) is None

    def test_needed_decides_four_times_in_five(self):
        images = needed(20, 0.5, 1 / np.sqrt(20), 0, 0)  # a standard normal shifted by half its deviation
        values = np.random.default_rng(0).normal(0.5, 1, (images, 4000))
        assert (mean_interval(values)[1] > 0).mean() == pytest.approx(0.8, abs=0.02)

    def test_map_equals_scipy(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(7, 3, 4)), rng.normal(0.5, 3, (12, 3, 4))
        moments = (a.mean(0), a.var(0, ddof=1), np.full((3, 4), 7), b.mean(0), b.var(0, ddof=1), 12)
        assert welch_map(*moments) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)

    def test_map_without_variance_or_images(self):
        one = np.ones(3)
        assert np.isnan(welch_map(one, one * [0, 1, 1], one * [5, 1, 5], one, one * [0, 1, 1], one * [5, 5, 0])).all()


class TestRight:
    """Simulated data sets with a known truth; more of them, and the rivals, by `python -m benchmarks.coverage`."""

    @pytest.mark.parametrize("name", SHARES)
    def test_coverage(self, name):
        """300 data sets: noise of 2.5 points (two sigma)."""
        for count in (20, 100):
            assert 0.93 - 0.025 <= simulate(*SHARES[name], count, 300)["ours"] <= 0.97 + 0.025

    def test_families(self):
        """100 tables: noise of 4.4 points (two sigma)."""
        assert familywise(BETA, 1 / 21, 200, 100)["ours"] <= 0.05 + 0.044 < familywise(BETA, 1 / 21, 200, 100)["t"]
        assert familywise_difference(BETA, BETA, (10, 30), 100, cells=20, resamples=999)["permutation"] <= 0.05 + 0.044

    @pytest.mark.slow
    @pytest.mark.parametrize("count", [20, 40, 100, 400])
    def test_coverage_of_many(self, count):
        """20,000 data sets: noise of 0.3 points (two sigma)."""
        found = {name: simulate(draw, truth, count, 20_000)["ours"] for name, (draw, truth) in SHARES.items()}
        found |= {f"density, absent in {absent}": simulate_ratio(count, 20_000, absent) for absent in (0.0, 0.3)}
        found["difference"] = simulate_difference(BETA, BETA, 0, (count, count), 20_000)
        assert all(0.93 <= held <= 0.97 for held in found.values()), found

    @pytest.mark.slow
    def test_families_of_many(self):
        """2,000 tables of 300 cells: noise of 1.5 points (three sigma)."""
        found = {f"{name}, {count}": familywise(*SHARES[name], count, 2000)["ours"] for name in ("Beta(1, 20)", "pairs") for count in (100, 400)}
        found["permutations"] = familywise_difference(BETA, BETA, (20, 60), 2000)["permutation"]
        found["permutations, half of the group is NaN"] = familywise_difference(half, BETA, (40, 60), 2000, cells=10, resamples=999)["permutation"]
        assert all(rate <= 0.05 + 0.015 for rate in found.values()), found


@pytest.mark.parametrize("count", [8, 20, 40, 100])
def test_strict_tests_hold_over_a_table(count):
    """300 cells of skewed shares without any effect: a false alarm in at most one table of twenty, and little more of noise."""
    from xai.multiple import holm

    rng = np.random.default_rng(count)
    tables = rng.beta(1, 20, (count, 60 * 300)) - 1 / 21
    p = mean_test(tables, strict=True)
    assert sum((holm(table) <= 0.05).any() for table in p.reshape(60, 300)) <= 6
    assert (p >= mean_test(tables) - 1e-12).all()
    group = np.arange(count) < count // 2
    assert (difference_test(tables, group, strict=True) >= difference_test(tables, group) - 1e-12).all()
