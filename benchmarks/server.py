"""The upload page under load, killed, and timed against the map pass itself; all on the loopback address.

python -m benchmarks.server
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

BESIEGERS = 80
CLIENTS, REQUESTS = 20, 1000
PARTS = 10  # of the load, whose memory is told one by one
ROUNDS, TIMES = 7, 5  # of the comparison with the map pass
TRIES = 50  # of one request that is told to come again


def portrait(size: int, seed: int = 0) -> bytes:
    """Return a drawn portrait as a JPEG."""
    from train.portraits import draw

    file = io.BytesIO()
    Image.fromarray(draw(seed, size).image).save(file, "JPEG", quality=92)
    return file.getvalue()


def untrained(path: Path, size: int) -> None:
    """Save a detector that has learnt nothing; its passes cost what a trained one's do."""
    from models import build

    build("alexnet18", size).save(path)


def map_pass(model: Path, size: int, connection: Any) -> None:
    """Whenever asked, map a portrait a few times and send back the milliseconds of each."""
    from xai.backend import import_quietly

    import_quietly()
    from reports.web.served import Served
    from xai.detector import load
    from xai.images import decode
    from xai.maps import mapped

    served = Served.of(load(model), "model")
    inputs = served.detector.preprocessing.prepare(decode(portrait(size)))[None]
    served.warm()
    while connection.recv():
        found = []
        for _ in range(TIMES):
            start = time.perf_counter()
            mapped.compute(served.detector, inputs, served.layers, served.methods)
            found.append(1000 * (time.perf_counter() - start))
        connection.send(found)


@dataclass
class Server:
    """A server that runs: its process and port, and every file it left in its folder for temporary files."""

    process: subprocess.Popen
    port: int
    folder: Path
    memory: list[tuple[float, float]] = field(default_factory=list)  # second, MB of all its processes

    def ask(self, body: bytes, what: str = "explain") -> tuple[int, bytes, float]:
        """Send an image; return status, answer and the seconds after which to come again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", f"/api/v1/{what}", body, {"Content-Type": "image/jpeg"})
        reply = connection.getresponse()
        found = reply.status, reply.read(), float(reply.getheader("Retry-After") or 0)
        connection.close()
        return found

    def watch(self) -> None:
        """Note the memory of all processes until the server ends."""
        parent = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            try:
                total = sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True)))
            except psutil.Error:
                break
            self.memory.append((time.perf_counter(), total / 1e6))
            time.sleep(0.25)


@contextmanager
def running(model: Path, folder: Path) -> Iterator[Server]:
    """Start a server and end it."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "cli", "serve", str(model), "--port", "0", "--regions", "template", "--quiet"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(folder)})
    assert process.stderr is not None
    port = next((int(found[1]) for line in process.stderr if (found := re.search(r"at http://[^:]+:(\d+)/", line))), None)
    if port is None:
        raise SystemExit("the server did not start")
    threading.Thread(target=process.stderr.read, daemon=True).start()
    server = Server(process, port, folder)
    threading.Thread(target=server.watch, daemon=True).start()
    try:
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def load(server: Server, bodies: list[bytes], requests: int, clients: int) -> None:
    """Ask many times from many clients at once, and say what came back."""
    statuses: Counter[int] = Counter()
    seconds: list[float] = []
    lost: list[str] = []
    lock = threading.Lock()

    def one(number: int) -> None:
        for _ in range(TRIES):
            start = time.perf_counter()
            try:
                status, answer, again = server.ask(bodies[number % len(bodies)], "explain" if number % 2 else "predict")
            except OSError as error:
                with lock:
                    lost.append(repr(error))
                return
            with lock:
                statuses[status] += 1
                if status == 200:
                    seconds.append(time.perf_counter() - start)
                    if b'"logit"' not in answer:
                        lost.append("an answer without a logit")
                    return
                if status not in (429, 503) or not again:
                    lost.append(f"status {status}")
                    return
            time.sleep(again)
        with lock:
            lost.append("never answered")

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(requests)))
    end = time.perf_counter()
    told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    rate = requests / (end - start)
    print(f"{requests} requests of {clients} clients, {rate:.1f} a second; by status {told}; lost {len(lost)} {lost[:3]}")
    p50, p95, most = np.quantile(seconds, [0.5, 0.95, 1.0])
    print(f"seconds to an answer: median {p50:.2f}, p95 {p95:.2f}, longest {most:.2f}")
    marks = np.linspace(start, end, PARTS + 1)
    typical = [np.median([mb for second, mb in server.memory if a <= second <= b]) for a, b in pairwise(marks)]
    print("memory of its processes by tenth of the load, MB: " + ", ".join(f"{one:,.0f}" for one in typical))


