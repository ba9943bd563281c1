"""Requests that are no JSON, too large, contradictory, or from elsewhere: answered with what is wrong, never with 5xx."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.robustness.campaign import no_garbage_of_others, no_hang
from tests.robustness.damage import DEEP, DIGITS

testclient = pytest.importorskip("fastapi.testclient")
service = pytest.importorskip("transfercast.service.app")

JSON = {"content-type": "application/json"}
HERE = "http://127.0.0.1:8000"
FORECASTS, PLANS, OBSERVATIONS = "/v1/forecasts", "/v1/plans", "/v1/observations"
MOST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is wrong, and what must be answered.

    Attributes:
        id: what is wrong.
        path, body, headers: what is sent, by `method`.
        status: of the answer; several where each is right.
        says: pattern, without case, of what the answer must name.
        seconds: of processor time that the answer may take.
    """

    id: str
    path: str
    body: bytes
    status: int | tuple[int, ...]
    says: str
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    method: str = "POST"
    seconds: float = MOST_SECONDS


ROW = {"source": "s0", "target": "t0", "features": {"logme": 0.5}}
GOOD: dict[str, dict[str, Any]] = {
    FORECASTS: {"rows": [ROW], "encoder": "e"},
    PLANS: {"rows": [ROW], "encoder": "e", "budget": {"trials": 1}},
    OBSERVATIONS: {"observations": [{"source": "s0", "target": "t9", "score": 0.5, "encoder": "e"}]},
}


