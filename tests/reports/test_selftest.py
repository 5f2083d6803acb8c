"""The page of a self-test: a record written by hand, with what may be missing from it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import reports
from reports import leaderboard, selftest, words
from tests.reports.test_html import Tags, rendered
from xai import store
from xai.errors import RunError

EVIL = '"><img src=x onerror=alert(1)>'
# method, layer: the share of fakes in which it points at the artefact
POINTS = {("saliency", "input"): 0.9, ("gradcam", "conv"): 0.75, ("gradcam", "last"): 0.2, ("activation", "conv"): 0.3, ("activation", "last"): 0.1}
MEASURES = ("pointing", "mass_accuracy", "density", "rank_accuracy", "iou")


def row(plant: str, pair: tuple[str, str], pointing: float, images: int = 60, empty: int = 3) -> dict[str, Any]:
    """Return a row of the leaderboard; every share is that of pointing, the density ten times it."""
    method, layer = pair
    found: dict[str, Any] = {
        "plant": plant,
        "layer": layer,
        "method": method,
        "images": images,
        "empty": empty,
        "area_share": 0.01,
        "half_area": 0.05,
    }
    for name in MEASURES:
        value = 10 * pointing if name == "density" else pointing
        found |= {name: value, f"{name}_low": 0.9 * value, f"{name}_high": 1.1 * value}
    verdict = "passes" if pointing > 0.5 else "fails"
    return found | {"score": pointing, "verdict": verdict if plant == "all" else ""}


def plant(text: str, learnt: bool = True, first: str = "eyes") -> dict[str, Any]:
    """Return what is known of an artefact."""
    kind, region, strength = text.split(":")
    effects = [
        {"region": name, "within": within, "images": 16, "net": net, "net_low": net and net - 1, "net_high": net and net + 1}
        for name, within, net in ((region, "", 12.5), ("bottom_left_corner", "", 0.25), ("left_eye", "eyes", 6.0), ("glasses", "", None))
    ]
    return {
        "text": text, "name": text.replace(":", "-"), "kind": kind, "region": region, "strength": float(strength), "shortcut": kind == "watermark",
        "whole": region == "picture", "sentence": "", "accuracy": 1.0 if learnt else 0.5, "accuracy_interval": [0.97, 1.0], "held_out": 120,
        "epochs": 3 if learnt else 0, "images": 60, "training": {"real": 9, "fake": 9}, "area_share": 0.014, "learnt": learnt,
        "effects": effects if learnt else [], "found": region == first if learnt and region != "picture" else None, "first": first if learnt else "",
        "seconds": 56.1, "skipped": {},
    }  # fmt: skip


PLANTS = ("checkerboard:eyes:60", "checkerboard:hair:40", "watermark:bottom_right_corner:120", "cast:picture:20")


def record() -> dict[str, Any]:
    """Return a self-test that recommends saliency."""
    plants = [plant(PLANTS[0]), plant(PLANTS[1], first="eyes"), plant(PLANTS[2], first="bottom_right_corner"), plant(PLANTS[3])]
    rows = [row("all", pair, share, 120, 6) for pair, share in POINTS.items()]
    rows += [row(text, pair, share) for text in PLANTS[:3] for pair, share in POINTS.items()]
    methods = [
        {"method": "saliency", "verdict": "passes", "layers": ["input"], "fails_at": [], "best": "input", "score": 0.9, "why": "yes"},
        {"method": "gradcam", "verdict": "passes", "layers": ["conv"], "fails_at": ["last"], "best": "conv", "score": 0.75, "why": "there"},
        {"method": "activation", "verdict": "fails", "layers": [], "fails_at": ["conv", "last"], "best": "conv", "score": 0.3, "why": "no"},
    ]
    chosen = {"method": "saliency", "layer": "input", "score": 0.9, "best": 0.9, "why": "it points", "regret": 0.0}
    best = {"best_method": "saliency", "best_layer": "input"}
    return {
        "whyfake": "0.1.0", "subject": "lenet", "network": "lenet", "architecture": "ab" * 8, "size": 256, "images": "drawn portraits",
        "settings": {"size": 256, "photos": False, "plants": list(PLANTS)}, "plants": plants, "rows": rows, "methods": methods,
        "transferred": [{"plant": PLANTS[0], "layer": "conv", "method": "gradcam", "score": 0.75, "best": 0.9, "regret": 1 / 6} | best],
        "recommended": chosen | best,
        "whole": {PLANTS[3]: [{"layer": layer, "method": method, "images": 15, "empty": 3, "half_area": 0.07} for method, layer in POINTS]},
        "versions": {"keras": "3.15.0"}, "machine": {"cores": 2}, "command": ["whyfake", "selftest", "lenet"], "seconds": 480.5,
        "sentences": ["Use Saliency: it points.", "Swapping regions put the planted one first for 1 of 2 artefacts."],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a self-test, changed by `how`, with an example of the first artefact."""

    def make(how: Callable[[Any], Any] = lambda found: None) -> Path:
        found = record()
        how(found)
        store.write_json(tmp_path / "selftest.json", found)
        (tmp_path / "checkerboard-eyes-60").mkdir(exist_ok=True)
        Image.new("RGB", (8, 4), "red").save(tmp_path / "checkerboard-eyes-60" / "example.png")
        return tmp_path

    return make


