"""The service under load: 50 clients that each wait for an answer and ask again, 100 pairs a request. Last line JSON.

    python -m benchmarks.service [--clients 50] [--seconds 20] [--pause 0] [--workers 2]

The predictor is learned from TaskWeb. Server and load generator are processes of their own; the generator writes HTTP/1.1
on kept-alive sockets by itself, so that it needs little of the processor that it shares with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.data import DATA
from benchmarks.taskweb import MEASURES, history_of
from transfercast.retraining.retrain import train_meta

PAIRS = 100
WARM_SECONDS = 2.0


def request_body(seed: int, targets: int) -> bytes:
    """New targets and a hundred pairs: of the sources of each, up to 23 were observed before."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "source": SOURCES[s] if s < len(SOURCES) else f"new_source{s}",
            "target": f"new{t}",
            "features": {column.name: float(rng.normal()) for column in MEASURES},
        }
        for t in range(targets)
        for s in range(PAIRS // targets)
    ]
    about = {f"new{t}": {"metric": "accuracy", "score": 0.5 + 0.05 * t} for t in range(targets)}
    return json.dumps({"rows": rows, "targets": about, "encoder": "roberta"}).encode()


SOURCES = (
    "anli_r3", "boolq", "cb", "copa", "cosmosqa", "hellaswag", "imdb", "mrpc", "piqa", "qnli", "qqp", "quartz",
    "rotten_tomatoes", "rte", "scitail", "snli", "socialiqa", "squad_v2", "sst2", "stsb", "wic", "winogrande", "wsc",
)  # fmt: skip


async def client(port: int, body: bytes, until: float, pause: float, found: list[tuple[float, float]]) -> None:
    """Ask, wait, ask again; keeps (start, seconds) of each answer."""
    head = (
        "POST /v1/forecasts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(head.encode() + body)
        header = await reader.readuntil(b"\r\n\r\n")
        if not header.startswith(b"HTTP/1.1 200"):
            raise SystemExit(header.decode())
        length = next(int(line.split(b":")[1]) for line in header.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        found.append((started, time.perf_counter() - started))
        await asyncio.sleep(pause)
    writer.close()


async def load(port: int, given: argparse.Namespace) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    bodies = [request_body(seed, given.targets) for seed in range(given.clients)]
    until = time.perf_counter() + given.seconds
    await asyncio.gather(*(client(port, body, until, given.pause, found) for body in bodies))
    return found


def generate(port: int, given: argparse.Namespace) -> None:
    """The second process: prints its latencies as JSON."""
    started = time.perf_counter()
    found = [took for at, took in uvloop.run(load(port, given)) if at > started + WARM_SECONDS]
    told = {f"p{q}": round(float(np.percentile(found, q)) * 1000, 1) for q in (50, 95, 99)}
    rate = round(len(found) / (given.seconds - WARM_SECONDS), 1)
    print(json.dumps({**told, "requests": len(found), "per_second": rate}))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between an answer and the client's next request")
    parser.add_argument("--targets", type=int, default=1, help="targets that the hundred pairs of a request have")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server that forecast")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.port:
        return generate(given.port, given)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        report = train_meta(history_of(DATA / "transfer"), Path(folder) / "meta", minutes=0, jobs=-1)
        serve = ["serve", "--predictor", f"{folder}/meta", "--port", str(port), "--workers", str(given.workers)]
        command = [sys.executable, "-m", "transfercast", *serve]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            again = [sys.executable, "-m", "benchmarks.service", "--port", str(port), "--clients", str(given.clients),
                     "--seconds", str(given.seconds), "--pause", str(given.pause), "--targets", str(given.targets)]  # fmt: skip
            told = json.loads(subprocess.run(again, capture_output=True, text=True, check=True).stdout)
        finally:
            server.terminate()
            server.wait(10)
    about = {"learner": report.choice["learner"], "clients": given.clients, "targets": given.targets, "pairs": PAIRS,
             "pause": given.pause,
             "workers": given.workers, "cores": os.cpu_count(), "python": platform.python_version()}  # fmt: skip
    print(json.dumps({**told, **about}))


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not come up")


if __name__ == "__main__":
    main()
