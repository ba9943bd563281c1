"""ULMFiT's middle stage: the encoder learns the language of the task's texts before it learns labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attribution.models import classifier, tokenizer_for
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.sources.batches import IGNORED, padded
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.language import following, to_tell, tune_language
from transfercast.sources.models import new_model
from transfercast.tasks.family import read_family

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(family_toml):
    return read_family(family_toml).sources[0]


def tuned(task, checkpoint, epochs):
    """The loss of the last epoch, and the model."""
    tokenizer = load_tokenizer(checkpoint)
    torch.manual_seed(0)
    model = new_model(checkpoint, task)
    recipe = Recipe(adaptation="ulmfit", learning_rate=1e-2, batch_size=8, max_tokens=16, lm_epochs=epochs)
    return tune_language(model, checkpoint, tokenizer, task, recipe, np.random.default_rng(0), "float32"), model


def test_the_encoder_learns_to_fill_in_masks(tiny_encoder, task):
    early, late = (tuned(task, tiny_encoder, epochs)[0] for epochs in (1, 20))
    assert late < early - 0.3


def test_a_decoder_learns_to_tell_the_next_token(task, tmp_path):
    classifier("GPT2", num_labels=2).save_pretrained(tmp_path)
    tokenizer_for("GPT2").save_pretrained(tmp_path)
    early, late = (tuned(task, tmp_path, epochs)[0] for epochs in (1, 20))
    assert late < early - 0.3


def test_only_the_encoder_of_the_model_changes(tiny_encoder, task):
    torch.manual_seed(0)
    before = new_model(tiny_encoder, task).state_dict()
    after = tuned(task, tiny_encoder, 1)[1].state_dict()
    changed = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
    assert changed
    assert {name.split(".")[1] for name in changed} == {"embeddings", "encoder"}


def test_fifteen_percent_are_to_be_told_most_of_them_masked_and_no_special_token(tiny_encoder):
    tokenizer = load_tokenizer(tiny_encoder)
    encodings = tokenizer(["we need water at the storm road"] * 3000 + ["help"])
    batch = padded(encodings, range(3001), tokenizer.pad_token_id, CPU)
    before = batch["input_ids"].clone()
    wanted = to_tell(batch, tokenizer, np.random.default_rng(0))
    told = wanted != IGNORED
    words = ~torch.isin(before, torch.tensor(tokenizer.all_special_ids))
    assert not (told & ~words).any()
    assert torch.equal(before[told], wanted[told])
    assert torch.equal(before[~told], batch["input_ids"][~told])
    assert told.sum() / words.sum() == pytest.approx(0.15, abs=0.01)
    masked = batch["input_ids"][told] == tokenizer.mask_token_id
    kept = batch["input_ids"][told] == before[told]
    assert masked.float().mean() == pytest.approx(0.8 + 0.1 / 30, abs=0.02)  # one in 30 tokens is the mask
    assert kept.float().mean() == pytest.approx(0.1 + 0.1 / 30, abs=0.02)


def test_a_batch_of_short_texts_has_at_least_one_token_to_tell(tiny_encoder):
    tokenizer = load_tokenizer(tiny_encoder)
    for seed in range(20):
        batch = padded(tokenizer(["help"]), [0], tokenizer.pad_token_id, CPU)
        assert (to_tell(batch, tokenizer, np.random.default_rng(seed)) != IGNORED).sum() == 1


def test_the_next_token_worked_by_hand():
    batch = {"input_ids": torch.tensor([[5, 6, 7], [8, 9, 0]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}
    assert following(batch).tolist() == [[6, 7, IGNORED], [9, IGNORED, IGNORED]]


def test_ulmfit_has_this_stage_unless_it_is_left_out(tiny_encoder, task):
    recipe = Recipe(adaptation="ulmfit", epochs=1, batch_size=8, max_tokens=16)
    whole, without = (
        fine_tune(task, tiny_encoder, one, seed=0, device=CPU) for one in (recipe, recipe.model_copy(update={"lm_epochs": 0}))
    )
    first = "base_model.encoder.layer.0.attention.self.query.weight"
    before = new_model(tiny_encoder, task).get_parameter(first.removeprefix("base_model.").replace("encoder", "bert.encoder"))
    moved = [not torch.equal(one.model.get_parameter("bert." + first[11:]), before) for one in (whole, without)]
    assert moved == [True, True]
    assert whole.curve != without.curve


def test_a_tokenizer_without_a_mask_is_told_with_the_remedy(task, tmp_path):
    classifier("Bert", num_labels=2).save_pretrained(tmp_path)
    tokenizer_for("Bert").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no mask token.*ulmfit/lm=0"):
        tuned(task, tmp_path, 1)
