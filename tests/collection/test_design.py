"""What is drawn: balanced, from a seed, and never a task with itself."""

from __future__ import annotations

from collections import Counter

import pytest

from transfercast.collection.design import Design, Settings, draw, settings_of
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE

SOURCES, TARGETS = [f"s{n}" for n in range(8)], [f"t{n}" for n in range(6)]


def pairs(design: Design, recipe: str = "full", seed: int = 0) -> list[tuple[str, str]]:
    return [
        (run.source, batch.name)
        for batch in design.batches
        for run in batch.runs
        if run.source != ALONE and (run.recipe, run.seed) == (recipe, seed)
    ]


def test_as_many_pairs_are_drawn_as_are_asked_for_each_once():
    design = draw(SOURCES, TARGETS, [], Settings(pairs=30))
    assert len(pairs(design)) == len(set(pairs(design))) == 30


def test_all_pairs_but_a_tasks_own_are_drawn_where_more_are_asked_for():
    design = draw(["a", "b", "c"], ["a", "b", "c"], [(name, name) for name in "abc"], Settings(pairs=100))
    assert sorted(pairs(design)) == [(a, b) for a in "abc" for b in "abc" if a != b]


@pytest.mark.parametrize("stopped_after", [6, 12, 18])
def test_an_atlas_is_balanced_whenever_it_is_stopped(stopped_after):
    design = draw(SOURCES, TARGETS, [], Settings(pairs=48, batch=2))
    drawn = pairs(Design(design.batches[:stopped_after]))
    for which in (0, 1):
        uses = Counter(pair[which] for pair in drawn)
        assert max(uses.values()) - min(uses.values()) <= 1


def test_each_training_of_a_target_alone_stands_once_and_before_the_transfers_that_are_compared_with_it():
    settings = Settings(pairs=40, repeated=9, recipes=("ulmfit",), recipe_pairs=7, rows=(50,), rows_pairs=6)
    seen = set()
    for batch in draw(SOURCES, TARGETS, [], settings).batches:
        for run in batch.runs:
            key = (batch.name, run.recipe, run.seed)
            if run.source == ALONE:
                assert key not in seen
                seen.add(key)
            assert key in seen


def test_repeats_recipes_and_other_numbers_of_rows_are_of_drawn_pairs_and_as_many_as_asked_for():
    settings = Settings(pairs=40, repeated=9, seeds=3, recipes=("ulmfit",), recipe_pairs=7, rows=(50,), rows_pairs=6)
    design = draw(SOURCES, TARGETS, [], settings)
    drawn = set(pairs(Design(tuple(batch for batch in design.batches if batch.rows is None))))
    ulmfit = next(run.recipe for batch in design.batches for run in batch.runs if run.recipe.startswith("ulmfit"))
    for repeat in (pairs(design, seed=1), pairs(design, seed=2), pairs(design, recipe=ulmfit)):
        assert set(repeat) <= drawn
    assert [len(pairs(design, seed=1)), len(pairs(design, seed=2)), len(pairs(design, recipe=ulmfit))] == [9, 9, 7]
    fewer = [(run.source, batch.target) for batch in design.batches if batch.rows == 50 for run in batch.runs[1:]]
    assert len(fewer) == 6
    assert set(fewer) <= drawn


def test_another_seed_is_another_design_and_the_same_seed_the_same():
    first, same, other = (draw(SOURCES, TARGETS, [], Settings(pairs=20, seed=seed)) for seed in (1, 1, 2))
    assert first == same
    assert first.id == same.id
    assert set(pairs(first, seed=1)) != set(pairs(other, seed=2))


def test_a_written_design_is_not_exchanged_for_another(tmp_path):
    first, other = (draw(SOURCES, TARGETS, [], Settings(pairs=number)) for number in (20, 21))
    first.keep(tmp_path / "design.json")
    first.keep(tmp_path / "design.json")
    with pytest.raises(InputError, match="its design differs"):
        other.keep(tmp_path / "design.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind = 'binary'", r"no \[collect\] table"),
        ("[collect]\npairs = 0", "pairs"),
        ("[collect]\npairs = 5\npear = 1", "pear"),
        ("[collect]\npairs = 5\nrecipe = 'fall'", "fall"),
        ("[collect]\npairs = 5\nrecipes = ['full', 'x']", "'x'"),
    ],
)
def test_settings_that_cannot_be_used_are_told_with_file_and_key(text, told, tmp_path):
    (tmp_path / "tasks.toml").write_text(text)
    with pytest.raises(InputError, match=told) as error:
        settings_of(tmp_path / "tasks.toml")
    assert "tasks.toml" in str(error.value)
