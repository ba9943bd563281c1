"""Conductance against Captum at the same nodes, against a fine quadrature, and its own laws."""

from __future__ import annotations

import weakref
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from transfercast.attribution.budget import NODES_HELD, default_budget
from transfercast.attribution.conductance import term_conductance
from transfercast.attribution.layers import frozen, layers_of
from transfercast.attribution.path import FLOOR
from transfercast.attribution.solve import _Path
from transfercast.attribution.states import Encoded, Reader, State
from transfercast.attribution.words import word_of_pieces
from transfercast.core.errors import InputError, TransfercastError
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
    import captum.attr as captum
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
        conductance = captum.LayerConductance(lambda e: model(inputs_embeds=e, **encoded).logits.softmax(-1)[:, 0], module)
        found = conductance.attribute(x, baselines=blank, n_steps=n, method="riemann_left")
        rows[layer] = (found[0] if isinstance(found, tuple) else found).sum(-1)[0].detach().numpy()

    # (class 0, whose F is small here: near 1 Captum's p (1 - p) has lost digits in float32)
    # Captum takes n + 1 nodes, the gradient at the left end of each interval, and hidden states differenced
    reader = Reader(model, tokenizer, TEXTS[:1], [0], layers_of(model), 64, False, 2048)
    nodes = approximation_parameters("riemann_left")[1](n + 1)
    with frozen(model, tokenizer.pad_token_id):
        document = reader.documents()[0]
        states = dict(reader.states([(document, node) for node in nodes]))
    for layer in range(2):
        ours = 0
        for a, b in pairwise(range(n + 1)):
            f = 1 / (1 + np.exp(-states[a].log_odds))
            step = states[b].hidden[layer] - states[a].hidden[layer]
            ours = ours + f * (1 - f) * (states[a].gradient[layer] * step).sum(-1)
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
    assert not any(one.within_tolerance for one in found)
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


def test_a_saturated_step_is_exact_where_the_log_odds_are_linear():
    """F goes from 0.0025 to 0.9975 within a tenth of the path; only the sigmoid bends, and it is not sampled."""
    path = _Path(Encoded(0, [0, 1], 1, False))
    direction, gradient = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[30.0], [30.0]]])
    for node in path.wanted():
        path.states[node] = State(120 * node - 40, node * direction, gradient)
    found = path.advance([path.product(pair).double().numpy() for pair in path.pairs()], 1e-6, 65)
    assert found.evaluations == 9
    assert found.completeness.max() < 1e-6
    np.testing.assert_allclose(found.pieces, [[0.25, 0.75]], rtol=1e-6)


def test_no_node_is_evaluated_twice_and_each_is_counted(classifier, monkeypatch):
    model, tokenizer = classifier
    asked = []
    states = Reader.states

    def recorded(self, wanted):
        asked.extend((document.row, node) for document, node in wanted)
        return states(self, wanted)

    monkeypatch.setattr(Reader, "states", recorded)
    found = term_conductance(model, tokenizer, TEXTS, tolerance=0.001)
    assert len(asked) == len(set(asked)) == sum(one.evaluations for one in found)


def test_the_states_held_are_bounded_by_the_token_budget_whatever_the_number_of_documents(classifier, monkeypatch):
    model, tokenizer = classifier
    held, most, states = [], [], Reader.states

    def recorded(self, wanted):
        for place, state in states(self, wanted):
            held.append(weakref.ref(state.hidden))
            most.append(sum(one().shape[1] for one in held if one() is not None))
            yield place, state

    monkeypatch.setattr(Reader, "states", recorded)
    budget = 80  # two documents of up to 8 tokens at 65 nodes fit in 16 budgets
    term_conductance(model, tokenizer, TEXTS * 10, token_budget=budget, tolerance=0.001)
    assert sum(one() is not None for one in held) == 0
    assert 0 < max(most) <= NODES_HELD * budget


