"""Conductance against Captum at the same nodes, against a fine quadrature, and its own laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from transfercast.attribution.conductance import _Pass, term_conductance
from transfercast.attribution.path import FLOOR, completeness_error, to_halve
from transfercast.attribution.words import term_of, word_of_pieces, words_of
from transfercast.core.errors import InputError
from transfercast.sources.encoders import load_tokenizer

TEXTS = ["the film was good, not bad", "we need water at the storm road", "help", "giving is very good good good"]


@pytest.fixture(scope="module")
def classifier(tiny_encoder):
    from transformers import BertForSequenceClassification

    torch.manual_seed(1)
    model = BertForSequenceClassification.from_pretrained(tiny_encoder, num_labels=2).eval()
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    return model, load_tokenizer(tiny_encoder)


def trapezoid(model, tokenizer, text, nodes):
    """The definition, transcribed layer by layer: F differentiated by one layer's output, on a plain list of nodes."""
    encoded = tokenizer(text, return_tensors="pt")
    ids, special = (
        encoded.pop("input_ids"),
        torch.tensor(tokenizer(text, return_special_tokens_mask=True)["special_tokens_mask"]),
    )
    blank = torch.where(special.bool(), ids, torch.full_like(ids, tokenizer.pad_token_id))
    embed = model.get_input_embeddings()
    along = torch.tensor(nodes, dtype=torch.float32)[:, None, None]
    layers = []
    for layer in range(model.config.num_hidden_layers):
        x = (embed(blank) + along * (embed(ids) - embed(blank))).detach().requires_grad_(True)
        masks = {name: value.expand(len(nodes), -1) for name, value in encoded.items()}
        result = model(inputs_embeds=x, **masks, output_hidden_states=True)
        h = result.hidden_states[layer + 1]
        gradient = torch.autograd.grad(result.logits.softmax(-1)[:, 1].sum(), h)[0]
        layers.append(((gradient[:-1] + gradient[1:]) / 2 * (h[1:] - h[:-1])).sum((0, 2)).detach().numpy())
    return np.stack(layers)


def test_it_reaches_a_quadrature_of_400_nodes(classifier):
    model, tokenizer = classifier
    for text, found in zip(TEXTS, term_conductance(model, tokenizer, TEXTS, tolerance=0.002, max_evaluations=257), strict=True):
        pieces = trapezoid(model, tokenizer, text, np.linspace(0, 1, 400))
        owner = word_of_pieces(tokenizer([text], return_offsets_mapping=True), 0, text, False)
        expected = np.zeros_like(found.layers)
        for position, word in enumerate(owner):
            if word >= 0:
                expected[:, word] += pieces[:, position]
        assert np.abs(found.layers - expected).max() < 0.01 * max(np.abs(expected).max(), FLOOR)


def test_it_equals_captum_at_the_same_nodes_and_rule(classifier):
    captum = pytest.importorskip("captum.attr")
    from captum.attr._utils.approximation_methods import approximation_parameters

    model, tokenizer = classifier
    encoded = tokenizer(TEXTS[0], return_tensors="pt")
    ids = encoded.pop("input_ids")
    special = torch.tensor(tokenizer(TEXTS[0], return_special_tokens_mask=True)["special_tokens_mask"]).bool()
    embed = model.get_input_embeddings()
    x, blank = embed(ids).detach(), embed(torch.where(special, ids, torch.zeros_like(ids))).detach()
    n, rows = 8, {}
    for layer in range(2):
        module = model.bert.encoder.layer[layer]
        conductance = captum.LayerConductance(lambda e: model(inputs_embeds=e, **encoded).logits.softmax(-1)[:, 1], module)
        found = conductance.attribute(x, baselines=blank, n_steps=n, method="riemann_left")
        rows[layer] = (found[0] if isinstance(found, tuple) else found).sum(-1)[0].detach().numpy()

    # Captum takes n + 1 nodes, the gradient at the left end of each interval, and hidden states differenced
    pass_ = _Pass(model, tokenizer, TEXTS[:1], [1], 64, False, 2048)
    document = pass_.groups()[0][0]
    nodes = approximation_parameters("riemann_left")[1](n + 1)
    pass_.evaluate([(document, node) for node in nodes])
    for layer in range(2):
        ours = sum(
            (document.gradient[a][layer] * (document.hidden[b][layer] - document.hidden[a][layer])).sum(-1)
            for a, b in pairwise(nodes)
        )
        assert np.abs(ours.numpy() - rows[layer]).max() <= 1e-5 * np.abs(rows[layer]).max()


