"""A task of several labels has one head with a probability for each label, from training to measures and search."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from tests.conftest import WORDS
from transfercast.attribution.explain import explain
from transfercast.core.cache import ArrayCache
from transfercast.core.kinds import Kind
from transfercast.core.plan import Budget
from transfercast.core.records import ALONE, Recipe
from transfercast.execution.search import search
from transfercast.execution.standard_error import Units, standard_error, units_of
from transfercast.features.extract import extract_features
from transfercast.features.measures.frozen_transfer import frozen_transfer
from transfercast.features.measures.h_score import h_score
from transfercast.features.measures.leep import leep
from transfercast.features.measures.logme import logme
from transfercast.features.measures.nearest_neighbours import nearest_neighbours
from transfercast.features.rank import rank_encoders
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.sources.batches import loss_of
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.fisher import fisher
from transfercast.sources.inference import read
from transfercast.sources.models import load_model, new_model
from transfercast.sources.pool import SourcePool, adopt
from transfercast.sources.scores import score_of
from transfercast.sources.source import save_trained
from transfercast.sources.threshold import best_thresholds
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Task

CPU = torch.device("cpu")
FAST = Recipe(learning_rate=1e-2, epochs=4, batch_size=8, max_tokens=16)
CUES = {"film": ("good", "bad", "plot"), "relief": ("help", "water", "give"), "weather": ("storm", "road", "very")}


def write_rows(path, cues, seed):
    """Texts of random words; a text has the label of each cue that it holds."""
    draw = random.Random(seed)
    rows = []
    for number in range(90):
        words = draw.choices([word for word in WORDS if word not in cues], k=3)
        present = [cue for cue in cues if draw.random() < 0.4]
        rows.append({"text": " ".join([*words, *present, str(number)]), "label": present})
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Three tasks of three labels each, and a binary one."""
    folder = tmp_path_factory.mktemp("several")
    entries = []
    for seed, (name, cues) in enumerate(CUES.items()):
        write_rows(folder / f"{name}.jsonl", cues, seed)
        entries.append(f'[[task]]\nname = "{name}"\ntrain = "{name}.jsonl"')
    entries.append('[[task]]\nname = "helping"\ntrain = "relief.jsonl"\npositive = "help"')
    (folder / "tasks.toml").write_text("\n".join(entries), encoding="utf-8")
    return read_family(folder / "tasks.toml")


@pytest.fixture(scope="module")
def pool(family, tiny_encoder, tmp_path_factory):
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), family.sources, encoder=str(tiny_encoder), recipe=FAST)


@pytest.mark.parametrize("recipe", [FAST.model_copy(update={"epochs": 25}), Recipe(adaptation="features", max_tokens=16)])
def test_several_labels_are_learnt_by_one_head(family, tiny_encoder, recipe, tmp_path):
    task = family.sources[0]
    trained = fine_tune(task, tiny_encoder, recipe, seed=0, device=CPU)
    probabilities = read(trained.model, trained.tokenizer, task.splits["train"].texts, 16, split=False).outputs
    assert probabilities.shape == (len(task.splits["train"]), 3)
    assert not np.allclose(probabilities.sum(axis=1), 1)
    assert trained.score(task, "train", 16) > 0.75
    everything = np.ones_like(task.splits["train"].labels)
    assert score_of("micro_f1", everything, task.splits["train"].labels) < 0.62
    save_trained(trained, tmp_path / "model")
    again = load_model(tmp_path / "model", Kind.MULTILABEL)
    reread = read(again, trained.tokenizer, task.splits["train"].texts, 16, split=False)
    np.testing.assert_allclose(reread.outputs, probabilities, atol=1e-6)
    assert reread.predictions(Kind.MULTILABEL, task.label_names).tolist() == (probabilities > 0.5).astype(int).tolist()


