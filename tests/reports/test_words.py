"""Numbers as text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import words


@pytest.mark.parametrize("value", [None, "", "nan", "null", math.nan, math.inf, -math.inf, [], True])
def test_what_is_no_number_becomes_a_dash(value: object) -> None:
    texts = (words.number(value), words.percent(value), words.fixed(value))
    assert texts == (words.NONE,) * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1280, "1,280"),
        (0.31249, "0.312"),
        (0.0996, "0.0996"),
        (12.0001, "12"),
        (-2.5, "−2.5"),
        (1234.4, "1,234"),
        (3.2e-5, "3.20 × 10⁻⁵"),
        (7.25e12, "7.25 × 10¹²"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert words.number(value) == text


def test_peak_in_words() -> None:
    text = words.place([0.46, 0.42]).replace(words.SPACE, " ")
    assert text == "42 % from the left, 46 % from the top"
    assert words.place(None) == words.place([0.4]) == words.place([None, 0.2]) == words.NONE


def test_interval() -> None:
    assert words.interval([0.5, 1.0]).replace(words.SPACE, " ") == "50 to 100 %"
    assert words.interval([None, 1.0]) == words.NONE


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_float_is_shown_raw(value: float) -> None:
    for text in (words.number(value), words.percent(value), words.fixed(value)):
        assert text
        assert not {"nan", "inf", "e", "-"} & {text, *text}
