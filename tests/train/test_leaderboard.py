"""The table of a self-test, from scores written by hand: rows, verdicts, the choice and what it is worth elsewhere."""

import numpy as np
import pytest

from train.leaderboard import ALL, CLOSE, FEW, FIELDS, LEAST, board, choose, cost, judged, row, transferred
from train.scoring import COLUMNS
from xai.inference import mean_interval, ratio_interval

CONV, LAST, INPUT = ("conv", "hirescam"), ("conv", "gradcam"), ("input", "lrp")


def table(hits, misses=0, empty=0, mass=0.5, rank=0.6, area=0.1, half=0.02, near=0):
    """Scores of so many fakes that were pointed at (of these, so many within the tolerance only), missed, and got an empty map."""
    count = hits + misses + empty
    values = {name: np.full(count, value) for name, value in (("mass_accuracy", mass), ("rank_accuracy", rank), ("iou", 0.3), ("half", half))}
    values |= {
        "pointing": np.repeat([1.0, 0.0], [hits, misses + empty]),
        "exact": np.repeat([1.0, 0.0], [hits - near, near + misses + empty]),
        "area": np.full(count, area),
        "empty": np.arange(count) >= hits + misses,
    }
    for name in ("pointing", "exact", "mass_accuracy", "rank_accuracy", "iou", "half"):
        values[name] = np.where(values["empty"], np.nan, values[name])
    return np.stack([values[name].astype(float) for name in COLUMNS], 1)


def together(plants):
    """The rows of all plants together, by map."""
    return {(entry["layer"], entry["method"]): entry for entry in board(plants) if entry["plant"] == ALL}


# Rows


def test_a_row_by_hand():
    """8 hits, a miss and an empty map: 8 of 10 point; the means leave the empty map out, the score does not: (0.8 + 0.45 + 0.54) / 3."""
    found = row("eyes", CONV, table(8, 1, 1, near=3))
    assert sorted(found) == sorted(FIELDS)
    assert (found["plant"], found["layer"], found["method"], found["images"], found["empty"], found["verdict"]) == ("eyes", *CONV, 10, 1, "")
    assert found["pointing"] == 0.8 and found["exact"] == 0.5 and found["score"] == pytest.approx((0.8 + 0.45 + 0.54) / 3)
    assert [found["pointing_low"], found["pointing_high"]] == pytest.approx([0.4902, 0.9433], abs=1e-4)  # Wilson, 8 of 10
    means = {"mass_accuracy": 0.5, "rank_accuracy": 0.6, "iou": 0.3, "half_area": 0.02, "area_share": 0.1, "density": 5}
    assert {name: found[name] for name in means} == pytest.approx(means)
    assert found["mass_accuracy_low"] == pytest.approx(0.5)  # all alike


def test_intervals_are_those_of_the_reports():
    rng = np.random.default_rng(0)
    values = table(12, 8)
    mass, area = rng.uniform(0, 1, (2, 20, 1))
    values[:, COLUMNS.index("mass_accuracy")], values[:, COLUMNS.index("area")] = mass[:, 0], area[:, 0]
    found = row("eyes", CONV, values)
    for name, ends in (("mass_accuracy", mean_interval(mass, bounds=(0, 1))), ("density", ratio_interval(mass, area, bounds=(0, np.inf)))):
        assert [found[name], found[f"{name}_low"], found[f"{name}_high"]] == pytest.approx([float(end[0]) for end in ends])


def test_only_empty_maps():
    found = row("eyes", CONV, table(0, 0, 4))
    assert found["empty"] == found["images"] == 4 and found["pointing"] == found["exact"] == found["score"] == 0
    assert np.isnan([found[name] for name in ("mass_accuracy", "density", "rank_accuracy", "iou", "half_area")]).all()


def test_the_board_has_a_row_for_every_plant_and_one_for_all():
    plants = {"eyes": {CONV: table(10), LAST: table(6, 4)}, "hair": {CONV: table(30, mass=0.8), LAST: table(3, 27)}}
    rows = board(plants)
    assert [(entry["plant"], entry["method"]) for entry in rows] == [
        (ALL, "hirescam"), (ALL, "gradcam"), ("eyes", "hirescam"), ("eyes", "gradcam"), ("hair", "hirescam"), ("hair", "gradcam"),
    ]  # fmt: skip
    assert rows[1]["images"] == 40 and rows[1]["pointing"] == 9 / 40  # every image has the same weight,
    assert rows[1]["score"] == pytest.approx((rows[3]["score"] + rows[5]["score"]) / 2)  # in the score every plant
    assert rows[0]["mass_accuracy"] == pytest.approx((10 * 0.5 + 30 * 0.8) / 40)
    assert board({}) == []


