"""Verdicts on maps: every branch and every sentence, from rows written by hand."""

import pytest

from xai.recommend import Recommendation
from xai.trust.verdicts import FAILS, PASSES, TESTS, UNSURE, UNTESTED, Answer, answers, meaning, methods, signed, together

PAIR = ("conv", "hirescam")
FAILED = {"activation": ("conv",), "hirescam": ("last",)}
KNOWN = Recommendation("hirescam", "conv", "", {"hirescam": ("conv",)}, FAILED, {"hirescam": ("other",)}, network="small", size=64)
SELF = "in the self-test of small at 64 x 64"
ABOVE, TWIN = "when everything above the layer is randomised", "when all weights are randomised"


def similar(against, rank, low=None, undefined=0, images=16, pair=PAIR):
    """A row of the randomisation."""
    found = {"layer": pair[0], "method": pair[1], "against": against, "rank": rank, "rank_low": low}
    return found | {"undefined": undefined, "images": images}


def faithful(region, random=(1.0, 0.5, 1.5), metric="deletion_donor", group="both", pair=PAIR, empty=0):
    """A row of the deletion, its advantages as (value, low, high)."""
    found = {"group": group, "layer": pair[0], "method": pair[1], "metric": metric, "images": 16, "empty": empty}
    for null, ends in (("region", region), ("random", random)):
        found |= dict(zip((f"over_{null}", f"over_{null}_low", f"over_{null}_high"), ends, strict=True))
    return found


def stable(difference, pair=PAIR):
    return {"layer": pair[0], "method": pair[1], "difference": difference}


def ask(test, pair=PAIR, known=None, rows=(), unchanged=None, untested=None, calm=(), faith=()):
    """Return one test's answer about one map as (verdict, why)."""
    found = answers([pair], known, rows, unchanged or {}, untested or {}, calm, faith)[pair]
    assert list(found) == list(TESTS)
    for answer in found.values():
        assert answer.why and "None" not in answer.why and "nan" not in answer.why and "-0" not in answer.why
    return found[test].verdict, found[test].why


class TestSelftest:
    def test_unknown(self):
        assert ask("selftest") == (UNTESTED, "no self-test of this architecture is known")

    @pytest.mark.parametrize(
        ("pair", "verdict", "why"),
        [
            (("conv", "hirescam"), PASSES, f"{SELF} it pointed at what was planted"),
            (("last", "hirescam"), FAILS, f"{SELF} it pointed elsewhere in most fakes"),
            (("other", "hirescam"), UNSURE, f"{SELF} it pointed at what was planted, but not in every data set, or in too few images to be sure"),
            (("conv", "gradcam"), UNTESTED, f"it was not {SELF}"),
            (("new", "hirescam"), UNTESTED, f"it was not {SELF}"),  # a layer that was not scored
            (("conv", "hirescam:seed=3"), PASSES, f"{SELF} it pointed at what was planted"),  # a seed makes no other method
        ],
    )
    def test_known(self, pair, verdict, why):
        assert ask("selftest", pair, KNOWN) == (verdict, why)


class TestRandomised:
    def test_changed_and_not(self):
        rows = [similar("above", 1.0, 1.0), similar("random twin", 0.126, 0.1)]
        ranks = f"(rank correlation 1.00 {ABOVE} and 0.13 {TWIN})"
        assert ask("randomised", rows=rows, unchanged={PAIR: True}) == (FAILS, f"it does not change when the network is randomised {ranks}")
        rows = [similar("above", -0.001, -0.1), similar("random twin", -0.5, -0.6)]
        ranks = f"(rank correlation 0.00 {ABOVE} and −0.50 {TWIN})"
        assert ask("randomised", rows=rows, unchanged={PAIR: False}) == (PASSES, f"it changes when the network is randomised {ranks}")

    def test_one_comparison_alone(self):
        """A map of the image itself has nothing above its layer but the network."""
        why = ask("randomised", rows=[similar("random twin", 0.2, 0.1)], unchanged={PAIR: False})[1]
        assert why == f"it changes when the network is randomised (rank correlation 0.20 {TWIN})"

    def test_not_sure(self):
        """One image has no interval, and a mean of 0.6 above 0.4 could be anything."""
        why = "it is not sure that it changes when the network is randomised (rank correlation "
        for rank, low, images, counted in ((0.9, None, 1, "1 image"), (0.1, None, 1, "1 image"), (0.6, 0.4, 16, "16 images")):
            found = ask("randomised", rows=[similar("above", rank, low, images=images)], unchanged={PAIR: False})
            assert found == (UNSURE, f"{why}{rank:.2f} {ABOVE}; {counted})")

    def test_constant_maps(self):
        """Turned constant, a map has changed; constant from the start, it says nothing."""
        half = ask("randomised", rows=[similar("above", 0.8, 0.7, undefined=8)], unchanged={PAIR: False})
        assert half == (PASSES, f"it changes when the network is randomised (rank correlation 0.40 {ABOVE})")
        gone = ask("randomised", rows=[similar("above", None, None, undefined=16)], unchanged={PAIR: False})
        assert gone == (PASSES, f"it changes when the network is randomised (rank correlation 0.00 {ABOVE})")
        flat = ask("randomised", rows=[similar("above", None, None, images=0)], unchanged={PAIR: False})
        assert flat == (UNSURE, "the maps are constant, so they cannot be compared with those of a randomised network")

    def test_not_tested(self):
        assert ask("randomised") == (UNTESTED, "it was not tested")
        assert ask("randomised", untested={"randomised": "a black box"}) == (UNTESTED, "a black box")
        assert ask("randomised", untested={"hirescam": "slow", "randomised": "a black box"}) == (UNTESTED, "slow")


