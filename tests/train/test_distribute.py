"""Training by several processes: who gets which images, the meeting, the same losses as one process, a lost worker."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import train.pipeline
from train import distribute, fit, loop, step, team, tfconfig
from train.augment import Augment
from train.datasets import Manifest, scan
from train.options import Options
from train.pipeline import Part, feed, span
from train.tfconfig import Seat
from xai.errors import WhyfakeError
from xai.preprocess import Preprocessing

ROOT = Path(__file__).parents[2]


def ports(count):
    """Return free ports; all are held until all are found, so that none comes twice."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [line.getsockname()[1] for line in held]
    for line in held:
        line.close()
    return found


# --- slices of a batch


def test_slices_by_hand():
    assert [Part(place, 1, 3).slices(8) for place in range(3)] == [[(0, 3)], [(3, 6)], [(6, 8)]]
    assert Part(2, 2, 4).slices(10) == [(6, 8), (8, 10)] and span(Part(2, 2, 4).slices(10)) == (6, 10)
    assert [Part(place, 1, 3).slices(2) for place in range(3)] == [[(0, 2)]] * 3  # whole to each: convolutions take no empty batch


@pytest.mark.parametrize("replicas", range(1, 8))
def test_slices_cover_a_batch_once(replicas):
    for size in range(replicas, 40):
        found = [one for place in range(replicas) for one in Part(place, 1, replicas).slices(size)]
        assert found[0][0] == 0 and found[-1][1] == size and all(a[1] == b[0] for a, b in pairwise(found))
        sizes = [stop - start for start, stop in found]
        assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
        larger = [stop - start for place in range(replicas) for start, stop in Part(place, 1, replicas).slices(size + 1)]
        assert all(a <= b for a, b in zip(sizes, larger, strict=True))


@pytest.mark.parametrize("share", [0.25, 0.0], ids=["cached", "from disk"])
@pytest.mark.parametrize(("count", "replicas"), [(14, 2), (13, 3), (12, 4)])
def test_parts_together_are_the_batches_of_one(portraits, monkeypatch, share, count, replicas):
    """Same order, same augmentation, whatever is left for the last batch of 5: more images than replicas, or fewer."""
    monkeypatch.setattr(train.pipeline, "CACHE_SHARE", share)
    manifest = scan(portraits)
    source = feed(Manifest(manifest.root, manifest.rows[13 : 13 + count]), Preprocessing(16, 16), 5, shuffle=4, augment=Augment(flip=0.5, colour=0.3))
    whole = [(images.numpy(), labels.numpy()) for images, labels in source.epoch(1)]
    parts = [Part(place, 1, replicas) for place in range(replicas)]
    streams = [iter(source.epoch(1, part)) for part in parts]
    for images, labels in whole:
        for part, stream in zip(parts, streams, strict=True):
            start, stop = span(part.slices(len(labels)))
            got = step.joined(stream, stop - start)
            assert np.array_equal(got[0].numpy(), images[start:stop]) and np.array_equal(got[1].numpy(), labels[start:stop])
    assert all(next(stream, None) is None for stream in streams)


def test_pieces_are_joined_and_cut():
    stream = iter([(tf.constant([1, 2]), tf.constant([0, 1])), (tf.constant([3]), tf.constant([1]))])
    assert [one.numpy().tolist() for one in step.joined(stream, 3)] == [[1, 2, 3], [0, 1, 1]] and step.joined(stream, 1) is None
    first, second = step.parts(np.arange(5.0), [np.zeros((2, 2)), np.zeros(())])
    assert first.tolist() == [[0, 1], [2, 3]] and second.shape == () and second == 4


# --- TF_CONFIG


def config(workers, kind="worker", index=0, **more):
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers, **more}, "task": {"type": kind, "index": index}})}


def test_a_seat():
    assert tfconfig.seat(config(["a:1", "b:2"], index="1")) == Seat(("a:1", "b:2"), 1)
    with_chief = [tfconfig.seat(config(["a:1", "b:2"], kind, index, chief=["c:3"])) for kind, index in (("chief", 0), ("worker", 1))]
    assert [(seat.index, seat.chief) for seat in with_chief] == [(0, True), (2, False)] and with_chief[0].addresses == ("c:3", "a:1", "b:2")
    assert with_chief[1].name(2) == "worker 2 (b:2)"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "needs TF_CONFIG in the environment"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG is no JSON"),
        ({"TF_CONFIG": "[1]"}, "has no 'cluster' or no 'task'"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "has no 'cluster' or no 'task'"),
        (config(["a:1"], ps=["b:2"]), "has ps in its cluster; expected worker, and chief at most"),
        (config(["a"]), "expected lists of addresses"),
        (config("a:1"), "expected lists of addresses"),
        (config(["a:1"], chief=["b:2", "c:3"]), "one chief at most"),
        (config([]), "lists no worker"),
        (config(["a:1", "a:1"]), "lists an address twice"),
        (config(["a:1", "b:2"], index=2), "says that this is worker 2, which its cluster does not list"),
        (config(["a:1"], index=-1), "which its cluster does not list"),
        (config(["a:1"], kind="evaluator"), "says that this is evaluator 0"),
    ],
)
def test_a_wrong_tf_config(environment, words):
    with pytest.raises(WhyfakeError, match=words):
        tfconfig.seat(environment)


