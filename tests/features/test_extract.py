"""The extractor: every pair measured, test rows out of reach, nothing stale."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import WORDS, sentences, write_csv
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.core.table import FeatureTable
from transfercast.features.extract import extract_features
from transfercast.sources.pool import SourcePool, adopt
from transfercast.tasks.family import read_family, task_of
from transfercast.tasks.task import Task

FAST = Recipe(learning_rate=1e-2, epochs=4, batch_size=8, max_tokens=16)


@pytest.fixture(scope="module")
def family(family_toml):
    return read_family(family_toml)


@pytest.fixture(scope="module")
def pool(tmp_path_factory, family, tiny_encoder):
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), family.sources, encoder=str(tiny_encoder), recipe=FAST)


def extract(pool, family, tmp_path, **options):
    return extract_features(pool, family.targets, recipe=FAST, documents=3, cache=ArrayCache(tmp_path), **options)


def test_every_pair_of_different_tasks_has_a_row_with_all_measures(pool, family, tmp_path):
    table = extract(pool, family, tmp_path)
    pairs = {(c.source, c.target) for c in table.candidates}
    assert pairs == {(a, b) for a in pool for b in pool if a != b}
    assert {"ansat_a_0.05", "ansat_b_0.70", "ansat_ab_0.20", "ss", "wss", "logme", "source_score"} <= set(table.frame)
    assert (
        table.frame.drop(columns=[c for c in table.frame if c.startswith(("ansat_ab", "ansat_l2_ab"))]).notna().all(axis=None)
    )
    facts = table.provenance.targets["good"]
    assert facts.score == table.frame.xs("good", level="target")["target_score"].iloc[0]
    assert facts.seconds_per_row_epoch > 0


def test_a_source_that_fails_is_reported_and_left_out(pool, family, tmp_path, caplog):
    copy = tmp_path / "pool"
    shutil.copytree(pool.folder, copy)
    shutil.rmtree(copy / "targets", ignore_errors=True)
    broken = SourcePool.load(copy)
    (broken["help"].checkpoint / "model.safetensors").write_bytes(b"nonsense")
    table = extract(broken, family, tmp_path / "cache", only=["logme", "single_task"])
    assert {c.source for c in table.candidates} == {"good", "storm"}
    assert list(table.provenance.failed) == ["help"]
    assert "source help is left out" in caplog.text
    table.save(tmp_path / "features.parquet")
    assert FeatureTable.load(tmp_path / "features.parquet").provenance.failed == table.provenance.failed


def test_only_the_measures_asked_for_are_taken(pool, family, tmp_path):
    assert list(extract(pool, family, tmp_path, only=["logme", "nce"]).frame) == ["logme", "nce"]
    with pytest.raises(InputError, match="no measure 'logm'; there are ansat, "):
        extract(pool, family, tmp_path, only=["logm"])


def test_a_measure_that_was_asked_for_and_does_not_apply_says_why(pool, tmp_path, caplog):
    rows = "\n".join(f"{WORDS[number % 20]} {WORDS[number // 2]},{number / 10}" for number in range(40))
    (tmp_path / "values.csv").write_text(f"text,label\n{rows}\n")
    target = Task.from_csv(tmp_path / "values.csv", text="text", label="label", kind="regression")
    few = {"recipe": FAST, "documents": 3, "cache": ArrayCache(tmp_path / "cache")}
    frame = extract_features(pool, [target], only=["leep", "logme"], **few).frame
    assert frame["leep"].isna().all()
    assert frame["logme"].notna().all()
    assert "leep is not defined for regression targets, only for binary, multiclass, multilabel, sequence" in caplog.text
    caplog.clear()
    extract_features(pool, [target], only=["logme"], **few)
    assert "not defined" not in caplog.text


QUICK = ["logme", "leep", "text_emb", "sizes"]


def test_two_processes_find_the_same_as_one(pool, family, tmp_path):
    one = extract(pool, family, tmp_path / "one", only=QUICK)
    two = extract(pool, family, tmp_path / "two", only=QUICK, jobs=2)
    np.testing.assert_allclose(one.frame, two.frame, rtol=1e-4)
    assert one.frame.index.equals(two.frame.index)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_of_two_worker_processes_finds_the_same(pool, family, tmp_path):
    distributed = pytest.importorskip("distributed")
    expected = extract(pool, family, tmp_path / "one", only=QUICK)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        found = extract(pool, family, tmp_path / "dask", only=QUICK)
    np.testing.assert_allclose(expected.frame, found.frame, rtol=1e-4)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_any_backend_of_joblib_will_do(pool, family, tmp_path, backend, monkeypatch):
    expected = extract(pool, family, tmp_path, only=["single_task"])
    with joblib.parallel_config(backend, n_jobs=2):
        assert extract(pool, family, tmp_path, only=["single_task"]).frame.equals(expected.frame)


def test_no_feature_changes_with_the_target_s_test_rows(pool, family, tmp_path, tiny_encoder):
    """The test that would catch a leak: rewrite the test rows of a target, and no number may move."""
    before = extract(pool, family, tmp_path / "a").frame.xs("good", level="target")
    target = family.targets[0]
    flipped = dict(target.splits)
    rows = flipped["test"].take(range(len(flipped["test"])))
    flipped["test"] = type(rows)(tuple("storm " * 3 for _ in rows.texts), 1 - rows.labels, rows.ids)
    changed = type(target)(target.name, target.kind, flipped, target.label_names, spec=target.spec)
    assert changed.fingerprint != target.fingerprint
    after = extract_features(pool, [changed], recipe=FAST, documents=3, cache=ArrayCache(tmp_path / "b")).frame
    np.testing.assert_allclose(
        before.droplevel("recipe").to_numpy(), after.xs("good", level="target").droplevel("recipe").to_numpy(), rtol=1e-5
    )


def test_a_second_run_finds_all_evidence_in_the_cache(pool, family, tmp_path, monkeypatch):
    first = extract(pool, family, tmp_path)
    for module in ("active_terms", "artifacts"):
        monkeypatch.setattr(f"transfercast.features.{module}.load_model", lambda *_: pytest.fail("a model was loaded again"))
    second = extract(pool, family, tmp_path)
    assert first.frame.equals(second.frame)


def test_each_model_reads_the_same_rows_once_for_all_measures(pool, family, tmp_path, monkeypatch):
    from transfercast.features import artifacts

    read_before, seen = artifacts.read, []

    def read(model, tokenizer, texts, *rest, **options):
        seen.append((float(next(model.parameters()).double().sum()), tuple(texts)))
        return read_before(model, tokenizer, texts, *rest, **options)

    monkeypatch.setattr(artifacts, "read", read)
    extract(pool, family, tmp_path)
    assert len(seen) == len(set(seen))


def test_a_changed_checkpoint_or_file_never_meets_a_stale_entry(pool, family, tmp_path):
    copy = tmp_path / "pool"
    shutil.copytree(pool.folder, copy)
    cache, measures_taken = tmp_path / "cache", ["logme", "leep"]
    before = extract(SourcePool.load(copy), family, cache, only=measures_taken).frame
    weights = copy / "sources" / "help" / "model.safetensors"
    torch.manual_seed(0)
    save_file(
        {name: value + 0.1 * torch.randn_like(value) for name, value in load_file(weights).items()}, weights,
        metadata={"format": "pt"},
    )  # fmt: skip
    tokenizer = copy / "sources" / "storm" / "tokenizer.json"
    content = json.loads(tokenizer.read_text())
    words = content["model"]["vocab"]
    words["storm"], words["road"] = words["road"], words["storm"]
    tokenizer.write_text(json.dumps(content))
    changed = extract(SourcePool.load(copy), family, cache, only=measures_taken).frame
    fresh = extract(SourcePool.load(copy), family, tmp_path / "fresh", only=measures_taken).frame
    np.testing.assert_allclose(changed, fresh, rtol=1e-5)
    for name in ("help", "storm"):
        assert (changed.loc[name] != before.loc[name]).all(axis=None)
    assert changed.loc["good"].equals(before.loc["good"])

    path = write_csv(tmp_path / "rows.csv", sentences(60, "good", seed=1))
    first = Task.from_csv(path, text="text", label="label")
    write_csv(path, sentences(60, "good", seed=2))
    second = Task.from_csv(path, text="text", label="label")
    told = [
        extract_features(pool, [task], recipe=FAST, only=["logme"], cache=ArrayCache(folder)).frame
        for task, folder in ((first, cache), (second, cache), (second, tmp_path / "other"))
    ]
    assert not np.allclose(told[0], told[1])
    np.testing.assert_allclose(told[1], told[2], rtol=1e-5)


KILLED = """
import os, signal, sys
from pathlib import Path
from transfercast.core.cache import ArrayCache
from transfercast.core.records import Recipe
from transfercast.features import artifacts, extract
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family
pool, tasks, cache = map(Path, sys.argv[1:])
before, done = artifacts.read, []
def read(*given, **options):
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(1)
    return before(*given, **options)