def test_maps_that_a_plant_lacks_are_not_judged():
    rows = board({"eyes": {CONV: table(10), INPUT: table(10)}, "hair": {CONV: table(10)}})
    assert [entry["method"] for entry in rows if entry["plant"] == ALL] == ["hirescam"] and len(rows) == 4


# Verdicts


@pytest.mark.parametrize(
    ("eyes", "hair", "verdict"),
    [
        (table(60), table(60), "passes"),
        (table(40, 20), table(40, 20), "passes"),
        (table(60), table(29, 31), "unsure"),  # right in most, but not on every plant
        (table(60), table(30, 30), "passes"),  # half is enough for a single plant
        (table(32, 28), table(32, 28), "unsure"),  # its interval holds one half
        (table(28, 32), table(28, 32), "unsure"),
        (table(20, 40), table(20, 40), "fails"),
        (table(20, 0, 40), table(20, 0, 40), "fails"),  # an empty map is a miss
        (table(0, 0, 60), table(0, 0, 60), "fails"),
        (table(1), table(1), "unsure"),  # two fakes say nothing
        (table(LEAST - 4), table(3), "unsure"),  # seven neither, whatever they say
        (table(0, LEAST - 4), table(0, 3), "unsure"),
        (table(LEAST - 4), table(4), "passes"),
        (table(0, LEAST - 4), table(0, 4), "fails"),
    ],
    ids=range(14),
)
def test_verdicts(eyes, hair, verdict):
    assert together({"eyes": {CONV: eyes}, "hair": {CONV: hair}})[CONV]["verdict"] == verdict


def test_judged():
    plants = {
        "eyes": {
            CONV: table(58, 0, 2), ("late", "hirescam"): table(10, 50), LAST: table(10, 50, mass=0.2), ("late", "gradcam"): table(8, 52),
            INPUT: table(33, 27), ("input", "rise"): table(1), ("conv", "layercam"): table(60),
        },
        "hair": {
            CONV: table(60), ("late", "hirescam"): table(10, 50), LAST: table(10, 50, mass=0.2), ("late", "gradcam"): table(8, 52),
            INPUT: table(31, 29), ("input", "rise"): table(1), ("conv", "layercam"): table(25, 35),
        },
    }  # fmt: skip
    found = {entry["method"]: entry for entry in judged(list(together(plants).values()))}
    assert list(found) == ["hirescam", "rise", "layercam", "lrp", "gradcam"]  # what passes, what may, what fails; the best first
    assert {name: (entry["verdict"], entry["layers"], entry["fails_at"], entry["unsure_at"], entry["best"]) for name, entry in found.items()} == {
        "hirescam": ("passes", ["conv"], ["late"], [], "conv"),
        "rise": ("unsure", [], [], ["input"], "input"),
        "layercam": ("unsure", [], [], ["conv"], "conv"),
        "lrp": ("unsure", [], [], ["input"], "input"),
        "gradcam": ("fails", [], ["conv", "late"], [], "late"),
    }
    assert found["hirescam"]["why"] == (
        "HiResCAM at its best layer conv pointed at what was planted in 98% of 120 fakes, 2 of them with an empty map, "
        "with 50% of its mass on 10.0% of the picture"
    )
    assert (
        found["rise"]["why"]
        == "RISE pointed at what was planted in 100% of 2 fakes, with 50% of its mass on 10.0% of the picture, too few to be sure"
    )
    assert found["layercam"]["why"].endswith(
        "in 71% of 120 fakes, with 50% of its mass on 10.0% of the picture, but not in most fakes of every plant"
    )
    assert found["lrp"]["why"].endswith("too few to be sure") and found["gradcam"]["why"].endswith("of the picture")


def test_a_method_may_pass_fail_and_be_unsure_at_once():
    maps = {("a", "hirescam"): table(60), ("b", "hirescam"): table(0, 60), ("c", "hirescam"): table(31, 29), ("d", "hirescam"): table(28, 32)}
    (found,) = judged(list(together({"eyes": maps}).values()))
    assert (found["verdict"], found["layers"], found["fails_at"], found["unsure_at"]) == ("passes", ["a"], ["b"], ["c", "d"])
    (found,) = judged(list(together({"eyes": {pair: maps[pair] for pair in list(maps)[1:]}}).values()))
    assert (found["verdict"], found["layers"], found["fails_at"], found["unsure_at"]) == ("unsure", [], ["b"], ["c", "d"])


