"""What a self-test found, in words: every sentence from numbers written by hand."""

import pytest

from train.selftestwords import best_rows, causes, evenly, failures, number, recommendation, sentences, shortcuts, spot, text, unlearnt

NAN = float("nan")


def row(method="hirescam", layer="conv", plant="all", **changes):
    found = {"plant": plant, "layer": layer, "method": method, "images": 40, "empty": 0, "pointing": 0.9, "mass_accuracy": 0.4, "density": 8.2}
    return found | {"score": 0.6, "verdict": "passes"} | changes


def plant(kind="checkerboard", region="eyes", **changes):
    own = {"region": region, "within": "", "images": 16, "net": 5.06, "net_low": 4.0, "net_high": 6.04}
    other = {"region": "hair", "within": "", "images": 16, "net": 0.2, "net_low": -0.1, "net_high": 0.5}
    part = {"region": "left_eye", "within": "eyes", "images": 16, "net": 9.0, "net_low": 8.0, "net_high": 10.0}
    found = {"text": f"{kind}:{region}:60", "kind": kind, "region": region, "accuracy": 0.99, "learnt": True, "shortcut": kind == "watermark"}
    return found | {"whole": region == "picture", "effects": [own, other, part], "first": region, "found": True} | changes


def found(plants=None, rows=None, chosen="hirescam", **changes):
    rows = [row()] if rows is None else rows
    best = max(rows, key=lambda entry: entry["score"]) if rows else {}
    use = next((entry for entry in rows if entry["method"] == chosen and entry["plant"] == "all"), None)
    recommended = None
    if use is not None:
        recommended = {"method": use["method"], "layer": use["layer"], "why": "it pointed there", "regret": 1 - use["score"] / best["score"]}
        recommended |= {"best_method": best["method"], "best_layer": best["layer"]}
    methods = [{"method": entry["method"], "verdict": entry["verdict"]} for entry in best_rows(rows)]
    return {"plants": [plant()] if plants is None else plants, "rows": rows, "methods": methods, "recommended": recommended, "whole": {}} | changes


def test_which_map_to_use():
    assert recommendation(found()) == "Use HiResCAM at conv: it pointed there."
    assert recommendation(found(rows=[row("lrp", "input")], chosen="lrp")) == "Use LRP: it pointed there."
    better = row("rise", "input", score=0.625)
    assert recommendation(found(rows=[row(), better])) == "Use HiResCAM at conv: it pointed there. RISE scored 4.0% better and costs more."
    unsure = recommendation(found(rows=[row(), better | {"verdict": "unsure"}]))
    assert unsure == "Use HiResCAM at conv: it pointed there. RISE scored 4.0% better but does not pass."
    assert recommendation(found(rows=[row(), better | {"score": 0.6002}])) == "Use HiResCAM at conv: it pointed there."


def test_none_to_use():
    assert recommendation(found(rows=[row(verdict="fails")], chosen="")).startswith("No map can be recommended: none pointed at")
    assert recommendation(found(plants=[plant(learnt=False)], rows=[])).startswith("Nothing was learnt, so nothing can be said about maps")


def test_a_shortcut_that_was_caught():
    marked = plant("watermark", "top_left_corner")
    seen = row(plant="watermark:top_left_corner:60", pointing=0.75)
    assert shortcuts(found(plants=[plant(), marked], rows=[row(), seen])) == [
        "The detector that was given a watermark was caught: swapping the top left corner moves the logit by 5.1 (95 % 4.0 to 6.0), more than any "
        "other of 2 regions; HiResCAM at conv points at the watermark in 75% of fakes."
    ]
    assert shortcuts(found(plants=[marked]))[0].endswith("more than any other of 2 regions.")  # no map of it was scored


def test_a_shortcut_that_was_not():
    missed = plant("watermark", "top_left_corner", found=False, first="left_ear")
    assert shortcuts(found(plants=[missed])) == [
        "The detector that was given a watermark was not caught: swapping the top left corner moves the logit by 5.1 (95 % 4.0 to 6.0), "
        "and swapping the left ear moves it more."
    ]


