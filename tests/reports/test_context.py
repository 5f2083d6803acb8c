"""The page's numbers and sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import attention, channels, context, filmstrip, gallery, making, performance, words
from reports.drawn import Drawn, MapFile
from reports.run import Run, read
from reports.shelf import Shelf

Edit = Callable[[Path, Callable[[Any], None]], None]
SMALL = [("conv", 4, 128.0, 64.0, 128.0, 2)]


def plain(text: str) -> str:
    return text.replace(words.SPACE, " ")


def spot_of(run: Run) -> context.Focus:
    with MapFile(run.directory / "maps.h5") as maps:
        return context.focus(run, filmstrip.means(run, maps))


def test_order_of_layers_methods_and_groups(make_run: Callable[..., Path]) -> None:
    run = read(make_run())
    assert run.layers == ("conv2d", "conv2d_2", "conv2d_4")
    assert run.methods == ("activation", "gradcam", "hirescam")
    assert run.groups == ("fake", "real", "TP", "FN", "FP", "TN", "all")


def test_focus_takes_the_layer_that_stands_out(make_run: Callable[..., Path]) -> None:
    run = read(make_run())
    flat, peaked = np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32)
    peaked[0, 0] = 0.1
    means = {("fake", layer, "hirescam"): Drawn(flat, 1, 1) for layer in run.layers}
    means["fake", "conv2d_2", "hirescam"] = Drawn(peaked, 0, 0.1)
    assert context.focus(run, means).layer == "conv2d_2"
    assert context.contrast(Drawn(peaked, 0, 0.1)) == pytest.approx(16.0)
    assert context.contrast(Drawn(-flat, -1, -1)) == 0.0


def test_focus_avoids_layers_that_are_mostly_empty(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()

    def mostly_empty(summary: Any) -> None:
        for entry in summary["maps"]:
            if entry["layer"] != "conv2d_4":
                entry["count"], entry["empty"] = 1, 2

    edit(path / "summary.json", mostly_empty)
    assert spot_of(read(path)).layer == "conv2d_4"


def test_verdict_from_the_numbers(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()

    def known(summary: Any) -> None:
        summary["metrics"]["held_out"] |= {"accuracy": 0.8, "accuracy_interval": [0.5, 0.95]}
        summary["metrics"]["all"]["accuracy"] = 0.9
        for entry in summary["maps"]:
            entry["peak"] = [0.46, 0.42]

    edit(path / "summary.json", known)
    run = read(path)
    claim, first, second, third = (plain(s) for s in context.verdict(run, spot_of(run)))
    assert claim.startswith("Claim “eyes”")
    assert first == ("alexnet18 is right on 80 % of 5 images that it was not trained on (95 % interval 50 to 95 %); 90 % including training images.")
    assert second.endswith("where it peaks 42 % from the left, 46 % from the top.")
    assert "“eyes”, which covers 1.2 % of the picture" in third


def test_the_runs_own_finding_comes_first(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()
    edit(path / "summary.json", lambda summary: summary.update(finding=" It looks at the eyes. "))
    run = read(path)
    _, first, second, third = context.verdict(run, spot_of(run))
    assert first == "It looks at the eyes."
    assert second.startswith("alexnet18 is right on")
    assert third.startswith("For fakes, the mean HiResCAM map")


def test_no_evidence_is_said(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()

    def empty(summary: Any) -> None:
        for entry in summary["maps"]:
            entry |= {"count": 0, "empty": 3, "peak": None, "mean_maximum": None}

    edit(path / "summary.json", empty)
    run = read(path)
    spot = spot_of(run)
    assert spot.layer == ""
    assert "no layer's mean map has a positive value" in context.verdict(run, spot)[2]
    tile = next(tile for tile in context.tiles(run, spot) if tile["name"] == "Where it looks")
    assert (tile["value"], tile["note"]) == ("nowhere", "no mean map has a positive value; 9 of 9 maps are empty")


def test_tiles(make_run: Callable[..., Path]) -> None:
    run = read(make_run())
    found = {tile["name"]: tile for tile in context.tiles(run, spot_of(run))}
    assert list(found) == ["Images", "Accuracy", "Where it looks", "What it uses", "Believability", "Skipped"]
    assert found["Images"] == {"name": "Images", "value": "6", "note": "3 real, 3 fake", "href": "#dataset"}
    assert plain(found["Accuracy"]["value"]) == "60 %"  # TN, FN, FP, TP, TN
    assert "including training images: 66.7 %" in plain(found["Accuracy"]["note"])
    assert found["Where it looks"]["value"] == "eyes"
    assert found["Where it looks"]["note"] == "9 × its share of the picture, 4.5 × chance; HiResCAM, conv2d, fake"
    assert (found["What it uses"]["value"], found["What it uses"]["href"]) == ("eyes", "#parts")
    assert plain(found["What it uses"]["note"]) == "swapping it moves the logit by 1.00 (95 % 0.70 to 1.30)"
    assert (found["Believability"]["value"], found["Believability"]["href"]) == ("not tested", "#methods")
    assert (found["Skipped"]["value"], found["Skipped"]["href"]) == ("1", "#skipped")


def test_tiles_of_what_was_not_shown(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()

    def doubtful(summary: Any) -> None:
        for entry in summary["uses"]:
            entry["used"]["verdict"] = "undecided"
        summary["regions"] = []
        verdicts = {"hirescam": "passes", "gradcam": "fails", "activation": "unsure"}
        summary["trust"] = {"methods": [{"method": method, "verdict": verdict} for method, verdict in verdicts.items()]}
        for entry in summary["maps"]:
            entry["peak"] = [0.9, 0.1]

    edit(path / "summary.json", doubtful)
    run = read(path)
    found = {tile["name"]: tile for tile in context.tiles(run, spot_of(run))}
    assert found["Where it looks"]["value"] == "bottom left"
    assert plain(found["Where it looks"]["note"]).startswith("peak 10 % from the left, 90 % from the top; HiResCAM")
    assert (found["What it uses"]["value"], found["What it uses"]["href"]) == ("nothing yet shown", "#look")
    assert found["What it uses"]["note"] == "4 parts swapped, no effect is sure"
    assert found["Believability"]["value"] == "1 of 3 methods pass"
    assert found["Believability"]["note"] == "passes: HiResCAM; fails: Grad-CAM"
    edit(path / "summary.json", lambda summary: summary.update(uses=[]))
    assert context.used_tile(read(path))[0] == "not tested"


def test_without_labels(make_run: Callable[..., Path]) -> None:
    run = read(make_run(labelled=False, layers=SMALL))
    assert run.groups == ("all",)
    assert "no labels" in context.verdict(run, spot_of(run))[0]
    assert performance.table(run) is None
    assert performance.confusion(run) == []
    assert attention.tables(run) == []


def test_confusion_shares_are_of_the_true_class(make_run: Callable[..., Path]) -> None:
    held_out, everything = performance.confusion(read(make_run()))
    cells = {name: (cell["count"], plain(cell["text"])) for name, cell in everything["cells"].items()}
    assert cells == {
        "TP": ("2", "67 %"),
        "FN": ("1", "33 %"),
        "FP": ("1", "33 %"),
        "TN": ("2", "67 %"),
    }
    assert held_out["cells"]["TP"]["count"] == "1"


def test_scores_are_counted_once(make_run: Callable[..., Path]) -> None:
    scores = performance.scores(read(make_run(images=20, layers=SMALL)))
    assert scores is not None
    assert sum(sum(entry["bars"]) for entry in scores["classes"]) == 20
    assert [entry["name"] for entry in scores["classes"]] == ["fake", "real"]


def test_curves(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()
    history = {"loss": [1.0, 0.5, 0.0], "val_loss": [1.0, 1.0, 0.5], "lr": ["x"], "note": "no list"}
    edit(path / "run.json", lambda record: record["card"].update(history=history))
    (curve,) = performance.curves(read(path))
    assert curve["lines"][0] == ("training", "0.0,0.0 160.0,60.0 320.0,120.0", "0")
    assert curve["lines"][1][2] == "0.5"
    epochs = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.0}]
    edit(path / "run.json", lambda record: record["card"].update(history=epochs))
    assert performance.curves(read(path))[0]["lines"] == [("training", "0.0,0.0 320.0,120.0", "0")]
    edit(path / "run.json", lambda record: record.update(card=None))
    assert performance.curves(read(path)) == []


def test_attention_marks_the_densest_part_of_each_layer(make_run: Callable[..., Path]) -> None:
    tables = attention.tables(read(make_run()))
    table = next(t for t in tables if (t.method, t.group) == ("hirescam", "fake"))
    assert [row.region for row in table.rows] == ["eyes", "nose", "mouth", "skin"]
    eyes = table.rows[0].shares
    assert all(share is not None and share.best for share in eyes)
    assert eyes[0] is not None
    assert (eyes[0].density, eyes[0].interval, eyes[0].width, eyes[0].whisker) == ("9", "8.1 to 9.9", 90.9, (81.8, 100.0))
    assert (plain(eyes[0].mass), eyes[0].chance) == ("10.8 %", "4.5 × chance*")
    assert table.one == pytest.approx(10.1)
    assert "at layer conv2d, “eyes”" in table.sentence


def test_empty_regions_name_no_best_part(make_run: Callable[..., Path], edit: Edit) -> None:
    path = make_run()

    def none(summary: Any) -> None:
        for entry in summary["regions"]:
            entry["density"] = None

    edit(path / "summary.json", none)
    assert all(t.rows == () and "No region" in t.sentence for t in attention.tables(read(path)))


def test_a_mean_of_nothing_has_no_picture(make_run: Callable[..., Path]) -> None:
    run = read(make_run())
    with MapFile(run.directory / "maps.h5") as maps:
        means = filmstrip.means(run, maps)
        signs = filmstrip.signed(run, means)
        found = filmstrip.cells(run, maps, means, signs)
    assert signs == {"activation": False, "gradcam": True, "hirescam": True}
    blank = found["fake", "conv2d_4", "gradcam"]
    assert (blank.count, blank.empty, blank.shown, blank.peak) == (0, 3, {}, None)
    full = found["fake", "conv2d_4", "hirescam"].shown
    assert full["mean"].low == f"−{full['mean'].high}"
    assert full["std"].low == "0"
    assert full["sure"].note == "too few images: 8 are needed"
    assert found["fake", "conv2d_4", "activation"].shown["mean"].low == "0"


@given(
    st.dictionaries(st.sampled_from(["TP", "FP", "TN", "FN"]), st.integers(1, 50)),
    st.integers(1, 99),
)
def test_quotas_fill_all_places(sizes: dict[str, int], most: int) -> None:
    places = gallery.quotas(sizes, most)
    assert sum(places.values()) == min(most, sum(sizes.values()))
    assert all(places[name] <= sizes[name] for name in sizes)
    full = [places[name] for name in sizes if places[name] < sizes[name]]
    assert not full or max(full) - min(full) <= 1


@given(st.integers(1, 60), st.integers(1, 60))
def test_spread_takes_different_rows_in_order(size: int, count: int) -> None:
    count = min(size, count)
    rows = gallery.spread(range(size), count)
    assert len(set(rows)) == count
    assert rows == sorted(rows)


def test_channels_are_found_and_limited(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run = read(make_run(layers=[("body/conv", 4, 128.0, 64.0, 128.0, 2), ("conv", 4, 128.0, 64.0, 128.0, 2)]))
    images, left_out = channels.images(run, Shelf())
    assert [[grid.layer for grid in image.grids] for image in images] == [["body/conv", "conv"]] * 2
    assert left_out == 0
    monkeypatch.setattr(channels, "INSIDE", (3, 800, 60))
    images, left_out = channels.images(run, Shelf())
    assert (len(images), left_out) == (2, 1)


def test_how_it_was_made(make_run: Callable[..., Path]) -> None:
    run = read(make_run())
    assert making.command(run) == "whyfake audit model.keras 'my faces' --out audit"
    rows = {title: dict(rows) for title, rows in making.sections(run)}
    assert rows["Run"]["seed"] == "7"
    assert rows["Model"]["sha256"] == "ab" * 32
    assert rows["Model card"] == {"classes": "real, fake", "note": "drawn for tests"}
    assert making.layers(run)[2] == ("conv2d_4", "Conv2D", "10 × 10 × 128", "32", "112", "220")


def test_a_mean_map_below_zero_has_no_peak() -> None:
    entry = {"group": "fake", "layer": "conv", "method": "gradcam", "count": 2, "empty": 0, "peak": [0.5, 0.5]}
    below = np.full((2, 2), -1.0, np.float32)
    found = filmstrip.cell(entry, (below, np.zeros_like(below)), signed=True)
    assert found.peak is None
    assert (found.shown["mean"].low, found.shown["mean"].high) == ("−1", "1")
