"""Leaders that the validation rows cannot tell apart are trained again with the next seed; the highest mean is the best."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from tests.execution.conftest import planned
from transfercast.execution import worker as worker_module
from transfercast.execution.leaders import plan_of_leaders
from transfercast.execution.search import search
from transfercast.history.store import History
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import scored
from transfercast.sources.models import load_model
from transfercast.tasks.family import task_of


@pytest.fixture
def settled(table, storage):
    """A plan, what its search found first, and what it found with leaders repeated."""
    made = planned(table, 6)
    first = search(made, storage)
    assert any(best.tied for best in first.bests.values())  # or the tests below would say nothing
    return made, first, search(made, storage, repeat_leaders=2)


def test_of_each_tied_target_the_two_best_are_trained_once_more_with_the_next_seed(settled, storage):
    made, first, _ = settled
    by_seed = defaultdict(set)
    for one in History(storage).observations():
        if one.split == "validation":
            by_seed[one.seed].add((one.source, one.target))
    wanted = set()
    for target, best in first.bests.items():
        own = sorted((t for t in first.trainings if t.step.target == target), key=lambda t: -t.observation.score)
        wanted |= {(t.step.source, target) for t in own[:2]} if best.tied else set()
    assert by_seed == {0: {(step.source, step.target) for step in made.steps}, 1: wanted}


def test_the_best_has_the_highest_mean_and_its_second_model_is_the_one_that_is_tested(settled, storage, table):
    _, first, result = settled
    scores = defaultdict(list)
    for one in History(storage).observations():
        if one.split == "validation":
            scores[one.target, one.source].append(one.score)
    for target in {one.step.target for one in result.repeats}:
        means = {source: sum(two) / 2 for (name, source), two in scores.items() if name == target and len(two) == 2}
        best = result.bests[target]
        assert best.validation == pytest.approx(max(means.values()), abs=1e-12)
        assert means[best.pair.source] == max(means.values())
        task = task_of(table.provenance.targets[target].spec)
        model = load_model(best.model, task.kind)
        assert scored(model, load_tokenizer(best.model), task, task.splits["test"], 16) == best.score
        assert any(target in note and "seed 1" in note for note in result.notes())
    assert result.trainings == first.trainings


def test_a_second_start_trains_nothing_again(settled, storage, monkeypatch):
    made, _, result = settled
    monkeypatch.setattr(worker_module, "fine_tune", lambda *a, **k: pytest.fail("trained"))
    assert search(made, storage, repeat_leaders=2) == result


def test_leaders_are_told_by_the_seed_of_their_events(table, storage):
    events = []
    result = search(planned(table, 6), storage, repeat_leaders=2, on_trial=events.append)
    ended = [event.seed for event in events if event.what == "finished"]
    assert ended.count(1) == len(result.repeats) > 0


def test_where_every_target_has_one_leader_nothing_is_repeated(settled):
    made, first, _ = settled
    alone = {target: replace(best, tied=()) for target, best in first.bests.items()}
    assert plan_of_leaders(made, replace(first, bests=alone), 2) is None
