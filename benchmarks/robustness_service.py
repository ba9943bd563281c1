"""The service under abuse: made-up requests, bodies and headers without end, killed workers, a locked history, and load."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import psutil

from benchmarks.robustness_base import Tally, well
from benchmarks.service import client, free_port, wait_for

CLIENTS = 50
WARM_SHARE = 0.2
"""Of the time of load, after which memory is looked at first."""

MOST_GROWTH = 0.05
MOST_MEGABYTES = 40
"""Taken of a request before it is refused."""

NO_END = b"no end"
FEW_REQUESTS = 30
"""Made up for a path that reads no body."""

MOST_TURNS = 20
"""Of making requests up, each with a seed of its own, until there are enough."""

PROMPT_SECONDS = 1.0
"""In which /healthz must answer whatever else goes on."""


@dataclass(frozen=True)
class Server:
    """A service in a process of its own."""

    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """Bytes of it and of its workers."""
        main = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (main, *main.children(recursive=True)))

    def workers(self) -> list[psutil.Process]:
        """Its processes that forecast."""
        children = psutil.Process(self.process.pid).children()
        living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in living if "spawn_main" in " ".join(child.cmdline())]


def service(inputs: Path, tally: Tally, seconds: float, requests: int, seed: int) -> None:
    """All that is done to a service, one after the other."""
    from tests.builders import past

    folder = inputs.parent / "service"
    folder.mkdir()
    past().export_file(folder / "observed.csv")
    log = folder / "log"
    well(["history", "import", "observed.csv", "--history", "history.db"], folder, log)
    well(["train-meta", "--history", "history.db", "--out", "meta", "--minutes", "0"], folder, log)
    with _serving(folder) as server:
        _made_up(server, tally, requests, seed)
        _without_end(server, tally)
        _idle(server, tally)
        _killed_workers(server, tally)
        _locked(server, tally)
        _under_load(server, tally, seconds)
        _alive(server, "at the end", tally)
    with _serving(folder) as server:
        _history_gone(server, tally)
    said = (folder / "served").read_text(encoding="utf-8", errors="replace")
    if "Traceback" in said:
        tally.problem(
            "tracebacks", f"in the log of the service: {said[said.index('Traceback') :][-400:]!r}", said.count("Traceback")
        )


@contextmanager
def _serving(folder: Path) -> Iterator[Server]:
    port = free_port()
    command = [
        sys.executable, "-m", "transfercast", "serve", "--predictor", f"{folder}/meta", "--history", f"{folder}/history.db",
        "--port", str(port), "--workers", "2",
    ]  # fmt: skip
    with (folder / "served").open("ab") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file)
    try:
        wait_for(port)
        yield Server(port, process, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def answer(server: Server, path: str, body: bytes | None = None, seconds: float = 90.0) -> tuple[int, bytes]:
    """Status and body of an answer; 0 if there was none."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    request = urllib.request.Request(server.url + path, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def _count(status: int, what: str, tally: Tally, allowed: tuple[int, ...] = ()) -> None:
    tally.requests += 1
    if status == 0:
        tally.problem("hangs", f"{what}: no answer")
    elif status >= 500 and status not in allowed:
        tally.problem("http_5xx", f"{what}: {status}")


def _alive(server: Server, what: str, tally: Tally) -> None:
    started = time.perf_counter()
    status, _ = answer(server, "/healthz", seconds=30)
    took = time.perf_counter() - started
    _count(status, f"/healthz {what}", tally)
    if took > PROMPT_SECONDS:
        tally.problem("hangs", f"/healthz {what}: {took:.1f} s")


