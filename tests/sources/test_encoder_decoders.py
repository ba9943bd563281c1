"""BART and T5: ranked and measured through their encoders, adopted and trained as they are."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import transformers

from tests.attribution.models import VOCABULARY, tokenizer_for
from tests.conftest import sentences, write_csv
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.features.extract import extract_features
from transfercast.features.rank import rank_encoders
from transfercast.sources.encoders import checkpoint_folder
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder
from transfercast.sources.pool import SourcePool, adopt
from transfercast.sources.source import save_trained
from transfercast.tasks.task import Task

RECIPE = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)
IDS = {"vocab_size": len(VOCABULARY), "pad_token_id": 1, "eos_token_id": 3, "decoder_start_token_id": 1}
CONFIGS = {
    "Bart": {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "bos_token_id": 2, "init_std": 0.3, "max_position_embeddings": 64,
    },
    "T5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "initializer_factor": 3.0},
}  # fmt: skip


@pytest.fixture(scope="module", params=CONFIGS)
def base(request, tmp_path_factory):
    """A random encoder-decoder with the words of the tests."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(**IDS, **CONFIGS[request.param])
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer = tokenizer_for("Bert")
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder)
    return folder


def task_of(folder, cue, seed):
    return Task.from_csv(write_csv(folder / f"{cue}.csv", sentences(60, cue, seed=seed)), text="text", label="label")


def test_what_is_read_is_what_the_encoder_says(base):
    model, tokenizer = load_encoder(base), transformers.AutoTokenizer.from_pretrained(base)
    texts = ("we need water", "the film was very good")
    found = read(model, tokenizer, texts, 16, split=False)
    whole = transformers.AutoModel.from_pretrained(base).eval()
    for row, text in enumerate(texts):
        with torch.no_grad():
            inputs = tokenizer(text, return_tensors="pt")
            states = whole.get_encoder()(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state[0]
        np.testing.assert_allclose(found.embeddings[row], states.mean(0), atol=1e-5)
    assert found.layers.shape == (2, 2, 16)


def test_they_are_ranked_beside_others_and_measured_as_sources(base, tiny_encoder, tmp_path, caplog):
    target = task_of(tmp_path, "storm", seed=5)
    found = rank_encoders(target, [str(base), str(tiny_encoder)], cache=ArrayCache(tmp_path / "cache"))
    assert set(found.scores) == {str(base), str(tiny_encoder)}
    assert found.failed == {}
    task = task_of(tmp_path, "help", seed=1)
    trained = fine_tune(task, checkpoint_folder(str(base)), RECIPE, seed=0, device=torch.device("cpu"))
    save_trained(trained, tmp_path / "given")
    adopted = adopt(tmp_path / "pool", "given", str(tmp_path / "given"), encoder=str(base))
    assert adopted.encoder == str(base)
    pool = SourcePool.fit(tmp_path / "pool", [task], encoder=str(base), recipe=RECIPE)
    with caplog.at_level(logging.WARNING):
        table = extract_features(pool, [target], recipe=RECIPE, documents=2, cache=ArrayCache(tmp_path / "cache"))
    assert table.provenance.failed == {}
    assert {candidate.source for candidate in table.candidates} == {"given", "help"}
    frame = table.frame
    assert frame[["logme", "leep", "h_score", "target_score"]].notna().all(axis=None)
    assert frame.loc["help", ["text_emb", "task_emb", "vocabulary_overlap"]].notna().all(axis=None)
    assert frame["ansat_b_0.05"].isna().all()
    assert "source given: ansat is NaN: encoder-decoders are not attributed" in caplog.text


def test_multitask_refuses_them_and_names_the_model(base, tmp_path):
    recipe = RECIPE.adapted("multitask")
    target, source = task_of(tmp_path, "water", 1), task_of(tmp_path, "film", 2)
    with pytest.raises(InputError, match=r"not for both in one \((bart|t5)\)"):
        fine_tune(target, base, recipe, seed=0, device=torch.device("cpu"), companion=source)