def test_wrong_patience():
    for text in ("soon", "0", "-1", "nan", "inf"):
        with pytest.raises(WhyfakeError, match="expected a number of seconds above 0"):
            tfconfig.patience({tfconfig.PATIENCE: text})


def test_the_command_says_it_in_one_line(whyfake, monkeypatch, tmp_path):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    result = whyfake("train", "lenet", tmp_path, "--devices", "workers", "--out", tmp_path / "out")
    assert result.exit_code == 1 and result.output.startswith("Error: --devices workers needs TF_CONFIG") and result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert whyfake("zoo", tmp_path, "--devices", "workers").exit_code == 2


def test_what_is_not_for_workers():
    with pytest.raises(WhyfakeError, match="mixed_float16 is not for workers"):
        team.crew(Options(32, devices="workers", precision="mixed_float16"))
    with pytest.raises(WhyfakeError, match="trained on one machine"):
        distribute.scope("workers")


# --- the meeting


def met(seats, facts, seconds=5.0):
    """Let seats meet in threads; returns what each raised, None where nothing."""
    found = [None] * len(seats)

    def attend(place):
        try:
            tfconfig.meet(seats[place], facts[place], seconds)
        except WhyfakeError as error:
            found[place] = str(error)

    threads = [threading.Thread(target=attend, args=(place,)) for place in range(len(seats))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def seats(count):
    addresses = tuple(f"127.0.0.1:{port}" for port in ports(count))
    return [Seat(addresses, index) for index in range(count)]


def test_all_meet():
    assert met(seats(3), [{"Keras": "3"}] * 3) == [None] * 3


def test_a_late_one_is_waited_for():
    both, lines = seats(2), []
    late = threading.Timer(2.6, tfconfig.meet, (both[1], {}, 5.0))
    late.start()
    tfconfig.meet(both[0], {}, 5.0, lines.append)
    late.join()
    assert lines == [f"waiting for {both[0].name(1)}"]


def test_other_facts():
    errors = met(seats(2), [{"GPUs": 1}, {"GPUs": 2}])
    assert "has GPUs 2, this one 1; all workers must be alike" in errors[0] and "has GPUs 1, this one 2" in errors[1]


def test_one_does_not_come():
    both = seats(2)
    with pytest.raises(WhyfakeError, match=r"worker 1 \(127.0.0.1:\d+\) did not come within 0 s; start the same command there"):
        tfconfig.meet(both[0], {}, 0.2)


def test_the_port_is_taken():
    both = seats(2)
    with socket.create_server(("127.0.0.1", tfconfig.split(both[0].addresses[0])[1])), pytest.raises(WhyfakeError, match="cannot be taken"):
        tfconfig.meet(both[0], {}, 1.0)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (lambda own: {"whyfake": own.index, "addresses": own.addresses, "facts": {}}, "another process says that it is worker 0"),
        (lambda own: {"whyfake": 1, "addresses": ["a:1", "b:2"], "facts": {}}, r"a worker of another cluster \(a:1, b:2\) called"),
        (lambda own: {"hello": "you"}, "did not come"),  # no greeting at all is passed over
    ],
)
def test_a_stranger_calls(sent, words):
    own = seats(2)[0]

    def call():
        with socket.create_connection(tfconfig.split(own.addresses[0])) as line:
            line.sendall(json.dumps(sent(own)).encode())

    caller = threading.Timer(0.3, call)
    caller.start()
    with pytest.raises(WhyfakeError, match=words):
        tfconfig.meet(own, {}, 1.5)
    caller.join()


