"""The service answers forecasts and plans, asks for its key, and bounds its input."""

from __future__ import annotations

import pytest

from tests.predictor.test_predictor import SCHEMA, past, table_of
from transfercast.core.plan import Budget
from transfercast.planning.order import plan
from transfercast.predictor.model import Predictor
from transfercast.predictor.retrain import train_meta

testclient = pytest.importorskip("fastapi.testclient")
app = pytest.importorskip("transfercast.service.app")


@pytest.fixture(scope="module")
def meta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meta")
    train_meta(past(), folder, minutes=0)
    return folder


@pytest.fixture(scope="module")
def client(meta):
    return testclient.TestClient(app.create_app(meta))


def body(**changes):
    table = table_of(past(), "t0")
    rows = [
        {"source": c.source, "target": c.target, "recipe": c.recipe, "features": dict(values)}
        for c, (_, values) in zip(table.candidates, table.frame.iterrows(), strict=True)
    ]
    targets = {"t0": {"metric": "positive_f1", "score": table.provenance.targets["t0"].score, "train_rows": 10}}
    return {"rows": rows, "targets": targets} | changes


def test_forecasts_are_those_of_the_python_api(client, meta):
    answer = client.post("/v1/forecasts", json=body()).json()
    expected = Predictor.load(meta).predict(table_of(past(), "t0"))
    assert [row["score"] for row in answer["forecasts"]] == pytest.approx(expected.score.tolist())
    first = answer["forecasts"][0]
    assert first["base"] + sum(first["why"].values()) == pytest.approx(first["score"], abs=1e-6)
    assert answer["predictor"] == expected.predictor


def test_plans_are_those_of_the_python_api(client, meta):
    answer = client.post("/v1/plans", json=body(budget={"trials": 2})).json()
    expected = plan(Predictor.load(meta), table_of(past(), "t0"), Budget(trials=2))
    assert [(s["source"], s["target"]) for s in answer["steps"]] == [tuple(s.pair) for s in expected.steps]


def test_the_prior_ranks_by_columns_that_the_request_describes():
    client = testclient.TestClient(app.create_app())
    described = body(columns=[column.model_dump() for column in SCHEMA])
    scores = [row["score"] for row in client.post("/v1/forecasts", json=described).json()["forecasts"]]
    assert len(set(scores)) > 1
    assert client.get("/healthz").json()["predictor"] == "prior"


@pytest.mark.parametrize(
    "change",
    [{"rows": []}, {"coverage": 2}, {"budget": {}}, {"budget": {"trials": 0}}, {"targets": {"t0": {"metric": "rouge"}}},
     {"surprise": 1}],
)  # fmt: skip
def test_wrong_requests_are_refused_with_the_field(client, change):
    answer = client.post("/v1/plans", json=body(**({"budget": {"trials": 1}} | change)))
    assert answer.status_code == 422
    assert next(iter(change)) in answer.text


def test_a_candidate_sent_twice_and_a_budget_too_small_are_refused(client):
    doubled = body()
    doubled["rows"] *= 2
    answer = client.post("/v1/forecasts", json=doubled)
    assert answer.status_code == 422
    assert "twice" in answer.json()["detail"]
    small = body(budget={"hours": 1e-9})
    small["targets"]["t0"]["seconds_per_row_epoch"] = 1.0
    assert "buys no training" in client.post("/v1/plans", json=small).json()["detail"]


def test_a_key_is_asked_for_where_one_is_set(meta):
    client = testclient.TestClient(app.create_app(meta, key="secret"))
    assert client.get("/healthz").status_code == 200
    assert client.post("/v1/forecasts", json=body()).status_code == 401
    assert client.post("/v1/forecasts", json=body(), headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.post("/v1/forecasts", json=body(), headers={"Authorization": "Bearer secret"}).status_code == 200


def test_bodies_are_bounded(client):
    sized = {"content-length": str(10**9), "content-type": "application/json"}
    assert client.post("/v1/forecasts", content=b"{}", headers=sized).status_code == 413
    assert client.post("/v1/forecasts", content=(part for part in [b"{}"])).status_code == 411


def test_there_is_an_openapi_page(client):
    assert client.get("/docs").status_code == 200
    assert {"/healthz", "/v1/forecasts", "/v1/plans"} <= set(client.get("/openapi.json").json()["paths"])
