"""Records, tables, plans, files and cache."""

from __future__ import annotations

import json
import math
import os
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from transfercast.core.cache import ArrayCache, fingerprint
from transfercast.core.errors import ArtifactError, InputError, ShapeError
from transfercast.core.files import replaced_folder, write_json
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import Adaptation, Observation, Recipe
from transfercast.core.table import INDEX, Column, FeatureTable


def column(name, better="higher", group="embeddings"):
    return Column(name=name, measure=name, version=1, better=better, group=group)


def table(rows, names):
    index = pd.MultiIndex.from_tuples([(s, t, Recipe().key) for s, t in rows], names=INDEX)
    values = np.random.default_rng(0).normal(size=(len(rows), len(names)))
    return FeatureTable(pd.DataFrame(values, index=index, columns=names), tuple(map(column, names)))


def recipes():
    """Recipes of every kind, with what may be left open left open or not."""
    common = {
        "batch_size": st.integers(1, 4096), "max_tokens": st.integers(8, 8192), "head": st.sampled_from(["fresh", "keep"]),
        "choose": st.sampled_from(["best", "last"]), "threshold": st.sampled_from(["validation", "half"]),
    }  # fmt: skip
    trained = st.builds(
        Recipe, adaptation=st.sampled_from(["full", "ulmfit"]), learning_rate=st.none() | st.floats(1e-7, 1),
        epochs=st.none() | st.integers(1, 1000), **common,
    )  # fmt: skip
    ulmfit = st.builds(Recipe, adaptation=st.just("ulmfit"), lm_epochs=st.none() | st.integers(0, 1000), **common)
    together = st.builds(
        Recipe, adaptation=st.just("multitask"), sampling=st.sampled_from(["inverse", "proportional"]),
        source_weight=st.floats(1e-3, 100), **common,
    )  # fmt: skip
    return trained | ulmfit | together | st.builds(Recipe, adaptation=st.just("features"), **common)


@given(recipes())
def test_a_recipe_is_read_back_from_its_key(recipe):
    assert Recipe.parse(recipe.key) == recipe


@given(recipes(), st.integers(1, 100_000))
def test_a_settled_recipe_leaves_nothing_open_and_keeps_what_was_given(recipe, rows):
    settled = recipe.settled(rows)
    assert settled == settled.settled(rows + 1)
    assert (settled.epochs is None) == (settled.learning_rate is None) == (recipe.adaptation == "features")
    given_parts = {name: value for name, value in recipe if value is not None}
    assert {name: value for name, value in settled if name in given_parts} == given_parts


def test_small_data_get_more_epochs_and_as_many_updates():
    # batches of 16: 19 updates an epoch of 300 rows, 125 of 2,000 rows
    assert Recipe().epochs_of(300) * 19 == 190
    assert Recipe().epochs_of(2000) * 125 == 500
    assert Recipe(batch_size=8).epochs_of(300) < Recipe().epochs_of(300)
    assert Recipe(epochs=7).epochs_of(300) == 7


def test_language_modelling_is_a_part_of_ulmfit_and_is_paid_for():
    assert Recipe.parse("ulmfit/epochs=4/lm=0").passes(300) == 4
    assert Recipe.parse("ulmfit/epochs=4/lm=3").passes(300) == 7
    assert Recipe.parse("ulmfit/epochs=4").settled(300).key == "ulmfit/lr=0.001/epochs=4/lm=1"
    with pytest.raises(InputError, match="lm= is a part of ulmfit alone"):
        Recipe.parse("full/lm=1")


def test_two_tasks_at_once_cost_two_passes_an_epoch_and_a_target_alone_is_trained_whole():
    recipe = Recipe.parse("multitask/epochs=4/sampling=proportional/weight=0.5")
    assert recipe.passes(300) == 8
    assert recipe.alone == Recipe(epochs=4)
    assert Recipe.parse("lora/epochs=4").alone.key == "lora/epochs=4"
    for key in ("full/weight=2", "lora/sampling=proportional"):
        with pytest.raises(InputError, match="is a part of multitask alone"):
            Recipe.parse(key)


@given(recipes(), st.sampled_from(get_args(Adaptation)))
def test_a_recipe_of_another_adaptation_keeps_what_both_have(recipe, adaptation):
    other = recipe.adapted(adaptation)
    assert other.adaptation == adaptation
    assert Recipe.parse(other.key) == other
    assert (other.batch_size, other.max_tokens, other.choose) == (recipe.batch_size, recipe.max_tokens, recipe.choose)
    assert recipe.adapted(recipe.adaptation) == recipe


def test_features_are_solved_for_without_rate_and_epochs():
    for key in ("features/lr=0.001", "features/epochs=3"):
        with pytest.raises(InputError, match="features takes neither lr= nor epochs="):
            Recipe.parse(key)


@pytest.mark.parametrize("key", ["fast", "full/lr=fast", "full/rate=1", "full/epochs=0", "full/lr"])
def test_a_wrong_recipe_is_told_with_an_example(key):
    with pytest.raises(InputError, match="Write it as in"):
        Recipe.parse(key)


