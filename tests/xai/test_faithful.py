"""Whether maps mark what a network uses, against curves that a reader can write down and formulas done the slow way."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.detector import score
from xai.maps.fills import blurred
from xai.maps.placement import pixels
from xai.trust import passes
from xai.trust.faithful import CURVES, Found, Settings, Subject, Trial
from xai.trust.infidelity import infidelity, squares
from xai.trust.measure import Faithfulness
from xai.trust.nulls import noise_map, region_map
from xai.trust.order import Order, count, shuffled
from xai.trust.scores import METRICS, scores
from xai.trust.table import CURVE_FIELDS, FIELDS, curve_rows, faithful_rows

MAP = ("input", "occlusion")


def tried(logits, subjects, settings, high=255.0, batch_size=32) -> Faithfulness:
    """Test maps of images in memory."""
    trials, size = [Trial(subject, settings) for subject in subjects], subjects[0].image.shape[:2]
    places = {layer: pixels(size) for layer, _ in settings.pairs}
    changes = (change for trial, subject in zip(trials, subjects, strict=True) for change in trial.changes(subject, places, 0.0, high))
    passes.run(logits, size, changes, batch_size)
    parts = [trial.result().columns() for trial in trials]
    found = Found(**{name: np.stack([part[name] for part in parts]) for name in parts[0]})
    labels = tuple(subject.label for subject in subjects)
    paths = tuple(subject.sha256 for subject in subjects)
    return Faithfulness(settings.rows, settings.fractions, settings.road, 0.5, np.arange(len(labels)), paths, labels, np.full(len(labels), -1), found)


class TestByHand:
    """A 4 x 4 image whose red counts from 0 to 15, a logit that sums red, a map that is red, a black donor."""

    red = np.arange(16, dtype=np.float32).reshape(4, 4)
    image = np.stack([red, 0 * red, 0 * red], -1)
    plan = Settings((MAP,), fractions=(0.0, 0.25, 0.5, 1.0), road=(), squares=0)

    def test_curves_written_out(self):
        found = tried(lambda images: images.sum((1, 2, 3)), [Subject(self.image, "fake", "a", {MAP: self.red}, 0 * self.image)], self.plan)
        curves = dict(zip(CURVES, found.found.curves[0, 0].tolist(), strict=True))
        assert curves["deletion_donor"] == [120, 120 - 54, 120 - 92, 0]  # 15 + 14 + 13 + 12 = 54, and 11 + 10 + 9 + 8 more
        assert curves["insertion_donor"] == [0, 54, 92, 120]
        areas = {name: values[0, 0] for name, values in scores(found).items()}
        assert areas["deletion_donor"] == -0.25 * 27 - 0.25 * 73 - 0.5 * 106 and areas["insertion_donor"] == 78
        assert found.found.shown[0, 0] == pytest.approx(sum(k * k for k in range(16)) / 15)
        assert np.isnan(areas["sufficiency"]) and np.isnan(areas["road"]) and np.isnan(areas["infidelity"])  # not asked for

    def test_of_real_is_turned(self):
        """The same detector of real instead: minus the logit is what speaks for it."""
        fake, real = (
            tried(
                lambda images, turn=turn: turn * images.sum((1, 2, 3)),
                [Subject(self.image, label, "a", {MAP: self.red}, 0 * self.image)],
                Settings((MAP,)),
            )
            for turn, label in ((1, "fake"), (-1, "real"))
        )
        assert all(np.array_equal(one, two) for one, two in zip(fake.found.columns().values(), real.found.columns().values(), strict=True))

    def test_sufficiency(self):
        """The brightest pixel of 16 is the top 5 %: 15 of a gap of 120; and all of it where it alone counts."""
        subject = Subject(self.image, "fake", "a", {MAP: self.red}, 0 * self.image)
        plan = Settings((MAP,), road=(), squares=0)
        found = scores(tried(lambda images: images.sum((1, 2, 3)) - 14, [subject], plan))
        assert found["sufficiency"][0, 0] == 15 / 120 and found["sufficiency_flips"][0, 0] == 1
        assert scores(tried(lambda images: images.sum((1, 2, 3)) - 60, [subject], plan))["sufficiency_flips"][0, 0] == 0
        wrong = scores(tried(lambda images: images.sum((1, 2, 3)) - 200, [subject], plan))  # called real: there is no gap to close
        assert np.isnan(wrong["sufficiency"]).all() and np.isnan(wrong["sufficiency_flips"]).all()

    def test_drop_increase_and_gain(self):
        """The probability falls from 0.8 to 0.2, or rises from 0.2 to 0.8."""
        high = np.log(4.0)
        for before, wanted in ((high, [0.75, 0, 0]), (-high, [0, 1, 0.75])):

            def logits(images, before=before):
                return np.where((images == 8).all((1, 2, 3)), before, -before)

            subject = Subject(np.full((4, 4, 3), 8, np.float32), "fake", "a", {MAP: self.red})
            found = scores(tried(logits, [subject], self.plan))
            assert [found[name][0, 0] for name in ("average_drop", "average_increase", "average_gain")] == pytest.approx(wanted)

    def test_empty_map_and_no_donor(self):
        found = tried(lambda images: images.sum((1, 2, 3)), [Subject(self.image, "fake", "a", {MAP: -self.red})], Settings((MAP,)))
        assert found.found.empty.tolist() == [[True, False, False]]
        measured = scores(found)
        assert all(np.isnan(values[0, 0]) for values in measured.values())
        assert {name for name, values in measured.items() if np.isnan(values).all()} == {name for name in METRICS if "donor" in name} | {
            "sufficiency",
            "sufficiency_flips",
        }
        assert not any(row["metric"] == "deletion_donor" for row in faithful_rows(found))


class TestOrder:
    def test_ties_do_not_follow_the_place(self):
        """Half of a placed map is 0: which of those come first is drawn."""
        values = np.zeros((40, 40), np.float32)
        top = Order.of(values, shuffled((40, 40), np.random.default_rng(0)), [0.25]).top(0.25)
        assert top.sum() == 400 and 60 < top[:20, :20].sum() < 140
        assert not np.array_equal(top, Order.of(values, shuffled((40, 40), np.random.default_rng(1)), [0.25]).top(0.25))

    @given(st.lists(st.floats(-10, 10, width=32), min_size=9, max_size=9), st.floats(0, 1), st.integers(0, 99))
    def test_is_that_of_a_sort(self, values, fraction, seed):
        values = np.float32(values).reshape(3, 3)
        ties = shuffled((3, 3), np.random.default_rng(seed))
        wanted = sorted(range(9), key=lambda place: (-values.flat[place], -int(ties.flat[place])))[: count(fraction, 9)]
        assert np.flatnonzero(Order.of(values, ties, [fraction]).top(fraction)).tolist() == sorted(wanted)

    def test_minus_zero_is_zero(self):
        ties = np.arange(4, dtype=np.uint64).reshape(2, 2)
        assert Order.of(np.float32([[-0.0, 0.0], [0.0, -0.0]]), ties, [0.5]).top(0.5).tolist() == [[False, False], [True, True]]


class TestNulls:
    def test_hold_the_same_values(self):
        for make in (noise_map, region_map):
            values = make((30, 50), np.random.default_rng(0))
            assert np.allclose(np.sort(values, axis=None), np.arange(1, 1501) / 1500) and values.dtype == np.float32

    def test_a_region_is_in_few_pieces(self):
        pieces = []
        for seed in range(20):
            values = region_map((96, 96), np.random.default_rng(seed))
            pieces.append(cv2.connectedComponents((values > 0.95).astype(np.uint8))[0] - 1)
        assert 1 <= np.mean(pieces) <= 4
        noise = noise_map((64, 96), np.random.default_rng(0))
        assert cv2.connectedComponents((noise > 0.95).astype(np.uint8))[0] > 100

    def test_regions_are_anywhere(self):
        mean = np.mean([region_map((32, 32), np.random.default_rng(seed)) > 0.9 for seed in range(400)], 0)
        assert abs(mean[8:24, 8:24].mean() - mean.mean()) < 0.03


class TestInfidelity:
    def test_is_0_for_what_a_linear_logit_loses(self):
        """Weights times what the blur changes is a linear detector's own answer, in any unit."""
        rng = np.random.default_rng(0)
        image, weights = rng.uniform(0, 255, (16, 16, 3)).astype(np.float32), rng.standard_normal((16, 16, 3))
        exact = (weights * (image - blurred(image))).sum(-1).astype(np.float32)
        for label, turn in (("fake", 1), ("real", -1)):
            subject = Subject(image, label, "a", {MAP: 7 * turn * exact, ("input", "rise"): rng.standard_normal((16, 16)).astype(np.float32)})
            found = tried(lambda images: (images * weights).sum((1, 2, 3)), [subject], Settings((MAP, ("input", "rise")))).found
            assert found.infidelity[0, 0] < 1e-4 and (found.infidelity[0, 1:] > 100).all()

    def test_against_least_squares(self):
        rng = np.random.default_rng(0)
        sums, drops = rng.uniform(0, 1, (20, 8)), rng.uniform(0, 1, 8)
        wanted = [np.mean((drops - one * np.linalg.lstsq(one[:, None], drops, rcond=None)[0]) ** 2) for one in sums]
        assert infidelity(sums, drops) == pytest.approx(wanted, abs=1e-12)
        assert infidelity(np.zeros(8), drops) == pytest.approx((drops**2).mean()) and np.isnan(infidelity(sums[:, :0], drops[:0])).all()

    def test_squares_lie_inside(self):
        found = squares((20, 40), 200, np.random.default_rng(0))
        assert {(square[0].stop - square[0].start, square[1].stop - square[1].start) for square in found} == {(5, 5)}
        assert {square[0].start for square in found} == set(range(16)) and max(square[1].stop for square in found) == 40