def test_a_start_that_hangs_is_ended(python):
    """Even where Python's lock is held, as TensorFlow does: here by a signal that stops all threads of the process."""
    script = "import os, signal\nfrom train.tfconfig import bounded\nwith bounded(0.5, 'lost'):\n    os.kill(os.getpid(), signal.SIGSTOP)"
    done = subprocess.run([python, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == -signal.SIGKILL and done.stderr == "Error: lost\n"


# --- two processes train

SCRIPT = """
import json, sys
from pathlib import Path
data, out, devices, epochs, notes = sys.argv[1:]
from train.distribute import prepare
prepare(devices)
import keras
from keras import layers
from train import fit, loop, team
from train.augment import Augment
from train.options import recipe
from xai.errors import WhyfakeError

def network(name, options):
    keras.utils.set_random_seed(options.seed)
    # no bias before batch normalisation: its gradient is nothing but rounding, which Adam would blow up
    return keras.Sequential([
        keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, 2, use_bias=False), layers.BatchNormalization(momentum=0.9),
        layers.ReLU(), layers.Conv2D(8, 3, 2, activation="relu"), layers.Flatten(), layers.Dropout(0.5), layers.Dense(1, activation="sigmoid"),
    ])

def noting(plain, sum_so_far):
    def train(self, model, source, epoch, plan, tick):
        def note():
            tick()
            sums.append((epoch, float(sum_so_far(self, model))))
        return plain(self, model, source, epoch, plan, note)
    return train

sums = []
fit.built = network
loop.Alone.train = noting(loop.Alone.train, lambda self, model: model.metrics[0].total)
team.Team.train = noting(team.Team.train, lambda self, model: self.compiled[1]["train"][1][0].total)
options = recipe("lenet", size=32, epochs=int(epochs), batch_size=9, balance="class-weight", augment=Augment(flip=0.5, colour=0.2), devices=devices)
try:
    fit.fit("lenet", data, out, options, resume=True, say=lambda line: print(line, flush=True))
except WhyfakeError as error:
    sys.exit(f"Error: {error}")
finally:
    Path(notes).write_text(json.dumps(sums))
"""


def start(python, place, addresses, data, out, epochs=2):
    """Start a worker."""
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": place}}
    environment = os.environ | {"TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3", "WHYFAKE_JOIN_SECONDS": "60"}
    words = [python, "-c", SCRIPT, str(data), str(out / f"run{place}"), "workers", str(epochs), str(out / f"notes{place}.json")]
    log = (out / f"log{place}.txt").open("w")
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    log.close()
    return SimpleNamespace(process=process, log=out / f"log{place}.txt", run=out / f"run{place}", notes=out / f"notes{place}.json")


def pair(python, data, out, epochs=2):
    """Start two workers."""
    out.mkdir(exist_ok=True)
    addresses = [f"127.0.0.1:{port}" for port in ports(2)]
    return [start(python, place, addresses, data, out, epochs) for place in range(2)]


def ended(*started, seconds=120):
    """Wait for processes, and end what does not end."""
    try:
        return [one.process.wait(seconds) for one in started]
    finally:
        for one in started:
            one.process.kill()
            one.process.wait()


def history(run):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in json.loads((run / "detector.json").read_text())["history"]]


def test_two_workers_train_as_one_process(python, portraits, tmp_path, monkeypatch):
    """28 images in batches of 9: a last one of a single image. With batch normalisation, dropout, augmentation and class weights."""
    workers = pair(python, portraits, tmp_path / "team")
    for owner, name in ((fit, "built"), (loop.Alone, "train"), (team.Team, "train")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # what the script puts in their place is taken back
    run, notes = tmp_path / "alone", tmp_path / "alone.json"
    monkeypatch.setattr("sys.argv", ["", str(portraits), str(run), "one", "2", str(notes)])
    exec(SCRIPT, {})
    codes = ended(*workers)
    assert codes == [0, 0], "\n".join(one.log.read_text()[-2000:] for one in workers)
    one, *others = (
        np.array([total for _, total in json.loads(found.read_text())]).reshape(2, 4) for found in (notes, *(one.notes for one in workers))
    )
    sizes = [9, 9, 9, 1]
    losses = [np.diff(sums, prepend=0, axis=1) / sizes for sums in (one, sum(others))]
    assert np.abs(losses[0] - losses[1]).max() < 1e-5 and losses[0].min() > 0 and np.ptp(losses[0]) > 0.01
    for row, same in zip(history(run), history(workers[0].run), strict=True):
        assert list(row) == list(same) and list(row.values()) == pytest.approx(list(same.values()), abs=1e-5)
    assert {path.name for path in workers[0].run.iterdir()} == {path.name for path in run.iterdir()}
    assert not workers[1].run.exists()  # only the chief writes
    assert "writes the results" in workers[1].log.read_text().splitlines()[-1]
    again = pair(python, portraits, tmp_path / "team")
    assert ended(*again) == [0, 0] and "already finished after 2 epochs" in again[0].log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_a_lost_worker(python, portraits, tmp_path, victim):
    """The other stops with one line; both started again end where an uninterrupted training does."""
    whole = pair(python, portraits, tmp_path / "whole", epochs=12)
    assert ended(*whole) == [0, 0]
    first = pair(python, portraits, tmp_path / "lost", epochs=12)
    while "epoch   2" not in first[0].log.read_text() and first[0].process.poll() is None:
        time.sleep(0.05)
    first[victim].process.kill()
    began = time.monotonic()
    assert ended(first[1 - victim], seconds=60) == [1] and time.monotonic() - began < 40
    ended(first[victim])
    error = first[1 - victim].log.read_text().splitlines()[-1]
    assert error.startswith("Error: a worker was lost; start the same command on all machines with --resume: training goes on after epoch ")
    again = pair(python, portraits, tmp_path / "lost", epochs=12)
    assert ended(*again) == [0, 0]
    assert "going on after epoch" in again[0].log.read_text()
    assert history(again[0].run) == history(whole[0].run)
