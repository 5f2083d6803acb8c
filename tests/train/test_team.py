"""Several processes train as one would: the same losses, one set of files, and after a loss the training goes on."""

import csv
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from train.pipeline import Part
from train.tfconfig import patience, seat
from xai.errors import WhyfakeError

PAIR = {"cluster": {"worker": ["a:4000", "b:4000"]}, "task": {"type": "worker", "index": 1}}


@pytest.mark.parametrize("size", [1, 2, 5, 7, 16])
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_slices_cover_a_batch_once(size, replicas):
    slices = [pair for first in range(replicas) for pair in Part(first, 1, replicas).slices(size)]
    if size < replicas:
        assert slices == [(0, size)] * replicas  # too few to be shared out
    else:
        assert [place for start, end in slices for place in range(start, end)] == list(range(size))
        assert max(end - start for start, end in slices) - min(end - start for start, end in slices) <= 1


def test_where_one_sits():
    assert seat({"TF_CONFIG": json.dumps(PAIR)}).index == 1 and not seat({"TF_CONFIG": json.dumps(PAIR)}).chief
    led = {"cluster": {"chief": ["c:1"], "worker": ["a:4000"]}, "task": {"type": "worker", "index": 0}}
    assert seat({"TF_CONFIG": json.dumps(led)}).addresses == ("c:1", "a:4000") and seat({"TF_CONFIG": json.dumps(led)}).index == 1
    assert patience({"WHYFAKE_JOIN_SECONDS": "5"}) == 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "needs TF_CONFIG in the environment"),
        ("{", "is no JSON"),
        ("[]", "has no 'cluster' or no 'task'"),
        (json.dumps(PAIR | {"cluster": {"worker": ["a"]}}), "expected lists of addresses"),
        (json.dumps(PAIR | {"cluster": {"worker": ["a:1", "a:1"]}}), "an address twice"),
        (json.dumps(PAIR | {"cluster": {"ps": ["a:1"]}}), "has ps in its cluster"),
        (json.dumps(PAIR | {"task": {"type": "worker", "index": 2}}), "this is worker 2, which its cluster does not list"),
    ],
)
def test_what_tf_config_must_say(text, why):
    with pytest.raises(WhyfakeError, match=why):
        seat({"TF_CONFIG": text})
    with pytest.raises(WhyfakeError, match="expected a number of seconds above 0"):
        patience({"WHYFAKE_JOIN_SECONDS": "soon"})


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """76 images of 32 x 32, the fakes a little redder; 13 a batch leaves an uneven last one."""
    folder, random = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for index in range(76):
        label = ("real", "fake")[index % 2]
        image = random.integers(0, 200, (32, 32, 3), np.uint8)
        image[..., 0] += 40 * (label == "fake")
        (folder / label).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / label / f"{index}.png")
    return folder


def start(faces, out, *options, network="lenet", seats=None, epochs=2):
    """Start a training, one process or several."""
    words = [sys.executable, "-m", "cli", "train", network, faces, "--size", "32", "--batch-size", "13", "--epochs", epochs, "--out", out, "--quiet"]
    processes = []
    for index in range(len(seats or [0])):
        own = {"TF_CONFIG": json.dumps({"cluster": {"worker": seats}, "task": {"type": "worker", "index": index}})} if seats else {}
        more = ["--devices", "workers"] if seats else []
        command = [str(word) for word in (*words, *more, *options)]
        processes.append(subprocess.Popen(command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return processes


def finished(processes, seconds=150):
    """Wait for all and return how they ended and what they wrote."""
    ended = []
    for process in processes:
        try:
            output = "".join(process.communicate(timeout=seconds))
        finally:
            process.kill()
        ended.append((process.returncode, output))
    return ended


def free(count):
    """Addresses of this machine that nobody listens at."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return found


def losses(out):
    with (out / "history.csv").open(newline="") as file:
        return [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]


def test_two_processes_train_as_one(faces, tmp_path):
    both = [*start(faces, tmp_path / "one"), *start(faces, tmp_path / "team", seats=free(2))]
    for code, output in finished(both):
        assert code == 0, output
    assert len(losses(tmp_path / "one")) == 2
    np.testing.assert_allclose(losses(tmp_path / "team"), losses(tmp_path / "one"), atol=1e-5)
    cards = [json.loads((tmp_path / name / "detector.json").read_text()) for name in ("one", "team")]
    assert cards[0]["manifest_sha256"] == cards[1]["manifest_sha256"]
    assert {path.name for path in (tmp_path / "one").iterdir()} == {path.name for path in (tmp_path / "team").iterdir()}


@pytest.mark.slow
def test_a_lost_worker_and_the_same_command_again(faces, tmp_path):
    """One of two is killed after an epoch: the other ends with one line; started again, both go on and end as if nothing had been."""
    (whole,) = finished(start(faces, tmp_path / "whole", epochs=6))
    assert whole[0] == 0, whole[1]
    team = start(faces, tmp_path / "team", seats=free(2), epochs=6)
    for _ in range(600):
        if (tmp_path / "team" / "history.csv").exists():
            break
        time.sleep(0.1)
    team[1].kill()
    (code, output), _ = finished(team)
    assert code != 0 and "Traceback" not in output and "worker" in output, output
    before = len(losses(tmp_path / "team"))
    for code, output in finished(start(faces, tmp_path / "team", "--resume", seats=free(2), epochs=6)):
        assert code == 0, output
    assert before < 6
    np.testing.assert_allclose(losses(tmp_path / "team"), losses(tmp_path / "whole"), atol=1e-5)


def test_one_who_waits_in_vain_says_for_whom(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("WHYFAKE_JOIN_SECONDS", "3")
    mine, other = free(2)
    config = {"cluster": {"worker": [mine, other]}, "task": {"type": "worker", "index": 0}}
    command = [sys.executable, "-m", "cli", "train", "lenet", str(faces), "--size", "32", "--out", str(tmp_path / "out"), "--devices", "workers"]
    done = subprocess.run(command, env=os.environ | {"TF_CONFIG": json.dumps(config)}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and other in done.stderr and "Traceback" not in done.stderr, done.stderr
