"""The Ray engine on toy parts: results, parts that fail, parts that kill their process, machines that go."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import Counter

import psutil
import pytest

from xai.engine import cluster
from xai.engine.cluster import Trouble
from xai.errors import DataError, RunError


@pytest.fixture(scope="module")
def machines():
    """Two machines of one CPU each, played by this one, with this process connected to them."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")  # pytest's own is too long for the names of sockets
    head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": port, "temp_dir": folder}
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # Ray leaves its client server's log files open
        played = Cluster(initialize_head=True, head_node_args=head)
    played.doors = played.address, f"ray://127.0.0.1:{port}"  # for members and for outsiders
    played.add_node(num_cpus=1)
    ray.init(address=played.address, log_to_driver=False, configure_logging=False)
    yield played
    ray.shutdown()
    played.shutdown()
    shutil.rmtree(folder)


@pytest.mark.cluster
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
    assert results.pop(7).reason.startswith(f"killed its process 2 times on {socket.gethostname()} (")
    assert results == {part: {"square": part**2, "bytes": b"\0" * part} for part in range(20) if part not in (5, 7)}
    assert not list(tmp_path.iterdir())  # no marks are left

    import ray

    assert ray.is_initialized()  # it was before


@pytest.mark.cluster
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
def test_what_kills_its_process_while_loading_is_given_up(machines):
    with pytest.raises(RunError, match=r"^loading the model killed its process 2 times on .+; too little memory"):
        list(cluster.run(lambda: os._exit(1), range(4), attempts=2))


@pytest.mark.cluster
@pytest.mark.slow
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


VISITOR = """
import os, sys
from xai.engine import cluster
from xai.errors import DataError
def opening():
    def work(part):
        if part == 2:
            raise DataError("enough")
        return part
    return work
for address in sys.argv[1:]:
    print(sorted(cluster.run(lambda: lambda part: -part, range(3), address=address)))
    try:
        list(cluster.run(opening, range(3), address=address))
    except DataError as error:
        print(error)
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_a_cluster_is_joined_and_left_running_from_inside_and_outside(machines):
    done = subprocess.run([sys.executable, "-c", VISITOR, *machines.doors], capture_output=True, text=True, timeout=120, check=False)
    assert not done.returncode and not done.stderr, done.stderr
    assert done.stdout.splitlines() == ["[(0, 0), (1, -1), (2, -2)]", "enough"] * 2
    assert dict(cluster.run(lambda: abs, [-1])) == {0: 1}  # it is still there


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
        watchdog = threading.Timer(90, process.kill)
        watchdog.start()
        number, result, addresses = json.loads(process.stdout.readline())
        watchdog.cancel()
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


def test_an_actor_keeps_to_its_share():
    assert set(cluster._share(0.5, 0).values()) == {"1", "-1"}  # a thread at least; no GPU is seen
    share = cluster._share(4, 0.5)
    assert share.pop("TF_FORCE_GPU_ALLOW_GROWTH") == "true" and set(share.values()) == {"4"}


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
