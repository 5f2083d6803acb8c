"""Five hundred hostile images: each is read or gets one reason, in time and in memory, and none does harm."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

from reports.web.limits import Limits
from reports.web.refusal import Refusal
from tests.hostile import images
from tests.hostile.asked import asked
from xai.errors import ImageError
from xai.images import read

HANG = 10.0  # seconds
MEMORY = 2e9  # bytes


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return images.make(tmp_path_factory.mktemp("hostile") / "images")


def test_there_are_enough(corpus):
    assert len(corpus) >= 500
    assert len({path.name for path in corpus}) == len(corpus)


READING = """
import json, sys, time
from pathlib import Path
from benchmarks.memory import peak
from xai.errors import ImageError
from xai.images import read
for line in sys.stdin:
    path = Path(json.loads(line))
    start = time.perf_counter()
    try:
        shape = list(read(path).shape)
        reason = ""
    except ImageError as error:
        shape, reason = None, str(error)
    print(json.dumps([shape, reason, time.perf_counter() - start, peak()]), flush=True)
"""


def test_every_image_is_read_or_gets_a_reason(corpus):
    answers = asked(READING, corpus)
    for name, (shape, reason, seconds, _) in answers.items():
        assert (shape is None) == bool(reason), name
        assert seconds < HANG, name
        assert "\n" not in reason, name
        assert len(reason) < 250, name
        if shape is not None:
            assert shape[2] == 3, name
            assert min(shape) >= 3, name
    assert max(memory for *_, memory in answers.values()) < MEMORY
    # what is whole is read, whatever it is called
    for name in (*(f"whole.{ending}" for ending in images.FORMATS), "mode-CMYK.jpg", "mode-I16.png", "frames.gif", *images.NAMES):
        assert answers[name][0], (name, answers[name][1])
    for name in ("cut-50.png", "cut-50.jpg", "empty.png", "folder.png", "loop.png", "pipe.png", "claims-50000.png", "page.png", "zero.png"):
        assert answers[name][1], name


def test_the_server_answers_or_refuses_every_one(corpus):
    from reports.web.decoding import Decoder

    decoder = Decoder(Limits())
    try:
        for path in corpus:
            if not path.is_file():
                continue
            start = time.perf_counter()
            try:
                pixels = decoder(path.read_bytes())
            except Refusal as refusal:
                assert refusal.status in (413, 422), path.name
                assert refusal.reason, path.name
            else:
                assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3), path.name
            assert time.perf_counter() - start < HANG + 5, path.name
    finally:
        decoder.close()


def test_what_is_read_twice_is_the_same(corpus):
    from xai.images import decode

    for path in corpus[::7]:
        if path.is_file():
            try:
                expected = read(path)
            except ImageError:
                continue
            assert (decode(path.read_bytes()) == expected).all(), path.name


def test_an_audit_of_all_of_them_lists_each(corpus, tmp_path, whyfake, tiny_file):
    result = whyfake("audit", tiny_file, corpus[0].parent, "--out", tmp_path / "run", "--checks", "0", "--regions", "none")
    assert result.exit_code == 0, result.output
    with (tmp_path / "run" / "skipped.csv").open(encoding="utf-8", newline="") as file:
        skipped = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    with (tmp_path / "run" / "images.csv").open(encoding="utf-8", newline="") as file:
        read_ones = [row["path"] for row in csv.DictReader(file)]
    known = [path for path in corpus if not path.is_dir() and not path.name.startswith(".")]
    assert len(skipped) + len(read_ones) == len(known)
    assert all(skipped.values())
    page = (tmp_path / "run" / "report" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    for text in (*skipped, *read_ones):
        assert text.isprintable()
        assert not text.startswith(("=", "+", "@")), text


def test_other_commands_pass_over_them_too(corpus, tmp_path, whyfake, tiny_file):
    (tmp_path / "fake").mkdir()
    for number in range(20):
        (tmp_path / "fake" / f"{number}.png").write_bytes(images.saved(images.picture(100 + number)))
    (tmp_path / "real").symlink_to(corpus[0].parent, target_is_directory=True)
    for words in (
        ("inspect", tmp_path, "--out", tmp_path / "inspected"),
        ("explain", tiny_file, tmp_path / "real", "--out", tmp_path / "overlays"),
        ("train", "lenet", tmp_path, "--size", 32, "--epochs", 1, "--out", tmp_path / "trained"),
        ("evaluate", tmp_path / "trained", tmp_path, "--out", tmp_path / "measured"),
    ):
        result = whyfake(*words)
        assert result.exit_code == 0, result.output
        assert "skipped" in result.output, words[0]