@pytest.mark.parametrize("end", [None, NAN])
def test_a_shortcut_of_which_nothing_is_known(end):
    """Not learnt, not swapped, or in too few images for an interval: nothing is said."""
    blank = plant("watermark", "top_left_corner", effects=[], first=None, found=None)
    few = plant("watermark", "top_left_corner", first=None, found=None)
    rare = plant("watermark", "top_left_corner", first="hair", found=False)
    rare["effects"][0] |= {"net_low": end, "net_high": end}
    plants = [plant(), blank, few, rare, plant("watermark", "picture"), plant("watermark", "top_left_corner", learnt=False)]
    assert shortcuts(found(plants=plants)) == []


def test_failures_and_causes():
    assert failures(
        found(rows=[row(), row("gradcam", verdict="fails"), row("saliency", "input", verdict="fails"), row("lrp", verdict="unsure")])
    ) == ["Grad-CAM, Saliency failed: at no layer did they point at what was planted in half of the fakes."]
    assert failures(found()) == []
    missed = plant(region="nose", found=False, first="upper_lip")
    assert causes(found(plants=[plant(), missed, plant(found=None), plant("watermark")])) == [
        "Swapping regions put the planted one first for 1 of 2 artefacts; not for checkerboard:nose:60 (first: upper lip)."
    ]
    assert causes(found(plants=[plant()])) == ["Swapping regions put the planted one first for 1 of 1 artefacts."]
    assert causes(found(plants=[plant(found=None)])) == []


def test_what_covers_everything():
    whole = {"cast:picture:20": [{"layer": "conv", "method": "hirescam", "half_area": 0.126}, {"layer": "a", "method": "lrp", "half_area": 0.4}]}
    assert evenly(found(whole=whole)) == [
        "Colour cast over the whole picture: no region is right, yet half of the mass of HiResCAM at conv lies on 13% of it. "
        "A narrow map is no proof of a narrow cause."
    ]
    assert evenly(found(whole={"jpeg:picture:97": [{"layer": "conv", "method": "hirescam", "half_area": 0.5}]}))[0].startswith("JPEG blocks over")
    for half in (NAN, None):
        assert evenly(found(whole={"cast:picture:20": [{"layer": "conv", "method": "hirescam", "half_area": half}]})) == []
    assert evenly(found(whole=whole, chosen="")) == [] and evenly(found(whole={"cast:picture:20": []})) == []


def test_what_was_not_learnt():
    assert unlearnt(found(plants=[plant(), plant(learnt=False, accuracy=0.613)])) == ["Not learnt, and left out: checkerboard:eyes:60 (61%)."]
    assert unlearnt(found()) == []


def test_all_of_it_in_order_and_the_table():
    """The best layer of every method, the best method first; a dash where there is no number."""
    rows = [row("gradcam", "early", score=0.1, verdict="fails"), row("gradcam", "late", score=0.2, verdict="fails", mass_accuracy=None, density=NAN)]
    whole = found(plants=[plant(), plant(learnt=False)], rows=[*rows, row(empty=4), row(plant="checkerboard:eyes:60", score=0.99)])
    said = sentences(whole)
    assert [sentence.split()[0] for sentence in said] == ["Use", "Grad-CAM", "Swapping", "Not"]
    lines = text(whole | {"sentences": said}).splitlines()
    assert lines[:4] == said and lines[4] == "" and lines[5].split()[:2] == ["method", "best"]
    assert [line.split() for line in lines[6:]] == [
        ["hirescam", "conv", "90%", "40%", "8.2", "10%", "passes"],
        ["gradcam", "late", "90%", "–", "–", "0%", "fails"],
    ]
    assert len({len(line.rsplit("  ", 1)[0]) for line in lines[5:]}) == 1


def test_small_words():
    assert spot({"method": "rise", "layer": "input"}) == "RISE" and number(None, ".0%") == number(NAN, ".0%") == "–" and number(0.5, ".0%") == "50%"
