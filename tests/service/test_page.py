"""The page's files, and the routes that it asks besides those of programs: tables, searches, history, versions, terms."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import of_two_encoders, past, table_of
from transfercast.core.plan import Budget
from transfercast.core.records import ALONE, Observation
from transfercast.core.table import FeatureTable
from transfercast.core.trainings import EpochRecord, TrainingRecord
from transfercast.corpus import measured
from transfercast.execution.claims import DONE, FAILED, claim, enter, update
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor

testclient = pytest.importorskip("fastapi.testclient")
app = pytest.importorskip("transfercast.service.app")
page = pytest.importorskip("transfercast.service.page")
evidence = pytest.importorskip("transfercast.service.evidence")
terms = pytest.importorskip("transfercast.service.terms")
tables = pytest.importorskip("transfercast.service.tables")

STATIC = Path(page.__file__).with_name("static")
PARQUET, CSV = {"Content-Type": "application/octet-stream"}, {"Content-Type": "text/csv"}


@pytest.fixture(scope="module")
def learned(taught, tmp_path_factory):
    """What was taught, with the one table and a plan of it that is half searched."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("page") / "learned"))
    (folder / "two.parquet").unlink()
    history = History(folder / "history.db")
    table = FeatureTable.load(folder / "features.parquet")
    made = plan(Predictor.load(folder / "meta").predict(table), table, Budget(trials=3))
    made.save(folder / "plan.json")
    enter(history.engine, made.id, [step.position for step in made.steps])
    for state in (DONE, FAILED):
        update(history.engine, made.id, claim(history.engine, made.id), state=state)
    curve = (EpochRecord(0.4, 0.5, 1.0), EpochRecord(0.6, 0.3, 1.0))
    step = made.steps[1]
    history.note(TrainingRecord("k0", "s0", "t0", "full", "e", 0, "finished", curve=curve, epoch=1, seconds=2.0))
    history.note(TrainingRecord("k1", step.source, step.target, step.recipe, "e", 0, "failed", why="<b>out of memory</b>"))
    (folder / "other.json").write_text("[1, 2]", encoding="utf-8")
    history.engine.dispose()
    return folder


@pytest.fixture
def folder(learned, tmp_path):
    return Path(shutil.copytree(learned, tmp_path / "here"))


@pytest.fixture
def client(folder):
    made = app.create_app(folder / "meta", history=str(folder / "history.db"), folder=folder)
    return testclient.TestClient(made)


def test_the_page_is_three_files_of_ours_and_asks_no_other_host():
    for path, (name, _) in page.STATIC.items():
        content = (STATIC / name).read_text(encoding="utf-8")
        hosts = set(re.findall(r"https?://([^/\"' ]+)", content))
        assert hosts <= {"www.w3.org"}, path  # the name of SVG, which is not asked


def test_the_page_may_run_its_own_script_only(client):
    for path in page.STATIC:
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
    assert '<script type="module" src="page.js"></script>' in client.get("/").text
    assert not re.findall(r"<script>|\son\w+=|<style|style=", (STATIC / "page.html").read_text(encoding="utf-8"))


def test_nothing_is_drawn_as_markup():
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)


def test_with_a_key_the_page_is_shown_and_nothing_else_is(folder):
    client = testclient.TestClient(app.create_app(folder / "meta", "secret", str(folder / "history.db"), folder=folder))
    assert client.get("/").status_code == 200
    assert client.get("/page.js").status_code == 200
    routes = ("about", "tables", "tables/features.parquet", "searches", "history", "trainings", "gains", "models", "terms")
    for route in routes:
        assert client.get(f"/v1/{route}").status_code == 401, route
        assert client.get(f"/v1/{route}", headers={"Authorization": "Bearer secret"}).status_code == 200, route


@pytest.mark.parametrize(("route", "kind"), [("tables", PARQUET), ("observations/file", CSV), ("terms", {})])
def test_a_page_of_another_origin_can_send_no_file(client, route, kind):
    answer = client.post(f"/v1/{route}", content=b"x", headers={"Origin": "http://evil.example", **kind})
    assert answer.status_code == 403


