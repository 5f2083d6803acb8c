"""Balanced training rows and weights, by hand."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.balance import WAYS, balanced, class_weights
from train.datasets import Manifest, Row
from xai.errors import DataError


def manifest(reals, fakes, others=3):
    rows = [Row(f"{label}/{n:03}", label, "train") for label, count in (("fake", fakes), ("real", reals)) for n in range(count)]
    rows += [Row(f"{label}/{split}{n}", label, split) for split in ("test", "valid") for label in ("fake", "real") for n in range(others)]
    return Manifest(Path(), tuple(sorted(rows, key=lambda row: row.path)), "said", 1)


def test_by_hand():
    three, two = [f"real/00{n}" for n in range(3)], [f"fake/00{n}" for n in range(2)]

    def paths(how):
        return [row.path for row in balanced(manifest(3, 2, 0), how, 0).rows]

    assert paths("none") == paths("class-weight") == two + three
    assert paths("oversample") in (["fake/000", *two, *three], [*two, "fake/001", *three])
    assert [path for path in paths("undersample") if path in two] == two and len(set(paths("undersample")) & set(three)) == 2
    assert class_weights(manifest(30, 10)) == {0: 40 / 60, 1: 2.0}
    assert class_weights(manifest(7, 7)) == {0: 1.0, 1: 1.0}


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.sampled_from(WAYS))
def test_properties(reals, fakes, seed, how):
    before = manifest(reals, fakes)
    after = balanced(before, how, seed)
    assert after == balanced(before, how, seed) and (after.root, after.layout, after.crossing) == (before.root, "said", 1)
    assert [row for row in after.rows if row.split != "train"] == [row for row in before.rows if row.split != "train"]
    assert list(after.rows) == sorted(after.rows, key=lambda row: row.path) and set(after.rows) <= set(before.rows)
    counts, train = after.select("train").counts(), Counter(row.path for row in after.select("train").rows)
    if how == "undersample":
        assert counts == {"real": min(reals, fakes), "fake": min(reals, fakes)} and max(train.values()) == 1
    elif how == "oversample":
        assert counts == {"real": max(reals, fakes), "fake": max(reals, fakes)}
        for label in ("real", "fake"):
            often = [count for path, count in train.items() if path.startswith(label)]
            assert max(often) - min(often) <= 1 and len(often) == {"real": reals, "fake": fakes}[label]
    else:
        assert after == before
    weights = class_weights(before)
    assert weights[0] * reals + weights[1] * fakes == pytest.approx(reals + fakes)
    assert weights[0] * reals == pytest.approx(weights[1] * fakes)


def test_another_seed_another_draw():
    draws = {tuple(row.path for row in balanced(manifest(40, 10), "undersample", seed).rows) for seed in range(4)}
    assert len(draws) == 4


def test_errors():
    with pytest.raises(DataError, match="balance 'smote' is not known; expected one of: none, class-weight, undersample, oversample"):
        balanced(manifest(2, 2), "smote", 0)
    for action in (lambda: balanced(manifest(2, 0), "oversample", 0), lambda: class_weights(manifest(2, 0))):
        with pytest.raises(DataError, match="the training split holds no fake images; both classes are needed"):
            action()
