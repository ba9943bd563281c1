"""The service answers forecasts and plans, asks for its key, and bounds its input."""

from __future__ import annotations

import time

import pytest

from tests.predictor.test_predictor import SCHEMA, past, table_of
from transfercast.core.plan import Budget
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.model import Predictor
from transfercast.predictor.retrain import train_meta

testclient = pytest.importorskip("fastapi.testclient")
app = pytest.importorskip("transfercast.service.app")
served = pytest.importorskip("transfercast.service.served")


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
    return {"rows": rows, "targets": targets, "encoder": "e", "explain": True} | changes


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


def test_there_is_an_openapi_page_that_describes_the_bodies(client):
    assert client.get("/docs").status_code == 200
    about = client.get("/openapi.json").json()
    assert {"/healthz", "/v1/forecasts", "/v1/plans", "/v1/observations", "/v1/models", "/v1/retrain"} <= set(about["paths"])
    sent = about["paths"]["/v1/forecasts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "rows" in sent["properties"]


def test_reasons_come_only_where_they_are_asked_for(client):
    assert client.post("/v1/forecasts", json=body(explain=False)).json()["forecasts"][0]["why"] == {}


def test_what_is_no_json_is_refused(client):
    answer = client.post("/v1/forecasts", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422


OBSERVED = {"source": "s0", "target": "new", "score": 0.5, "encoder": "e", "features": {"logme": 0.25, "ansat_b_0.20": None}}


@pytest.fixture
def learner(tmp_path):
    """A service with a history of its own and a predictor learned from it."""
    url = f"sqlite:///{tmp_path / 'h.db'}"
    history = History(url)
    history.describe(SCHEMA)
    history.append(past().observations())
    train_meta(history, tmp_path / "meta", minutes=0)
    return testclient.TestClient(app.create_app(tmp_path / "meta", history=url)), tmp_path


def test_observations_sent_twice_are_kept_once(learner):
    client, folder = learner
    before = len(History(folder / "h.db"))
    for new in (1, 0):
        answer = client.post("/v1/observations", json={"observations": [OBSERVED]})
        assert answer.json() == {"new": new, "total": before + 1}
    assert History(folder / "h.db").observations()[-1].features == {"logme": 0.25}


@pytest.mark.parametrize(
    ("change", "told"),
    [({"score": 2}, "score"), ({"metric": "rouge"}, "observations[1]: metric 'rouge'"), ({"split": "dev"}, "split"),
     ({"run_key": "x"}, "run_key")],
)  # fmt: skip
def test_a_wrong_observation_is_told_by_its_number_and_none_is_kept(learner, change, told):
    client, folder = learner
    before = len(History(folder / "h.db"))
    answer = client.post("/v1/observations", json={"observations": [OBSERVED, OBSERVED | change]})
    assert answer.status_code == 422
    assert told in answer.text
    assert len(History(folder / "h.db")) == before


def test_retraining_runs_in_the_background_and_its_result_is_served(learner):
    client, _ = learner
    first = client.get("/healthz").json()["predictor"]
    client.post("/v1/observations", json={"observations": [OBSERVED, OBSERVED | {"source": "s1", "score": 0.4}]})
    started = client.post("/v1/retrain", json={"minutes": 0, "margin": 100})
    assert started.status_code == 202
    job = started.json()
    assert client.post("/v1/retrain", json={"minutes": 0}).status_code == 422  # one at a time
    while job["state"] == "running":
        time.sleep(0.2)
        assert client.post("/v1/forecasts", json=body()).status_code == 200
        job = client.get(f"/v1/retrain/{job['id']}").json()
    assert job["state"] == "done", job["message"]
    assert "promoted" in job["message"]
    assert [row["features"] for row in job["rows"]][-1] == f"champion ({first})"
    now = client.get("/healthz").json()["predictor"]
    assert now != first
    models = client.get("/v1/models").json()
    assert [(model["id"], model["in_force"]) for model in models] == [(now, True), (first, False)]
    assert models[0]["observations"] == models[1]["observations"] + 2
    assert client.post("/v1/models/roll-back").json()["id"] == first
    assert client.get("/healthz").json()["predictor"] == first
    assert client.post(f"/v1/models/{now}/promote").json()["in_force"]
    assert client.post("/v1/forecasts", json=body()).json()["predictor"] == now
    assert client.get("/v1/retrain").json()[0]["id"] == job["id"]


def test_a_retraining_that_fails_says_why_and_leaves_the_champion(learner):
    client, folder = learner
    first = client.get("/healthz").json()["predictor"]
    with History(folder / "h.db").engine.begin() as connection:
        connection.exec_driver_sql("UPDATE transfercast_observations SET metric = 'rouge'")
    job = client.post("/v1/retrain", json={"minutes": 0}).json()
    while job["state"] == "running":
        time.sleep(0.2)
        job = client.get(f"/v1/retrain/{job['id']}").json()
    assert job["state"] == "failed"
    assert "metric 'rouge'" in job["message"]
    assert client.get("/healthz").json()["predictor"] == first


def test_what_another_process_promotes_is_served_and_what_cannot_be_loaded_is_not(learner, monkeypatch):
    client, folder = learner
    monkeypatch.setattr(served, "LOOK_EVERY_SECONDS", 0.0)
    first = client.get("/healthz").json()["predictor"]
    second = train_meta(f"sqlite:///{folder / 'h.db'}", folder / "meta", minutes=0, margin=100).version
    deadline = time.monotonic() + 10
    while client.get("/healthz").json()["predictor"] == first and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.get("/healthz").json()["predictor"] == second
    (folder / "meta" / "versions" / first / "model.json").write_text("{}")
    assert client.post(f"/v1/models/{first}/promote").status_code == 409
    assert client.get("/healthz").json()["predictor"] == second


def test_what_does_not_exist_is_told(learner, client):
    with_history, _ = learner
    assert with_history.get("/v1/retrain/nothing").status_code == 404
    assert with_history.post("/v1/models/9999-nothing/promote").status_code == 404
    assert with_history.post("/v1/models/..%2F..%2Fetc/promote").status_code == 404
    assert "--history" in client.post("/v1/observations", json={"observations": [OBSERVED]}).json()["detail"]
    assert "--history" in client.post("/v1/retrain", json={}).json()["detail"]
    prior = testclient.TestClient(app.create_app())
    assert "--predictor" in prior.get("/v1/models").json()["detail"]