def test_a_table_of_the_folder_with_a_budget_is_a_plan_of_the_python_api(client, folder):
    assert client.get("/v1/tables").json() == {"tables": ["features.parquet"]}
    rows = client.get("/v1/tables/features.parquet").json()
    made = client.post("/v1/plans", json={**rows, "budget": {"trials": 3}}).json()
    table = table_of(past(), "t0")
    expected = plan(Predictor.load(folder / "meta").predict(table), table, Budget(trials=3))
    assert [step["source"] for step in made["steps"]] == [step.source for step in expected.steps]
    assert [step["score"] for step in made["steps"]] == pytest.approx([step.score for step in expected.steps])


def test_a_table_of_several_encoders_is_forecast_and_planned_as_in_python(client, folder):
    table = of_two_encoders()
    table.save(folder / "two.parquet")
    forecast = Predictor.load(folder / "meta").predict(table)
    rows = client.get("/v1/tables/two.parquet").json()
    answered = client.post("/v1/forecasts", json=rows).json()["forecasts"]
    assert [row["score"] for row in answered] == pytest.approx(forecast.score.tolist())
    assert [row["beats_baseline"] for row in answered] == pytest.approx(forecast.beats_baseline.tolist())
    made = client.post("/v1/plans", json={**rows, "budget": {"trials": 5}}).json()["steps"]
    expected = plan(forecast, table, Budget(trials=5)).steps
    assert [(step["source"], step["encoder"]) for step in made] == [(step.source, step.encoder) for step in expected]
    assert {step["encoder"] for step in made if step["source"] == "(alone)"} == {"e", "f"}
    assert [step["hours"] for step in made] == pytest.approx([step.hours for step in expected])
    assert [step["score"] for step in made] == pytest.approx([step.score for step in expected])


@pytest.mark.parametrize("alone", [{"f": {"score": -0.5}}, {"f": {"seconds_per_row_epoch": 0}}, {"": {}}])
def test_what_cannot_be_known_of_a_target_alone_is_refused(client, alone):
    body = {"rows": [{"source": "a", "target": "x", "features": {}}], "targets": {"x": {"alone": alone}}}
    assert client.post("/v1/forecasts", json=body).status_code == 422


def test_an_uploaded_table_is_read_as_one_of_the_folder(client, folder):
    content = (folder / "features.parquet").read_bytes()
    assert (
        client.post("/v1/tables", content=content, headers=PARQUET).json() == client.get("/v1/tables/features.parquet").json()
    )


@pytest.mark.parametrize("name", ["plan.json", "history.db", "..%2Fpage", "nothing.parquet", "%2Fetc%2Fpasswd"])
def test_a_name_from_outside_is_no_path(client, name):
    assert client.get(f"/v1/tables/{name}").status_code == 404


def test_what_is_no_table_is_refused_before_it_is_unpacked(client, monkeypatch):
    assert "this is no Parquet file" in client.post("/v1/tables", content=b"PAR1", headers=PARQUET).json()["detail"]
    assert client.post("/v1/tables", content=b"{}", headers={"Content-Type": "application/json"}).status_code == 415
    large = io.BytesIO()
    pq.write_table(pa.table({"source": ["a"] * 10_001}), large)
    assert "10001 rows" in client.post("/v1/tables", content=large.getvalue(), headers=PARQUET).json()["detail"]
    bomb = io.BytesIO()
    pq.write_table(pa.table({"source": ["a" * 10_000_000] * 20}), bomb, compression="zstd", use_dictionary=False)
    assert len(bomb.getvalue()) < 2_000_000
    assert "200" in client.post("/v1/tables", content=bomb.getvalue(), headers=PARQUET).json()["detail"]