def test_the_loss_is_the_mean_cross_entropy_of_each_label():
    logits, labels = torch.tensor([[0.0, 2.0], [-1.0, 0.5], [9.0, 9.0]]), np.array([[1, 0], [0, 1], [1, 1]])
    likely = 1 / (1 + np.exp(-logits[:2].numpy()))  # of the two rows that are asked for
    expected = -np.log([[likely[0, 0], 1 - likely[0, 1]], [1 - likely[1, 0], likely[1, 1]]]).mean()
    assert loss_of(logits[:2], Kind.MULTILABEL, labels, np.array([0, 1])).item() == pytest.approx(expected, rel=1e-6)


def test_micro_and_macro_f1_of_several_labels_worked_by_hand():
    labels, predicted = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[1, 0], [0, 1], [0, 1]])
    # label 0: 1 right, 1 missed: 2/3; label 1: 1 right, 1 false alarm: 2/3; all: 2 * 2 / (2 * 2 + 1 + 1)
    assert score_of("macro_f1", predicted, labels) == pytest.approx(2 / 3)
    assert score_of("micro_f1", predicted, labels) == pytest.approx(4 / 6)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1"])
def test_no_shared_threshold_is_better_than_the_one_for_each_label(metric):
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 3)) < [0.5, 0.2, 0.1]).astype(int)
    probabilities = np.clip(0.3 * labels + rng.random((40, 3)) * 0.5, 0, 1)
    found = best_thresholds(metric, probabilities, labels)
    best = score_of(metric, (probabilities > found).astype(int), labels)
    for threshold in np.linspace(0, 1, 101):
        assert f1_score(labels, probabilities > threshold, average=metric[:5], zero_division=0.0) <= best + 1e-12


def test_a_threshold_on_validation_is_in_the_model(family, tiny_encoder):
    task = family.sources[0]
    trained = fine_tune(task, tiny_encoder, FAST, seed=0, device=CPU)
    assert trained.score(task, "validation", 16) == pytest.approx(trained.curve[trained.epoch].score)


def test_the_head_of_a_source_is_kept_for_the_same_labels_and_only_by_tasks_of_several(family, pool):
    checkpoint = pool["film"].checkpoint
    kept = new_model(checkpoint, family.sources[0])
    assert torch.equal(kept.classifier.bias, load_model(checkpoint, Kind.MULTILABEL).classifier.bias)
    part = family.sources[0].splits["train"].take([0, 1])
    as_classes = type(part)(part.texts, np.array([0, 1]), part.ids)
    names = family.sources[0].label_names
    other = Task("classes", Kind.MULTICLASS, dict.fromkeys(("train", "validation", "test"), as_classes), names)
    assert not torch.equal(new_model(checkpoint, other).classifier.bias, kept.classifier.bias)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1"])
def test_standard_errors_of_several_labels_are_those_of_drawn_splits(metric):
    rng = np.random.default_rng(3)
    sizes, rows, scores = (60, 30, 20), 200, []
    for _ in range(500):
        labels = np.array([rng.permutation(rows) < size for size in sizes]).T
        false = np.array([0.3 * size / (rows - size) for size in sizes])
        predicted = rng.random((rows, 3)) < np.where(labels, 0.7, false)
        scores.append(score_of(metric, predicted.astype(int), labels.astype(int)))
    units = Units(rows, sizes, several=True)
    assert standard_error(metric, float(np.mean(scores)), units) == pytest.approx(np.std(scores), rel=0.15)


def test_rows_of_each_label_are_counted(family):
    part = family.sources[0].splits["validation"]
    assert units_of(Kind.MULTILABEL, part) == Units(len(part), tuple(part.labels.sum(axis=0)), several=True)


def test_fisher_information_is_of_the_labels_likelihood(family, pool):
    task, model = family.sources[0], load_model(pool["film"].checkpoint, Kind.MULTILABEL)
    blocks = fisher(model, load_tokenizer(pool["film"].checkpoint), task.splits["train"].take([0, 1]), task.kind, (), 16)
    assert any(block.any() for block in blocks)


