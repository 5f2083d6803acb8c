"""Killed without warning at random moments, an audit goes on and ends with the numbers of one that was left alone."""

import shutil

import pytest

from benchmarks.kills import apart, compare


def test_apart():
    assert apart({"a": [1, None], "b": True}, {"a": [1, None], "b": True}) == 0
    assert apart({"a": 1.0}, {"a": 1.0 + 1e-12}) == pytest.approx(1e-12, rel=1e-3)
    for other in ({"a": 1}, {"a": "1.0"}, {"b": 1.0}, [1.0], {"a": 1.0, "b": 0}):
        assert apart({"a": 1.0}, other) == float("inf")


@pytest.mark.slow
def test_five_kills(trained, portraits, tmp_path):
    faces = tmp_path / "faces"
    for label in ("real", "fake"):
        shutil.copytree(portraits / label, faces / label)
    options = ["--regions", "template", "--effects", "16", "--donors", "1", "--checks", "8", "--method", "hirescam,activation"]
    rows = compare(trained.model, faces, tmp_path, 5, 0, options)
    assert sum(row["killed"] for row in rows) >= 3
    for row in rows:
        assert row["again"] == 0 and row["same files"] and row["apart"] <= 1e-9 and row["strays"] == 0
