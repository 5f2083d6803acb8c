"""Exact sums of maps and of their squares."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.errors import DataError, RunError
from xai.powers import MARGIN, SPAN, TAKEN, Powers

TINY, LARGE = np.float32(1e-45), np.finfo(np.float32).max  # the smallest subnormal, the largest value

values = st.floats(width=32, allow_nan=False, allow_infinity=False)
lists = st.lists(values, min_size=1, max_size=20).map(lambda found: np.array(found, np.float32)[:, None])


def of(maps):
    """The powers of maps, added at once."""
    powers = Powers(maps.shape[1:])
    powers.add(maps)
    return powers


def same(one, two):
    """Say whether all that two know is the same, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(one.pieces(), two.pieces(), strict=True))


def drawn(kind, rng, count=150, cells=4):
    """Maps of many kinds."""
    maps = rng.normal(size=(count, cells))
    powers = 10.0 ** rng.integers(-44, 38, (count, cells))
    maps = {
        "normal": lambda: maps,
        "all magnitudes": lambda: maps * powers,
        "images of all magnitudes": lambda: maps * powers[:, :1],
        "far from zero": lambda: 1000 + maps / 1000,
        "cancelling": lambda: np.concatenate([maps * 1e10, -maps * 1e10, maps * 1e-10]),
        "subnormal": lambda: maps * 1e-42,
        "largest": lambda: np.sign(maps) * LARGE,
        "mostly small": lambda: np.where(np.arange(cells) == 0, 1e9, 1e-9) * maps,
        "zeros": lambda: np.maximum(maps - 1, 0),
    }[kind]()
    return np.clip(maps, -LARGE, LARGE).astype(np.float32)


KINDS = ("normal", "all magnitudes", "images of all magnitudes", "far from zero", "cancelling", "subnormal", "largest", "mostly small", "zeros")


