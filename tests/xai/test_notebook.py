"""Results in a notebook: what is shown, and that no name becomes HTML."""

import json
import pickle
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xai
from tests.conftest import tiny_model
from xai.audit import Audited
from xai.explanation import Explanation
from xai.maps.placement import Axis, Placement
from xai.notebook import Told, page_link

HOSTILE = '"><img src=x onerror=alert(1)><script>'
METRICS = {"count": 6, "accuracy": 0.5, "accuracy_interval": [0.25, 0.75], "roc_auc": 0.625}


class Tags(HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data + "\n"


def safe(text):
    """Return the parsed HTML, in which there is nothing that a name brought."""
    shown = Tags(text)
    for tag, attributes in shown.tags:
        assert tag in {"p", "table", "thead", "tbody", "tr", "th", "td", "pre", "a", "code", "figure", "figcaption", "img", "br"}, tag
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
    return shown


def explanation(folder, names, values, layer="conv", method="gradcam"):
    """Return an explanation of 8 x 8 images that lie in a folder."""
    paths = [folder / name for name in names]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path, "PNG")
    axis = Axis(4.0, 2.0, 4.0)
    maps = np.array(values, np.float32).reshape(len(names), 2, 2)
    return Explanation(paths, np.zeros(len(names), np.float32), {(layer, method): maps}, {layer: Placement(axis, axis, (2, 2), (8, 8))})


def test_an_explanation_names_method_layer_and_scale(tmp_path):
    shown = safe(explanation(tmp_path, ["a.png", "b.png"], [[0, 0, 0, 0.25], [-1, -1, -1, -1]])._repr_html_())
    assert "2 images: Grad-CAM, layer conv. Each map has its own scale" in shown.text
    assert "a.png\nfake 0.500\n0 to 0.25" in shown.text
    assert "b.png\nfake 0.500\nempty map: no positive value" in shown.text


def test_an_explanation_escapes_its_names(tmp_path):
    name = HOSTILE.replace("/", "") + ".png"
    shown = safe(explanation(tmp_path, [name], [[1, 0, 0, 0]], layer=HOSTILE, method=HOSTILE)._repr_html_())
    assert shown.text.count(HOSTILE) == 3


def test_an_explanation_shows_eight_and_tells_of_what_is_gone(tmp_path):
    found = explanation(tmp_path, [f"{k}.png" for k in range(9)], np.ones((9, 4)))
    found.paths[0].unlink()
    shown = safe(found._repr_html_())
    assert [tag for tag, _ in shown.tags].count("img") == 7 and [tag for tag, _ in shown.tags].count("figure") == 8
    assert "9 images, the first 8 shown" in shown.text


def test_an_explanation_of_nothing():
    assert Explanation([], np.zeros(0), {}, {}, {"a": "not a file"})._repr_html_() == "<p>0 images</p><p>skipped 1 unreadable file</p>"


@pytest.fixture
def audited(tmp_path):
    """An audit that found hostile things."""
    summary = {"images": {"read": 1200, "skipped": 1}, "metrics": {"held_out": METRICS, "all": None}, "finding": HOSTILE}
    summary |= {"verdicts": [f"Claim {HOSTILE}"], "notes": ["Mind this."], "trust": {"meaning": "Believe HiResCAM."}}
    return Audited(tmp_path / "javascript:x", summary, {})


def test_an_audit_shows_its_verdict_and_numbers(audited):
    shown = safe(audited._repr_html_())
    lines = shown.text.splitlines()
    assert lines[:4] == [HOSTILE, f"Claim {HOSTILE}", "Believe HiResCAM.", "Mind this."]
    assert lines[4:8] == ["Images read", "1,200", "Skipped", "1"]
    assert "50.0% of 6 (95 % 25.0% to 75.0%)" in lines and "0.625" in lines
    assert f"reports.render('{audited.folder}')" in shown.text


def test_a_link_to_the_page_is_a_path_and_no_scheme(audited, monkeypatch):
    audited.folder.mkdir()
    (audited.folder / "index.html").touch()
    assert safe(audited._repr_html_()).tags[-1][1]["href"].startswith("file:///")
    monkeypatch.chdir(audited.folder.parent)
    ((_, _), (tag, attributes)) = safe(page_link(Path("javascript:x"))).tags
    assert (tag, attributes["href"]) == ("a", "./javascript%3Ax/index.html")


def test_a_detector_shows_what_it_is(tiny):
    shown = " ".join(safe(tiny._repr_html_()).text.split())
    assert "tiny" in shown and "8 x 8, RGB, 0 to 255, crop: none, resize: area" in shown
    assert "input of the sigmoid in 'out'; high means fake, fake from a score of 0.5" in shown
    assert "1 that can be mapped" in shown and "default method hirescam" in shown


def test_a_detector_escapes_its_name():
    shown = safe(xai.wrap(tiny_model(), name=HOSTILE)._repr_html_())
    assert HOSTILE in shown.text


def test_a_black_box_shows_that_it_has_no_layers():
    shown = safe(xai.blackbox(lambda images: images[:, 0, 0, 0], 8, name=HOSTILE)._repr_html_())
    assert HOSTILE in shown.text and "none: only answers are known" in shown.text and "not known" in shown.text


def test_numbers_with_a_text_stay_numbers():
    found = Told({"name": HOSTILE}, "{0[name]}".format)
    assert safe(found._repr_html_()).text.strip() == HOSTILE
    assert json.loads(json.dumps(found)) == {"name": HOSTILE} == found
    assert type(found | {}) is dict
    assert pickle.loads(pickle.dumps(found))._repr_html_() == found._repr_html_()
