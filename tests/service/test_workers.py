"""Several processes answer as one does, in the order of the requests; one that dies is replaced."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.builders import past
from tests.service.test_service import body
from transfercast.predictor.predictor import Predictor
from transfercast.retraining.retrain import train_meta

testclient = pytest.importorskip("fastapi.testclient")
app = pytest.importorskip("transfercast.service.app")
answering = pytest.importorskip("transfercast.service.answering")
workers = pytest.importorskip("transfercast.service.workers")


@pytest.fixture(scope="module")
def meta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meta")
    for _ in range(2):
        train_meta(past(), folder, minutes=0)
    return folder


@pytest.fixture(scope="module")
def several(meta):
    with testclient.TestClient(app.create_app(meta, workers=2)) as client:
        yield client


def test_several_processes_answer_what_one_does(several, meta):
    one = testclient.TestClient(app.create_app(meta))
    requests = [body(coverage=coverage) for coverage in (0.5, 0.6, 0.7, 0.8, 0.9)] + [body(rows=[]), body(surprise=1)]
    with ThreadPoolExecutor(7) as at_once:
        answers = list(at_once.map(lambda request: several.post("/v1/forecasts", json=request), requests))
    expected = [one.post("/v1/forecasts", json=request) for request in requests]
    assert [answer.status_code for answer in answers] == [200] * 5 + [422] * 2
    assert [answer.json() for answer in answers] == [answer.json() for answer in expected]


def test_requests_taken_together_do_not_know_of_one_another(meta):
    whole = body(explain=False)
    fewer = whole | {"rows": whole["rows"][:2]}  # the same target, fewer candidates: other standings
    bodies = [json.dumps(one).encode() for one in (whole, fewer, body(), fewer | {"coverage": 0.5}, body(rows=[]))] + [b"{"]
    questions = [answering.Question("forecast", one) for one in bodies]
    together, one_by_one = answering.answered(Predictor.load(meta), questions), []
    for one in questions:
        one_by_one += answering.answered(Predictor.load(meta), [one])
    assert [status for status, _ in together] == [200] * 4 + [422] * 2
    for (_, several), (_, single) in zip(together[:4], one_by_one[:4], strict=True):
        assert json.loads(several) == json.loads(single)
    assert together[4:] == one_by_one[4:]
    scores = [[row["score"] for row in json.loads(answer)["forecasts"]] for _, answer in together[:2]]
    assert scores[0][:2] != pytest.approx(scores[1])


def test_a_promotion_counts_for_all_processes_from_the_next_request_on(several):
    newest, oldest = (model["id"] for model in several.get("/v1/models").json())
    for version in (oldest, newest):
        several.post(f"/v1/models/{version}/promote")
        assert {several.post("/v1/forecasts", json=body()).json()["predictor"] for _ in range(4)} == {version}


def test_a_process_that_dies_is_replaced_and_its_request_goes_to_the_next(meta):
    before = set(multiprocessing.active_children())
    with testclient.TestClient(app.create_app(meta, workers=2)) as client:
        for process in set(multiprocessing.active_children()) - before:
            os.kill(process.pid, signal.SIGKILL)
        assert [client.post("/v1/forecasts", json=body()).status_code for _ in range(4)] == [200] * 4


def question(content: bytes) -> answering.Question:
    return answering.Question("forecast", content)


class Process:
    """In place of a process: dies, or never ends, of a body that says so."""

    began = 0

    def __init__(self, monkeypatch):
        async def begin(worker):
            self.began += 1
            worker._process = self

        async def ask(worker, version, questions):
            if worker._process is None:
                await worker._begin()
            bodies = [question.body for question in questions]
            if b"fatal" in bodies:
                worker._process = None
                raise EOFError
            if b"endless" in bodies:
                worker._process = None
                raise TimeoutError
            return [(200, body) for body in bodies]

        monkeypatch.setattr(workers._Worker, "_begin", begin)
        monkeypatch.setattr(workers._Worker, "_ask", ask)


@pytest.mark.parametrize(("culprit", "told"), [(b"fatal", b"died"), (b"endless", b"longer than 20 s; send fewer rows")])
def test_of_requests_taken_together_only_the_one_that_a_process_ends_of_is_refused(monkeypatch, culprit, told):
    process = Process(monkeypatch)
    answers = asyncio.run(workers._Worker(None).answer("prior", [question(b"a"), question(culprit), question(b"b")]))
    assert [status for status, _ in answers] == [200, 503, 200]
    assert [answers[0][1], answers[2][1]] == [b"a", b"b"]
    assert told in answers[1][1]
    assert process.began == 3  # for all, for the first by itself and the culprit, and for the one after


def test_a_request_that_two_processes_die_of_is_told_so(monkeypatch):
    process = Process(monkeypatch)
    assert asyncio.run(workers._Worker(None).answer("prior", [question(b"fatal")]))[0][0] == 503
    assert process.began == 2
    assert asyncio.run(workers._Worker(None).answer("prior", [question(b"endless")]))[0][0] == 503
    assert process.began == 3  # what takes too long is not asked twice


def test_a_process_that_takes_too_long_is_ended_and_the_next_request_is_answered(meta, monkeypatch):
    before = set(multiprocessing.active_children())
    with testclient.TestClient(app.create_app(meta, workers=1)) as client:
        (stopped,) = set(multiprocessing.active_children()) - before
        monkeypatch.setattr(workers, "FORECAST_SECONDS", 1.0)
        os.kill(stopped.pid, signal.SIGSTOP)  # as one does that computes for ever
        refused = client.post("/v1/forecasts", json=body())
        assert refused.status_code == 503
        assert "longer than" in refused.json()["detail"]
        assert refused.headers["retry-after"] == "5"
        stopped.join(5)
        assert not stopped.is_alive()
        monkeypatch.setattr(workers, "FORECAST_SECONDS", 20.0)
        assert client.post("/v1/forecasts", json=body()).status_code == 200


def test_a_mistake_of_ours_costs_only_the_request_that_met_it(meta, monkeypatch):
    now = Predictor.load(meta)
    right = workers.answered

    def wrong(now, questions):
        if question(b"[]") in questions:
            raise ZeroDivisionError
        return right(now, questions)

    monkeypatch.setattr(workers, "answered", wrong)
    good = question(json.dumps(body()).encode())
    told = workers._whatever_comes(now, [good, question(b"[]"), good])
    assert [status for status, _ in told] == [200, 500, 200]
    assert b"log" in told[1][1]


def test_processes_end_with_the_service(meta):
    before = {process.pid for process in multiprocessing.active_children()}
    with testclient.TestClient(app.create_app(meta, workers=2)) as client:
        assert client.get("/healthz").status_code == 200
        assert len({process.pid for process in multiprocessing.active_children()} - before) == 2
    deadline = time.monotonic() + 10
    while {process.pid for process in multiprocessing.active_children()} - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {process.pid for process in multiprocessing.active_children()} <= before


def test_requests_are_answered_in_the_order_in_which_they_came(meta):
    async def order() -> list[int]:
        one = workers.Workers(meta, 1)
        await one.start(sorted(path.name for path in (meta / "versions").iterdir())[-1])
        done: list[int] = []

        async def ask(number: int) -> None:
            await one.answer(version, question(b"{}"))
            done.append(number)
            if number < 10:  # ask again as soon as answered: must go behind those that wait
                await ask(number + 10)

        version = sorted(path.name for path in (meta / "versions").iterdir())[-1]
        await asyncio.gather(*(ask(number) for number in range(10)))
        await one.stop()
        return done

    assert asyncio.run(order()) == list(range(20))
