"""The three uses of the Python API, as the documentation writes them."""

from __future__ import annotations

import random

import pytest

import transfercast as tc
from tests.builders import past, table_of
from tests.conftest import write_csv
from transfercast.tasks.family import read_family

FAST = tc.Recipe(learning_rate=1e-2, epochs=1, batch_size=8, max_tokens=16)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.usefixtures("untaught")
def test_plan_a_search_within_a_budget_and_run_it(here, family_toml, tiny_encoder):
    tc.SourcePool.fit("pool/", read_family(family_toml).sources, encoder=str(tiny_encoder), recipe=FAST)
    rng = random.Random(0)
    rows = [(" ".join(rng.choices(["good", "bad", "film", "plot"], k=4)), i % 2) for i in range(60)]
    write_csv(here / "reviews.csv", rows, "text,helpful")

    pool = tc.SourcePool.load("pool/")
    target = tc.Task.from_csv("reviews.csv", text="text", label="helpful")
    table = tc.extract_features(pool, targets=[target])
    predictor = tc.Predictor.load()
    plan = tc.plan(predictor.predict(table), table, budget=tc.Budget(trials=10))

    assert "Rests on no observed transfers" in str(plan)
    plan.save("plan.json")
    assert plan.is_order_only  # nothing was observed, so no score is promised

    result = tc.search(plan, storage="sqlite:///history.db")
    frame = result.to_frame().set_index("source")
    alone, transfers = frame.score["(alone)"], frame.score.drop("(alone)")
    assert set(transfers.index) == {"good", "help", "storm"}
    assert result.best.pair == tc.Pair(frame.score.idxmax(), "reviews")
    assert result.best.validation == frame.score.max()
    assert result.gain_over_baseline == pytest.approx(transfers.max() - alone)
    assert result.mean_transfer_gain == pytest.approx(transfers.mean() - alone)
    on_test = {o.source: o.score for o in tc.History("history.db").observations() if o.split == "test"}
    assert result.best.score == on_test[result.best.pair.source]
    assert set(on_test) == {"(alone)", result.best.pair.source}


def test_ask_for_forecasts_from_python(here):
    tc.train_meta(past(), out="meta/", minutes=0)
    table_of(past(), "t0").save("features.parquet")

    predictor = tc.Predictor.load("meta/")
    table = tc.FeatureTable.load("features.parquet")
    forecast = predictor.predict(table, coverage=0.9)

    frame = forecast.to_frame()
    assert {"source", "target", "score", "lower", "upper", "beats_baseline", "support"} <= set(frame)
    sure = frame[(frame.beats_baseline > 0.5) & (frame.support >= 20)]
    assert len(sure.sort_values("score", ascending=False).head())
    assert set(forecast.why_for(tc.Pair("s1", "t0"))) >= {"attribution", "embeddings"}


def test_retrain_from_everything_observed_so_far(here):
    history = tc.History("sqlite:///history.db")
    past(8).export_file("transfers_2025.csv")
    assert history.import_file("transfers_2025.csv") == 8 * 6
    first = tc.train_meta(history, out="meta/", minutes=0.01)
    assert (first.observations, first.targets) == (8 * 5, 8)
    assert first.champion_id == "prior"
    assert first.promoted
    # The history's gains follow logme and ANSAT: what was learned from it ranks better than the mean rank of all measures.
    assert first.challenger.predictor.regret[1].mean < first.champion.predictor.regret[1].mean
    second = tc.train_meta(history, out="meta/", minutes=0.01)
    assert second.champion_id == first.version
    assert tc.Predictor.load("meta/").id == (second.version if second.promoted else first.version)
    report = second
    report.save_json("report.json")
    assert tc.Predictor.roll_back("meta/") == first.version
    assert tc.Predictor.load("meta/").id == first.version
