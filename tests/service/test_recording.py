"""Observations are kept or refused within seconds, whoever else writes, and nothing else waits for them."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from transfercast.history.store import History

testclient = pytest.importorskip("fastapi.testclient")
app = pytest.importorskip("transfercast.service.app")
recording = pytest.importorskip("transfercast.service.recording")

OBSERVED = {"source": "s0", "target": "t0", "score": 0.5, "encoder": "e", "features": {"logme": 0.25}}


def sent(number: int = 1):
    return {"observations": [OBSERVED | {"seed": seed} for seed in range(number)]}


def test_a_locked_database_is_told_within_seconds_and_the_service_answers_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "WRITE_SECONDS", 1.0)
    with testclient.TestClient(app.create_app(history=str(tmp_path / "h.db"))) as client:
        assert client.post("/v1/observations", json=sent()).status_code == 200
        other = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(45) as at_once:
            started = time.monotonic()
            posts = [at_once.submit(client.post, "/v1/observations", json=sent(2)) for _ in range(45)]
            time.sleep(0.2)
            asked = time.monotonic()
            assert client.get("/healthz").status_code == 200
            assert time.monotonic() - asked < 0.9  # the database stays locked
            answers = [post.result() for post in posts]
        assert time.monotonic() - started < 15
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"5"}
        other.execute("ROLLBACK")
        other.close()
        assert client.post("/v1/observations", json=sent(2)).json() == {"new": 1, "total": 2}


def test_many_clients_at_once_lose_nothing(tmp_path):
    with testclient.TestClient(app.create_app(history=str(tmp_path / "h.db"))) as client, ThreadPoolExecutor(20) as at_once:
        bodies = [
            {"observations": [OBSERVED | {"seed": seed, "source": f"s{number}"} for seed in range(5)]} for number in range(40)
        ]
        answers = list(at_once.map(lambda body: client.post("/v1/observations", json=body), bodies))
    assert [answer.json()["new"] for answer in answers] == [5] * 40
    assert len(History(tmp_path / "h.db")) == 200


@pytest.mark.parametrize(
    "change",
    [{"seed": 2**31}, {"source": "a\0b"}, {"source": ""}, {"device": "\x1b[2J"}, {"finished_at": "x\n"}, {"hours": 1e300},
     {"features": {"x\0": 1.0}}, {"features": {"x" * 201: 1.0}}],
)  # fmt: skip
def test_what_a_database_could_not_keep_is_refused_before_it_sees_it(tmp_path, change):
    client = testclient.TestClient(app.create_app(history=str(tmp_path / "h.db")))
    answer = client.post("/v1/observations", json={"observations": [OBSERVED, OBSERVED | {"source": "s1"} | change]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:3] == ["observations", 1, next(iter(change))]
    assert len(History(tmp_path / "h.db")) == 0


@pytest.mark.parametrize("version", [-1, 2**31, 10**40])
def test_a_column_is_described_only_along_with_observations_that_are_kept(tmp_path, version):
    client = testclient.TestClient(app.create_app(history=str(tmp_path / "h.db")))
    column = {"name": "mine", "measure": "mine", "version": 1, "better": "higher", "group": "data"}
    wrong = {"observations": [OBSERVED | {"metric": "rouge"}], "columns": [column]}
    assert client.post("/v1/observations", json=wrong).status_code == 422
    assert client.post("/v1/observations", json=sent() | {"columns": [column | {"version": version}]}).status_code == 422
    assert "mine" not in {known.name for known in History(tmp_path / "h.db").schema()}
    assert client.post("/v1/observations", json=sent() | {"columns": [column]}).json()["new"] == 1
    assert "mine" in {known.name for known in History(tmp_path / "h.db").schema()}


def test_ten_thousand_observations_are_taken_in_one_request(tmp_path):
    client = testclient.TestClient(app.create_app(history=str(tmp_path / "h.db")))
    content = json.dumps(sent(10_000))
    assert (
        client.post("/v1/observations", content=content, headers={"Content-Type": "application/json"}).json()["new"] == 10_000
    )