def test_searches_show_state_forecast_score_and_why_one_failed(client):
    (search,) = client.get("/v1/searches").json()
    assert search["name"] == "plan.json"
    first, second, *rest = search["steps"]
    assert (first["state"], first["source"]) == ("done", "(alone)")
    assert first["score"] == pytest.approx(first["forecast"])  # the target alone was measured before
    assert (second["state"], second["why"]) == ("failed", "<b>out of memory</b>")
    assert second["score"] is None
    assert {step["state"] for step in rest} == {"planned"}


def test_a_search_of_several_encoders_shows_what_each_reached(client, folder):
    table = of_two_encoders()
    made = plan(Predictor.load(folder / "meta").predict(table), table, Budget(trials=1))
    made.save(folder / "two.json")
    history = History(folder / "history.db")
    alone = {step.encoder: step for step in made.steps if step.source == ALONE}
    one = {"source": ALONE, "target": "t0", "seed": 0, "metric": "positive_f1", "split": "validation", "hours": 0.1}
    history.append(
        Observation(**one, recipe=alone[encoder].recipe, encoder=encoder, score=score)
        for encoder, score in (("f", 0.125), ("e", 0.875))
    )
    in_history = {row["encoder"]: row["score"] for row in history.matching(source=ALONE, target="t0")}
    enter(history.engine, made.id, [step.position for step in made.steps])
    for _ in made.steps:
        update(history.engine, made.id, claim(history.engine, made.id), state=DONE)
    (search,) = [found for found in client.get("/v1/searches").json() if found["name"] == "two.json"]
    shown = {step["encoder"]: step["score"] for step in search["steps"] if step["source"] == ALONE}
    assert shown == in_history
    assert shown["f"] == 0.125


def test_the_history_is_listed_in_pages_the_latest_first(client, folder):
    records = History(folder / "history.db").frame()
    found = client.get("/v1/history", params={"limit": 4, "offset": 1}).json()
    assert found["total"] == len(records) == 36
    expected = records.iloc[::-1].iloc[1:5]
    assert [row["source"] for row in found["rows"]] == expected.source.tolist()
    gains = (expected.score - expected.baseline).tolist()
    assert [row["gain"] for row in found["rows"]] == pytest.approx(gains)
    some = client.get("/v1/history", params={"words": "t3"}).json()
    assert {row["target"] for row in some["rows"]} == {"t3"}
    assert client.get("/v1/history", params={"words": "%"}).json()["total"] == 0


def test_gains_are_means_over_the_targets_alone(client, folder):
    records = History(folder / "history.db").frame().query("source == 's1' and target == 't2'")
    (cell,) = [row for row in client.get("/v1/gains").json() if (row["source"], row["target"]) == ("s1", "t2")]
    assert cell["gain"] == pytest.approx(float((records.score - records.baseline).mean()))
    assert cell["trainings"] == 1


def test_the_atlas_shows_its_mean_gains_on_validation_rows(client, monkeypatch):
    rows = [("(alone)", "x", 0.5, "validation"), ("(alone)", "x", 0.6, "validation"), ("a", "x", 0.7, "validation"),
            ("a", "x", 0.9, "test"), ("a", "y", 0.9, "validation")]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["source", "target", "score", "split"]).assign(
        encoder="e", metric="accuracy", recipe="full"
    )
    monkeypatch.setattr(measured, "atlas", lambda: frame)
    evidence._gains.cache_clear()
    (found,) = client.get("/v1/atlas").json()
    assert (found["source"], found["target"], found["trainings"]) == ("a", "x", 1)
    assert found["gain"] == pytest.approx(0.15)
    evidence._gains.cache_clear()


def test_the_last_trainings_come_with_their_curves(client):
    last, first = client.get("/v1/trainings").json()
    assert (last["ended"], last["curve"]) == ("failed", [])
    assert (first["ended"], first["curve"]) == ("finished", [0.4, 0.6])
    assert len(client.get("/v1/trainings", params={"limit": 1}).json()) == 1