def _made_up(server: Server, tally: Tally, requests: int, seed: int) -> None:
    """Requests that schemathesis makes up from the service's own description, right ones and wrong ones."""
    try:
        import schemathesis
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import seed as seeded
        from hypothesis.errors import Unsatisfiable
    except ImportError:
        tally.skipped.append("made-up requests: pip install schemathesis")
        return
    modes = schemathesis.GenerationMode
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [
        one for one in operations if (one.method.upper(), one.path) != ("POST", "/v1/retrain")
    ]  # would train for hours
    before, impossible = tally.requests, set()
    for turn in range(seed, seed + MOST_TURNS):
        for operation, mode in product(operations, (modes.POSITIVE, modes.NEGATIVE)):
            reads = bool(operation.body)
            if (operation.label, mode) in impossible or not (reads or turn == seed):
                continue

            @seeded(turn)
            @settings(
                max_examples=requests // 6 if reads else FEW_REQUESTS, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Any) -> None:
                response = case.call(timeout=60)
                _count(response.status_code, f"{case.method} {case.path} {str(case.body)[:200]}", tally)

            try:
                send()
            except Unsatisfiable:  # nothing of a path without parameters and body can be wrong
                impossible.add((operation.label, mode))
                if reads:
                    tally.skipped.append(f"made-up requests: none can be made for {operation.label}, {mode.value}")
        if tally.requests - before >= requests:
            break
    print(f"made up: {tally.requests - before} requests", flush=True)


def _raw(server: Server, parts: Iterator[bytes], seconds: float) -> tuple[bytes, float]:
    """Send parts until the service answers or closes; what it answered, and megabytes sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                sent += len(part)
                if select.select([connection], [], [], 0)[0]:
                    break
            return connection.recv(4096), sent / 2**20
        except TimeoutError:
            return NO_END, sent / 2**20
        except ConnectionError:
            return b"", sent / 2**20


def _without_end(server: Server, tally: Tally) -> None:
    """Headers and bodies that do not end: cut off, and other clients are answered meanwhile."""
    start = b"POST /v1/forecasts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    block = b"x" * 2**20

    def endless(head: bytes, part: bytes) -> Iterator[bytes]:
        yield head
        for _ in range(64):
            yield part

    chunk = b"%x\r\n" % len(block) + block + b"\r\n"
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(1000))
    cases = {
        "a header line without end": endless(b"GET /healthz HTTP/1.1\r\nX: ", block),
        "headers without end": endless(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n", lines),
        "a path without end": endless(b"GET /", block),
        "a body without end": endless(start + b"Transfer-Encoding: chunked\r\n\r\n", chunk),
        "a body longer than it says": endless(start + b"Content-Length: 10\r\n\r\n", block),
        "a body of a length of 5,000 digits": endless(start + b"Content-Length: " + b"7" * 5000 + b"\r\n\r\n", b"{}"),
        "a body shorter than it says": iter([start + b"Content-Length: 100\r\n\r\n{}"]),  # waited for, as all servers do
        "no HTTP": iter([b"\x16\x03\x01\x02\x00\x01\x00" + bytes(range(256))]),
        "half a request": iter([b"POST /v1/fore"]),
    }
    before = server.memory()
    for what, parts in cases.items():
        said, megabytes = _raw(server, parts, 10)
        tally.cases += 1
        if megabytes > MOST_MEGABYTES:
            tally.problem("hangs", f"{what}: {megabytes:.0f} MiB were taken")
        if said.startswith(b"HTTP/1.1 5"):
            tally.problem("http_5xx", f"{what}: {said[:80]!r}")
        _alive(server, f"after {what}", tally)
    grown = server.memory() - before
    if grown > 200 * 2**20:
        tally.problem("hangs", f"requests without end: {grown / 2**20:.0f} MiB are held")


def _idle(server: Server, tally: Tally) -> None:
    """Four hundred connections that say nothing, below the bound of five hundred."""
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(400)]
    for connection in idle[::2]:
        connection.sendall(b"POST /v1/forecasts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    _alive(server, "beside 400 idle connections", tally)
    for connection in idle:
        connection.close()


def forecast_body(number: int) -> bytes:
    """A hundred pairs of a new target."""
    rows = [
        {"source": f"s{s}", "target": f"new{number}", "features": {"logme": s / 100, "source_score": (s * number % 7) / 7}}
        for s in range(100)
    ]
    return json.dumps({"rows": rows, "encoder": "e"}).encode()


def _killed_workers(server: Server, tally: Tally) -> None:
    """Every process that forecasts is killed, again and again; each request is answered, a second death is not its fault."""
    for turn in range(10):
        for worker in server.workers():
            worker.kill()
            tally.kills += 1
        status, _ = answer(server, "/v1/forecasts", forecast_body(turn))
        _count(status, "after its workers were killed", tally)
    _alive(server, "after its workers were killed", tally)


def _observation(number: int) -> bytes:
    row = {"source": "s1", "target": f"sent{number}", "score": 0.5, "encoder": "e"}
    return json.dumps({"observations": [row]}).encode()


def _locked(server: Server, tally: Tally) -> None:
    """While somebody else holds the history, observations wait or are refused for now; all else is answered at once."""
    connection = sqlite3.connect(server.folder / "history.db")
    connection.execute("BEGIN EXCLUSIVE")
    posts = [_post(server.port, _observation(number)) for number in range(45)]
    time.sleep(0.5)
    _alive(server, "while the history is locked", tally)
    status, _ = answer(server, "/v1/forecasts", forecast_body(1), seconds=30)
    _count(status, "a forecast while the history is locked", tally)
    time.sleep(3)
    connection.rollback()
    connection.close()
    answers = [_status(post) for post in posts]
    for status in answers:
        _count(status, "observations while the history is locked", tally, allowed=(503,))
    kept = sum(status == 200 for status in answers)
    there = sqlite3.connect(server.folder / "history.db").execute(
        "SELECT count(*) FROM transfercast_observations WHERE target LIKE 'sent%'"
    )
    found = there.fetchone()[0]
    if found < kept:
        tally.problem("lost", f"observations while the history is locked: {kept} answered 200, {found} there", kept - found)


def _post(port: int, body: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=90)
    head = f"POST /v1/observations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    return connection


def _status(connection: socket.socket) -> int:
    with connection:
        try:
            return int(connection.recv(4096).split(b" ")[1])
        except (OSError, IndexError, ValueError):
            return 0


def _history_gone(server: Server, tally: Tally) -> None:
    """Observations into a history that was deleted are not told as kept."""
    for path in server.folder.glob("history.db*"):
        path.unlink()
    status, told = answer(server, "/v1/observations", _observation(1000))
    _count(status, "observations into a deleted history", tally, allowed=(503,))
    place = server.folder / "history.db"
    if status == 200 and not (place.is_file() and _holds(place, "sent1000")):
        tally.problem("lost", f"observations into a deleted history: 200 {told.decode()}")


def _holds(place: Path, target: str) -> bool:
    with sqlite3.connect(place) as connection:
        found = connection.execute("SELECT count(*) FROM transfercast_observations WHERE target = ?", (target,))
        return bool(found.fetchone()[0])


def _under_load(server: Server, tally: Tally, seconds: float) -> None:
    """Fifty clients that ask again as soon as they are answered, in a process of their own; memory at the start and end."""
    command = [sys.executable, "-m", "benchmarks.robustness_service", str(server.port), str(seconds)]
    generator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(WARM_SHARE * seconds)
    before = server.memory()
    time.sleep(0.7 * seconds)
    after = server.memory()
    told = json.loads(generator.communicate()[0])
    tally.requests += told["requests"]
    tally.p99_ms, tally.rss_growth = told["p99"], round(after / before - 1, 4)
    if tally.rss_growth > MOST_GROWTH:
        tally.problem("hangs", f"under load, memory grew by {tally.rss_growth:.1%}, from {before / 2**20:.0f} MiB")
    print(f"load: {told}, memory {before / 2**20:.0f} to {after / 2**20:.0f} MiB", flush=True)


def main() -> None:
    """The clients."""
    import numpy as np

    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    os.nice(5)
    found: list[tuple[float, float]] = []

    async def load() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(port, forecast_body(number), until, 0.0, found) for number in range(CLIENTS)))

    asyncio.run(load())
    took = [after for _, after in found]
    print(json.dumps({"requests": len(took), "p99": round(float(np.percentile(took, 99)) * 1000, 1)}))


if __name__ == "__main__":
    main()