def test_the_default_budget_follows_the_free_memory_up_to_what_gains_speed(classifier, monkeypatch):
    model, _ = classifier
    most = default_budget(model, 128)
    monkeypatch.setattr("transfercast.attribution.budget._free", lambda device: 20 * 2**20)
    little = default_budget(model, 128)
    monkeypatch.setattr("transfercast.attribution.budget._free", lambda device: 0)
    assert most > little > default_budget(model, 128) > 0


def test_out_of_memory_on_an_accelerator_halves_the_budget_and_goes_on(classifier, caplog):
    model, tokenizer = classifier
    expected = term_conductance(model, tokenizer, TEXTS)
    largest = []

    def scarce(module, args, kwargs):
        largest.append(kwargs["input_ids"].numel())
        if largest[-1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = model.register_forward_pre_hook(scarce, with_kwargs=True)
    try:
        found = term_conductance(model, tokenizer, TEXTS, token_budget=160)
        assert "going on with a token budget of 20" in caplog.text
        assert largest[-1] <= 20
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.layers, b.layers, atol=1e-5)
        with pytest.raises(TransfercastError, match="too little memory for one document of 43 tokens"):
            term_conductance(model, tokenizer, ["very " * 41])
    finally:
        handle.remove()


def test_bfloat16_passes_come_near(classifier):
    model, tokenizer = classifier
    exact = term_conductance(model, tokenizer, TEXTS)
    rough = term_conductance(model, tokenizer, TEXTS, precision="bfloat16")
    for a, b in zip(exact, rough, strict=True):
        assert b.layers.dtype == np.float64
        assert np.abs(a.activity() - b.activity()).max() < 0.1
    assert any((a.layers != b.layers).any() for a, b in zip(exact, rough, strict=True))


def test_documents_that_miss_the_tolerance_are_flagged(classifier, caplog):
    model, tokenizer = classifier
    found = term_conductance(model, tokenizer, TEXTS, tolerance=1e-9, max_evaluations=9)
    assert not any(one.within_tolerance for one in found)
    assert "4 of 4 documents miss the tolerance" in caplog.text


def test_a_sentence_whose_positive_words_were_all_cut_off_has_nothing_to_explain(tiny_encoder):
    from transformers import BertForTokenClassification

    model = BertForTokenClassification.from_pretrained(tiny_encoder, num_labels=3).eval()
    sentences = [("we", "need", "water", "at", "the", "road"), ("help",)]
    found = term_conductance(model, load_tokenizer(tiny_encoder), sentences, target=[[5], [0]], split=True, max_tokens=5)
    assert found[0].truncated
    assert found[0].evaluations == 0
    assert not found[0].layers.any()
    assert found[1].layers.any()


def test_texts_and_targets_may_come_from_numpy_and_pandas(classifier):
    model, tokenizer = classifier
    expected = term_conductance(model, tokenizer, TEXTS, target=[1, 0, 1, 1])
    found = term_conductance(model, tokenizer, pd.Series(TEXTS, index=[7, 5, 3, 1]), target=np.array([1, 0, 1, 1]))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.layers, b.layers)


def test_an_empty_text_has_no_words(classifier):
    (found,) = term_conductance(*classifier, [""])
    assert found.words == ()
    assert found.layers.shape == (2, 0)
    assert found.activity().shape == (0,)


def test_bad_requests_are_told(classifier):
    model, tokenizer = classifier
    assert term_conductance(model, tokenizer, []) == []
    with pytest.raises(InputError, match="tolerance"):
        term_conductance(model, tokenizer, TEXTS, tolerance=0)
    with pytest.raises(InputError, match="one string; give a list"):
        term_conductance(model, tokenizer, TEXTS[0])
    with pytest.raises(InputError, match="precision 'half'"):
        term_conductance(model, tokenizer, TEXTS, precision="half")
    with pytest.raises(InputError, match="engine 'captun'"):
        term_conductance(model, tokenizer, TEXTS, engine="captun")
    with pytest.raises(InputError, match="4 texts, 1 targets"):
        term_conductance(model, tokenizer, TEXTS, target=[1])
