"""Who trains together: TF_CONFIG from the environment, and the meeting before TensorFlow starts."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from xai.errors import WhyfakeError, listed

HOW = "docs/training-cluster.md shows how"
PATIENCE = "WHYFAKE_JOIN_SECONDS"  # how long workers wait for one another
MOST = 65536  # bytes of a greeting
WATCH = """
import os, select, sys
if not select.select([0], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[3], file=sys.stderr)
    os.kill(int(sys.argv[2]), 9)
"""


@dataclass(frozen=True, slots=True)
class Seat:
    """A process's place among those that train together.

    Args:
        addresses: host:port of all, the chief first.
        index: of this one in `addresses`.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this is the one that writes files."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Return a worker as people are told of it."""
        return f"worker {index} ({self.addresses[index]})"


def seat(environment: Mapping[str, str] = os.environ) -> Seat:
    """Read TF_CONFIG.

    Raises:
        WhyfakeError: missing, no JSON, or without the addresses or this process's number.

    Example:
        >>> seat({"TF_CONFIG": '{"cluster": {"worker": ["a:4000", "b:4000"]}, "task": {"type": "worker", "index": 1}}'})
        Seat(addresses=('a:4000', 'b:4000'), index=1)
    """
    text = environment.get("TF_CONFIG", "")
    if not text.strip():
        raise WhyfakeError(f"--devices workers needs TF_CONFIG in the environment: the addresses of all workers and the number of this one; {HOW}")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise WhyfakeError(f"TF_CONFIG is no JSON ({error}); {HOW}") from None
    cluster, task = (config.get(key) if isinstance(config, dict) else None for key in ("cluster", "task"))
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise WhyfakeError(f"TF_CONFIG has no 'cluster' or no 'task'; expected both; {HOW}")
    if foreign := sorted(set(cluster) - {"chief", "worker"}):
        raise WhyfakeError(f"TF_CONFIG has {listed(foreign)} in its cluster; expected worker, and chief at most; {HOW}")
    groups = {kind: cluster.get(kind, []) for kind in ("chief", "worker")}
    if not all(isinstance(found, list) and all(map(is_address, found)) for found in groups.values()) or len(groups["chief"]) > 1:
        raise WhyfakeError(f'TF_CONFIG lists {json.dumps(cluster)}; expected lists of addresses such as "10.0.0.1:4000", one chief at most; {HOW}')
    addresses = tuple(groups["chief"] + groups["worker"])
    if not addresses or len(set(addresses)) < len(addresses):
        raise WhyfakeError(f"TF_CONFIG lists {'an address twice' if addresses else 'no worker'}; expected one address a worker; {HOW}")
    kind, index = task.get("type"), str(task.get("index"))
    if kind not in groups or not index.isdecimal() or int(index) >= len(groups[kind]):
        raise WhyfakeError(
            f"TF_CONFIG says that this is {kind} {index}, which its cluster does not list; expected a type of {listed(groups)} and an index from 0"
        )
    return Seat(addresses, int(index) + (len(groups["chief"]) if kind == "worker" else 0))


def is_address(text: Any) -> bool:
    """Say whether something is host:port.

    Example:
        >>> is_address("node-7:4000"), is_address("node-7"), is_address("node-7:0")
        (True, False, False)
    """
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def patience(environment: Mapping[str, str] = os.environ) -> float:
    """Return for how many seconds workers wait for one another to start; ten minutes unless the environment says otherwise.

    Raises:
        WhyfakeError: the environment says no positive number.

    Example:
        >>> patience({}), patience({"WHYFAKE_JOIN_SECONDS": "90"})
        (600.0, 90.0)
    """
    text = environment.get(PATIENCE, "600")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise WhyfakeError(f"{PATIENCE} is '{text}'; expected a number of seconds above 0")
    return seconds


