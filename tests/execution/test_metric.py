"""A metric of the user's choice is the one of scores, tables, plans, searches and histories."""

from __future__ import annotations

import pytest

from tests.execution.conftest import FAST
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.kinds import METRICS
from transfercast.core.plan import Budget, Plan
from transfercast.execution.search import search
from transfercast.features.extract import extract_features
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family


@pytest.fixture
def family(family_toml):
    """The three tasks, in a file of its own that says by what they are judged."""
    toml = family_toml.with_name("by-mcc.toml")
    toml.write_text('metric = "mcc"\n' + family_toml.read_text(encoding="utf-8"), encoding="utf-8")
    return read_family(toml)


def test_a_chosen_metric_goes_from_the_description_to_the_history(family, tiny_encoder, tmp_path, storage):
    assert "judged by mcc" in family.targets[0].about
    pool = SourcePool.fit(tmp_path / "pool", family.sources, encoder=str(tiny_encoder), recipe=FAST)
    assert {source.metric for source in pool.values()} == {"mcc"}
    table = extract_features(
        pool, family.targets[:1], recipe=FAST, only=["single_task", "span_similarity", "frozen_transfer"],
        cache=ArrayCache(tmp_path / "cache"),
    )  # fmt: skip
    assert table.frame["wss"].isna().all()  # it is F1 times similarity, and the sources' F1 is not known
    assert table.frame["ss"].notna().all()
    planned = plan(Predictor.load().predict(table), table, Budget(trials=2))
    planned.save(tmp_path / "plan.json")
    found = search(Plan.load(tmp_path / "plan.json"), storage)
    assert {observation.metric for observation in found.observations} == {"mcc"}
    assert all(training.standard_error > 0 for training in found.trainings)
    assert set(History(storage).frame()["metric"]) == {"mcc"}


def test_a_pool_of_another_metric_is_scored_anew(family, family_toml, tiny_encoder, tmp_path):
    before = SourcePool.fit(tmp_path / "pool", read_family(family_toml).sources[:1], encoder=str(tiny_encoder), recipe=FAST)
    after = SourcePool.fit(tmp_path / "pool", family.sources[:1], encoder=str(tiny_encoder), recipe=FAST)
    (one,), (other,) = before.values(), after.values()
    assert (one.metric, other.metric) == ("positive_f1", "mcc")
    assert one.scores != other.scores


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('metric = "rouge"', ["[[task]] 1: metric: unknown metric", "macro_f1", "'rouge'"]),
        (
            'metric = "span_f1"',
            ["train.csv: task 'good': metric 'span_f1' does not judge binary tasks", *["positive_f1", "mcc"]],
        ),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_before_any_training(family_toml, line, parts):
    toml = family_toml.with_name("wrong.toml")
    toml.write_text(line + "\n" + family_toml.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError) as told:
        read_family(toml)
    for part in parts:
        assert part in str(told.value)


def test_every_metric_is_one_of_history_and_service():
    from transfercast.core.records import Observation
    from transfercast.service.messages import Target

    for name, metric in METRICS.items():
        assert Target(metric=name).metric == name
        kept = Observation("a", "b", "full", "e", 0, name, "validation", metric.lowest, 0.0)
        assert kept.score == metric.lowest
