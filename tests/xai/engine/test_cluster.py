"""The Ray engine on toy parts: results, parts that fail, parts that kill their process, machines that go."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter

import psutil
import pytest

from xai.engine import cluster, desk, session
from xai.engine.cluster import Trouble
from xai.errors import DataError, RunError, WhyfakeError

# Ray Data copies settings of its own that it deprecates
QUIETLY = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")


@pytest.fixture(scope="module")
def machines():
    """Two machines of one CPU each, played by this one, with this process connected to them."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    played = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    played.add_node(num_cpus=1)
    ray.init(address=played.address, log_to_driver=False, configure_logging=False)
    yield played
    ray.shutdown()
    played.shutdown()


@pytest.mark.cluster
@QUIETLY
def test_results_are_the_local_ones_and_bad_parts_cost_only_themselves(machines, tmp_path):
    def opening():
        def work(part):
            if part == 5:
                raise ValueError("five\nis right out")
            if part == 7:
                os._exit(1)
            return {"square": part**2, "bytes": b"\0" * part}

        return work

    answers = list(cluster.run(opening, range(20), marks=tmp_path / "marks", attempts=2))
    assert sorted(number for number, _ in answers) == list(range(20))  # each once
    results = dict(answers)
    assert results.pop(5) == Trouble("ValueError: five")
    assert results.pop(7).reason.startswith(f"killed its process 2 times (on {socket.gethostname()} (")
    assert results == {part: {"square": part**2, "bytes": b"\0" * part} for part in range(20) if part not in (5, 7)}
    assert not list(tmp_path.iterdir())  # no marks are left

    import ray

    assert ray.is_initialized()  # it was before


@pytest.mark.cluster
@QUIETLY
def test_an_error_for_the_user_ends_the_run_as_itself(machines, tmp_path):
    def opening():
        def work(part):
            raise DataError("the disk is full; free some room")

        return work

    with pytest.raises(DataError, match=r"^the disk is full; free some room$"):
        list(cluster.run(opening, range(4)))

    def broken():
        raise OSError("no such model\nat all")

    with pytest.raises(RunError, match=r"^the model could not be loaded on machine .+: OSError: no such model$"):
        list(cluster.run(broken, range(4)))


@pytest.mark.cluster
def test_room_that_no_machine_has_is_said_and_not_waited_for(machines):
    with pytest.raises(RunError, match=r"no machine has room for an actor of 2 CPUs and 0 GPUs; they have 1 CPUs and 0 GPUs"):
        list(cluster.run(lambda: abs, [1], cpus=2))
    with pytest.raises(RunError, match=r"of 1 CPUs and 0\.5 GPUs"):
        list(cluster.run(lambda: abs, [1], gpus=0.5))


@pytest.mark.cluster
@pytest.mark.slow
@QUIETLY
def test_what_kills_its_process_while_loading_is_given_up(machines):
    with pytest.raises(RunError, match=r"^loading the model killed its process 2 times \(on .+\); too little memory"):
        list(cluster.run(lambda: os._exit(1), range(4), attempts=2))


@pytest.mark.cluster
@pytest.mark.slow
@QUIETLY
def test_a_machine_lost_half_way_costs_no_part_and_repeats_none(machines, tmp_path):
    def opening():
        def work(part):
            import time

            time.sleep(0.3)
            return part, os.urandom(200_000)  # too large to be sent at once: it lies on the machine that made it

        return work

    lost = machines.add_node(num_cpus=2)
    seen = Counter()
    for number, result in cluster.run(opening, range(24), marks=tmp_path / "marks", actors=4):
        assert result[0] == number
        seen[number] += 1
        if sum(seen.values()) == 8:
            threading.Thread(target=machines.remove_node, args=(lost,), kwargs={"allow_graceful": False}).start()
    assert seen == dict.fromkeys(range(24), 1)


