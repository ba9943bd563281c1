"""The service under load: 50 clients that each wait for an answer and ask again, 100 pairs a request. Last line JSON.

    python -m benchmarks.service [--clients 50] [--seconds 20] [--pause 0]

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

from benchmarks.data import DATA
from benchmarks.taskweb import MEASURES, history_of
from transfercast.predictor.retrain import train_meta

PAIRS, TARGETS = 100, 5
WARM_SECONDS = 2.0


def request_body(seed: int) -> bytes:
    """Five new targets with twenty known sources each."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "source": SOURCES[s],
            "target": f"new{t}",
            "features": {column.name: float(rng.normal()) for column in MEASURES},
        }
        for t in range(TARGETS)
        for s in range(PAIRS // TARGETS)
    ]
    targets = {f"new{t}": {"metric": "accuracy", "score": 0.5 + 0.05 * t} for t in range(TARGETS)}
    return json.dumps({"rows": rows, "targets": targets, "encoder": "roberta"}).encode()


SOURCES = (
    "anli_r3", "boolq", "cb", "copa", "cosmosqa", "hellaswag", "imdb", "mrpc", "piqa", "qnli", "qqp", "quartz",
    "rotten_tomatoes", "rte", "scitail", "snli", "socialiqa", "squad_v2", "stsb", "wic",
)  # fmt: skip


async def client(port: int, seed: int, until: float, pause: float, found: list[tuple[float, float]]) -> None:
    """Ask, wait, ask again; keeps (start, seconds) of each answer."""
    body = request_body(seed)
    head = f"POST /v1/forecasts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(pause * seed / 50)
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


async def load(port: int, clients: int, seconds: float, pause: float) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(port, seed, until, pause, found) for seed in range(clients)))
    return found


def generate(port: int, clients: int, seconds: float, pause: float) -> None:
    """The second process: prints its latencies as JSON."""
    started = time.perf_counter()
    found = [(at, took) for at, took in asyncio.run(load(port, clients, seconds, pause)) if at > started + WARM_SECONDS]
    took = np.array([took for _, took in found]) * 1000
    told = {f"p{q}": round(float(np.percentile(took, q)), 1) for q in (50, 95, 99)}
    print(json.dumps({**told, "requests": len(took), "per_second": round(len(took) / (seconds - WARM_SECONDS), 1)}))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between an answer and the client's next request")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.port:
        return generate(given.port, given.clients, given.seconds, given.pause)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        report = train_meta(history_of(DATA / "transfer"), Path(folder) / "meta", minutes=0, jobs=-1)
        command = [sys.executable, "-m", "transfercast", "serve", "--predictor", f"{folder}/meta", "--port", str(port)]  # fmt: skip
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            again = [sys.executable, "-m", "benchmarks.service", "--port", str(port), "--clients", str(given.clients),
                     "--seconds", str(given.seconds), "--pause", str(given.pause)]  # fmt: skip
            told = json.loads(subprocess.run(again, capture_output=True, text=True, check=True).stdout)
        finally:
            server.terminate()
            server.wait(10)
    about = {"learner": report.choice["learner"], "clients": given.clients, "pairs": PAIRS, "pause": given.pause,  "cores": os.cpu_count(), "python": platform.python_version()}  # fmt: skip
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