def text_of(folder: Path) -> str:
    page = Tags(rendered(folder))
    assert all(a["src"].startswith("data:image/png;base64,") for tag, a in page.tags if tag == "img")
    assert not any(tag == "script" for tag, _ in page.tags) and not any("onerror" in a for _, a in page.tags)
    text = " ".join(" ".join(page.text).replace(words.SPACE, " ").replace("\u00a0", " ").split())
    assert not re.search(r"\b(None|nan)\b", text)
    return text


class TestPage:
    def test_everything(self, folder) -> None:
        path = folder()
        text = text_of(path)
        for part in (
            "Which map tells the truth on lenet?", "Use Saliency: it points.", "Use Saliency It points at the artefact 90 % of 120 fakes",
            "Methods that pass 2 of 3 1 fail, 0 unsure", "Found by swapping regions 2 of 3", "Artefacts learnt 4 of 4",
            "Measured on drawn portraits.", "whyfake selftest lenet", "Saliency ✓ passes the image the image 120 90 % (81 to 99 %)",
            "Grad-CAM ✓ passes conv conv 120 75 % (68 to 82 %)", "Activation ✗ fails – conv 120",
            "colour cast the whole picture 20", "checkerboard, eyes: the first of 3 regions", "eyes ← planted 16 12.50 11.50 to 13.50",
            "glasses 16 – –", "bottom left corner", "Points, eyes Points, hair Points, bottom right corner", "colour cast: on how little",
            "Short by checkerboard:eyes:60 Grad-CAM at conv 0.750 Saliency 0.900 16.7 %", "keras", "480.5",
        ):  # fmt: skip
            assert part in text, part
        assert "Slow methods" not in text
        sections = ("Leaderboard", "What was planted", "Swapped regions", "Every map", "Does it carry over?", "Whole pictures", "How this was made")
        assert [text.index(title) for title in sections] == sorted(text.index(title) for title in sections)
        assert sum(tag == "img" for tag, _ in Tags(rendered(path)).tags) == 2 + 1  # two matrices, one example

    def test_bytes(self, folder) -> None:
        path = folder()
        assert reports.render(path) == path / "index.html"
        assert reports.render(path).read_bytes() == reports.render(path).read_bytes()

    def test_a_slow_method_on_few_images_is_said(self, folder) -> None:
        text = text_of(folder(lambda found: found["rows"][0].update(images=4, empty=0)))
        assert "Slow methods were scored on 4 fakes only" in text

    def test_photos(self, folder) -> None:
        assert "Measured on drawn portraits" not in text_of(folder(lambda found: found.update(images="photos")))

    def test_nothing_recommended(self, folder) -> None:
        """No map passes: the leaderboard stands, no method is named above it."""

        def none(found: Any) -> None:
            found.update(recommended=None, sentences=["No map can be recommended."])
            for entry in found["methods"]:
                entry.update(verdict="fails", layers=[])
            for entry in found["rows"]:
                entry["verdict"] = "fails" if entry["plant"] == "all" else ""

        text = text_of(folder(none))
        assert "No map can be recommended. Methods that pass 0 of 3 3 fail, 0 unsure" in text and "✓" not in text and "Every method and layer" in text

    def test_nothing_learnt(self, folder) -> None:
        def nothing(found: Any) -> None:
            found.update(recommended=None, rows=[], methods=[], transferred=[], whole={}, sentences=["Nothing was learnt."])
            found["plants"] = [plant(text, learnt=False) for text in PLANTS]

        text = text_of(folder(nothing))
        assert "Artefacts learnt 0 of 4" in text and "50 % (not learnt, left out)" in text and "Found by swapping regions 0 of 0" in text
        assert not any(title in text for title in ("Leaderboard", "Swapped regions", "Every map", "Whole pictures", "Does it carry over?"))

    def test_only_shortcuts(self, folder) -> None:
        """The watermark alone: nothing to carry over, no whole picture."""

        def shortcuts(found: Any) -> None:
            found["rows"] = [row("all", pair, share) for pair, share in POINTS.items()] + [
                row(PLANTS[2], pair, share) for pair, share in POINTS.items()
            ]
            found.update(plants=found["plants"][2:3], transferred=[], whole={})

        text = text_of(folder(shortcuts))
        assert "watermark, bottom right corner: the first of 3 regions" in text and "Points, bottom right corner" in text
        assert "Does it carry over?" not in text and "Whole pictures" not in text

    def test_two_artefacts_of_one_region_are_told_apart(self, folder) -> None:
        def twice(found: Any) -> None:
            for entry in found["rows"]:
                entry["plant"] = entry["plant"].replace("checkerboard:hair:40", "noise:eyes:40")

        assert "Points, checkerboard:eyes:60 Points, noise:eyes:40 Points, bottom right corner" in text_of(folder(twice))

    def test_a_map_that_is_always_empty(self, folder) -> None:
        def empty(found: Any) -> None:
            for entry in found["rows"]:
                if entry["method"] == "activation":
                    entry |= dict.fromkeys(("mass_accuracy", "mass_accuracy_low", "mass_accuracy_high", "density", "half_area"), None)
                    entry["empty"] = entry["images"]

        assert "Activation ✗ fails – conv 120 30 % (27 to 33 %) – – 30 % 30 % 100 %" in text_of(folder(empty))

    def test_without_examples(self, folder) -> None:
        path = folder()
        (path / "checkerboard-eyes-60" / "example.png").unlink()
        assert sum(tag == "img" for tag, _ in Tags(rendered(path)).tags) == 2
        (path / "checkerboard-eyes-60" / "example.png").write_bytes(b"half a picture")
        with pytest.raises(RunError, match="picture 'checkerboard, eyes' cannot be read"):
            reports.render(path)

    def test_hostile_texts_are_text(self, folder) -> None:
        def evil(found: Any) -> None:
            found.update(subject=EVIL, sentences=[EVIL], command=["whyfake", EVIL], versions={EVIL: EVIL})
            found["plants"][0].update(kind=EVIL)
            found["plants"][0]["effects"][1].update(region=EVIL)
            found["settings"]["plants"] = [EVIL]
            for entry in (*found["rows"], *found["methods"], found["recommended"]):
                for key in ("layer", "best"):
                    if entry.get(key) == "conv":
                        entry[key] = r"$\frac{" + EVIL
            found["methods"][1]["layers"] = [EVIL]

        path = folder(evil)
        assert EVIL in text_of(path) and Tags(rendered(path)).text.count(EVIL) >= 4

    @pytest.mark.parametrize(
        ("how", "lacks"),
        [
            (lambda found: found.pop("whole"), "'whole'"),
            (lambda found: found.pop("recommended"), "'recommended'"),
            (lambda found: found["rows"][0].pop("pointing_low"), "'pointing_low'"),
            (lambda found: found["rows"][0].update(images=0), "division"),
            (lambda found: found["plants"][0].pop("area_share"), "'area_share'"),
            (lambda found: found["methods"][0].update(verdict="splendid"), "'splendid'"),
            (lambda found: found["methods"][0].update(best="nowhere"), "a map"),
            (lambda found: found["recommended"].update(layer="nowhere"), "a map"),
            (lambda found: found.update(rows=[1]), "not subscriptable"),
            (lambda found: found["rows"][5].update(plant="eyes"), "list index"),
            (lambda found: found.update(plants=None), "not iterable"),
        ],
    )
    def test_damaged(self, folder, how, lacks) -> None:
        with pytest.raises(
            RunError, match=f"^selftest.json in .* has an entry that lacks or garbles .*{lacks}.*; run the same 'whyfake self"
        ) as caught:
            reports.render(folder(how))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("key", selftest.NEEDED)
    def test_what_is_needed_is_named(self, folder, key) -> None:
        with pytest.raises(RunError, match=f"selftest.json in .* lacks '{key}'; run the same 'whyfake selftest' command again"):
            reports.render(folder(lambda found: found.pop(key)))

    def test_broken(self, folder) -> None:
        path = folder()
        (path / "selftest.json").write_text(json.dumps(record())[:100])
        with pytest.raises(RunError, match=r"selftest\.json in .* cannot be read"):
            reports.render(path)


class TestMatrix:
    def test_size_and_bytes(self) -> None:
        """A column per layer, a row per method, the best first; the same rows give the same bytes."""
        rows = [row("all", pair, share) for pair, share in POINTS.items()]
        drawn = leaderboard.matrix(rows, "pointing")
        with Image.open(io.BytesIO(drawn)) as image:
            assert image.size == (round((2.2 + 0.85 * 3) * 110), round((0.9 + 0.3 * 3) * 110))
        assert leaderboard.matrix(rows, "pointing") == drawn != leaderboard.matrix([entry | {"pointing": 0.4} for entry in rows], "pointing")

    def test_what_is_missing_is_a_dash(self) -> None:
        """As if there were no such map."""
        rows = [row("all", ("saliency", "input"), 0.9), row("all", ("gradcam", "conv"), 0.2)]
        assert leaderboard.matrix([rows[0], rows[1] | {"pointing": None}], "pointing") == leaderboard.matrix(
            [rows[0], rows[1] | {"pointing": float("nan")}], "pointing"
        )

    def test_one_map(self) -> None:
        assert leaderboard.matrix([row("all", ("saliency", "input"), 0.9)], "mass_accuracy").startswith(b"\x89PNG")
