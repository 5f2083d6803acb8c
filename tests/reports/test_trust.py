"""What a page says of its own maps: marks, sentences, tables and charts of a summary written by hand."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import reports
from reports import trust, trustcharts
from reports.run import read
from tests.reports.conftest import LAYERS, METHODS
from tests.reports.test_html import HOSTILE, Tags, rendered
from xai.errors import RunError

NAMES = tuple(layer[0] for layer in LAYERS)
EVIL = '"><img src=x onerror=alert(1)>'
VERDICTS = {"activation": "fails", "gradcam": "unsure", "hirescam": "passes"}
STAGES = ("dense", *reversed(NAMES))
TESTS = ("selftest", "randomised", "faithful", "steady")
FRACTIONS = (0.0, 0.01, 0.1, 1.0)
PNG = b"\x89PNG\r\n\x1a\n"


def told(layers: Sequence[str] = NAMES, methods: Sequence[str] = METHODS, curve: str = "deletion_donor", why: str = "because of <this>") -> Any:
    """Return an entry `trust` of summary.json; activation fails, Grad-CAM is unsure, the rest passes."""
    pairs = [(layer, method) for layer in layers for method in methods]
    verdict = {pair: VERDICTS.get(pair[1], "passes") for pair in pairs}
    answers = {pair: {name: {"verdict": said, "why": why} for name in TESTS} for pair, said in verdict.items()}
    for pair in pairs:
        answers[pair]["selftest"] = {"verdict": "not tested", "why": "no self-test"}
    nulls = [("", "random"), ("", "region")]
    ends = {"over_random": 2.0, "over_random_low": 1.0, "over_random_high": 3.0, "over_region": 1.5, "over_region_low": 0.5, "over_region_high": 2.5}
    faithful = [
        {"group": group, "layer": layer, "method": method, "metric": metric, "images": 16, "empty": 0, "value": -11.25, "p": 0.01, "p_holm": 0.02}
        | (ends if layer else dict.fromkeys(ends))
        for group in ("both", "fake")
        for metric in (curve, "road")
        for layer, method in [*pairs, *nulls]
    ]
    curves = [
        {"group": "both", "layer": layer, "method": method, "curve": curve, "fraction": fraction, "logit": 5 - 10 * fraction}
        for layer, method in [*pairs, *nulls]
        for fraction in FRACTIONS
    ]
    rank = {"rank": 0.25, "rank_low": -0.001, "rank_high": 0.5}
    against = [("randomised", stage) for stage in STAGES] + [("randomised", "above"), ("baseline", "edges"), ("baseline", "random twin")]
    similar = [
        {"layer": a, "method": b, "test": test, "against": name, "images": 16, "undefined": 0} | rank for a, b in pairs for test, name in against
    ]
    spans = {"sensitivity": 0.2, "sensitivity_low": 0.1, "sensitivity_high": 0.3, "lipschitz": 2e-6, "lipschitz_low": 1e-6, "lipschitz_high": 3e-6}
    return {
        "images": 16, "checked": 12, "meaning": f"Believe them {why}.", "recommended": None, "stages": list(STAGES), "untested": {},
        "tests": dict.fromkeys(TESTS, ""), "similar": similar, "faithful": faithful, "curves": curves,
        "methods": [{"method": name, "verdict": VERDICTS.get(name, "passes"), "layers": [], "fails_at": [], "why": why} for name in methods],
        "maps": [{"layer": pair[0], "method": pair[1], "verdict": verdict[pair], "answers": answers[pair]} for pair in pairs],
        "stable": [{"layer": a, "method": b, "images": 16, "difference": 0.0} | spans for a, b in pairs],
    }  # fmt: skip


def at_stages(entry: Any, names: Sequence[str]) -> None:
    """Give the stages of the cascade other names."""
    other = dict(zip(STAGES, names, strict=False))
    entry["stages"] = list(names)
    entry["similar"] = [row | {"against": other.get(row["against"], row["against"])} for row in entry["similar"]]


@pytest.fixture
def believed(make_run: Callable[..., Path], edit) -> Callable[..., Path]:
    """Return a function that makes a run whose summary holds such an entry, changed by `how`."""

    def make(how: Callable[[Any], Any] = lambda entry: None, entry: Any = None, **options: Any) -> Path:
        path = make_run(**options)
        entry = entry or told()
        how(entry)
        edit(path / "summary.json", lambda summary: summary.update(trust=entry))
        return path

    return make


class TestPage:
    def test_every_part(self, believed) -> None:
        path = believed()
        page = Tags(rendered(path))
        text = " ".join(" ".join(page.text).split())
        for part in (
            "Can you believe this?", "Each one was tested on 16 images of this run", "Believe them because of <this>.", "Every map, every test",
            "Does it mark what the network uses?", "Does it depend on the network?", "from the logit down, on 12 images", "Finds what was planted",
            "no self-test", "ROAD", "random weights above the layer", "Max-sensitivity", "2.0 × 10⁻⁶ (1.0 × 10⁻⁶ to 3.0 × 10⁻⁶)",
        ):  # fmt: skip
            assert part in text, part
        section = rendered(path).split('<section id="trust"')[1].split("</section>")[0]
        assert "Not tested:" not in section and not re.search(r"\b(None|nan)\b", re.sub('src="[^"]*"', "", section))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert ids.index("parts") < ids.index("trust") < ids.index("performance")
        assert [a["href"] for tag, a in page.tags if tag == "a"].count(
            "#trust"
        ) == 1 + 2 + 9  # the navigation, a tile and an alert, and a mark for every map
        pictures = [a for tag, a in page.tags if tag == "img" and re.search("curves|correlation", a.get("alt", ""))]
        assert len(pictures) == 2 and all(a["src"].startswith("data:image/png;base64,") and int(a["width"]) > 500 for a in pictures)

    def test_marks_stand_beside_the_maps(self, believed) -> None:
        text = rendered(believed())
        page = Tags(text)
        marks = [a["class"] for tag, a in page.tags if tag == "a" and a.get("href") == "#trust" and "class" in a]
        assert sorted(marks) == ["mark fails"] * 3 + ["mark passes"] * 3 + ["mark unsure"] * 3
        data = json.loads(page.json)
        assert data["marks"] == [["Fails: because of <this>.", "", ""]] * 3
        assert "mark-note" in {a.get("id") for _, a in page.tags}
        assert "Believe them because of &lt;this&gt;." in text.split('id="look"')[0]  # the first screen

    def test_bytes(self, believed) -> None:
        path = believed()
        assert reports.render(path).read_bytes() == reports.render(path).read_bytes()

    @pytest.mark.parametrize("entry", [None, "missing"])
    def test_a_run_without_it(self, make_run, edit, entry) -> None:
        """Older runs, and those that were told --checks 0."""
        path = make_run()
        assert "trust" not in json.loads((path / "summary.json").read_text())
        if entry is None:
            edit(path / "summary.json", lambda summary: summary.update(trust=None))
        text = rendered(path)
        assert 'id="trust"' not in text and 'href="#trust"' not in text
        assert json.loads(Tags(text).json)["marks"] == [[""] * 3] * 3
        assert trust.trust(read(path)) is None and trust.marks(read(path)) == trust.reasons(read(path)) == {}

    def test_hostile_texts_are_text(self, believed) -> None:
        layers = [(EVIL, 4, 128.0, 64.0, 128.0, 2)]
        entry = told([EVIL], METHODS, why=EVIL)
        at_stages(entry, (EVIL, r"$\bad{"))
        entry["untested"] = {EVIL: EVIL, f"above: {EVIL}": "<b>"}
        entry["similar"] += [row | {"against": EVIL} for row in entry["similar"] if row["against"] == "edges"]
        page = Tags(rendered(believed(entry=entry, layers=layers)))
        assert not any("onerror" in attributes for _, attributes in page.tags)
        assert [a["type"] for tag, a in page.tags if tag == "script" and "type" in a] == ["application/json", "text/plain"]
        assert all(a["src"].startswith("data:") for tag, a in page.tags if tag == "img" and "src" in a)
        assert page.text.count(EVIL) >= 10 and any(HOSTILE[:-4] in text for text in page.text)

    @pytest.mark.parametrize(
        ("how", "lacks"),
        [
            (lambda entry: entry.pop("maps"), "'maps'"),
            (lambda entry: entry.update(maps=[]), "list index"),
            (lambda entry: entry.update(maps=[3]), "not subscriptable"),
            (lambda entry: entry.update(images="many"), "many"),
            (lambda entry: entry["maps"][0].update(verdict="splendid"), "'splendid'"),
            (lambda entry: entry["maps"][0]["answers"]["faithful"].pop("why"), "'why'"),
            (lambda entry: entry["maps"][3].update(answers=None), "NoneType"),
            (lambda entry: entry["methods"][0].pop("why"), "'why'"),
            (lambda entry: entry["curves"][0].pop("fraction"), "'fraction'"),
            (lambda entry: entry["similar"][0].pop("against"), "'against'"),
            (lambda entry: entry["faithful"][0].pop("over_region"), "'over_region'"),
            (lambda entry: entry["stable"].append({}), "'method'"),
            (lambda entry: entry.update(untested=["rise"]), "no attribute"),
        ],
    )
    def test_damaged(self, believed, how, lacks) -> None:
        with pytest.raises(RunError, match=f"^summary.json in .* has an entry on trust that lacks or garbles .*{lacks}.*; run the same") as caught:
            reports.render(believed(how))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("entry", [[1], "yes", 3])
    def test_no_entry_at_all(self, make_run, edit, entry) -> None:
        path = make_run()
        edit(path / "summary.json", lambda summary: summary.update(trust=entry))
        with pytest.raises(RunError, match="has an entry on trust"):
            reports.render(path)


class TestNumbers:
    def test_tables(self, believed) -> None:
        found = trust.trust(read(believed()))
        assert found is not None
        assert found.layers == list(NAMES) and found.methods[0] == ("Activation", "fails", "✗", "because of <this>")
        assert found.grid[2] == ("HiResCAM", [("passes", "✓")] * 3)
        assert [title for title, _ in found.tests] == ["Finds what was planted", "Marks what is used", "Depends on the network", "Is the same twice"]
        assert found.maps[1][:4] == ("Grad-CAM", "conv2d", "unsure", "?") and found.maps[1][4][0] == ("selftest", "not tested", "–", "no self-test")
        header, rows = found.faithful
        assert header == [("Deletion, donor", "logits"), ("ROAD", "logits")] and len(rows) == 9
        assert rows[0] == ("Activation", "conv2d", [("−11.2", "+1.5", "+0.5 to +2.5", True)] * 2)
        names, rows = found.baselines
        assert names == ["random weights above the layer", "edges", "random weights everywhere"]
        assert rows[0] == ("Activation", "conv2d", ["0.25 (0.00 to 0.50)"] * 3)
        assert found.stable[0] == ("Activation", "conv2d", "0.20 (0.10 to 0.30)", "2.0 × 10⁻⁶ (1.0 × 10⁻⁶ to 3.0 × 10⁻⁶)")

    def test_what_is_not_known_is_a_dash(self) -> None:
        row = dict.fromkeys(("value", *(f"over_{null}{end}" for null in ("random", "region") for end in ("", "_low", "_high"))))
        assert trust.measured(None) is None and trust.measured(row) is None
        assert trust.measured(row | {"value": 0.5}) == ("0.5", "", "", False)
        assert trust.measured(row | {"value": 0.5, "over_region": -2}) == ("0.5", "−2", "", False)  # too few images for an interval
        assert trust.spanned({}, "rank") == "–" and trust.spanned({"rank": -0.2, "rank_low": None}, "rank") == "−0.20"

    def test_a_method_that_does_not_map_every_layer(self, believed) -> None:
        """A method of the image itself has one mark, the others none there."""
        entry = told()
        entry["maps"] = [one for one in entry["maps"] if one["method"] != "gradcam" or one["layer"] == "conv2d"]
        found = trust.trust(read(believed(entry=entry)))
        assert found.grid[1] == ("Grad-CAM", [("unsure", "?"), None, None])

    def test_what_was_left_out(self, believed) -> None:
        black = {"randomised": "a black box", "random twin": "a black box", "rise:masks=20": "slow", "above: conv": "no weights"}
        path = believed(lambda entry: entry.update(untested=black))
        assert "Not tested: random weights (a black box); RISE (masks=20) (slow); random weights above conv (no weights)." in rendered(path)
        assert trust.untested({"random twin": "why", "randomised: dense": "overflow"}) == [
            ("random weights everywhere", "why"), ("random weights dense", "overflow"),
        ]  # fmt: skip

    def test_reasons(self, believed) -> None:
        """The first test that fails, in the order of the page."""

        def two(entry: Any) -> None:
            entry["maps"][0]["answers"] |= {"randomised": {"verdict": "fails", "why": "random"}, "faithful": {"verdict": "fails", "why": "faithful"}}

        assert trust.reasons(read(believed(two)))["conv2d", "activation"] == "Fails: faithful."


def size(drawn: bytes | None) -> tuple[int, int]:
    assert drawn is not None and drawn.startswith(PNG) and b"Software" not in drawn
    with Image.open(io.BytesIO(drawn)) as image:
        assert np.asarray(image.convert("L")).std() > 5
        return image.size


class TestCharts:
    def test_the_same_numbers_give_the_same_bytes(self) -> None:
        for draw in (self.curves, self.cascade):
            assert draw(told()) == draw(told())

    def curves(self, entry: Any, layers: Sequence[str] = NAMES, methods: Sequence[str] = METHODS) -> bytes | None:
        return trustcharts.curves(entry["curves"], methods, layers)

    def cascade(self, entry: Any, layers: Sequence[str] = NAMES, methods: Sequence[str] = METHODS) -> bytes | None:
        return trustcharts.cascade(entry["similar"], entry["stages"], methods, layers)

    def test_one_method_at_one_layer(self) -> None:
        entry = told(NAMES[:1], ("hirescam",))
        for drawn in (self.curves(entry, NAMES[:1], ("hirescam",)), self.cascade(entry, NAMES[:1], ("hirescam",))):
            width, height = size(drawn)
            assert 400 < width < 600 and 200 < height < 400

    def test_eight_methods_at_one_layer(self) -> None:
        """Three in a row."""
        methods = (*METHODS, "layercam", "xgradcam", "gradcampp", "activation_max", "activation_top")
        entry = told(NAMES[:1], methods)
        for drawn in (self.curves(entry, NAMES[:1], methods), self.cascade(entry, NAMES[:1], methods)):
            width, height = size(drawn)
            assert 1200 < width < 1300 and 850 < height < 1000

    def test_without_donors_the_blur(self) -> None:
        blur, donor = told(curve="deletion_blur"), told()
        assert self.curves(blur) is not None and self.curves(blur) != self.curves(donor)
        both = {"curves": donor["curves"] + blur["curves"]}
        assert self.curves(both) == self.curves(donor)

    def test_a_method_without_curves(self) -> None:
        """A slow one: the others are drawn, it is left out."""
        entry = told(methods=METHODS[:2])
        assert self.curves(entry) == self.curves(entry, methods=METHODS[:2]) and self.cascade(entry) == self.cascade(entry, methods=METHODS[:2])

    def test_nothing_to_draw(self, believed) -> None:
        assert trustcharts.curves([], METHODS, NAMES) is trustcharts.cascade([], STAGES, METHODS, NAMES) is None
        assert trustcharts.cascade(told()["similar"], [], METHODS, NAMES) is None
        text = rendered(believed(lambda entry: entry.update(curves=[], similar=[], faithful=[], stable=[], stages=[])))
        assert 'id="trust"' in text and "Does it mark what" not in text and "Does it depend on the network?" not in text

    def test_maps_that_turned_constant_have_no_point(self) -> None:
        entry = told()
        for row in entry["similar"]:
            row["rank"] = None
        size(self.cascade(entry))

    def test_names_that_look_like_formulas(self) -> None:
        layers = (r"a/$\frac{", "b/$x$")
        methods = ("hirescam", r"lrp:composite=$\sqrt{")
        entry = told(layers, methods)
        at_stages(entry, (r"$\nope", *layers))
        size(self.curves(entry, layers, methods))
        size(self.cascade(entry, layers, methods))

    def test_layers_of_the_same_name_in_two_places_have_a_line_each_in_the_legend(self) -> None:
        one, two = (told(layers, ("hirescam",)) for layers in (("a/conv", "b/conv"), ("a/conv", "b/other")))
        assert size(self.curves(one, ("a/conv", "b/conv"), ("hirescam",))) == size(self.curves(two, ("a/conv", "b/other"), ("hirescam",)))