class TestFaithful:
    @pytest.mark.parametrize(
        ("region", "random", "verdict", "moves", "null", "ends"),
        [
            ((2, 1, 3), (2, 1, 3), PASSES, "moves the logit more", "regions of the same size", "+2.00 logits, 95 % +1.00 to +3.00"),
            ((-2, -3, -1), (-4, -5, -3), FAILS, "moves the logit less", "regions of the same size", "−2.00 logits, 95 % −3.00 to −1.00"),
            ((1, -1, 3), (2, 1, 3), UNSURE, "does not surely move the logit more", "regions of the same size", "+1.00 logits, 95 % −1.00 to +3.00"),
            ((2, 1, 3), (0.5, -0.001, 1), UNSURE, "does not surely move the logit more", "pixels", "+0.50 logits, 95 % 0.00 to +1.00"),
            ((-1, -2, 0), (-1, -2, 1), UNSURE, "does not surely move the logit more", "regions of the same size", "−1.00 logits, 95 % −2.00 to 0.00"),
        ],
    )  # fmt: skip
    def test_beside_both_nulls(self, region, random, verdict, moves, null, ends):
        """The numbers are those of the null that decides."""
        why = f"replacing what it marks by another face's pixels {moves} than replacing {null} at random ({ends}, 16 images)"
        assert ask("faithful", faith=[faithful(region, random)]) == (verdict, why)

    def test_a_blur_where_there_are_no_donors(self):
        rows = [faithful((2, 1, 3), metric="deletion_blur"), faithful((2, 1, 3), metric="insertion_donor")]
        assert ask("faithful", faith=rows)[1].startswith("replacing what it marks by a blur moves")
        assert ask("faithful", faith=[faithful((-2, -3, -1), (-2, -3, -1)), *rows])[0] == FAILS  # donors first

    def test_not_tested(self):
        few = faithful((2, None, None), (2, None, None))
        assert ask("faithful") == ask("faithful", faith=[few]) == (UNTESTED, "too few images for deletion curves")
        assert ask("faithful", faith=[faithful((2, 1, 3), group="fake")])[0] == UNTESTED
        assert ask("faithful", faith=[few | {"empty": 12}])[1] == "too few images whose map is not empty for deletion curves"
        assert ask("faithful", untested={"hirescam": "it asks too often"}) == (UNTESTED, "it asks too often")


def test_steady():
    assert ask("steady", calm=[stable(0.0)]) == ask("steady", calm=[stable(1e-3)]) == (PASSES, "two looks at the same image agree")
    assert ask("steady", calm=[stable(0.25)]) == (FAILS, "two looks at the same image differ by 25.0% of the map's largest value")
    assert ask("steady") == (UNTESTED, "it was not tested") and ask("steady", untested={"hirescam": "slow"}) == (UNTESTED, "slow")


def four(selftest=UNTESTED, randomised=PASSES, faithful=UNSURE, steady=PASSES):
    said = {"selftest": selftest, "randomised": randomised, "faithful": faithful, "steady": steady}
    return {name: Answer(verdict, f"{name} {verdict}") for name, verdict in said.items()}


def test_together():
    assert together(four()) == UNSURE
    assert together(four(faithful=PASSES)) == together(four(selftest=PASSES)) == PASSES
    assert together(four(randomised=UNTESTED, faithful=UNTESTED, steady=UNTESTED)) == UNTESTED
    assert together(four(randomised=UNTESTED, faithful=UNTESTED)) == UNSURE  # the same twice means nothing
    for name in TESTS:
        assert together(four(**({"selftest": PASSES, "faithful": PASSES} | {name: FAILS}))) == FAILS


