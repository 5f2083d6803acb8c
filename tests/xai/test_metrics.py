"""The metrics of a labelled set: by hand, against scikit-learn, and what has nothing to divide by."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from xai import store
from xai.curves import GRID, curves
from xai.metrics import aligned, brief, measure, report, shown, table


def noisy(count, seed=0, share=0.4):
    """Labels and logits that overlap, rounded so that some are tied."""
    rng = np.random.default_rng(seed)
    fake = rng.random(count) < share
    fake[:2] = True, False
    return np.where(fake, "fake", "real").tolist(), rng.normal(np.where(fake, 1, -1), 2).round(1)


class TestMeasure:
    def test_by_hand(self):
        """Fakes 3, 1, -1; reals -2, 2: two hits, one miss, one false alarm."""
        found = measure(["fake"] * 3 + ["real"] * 2, np.array([3.0, 1, -1, -2, 2]))
        assert found["confusion"] == {"TP": 2, "FP": 1, "TN": 1, "FN": 1} and found["counts"] == {"real": 2, "fake": 3}
        assert [found[k] for k in ("accuracy", "precision", "recall", "f1")] == pytest.approx([0.6, 2 / 3, 2 / 3, 2 / 3])
        assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
        assert found["roc_auc"] == pytest.approx(4 / 6)  # of six pairs, fakes are above in four
        assert found["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)  # precision where each fake is met
        assert [found["classes"]["weighted average"][k] for k in ("recall", "support")] == [pytest.approx(0.6), 5]

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10_000))
    def test_equals_scikit_learn(self, seed):
        labels, logits = noisy(60, seed)
        found = measure(labels, logits, resamples=0)
        truth, called = np.array(labels) == "fake", logits >= 0
        theirs = sk.classification_report(labels, np.where(called, "fake", "real"), output_dict=True, zero_division=np.nan)
        for ours, name in (("real", "real"), ("fake", "fake"), ("macro average", "macro avg"), ("weighted average", "weighted avg")):
            entry = found["classes"][ours]
            values = [np.nan if entry[k] is None else entry[k] for k in ("precision", "recall", "f1", "support")]
            assert values == pytest.approx([theirs[name][k] for k in ("precision", "recall", "f1-score", "support")], nan_ok=True)
        assert found["accuracy"] == pytest.approx(theirs["accuracy"])
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, called))
        assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, logits))
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(truth, logits))

    def test_order_of_images_does_not_matter(self):
        labels, logits = noisy(80)
        order = np.random.default_rng(1).permutation(80)
        ours, other = (measure(x, z, resamples=0) for x, z in ((labels, logits), ([labels[i] for i in order], logits[order])))
        assert ours["roc_auc"] == other["roc_auc"] and ours["classes"] == other["classes"]
        assert ours["calibration"]["ece"] == pytest.approx(other["calibration"]["ece"])

    def test_every_value_has_its_interval_around_it(self):
        found = measure(*noisy(150), temperature=2.0, resamples=300)
        rows = [row for row in table(found) if row[3] is not None]
        assert len(rows) == 37
        for name, group, value, low, high, how in rows:
            assert -1e-12 <= low <= high, (name, group)
            if "ece" not in name:  # ECE's takes off what chance adds
                assert low - 1e-12 <= value <= high + 1e-12, (name, group, how)

    def test_same_seed_same_intervals(self):
        labels, logits = noisy(50)
        first, again, other = (measure(labels, logits, seed=seed, resamples=100) for seed in (1, 1, 2))
        assert first == again and first["f1_interval"] != other["f1_interval"] and first["f1"] == other["f1"]

    def test_json(self):
        found = measure(*noisy(50), temperature=1.5, resamples=50)
        assert store.plain(found) == found == json.loads(json.dumps(found, allow_nan=False))

    def test_all_right(self):
        """No draw can be wrong, so Wilson's interval stands in; of both recalls, the mean's is narrower than each."""
        found = measure(["fake"] * 20 + ["real"] * 30, np.array([4.0] * 20 + [-4.0] * 30), resamples=100)
        assert found["accuracy_bootstrap"] == found["accuracy_interval"] and found["accuracy_interval"][0] == pytest.approx(0.9287, abs=1e-4)
        real, fake, macro = (found["classes"][k] for k in ("real", "fake", "macro average"))
        assert fake["recall_interval"] == pytest.approx([0.8389, 1], abs=1e-4) and fake["recall_wilson"]
        assert real["recall_interval"] == pytest.approx([0.8865, 1], abs=1e-4)
        assert macro["recall_interval"][0] == pytest.approx(1 - np.hypot(1 - 0.8389, 1 - 0.8865) / 2, abs=1e-4)
        assert found["roc_auc"] == 1 and found["roc_auc_interval"] == fake["recall_interval"]
        assert "1.000 (0.839 to 1.000)*" in report(found)

    def test_everything_called_fake(self):
        found = measure(["fake"] * 6 + ["real"] * 6, np.linspace(1, 2, 12), resamples=100)
        assert found["recall"] == 1 and found["classes"]["real"]["recall"] == 0 and found["accuracy"] == found["precision"] == 0.5
        assert found["classes"]["real"]["precision"] is found["classes"]["macro average"]["precision"] is None
        assert found["precision_interval"][0] < 0.5 < found["precision_interval"][1]

    def test_one_class_has_no_area(self):
        found = measure(["real", "real"], np.array([-1.0, -2.0]))
        assert found["roc_auc"] is found["average_precision"] is found["balanced_accuracy"] is found["precision"] is found["recall"] is None
        assert found["accuracy"] == found["classes"]["weighted average"]["recall"] == 1

    def test_no_draws(self):
        found = measure(*noisy(30), resamples=0)
        assert found["f1_interval"] is found["roc_auc_interval"] is found["calibration"]["ece_interval"] is None
        assert found["accuracy_interval"][0] < found["accuracy"] and "brackets" not in report(found)

    def test_threshold(self):
        found = measure(["fake", "fake", "real"], np.array([0.0, 2.0, -2.0]), 0.6, resamples=0)
        assert found["confusion"] == {"TP": 1, "FP": 0, "TN": 1, "FN": 1} and found["threshold"] == 0.6

    def test_errors(self):
        with pytest.raises(ValueError, match="no images"):
            measure([], np.zeros(0))
        with pytest.raises(ValueError, match=r"2 labels came with logits of shape \(3,\)"):
            measure(["real", "fake"], np.zeros(3))
        with pytest.raises(ValueError, match="labels are 'maybe'; expected 'real' or 'fake'"):
            measure(["real", "maybe"], np.zeros(2))
        with pytest.raises(ValueError, match="NaN or infinity"):
            measure(["real", "fake"], np.array([0, np.inf]))
        with pytest.raises(ValueError, match="temperature is 0; expected a number above 0"):
            measure(["real", "fake"], np.zeros(2), temperature=0)


class TestText:
    def test_report(self):
        lines = report(measure(*noisy(120), temperature=1.5, resamples=50)).splitlines()
        assert lines[0].startswith("120 images: ") and lines[2].split() == ["precision", "recall", "F1", "images"]
        assert [line.split()[0] for line in lines[3:7]] == ["real", "fake", "macro", "weighted"]
        for start in ("accuracy  ", "balanced accuracy", "ROC AUC", "average precision", "ECE, 15", "log loss", "Brier", "90 % sure of a class"):
            assert sum(line.startswith(start) for line in lines) == 1, start
        assert "at temperature 1.50" in "\n".join(lines)

    def test_nothing_to_divide_by_is_a_dash(self):
        text = report(measure(["real", "real"], np.array([-1.0, -2.0])))
        assert "ROC AUC            -\n" in text

    def test_temperature_at_its_limit_is_said(self):
        assert "told nothing" in report(measure(["real", "fake"], np.zeros(2), temperature=20.0, resamples=0))

    def test_brief(self):
        found = measure(*noisy(40), resamples=20)
        kept = brief(found)
        assert kept["roc_auc_interval"] == found["roc_auc_interval"] and kept["ece"] == found["calibration"]["ece"]
        assert "curve" not in str(kept) and kept["confident"]["count"] == found["calibration"]["confident"]["count"]

    def test_pieces(self):
        assert shown({"f1": 1.0, "f1_interval": [0.5, 1.0], "f1_wilson": True}, "f1") == "1.000 (0.500 to 1.000)*"
        assert aligned([("a",), ("bb", "c")]) == ["a", "bb  c"]


class TestCurves:
    def test_by_hand(self):
        """From the highest score down: fake, real, fake."""
        roc, pr = curves(["fake", "real", "fake"], np.array([2.0, 1.0, 0.0]), resamples=0)
        assert list(zip(roc.x, roc.y, strict=True)) == [(0, 0), (0, 0.5), (1, 0.5), (1, 1)]
        assert list(zip(pr.x, pr.y, strict=True)) == [(0.5, 1), (0.5, 0.5), (1, pytest.approx(2 / 3))]
        assert roc.threshold[0] == np.inf and pr.threshold == pytest.approx([0.8808, 0.7311, 0.5], abs=1e-4)
        assert np.isnan(roc.low).all()

    def test_area_below_is_what_is_measured(self):
        labels, logits = noisy(200)
        roc, pr = curves(labels, logits, resamples=0)
        found = measure(labels, logits, resamples=0)
        assert np.trapezoid(roc.y, roc.x) == pytest.approx(found["roc_auc"])
        whole = sk.precision_recall_curve(np.array(labels) == "fake", logits)
        assert pr.x[-1] == 1 and set(zip(pr.x, pr.y, strict=True)) <= set(zip(whole[1], whole[0], strict=True))

    def test_bands_hold_the_curve(self):
        labels, logits = noisy(300)
        roc, pr = curves(labels, logits, resamples=200)
        assert (roc.low <= roc.high).all() and (np.diff(roc.low) >= 0).all() and roc.high[-1] == roc.low[-1] == 1
        height = np.interp(GRID[5:-5], roc.x, roc.y)
        assert ((roc.low[5:-5] <= height) & (height <= roc.high[5:-5])).all()
        assert pr.low[-1] >= np.mean(np.array(labels) == "fake")  # where all fakes are found, by chance so many of those called fake are

    def test_rows(self):
        roc, _ = curves(["fake", "real", "fake"], np.array([2.0, 1.0, 0.0]), resamples=50)
        rows = roc.rows()
        assert rows[0] == (None, 0.0, 0.0, None, None)  # of the points at 0, the highest has the band
        assert rows[1][1:3] == (0.0, 0.5) and rows[1][3] <= 0.5 <= rows[1][4]

    def test_one_class(self):
        assert curves(["real", "real"], np.zeros(2)) is None
