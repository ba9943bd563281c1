"""What a training keeps of its course, which epoch it ends with, and in which precision it computes."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from tests.conftest import WORDS
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources import finetune
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.precision import autocast, has_bfloat16
from transfercast.sources.scores import score_of
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(family_toml):
    return read_family(family_toml).sources[0]


def trained(task, encoder, seed=2, **changes):
    recipe = Recipe(**{"learning_rate": 1e-2, "epochs": 6, "batch_size": 8, "max_tokens": 16} | changes)
    return fine_tune(task, encoder, recipe, seed=seed, device=CPU)


@pytest.mark.parametrize("threshold", ["validation", "half"])
def test_the_weights_are_those_of_the_latest_of_the_best_epochs(tiny_encoder, task, threshold):
    chosen = []
    for seed in range(4):
        best = trained(task, tiny_encoder, seed, threshold=threshold)
        scores = [epoch.score for epoch in best.curve]
        assert best.epoch == max(number for number, score in enumerate(scores) if score == max(scores))
        assert best.score(task, "validation", 16) == max(scores)
        chosen.append(best.epoch)
        last = trained(task, tiny_encoder, seed, threshold=threshold, choose="last")
        assert [epoch.score for epoch in last.curve] == scores
        assert (last.epoch, last.score(task, "validation", 16)) == (5, scores[-1])
    assert min(chosen) < 5


def test_a_training_keeps_its_curve_its_seconds_and_its_memory(tiny_encoder, task):
    found = trained(task, tiny_encoder)
    assert len(found.curve) == 6
    assert all(epoch.seconds > 0 and np.isfinite(epoch.loss) for epoch in found.curve)
    assert sum(epoch.seconds for epoch in found.curve) < found.seconds
    assert found.curve[-1].loss < found.curve[0].loss
    assert found.peak_mb > 50
    examples = task.splits["validation"]
    positive = read(found.model, found.tokenizer, examples.texts, 16, split=False).outputs[:, 1]
    told = found.curve[found.epoch].average_precision  # where the threshold lies changes no rank
    assert told == pytest.approx(average_precision_score(examples.labels, positive))


def test_epochs_are_scored_on_a_part_of_a_large_validation_split_and_the_threshold_is_fitted_on_all(
    tiny_encoder, task, monkeypatch
):
    monkeypatch.setattr(finetune, "FEWEST_JUDGED", 4)
    monkeypatch.setattr(finetune, "JUDGED_FOR_A_ROW", 0)
    held, sizes = task.splits["validation"], []
    judged = finetune._judged
    monkeypatch.setattr(finetune, "_judged", lambda *a: (sizes.append(len(a[3])), judged(*a))[1])
    found = trained(task, tiny_encoder)
    assert sizes == [4] * 6 + [len(held)]
    positive = read(found.model, found.tokenizer, held.texts, 16, split=False).outputs[:, 1]
    best = max(score_of(task.metric, (positive > cut).astype(int), held.labels) for cut in [0.0, *positive])
    assert found.score(task, "validation", 16) == pytest.approx(best)


def test_what_a_recipe_leaves_open_is_settled_by_the_number_of_rows(tiny_encoder, task):
    found = fine_tune(task, tiny_encoder, Recipe(max_tokens=16), seed=0, device=CPU)
    assert len(found.curve) == Recipe().epochs_of(24)


def test_bfloat16_changes_little_and_float32_is_untouched(tiny_encoder, task):
    recipe = Recipe(learning_rate=1e-3, epochs=3, batch_size=8, max_tokens=16, choose="last")
    low, high = (
        fine_tune(task, tiny_encoder, recipe, seed=0, device=CPU, precision=precision) for precision in ("bfloat16", "float32")
    )
    losses = [[epoch.loss for epoch in one.curve] for one in (low, high)]
    np.testing.assert_allclose(*losses, rtol=0.05)
    assert losses[0] != losses[1]
    auto = fine_tune(task, tiny_encoder, recipe, seed=0, device=CPU)
    assert [epoch.loss for epoch in auto.curve] == losses[0 if has_bfloat16(CPU) else 1]
    with autocast(CPU, "float32"):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("kind", ["binary", "sequence"])
def test_an_update_in_parts_is_the_update_in_one(tiny_encoder, task, tmp_path, kind):
    calm = shutil.copytree(tiny_encoder, tmp_path / "calm")  # no dropout, whose draws would differ
    config = json.loads((calm / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (calm / "config.json").write_text(json.dumps(config))
    own = task if kind == "binary" else tagged()
    recipe = Recipe(learning_rate=1e-3, epochs=2, batch_size=7, max_tokens=16)
    one, several = (fine_tune(own, calm, recipe, seed=0, device=CPU, precision="float32", parts=parts) for parts in (1, 3))
    assert [e.loss for e in several.curve] == pytest.approx([e.loss for e in one.curve], rel=1e-4)
    texts = own.splits["test"].texts
    wanted, found = (read(each.model, each.tokenizer, texts, 16, split=kind == "sequence").outputs for each in (one, several))
    np.testing.assert_allclose(np.vstack(found), np.vstack(wanted), atol=1e-3)


def tagged():
    """A task of sentences of different lengths."""
    rng = random.Random(0)
    texts = tuple(tuple(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(20))
    tags = tuple(tuple("B-CUE" if word == "good" else "O" for word in words) for words in texts)
    part = Examples(texts, tags, tuple(map(str, range(20))))
    return Task("tagged", Kind.SEQUENCE, dict.fromkeys(("train", "validation", "test"), part), ("O", "B-CUE"))