class TestMethods:
    def lines(self, found):
        return {line["method"]: line for line in methods(found)}

    def test_where_and_why(self):
        found = {
            ("a", "hirescam"): four(faithful=PASSES), ("b", "hirescam"): four(faithful=PASSES),
            ("a", "gradcam"): four(faithful=PASSES), ("b", "gradcam"): four(randomised=FAILS),
            ("a", "activation"): four(randomised=FAILS), ("b", "activation"): four(randomised=FAILS, faithful=FAILS),
            ("input", "saliency"): four(faithful=PASSES), ("input", "lrp"): four(randomised=FAILS), ("input", "rise"): four(),
        }  # fmt: skip
        lines = self.lines(found)
        assert list(lines) == ["hirescam", "gradcam", "activation", "saliency", "lrp", "rise"]
        assert lines["hirescam"] == {
            "method": "hirescam", "verdict": PASSES, "layers": ["a", "b"], "where": " at every layer", "fails_at": [], "why": "passes at every layer",
        }  # fmt: skip
        assert lines["gradcam"]["verdict"] == PASSES and lines["gradcam"]["fails_at"] == ["b"] and lines["gradcam"]["where"] == " at a"
        assert lines["gradcam"]["why"] == "passes at a; fails at b: randomised fails"
        assert lines["activation"]["verdict"] == FAILS
        assert lines["activation"]["why"] == "fails at every layer: at a, randomised fails; fails at b: faithful fails"
        assert [lines[name]["why"] for name in ("saliency", "lrp", "rise")] == ["passes", "fails: randomised fails", "unsure: faithful unsure"]

    def test_unsure_and_untested(self):
        untested = four(UNTESTED, UNTESTED, UNTESTED, UNTESTED)
        lines = self.lines({("a", "hirescam"): four(), ("b", "hirescam"): four(), ("c", "hirescam"): untested, ("input", "rise"): untested})
        assert lines["hirescam"]["verdict"] == UNSURE and lines["rise"]["verdict"] == UNTESTED
        assert lines["hirescam"]["why"] == "unsure at a, b: at a, faithful unsure; not tested at c: randomised not tested"
        assert lines["rise"]["why"] == "not tested: randomised not tested"
        (line,) = methods({("a", "hirescam"): four(faithful=UNTESTED)})  # nothing was unsure by itself: then by what was not tested
        assert line["why"] == "unsure at a: faithful not tested"
        (line,) = methods({("a", "hirescam"): four(selftest=UNSURE, faithful=UNTESTED)})
        assert line["why"] == "unsure at a: selftest unsure"

    def test_nothing(self):
        assert methods({}) == []


GOOD = {("a", "hirescam"): four(faithful=PASSES), ("b", "hirescam"): four()}


class TestMeaning:
    alone = " No self-test of this architecture is known, so this stands on the images of this run alone."

    def said(self, found, known=KNOWN):
        text = meaning(methods(found), known)
        assert "None " not in text.replace("None of these", "") and "nan" not in text and "  " not in text and text.endswith(".")
        return text

    def test_sentences(self):
        bad = {("a", "activation"): four(randomised=FAILS), ("b", "activation"): four(randomised=FAILS)}
        worse = {("input", "saliency"): four(randomised=FAILS)}
        assert self.said(GOOD) == "Believe HiResCAM at a."
        assert self.said(GOOD, None) == "Believe HiResCAM at a." + self.alone
        one = " Do not read Activation as an explanation: it fails wherever it was tested."
        assert self.said(GOOD | bad) == "Believe HiResCAM at a." + one
        none = "None of these maps has shown that it can be believed."
        assert self.said(bad, None) == none + one
        two = " Do not read Activation, Saliency as explanations: they fail wherever they were tested."
        assert self.said(bad | worse) == none + two
        assert self.said({("a", "hirescam"): four()}, None) == none and self.said({}) == none

    def test_methods_apart_by_what_they_were_told(self):
        found = {("input", f"rise:masks={count}:seed=1"): four(faithful=PASSES) for count in (10, 20)}
        assert self.said(found) == "Believe RISE (masks=10, seed=1); RISE (masks=20, seed=1)."

    def test_every_layer(self):
        assert self.said({(layer, "gradcam"): four(faithful=PASSES) for layer in "ab"}) == "Believe Grad-CAM at every layer."


def test_signed():
    assert [signed(value) for value in (1.0, -1.0, 0.004, -0.004)] == ["+1.00", "−1.00", "0.00", "0.00"]