ALONE = """
import json, os, psutil, ray
from xai.engine import cluster
def opening():
    def work(part):
        import time
        time.sleep(part)
        return [os.environ[name] for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")]
    return work
try:
    for number, result in cluster.run(opening, [0, 600], cpus=0.5):
        me = psutil.Process()
        heard = [c.laddr.ip for p in (me, *me.children(recursive=True)) for c in p.net_connections("tcp") if c.status == "LISTEN"]
        print(json.dumps([number, result, heard]), flush=True)
except KeyboardInterrupt:
    print(json.dumps([ray.is_initialized(), "RAY_AUTH_TOKEN" in os.environ, "RAY_AUTH_MODE" in os.environ]))
"""


@pytest.mark.cluster
def test_a_ray_of_its_own_is_quiet_for_this_machine_alone_and_ends_with_an_interrupt():
    pytest.importorskip("ray")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        number, result, addresses = json.loads(process.stdout.readline())
        others = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        left, complaints = process.communicate(timeout=60)
    assert (number, result) == (0, ["1", "1"])  # as many threads as it has CPUs, at least one
    assert addresses and all(address.endswith("127.0.0.1") for address in addresses)
    assert (process.returncode, complaints) == (0, "")
    assert json.loads(left) == [False, False, False]  # disconnected, and no setting is left behind
    _, alive = psutil.wait_procs(others, timeout=10)
    assert others and not alive


def test_missing_ray_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"^the Ray engine needs Ray: pip install 'whyfake\[cluster\]'$"):
        next(cluster.run(lambda: abs, [1]))
    assert list(cluster.run(lambda: abs, [])) == []  # nothing to do needs no Ray


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("somewhere", "expected 'auto', 'host:6379' or 'ray://host:10001'"),
        ("ray://somewhere", "expected 'auto'"),
        ("127.0.0.1:{free}", "the Ray cluster at '127.0.0.1:{free}' cannot be joined: ConnectionRefusedError"),
        ("ray://127.0.0.1:{free}", "cannot be joined: ConnectionRefusedError"),
        ("127.0.0.1:{taken}", "what answers at '127.0.0.1:{taken}' is no Ray cluster"),
    ],
)
def test_an_address_where_no_ray_is_is_said_soon(monkeypatch, address, said):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session, "REACH", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
        other.close()
        ports = {"taken": taken.getsockname()[1], "free": free}
        with pytest.raises(RunError) as caught:
            next(cluster.run(lambda: abs, [1], address=address.format(**ports)))
    assert said.format(**ports) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpus": 0}, "more than 0, got 0"),
        ({"gpus": 1.5}, "got 1.5"),
        ({"gpus": -1}, "got -1"),
        ({"actors": 0}, "at least 1"),
        ({"attempts": 0}, "at least 1"),
    ],
)
def test_impossible_numbers_are_refused(options, said):
    with pytest.raises(RunError, match=said):
        next(cluster.run(lambda: abs, [1], **options))


def node(alive=True, **resources):
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("cpus", "gpus", "fit"),
    [(1, 0, 12), (3, 0, 3), (0.1, 0, 120), (1, 1, 3), (1, 2, 1), (1, 0.4, 6), (1, 0.3, 8)],
)
def test_actors_that_fit_are_counted_by_machine_and_card(cpus, gpus, fit):
    # of 0.3 GPUs three share a card: 6 on two cards, 3 on one, but that machine has CPUs for 2
    nodes = [node(CPU=10, GPU=2), node(CPU=2, GPU=1), node(alive=False, CPU=99, GPU=9), node()]
    assert cluster._room(nodes, cpus, gpus) == fit


def test_marks_of_a_killed_run_and_nothing_else_are_removed(tmp_path):
    (tmp_path / "ray-0123").mkdir()
    (tmp_path / "ray-0123" / "4.0").write_text("host")
    (tmp_path / "mine").write_text("")
    with cluster._folder(tmp_path) as folder:
        assert {path.name for path in tmp_path.iterdir()} == {folder.name, "mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written: Not a directory; give another --out"), cluster._folder(tmp_path / "file"):
        pass