artifacts.read = read
recipe = Recipe(learning_rate=1e-2, epochs=4, batch_size=8, max_tokens=16)
targets = read_family(tasks).targets
extract.extract_features(SourcePool.load(pool), targets, recipe=recipe, only=["logme"], cache=ArrayCache(cache))
"""


def test_what_was_read_before_a_kill_is_not_read_again(pool, family, family_toml, tmp_path, monkeypatch):
    from transfercast.features import artifacts

    extract(pool, family, tmp_path / "expected", only=["single_task"])  # targets are trained alone
    command = [sys.executable, "-c", KILLED, str(pool.folder), str(family_toml), str(tmp_path / "cache")]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    read_before, again = artifacts.read, []
    monkeypatch.setattr(artifacts, "read", lambda *given, **options: again.append(1) or read_before(*given, **options))
    found = extract(pool, family, tmp_path / "cache", only=["logme"]).frame
    assert len(again) == 6 - 3  # three sources, each on the two other targets
    np.testing.assert_allclose(found, extract(pool, family, tmp_path / "expected", only=["logme"]).frame, rtol=1e-5)


def test_an_adopted_source_without_a_task_has_no_documents_of_its_own(pool, family, tmp_path, tiny_encoder):
    folder = tmp_path / "pool"
    adopt(folder, "other", str(pool["storm"].checkpoint), encoder=str(tiny_encoder))
    small = SourcePool.fit(folder, family.sources[:1], encoder=str(tiny_encoder), recipe=FAST)
    row = extract_features(small, family.targets[:1], recipe=FAST, documents=3, cache=ArrayCache(tmp_path / "c")).frame.loc[
        "other"
    ]
    assert row[["ansat_a_0.05", "ansat_ab_0.05", "wss", "source_score"]].isna().all(axis=None)
    assert row[["ansat_b_0.05", "ss", "logme"]].notna().all(axis=None)


def test_sources_of_changed_data_are_told(pool, family, tmp_path, monkeypatch):
    monkeypatch.setattr("transfercast.features.evidence.task_of", lambda spec: family.targets[0])
    with pytest.raises(InputError, match="changed since source"):
        extract(pool, family, tmp_path)


def test_what_needs_no_rows_of_the_source_does_without_its_files(pool, family, tmp_path, monkeypatch):
    extract(pool, family, tmp_path, only=["single_task"])
    monkeypatch.setattr("transfercast.features.evidence.task_of", lambda spec: pytest.fail("the source's task was read"))
    assert extract(pool, family, tmp_path, only=["logme"]).frame.notna().all(axis=None)


def test_nothing_to_do_is_told(pool, tmp_path):
    with pytest.raises(InputError, match="no targets"):
        extract_features(pool, [])


def test_sequences_are_measured_by_spans_words_and_activities(tmp_path, tiny_encoder):
    for number, name in enumerate(("first", "second")):
        tagged = (
            [("we", "O"), ("need", "O"), ("water", "B-X")],
            [("storm", "B-X"), ("road", "I-X")],
            [("very", "O"), ("bad", "O")],
        )
        for split in ("train", "validation", "test"):
            sentences = tagged[number:] + tagged[:number]
            text = "\n\n".join("\n".join(f"{token}\t{tag}" for token, tag in sentence) for sentence in sentences * 4)
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{split}.conll").write_text(text + "\n")
    entries = [
        f'[[task]]\ntrain = "{n}/train.conll"\nvalidation = "{n}/validation.conll"\ntest = "{n}/test.conll"\n'
        for n in ("first", "second")
    ]
    (tmp_path / "tasks.toml").write_text("\n".join(entries))
    family = read_family(tmp_path / "tasks.toml")
    recipe = FAST.model_copy(update={"epochs": 15})
    pool = SourcePool.fit(tmp_path / "pool", family.sources, encoder=str(tiny_encoder), recipe=recipe)
    frame = extract_features(pool, family.targets, recipe=recipe, documents=3, cache=ArrayCache(tmp_path / "c")).frame
    assert frame[["ss", "wss", "logme", "ansat_a_0.05", "ansat_b_0.05", "ansat_ab_0.05"]].notna().all(axis=None)
    assert (frame["ss"] > 0.9).all()  # both learn to mark the same spans
    np.testing.assert_allclose(frame["wss"], frame["ss"] * [pool[s].scores["test"] for s in ("second", "first")])


def test_the_same_data_under_another_name_is_not_paired_with_itself(pool, family, tmp_path):
    spec = family.targets[0].spec
    copied = tmp_path / "copy.csv"
    shutil.copy(spec["train"], copied)
    same_files = task_of({**spec, "name": "renamed", "rows": {"train": 9}})  # fewer rows of the same files
    same_rows = task_of({**family.sources[0].spec, "name": "copied", "train": str(copied)})
    other = task_of({**family.targets[1].spec, "name": "other"})
    frame = extract_features(
        pool, [same_files, same_rows, other], recipe=FAST, only=["single_task"], cache=ArrayCache(tmp_path / "cache")
    ).frame
    sources = {
        target: set(frame.xs(target, level="target").index.unique("source")) for target in ("renamed", "copied", "other")
    }
    assert sources == {"renamed": {"help", "storm"}, "copied": {"help", "storm"}, "other": {"good", "storm"}}


def test_what_says_nothing_is_nan_with_a_reason_and_costs_no_other_measure(pool, family, tmp_path, caplog):
    copy = tmp_path / "pool"
    shutil.copytree(pool.folder, copy)
    weights = copy / "sources" / "help" / "model.safetensors"
    tensors = {name: torch.full_like(value, torch.nan) for name, value in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    names = [
        "logme",
        "logme_layers",
        "h_score",
        "nearest_neighbours",
        "frozen_transfer",
        "leep",
        "nce",
        "span_similarity",
        "single_task",
    ]
    table = extract(SourcePool.load(copy), family, tmp_path / "cache", only=names)
    rows = table.frame.xs("help", level="source")
    assert rows[["source_score", "target_score"]].notna().all(axis=None)
    assert rows.drop(columns=["source_score", "target_score"]).isna().all(axis=None)
    assert table.frame.xs("good", level="source").notna().all(axis=None)
    assert table.provenance.failed == {}
    assert "source help: h_score is NaN: its embeddings are NaN or infinite" in caplog.text


def test_a_source_whose_record_cannot_be_read_is_left_out_as_any_other_that_fails(pool, family, tmp_path):
    copy = tmp_path / "pool"
    shutil.copytree(pool.folder, copy)
    (copy / "sources" / "help" / "source.json").write_text("{")
    (copy / "sources" / "storm" / "model.safetensors").unlink()
    table = extract(SourcePool.load(copy), family, tmp_path / "cache", only=["logme"])
    assert {candidate.source for candidate in table.candidates} == {"good"}
    assert set(table.provenance.failed) == {"help", "storm"}
    assert set(table.provenance.sources) == {"good"}


def test_scores_of_exactly_nothing_are_pointed_at(pool, family, tmp_path, caplog):
    pool.target_model(family.targets[1], FAST, 0)
    for part in ("sources", "targets"):
        for name in ("good", "help"):
            for folder in (pool.folder / part).glob(name if part == "sources" else f"*/{name}"):
                if part == "sources" or name == "help":
                    shutil.copytree(folder, tmp_path / "pool" / folder.relative_to(pool.folder))
    for record in (tmp_path / "pool").glob("**/source.json"):
        about = json.loads(record.read_text())
        record.write_text(json.dumps(about | {"scores": dict.fromkeys(about["scores"], 0.0), "chance": None}))
    extract_features(
        SourcePool.load(tmp_path / "pool"), [family.targets[1]], recipe=FAST, only=["single_task"], cache=ArrayCache(tmp_path)
    )
    assert "source good: on validation, positive_f1 is 0.000: it finds no positive row" in caplog.text
    assert "target help trained alone: on validation, positive_f1 is 0.000" in caplog.text


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_a_seed_out_of_range_is_told_before_any_work(pool, family, tmp_path, seed, monkeypatch):
    monkeypatch.setattr(SourcePool, "target_model", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(InputError, match=f"seed {seed}: give a whole number"):
        extract(pool, family, tmp_path, seed=seed)


def test_texts_longer_than_the_encoder_reads_are_measured_by_their_beginning_also_by_attribution(tmp_path, tiny_encoder):
    entries = []
    for number, cue in enumerate(("good", "help")):
        rows = [(f"{text} " + "road " * 100, label) for text, label in sentences(16, cue, seed=number)]
        for split in ("train", "validation", "test"):
            write_csv(tmp_path / cue / f"{split}.csv", rows)
        entries.append(f'[[task]]\ntrain = "{cue}/train.csv"\nvalidation = "{cue}/validation.csv"\ntest = "{cue}/test.csv"\n')
    (tmp_path / "tasks.toml").write_text("\n".join(entries))
    family = read_family(tmp_path / "tasks.toml")
    recipe = Recipe(epochs=1, max_tokens=8192)
    pool = SourcePool.fit(tmp_path / "pool", family.sources, encoder=str(tiny_encoder), recipe=recipe)
    assert {source.max_tokens for source in pool.values()} == {64}
    frame = extract_features(pool, family.targets, recipe=recipe, documents=2, cache=ArrayCache(tmp_path / "cache")).frame
    assert frame[["logme", "leep", "task_emb", "ansat_b_0.05"]].notna().all(axis=None)
