"""ANSAT of a whole pool against a slow transcription, pair by pair and word by word."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.conftest import sentences
from transfercast.attribution.ansat import THRESHOLDS
from transfercast.attribution.conductance import term_conductance
from transfercast.core.cache import ArrayCache
from transfercast.core.records import Recipe
from transfercast.features import active_terms
from transfercast.features.active_terms import pool_ansat
from transfercast.features.evidence import Gatherer
from transfercast.features.extract import extract_features
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.models import load_model, pick_device
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family

FAST = Recipe(learning_rate=1e-2, epochs=4, batch_size=8, max_tokens=16)
FEW = 4


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Three label columns over shared texts, so that documents are positive for two tasks."""
    folder = tmp_path_factory.mktemp("family")
    for number, split in enumerate(("train", "validation", "test")):
        rows = sentences(40, "help", seed=number)
        texts = [text for text, _ in rows]
        lines = [f"{text},{int('help' in text)},{int('water' in text)},{int('good' in text)}" for text in texts]
        (folder / f"{split}.csv").write_text("text,help,water,good\n" + "\n".join(lines) + "\n")
    (folder / "tasks.toml").write_text(
        '[[task]]\nkind = "multilabel"\nlabels = ["help", "water", "good"]\n'
        'train = "train.csv"\nvalidation = "validation.csv"\ntest = "test.csv"\n'
    )
    return read_family(folder / "tasks.toml")


@pytest.fixture(scope="module")
def pool(tmp_path_factory, family, tiny_encoder):
    folder = tmp_path_factory.mktemp("pool")
    return SourcePool.fit(folder, family.sources, encoder=str(tiny_encoder), recipe=FAST)


def transcription(source, own, task, alone):
    """The definition: at most FEW documents of each set, one by one, activities compared word by word."""

    def positive(of):
        return {name: text for name, text, label in zip(of.seen.ids, of.seen.texts, of.seen.labels, strict=True) if label}

    def activity(model, text, normalise):
        loaded = load_model(model.checkpoint, model.kind), load_tokenizer(model.checkpoint)
        (found,) = term_conductance(*loaded, [text], max_tokens=model.max_tokens)
        return found.activity(normalise)

    of_source, of_target = positive(own), positive(task)
    both = {name: text for name, text in of_target.items() if name in of_source}
    values = np.full((2, 3, 14), np.nan)
    for row, normalise in enumerate(("none", "l2")):
        for place, documents in enumerate((of_source, of_target, both)):
            texts = [documents[name] for name in sorted(documents)[:FEW]]
            if not texts:
                continue
            pairs = [(activity(source, text, normalise), activity(alone, text, normalise)) for text in texts]
            for column, threshold in enumerate(THRESHOLDS):
                shared = sum(
                    int(a >= threshold and b >= threshold)
                    for first, second in pairs
                    for a, b in zip(first, second, strict=True)
                )
                values[row, place, column] = shared / len(texts)
    return values


def test_all_pairs_at_once_equal_the_definition_pair_by_pair(pool, family, tmp_path):
    gatherer = Gatherer(ArrayCache(tmp_path), pick_device("cpu"), FEW, 0.02)
    tasks = {task.name: task for task in family.targets}
    alone = {name: pool.target_model(task, FAST) for name, task in tasks.items()}
    pairs = [(pool[a], tasks[b]) for a in pool for b in tasks if a != b]
    found = pool_ansat(gatherer, pairs, alone, None)
    assert found.failed == {}
    assert found.readings > 0
    values = []
    for source, task in pairs:
        expected = transcription(source, tasks[source.name], task, alone[task.name])
        np.testing.assert_allclose(found.values[source.name][task.name], expected, atol=1e-12)
        values.append(expected)
    of_sets = np.nanmax(values, axis=(0, 3))  # (normalisation, set): each occurs, and something is shared
    assert np.isfinite(of_sets).all()
    assert (of_sets > 0).all(axis=1).any()


def test_each_model_is_loaded_once_whatever_the_number_of_pairs(pool, family, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        active_terms, "load_model", lambda checkpoint, kind: loaded.append(checkpoint) or load_model(checkpoint, kind)
    )
    table = extract_features(
        pool, family.targets, recipe=FAST, documents=FEW, only=["ansat", "ansat_l2"], cache=ArrayCache(tmp_path)
    )
    assert len(table.frame) == 6
    assert len(loaded) <= 6  # three sources, three targets trained alone
    assert [column.version for column in table.schema if column.measure == "ansat"] == [2] * 42


def test_readings_that_miss_the_tolerance_are_counted(pool, family, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("transfercast.features.extract.TOLERANCE", 1e-9)
    extract_features(pool, family.targets[:1], recipe=FAST, documents=2, only=["ansat"], cache=ArrayCache(tmp_path))
    assert "attributions of documents miss the tolerance of 1e-09; they count all the same" in caplog.text


def test_a_source_whose_model_cannot_be_read_is_left_out_and_the_others_go_on(pool, family, tmp_path):
    copy = tmp_path / "pool"
    shutil.copytree(pool.folder, copy)
    broken = SourcePool.load(copy)
    (broken["help"].checkpoint / "model.safetensors").write_bytes(b"nonsense")
    table = extract_features(
        broken, family.targets[2:], recipe=FAST, documents=2, only=["ansat"], cache=ArrayCache(tmp_path / "cache")
    )
    assert {candidate.source for candidate in table.candidates} == {"water"}
    assert list(table.provenance.failed) == ["help"]


def test_tasks_of_other_kinds_have_no_active_terms(pool, family, tmp_path):
    assert pool_ansat(Gatherer(ArrayCache(tmp_path), pick_device("cpu"), 2, 0.02), [], {}, None).values == {}
