"""A classifier on the mean over tokens: where it is taken, what it computes, and that it comes back from disk as it was."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification, BertForTokenClassification, BertModel

from transfercast.attribution.conductance import term_conductance
from transfercast.attribution.explain import explain
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder, load_model, new_model
from transfercast.sources.pool import adopt
from transfercast.sources.pooled import PooledClassifier
from transfercast.sources.source import save_trained
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")
FAST = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)
TEXTS = ("we need water", "storm")


@pytest.fixture(scope="module")
def sentence_encoder(tiny_encoder, tmp_path_factory):
    """The tiny encoder, said to be one whose texts are pooled by the mean."""
    folder = tmp_path_factory.mktemp("sentence") / "encoder"
    shutil.copytree(tiny_encoder, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


@pytest.fixture(scope="module")
def task(family_toml):
    return read_family(family_toml).sources[0]


@pytest.fixture(scope="module")
def trained(sentence_encoder, task):
    return fine_tune(task, sentence_encoder, FAST, seed=0, device=CPU)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_trained(trained, folder)
    return folder


def test_sentence_encoders_are_pooled_by_the_mean_and_others_as_transformers_does(sentence_encoder, tiny_encoder, task):
    assert isinstance(new_model(sentence_encoder, task), PooledClassifier)
    assert isinstance(new_model(tiny_encoder, task), BertForSequenceClassification)


def test_words_are_tagged_without_any_pooling(sentence_encoder):
    part = Examples((("we", "need"),), (("O", "B-X"),), ("0",))
    spans = Task("made", Kind.SEQUENCE, dict.fromkeys(("train", "validation", "test"), part), ("O", "B-X"))
    assert isinstance(new_model(sentence_encoder, spans), BertForTokenClassification)


def test_an_encoder_whose_pooler_is_not_in_its_weights_is_pooled_by_the_mean(tiny_encoder, task, tmp_path):
    BertModel.from_pretrained(tiny_encoder, add_pooling_layer=False).save_pretrained(tmp_path)
    assert isinstance(new_model(tmp_path, task), PooledClassifier)


def test_logits_are_the_head_of_the_mean_over_the_tokens_that_are_not_padding(sentence_encoder, task):
    model, tokenizer = new_model(sentence_encoder, task).eval(), load_tokenizer(sentence_encoder)
    batch = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    assert (batch["attention_mask"] == 0).any()
    states = load_encoder(sentence_encoder)(**batch).last_hidden_state.detach().numpy()
    means = [states[row, : int(batch["attention_mask"][row].sum())].mean(0) for row in range(2)]
    weight, bias = (p.detach().numpy() for p in (model.classifier.weight, model.classifier.bias))
    np.testing.assert_allclose(model(**batch).logits.detach().numpy(), np.stack(means) @ weight.T + bias, atol=1e-5)


def test_a_model_comes_back_from_disk_as_it_was(trained, saved):
    tokenizer = load_tokenizer(saved)
    found = read(load_model(saved, Kind.BINARY), tokenizer, TEXTS, 16, split=False)
    np.testing.assert_array_equal(found.outputs, read(trained.model, trained.tokenizer, TEXTS, 16, split=False).outputs)


def test_a_head_is_kept_for_the_same_labels_unless_a_fresh_one_is_wanted(trained, saved, task):
    assert torch.equal(new_model(saved, task).classifier.weight, trained.model.classifier.weight)
    assert not torch.equal(new_model(saved, task, keep_head=False).classifier.weight, trained.model.classifier.weight)
    part = Examples(TEXTS, np.array([0, 1]), ("0", "1"))
    other = Task("made", Kind.MULTICLASS, dict.fromkeys(("train", "validation", "test"), part), ("x", "y", "z"))
    assert new_model(saved, other).classifier.weight.shape == (3, 16)


def test_a_head_that_does_not_fit_its_encoder_is_told(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "a", "1": "b", "2": "c"}}))
    with pytest.raises(InputError, match=r"head\.safetensors: not the head of this model"):
        load_model(folder, Kind.BINARY)
    (folder / "head.safetensors").unlink()
    with pytest.raises(InputError, match=r"head\.safetensors: not the head of this model"):
        load_model(folder, Kind.BINARY)


def test_such_a_model_is_adopted_and_explained_as_any_other(saved, sentence_encoder, tmp_path):
    source = adopt(tmp_path / "pool", "other", str(saved), encoder=str(sentence_encoder))
    assert source.kind is Kind.BINARY
    assert len(source.label_names) == 2
    assert explain(str(saved), "we need water").conductance.words == ("we", "need", "water")
    found = term_conductance(load_model(saved, Kind.BINARY), load_tokenizer(saved), list(TEXTS))
    assert [one.within_tolerance for one in found] == [True, True]