def meet(own: Seat, facts: Mapping[str, Any], seconds: float, say: Callable[[str], None] = lambda line: None) -> None:
    """Wait until all workers are there, on the very ports that TensorFlow takes next.

    TensorFlow itself would wait for up to an hour, deaf to Ctrl-C, and never say for whom.
    Everyone greets everyone: who has greeted all and was greeted by all may go on.

    Args:
        own: seat.
        facts: what must be alike in all of them, by name; JSON-able.
        seconds: to wait at most.
        say: told for whom one waits, after two seconds.

    Raises:
        WhyfakeError: the own port is taken, some did not come, or theirs are other facts.
    """
    greeting = json.dumps({"whyfake": own.index, "addresses": own.addresses, "facts": facts}).encode()
    started, told = time.monotonic(), False
    here: dict[int, Any] = {own.index: facts}
    greeted = {own.index}
    with listener(own) as server:
        while len(here) < len(own.addresses) or len(greeted) < len(own.addresses):
            passed = time.monotonic() - started
            missing = [own.name(index) for index in range(len(own.addresses)) if index not in here or index not in greeted]
            if passed > seconds:
                raise WhyfakeError(
                    f"{listed(missing)} did not come within {seconds:.0f} s; start the same command there, with its own index in TF_CONFIG, "
                    f"and see that its port can be reached from here ({PATIENCE} sets how long is waited)"
                )
            if passed > 2 and not told:
                say(f"waiting for {listed(missing)}")
                told = True
            for index in set(range(len(own.addresses))) - greeted:
                with suppress(OSError), socket.create_connection(split(own.addresses[index]), timeout=1) as line:
                    line.sendall(greeting)  # stays readable there when this one has gone on already
                    greeted.add(index)
            while select.select([server], [], [], 0.1)[0]:
                here |= heard(server, own)
    for index, found in here.items():
        for name in facts:
            if found.get(name) != facts[name]:
                raise WhyfakeError(f"{own.name(index)} has {name} {found.get(name)}, this one {facts[name]}; all workers must be alike")


def heard(server: socket.socket, own: Seat) -> dict[int, Any]:
    """Take in one greeting.

    Returns:
        Index and facts of who sent it; nothing for what is no greeting (a port scanner's call, say).

    Raises:
        WhyfakeError: it comes from another training, or from one that takes this one's seat.
    """
    text = b""
    with suppress(OSError):
        line, _ = server.accept()
        with line:
            line.settimeout(1)
            while len(text) < MOST and (part := line.recv(MOST)):
                text += part
    try:
        found = json.loads(text)
        index, addresses, facts = found["whyfake"], found["addresses"], dict(found["facts"])
    except (ValueError, TypeError, KeyError):
        return {}
    if addresses != list(own.addresses):
        raise WhyfakeError(f"a worker of another cluster ({listed(map(str, addresses))}) called this one's port; give each training its own ports")
    if index == own.index:
        raise WhyfakeError(f"another process says that it is {own.name(index)}, too; each needs its own index in TF_CONFIG")
    return {index: facts}


def split(address: str) -> tuple[str, int]:
    """Return host and port.

    Example:
        >>> split("node-7:4000")
        ('node-7', 4000)
    """
    host, _, port = address.rpartition(":")
    return host, int(port)


def listener(own: Seat) -> socket.socket:
    """Return a socket that listens on the own port, as TensorFlow will.

    Raises:
        WhyfakeError: another process does so already.
    """
    port = split(own.addresses[own.index])[1]
    try:
        return socket.create_server(("", port), backlog=256)
    except OSError as error:
        raise WhyfakeError(
            f"port {port} of {own.name(own.index)} cannot be taken ({os.strerror(error.errno or 0)}); end what uses it, or give another in TF_CONFIG"
        ) from None


@contextmanager
def bounded(seconds: float, line: str) -> Iterator[None]:
    """End this process with one line should a `with` take longer.

    TensorFlow holds Python's lock while it waits for the others, so nothing in this
    process could: a second, tiny one watches.
    """
    words = [sys.executable, "-S", "-c", WATCH, str(seconds), str(os.getpid()), f"Error: {line}"]
    kept = signal.getsignal(signal.SIGTERM)
    with subprocess.Popen(words, stdin=subprocess.PIPE) as watcher:
        try:
            yield
        finally:
            assert watcher.stdin
            watcher.stdin.close()
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, kept)  # TensorFlow's own handler would swallow what a scheduler stops a job with