class TestPowers:
    def test_by_hand(self):
        powers = of(np.float32([[1, 2], [3, -2], [5, 0]]))
        assert powers.mean(3).tolist() == [3, 0] and powers.squares(3).tolist() == [8, 8]
        assert [pieces.tolist() for pieces in powers.pieces()] == [[[9, 0]], [[35, 8]]]

    def test_nothing(self):
        powers = of(np.zeros((0, 2, 3), np.float32))
        assert powers.mean(0).tolist() == powers.squares(0).tolist() == [[0] * 3] * 2
        assert [pieces.shape for pieces in powers.pieces()] == [(0, 2, 3)] * 2
        assert same(powers, of(np.zeros((5, 2, 3), np.float32)))  # zeros leave no trace

    @pytest.mark.parametrize("kind", KINDS)
    def test_against_fractions(self, kind):
        maps = drawn(kind, np.random.default_rng(0))
        powers, count = of(maps), len(maps)
        means, squares = powers.mean(count), powers.squares(count)
        once, twice = powers.pieces()
        for cell, column in enumerate(maps.T):
            numbers = [Fraction(float(value)) for value in column]
            first, second = sum(numbers), sum(number**2 for number in numbers)
            assert sum(Fraction(float(piece)) for piece in once[:, cell]) == first
            assert sum(Fraction(float(piece)) for piece in twice[:, cell]) == second
            assert abs(Fraction(float(means[cell])) - first / count) <= abs(first) / count * Fraction(2) ** -51
            true = second - first**2 / count
            assert abs(Fraction(float(squares[cell])) - true) <= true * Fraction(2) ** -51

    @pytest.mark.parametrize("kind", KINDS)
    def test_fifty_shardings(self, kind):
        rng = np.random.default_rng(1)
        maps = drawn(kind, rng)
        whole, count = of(maps), len(maps)
        for _ in range(50):
            order, cuts = rng.permutation(count), np.sort(rng.integers(0, count + 1, rng.integers(1, 12)))
            shards = [Powers((4,)) for _ in range(len(cuts) + 1)]
            for shard, own in zip(shards, np.split(order, cuts), strict=True):
                for batch in np.array_split(own, rng.integers(1, 6)):
                    shard.add(maps[batch])
            while len(shards) > 1:  # merged two at a time, in any grouping
                one, two = (shards.pop(rng.integers(len(shards))) for _ in range(2))
                shards.append(Powers.of(*one.merge(two).pieces()) if rng.uniform() < 0.3 else one.merge(two))
            assert same(shards[0], whole)
            assert np.array_equal(shards[0].mean(count), whole.mean(count)) and np.array_equal(shards[0].squares(count), whole.squares(count))

    @given(lists, lists, lists)
    def test_merging_is_associative_and_commutative(self, a, b, c):
        left, right = of(a).merge(of(b)).merge(of(c)), of(c).merge(of(b)).merge(of(a))
        assert same(left, right) and same(left, of(a).merge(of(b).merge(of(c)))) and same(left, of(np.concatenate([b, c, a])))

    @given(lists)
    def test_against_fractions_for_any_numbers(self, maps):
        numbers = [Fraction(float(value)) for value in maps[:, 0]]
        powers = of(maps)
        for pieces, true in zip(powers.pieces(), (sum(numbers), sum(number**2 for number in numbers)), strict=True):
            assert sum(Fraction(float(piece[0])) for piece in pieces) == true
        assert powers.squares(len(maps))[0] >= 0

    def test_equal_values_have_no_spread(self):
        for value in (0.1, -3e37, TINY, 1e-20, 16777215):
            assert of(np.full((1000, 1), value, np.float32)).squares(1000).tolist() == [0]

    def test_one_step_of_the_last_bit_is_seen(self):
        """999 times one and once the next float32: the naive sum of squares minus squared sum has lost it."""
        maps = np.ones((1000, 1), np.float32)
        maps[7] += np.float32(2**-23)
        assert of(maps).squares(1000)[0] == pytest.approx(2.0**-46 * 0.999, rel=1e-15)

    def test_more_maps_than_a_window_and_more_cells_than_a_chunk(self):
        maps = np.random.default_rng(0).normal(size=(TAKEN + 3, 200, 200)).astype(np.float32)
        powers = of(maps)
        assert powers.mean(len(maps)) == pytest.approx(maps.mean(0, dtype=float), abs=1e-14)
        assert powers.squares(len(maps)) == pytest.approx(maps.var(0, dtype=float) * len(maps), rel=1e-12)

    def test_a_window_filled_to_the_brim(self):
        """The first map sets the window's top; then the largest values in it with all bits set, and around its lower end the smallest."""
        top, one = 2.0 ** (1 + MARGIN), 1 + 2.0**-23
        largest, smallest, smaller = top * (1 - 2.0**-24), top * 2.0 ** (23 - SPAN) * one, top * 2.0 ** (22 - SPAN) * one
        maps = np.full((TAKEN, 64), largest, np.float32)
        maps[0], maps[7, 1], maps[9, 2], maps[2::2, 3] = 1, smallest, smaller, smallest
        powers = of(maps[:1])
        powers.add(maps[1:])
        for pieces, power in zip(powers.pieces(), (1, 2), strict=True):
            for cell, column in enumerate(maps.T[:5]):
                assert sum(Fraction(float(piece)) for piece in pieces[:, cell]) == sum(Fraction(float(value)) ** power for value in column)

    def test_many_small_values_in_one_cell(self):
        """Each as large as a digit can be, of itself and of its square, and more than a plane holds without a carry."""
        maps = np.ones((20_000, 40), np.float32)
        maps[:, 3] = 2.0**-40 * (1 - 2.0**-24)
        for pieces, power in zip(of(maps).pieces(), (1, 2), strict=True):
            assert sum(Fraction(float(piece)) for piece in pieces[:, 3]) == 20_000 * Fraction(float(maps[0, 3])) ** power

    def test_counts_per_cell(self):
        powers = of(np.float32([[1, 2], [3, 0], [5, 0]]))
        counts = np.array([3, 1])
        assert powers.mean(counts).tolist() == [3, 2] and powers.squares(counts).tolist() == [8, 0]

    def test_the_maps_are_left_as_they_are(self):
        for maps in (np.float32([[1e20, 1e-20], [1, 0]]), np.full((9, 40), 1e-30, np.float32)):
            maps[0, 0], before = 1e20, maps.copy()
            before[0, 0] = 1e20
            powers = Powers(maps.shape[1:])
            powers.add(maps)
            powers.add(maps)
            powers.pieces()
            assert np.array_equal(maps, before)

    def test_other_types_are_rounded_to_float32(self):
        assert same(of(np.full((2, 1), 0.1)), of(np.full((2, 1), 0.1, np.float32)))
        assert same(of(np.array([[3], [4]])), of(np.float32([[3], [4]])))

    def test_errors(self):
        powers = Powers((2, 2))
        with pytest.raises(DataError, match="cannot be added"):
            powers.add(np.zeros((3, 2, 3), np.float32))
        for bad in (np.nan, np.inf, 1e300):
            with pytest.raises(DataError, match="not finite"):
                powers.add(np.full((1, 2, 2), bad))
        assert same(powers, Powers((2, 2)))
        with pytest.raises(DataError, match="cannot be merged"):
            powers.merge(Powers((2, 3)))
        with pytest.raises(RunError, match="damaged"):
            Powers.of(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)))
        with pytest.raises(RunError, match="damaged"):
            Powers.of(np.full((1, 2, 2), np.inf), np.zeros((1, 2, 2)))
