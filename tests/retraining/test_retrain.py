"""Retraining: the champion stays in force unless the challenger is as good, and whatever fails."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import SCHEMA, past, table_of
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.records import Observation
from transfercast.history.store import History
from transfercast.predictor import versions
from transfercast.predictor.predictor import Predictor
from transfercast.report.html import retraining_page
from transfercast.retraining import retrain
from transfercast.retraining.retrain import train_meta


def noise(history: History, **changes) -> History:
    """The same transfers, with features that tell nothing."""
    rng = np.random.default_rng(0)
    spoiled = History("sqlite://")
    spoiled.describe(SCHEMA)
    spoiled.append(
        Observation(**{"source": row.source, "target": row.target, "recipe": row.recipe, "encoder": "e", "seed": 0,
                       "metric": "positive_f1", "split": "validation", "score": row.score, "hours": 0.1,
                       "features": {c.name: float(rng.normal()) for c in SCHEMA if c.name != "target_score"}, **changes})
        for row in history.frame().itertuples()
    )  # fmt: skip
    return spoiled


def test_the_champion_stays_when_the_challenger_is_worse_by_more_than_the_margin(tmp_path):
    first = train_meta(past(12), tmp_path, minutes=0)
    assert first.promoted
    assert first.reason.startswith("the first predictor")
    # the champion's recipe is judged on the same observations, so a worse one comes from worse features alone
    second = train_meta(past(12), tmp_path, minutes=0, features="source_score", margin=0.0)
    assert not second.promoted
    assert "worse by more than 0" in second.reason
    assert Predictor.load(tmp_path).id == first.version
    third = train_meta(past(12), tmp_path, minutes=0, features="source_score", margin=100.0)
    assert third.promoted
    assert Predictor.load(tmp_path).id == third.version
    assert Predictor.roll_back(tmp_path) == first.version
    assert Predictor.load(tmp_path).id == first.version


def test_challenger_and_champion_are_judged_on_the_same_folds(tmp_path):
    train_meta(past(8), tmp_path, minutes=0)
    report = train_meta(past(8), tmp_path, minutes=0)
    for name in ("rows", "targets"):
        assert getattr(report.challenger, name) == getattr(report.champion, name)
    assert report.challenger.predictor.regret[1].mean == pytest.approx(report.champion.predictor.regret[1].mean, abs=2.0)


@pytest.mark.parametrize("features", ["source_score", "f1", "logme, history"])
def test_a_champion_is_judged_with_its_own_features_and_no_others(tmp_path, features):
    for _ in range(2):
        report = train_meta(past(8), tmp_path, minutes=0, features=features, margin=100)
    assert report.champion.rmse == pytest.approx(report.challenger.rmse, abs=1e-12)
    assert report.champion.predictor.ndcg.mean == report.challenger.predictor.ndcg.mean


def test_the_last_versions_are_kept_and_the_others_go(tmp_path):
    made = [train_meta(past(4, seed=seed), tmp_path, minutes=0, keep=2, margin=100).version for seed in range(4)]
    assert versions.promoted_ids(tmp_path) == made[-2:]
    assert sorted(path.name for path in (tmp_path / "versions").iterdir()) == made[-2:]
    assert Predictor.roll_back(tmp_path) == made[-2]


def test_rolling_back_the_only_version_is_refused(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    with pytest.raises(InputError, match="no earlier version"):
        Predictor.roll_back(tmp_path)


@pytest.mark.parametrize("stage", ["transfercast.predictor.predictor.fit", "transfercast.predictor.artifact.write",
                                   "transfercast.predictor.versions.promote"])  # fmt: skip
def test_whatever_fails_half_way_the_champion_stays_and_the_next_one_works(tmp_path, monkeypatch, stage):
    first = train_meta(past(), tmp_path, minutes=0)

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(stage, fail)
        with pytest.raises(OSError, match="no space left"):
            train_meta(past(7), tmp_path, minutes=0)
    assert Predictor.load(tmp_path).id == first.version
    assert train_meta(past(7), tmp_path, minutes=0, margin=100).promoted


def test_two_retrainings_at_once_are_refused(tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".retraining.lock"), pytest.raises(InputError, match="another retraining is running"):
        train_meta(past(), tmp_path, minutes=0)


def test_of_first_retrainings_at_once_the_loser_leaves_the_winner_its_folder_and_lock(tmp_path):
    folder = tmp_path / "meta"
    with retrain._alone(folder):
        for _ in range(2):  # the second would find no lock if the first had taken it away
            with pytest.raises(InputError, match="another retraining is running"), retrain._alone(folder):
                pytest.fail("two at once")
        assert folder.is_dir()
    with retrain._alone(folder):
        pass


@pytest.mark.parametrize("place", ["a file", "/proc/meta"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path, place):
    (tmp_path / "a file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written .*Name another folder"):
        train_meta(past(), tmp_path / place, minutes=0)


def test_a_challenger_that_cannot_be_loaded_again_is_not_promoted(tmp_path, monkeypatch):
    first = train_meta(past(), tmp_path, minutes=0)
    save = Predictor.save

    def broken(predictor, *args):
        no_number = replace(predictor.fitted, residuals={"t0": np.array([np.nan])})
        save(Predictor(predictor.id, no_number), *args)

    monkeypatch.setattr(Predictor, "save", broken)
    with pytest.raises(ArtifactError, match=r"residuals\.json"):
        train_meta(past(7), tmp_path, minutes=0, margin=100)
    assert Predictor.load(tmp_path).id == first.version


def test_a_history_without_the_champion_s_columns_is_refused(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    other = tuple(c.model_copy(update={"name": f"other_{c.name}"}) for c in SCHEMA)
    with pytest.raises(InputError, match="none of the 4 columns"):
        train_meta(past(schema=other), tmp_path, minutes=0)


def test_observations_without_an_encoder_among_others_are_left_out(tmp_path):
    history = past()
    history.append(noise(past(4), encoder="unknown").observations())
    assert train_meta(history, tmp_path / "meta", minutes=0).observations == 30


def test_an_unknown_metric_in_a_database_of_others_is_refused(tmp_path):
    import sqlalchemy as sa

    history = past()
    with history.engine.begin() as connection:
        connection.execute(sa.text("UPDATE transfercast_observations SET metric = 'rouge' WHERE target = 't1'"))
    with pytest.raises(InputError, match="metric 'rouge'"):
        train_meta(history, tmp_path / "meta", minutes=0)


def test_one_target_cannot_be_held_out_and_the_report_says_so(tmp_path):
    report = train_meta(past(targets=1), tmp_path, minutes=0)
    assert math.isnan(report.coverage)
    assert "one target" in report.reason
    assert (Predictor.load(tmp_path).predict(table_of(past(), "t0")).upper == 1).all()


def test_smaller_feature_sets_are_compared_while_there_is_time(tmp_path):
    assert set(train_meta(past(5), tmp_path / "0", minutes=0).feature_sets) == {"all"}
    assert set(train_meta(past(5), tmp_path / "1", minutes=1).feature_sets) == {"f1", "f1+ansat", "all"}


def test_an_empty_history_is_told(tmp_path):
    with pytest.raises(InputError, match="no observed transfer"):
        train_meta(History("sqlite://"), tmp_path)
    with pytest.raises(InputError, match="no such history"):
        train_meta("nowhere.db", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_report_is_one_page_with_every_value_escaped(tmp_path):
    report = train_meta(past(), tmp_path / "meta", minutes=0)
    page = retraining_page(report.as_json(), report.rows())
    assert report.version in page
    assert "<script" not in page
    assert "regret@1" in page


def test_columns_of_unknown_direction_are_learned_too(tmp_path):
    vague = tuple(c.model_copy(update={"better": "unknown"}) for c in SCHEMA)
    report = train_meta(past(12, schema=vague), tmp_path, minutes=0)
    assert report.challenger.predictor.ndcg.mean > report.champion.predictor.ndcg.mean


def test_the_first_challenger_is_judged_against_the_prior_like_any_other(tmp_path, monkeypatch):
    report = train_meta(past(12), tmp_path / "good", minutes=0)
    assert report.promoted
    assert report.reason.startswith("the first predictor, mean regret")
    assert "% of the best score" in report.reason
    assert "over 12 targets" in report.reason
    whole = retrain.held_out

    def upside_down(transfers, features, *rest):
        """A challenger that orders the wrong way round."""
        forecast = whole(transfers, features, *rest)
        return forecast if features is None else replace(forecast, score=-forecast.score)

    monkeypatch.setattr(retrain, "held_out", upside_down)
    report = train_meta(past(12), tmp_path / "bad", minutes=0)
    assert not report.promoted
    assert "of prior, over 12 targets: worse by more than 0.5" in report.reason
    assert versions.promoted_ids(tmp_path / "bad") == []
    with pytest.raises(InputError, match="no version was promoted, because none was as good as the prior"):
        Predictor.load(tmp_path / "bad")


def test_what_cannot_be_judged_does_not_take_the_place_of_what_was(tmp_path):
    first = train_meta(past(12), tmp_path, minutes=0)
    report = train_meta(past(targets=1), tmp_path, minutes=0)
    assert not report.promoted
    assert Predictor.load(tmp_path).id == first.version


def test_two_targets_give_a_predictor_that_orders_as_the_prior_does(tmp_path):
    report = train_meta(past(targets=2), tmp_path, minutes=0, margin=0.0)
    assert report.promoted
    assert report.choice["models"] == []
    table = table_of(past(), "t4")
    forecast, prior = Predictor.load(tmp_path).predict(table), Predictor.load().predict(table)
    assert np.argsort(forecast.score).tolist() == np.argsort(prior.score).tolist()
    assert not forecast.is_order_only
    assert "so the order is the prior's" in forecast.basis
    assert (forecast.upper - forecast.lower > 0.5).all()  # two targets held out say little of a third


@pytest.mark.parametrize(
    ("argument", "value"),
    [("margin", math.nan), ("margin", -1.0), ("minutes", math.inf), ("minutes", -1.0), ("keep", 0), ("jobs", 0)],
)
def test_arguments_that_mean_nothing_are_refused_before_anything_is_read(tmp_path, argument, value):
    with pytest.raises(InputError, match=argument):
        train_meta("nowhere.db", tmp_path, **{argument: value})
