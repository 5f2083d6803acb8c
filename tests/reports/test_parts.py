"""Looked at beside used: places on the axes, tables, and the pictures of differences."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reports
from reports import aligned, parts
from reports.run import read


def test_looked_at_beside_used_the_strongest_effect_first(make_run: Callable[..., Path]) -> None:
    pairs = parts.pairs(read(make_run()))
    assert pairs is not None
    assert [row[0] for row in pairs.rows] == ["eyes", "nose", "mouth", "skin"]
    _, looked, used = pairs.rows[1]
    assert looked is not None and used is not None
    assert (looked.text, looked.span, looked.verdict) == ("3 ×", "2.70 to 3.30", "supported")
    assert (used.text, used.verdict, used.note) == ("0.00", "undecided", "≈ 320 images would decide")
    assert pairs.looked.zero == parts.logarithmic(1) == 37.5
    assert used.low < pairs.used.zero == used.at < used.high


def test_parts_that_were_not_tested_are_left_out_unless_all_were(make_run: Callable[..., Path], edit) -> None:
    path = make_run()

    def untested(summary) -> None:
        for entry in summary["uses"][1:]:
            entry["used"] |= {"verdict": "not tested", "value": None, "low": None, "high": None}

    edit(path / "summary.json", untested)
    assert [row[0] for row in parts.pairs(read(path)).rows] == ["eyes"]
    edit(path / "summary.json", lambda summary: summary["uses"][0]["used"].update(verdict="not tested", value=None, low=None, high=None))
    rows = parts.pairs(read(path)).rows
    assert [row[0] for row in rows] == ["eyes", "nose", "mouth", "skin"] and all(row[2] is None for row in rows)


def test_an_interval_without_end_is_drawn_to_the_edge(make_run: Callable[..., Path], edit) -> None:
    path = make_run()
    edit(path / "summary.json", lambda summary: summary["uses"][1]["looked"].update(high=None, verdict="undecided"))
    dot = parts.pairs(read(path)).rows[1][1]
    assert (dot.span, dot.high) == ("2.70 to ∞", 100.0)
    reports.render(path)


def test_a_net_effect_below_zero_is_no_support(make_run: Callable[..., Path], edit) -> None:
    path = make_run()
    edit(path / "summary.json", lambda summary: summary["effects"][0].update(net=-1.0, net_low=-2.0, net_high=-0.5))
    assert parts.effects(read(path))[0].rows[0][3][0].verdict == ""


def test_effects(make_run: Callable[..., Path]) -> None:
    both, fake = parts.effects(read(make_run())), None
    assert [table.group for table in both] == ["both"], fake  # the fakes' numbers are missing
    (table,) = both
    assert [kind[0] for kind in table.kinds] == ["net", "opposite", "same", "patch", "blur"]
    region, inner, images, dots, flips, p = table.rows[0]
    assert (region, inner, images, flips.replace("\u202f", " "), p) == ("eyes", False, 6, "50 %", "0.020")
    assert dots[0].verdict == "supported" and dots[1].verdict == "" and dots[1].span == "0.20 to 2.20"


def test_differences(make_run: Callable[..., Path]) -> None:
    assert parts.differences(read(make_run())) == [("eyes", "conv2d", "HiResCAM", "+10.0", "+5.0 to +15.0", "0.010")]


@pytest.mark.parametrize(("ends", "ticks"), [((0.0, 1.0), 3), ((-0.01, 0.02), 4), ((-300.0, 20.0), 4), ((0.0, 0.0), 3)])
def test_axes_have_a_few_round_ticks(ends: tuple[float, float], ticks: int) -> None:
    axis = parts.axis(*parts.bounds(ends))
    assert 2 <= len(axis.ticks) <= 7 and any(text == "0" for _, text in axis.ticks)


def test_a_sure_difference_is_coloured_and_the_rest_is_grey() -> None:
    values, q = np.zeros((64, 64)), np.ones((64, 64))
    values[30, 30], q[30, 30] = 2.0, 0.01
    q[:5] = np.nan
    content, scale = aligned.draw(values, q)
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    orange, grey, white = pixels[120:124, 120:124].reshape(-1, 3), pixels[200, 4], pixels[2, 2]
    assert scale == 2 and (orange[:, 0] > orange[:, 2] + 60).any()
    assert np.ptp(grey) <= 2 and grey[0] < 230 and white.min() > 250


def test_the_page_says_all_of_it_and_escapes_names(make_run: Callable[..., Path]) -> None:
    page = reports.render(make_run()).read_text(encoding="utf-8")
    for text in ("Looked at, and used", "What swapping a part does", "Where fakes differ from reals", "1 image without parts", "Claim “eyes”"):
        assert text in page
    assert "no&lt;face&gt;.jpg" in page and "no<face>" not in page


def test_without_parts_there_is_no_section(make_run: Callable[..., Path]) -> None:
    assert 'id="parts"' not in reports.render(make_run(labelled=False)).read_text(encoding="utf-8")