def sent(
    what: str, path: str, body: Any, says: str, status: int | tuple[int, ...] = 422, seconds: float = MOST_SECONDS
) -> Request:
    """A body to a path: bytes, or what is made JSON (as Python makes it: NaN and halves of letters pass)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(f"{path[4:]}: {what}", path, content, status, says, seconds=seconds)


def but(path: str, **changes: Any) -> dict[str, Any]:
    """A good body with these changes."""
    return GOOD[path] | changes


def each(what: str, body: bytes, says: str = "detail") -> list[Request]:
    """The same bytes to every path that reads a body."""
    return [sent(what, path, body, says, (400, 413, 415, 422)) for path in GOOD]


def row(**changes: Any) -> dict[str, Any]:
    """A good row of a forecast with these changes."""
    return but(FORECASTS, rows=[ROW | changes])


def seen(**changes: Any) -> dict[str, Any]:
    """A good observation with these changes."""
    return but(OBSERVATIONS, observations=[GOOD[OBSERVATIONS]["observations"][0] | changes])


def target(**changes: Any) -> dict[str, Any]:
    """A good forecast with something wrong said of its target."""
    return but(FORECASTS, targets={"t0": changes})


TEXT = json.dumps(GOOD[FORECASTS])
NOT_A_NUMBER, INFINITE = float("nan"), float("inf")

BYTES = [
    *each("no bytes", b""),
    *each("half of it", TEXT[:-5].encode()),
    *each("no JSON", b"rows=1&encoder=e"),
    *each("a list", b"[]"),
    *each("a number", b"7"),
    *each("null", b"null"),
    *each("lists in one another", b"[" * DEEP),
    *each("objects in one another", b'{"rows":' * DEEP),
    *each("a number of 5,000 digits", f'{{"rows": {DIGITS}}}'.encode()),
    *each("latin1", TEXT.replace("s0", "sö").encode("latin1")),
    *each("UTF-16", TEXT.encode("utf-16")),
    *each("gzip", gzip.compress(TEXT.encode())),
    *each("random bytes", bytes(range(256))),
    *each("a byte order mark", b"\xef\xbb\xbf{}"),
    *each("NULs", b"\0" * 100),
    *each("not a number", b'{"rows": NaN}'),
    *each("an unknown key that is infinite", b'{"surprise": Infinity}'),
    *each("half a letter in a key", b'{"\\ud800": 1}'),
]

FORECASTING = [
    sent("as it should be", FORECASTS, GOOD[FORECASTS], "forecasts", 200),
    sent("no rows", FORECASTS, but(FORECASTS, rows=[]), "rows"),
    sent("rows that are an object", FORECASTS, but(FORECASTS, rows={}), "rows"),
    sent("a misspelt key", FORECASTS, but(FORECASTS, enocder="e"), "enocder"),
    sent("a misspelt key of a row", FORECASTS, row(recipee="full"), "recipee"),
    sent("a row without source", FORECASTS, but(FORECASTS, rows=[{"target": "t", "features": {}}]), "source"),
    sent("an empty source", FORECASTS, row(source=""), "source"),
    sent("a source of 200 letters", FORECASTS, row(source="s" * 200), "source"),
    sent("half a letter as source", FORECASTS, row(source="\ud83d"), "detail|forecasts", (200, 422)),
    sent("control codes as source", FORECASTS, row(source="\x1b[2J"), "detail|forecasts", (200, 422)),
    sent("a recipe of 300 letters", FORECASTS, row(recipe="r" * 300), "recipe"),
    sent("a recipe that is none", FORECASTS, row(recipe="zzz"), "zzz|forecasts", (200, 422)),
    sent("a feature that is a word", FORECASTS, row(features={"logme": "high"}), "logme"),
    sent("a feature that is no number", FORECASTS, row(features={"logme": NOT_A_NUMBER}), "logme|forecasts", (200, 422)),
    sent("an infinite feature", FORECASTS, row(features={"logme": INFINITE}), "logme|finite", 422),
    sent("a feature of 1e999", FORECASTS, TEXT.replace("0.5", "1e999").encode(), "logme|finite|number", 422),
    sent("a feature of 300 letters", FORECASTS, row(features={"f" * 300: 1}), "fff|features"),
    sent("501 features", FORECASTS, row(features={f"f{i}": 1 for i in range(501)}), "features"),
    sent("a candidate twice", FORECASTS, but(FORECASTS, rows=[ROW, ROW]), "twice"),
    sent("coverage of 2", FORECASTS, but(FORECASTS, coverage=2), "coverage"),
    sent("coverage of no number", FORECASTS, but(FORECASTS, coverage=NOT_A_NUMBER), "coverage|JSON"),
    sent("unknown bounds", FORECASTS, but(FORECASTS, bounds="tight"), "bounds"),
    sent("an encoder that is a number", FORECASTS, but(FORECASTS, encoder=7), "encoder"),
    sent("an unknown metric", FORECASTS, target(metric="rouge"), "rouge"),
    sent("a score of 7", FORECASTS, target(score=7), "score"),
    sent("a score that is no number", FORECASTS, target(score=NOT_A_NUMBER), "score|JSON"),
    sent("rows of a target in 400 digits", FORECASTS, target(train_rows=10**400), "train_rows"),
    sent("rows of a target in 20 digits", FORECASTS, target(train_rows=10**20), "train_rows|forecasts", (200, 422)),
    sent("no seconds", FORECASTS, target(seconds_per_row_epoch=0), "seconds"),
    sent("infinite seconds", FORECASTS, target(seconds_per_row_epoch=INFINITE), "seconds|JSON"),
    sent("a column of a version in 40 digits", FORECASTS, but(FORECASTS, columns=[
        {"name": "x", "measure": "x", "version": 10**40, "better": "higher", "group": "data"}]), "version|forecasts", (200,
        422)),
    sent("a column of an unknown group", FORECASTS, but(FORECASTS, columns=[
        {"name": "x", "measure": "x", "version": 1, "better": "higher", "group": "magic"}]), "group"),
    sent("10,001 rows", FORECASTS, but(FORECASTS, rows=[ROW | {"source": f"s{i}"} for i in range(10_001)]), "rows"),
    sent("10,000 rows, one of them twice", FORECASTS, but(FORECASTS, rows=[
        ROW | {"source": f"s{min(i, 9_998)}", "features": {}} for i in range(10_000)]), "s9998.*twice", seconds=0.3),
    sent("10,000 targets", FORECASTS, but(FORECASTS, rows=[
        ROW | {"target": f"t{i}"} for i in range(10_000)]), "targets|forecasts", (200, 413, 422)),
    sent("features of each of 2,000 rows that no other row has", FORECASTS, but(FORECASTS, rows=[
        {"source": f"s{i}", "target": "t0", "features": {f"f{i}_{k}": 1 for k in range(20)}} for i in range(2_000)]),
        "features|forecasts|column", (200, 409, 413, 422)),
]  # fmt: skip

PLANNING = [
    sent("as it should be", PLANS, GOOD[PLANS], "steps", 200),
    sent("no budget", PLANS, but(PLANS, budget={}), "budget"),
    sent("two budgets", PLANS, but(PLANS, budget={"trials": 1, "hours": 1}), "budget"),
    sent("a budget of nothing", PLANS, but(PLANS, budget={"trials": 0}), "trials"),
    sent("a budget of infinite hours", PLANS, but(PLANS, budget={"hours": INFINITE}), "hours|JSON"),
    sent("a budget of no number of hours", PLANS, but(PLANS, budget={"hours": NOT_A_NUMBER}), "hours|JSON"),
    sent("a budget of 400 digits", PLANS, but(PLANS, budget={"trials": 10**400}), "trials|budget"),
    sent("a budget that is a list", PLANS, but(PLANS, budget=[1]), "budget"),
    sent("a candidate twice", PLANS, but(PLANS, rows=[ROW, ROW]), "twice"),
    sent("an unknown metric", PLANS, but(PLANS, targets={"t0": {"metric": "rouge"}}), "rouge"),
    sent("a recipe that is none", PLANS, but(PLANS, rows=[ROW | {"recipe": "zzz"}]), "zzz", (200, 422)),
    sent("hours of a target of which nothing is known", PLANS, but(PLANS, budget={"hours": 0.001}), "hours|steps|t0", (200,
        422)),
    sent("10,000 targets and trials", PLANS, but(PLANS, budget={"trials": 10_000}, rows=[
        ROW | {"target": f"t{i}"} for i in range(10_000)]), "targets|steps", (200, 413, 422)),
]  # fmt: skip

OBSERVING = [
    sent("as it should be", OBSERVATIONS, GOOD[OBSERVATIONS], "new", 200),
    sent("none", OBSERVATIONS, {"observations": []}, "observations"),
    sent("a score of 7", OBSERVATIONS, seen(score=7), "score"),
    sent("a score that is no number", OBSERVATIONS, seen(score=NOT_A_NUMBER), "score|JSON"),
    sent("an unknown metric", OBSERVATIONS, seen(metric="rouge"), "rouge"),
    sent("an unknown split", OBSERVATIONS, seen(split="dev"), "dev|split"),
    sent("a seed of 30 digits", OBSERVATIONS, seen(seed=10**30), "seed"),
    sent("negative hours", OBSERVATIONS, seen(hours=-1), "hours"),
    *(
        sent(f"a feature named {name}", OBSERVATIONS, seen(features={name: 1}), name)
        for name in ("score", "source", "baseline")
    ),
    sent("an infinite feature", OBSERVATIONS, seen(features={"f": INFINITE}), "f|finite", 422),
    sent("half a letter as source", OBSERVATIONS, seen(source="\ud83d"), "detail", 422),
    sent("a NUL in a name", OBSERVATIONS, seen(source="s\0"), "detail", 422),
    sent("a NUL in a feature's name", OBSERVATIONS, seen(features={"f\0": 1}), "detail", 422),
    sent("no encoder", OBSERVATIONS, seen(encoder=""), "encoder"),
    sent("a description of a version in 40 digits", OBSERVATIONS, but(OBSERVATIONS, columns=[
        {"name": "x", "measure": "x", "version": 2**40, "better": "higher", "group": "data"}]), "version"),
    sent("a description of a name of 300 letters", OBSERVATIONS, but(OBSERVATIONS, columns=[
        {"name": "x" * 300, "measure": "x", "version": 1, "better": "higher", "group": "data"}]), "name"),
    sent("a description with a NUL", OBSERVATIONS, but(OBSERVATIONS, columns=[
        {"name": "x\0", "measure": "x", "version": 1, "better": "higher", "group": "data"}]), "detail"),
]  # fmt: skip

GET = {"method": "GET", "headers": {}}
NOT_THERE = (404, 405, 422)

HEADERS = [
    Request("a length of 5,000 digits", FORECASTS, b"{}", (400, 413), "detail", JSON | {"content-length": DIGITS}),
    Request("a negative length", FORECASTS, b"{}", (400, 411, 413), "detail", JSON | {"content-length": "-5"}),
    Request("a length in another script", FORECASTS, b"{}", (400, 411, 413), "detail", JSON | {"content-length": "٣".encode()}),
    Request("a length of a gigabyte", FORECASTS, b"{}", 413, "bytes", JSON | {"content-length": str(2**30)}),
    Request(
        "text in place of JSON",
        OBSERVATIONS,
        json.dumps(GOOD[OBSERVATIONS]).encode(),
        (415, 422),
        "detail",
        {"content-type": "text/plain"},
    ),
    Request(
        "a form from another site", "/v1/models/x/promote", b"", (400, 403), "origin|site", {"origin": "http://evil.example"}
    ),
    Request(
        "a roll-back from another site",
        "/v1/models/roll-back",
        b"",
        (400, 403),
        "origin|site",
        {"sec-fetch-site": "cross-site"},
    ),
    Request("another host", FORECASTS, TEXT.encode(), (400, 403, 421), "host", JSON | {"host": "evil.example"}),
    Request("the models under another host", "/v1/models", b"", (400, 403, 421), "host", {"host": "evil.example"}, "GET"),
    Request("a version that is not there", "/v1/models/none/promote", b"", 404, "none", {}),
    Request("a version that leads upwards", "/v1/models/..%2f..%2fother/promote", b"", NOT_THERE, "detail", {}),
    Request("a version with a NUL", "/v1/models/%00/promote", b"", NOT_THERE, "detail", {}),
    Request("a roll-back without an earlier version", "/v1/models/roll-back", b"", 422, "no earlier version", {}),
    Request("a retraining that is not there", "/v1/retrain/none", b"", 404, "none", **GET),
    Request("a retraining of negative minutes", "/v1/retrain", b'{"minutes": -1}', 422, "minutes"),
    Request("a retraining of endless minutes", "/v1/retrain", b'{"minutes": 1e9}', 422, "minutes"),
    Request("a retraining of no number of minutes", "/v1/retrain", b'{"minutes": NaN}', (400, 422), "minutes|JSON"),
    Request("a path that is not there", "/v1/nothing", b"", 404, "detail", **GET),
    Request("a method that is not there", FORECASTS, b"", 405, "detail", **GET),
    Request("a path of 10,000 letters", "/v1/" + "x" * 10_000, b"", (404, 414), "detail", **GET),
    Request("a path with control codes", "/v1/%1b%5b2J", b"", 404, "detail", **GET),
]


@pytest.fixture(scope="module")
def client(goods, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(goods / "meta", folder / "meta")
    shutil.copy(goods / "history.db", folder / "history.db")
    app = service.create_app(folder / "meta", history=str(folder / "history.db"), hosts=["127.0.0.1"])
    return testclient.TestClient(app, base_url=HERE, raise_server_exceptions=False)


@pytest.mark.parametrize("request_", [*BYTES, *FORECASTING, *PLANNING, *OBSERVING, *HEADERS], ids=lambda one: one.id)
def test_a_request_is_answered_with_what_is_wrong_with_it(request_, client):
    with no_hang(10 * MOST_SECONDS), no_garbage_of_others():
        started = time.process_time()
        answer = client.request(request_.method, request_.path, content=request_.body, headers=dict(request_.headers))
        took = time.process_time() - started
    allowed = request_.status if isinstance(request_.status, tuple) else (request_.status,)
    assert answer.status_code in allowed, f"{answer.status_code}: {answer.text[:500]}"
    assert re.search(request_.says, answer.text, re.IGNORECASE), answer.text[:500]
    assert "Traceback" not in answer.text
    assert answer.headers["content-type"].startswith("application/json")
    json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert took < request_.seconds, f"{took:.1f} s of processor time"


def test_nothing_of_all_this_was_kept_but_the_one_good_observation(client):
    answer = client.post(OBSERVATIONS, json=GOOD[OBSERVATIONS]).json()
    assert answer["new"] == 0
    assert answer["total"] == 37