def test_an_imported_file_is_kept_whole_or_its_wrong_rows_are_told(client):
    before = client.get("/v1/history").json()["total"]
    wrong = "source,target,score\na,x,0.5\nb,x,much\n"
    answer = client.post("/v1/observations/file", content=wrong, headers=CSV)
    assert answer.status_code == 422
    assert "line 3" in answer.json()["detail"]
    assert "much" in answer.json()["detail"]
    assert "/tmp" not in answer.json()["detail"]
    assert client.get("/v1/history").json()["total"] == before
    right = "source,target,score\na,x,0.5\nb,x,0.6\n"
    assert client.post("/v1/observations/file", content=right, headers=CSV).json() == {"new": 2, "total": before + 2}


def test_a_version_says_what_it_rests_on_and_not_where_it_lies(client, folder):
    newest = client.get("/v1/models").json()[0]["id"]
    about = client.get(f"/v1/models/{newest}").json()
    assert (about["observations"], about["targets"]) == (30, 6)
    assert about["rows"][0]["name"] == "all"
    assert set(about["curves"]) >= {"predictor", "oracle"}
    assert str(folder) not in json.dumps(about)
    assert client.get("/v1/models/0009-00000000").status_code == 404
    (folder / "meta" / "versions" / newest / "report.json").write_text('{"observations": 1}')
    assert client.get(f"/v1/models/{newest}").status_code == 409


def test_without_a_pool_it_is_said_what_is_needed(client):
    assert client.get("/v1/terms").json() == {"sources": [], "needs": terms.NEEDS}
    assert "--pool" in client.post("/v1/terms", json={"source": "a", "text": "b"}).json()["detail"]


@pytest.fixture
def explaining(tmp_path, monkeypatch):
    """A service with a pool of two sources, and what it would run."""
    for name in ("good", "help"):
        (tmp_path / "pool" / "sources" / name).mkdir(parents=True)
        (tmp_path / "pool" / "sources" / name / "source.json").write_text("{}")
    asked = []

    def run(command, **_):
        asked.append(command[command.index("explain") + 1 :])
        lines = [{"word": "<i>a</i>", "activity": 0.25, "layers": [0.25]}, {"word": "b", "activity": -0.5, "layers": [-0.5]}]
        if ":" in command[-1] and command[-2] == "--":
            lines = [{"term": "storm", "weight": 1.5, "documents": 3}]
        told = b"1 of 2\ngood: probability 0.900, of a blank text 0.100.\n"
        return subprocess.CompletedProcess(command, 0, "\n".join(map(json.dumps, lines)).encode(), told)

    monkeypatch.setattr(terms.subprocess, "run", run)
    return testclient.TestClient(app.create_app(pool=tmp_path / "pool")), asked


def test_the_words_of_a_text_come_with_their_activity(explaining):
    client, asked = explaining
    assert client.get("/v1/terms").json()["sources"] == ["good", "help"]
    answer = client.post("/v1/terms", json={"source": "good", "text": "--html=/etc/x"}).json()
    assert asked[-1][-3:] == ["--", "good", "--html=/etc/x"]  # a text is no option
    assert answer["about"].startswith("good: probability 0.900")
    assert [(one["term"], one["value"]) for one in answer["terms"]] == [("<i>a</i>", 0.25), ("b", -0.5)]


def test_the_terms_of_two_sources_come_with_weights(explaining):
    client, asked = explaining
    answer = client.post("/v1/terms", json={"source": "good", "second": "help"}).json()
    assert asked[-1][-2:] == ["--", "good:help"]
    assert answer["terms"] == [{"term": "storm", "value": 1.5, "documents": 3}]


@pytest.mark.parametrize("question", [{"source": "../x", "text": "a"}, {"source": "good", "second": "nothing"},
                                      {"source": "good"}, {"source": "good", "text": "a", "second": "help"}])  # fmt: skip
def test_other_questions_on_terms_run_nothing(explaining, question):
    client, asked = explaining
    assert client.post("/v1/terms", json=question).status_code == 422
    assert asked == []