class Planted:
    """Images of noise; the logit is bent, and reads an 8 x 8 patch of 32 x 32 and little else."""

    def __init__(self, count=24, seed=0):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(0, 0.00001, (32, 32, 3))
        self.weights[8:16, 16:24] += 0.0002
        self.truth = self.weights.sum(-1).clip(0).astype(np.float32)
        self.subjects = []
        images = [rng.uniform(100, 255, (32, 32, 3)).astype(np.float32) for _ in range(count)]
        for index, image in enumerate(images):
            image[8:16, 16:24] = 240 if index % 2 else 15
        for index, image in enumerate(images):
            label = "fake" if index % 2 else "real"
            maps = {("input", "truth"): self.truth, ("input", "noise"): rng.standard_normal((32, 32)).astype(np.float32)}
            maps["input", "opposite"] = self.truth.max() - self.truth
            self.subjects.append(Subject(image, label, f"{seed}/{index}", maps, images[(index + 1) % count]))
        self.middle = 0.0
        self.middle = float(np.mean([self.logits(image[None])[0] for image in images]))

    def logits(self, images):
        values = (images.astype(np.float64) * self.weights).sum((1, 2, 3)) - self.middle
        return values + 0.1 * np.sin(values)


PLAN = Settings((("input", "truth"), ("input", "noise"), ("input", "opposite")))


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


