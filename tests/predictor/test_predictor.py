"""The predictor: held out by target without leaks, blended with the prior, safe on disk."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from tests.core.test_core import column
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import sha256_of
from transfercast.core.records import ALONE, Observation, Pair, Recipe
from transfercast.core.table import INDEX, FeatureTable, Provenance, TargetFacts
from transfercast.history.store import History
from transfercast.predictor import artifact
from transfercast.predictor.bounds import half_width
from transfercast.predictor.design import design_of_history
from transfercast.predictor.evaluate import held_out, ndcg, regret
from transfercast.predictor.model import Predictor
from transfercast.predictor.prior import standings
from transfercast.predictor.regressor import fit
from transfercast.predictor.retrain import train_meta

SCHEMA = (
    column("source_score", group="single-task scores"), column("target_score", group="single-task scores"),
    column("ansat_b_0.20", group="attribution"), column("logme"),
)  # fmt: skip


def past(targets=6, sources=5, seed=0, schema=SCHEMA) -> History:
    """A history in which the gain follows logme and ANSAT, with some noise."""
    rng = np.random.default_rng(seed)
    history = History("sqlite://")
    history.describe(schema)
    rows = []
    for t in range(targets):
        alone = float(rng.uniform(0.3, 0.6))
        common = {"target": f"t{t}", "recipe": Recipe().key, "encoder": "e", "seed": 0, "metric": "positive_f1",
                  "split": "validation", "hours": 0.1}  # fmt: skip
        rows.append(Observation(source=ALONE, score=alone, **common))
        for s in range(sources):
            x = rng.uniform(0, 1, 3)
            score = float(np.clip(alone + 0.3 * (x[2] - 0.5) + 0.1 * (x[1] - 0.5) + rng.normal(0, 0.01), 0, 1))
            features = dict(zip([c.name for c in schema], [x[0], alone, x[1], x[2]], strict=True))
            rows.append(Observation(source=f"s{s}", score=score, features=features, **common))
    history.append(rows)
    return history


def table_of(history: History, target: str) -> FeatureTable:
    frame = history.frame()
    rows = frame[(frame.target == target) & (frame.source != ALONE)].set_index(INDEX)
    facts = {target: TargetFacts(fingerprint="", metric="positive_f1", train_rows=10, score=float(rows.baseline.iloc[0]))}
    return FeatureTable(rows[[c.name for c in SCHEMA]], SCHEMA, Provenance(targets=facts))


def test_no_forecast_of_a_held_out_target_changes_with_its_own_scores():
    """The test that would catch a leak: scramble one target's outcomes, and only others' forecasts may move."""
    design, scores = design_of_history(past().frame(), SCHEMA)
    before, _ = held_out(design, scores, fit)
    rows = design.targets == "t2"
    scrambled = scores.copy()
    scrambled[rows] = scores[rows][::-1] * 0.1
    after, _ = held_out(design, scrambled, fit)
    np.testing.assert_array_equal(before[rows], after[rows])
    assert not np.array_equal(before[~rows], after[~rows])


def test_a_trained_predictor_ranks_better_than_the_prior_and_than_f1_alone(tmp_path):
    report = train_meta(past(targets=12), tmp_path / "meta", minutes=0)
    assert report.feature_sets["all"].ndcg > report.champion.ndcg > 0
    assert report.feature_sets["all"].rmse < report.feature_sets["f1"].rmse
    assert report.promoted


def test_without_history_the_order_is_the_mean_rank_of_the_measures_and_the_output_says_so():
    table = table_of(past(), "t0")
    forecast = Predictor.load().predict(table)
    frame = table.frame.drop(columns="target_score")  # the same for all candidates of a target
    # rank of each column, averaged: the group single-task scores holds one column, as do the others
    expected = frame.rank().mean(axis=1).to_numpy()
    assert np.argsort(forecast.score).tolist() == np.argsort(expected).tolist()
    assert "No history yet" in forecast.basis
    assert forecast.support.tolist() == [0] * 5
    assert forecast.prior_share.tolist() == [1.0] * 5
    assert (forecast.lower == 0).all()
    assert (forecast.upper == 1).all()


def test_a_measure_of_many_columns_counts_as_one():
    index = pd.MultiIndex.from_tuples([(s, "t", "full") for s in "abc"], names=INDEX)
    many = [column(f"m{i}").model_copy(update={"measure": "many"}) for i in range(9)]
    frame = pd.DataFrame({**{c.name: [1.0, 2.0, 3.0] for c in many}, "one": [3.0, 2.0, 1.0]}, index=index)
    found = standings(frame, [*many, column("one")], ["embeddings"])
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_forecasts_rest_less_on_the_prior_as_observations_come(tmp_path):
    shares = []
    for targets in (2, 6, 12):
        train_meta(past(targets), tmp_path / str(targets), minutes=0)
        forecast = Predictor.load(tmp_path / str(targets)).predict(table_of(past(), "t0"))
        shares.append(float(forecast.prior_share[0]))
        assert forecast.support[0] == 5 * targets
    assert shares == sorted(shares, reverse=True)


def test_reasons_sum_to_the_score_and_are_grouped_by_evidence(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    forecast = Predictor.load(tmp_path).predict(table_of(past(), "t1"))
    np.testing.assert_allclose(forecast.base + forecast.why.sum(1), forecast.score, atol=1e-6)
    assert {"single-task scores", "attribution", "embeddings"} <= set(forecast.groups)
    why = forecast.why_for(Pair("s0", "t1"))
    assert sum(why.values()) + forecast.base[0] == pytest.approx(forecast.score[0], abs=1e-6)
    with pytest.raises(InputError, match="no forecast for x -> t1"):
        forecast.why_for(Pair("x", "t1"))


def test_bounds_are_wider_for_more_coverage_and_hold_the_score(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    predictor, table = Predictor.load(tmp_path), table_of(past(), "t1")
    narrow, wide = predictor.predict(table, 0.5), predictor.predict(table, 0.95)
    assert (narrow.lower >= wide.lower).all()
    assert (narrow.upper < wide.upper).all()
    assert ((wide.lower <= wide.score) & (wide.score <= wide.upper)).all()
    with pytest.raises(InputError, match="coverage"):
        predictor.predict(table, 1.5)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_the_bound_is_the_conformal_quantile(coverage):
    # split conformal: of n + 1 exchangeable residuals the next is within the k-th smallest with probability k / (n + 1)
    rng = np.random.default_rng(0)
    hits = [abs(r[-1]) <= half_width(r[:-1], coverage) for r in rng.normal(size=(4000, 20))]
    k = math.ceil(coverage * 20)
    assert np.mean(hits) == pytest.approx(k / 20, abs=0.02)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9, unique=True), st.integers(0, 2**32 - 1))
def test_ndcg_equals_scikit_learn_s(truth, seed):
    truth = np.array(truth)
    forecast = np.random.default_rng(seed).permutation(len(truth)).astype(float)
    relevance = (-truth).argsort().argsort()
    gains = 2.0 ** (len(truth) - 1 - relevance) - 1
    assert ndcg(forecast, truth) == pytest.approx(ndcg_score([gains], [forecast]))


def test_regret_worked_by_hand():
    # best is .8; the two best-ranked reached .4 and .6: 100 (.8 - .6) / .8
    assert regret(np.array([3.0, 2.0, 1.0]), np.array([0.4, 0.6, 0.8]), 2) == pytest.approx(25)
    assert regret(np.array([3.0, 2.0, 1.0]), np.array([0.4, 0.6, 0.8]), 3) == 0


def test_the_champion_stays_when_the_challenger_is_worse_and_rolling_back_works(tmp_path):
    meta = tmp_path / "meta"
    first = train_meta(past(12), meta, minutes=0)
    rng = np.random.default_rng(0)
    noise = past(12, seed=1)
    frame = noise.frame()
    spoiled = History("sqlite://")
    spoiled.describe(SCHEMA[:1])  # the challenger knows no direction, and its features are noise
    spoiled.append(
        Observation(source=row.source, target=row.target, recipe=row.recipe, encoder="e", seed=0, metric="positive_f1",
                    split="validation", score=row.score, hours=0.1, features={"logme": float(rng.normal())})
        for row in frame.itertuples()
    )  # fmt: skip
    second = train_meta(spoiled, meta, minutes=0)
    assert Predictor.load(meta).id == (second.version if second.promoted else first.version)
    third = train_meta(past(12), meta, minutes=0)
    assert third.promoted
    assert Predictor.load(meta).id == third.version
    before = artifact.promoted_ids(meta)[-2]
    assert Predictor.roll_back(meta) == before
    assert Predictor.load(meta).id == before


def test_rolling_back_the_only_version_is_refused(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    with pytest.raises(InputError, match="no earlier version"):
        Predictor.roll_back(tmp_path)


def test_one_target_cannot_be_held_out_and_the_report_says_so(tmp_path):
    report = train_meta(past(targets=1), tmp_path, minutes=0)
    assert math.isnan(report.challenger.rmse)
    assert "one target" in report.reason
    assert (Predictor.load(tmp_path).predict(table_of(past(), "t0")).upper == 1).all()


def test_settings_are_tuned_within_the_time(tmp_path):
    report = train_meta(past(targets=8), tmp_path, minutes=0.05)
    manifest = json.loads((report.folder / "manifest.json").read_text())
    assert set(manifest["settings"]) == {"max_depth", "eta", "rounds", "lambda", "min_child_weight"}


def test_an_empty_history_is_told(tmp_path):
    with pytest.raises(InputError, match="no observed transfer"):
        train_meta(History("sqlite://"), tmp_path)
    with pytest.raises(InputError, match="no such history"):
        train_meta("nowhere.db", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def version(tmp_path):
    return train_meta(past(), tmp_path / "meta", minutes=0).folder


def test_an_artifact_holds_json_and_markdown_only(version):
    assert {path.suffix for path in version.iterdir()} == {".json", ".md"}
    assert "held out whole" in (version / "CARD.md").read_text().replace("\n", " ")


def test_a_changed_file_is_refused(version):
    (version / "residuals.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"residuals.json: missing or not what the manifest says"):
        Predictor.load(version)


def test_a_newer_format_is_refused(version):
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99"):
        Predictor.load(version)


@pytest.mark.parametrize(
    ("field", "value"), [("left_children", 99_999), ("right_children", 0), ("split_indices", 99), ("parents", 3)]
)
def test_tampered_trees_are_refused_before_xgboost_sees_them_even_with_matching_hashes(version, field, value):
    path = version / "booster.json"
    model = json.loads(path.read_text())
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    tree = next(t for t in trees if len(t["left_children"]) > 3)
    tree[field][1 if field == "parents" else 0] = value
    path.write_text(json.dumps(model))
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["sha256"]["booster.json"] = sha256_of(path)
    (version / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"booster.json, tree \d+"):
        Predictor.load(version)


def test_a_table_of_another_version_of_a_measure_is_refused(version):
    table = table_of(past(), "t0")
    newer = tuple(c.model_copy(update={"version": 2}) for c in table.schema)
    with pytest.raises(ArtifactError, match="fitted on version 1"):
        Predictor.load(version).predict(FeatureTable(table.frame, newer, table.provenance))


def test_the_report_is_one_page_with_every_value_escaped(tmp_path):
    report = train_meta(past(), tmp_path / "meta", minutes=0)
    report.save_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert report.version in page
    assert "<script" not in page
    assert "regret@1" in page
