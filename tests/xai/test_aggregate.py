"""Means and variances that do not depend on how a stream is cut."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai.aggregate import GROUPS, Moments, is_empty, members, of_group, outcome
from xai.errors import DataError, RunError


def equal(one, two):
    """Say whether two moments are the same, bit for bit."""
    counts = [(part.count, part.empty, part.broken) for part in (one, two)]
    numbers = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("mean", "std", "squares"))
    stored = all(np.array_equal(one.arrays()[name], two.arrays()[name]) for name in ("counts", "sums", "squares"))
    return counts[0] == counts[1] and numbers and stored


def stream(rng, count=200):
    """Maps as audits have them and as they should not be: all magnitudes, cancelling, subnormal, empty, broken."""
    maps = rng.normal(size=(count, 5, 4))
    maps[::7] *= 1e30
    maps[1::7] = -maps[::7][: len(maps[1::7])]
    maps[2::7] *= 1e-30
    maps[3::7] *= 1e-41
    maps[4::11] = -np.abs(maps[4::11])
    maps[5::31, 2, 2] = np.inf
    maps[6::37, 0, 0] = np.nan
    return maps.astype(np.float32)


class TestMoments:
    def test_by_hand(self):
        moments = Moments.of(np.float32([[[1, 2]], [[3, -2]], [[5, 0]], [[0, -1]]]))
        assert (moments.count, moments.empty, moments.broken) == (3, 1, 0)
        assert moments.mean.tolist() == [[3, 0]] and moments.squares.tolist() == [[8, 8]]
        assert moments.std.tolist() == np.sqrt([[8 / 3, 8 / 3]]).tolist()

    def test_against_numpy(self):
        maps = np.random.default_rng(0).normal(0.5, 1, (300, 30, 20)).astype(np.float32)
        moments = Moments.of(maps)
        assert moments.mean == pytest.approx(maps.mean(0, dtype=float), rel=1e-13, abs=1e-15)
        assert moments.std == pytest.approx(maps.std(0, dtype=float), rel=1e-13)

    def test_fifty_shardings_in_any_order_are_one_pass(self):
        rng = np.random.default_rng(2)
        maps = stream(rng)
        whole = Moments.of(maps)
        assert whole.count > 100 and whole.empty > 10 and whole.broken > 5
        for _ in range(50):
            shards = [Moments((5, 4)) for _ in range(rng.integers(1, 12))]
            for place in np.array_split(rng.permutation(len(maps)), rng.integers(1, 60)):
                shards[rng.integers(len(shards))].add(maps[place])
            while len(shards) > 1:
                one, two = (shards.pop(rng.integers(len(shards))) for _ in range(2))
                shards.append(one.merge(Moments.read(two.arrays())))
            assert equal(shards[0], whole)

    @given(st.integers(0, 2**32 - 1))
    def test_merging_is_associative_and_commutative(self, seed):
        rng = np.random.default_rng(seed)
        a, b, c = (stream(rng, int(rng.integers(9))) for _ in range(3))
        one, two, three = map(Moments.of, (a, b, c))
        left = one.merge(two).merge(three)
        assert equal(left, one.merge(two.merge(three))) and equal(left, three.merge(two).merge(one))
        assert equal(left, Moments.of(np.concatenate([b, c, a])))

    def test_merging_leaves_both_as_they_were(self):
        one, two = (Moments.of(np.full((3, 1, 1), value, np.float32)) for value in (1, 2))
        one.merge(two).add(np.full((1, 1, 1), 9, np.float32))
        assert (one.count, one.mean.tolist(), two.count, two.mean.tolist()) == (3, [[1]], 3, [[2]])

    def test_broken_maps_are_counted_and_poison_nothing(self):
        good = np.float32([[[1, 2]], [[3, 4]]])
        bad = np.float32([[[np.nan, 1]], [[np.inf, 0]], [[1, -np.inf]]])
        empty = np.float32([[[np.nan, np.nan]], [[np.nan, -1]], [[-np.inf, 0]]])  # no positive value
        moments = Moments.of(np.concatenate([bad, good, empty]))
        assert (moments.count, moments.empty, moments.broken) == (2, 3, 3)
        assert np.array_equal(moments.mean, Moments.of(good).mean) and np.array_equal(moments.std, Moments.of(good).std)
        assert Moments.of(np.full((1, 1, 1), 1e39)).broken == 1  # infinite in float32

    def test_nothing_seen(self):
        for maps in (np.zeros((0, 2, 2), np.float32), np.full((3, 2, 2), -1, np.float32)):
            moments = Moments.of(maps)
            assert (moments.count, moments.empty) == (0, len(maps))
            assert moments.mean.tolist() == moments.std.tolist() == [[0, 0], [0, 0]]
            assert equal(Moments.read(moments.arrays()), moments)

    def test_through_a_file(self, tmp_path):
        moments = Moments.of(stream(np.random.default_rng(3)))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, values in moments.arrays().items():
                file[name] = values
        with h5py.File(tmp_path / "a.h5") as file:
            assert equal(Moments.read({name: file[name][()] for name in file}), moments)

    def test_errors(self):
        moments = Moments((2, 2))
        with pytest.raises(DataError, match="cannot be added"):
            moments.add(np.ones((1, 2, 3), np.float32))
        with pytest.raises(DataError, match="cannot be merged"):
            moments.merge(Moments((3, 2)))
        with pytest.raises(RunError, match="lacks the squares"):
            Moments.read({name: values for name, values in moments.arrays().items() if name != "squares"})
        with pytest.raises(RunError, match="damaged"):
            Moments.read(moments.arrays() | {"sums": np.full((1, 2, 2), np.nan)})
        with pytest.raises(RunError, match="damaged"):
            Moments.read(moments.arrays() | {"counts": np.array([1, 2])})


def test_groups_are_made_of_outcomes():
    rng = np.random.default_rng(4)
    maps = stream(rng)
    labels, calls = (rng.choice(names, len(maps)).tolist() for names in (["real", "fake", ""], ["real", "fake"]))
    outcomes = [outcome(label, call) for label, call in zip(labels, calls, strict=True)]
    parts = {name: Moments.of(maps[np.array(outcomes) == name]) for name in set(outcomes)}
    chosen = members(labels, outcomes)
    assert set(chosen) == set(GROUPS)
    for group in GROUPS:
        assert equal(of_group(group, parts), Moments.of(maps[chosen[group]]))


def test_a_group_without_images():
    parts = {"TN": Moments.of(np.ones((2, 1, 1), np.float32))}
    assert [group for group in GROUPS if of_group(group, parts) is not None] == ["all", "real", "TN"]
    assert [group for group in GROUPS if of_group(group, {"": parts["TN"]}) is not None] == ["all"]
    assert of_group("all", {}) is None


def test_empty_maps():
    maps = np.array([[[0.0, -1]], [[0, 1e-45]], [[np.nan, np.nan]], [[np.nan, 1]], [[np.inf, 0]]])
    assert is_empty(maps).tolist() == [True, False, True, False, False]