def at_desk(folder, attempts=2):
    """A desk without an actor around it, whose function doubles."""
    made = desk.Desk.__new__(desk.Desk)
    made.folder, made.attempts, made.host, made.work = folder, attempts, "here", lambda part: 2 * part
    return made


def test_a_part_is_tried_as_often_as_allowed(tmp_path):
    pytest.importorskip("ray")
    one = at_desk(tmp_path)
    kind, body = one.answer(3, pickle.dumps(21))
    assert (kind, pickle.loads(body)) == ("done", 42) and not list(tmp_path.iterdir())  # its mark is gone
    assert one.mark("3").name == "3.0" and one.mark("3").name == "3.1"  # two processes that never came back
    assert one.answer(3, pickle.dumps(21)) == ("failed", b"killed its process 2 times (on here); too little memory is the usual cause")
    assert one.answer(31, pickle.dumps(1))[0] == "done"  # another part, whose name begins alike


def test_what_goes_wrong_in_a_part_becomes_an_answer(tmp_path):
    pytest.importorskip("ray")
    one = at_desk(tmp_path)
    for raised, expected in (
        (KeyError("a"), ("failed", b"KeyError: 'a'")),
        (SystemExit(3), ("failed", b"SystemExit: 3")),
        (MemoryError(), ("failed", b"MemoryError: ")),
    ):

        def work(part, raised=raised):
            raise raised

        one.work = work
        assert one.answer(0, pickle.dumps(0)) == expected
    one.work = lambda part: lambda: None
    assert one.answer(0, pickle.dumps(0))[0] == "done"  # even that can be pickled here
    one.work = lambda part: threading.Lock()
    assert one.answer(0, pickle.dumps(0)) == ("failed", b"TypeError: cannot pickle '_thread.lock' object")
    one.folder = tmp_path / "gone"
    kind, body = one.answer(0, pickle.dumps(0))
    assert kind == "raised" and "cannot be written on machine here: No such file or directory" in str(pickle.loads(body))


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(desk, "SEEN", 0.3)
    one = at_desk(tmp_path / "marks" / "ray-1")
    with pytest.raises(RunError, match=r"^machine here does not see '.*/marks'; give an --out that all machines share$"):
        one.see()
    (tmp_path / "marks" / "ray-1").mkdir(parents=True)
    one.see()


def test_a_machine_without_whyfake_or_with_another_says_so(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setitem(sys.modules, "xai.engine.desk", None)
    actor = desk.actor_class(b"", str(tmp_path), 3, "9.9")()
    answer = actor({"number": 4, "part": b""})
    assert (answer["number"], answer["kind"]) == (4, "halt")
    assert b" has no whyfake 9.9 (" in answer["body"] and answer["body"].endswith(b"install the same on all machines")
    other = desk.Desk(b"", str(tmp_path), 3, "0.0.0")
    kind, body = other.answer(0, b"")
    assert kind == "raised" and " has whyfake " in str(pickle.loads(body)) and ", not 0.0.0: install the same" in str(pickle.loads(body))


def test_an_error_that_cannot_be_pickled_comes_as_its_line():
    class Odd(WhyfakeError):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    assert desk.raised(Odd(1, 2)) == ("halt", b"1 and 2")
    kind, body = desk.raised(RunError("full"))
    assert kind == "raised" and isinstance(pickle.loads(body), RunError)


def test_settings_come_back(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_BACKEND_LOG_LEVEL", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with session._environment(session.QUIET):
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0" and os.environ["RAY_BACKEND_LOG_LEVEL"] == "fatal"
    assert os.environ["RAY_AUTH_MODE"] == "disabled" and os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert "RAY_BACKEND_LOG_LEVEL" not in os.environ