def test_too_few_is_said_where_all_of_them_were_pointed_at():
    """Seven of seven would be sure; still they are too few, and not of several plants."""
    (found,) = judged(list(together({"eyes": {INPUT: table(LEAST - 1)}}).values()))
    assert found["verdict"] == "unsure" and found["why"].startswith("LRP pointed at what was planted in 100% of 7 fakes")
    assert found["why"].endswith("of the picture, too few to be sure")


def test_a_method_whose_maps_are_all_empty():
    found = judged(list(together({"eyes": {LAST: table(0, 0, 60)}}).values()))
    assert found[0]["verdict"] == "fails" and found[0]["why"].endswith("in 0% of 60 fakes, 60 of them with an empty map")


# The choice


def test_cost():
    """One backward pass, a few, tens of them, hundreds of answers."""
    methods = {0: ("activation", "hirescam", "gradcam", "lrp"), 1: ("vargrad:samples=4",), 2: ("smoothgrad", "integrated_gradients")}
    for expected, names in (methods | {3: ("rise", "rise:masks=9", "occlusion", "scorecam")}).items():
        assert {cost(name) for name in names} == {expected}
    assert [cost(f"smoothgrad:samples={count}") for count in (1, 2, FEW, FEW + 1)] == [0, 1, 1, 2]


def entry(method, score, verdict="passes"):
    return {"layer": "conv", "method": method, "score": score, "verdict": verdict}


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([entry("rise", 1.0), entry("hirescam", 1 - CLOSE + 1e-6)], "hirescam"),  # cheaper and close
        ([entry("rise", 1.0), entry("hirescam", 1 - CLOSE - 1e-6)], "rise"),  # cheaper and not close
        ([entry("rise", 1.0), entry("vargrad", 0.999), entry("hirescam", 1 - CLOSE + 1e-6)], "hirescam"),
        ([entry("gradcam", 0.989), entry("hirescam", 0.99), entry("layercam", 0.988)], "hirescam"),  # as cheap: the better
        ([entry("rise", 1.0, "unsure"), entry("vargrad", 0.9, "fails"), entry("hirescam", 0.5)], "hirescam"),  # only what passes
    ],
    ids=range(5),
)
def test_the_cheapest_of_the_best_is_chosen(rows, chosen):
    assert choose(rows)["method"] == choose(rows[::-1])["method"] == chosen


def test_none_is_chosen_where_none_passes():
    assert choose([entry("hirescam", 0.9, "unsure"), entry("gradcam", 0.1, "fails")]) is None and choose([]) is None


# What it is worth elsewhere


def test_regret_by_hand():
    """Chosen on the other two plants, hirescam scores (1 + 0.5 + 0.6) / 3 = 0.7 on the hair, where gradcam has (1 + 0.9 + 0.6) / 3."""
    good, better, bad = table(20), table(20, mass=0.9), table(20, mass=0.3)
    plants = {"eyes": {CONV: good, LAST: bad}, "nose": {CONV: good, LAST: bad}, "hair": {CONV: good, LAST: better}}
    found = {entry["plant"]: entry for entry in transferred(plants)}
    assert list(found) == ["eyes", "nose", "hair"]
    assert {key: found["hair"][key] for key in ("layer", "method", "best_layer", "best_method")} == {
        "layer": "conv", "method": "hirescam", "best_layer": "conv", "best_method": "gradcam",
    }  # fmt: skip
    assert [found["hair"][key] for key in ("score", "best", "regret")] == pytest.approx([0.7, 2.5 / 3, 1 - 0.84])
    # on eyes and hair together gradcam has (0.6333 + 0.8333) / 2, hirescam 0.7: close enough to be the same choice or the better one
    others = together({name: plants[name] for name in ("eyes", "hair")})
    best = max((CONV, LAST), key=lambda pair: others[pair]["score"])
    assert found["nose"]["method"] == best[1] and found["nose"]["regret"] == pytest.approx(1 - found["nose"]["score"] / 0.7)


def test_a_choice_that_is_best_everywhere_has_no_regret():
    plants = {name: {CONV: table(20), LAST: table(15, 5)} for name in ("eyes", "nose")}
    assert [entry["regret"] for entry in transferred(plants)] == [0, 0]


def test_no_regret_without_others_or_without_a_choice():
    assert transferred({}) == [] and transferred({"eyes": {CONV: table(20)}}) == []
    plants = {"eyes": {CONV: table(0, 20)}, "nose": {CONV: table(20)}}
    assert [entry["plant"] for entry in transferred(plants)] == ["eyes"]  # what the eyes recommend is nothing
    blank = {"eyes": {CONV: table(0, 0, 20)}, "nose": {CONV: table(20)}}
    assert transferred(blank) == []  # and what scores nothing falls short of nothing