def test_completeness_holds_in_every_layer_within_the_tolerance(classifier):
    model, tokenizer = classifier
    for found in term_conductance(model, tokenizer, TEXTS, tolerance=0.02):
        assert found.completeness.max() <= 0.02
        with torch.no_grad():
            full = model(**tokenizer(" ".join(found.words), return_tensors="pt")).logits.softmax(-1)[0, 1]
        assert abs(found.change) <= float(full) + 1e-6 or found.change < 0


def test_batch_mates_padding_and_the_token_budget_change_nothing(classifier):
    model, tokenizer = classifier
    together = term_conductance(model, tokenizer, TEXTS)
    narrow = term_conductance(model, tokenizer, TEXTS, token_budget=1)
    alone = [term_conductance(model, tokenizer, [text])[0] for text in TEXTS]
    for a, b, c in zip(together, narrow, alone, strict=True):
        np.testing.assert_allclose(a.layers, b.layers, atol=1e-5)
        np.testing.assert_allclose(a.layers, c.layers, atol=1e-5)


def test_evaluations_stop_at_the_cap_and_truncation_is_told(classifier):
    model, tokenizer = classifier
    found = term_conductance(model, tokenizer, TEXTS, tolerance=1e-9, max_evaluations=9, max_tokens=8)
    assert all(one.evaluations <= 9 for one in found)
    assert [one.truncated for one in found] == [True, True, False, False]
    assert all(one.layers.shape == (2, len(one.words)) for one in found)
    assert not found[0].layers[:, -1].any()


def test_activities_lie_within_one_and_weights_keep_their_gradients(classifier):
    model, tokenizer = classifier
    assert all(np.abs(one.activity()).max() <= 1 for one in term_conductance(model, tokenizer, TEXTS))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_token_classifier_is_attributed_on_its_positive_words(tiny_encoder):
    from transformers import BertForTokenClassification

    torch.manual_seed(2)
    model = BertForTokenClassification.from_pretrained(tiny_encoder, num_labels=3).eval()
    sentences = [("we", "need", "water"), ("storm", "road")]
    found = term_conductance(model, load_tokenizer(tiny_encoder), sentences, target=[[2], [0, 1]], split=True)
    assert found[0].words == sentences[0]
    assert all(one.completeness.max() <= 0.02 for one in found)


def test_bad_requests_are_told(classifier):
    model, tokenizer = classifier
    assert term_conductance(model, tokenizer, []) == []
    with pytest.raises(InputError, match="tolerance"):
        term_conductance(model, tokenizer, TEXTS, tolerance=0)
    with pytest.raises(InputError, match="4 texts, 1 targets"):
        term_conductance(model, tokenizer, TEXTS, target=[1])


def test_only_the_worst_intervals_are_halved_and_none_within_the_tolerance():
    errors = np.array([[0.5, 0.1], [0.01, 0.02], [0.3, 0.3]])
    assert to_halve(errors, 1.0, 0.02, most=9) == [0, 2]
    assert to_halve(errors, 1.0, 0.02, most=1) == [0]
    assert to_halve(errors, 1.0, 0.9, most=9) == []
    # signed errors cancel: what counts is the layer's sum, relative to a change of at least a point
    np.testing.assert_allclose(completeness_error(np.array([[0.5], [-0.4]]), 0.001), [10.0])


def test_pieces_are_given_to_blank_separated_words(tiny_encoder):
    tokenizer = load_tokenizer(tiny_encoder)
    text = "helps,  we! giving"
    pieces = word_of_pieces(tokenizer([text]), 0, text, False)
    #      [CLS] help ##s , we ! give?... the vocabulary has no "giv": [UNK]; [SEP]
    assert pieces == [-1, 0, 0, 0, 1, 1, 2, -1]
    assert words_of(text, False) == ["helps,", "we!", "giving"]
    assert [term_of(word) for word in words_of(text, False)] == ["helps", "we", "giving"]


def test_non_latin_text_emoji_and_links_are_words_too(tiny_encoder):
    text = "спасибо 🙂 https://x.org/a?b #help"
    tokenizer = load_tokenizer(tiny_encoder)
    assert max(word_of_pieces(tokenizer([text]), 0, text, False)) == 3
    assert term_of("#help") == "help"
    assert term_of("🙂") == "🙂"
