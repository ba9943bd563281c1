"""A search over `multitask`: source and target are trained together from the base encoder, where the rows are at hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.execution.conftest import FAST, planned
from transfercast.core.records import ALONE
from transfercast.execution import worker
from transfercast.execution.search import search
from transfercast.sources.encoders import checkpoint_folder
from transfercast.sources.pool import SourcePool

TOGETHER = FAST.adapted("multitask")


@pytest.fixture
def given(monkeypatch):
    """What trainings were given: their checkpoint, and the fingerprint of the source's task."""
    seen = []
    trained = worker.fine_tune

    def spied(task, checkpoint, recipe, *, companion, **options):
        seen.append((checkpoint, companion and companion.fingerprint))
        return trained(task, checkpoint, recipe, companion=companion, **options)

    monkeypatch.setattr(worker, "fine_tune", spied)
    return seen


def change_record(pool, source, **changes):
    record = Path(pool) / "sources" / source / "source.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))


def test_source_and_target_are_trained_together_and_the_target_alone_is_the_one_that_was_measured(table, storage, given):
    made = planned(table, 4, [TOGETHER])
    alone = [step for step in made.steps if step.source == ALONE]
    assert {step.recipe for step in alone} == {FAST.key}
    result = search(made, storage)
    assert result.failures == ()
    assert {one.recipe for one in result.observations if one.source != ALONE} == {TOGETHER.key}
    pool = SourcePool.load(table.provenance.pool)
    base = checkpoint_folder(pool.encoder)
    assert given == [(base, pool[step.source].task) for step in made.steps if step.source != ALONE]


def test_it_is_searched_beside_sequential_transfer(table, storage, given):
    made = planned(table, 12, [FAST, TOGETHER])
    assert search(made, storage).failures == ()
    folders = {step.source: Path(table.provenance.pool) / "sources" / step.source for step in made.steps}
    assert [folder for folder, companion in given if companion is None] == [
        folders[step.source] for step in made.steps if step.source != ALONE and step.recipe == FAST.key
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spec": None}, "the pool does not say where they are .* Fit it from a tasks.toml"),
        ({"task": "other rows"}, "the rows of source .* have changed since it was trained. Fit it again"),
    ],
)
def test_a_source_whose_rows_are_not_at_hand_fails_alone_and_says_so(table, storage, changes, why):
    made = planned(table, 4, [TOGETHER])
    source = next(step.source for step in made.steps if step.source != ALONE)
    change_record(table.provenance.pool, source, **changes)
    result = search(made, storage)
    steps = [step for step in made.steps if step.source == source]
    assert [failure.position for failure in result.failures] == [step.position for step in steps]
    for failure in result.failures:
        assert f"source '{source}'" in failure.cause
        assert re.search(why, failure.cause)
    assert len(result.observations) == len(made.steps) - len(steps)
