"""Every encoder and head: completeness, batch mates, truncation, and Captum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from tests.attribution.models import ARCHITECTURES, TEXTS, classifier, tokenizer_for
from transfercast.attribution.conductance import term_conductance
from transfercast.core.errors import InputError

SENTENCES = [tuple(text.split()) for text in TEXTS]
POSITIVE = [[0], [1, 2], [0], [2, 3]]
STEEP = {"Electra": 0.005, "Llama": 0.005}
"""Tolerance of Captum's sums where 0.002 takes it thousands of evaluations."""


def request(name, head):
    """Model, tokenizer and arguments of one architecture and head."""
    model, tokenizer = classifier(name, head), tokenizer_for(name)
    if head == "TokenClassification":
        return model, tokenizer, SENTENCES, {"target": POSITIVE, "split": True}
    return model, tokenizer, TEXTS, {"target": [1, 0, 2, 1]}


def change_of_f(model, tokenizer, text, options, row):
    """F of the document by itself, without any padding: plain softmax."""
    words = options.get("split", False)
    encoded = tokenizer([list(text)] if words else [text], is_split_into_words=words, return_tensors="pt")
    with torch.no_grad():
        probabilities = model(**encoded).logits.softmax(-1)[0]
    target = options["target"][row]
    if words:
        first = [encoded.word_ids(0).index(word) for word in target]
        return float((1 - probabilities[first, 0]).mean())
    return float(probabilities[target])


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name, head):
    model, tokenizer, texts, options = request(name, head)
    found = term_conductance(model, tokenizer, texts, **options)
    for row, one in enumerate(found):
        assert one.layers.shape == (2, len(TEXTS[row].split()))
        assert one.within_tolerance
        assert one.completeness.max() <= 0.02
        assert not one.truncated
        # F is what the model says in use, though pooled tokens and positions move with padding
        assert one.probability == pytest.approx(change_of_f(model, tokenizer, texts[row], options, row), abs=1e-5)
        mine = options | {"target": [options["target"][row]]}
        alone = term_conductance(model, tokenizer, [texts[row]], **mine)[0]
        np.testing.assert_allclose(one.layers, alone.layers, atol=1e-4 * np.abs(alone.layers).max())

    specials = 0 if name in ("GPT2", "Llama") else 2
    cut = term_conductance(model, tokenizer, texts, **options, max_tokens=5 + specials)
    assert [one.truncated for one in cut] == [True, True, False, True]
    assert not cut[1].layers[:, 5:].any()
    assert cut[1].layers[:, :5].any()


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "Albert"])
def test_the_captum_engine_finds_the_same(name):
    model, tokenizer, texts, options = request(name, "SequenceClassification")
    ours = max(
        term_conductance(model, tokenizer, texts, **options, tolerance=0.001, max_evaluations=129),
        key=lambda one: abs(one.change),
    )
    text, target = " ".join(ours.words), options["target"][texts.index(" ".join(ours.words))]
    (theirs,) = term_conductance(model, tokenizer, [text], target=target, tolerance=STEEP.get(name, 0.002), engine="captum")
    assert theirs.within_tolerance
    assert theirs.evaluations > 100
    assert theirs.change == pytest.approx(ours.change, abs=1e-6)
    assert np.abs(ours.layers - theirs.layers).max() < 0.01 * np.abs(ours.layers).sum(1).max()


def test_captum_cannot_tell_layers_that_share_a_module():
    model, tokenizer, texts, options = request("Albert", "SequenceClassification")
    with pytest.raises(InputError, match="one module as several layers"):
        term_conductance(model, tokenizer, texts, **options, engine="captum")


def test_a_multilabel_head_is_explained_by_its_label_alone():
    model, tokenizer = classifier("Bert", problem_type="multi_label_classification"), tokenizer_for("Bert")
    found = term_conductance(model, tokenizer, TEXTS, target=2)
    with torch.no_grad():
        logits = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    assert found[0].probability == pytest.approx(float(logits[2].sigmoid()), abs=1e-6)
    assert all(one.completeness.max() <= 0.02 for one in found)


def test_a_single_logit_is_the_log_odds_of_class_1():
    model, tokenizer = classifier("Bert", num_labels=1), tokenizer_for("Bert")
    (positive,) = term_conductance(model, tokenizer, TEXTS[:1], target=1)
    (negative,) = term_conductance(model, tokenizer, TEXTS[:1], target=0)
    assert positive.probability == pytest.approx(1 - negative.probability, abs=1e-6)
    np.testing.assert_allclose(positive.layers, -negative.layers, atol=1e-6)


def test_pairs_of_texts_are_attributed_together():
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    (found,) = term_conductance(model, tokenizer, [("we need water", "help")])
    assert found.words == ("we", "need", "water", "help")
    assert found.completeness.max() <= 0.02


def test_a_decoder_without_a_padding_token_takes_its_end_token():
    model, tokenizer = classifier("GPT2", pad_token_id=None), tokenizer_for("GPT2")
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    found = term_conductance(model, tokenizer, TEXTS)
    assert all(one.within_tolerance for one in found)
    assert model.config.pad_token_id is None


def test_what_cannot_be_attributed_is_refused_before_work_starts():
    tokenizer = tokenizer_for("Bert")
    with pytest.raises(InputError, match="regression"):
        term_conductance(classifier("Bert", num_labels=1, problem_type="regression"), tokenizer, TEXTS)
    with pytest.raises(InputError, match="text 1: target 3 is none of the 3 classes"):
        term_conductance(classifier("Bert"), tokenizer, TEXTS, target=[0, 3, 0, 0])
    with pytest.raises(InputError, match="text 0: target 1; a token classifier takes a list"):
        term_conductance(classifier("Bert", "TokenClassification"), tokenizer, SENTENCES, split=True)
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    config = transformers.BartConfig(
        vocab_size=24, encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=32, **small
    )
    with pytest.raises(InputError, match="encoder-decoder"):
        term_conductance(transformers.BartForSequenceClassification(config), tokenizer, TEXTS)


def test_layers_that_are_not_found_can_be_named():
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    layers = list(model.bert.encoder.layer)
    expected = term_conductance(model, tokenizer, TEXTS)
    only_last = term_conductance(model, tokenizer, TEXTS, layers=layers[1:])
    model.config.num_hidden_layers = 7
    with pytest.raises(InputError, match=r"layers=\[...\]"):
        term_conductance(model, tokenizer, TEXTS)
    assert only_last[0].layers.shape == (1, 6)
    np.testing.assert_allclose(only_last[0].layers[0], expected[0].layers[1], atol=0.02)