def killed(model: Path, folder: Path, bodies: list[bytes]) -> None:
    """Kill a server at work and start it again, and say what is left of the first."""
    with running(model, folder) as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(server.ask, body) for body in bodies * 8]
            time.sleep(1.0)
            server.process.kill()
            _, alive = psutil.wait_procs(children, timeout=20)
        broken = sum(future.exception() is not None for future in asked)
    left = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    print(f"killed with {broken} of {len(asked)} requests unanswered: files left {left}, processes left {len(alive)}")
    with running(model, folder) as server:
        print(f"started again: status {server.ask(bodies[0])[0]}")
    left = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    print(f"stopped: exit {server.process.returncode}, files left {left}")


def besieged(model: Path, folder: Path, body: bytes) -> None:
    """Send the server more and heavier archives than it takes, hang up, and say how others fare."""
    archive = io.BytesIO()
    heavy = io.BytesIO()
    Image.new("RGB", (6300, 6300)).save(heavy, "PNG")  # 40 megapixels in little more than 100 kB
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(32):
            packed.writestr(f"{number}.png", heavy.getvalue())
    with running(model, folder) as server:
        server.ask(body)
        calm = server.memory[-1][1]
        attackers = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(BESIEGERS)]
        for attacker in attackers:
            attacker.request("POST", "/api/v1/predict", archive.getvalue(), {"Content-Type": "application/zip"})
        time.sleep(2)
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            visitor = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            visitor.request("GET", "/healthz")
            assert visitor.getresponse().status == 200
            seconds.append(time.perf_counter() - start)
            visitor.close()
            time.sleep(0.5)
        status = server.ask(body)[0]
        for attacker in attackers:
            attacker.close()
        start = time.perf_counter()
        while server.ask(body)[0] != 200:
            time.sleep(1)
        recovered = time.perf_counter() - start
        peak = max(mb for _, mb in server.memory)
    print(f"{BESIEGERS} archives of 32 images of 40 megapixels at once: /healthz within {max(seconds):.2f} s; another client's image: {status}")
    print(f"memory of its processes, MB: {calm:,.0f} before, {peak:,.0f} at most; an image is answered again {recovered:.0f} s after they hung up")


def answer(model: Path, folder: Path, size: int) -> None:
    """Time the page's answer against the map pass itself, in turn."""
    ours, theirs = get_context("spawn").Pipe()
    other = get_context("spawn").Process(target=map_pass, args=(model, size, theirs), daemon=True)
    other.start()
    body = portrait(size)
    with running(model, folder) as server:
        server.ask(body)
        passes, answers = [], []
        for _ in range(ROUNDS):
            ours.send(True)
            passes += ours.recv()
            for _ in range(TIMES):
                start = time.perf_counter()
                status, text, _ = server.ask(body)
                answers.append(1000 * (time.perf_counter() - start))
                assert status == 200, text[:200]
    ours.send(False)
    other.join()
    a, b = np.median(answers), np.median(passes)
    print(f"one image of {size} x {size}: answer {a:.0f} ms ({len(text) / 1e3:.0f} kB), map pass {b:.0f} ms; answer / map pass: {a / b:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["load", "kill", "siege", "answer"], help="one of them")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="of the load, at once")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of the load")
    known = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        home = Path(temporary)
        for size in (256, 1024):
            pool.submit(untrained, home / f"m{size}.keras", size).result()
        bodies = [pool.submit(portrait, 256, seed).result() for seed in range(8)]
        if known.only in (None, "load"):
            with running(home / "m256.keras", home / "load") as server:
                load(server, bodies, known.requests, known.clients)
        if known.only in (None, "kill"):
            killed(home / "m256.keras", home / "kill", bodies)
        if known.only in (None, "siege"):
            besieged(home / "m256.keras", home / "siege", bodies[0])
        if known.only in (None, "answer"):
            answer(home / "m1024.keras", home / "answer", 1024)


if __name__ == "__main__":
    main()
