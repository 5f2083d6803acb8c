"""The fuzzer's targets call what there is; fuzzing itself needs atheris and time."""

import pytest

from tests.hostile import fuzz


@pytest.mark.parametrize("name", sorted(fuzz.TARGETS))
@pytest.mark.parametrize("data", [b"", b"path,label\na.png,real\n", bytes(range(256))], ids=["nothing", "text", "bytes"])
def test_a_target_refuses_nonsense_in_words(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "HOME", tmp_path)
    fuzz.guarded(fuzz.TARGETS[name])(data)
