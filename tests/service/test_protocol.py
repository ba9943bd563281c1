"""On a real socket: requests that do not end are not waited for, and none costs more than its bytes."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest

uvicorn = pytest.importorskip("uvicorn")
app = pytest.importorskip("transfercast.service.app")
protocol = pytest.importorskip("transfercast.service.protocol")


@pytest.fixture(scope="module")
def port():
    config = uvicorn.Config(
        app.create_app(key="secret"), port=0, http=protocol.BoundedProtocol, ws="none", log_level="critical", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def ask(port: int, pieces: list[bytes], wait: float = 5.0) -> bytes:
    """What comes back, until the connection is closed or `wait` is over."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            return connection.recv(65536)
        except ConnectionError:
            return b"closed"


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n"])
def test_forty_megabytes_of_header_are_refused_at_once(port, start):
    filling = b"a: b\r\n" * 10_000 if start.endswith(b"1.1\r\n") else b"a" * 60_000
    started = time.perf_counter()
    answer = ask(port, [start, *[filling] * (40_000_000 // len(filling))])
    assert time.perf_counter() - started < 5.0
    assert answer == b"closed" or answer.startswith(b"HTTP/1.1 400")
    assert ask(port, [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"]).startswith(b"HTTP/1.1 200")


def test_headers_of_a_usual_length_and_a_large_body_are_taken(port):
    head = b"POST /v1/forecasts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\n"
    body = b" " * 2_000_000
    answer = ask(port, [head + b"X: " + b"a" * 8_000 + b"\r\n", b"Content-Length: %d\r\n\r\n" % len(body), body])
    assert answer.startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize(
    "pieces",
    [[], [b"GET"], [b"GET / HTTP/1.1\r\nHost: x\r\n"], [b"POST /v1/retrain HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"]],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_a_connection_on_which_no_whole_request_arrives_is_closed(port, monkeypatch, pieces):
    monkeypatch.setattr(protocol, "ARRIVAL_SECONDS", 0.3)
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
        for piece in pieces:
            connection.sendall(piece)
        while answer := connection.recv(65536):  # ends where the connection is closed; times out otherwise
            answers.append(answer)
    assert b"200 OK" not in b"".join(answers)


def test_a_connection_is_kept_between_requests_and_its_clock_begins_anew(port, monkeypatch):
    monkeypatch.setattr(protocol, "ARRIVAL_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
        for _ in range(4):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)


@pytest.mark.parametrize("path", ["forecasts", "plans", "observations", "retrain"])
def test_a_client_that_goes_away_in_the_middle_leaves_no_traceback(port, path, caplog):
    log = logging.getLogger("uvicorn.error")
    log.addHandler(caplog.handler)
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\n"
    with caplog.at_level("ERROR", logger="uvicorn.error"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head.encode() + b"Content-Length: 100\r\n\r\n{")
            time.sleep(0.1)
        time.sleep(0.2)
    log.removeHandler(caplog.handler)
    assert not caplog.records
    assert ask(port, [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"]).startswith(b"HTTP/1.1 200")
