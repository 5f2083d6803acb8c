"""Intervals: by hand, against slow code, and how often they cover a truth that is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from xai import stats


class TestWeights:
    def test_every_draw_has_as_many_of_each_group(self):
        groups = np.array([0, 1, 1, 0, 1])
        (drawn,) = stats.weights(groups, 200, seed=0)
        assert drawn.shape == (200, 5)
        assert (drawn[:, groups == 0].sum(1) == 2).all() and (drawn[:, groups == 1].sum(1) == 3).all()
        assert drawn.mean(0) == pytest.approx(np.ones(5), abs=0.2)

    def test_seeded_and_chunked(self, monkeypatch):
        groups = np.arange(10) % 2
        first, again, other = (next(stats.weights(groups, 30, seed)) for seed in (1, 1, 2))
        assert np.array_equal(first, again) and not np.array_equal(first, other)
        monkeypatch.setattr(stats, "CELLS", 70)
        assert [len(chunk) for chunk in stats.weights(groups, 30, 1)] == [7, 7, 7, 7, 2]

    def test_no_draws(self):
        assert list(stats.weights(np.zeros(3), 0, 0)) == []


class TestRanking:
    @settings(max_examples=30)
    @given(st.integers(0, 2**32 - 1))
    def test_equals_scikit_learn_with_ties_and_weights(self, seed):
        rng = np.random.default_rng(seed)
        logits = np.sort(rng.integers(-4, 4, 20))[::-1].astype(float)  # many ties
        truth = rng.permutation(np.arange(20) % 3 == 0)
        (drawn,) = stats.weights(truth, 3, seed)
        starts = np.flatnonzero(np.diff(logits, prepend=np.inf))
        auc, ap = stats.ranking(drawn, truth, starts)
        for row, area, precise in zip(drawn, auc, ap, strict=True):
            assert area == pytest.approx(roc_auc_score(truth, logits, sample_weight=row))
            assert precise == pytest.approx(average_precision_score(truth, logits, sample_weight=row))

    def test_one_class_has_no_area(self):
        for truth in (np.ones(3, bool), np.zeros(3, bool)):
            auc, ap = stats.ranking(np.ones((1, 3)), truth, np.arange(3))
            assert np.isnan([*auc, *ap]).all()


class TestInterval:
    def test_by_hand(self):
        draws = np.arange(1001.0)
        assert stats.interval(300, draws) == pytest.approx((25, 975))
        assert stats.interval(300, draws, "basic") == pytest.approx((-375, 575))
        assert stats.interval(300, draws, level=0.5) == pytest.approx((250, 750))

    def test_what_is_not_defined(self):
        assert stats.interval(1.0, np.array([np.nan, 1, 2, np.nan])) == pytest.approx((1.025, 1.975))
        assert stats.interval(1.0, np.array([np.nan])) is stats.interval(np.nan, np.ones(3)) is stats.interval(1.0, np.zeros(0)) is None
        assert stats.entry("f1", np.nan, None) == {"f1": None, "f1_interval": None}

    def test_draws_that_never_move_are_no_certainty(self):
        (found,) = stats.bootstrap([lambda drawn: {"right": drawn.mean(1)}], np.zeros(30), 50, 0)
        value, draws = found["right"]
        assert stats.interval(value, draws) == (1, 1)
        shown = stats.entry("right", value, stats.interval(value, draws), lambda: stats.wilson(30, 30))
        assert shown["right_interval"] == pytest.approx([0.886, 1], abs=1e-3) and shown["right_wilson"]

    def test_averaged(self):
        assert stats.averaged([0.5, 0.5], [(0.2, 0.6), (0.1, 0.9)], [0.5, 0.5]) == pytest.approx((0.25, 0.5 + 0.5 * np.hypot(0.1, 0.4)))

    def test_f1_follows_from_a_share(self):
        low, high = stats.wilson(8, 10)
        assert stats.wilson_f1(8, 2) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


class TestCoverage:
    """Simulated sets of 200 images: how often the 95 % interval holds the truth. Noise of 400 trials: 2.2 points (two sigma)."""

    trials, images = 400, 200

    def test_accuracy_and_area(self):
        from scipy.stats import norm

        rng = np.random.default_rng(0)
        truth = np.arange(self.images) % 2 == 0
        # two bell curves: 80 % are on the right side of 0, and the area is Phi(distance / sqrt 2)
        shift = norm.ppf(0.8)
        area = norm.cdf(2 * shift / np.sqrt(2))
        held = np.zeros(2)
        for trial in range(self.trials):
            logits = rng.normal(np.where(truth, shift, -shift))
            order = np.argsort(-logits)
            ranked, right = truth[order], ((logits > 0) == truth)[order].astype(float)
            starts = np.arange(self.images)

            def measures(drawn, ranked=ranked, right=right, starts=starts):
                return {"accuracy": drawn @ right / len(right), "area": stats.ranking(drawn, ranked, starts)[0]}

            (found,) = stats.bootstrap([measures], ranked, 200, trial)
            for k, known in enumerate((0.8, area)):
                low, high = stats.interval(*list(found.values())[k])
                held[k] += low <= known <= high
        assert (held / self.trials >= 0.93 - 0.022).all() and (held / self.trials <= 0.97 + 0.022).all(), held / self.trials

    def test_near_certainty_the_bootstrap_fails_and_wilson_holds(self):
        """At a true accuracy of 0.997 on 200 images, every other set has no error: its draws never move."""
        rng = np.random.default_rng(0)
        right = rng.binomial(200, 0.997, 4000)
        ends = {k: stats.wilson(int(k), 200) for k in np.unique(right)}
        wilson = np.mean([ends[k][0] <= 0.997 <= ends[k][1] for k in right])
        percentile = np.mean([k < 200 for k in right])  # at most: an interval from 1 to 1 never holds it
        assert wilson >= 0.93 and percentile < 0.5


def test_wilson_interval_covers_as_it_says():
    """Simulated accuracies with a known truth of 0.9 on 200 images."""
    draws = np.random.default_rng(0).binomial(200, 0.9, 3000)
    ends = {k: stats.wilson(int(k), 200) for k in np.unique(draws)}
    assert 0.93 <= np.mean([ends[k][0] <= 0.9 <= ends[k][1] for k in draws]) <= 0.97
