"""Fifty hostile models: each is refused with one line, in time and in memory, and none runs its code."""

from __future__ import annotations

import pytest

from tests.hostile import models
from tests.hostile.asked import asked

HANG = 10.0  # seconds
MEMORY = 2e9  # bytes

LOADING = """
import json, sys, time
from pathlib import Path
from benchmarks.memory import peak
from xai.backend import import_quietly
import_quietly()
from xai.detector import load
from xai.errors import WhyfakeError
for line in sys.stdin:
    start = time.perf_counter()
    try:
        detector = load(json.loads(line))
        said = "loaded"
    except WhyfakeError as error:
        said = str(error)
    print(json.dumps([said, time.perf_counter() - start, peak()]), flush=True)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return models.make(tmp_path_factory.mktemp("hostile") / "models")


def test_every_model_is_refused_with_one_line(corpus):
    assert len(corpus) >= 50
    answers = asked(LOADING, corpus)
    for name, (said, seconds, memory) in answers.items():
        assert seconds < HANG, name
        assert memory < MEMORY, name
        assert len(said) < 700, name
    loaded = {name for name, (said, *_) in answers.items() if said == "loaded"}
    # a flipped weight is still a weight: no one can tell
    assert all(name.startswith("damaged-") for name in loaded), loaded
    assert "Lambda" in answers["config-lambda.keras"][0]
    assert "--trust" in answers["config-lambda.keras"][0]


def test_the_command_line_says_it_in_one_line(corpus, whyfake):
    for path in corpus[::9]:
        result = whyfake("layers", path)
        assert result.exit_code in (0, 1), path.name
        if result.exit_code:
            lines = result.output.strip().splitlines()
            assert len(lines) == 1, (path.name, lines)
            assert lines[0].startswith("Error: ")
            assert "unexpected" not in lines[0], (path.name, lines[0])


def test_nothing_was_run_or_written_elsewhere(corpus):
    from pathlib import Path

    assert not Path("/tmp/climbed.txt").exists()
    assert not list(corpus[0].parents[2].glob("**/climbed.txt"))
