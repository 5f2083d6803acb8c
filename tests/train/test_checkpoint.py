"""What a training needs to go on: whole, or a clear line."""

import numpy as np
import pytest

from train import checkpoint
from xai.errors import RunError


def test_there_and_back(tmp_path):
    arrays = {"model": [np.arange(6.0).reshape(2, 3), np.array(3)], "adam": [np.float32(2)], "best": []}
    checkpoint.save(tmp_path, "key", {"epoch": 3, "rows": [{"loss": 0.5}] * 5000}, arrays)
    progress, found = checkpoint.load(tmp_path, "key")
    assert progress["epoch"] == 3 and len(progress["rows"]) == 5000 and set(found) == set(arrays)
    for name, values in arrays.items():
        assert all(np.array_equal(a, b) for a, b in zip(values, found[name], strict=True))
    checkpoint.remove(tmp_path)
    assert checkpoint.load(tmp_path, "key") is None and not list(tmp_path.iterdir())


def test_infinity_is_kept(tmp_path):
    checkpoint.save(tmp_path, "key", {"lowest": float("inf")}, {})
    assert checkpoint.load(tmp_path, "key")[0]["lowest"] == float("inf")


def test_others_are_refused(tmp_path):
    checkpoint.save(tmp_path, "key", {}, {})
    with pytest.raises(RunError, match="other data or with other options"):
        checkpoint.load(tmp_path, "another")
    whole = (tmp_path / checkpoint.NAME).read_bytes()
    (tmp_path / checkpoint.NAME).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.load(tmp_path, "key")
