"""Sums without rounding."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.errors import RunError
from xai.exact import BITS, ROOM, Total, carried, halves

numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=30)


def total(values, cells=1):
    """The total of numbers in one cell."""
    found = Total(cells)
    for value in values:
        found.add(np.full(cells, value))
    return found


def exactly(found):
    """The sum that a total's first cell stands for."""
    return sum((Fraction(float(piece[0])) for piece in found.pieces()), Fraction(0))


class TestTotal:
    def test_by_hand(self):
        assert total([]).value().tolist() == [0] and total([]).pieces().shape == (0, 1)
        assert total([1.5, -0.25]).value().tolist() == [1.25]
        assert total([1e30, 1, -1e30, 1e-30, -1]).value().tolist() == [1e-30]
        assert total([2.0**60 + 2.0**40, 3]).pieces().tolist() == [[3], [2.0**60 + 2.0**40]]  # planes 0 and 1

    def test_digits_are_balanced(self):
        """Half a plane's unit goes up: 2^39 is 2^40 - 2^39, and -2^39 stays."""
        assert total([2.0**39]).pieces().tolist() == [[-(2.0**39)], [2.0**40]]
        assert total([-(2.0**39)]).pieces().tolist() == [[-(2.0**39)]]
        assert total([2.0**39 - 1]).pieces().tolist() == [[2.0**39 - 1]]

    @given(numbers, st.integers(0, 30), st.randoms())
    def test_exact_in_any_order(self, values, cut, random):
        one = total(values)
        assert exactly(one) == sum(map(Fraction, values))
        turned = list(values)
        random.shuffle(turned)
        merged = total(turned[cut:]).merge(total(turned[:cut]))
        assert np.array_equal(merged.pieces(), one.pieces()) and np.array_equal(merged.value(), one.value())
        assert np.array_equal(Total.of(one.pieces()).pieces(), one.pieces())

    @given(numbers.filter(len))
    def test_the_value_is_within_one_unit_in_the_last_place(self, values):
        true = sum(map(Fraction, values))
        (value,) = total(values).value()
        assert abs(Fraction(float(value)) - true) <= abs(true) * Fraction(2) ** -52

    def test_scattered(self):
        found = Total(3)
        found.add(np.array([1.0, 2.0, 2.0**-50]), np.array([2, 0, 2]), times=2)
        assert found.value().tolist() == [2, 0, 1 + 2.0**-50]

    def test_planes_never_run_over(self):
        """Many numbers just below a plane's unit, without a carry in between by hand."""
        value = 2.0**BITS - 1
        found = total([value] * (2 * ROOM + 10))
        assert exactly(found) == (2 * ROOM + 10) * Fraction(value)
        half = total([value] * (ROOM - 1))
        for _ in range(3):
            half = half.merge(half)
        assert exactly(half.merge(total([1]))) == 8 * (ROOM - 1) * Fraction(value) + 1

    def test_cells_are_apart(self):
        found = Total(100_000)  # more than a chunk
        values = np.random.default_rng(0).normal(size=(3, 100_000))
        for row in values:
            found.add(row)
        assert np.allclose(found.value(), values.sum(0), rtol=1e-15, atol=1e-15)

    def test_damaged_pieces(self):
        with pytest.raises(RunError, match="not finite"):
            Total.of(np.array([[1.0], [np.nan]]))


@given(st.integers(-(2**39), 2**39 - 1), st.integers(-3, 3))
def test_halves_make_up_the_digit(digit, k):
    found = halves({k: np.array([digit * 2.0 ** (BITS * k)])}, slice(0, 1))
    assert all(abs(value[0]) <= 2**19 for value in found.values())
    assert sum(int(value[0]) * Fraction(2) ** (20 * place) for place, value in found.items()) == digit * Fraction(2) ** (BITS * k)
    assert carried(found, 1).tolist() == [digit * 2.0 ** (BITS * k)]