def test_parts_of_a_recipe_may_be_left_out():
    assert Recipe.parse("ulmfit/epochs=7") == Recipe(adaptation="ulmfit", epochs=7)


def observation(**changes):
    fields = {"source": "a", "target": "b", "recipe": "full", "encoder": "e", "seed": 0, "metric": "accuracy",
              "split": "validation", "score": 0.5, "hours": 0.1}  # fmt: skip
    return Observation(**(fields | changes))


def test_the_same_run_has_the_same_key_whatever_it_scored_and_when():
    one = observation()
    assert one.run_key == observation(score=0.7, hours=3, finished_at="2026", features={"x": 1.0}).run_key
    assert one.run_key != observation(seed=1).run_key
    assert one.run_key != observation(split="test").run_key


def test_run_keys_stay_what_they_are_in_databases_written_before():
    assert observation().run_key == "6960a04f355a3c88e7fc5c59c01f432f8dc1e2f636d9bf906d87e4309f65e831"


@pytest.mark.parametrize(
    "changes", [{"score": 1.2}, {"score": math.nan}, {"metric": "rouge"}, {"split": "train"}, {"hours": -1}]
)
def test_what_cannot_be_a_measurement_is_refused(changes):
    with pytest.raises(InputError):
        observation(**changes)


def test_a_table_comes_back_from_parquet_with_schema_and_provenance(tmp_path):
    made = table([("a", "x"), ("b", "x")], ["logme", "ss"])
    made.save(tmp_path / "features.parquet")
    read = FeatureTable.load(tmp_path / "features.parquet")
    pd.testing.assert_frame_equal(read.frame, made.frame)
    assert (read.schema, read.provenance) == (made.schema, made.provenance)
    assert os.listdir(tmp_path) == ["features.parquet"]


def test_a_file_that_is_no_table_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        FeatureTable.load(tmp_path / "none.parquet")
    (tmp_path / "x.parquet").write_text("text")
    with pytest.raises(ArtifactError, match="not a feature table"):
        FeatureTable.load(tmp_path / "x.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(ArtifactError, match="not a feature table"):
        FeatureTable.load(tmp_path / "y.parquet")


def test_a_table_that_does_not_fit_its_schema_cannot_be_built():
    made = table([("a", "x")], ["logme"])
    with pytest.raises(ShapeError, match="schema"):
        FeatureTable(made.frame, ())
    with pytest.raises(ShapeError, match="twice"):
        FeatureTable(pd.concat([made.frame, made.frame]), made.schema)


def test_candidates_are_pairs_times_recipes():
    recipes = [Recipe(epochs=2), Recipe(epochs=4)]
    crossed = table([("a", "x"), ("b", "x"), ("a", "y")], ["logme"]).with_recipes(recipes)
    assert len(crossed.frame) == 6
    assert {candidate.recipe for candidate in crossed.candidates} == {recipe.key for recipe in recipes}


def test_a_budget_is_trials_or_hours():
    for fields in ({}, {"trials": 1, "hours": 1.0}, {"trials": 0}, {"hours": 0.0}):
        with pytest.raises(ValidationError):
            Budget(**fields)


def test_a_plan_of_a_newer_format_is_refused(tmp_path):
    write_json(tmp_path / "plan.json", {"format": 99})
    with pytest.raises(ArtifactError, match=r"format 99, this version reads up to 3. Upgrade"):
        Plan.load(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ArtifactError, match="not readable"):
        Plan.load(tmp_path / "plan.json")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def dies_half_way():
        with replaced_folder(tmp_path / "new") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        dies_half_way()
    assert os.listdir(tmp_path) == []
    for content in ("first", "second"):
        with replaced_folder(tmp_path / "new") as folder:
            (folder / "file").write_text(content)
    assert (tmp_path / "new" / "file").read_text() == "second"
    assert os.listdir(tmp_path) == ["new"]


def test_missing_numbers_are_written_as_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [math.nan, 1.0]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.0]}


def test_the_cache_computes_once_for_a_key(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return np.arange(3)

    cache = ArrayCache(tmp_path)
    for _ in range(2):
        assert cache.get("numbers", fingerprint(version=1), compute).tolist() == [0, 1, 2]
    assert len(calls) == 1
    ArrayCache(tmp_path).get("numbers", fingerprint(version=1), compute)
    assert len(calls) == 1
    cache.get("numbers", fingerprint(version=2), compute)
    assert len(calls) == 2


@settings(max_examples=30)
@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_fingerprints_are_equal_just_for_equal_contents(a, b):
    assert (fingerprint(x=a) == fingerprint(x=b)) == (a == b)
    assert fingerprint(x=a, y=b) == fingerprint(y=b, x=a)


def test_arrays_of_other_shape_or_type_have_other_fingerprints():
    zeros = np.zeros(4)
    assert fingerprint(x=zeros) != fingerprint(x=zeros.reshape(2, 2))
    assert fingerprint(x=zeros) != fingerprint(x=zeros.astype(np.float32))
