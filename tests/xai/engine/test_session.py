"""Joining a cluster: addresses, a head that goes, settings that come back."""

import os
import signal
import socket
import threading

import pytest

from xai.engine import cluster, session
from xai.errors import RunError


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


def test_a_head_that_is_gone_ends_the_waiting(monkeypatch):
    monkeypatch.setattr(session, "REACH", 0.1)
    monkeypatch.setattr(session, "GONE", 2)
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = f"127.0.0.1:{server.getsockname()[1]}"
        with session._watched(head, gone):
            assert not gone.wait(0.5)  # it answers
        with pytest.raises(KeyboardInterrupt), session._watched(head, gone):  # the user's own
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(RunError, match=f"^the head of the Ray cluster at '{head}' is gone"), session._watched(head, gone):
        threading.Event().wait(20)  # as in Ray, without an end of its own
    assert gone.is_set()


def test_settings_come_back(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_BACKEND_LOG_LEVEL", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with session._environment(session.QUIET):
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0" and os.environ["RAY_BACKEND_LOG_LEVEL"] == "fatal"
    assert os.environ["RAY_AUTH_MODE"] == "disabled" and os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert "RAY_BACKEND_LOG_LEVEL" not in os.environ
