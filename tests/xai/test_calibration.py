"""Reliability, ECE and temperature: by hand, in closed form, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from xai.calibration import BINS, LIMITS, at_limit, bins, by_chance, confident, ece, ece_interval, fit_temperature
from xai.detector import score
from xai.metrics import measure


def drawn(count, temperature=1.0, seed=0, spread=2.0):
    """Images whose logits are right when divided by the temperature."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, spread, count)
    return np.where(rng.random(count) < score(true), "fake", "real").tolist(), true * temperature


class TestEce:
    def test_by_hand(self):
        """Four images score 0.9 and three are fake, one scores 0.5 and is real: (4 x |0.9 - 0.75| + 0.5) / 5."""
        logits = np.array([np.log(9)] * 4 + [0.0])
        labels = ["fake", "fake", "fake", "real", "real"]
        assert ece(labels, logits) == pytest.approx((4 * 0.15 + 0.5) / 5)
        curve = measure(labels, logits)["calibration"]["curve"]
        assert [(b["count"], b["score"], b["fake"]) for b in curve] == [(1, 0.5, 0), (4, pytest.approx(0.9), 0.75)]

    def test_curve_equals_scikit_learn(self):
        labels, logits = drawn(500, 1.7)
        found = measure(labels, logits, resamples=20)["calibration"]
        shares, means = calibration_curve(np.array(labels) == "fake", score(logits), n_bins=BINS)
        assert [b["fake"] for b in found["curve"]] == pytest.approx(shares.tolist())
        assert [b["score"] for b in found["curve"]] == pytest.approx(means.tolist())
        assert found["ece"] == pytest.approx(sum(b["count"] / 500 * abs(b["fake"] - b["score"]) for b in found["curve"]))
        assert found["ece"] == pytest.approx(ece(labels, logits))
        assert found["nll"] == pytest.approx(log_loss(np.array(labels) == "fake", score(logits)))
        assert found["brier"] == pytest.approx(brier_score_loss(np.array(labels) == "fake", score(logits)))

    def test_scores_of_exactly_zero_and_one(self):
        assert ece(["fake", "real"], np.array([800.0, -800.0])) == 0
        assert ece(["real", "fake"], np.array([800.0, -800.0])) == 1
        assert bins(np.array([0, 1 / 15 + 1e-9, 1])).tolist() == [0, 1, 14]

    def test_few_images_always_show_some(self):
        """Perfectly calibrated: what is measured lies where chance alone puts it, and shrinks as 1 / sqrt(images)."""
        measured = [ece(*drawn(200, seed=seed)) for seed in range(60)]
        expected = by_chance(score(drawn(200)[1]), 300, 0)
        assert np.mean(measured) == pytest.approx(expected.mean(), rel=0.1) and expected.mean() > 0.05
        assert by_chance(score(drawn(3200)[1]), 50, 0).mean() == pytest.approx(expected.mean() / 4, rel=0.15)

    def test_interval_covers_where_percentiles_do_not(self):
        """Logits three times too large, 400 images; the true ECE from 400,000. Noise of 60 trials: 8 points."""
        true = ece(*drawn(400_000, 3.0, seed=99))
        kept = calibrated = 0
        for seed in range(60):
            ends = measure(*drawn(400, 3.0, seed), resamples=150)["calibration"]["ece_interval"]
            kept += ends[0] <= true <= ends[1]
            calibrated += measure(*drawn(200, 1.0, seed), resamples=150)["calibration"]["ece_interval"][0] == 0
        assert kept >= 49 and calibrated >= 53

    def test_interval_by_hand(self):
        draws, chance = np.linspace(0.2, 0.3, 1001), np.full(5, 0.1)
        assert ece_interval(0.2, draws, chance) == pytest.approx((0.4 - 0.2975, 0.4 - 0.2025))
        assert ece_interval(0.09, draws, chance)[0] == 0  # chance alone gives as much
        assert ece_interval(0.2, np.zeros(0), np.zeros(0)) is None


class TestConfident:
    def test_by_hand(self):
        """ln 9 is a score of 0.9 exactly: sure enough."""
        labels = ["fake", "real", "real", "fake", "real"]
        found = measure(labels, np.array([np.log(9) + 1e-9, 5, -5, 2, -2]))["calibration"]["confident"]
        assert (found["count"], found["right"], found["share"], found["accuracy"]) == (3, 2, 0.6, pytest.approx(2 / 3))
        assert [(found[c]["count"], found[c]["right"]) for c in ("real", "fake")] == [(1, 1), (2, 1)]
        assert found["real"]["accuracy_wilson"] and found["real"]["accuracy_interval"][0] == pytest.approx(0.2065, abs=1e-4)

    def test_both_sides_are_the_same(self):
        z = np.random.default_rng(0).normal(0, 3, 100)
        sure, right = confident(z > 0, z)
        mirrored, _ = confident(z < 0, -z)
        assert np.array_equal(sure["fake"], mirrored["real"]) and np.array_equal(right["all"], sure["all"])

    def test_nobody_is_sure(self):
        found = measure(["fake", "real"], np.array([0.1, -0.1]))["calibration"]["confident"]
        assert found["count"] == 0 and found["accuracy"] is found["fake"]["accuracy"] is None


class TestTemperature:
    @pytest.mark.parametrize(("right", "size"), [(3, 2.0), (6, 0.5), (9, 5.0)])
    def test_closed_form(self, right, size):
        """All logits of one size, k of 10 right: the best score is k / 10, so T = size / ln(k / (10 - k))."""
        labels = ["fake"] * 5 + ["real"] * 5
        signs = np.array([1] * 5 + [-1] * 5) * np.where(np.arange(10) < right, 1, -1)
        expected = size / np.log(right / (10 - right)) if right > 5 else LIMITS[1]
        assert fit_temperature(labels, size * signs) == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
    def test_equals_logistic_regression_without_intercept(self, temperature):
        labels, logits = drawn(800, temperature, seed=3)
        fitted = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10).fit(logits[:, None], np.array(labels) == "fake")
        assert fit_temperature(labels, logits) == pytest.approx(1 / fitted.coef_.item(), rel=1e-3)
        assert fit_temperature(labels, logits) == pytest.approx(temperature, rel=0.2)

    def test_scaling_mends_what_was_too_sure(self):
        labels, logits = drawn(1000, 4.0)
        found = measure(labels, logits, temperature=fit_temperature(labels, logits), resamples=50)
        assert found["scaled"]["ece"] < found["calibration"]["ece"] / 3
        assert found["scaled"]["nll"] < found["calibration"]["nll"]
        assert found["scaled"]["confident"]["count"] < found["calibration"]["confident"]["count"]

    def test_nothing_to_fit_and_limits(self):
        assert fit_temperature(["real", "real"], np.array([1.0, -1.0])) == fit_temperature(["real", "fake"], np.zeros(2)) == 1
        apart = fit_temperature(["real", "fake"], np.array([-1.0, 1.0]))
        assert apart == pytest.approx(LIMITS[0], rel=1e-3) and "all told apart" in at_limit(apart)
        wrong = fit_temperature(["real", "fake"], np.array([1.0, -1.0]))
        assert wrong == pytest.approx(LIMITS[1], rel=1e-3) and "told nothing" in at_limit(wrong)

    def test_errors(self):
        with pytest.raises(ValueError, match="no images"):
            fit_temperature([], np.zeros(0))
        with pytest.raises(ValueError, match="NaN or infinity"):
            fit_temperature(["real", "fake"], np.array([1.0, np.nan]))
        with pytest.raises(ValueError, match="no images"):
            ece([], np.zeros(0))