def test_measures_by_label_are_means_over_labels_that_vary():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 4)), rng.integers(0, 2, (60, 3))
    labels[:, 2] = 0
    probabilities = rng.dirichlet(np.ones(3), 60)
    for measure, evidence in ((leep, probabilities), (h_score, features), (nearest_neighbours, features)):
        expected = np.mean([measure(evidence, labels[:, place]) for place in (0, 1)])
        assert measure(evidence, labels) == pytest.approx(expected)
        assert np.isnan(measure(evidence, np.zeros_like(labels)))
    assert logme(features, labels) == pytest.approx(np.mean([logme(features, labels[:, [place]]) for place in (0, 1)]))
    assert np.isnan(logme(features, np.zeros_like(labels)))


def test_a_probe_finds_labels_that_are_linear():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 8))
    labels = (features[:, :3] > 0.3).astype(int)
    assert frozen_transfer(features, labels, "micro_f1") > 0.85
    assert frozen_transfer(rng.normal(size=(120, 8)), labels, "macro_f1") < 0.6


def test_tasks_of_several_labels_go_from_sources_to_a_search(family, pool, tmp_path, caplog):
    assert {source.metric for source in pool.values()} == {"micro_f1", "positive_f1"}
    targets = [family.targets[0], family.targets[3]]
    table = extract_features(pool, targets, recipe=FAST, documents=2, cache=ArrayCache(tmp_path / "cache"))
    assert table.provenance.failed == {}
    pairs = {(candidate.source, candidate.target) for candidate in table.candidates}
    assert ("relief", "helping") not in pairs  # it learnt that very label from these rows
    assert table.frame.loc[("weather", "film", FAST.key), "wss"] == pytest.approx(
        table.frame.loc[("weather", "film", FAST.key), "ss"] * pool["weather"].scores["test"]
    )
    row = table.frame.loc[("weather", "film", FAST.key)]
    defined = [
        "source_score",
        "target_score",
        "logme",
        "h_score",
        "nearest_neighbours",
        "frozen_transfer",
        "text_emb",
        "task_emb",
    ]
    assert row[defined].notna().all()
    assert row[["leep", "nce", "ansat_a_0.05"]].isna().all()
    assert table.frame.loc[("helping", "film", FAST.key), ["leep", "nce"]].notna().all()
    assert row["target_classes"] == 3
    extract_features(pool, targets[:1], recipe=FAST, only=["leep"], cache=ArrayCache(tmp_path / "cache"))
    assert "leep is not defined for multilabel sources, only for binary, multiclass, sequence" in caplog.text
    found = search(plan(Predictor.load().predict(table), table, Budget(trials=2)), tmp_path / "h.db")
    assert found.failures == ()
    observations = [one for one in History(tmp_path / "h.db").observations() if one.target == "film"]
    assert {one.metric for one in observations} == {"micro_f1"}
    assert {one.source for one in observations} > {ALONE}
    assert all(training.standard_error > 0 for training in found.trainings)


def test_encoders_are_ranked_for_several_labels(family, tiny_encoder, tmp_path):
    for measure in ("logme", "h_score", "nearest_neighbours", "frozen_transfer"):
        found = rank_encoders(family.targets[0], [str(tiny_encoder)], measure=measure, cache=ArrayCache(tmp_path))
        assert np.isfinite(found.scores[str(tiny_encoder)])


def test_a_checkpoint_with_a_probability_for_each_label_is_adopted_as_such(tiny_encoder, family, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_encoder, num_labels=3, problem_type="multi_label_classification"
    )
    model.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "theirs")
    source = adopt(tmp_path / "pool", "theirs", str(tmp_path / "theirs"), score=0.7, encoder=str(tiny_encoder))
    assert (source.kind, source.metric) == (Kind.MULTILABEL, "micro_f1")
    texts = family.sources[0].splits["test"].texts
    reading = read(load_model(source.checkpoint, source.kind), load_tokenizer(source.checkpoint), texts, 16, split=False)
    assert not np.allclose(reading.outputs.sum(axis=1), 1)


def test_the_decision_for_one_of_several_labels_is_explained(pool):
    found = explain(str(pool["film"].checkpoint), "we need a good film", label="good")
    assert found.decision == "good"
    assert np.isfinite(found.conductance.layers).all()
