"""A connection to Ray: one started for a run on this machine, or a cluster that others keep."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from xai.engine.desk import one_line
from xai.errors import RunError, WhyfakeError

MISSING = "the Ray engine needs Ray: pip install 'whyfake[cluster]'"
REACH = 5.0  # seconds to wait for a cluster to answer
GONE = 6  # times in a row, with as long between them, that a cluster's head may not answer before it is given up
STORE = 2**28, 2**32  # bytes of shared memory for parts and results on their way, at least and at most; Ray puts more on disk
QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1"}


def load() -> Any:
    """Return the module `ray` with what is used of it, told to keep quiet.

    Raises:
        RunError: it is not installed.
    """
    try:
        import ray
        import ray.cloudpickle
        import ray.data
    except ImportError:
        raise RunError(MISSING) from None
    for name in ("ray", "ray.data"):  # what goes wrong comes as an exception
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return ray


@contextmanager
def connected(ray: Any, address: str | None, size: int) -> Iterator[None]:
    """Connect to a cluster or start Ray on this machine, and undo at the end what was done.

    A process that is connected already stays so.

    Args:
        ray: the module.
        address: "auto", "host:6379" or "ray://host:10001"; None starts Ray.
        size: bytes of what will be sent.

    Raises:
        RunError: the cluster is out of reach or Ray cannot be started.
    """
    with ExitStack() as stack:
        stack.enter_context(_set(ray._private.worker, "_worker_logs_enabled", False))  # reports on standard output
        if not ray.is_initialized():
            stack.enter_context(_session(ray, address, size))
        yield


@contextmanager
def _session(ray: Any, address: str | None, size: int) -> Iterator[None]:
    """Connect or start, and undo it."""
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # ray.init takes this signal over
            stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        options: dict[str, Any] = {"address": address}
        if address:
            stack.enter_context(_environment(QUIET))
        else:
            stack.callback(_forget, ray)
            # Ray does as it is told by whoever reaches its ports: one started here asks for a word and is not heard
            # elsewhere. Without the word Ray leaves one in the home folder, which clusters started later would ask for.
            word = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
            stack.enter_context(_environment(QUIET | word | {"RAY_worker_niceness": "0"}))  # as fast as without Ray
            stack.enter_context(_set(ray._private.ray_constants, "ENABLE_RAY_CLUSTER", False))  # the address is 127.0.0.1
            folder = tempfile.mkdtemp(prefix="whyfake-ray-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            options = {
                "address": "local",
                "include_dashboard": False,
                "_temp_dir": folder,
                "object_store_memory": min(max(STORE[0], 4 * size), STORE[1]),
            }
        gone = threading.Event()  # the cluster's head: then Ray's shutdown would end this process before it can say so
        stack.callback(lambda: None if gone.is_set() else ray.shutdown(wait_for_processes=address is None))
        try:
            if address:
                reach(address)
            with _hushed():
                ray.init(log_to_driver=False, configure_logging=False, **options)
        except WhyfakeError:
            raise
        except Exception as error:
            if address == "auto" and isinstance(error, ConnectionError):
                raise RunError("no Ray cluster runs on this machine; 'ray start --head' starts one, another machine's needs its address") from None
            what = f"the Ray cluster at '{address}' cannot be joined" if address else "Ray cannot be started on this machine"
            belong = "; this machine must belong to it (ray start --address=...) or use ray://host:10001, and know its token if it has one"
            hint = belong if address and not address.startswith("ray://") else ""
            raise RunError(f"{what}: {one_line(error)}{hint}") from None
        if address and not ray.util.client.ray.is_connected() and threading.current_thread() is threading.main_thread():
            stack.enter_context(_watched(ray.get_runtime_context().gcs_address, gone))
        yield


@contextmanager
def _watched(head: str, gone: threading.Event) -> Iterator[None]:
    """Stop with a line when the head of the cluster is gone: Ray would end this process after a minute, without a word.

    Raises:
        RunError: it is gone.
    """
    over = threading.Event()

    def watch() -> None:
        host, _, port = head.rpartition(":")
        missed = 0
        while missed < GONE:
            if over.wait(REACH):
                return
            try:
                socket.create_connection((host.strip("[]"), int(port)), REACH).close()
                missed = 0
            except OSError:
                missed += 1
        if over.is_set():
            return
        gone.set()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=watch, name="whyfake-ray-head", daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if gone.is_set():
            raise RunError(f"the head of the Ray cluster at '{head}' is gone; start the cluster and the same command again") from None
        raise
    finally:
        over.set()


def reach(address: str) -> None:
    """Complain early when no Ray answers at an address: Ray itself would try for minutes.

    Raises:
        RunError: it is no address, or something else answers.
        OSError: nobody answers.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise RunError(f"expected 'auto', 'host:6379' or 'ray://host:10001' as the address of a Ray cluster, got '{address}'")
    socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    if os.environ.get("RAY_USE_TLS", "0") == "0":
        import grpc  # TensorFlow brings it

        with grpc.insecure_channel(f"{host}:{port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(REACH)
            except grpc.FutureTimeoutError:
                raise RunError(f"what answers at '{address}' is no Ray cluster; its port is usually 6379, for ray:// 10001") from None


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which Ray and the processes that it starts read, for a while."""
    before = {name: os.environ.get(name) for name in (*values, "RAY_AUTH_MODE")}  # Ray sets the last itself
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _forget(ray: Any) -> None:
    """Have Ray forget the word it was given: a cluster that this process joins later has another one or none."""
    with suppress(AttributeError):  # other versions of Ray may not have them
        ray._raylet.Config.initialize("")
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _set(module: Any, name: str, value: Any) -> Iterator[None]:
    """Set a value inside Ray that has no public name, where it still exists, for a while."""
    if not hasattr(module, name):
        yield
        return
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def _hushed() -> Iterator[None]:
    """Drop what is written to standard error: Ray's native code says there which log level it was given."""
    with open(os.devnull, "wb") as null:
        kept = os.dup(2)
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