@pytest.fixture(scope="module")
def found(planted) -> Faithfulness:
    return tried(planted.logits, planted.subjects, PLAN)


class TestProperties:
    def test_against_the_formulas_done_slowly(self, planted, found):
        """Every curve, area and share again, pixel by pixel, from the published definitions."""
        measured, fractions = scores(found), np.array(found.fractions)
        for index in (0, 1):
            subject, turn = planted.subjects[index], (-1, 1)[index]
            ranking = np.argsort(-subject.maps["input", "noise"], axis=None)  # without ties
            for curve in CURVES:
                way, baseline = curve.split("_")
                hidden = blurred(subject.image) if baseline == "blur" else subject.donor
                start, end = (subject.image, hidden) if way == "deletion" else (hidden, subject.image)
                logits = []
                for fraction in fractions:
                    changed = start.copy().reshape(-1, 3)
                    for place in ranking[: int(fraction * 1024 + 0.5)]:
                        changed[place] = end.reshape(-1, 3)[place]
                    logits.append(turn * planted.logits(changed.reshape(1, 32, 32, 3))[0])
                area = sum((b - a) * (x + y - 2 * logits[0]) / 2 for a, b, x, y in zip(fractions, fractions[1:], logits, logits[1:], strict=False))
                assert measured[curve][index, 1] == pytest.approx(area, abs=1e-5)
                chances = 1 / (1 + np.exp(-np.array(logits)))
                area = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(fractions, fractions[1:], chances, chances[1:], strict=False))
                assert measured[f"{curve}_probability"][index, 1] == pytest.approx(area, abs=1e-5)
            seen = subject.image * (np.maximum(subject.maps["input", "noise"], 0) / subject.maps["input", "noise"].max())[..., None]
            before, after = (1 / (1 + np.exp(-turn * planted.logits(image[None])[0])) for image in (subject.image, seen))
            assert measured["average_drop"][index, 1] == pytest.approx(max(0, before - after) / before, abs=1e-5)
            assert measured["average_gain"][index, 1] == pytest.approx(max(0, after - before) / (1 - before), abs=1e-5)
            assert measured["average_increase"][index, 1] == (after > before)

    def test_the_truth_beats_both_nulls(self, found):
        rows = {(row["method"], row["metric"]): row for row in faithful_rows(found) if row["group"] == "both"}
        curves = [name for name in METRICS if name.startswith(("deletion", "insertion"))]
        for name in [*curves, "sufficiency", "road", "infidelity"]:
            row = rows["truth", name]
            assert row["over_random_low"] > 0 and row["over_region_low"] > 0 and row["p_holm"] < 0.05, name
            worse = rows["opposite", name]
            if name in curves:
                assert worse["over_random"] < 0 and worse["p"] == 1, name

    def test_noise_scores_as_chance(self):
        """Of intervals for white noise over the white-noise null, about one in twenty leaves out 0."""
        out = []
        for seed in range(12):
            some = Planted(12, seed + 1)
            rows = faithful_rows(tried(some.logits, some.subjects, replace(PLAN, pairs=(("input", "noise"),), road=(0.3,))))
            names = [*CURVES, "road"]
            out += [
                not row["over_random_low"] <= 0 <= row["over_random_high"]
                for row in rows
                if row["group"] == "both" and row["method"] == "noise" and row["metric"] in names
            ]
        assert len(out) == 60 and np.mean(out) < 0.2

    @pytest.mark.parametrize("batch_size", [1, 7, 500])
    def test_batch_size_changes_nothing(self, planted, found, batch_size):
        again = tried(planted.logits, planted.subjects[:3], PLAN, batch_size=batch_size)
        for one, two in zip(again.found.columns().values(), found.found.columns().values(), strict=True):
            assert np.array_equal(one, two[:3])

    def test_other_maps_change_nothing(self, planted, found):
        again = tried(planted.logits, planted.subjects[:3], replace(PLAN, pairs=PLAN.pairs[1:2]))
        for one, two in zip(again.found.columns().values(), found.found.columns().values(), strict=True):
            assert np.array_equal(one, two[:3] if one.ndim == 2 and one.shape[1] == 3 and one is again.found.whole else two[:3, [1, 3, 4]])

    def test_seeded(self, planted):
        one, two = (tried(planted.logits, planted.subjects[:2], replace(PLAN, seed=seed)).found for seed in (0, 1))
        assert np.array_equal(one.curves[:, 0], two.curves[:, 0]) and not np.array_equal(one.curves[:, 3:], two.curves[:, 3:])
        assert not np.array_equal(one.road[:, 0], two.road[:, 0]) and not np.array_equal(one.infidelity, two.infidelity)

    def test_passes_are_full(self, planted):
        calls: list[int] = []
        tried(lambda images: calls.append(len(images)) or planted.logits(images), planted.subjects[:2], PLAN, batch_size=50)
        total = 2 * (11 + 28 * 5)
        assert calls == [50] * (total // 50) + [total % 50]


class TestTable:
    def test_fields(self, found):
        rows = faithful_rows(found)
        assert all(tuple(row) == FIELDS for row in rows) and {row["group"] for row in rows} == {"both", "fake", "real"}
        assert len(rows) == 3 * len(METRICS) * 5
        nulls = [row for row in rows if row["method"] in ("random", "region")]
        assert all(row["layer"] == "" and row["p"] is None and row["over_random"] is None and row["value"] is not None for row in nulls)
        assert not any(value != value for row in rows for value in row.values())  # no NaN

    def test_values_are_means(self, found):
        measured = scores(found)
        row = next(row for row in faithful_rows(found) if (row["group"], row["method"], row["metric"]) == ("fake", "truth", "road"))
        fake = np.array(found.labels) == "fake"
        assert row["value"] == pytest.approx(measured["road"][fake, 0].mean()) and row["images"] == 12
        assert row["over_region"] == pytest.approx((measured["road"][fake, 0] - measured["road"][fake, 4]).mean())

    def test_an_empty_map_is_counted_and_left_out(self, planted, found):
        subjects = [
            replace(one, maps=one.maps | {("input", "truth"): 0 * planted.truth}) if place < 4 else one for place, one in enumerate(planted.subjects)
        ]
        rows = faithful_rows(tried(planted.logits, subjects, PLAN))
        row = next(row for row in rows if (row["group"], row["method"], row["metric"]) == ("both", "truth", "road"))
        assert (row["images"], row["empty"]) == (20, 4) and row["value"] == pytest.approx(scores(found)["road"][4:, 0].mean())

    def test_few_images_have_no_interval(self, planted):
        row = faithful_rows(tried(planted.logits, planted.subjects[:6], PLAN))[0]
        assert row["images"] == 6 and row["value"] is not None and row["low"] is None and row["p"] is None and row["over_random_low"] is None

    def test_curves(self, planted, found):
        rows = curve_rows(found)
        assert all(tuple(row) == CURVE_FIELDS for row in rows) and {row["curve"] for row in rows} == {*CURVES, "road"}
        curve = [row for row in rows if (row["group"], row["method"], row["curve"]) == ("fake", "truth", "deletion_blur")]
        assert [row["fraction"] for row in curve] == list(found.fractions)
        logits = np.array([planted.logits(one.image[None])[0] for one in planted.subjects if one.label == "fake"])
        assert curve[0]["logit"] == pytest.approx(logits.mean()) and curve[0]["probability"] == pytest.approx(score(logits).mean())
        road = [row for row in rows if (row["group"], row["method"], row["curve"]) == ("fake", "truth", "road")]
        assert [row["fraction"] for row in road] == [0, 0.1, 0.3, 0.5] and road[0]["logit"] == curve[0]["logit"] > road[1]["logit"]
