"""The error that is told is never below the true one, and what cannot be told is flagged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit

from tests.attribution.models import TEXTS, classifier, tokenizer_for
from transfercast.attribution.conductance import Conductance, term_conductance
from transfercast.attribution.solve import _Path
from transfercast.attribution.states import Encoded, State
from transfercast.core.errors import InputError


def bump(centre, width, depth=10.6):
    """Log-odds 8 but for a dip, and their slope: F falls from .9997 to .07 and rises again."""

    def at(a):
        inside = abs(a - centre) < width
        phase = np.pi * (a - centre) / width
        return 8 - inside * depth * (1 + np.cos(phase)) / 2, inside * depth * np.pi / width * np.sin(phase) / 2

    return at


def solved(log_odds, most=129):
    """A document of two words: what moves the log-odds passes smoothly from the first word to the second along the path."""
    path = _Path(Encoded(0, [0, 1], 1, False))
    while True:
        for node in path.wanted():
            z, slope = log_odds(node)
            gradient = torch.tensor([[[slope * (1 - node)], [slope * node]]], dtype=torch.float64)
            path.states[node] = State(float(z), torch.full((1, 2, 1), node, dtype=torch.float64), gradient)
        solution = path.advance([path.product(pair).numpy() for pair in path.pairs()], 0.02, most)
        if solution is not None:
            return solution


def conductance_of_words(log_odds):
    """The same, by a million trapezoids of F's own slope."""
    nodes = np.linspace(0, 1, 2**20 + 1)
    z, slope = log_odds(nodes)
    moved = slope * expit(z) * expit(-z)
    return np.array([np.trapezoid(moved * share, nodes) for share in (1 - nodes, nodes)])


@pytest.mark.parametrize("centre", [0.375, 0.36, 0.3, 0.3125, 0.28, 0.8])
@pytest.mark.parametrize("width", [0.12, 0.08])
def test_a_dip_of_f_between_two_of_five_nodes_is_seen_and_gathered(centre, width):
    """F goes from .9997 to .07 and back, and is the same at 0, .25, .5, .75 and 1.

    The error bounds the sum over words; one word may be off by a few times as much.
    """
    exact = conductance_of_words(bump(centre, width))
    assert np.abs(exact).max() > 0.05
    solution = solved(bump(centre, width))
    assert solution.within_tolerance
    assert solution.error.max() <= 0.0005
    assert abs(solution.pieces[0].sum() - exact.sum()) <= solution.error.max()
    assert np.abs(solution.pieces[0] - exact).max() <= 0.001


def test_where_a_dip_is_not_resolved_the_error_says_so():
    solution = solved(bump(0.375, 0.09), most=9)
    true_error = np.abs(solution.pieces[0] - conductance_of_words(bump(0.375, 0.09))).max()
    assert true_error > 0.05
    assert not solution.within_tolerance
    assert solution.error.max() >= true_error


@pytest.mark.parametrize(("seed", "spread", "text"), [(17, 1.0, 1), (204, 1.0, 1), (298, 1.0, 3), (150, 2.0, 1)])
def test_large_random_weights_do_not_fool_the_error(seed, spread, text):
    """With five first nodes, and errors of neighbours that cancel, words were wrong by .07 to .11 within a tolerance of .02."""
    model, tokenizer = classifier("Roberta", initializer_range=spread, seed=seed), tokenizer_for("Roberta")
    (found,) = term_conductance(model, tokenizer, [TEXTS[text]], target=0)
    (fine,) = term_conductance(model, tokenizer, [TEXTS[text]], target=0, tolerance=1e-4, max_evaluations=513)
    assert fine.error.max() < 0.001
    assert np.abs(found.layers - fine.layers).max() < 0.03


def test_a_word_is_not_active_where_f_does_not_move():
    model = classifier("Bert", num_labels=2)
    with torch.no_grad():  # F stays between .0005 and .0035 whatever is read
        model.classifier.weight.mul_(0.02)
        model.classifier.bias.copy_(torch.tensor([6.5, 0.0]))
    (found,) = term_conductance(model, tokenizer_for("Bert"), ["film"])
    assert abs(found.change) < 0.005
    assert found.within_tolerance
    assert np.abs(found.activity()).max() < 0.005
    assert np.abs(found.activity("l2")).max() > 0.9  # of its own document, one word is everything
    (exact,) = term_conductance(model, tokenizer_for("Bert"), ["film"], tolerance=1e-4, max_evaluations=257)
    assert np.abs(found.layers - exact.layers).max() <= 0.0005


def test_where_f_is_one_whatever_is_read_words_have_nothing_and_it_is_said(caplog):
    model = classifier("Bert", num_labels=2)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([-60.0, 0.0]))
    (found,) = term_conductance(model, tokenizer_for("Bert"), TEXTS[:1])
    assert found.saturated
    assert not found.layers.any()
    assert found.activity().tolist() == [0.0] * 6
    assert "1 of 1 documents: F is 1 whatever is read" in caplog.text
    (other,) = term_conductance(model, tokenizer_for("Bert"), TEXTS[:1], target=0)
    assert not other.saturated


def conductance(layers):
    layers = np.array(layers)
    none = np.zeros(len(layers))
    words = tuple("abc"[: layers.shape[1]])
    return Conductance(words, layers, none, none, True, 9, 0.5, 0.4, False, False)


def test_layers_in_which_words_have_nothing_are_left_out_of_the_mean():
    # raw: the mean of the first two layers, (.3 + .1) / 2 and (.4 + 0) / 2; the third, of a [CLS] head, does not count
    # L2: norms .5 and .1, shares (.6, .8) and (1, 0), mean (.8, .4)
    found = conductance([[0.3, 0.4], [0.1, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(found.activity(), [0.2, 0.2])
    np.testing.assert_allclose(found.activity("l2"), [0.8, 0.4])
    with pytest.raises(InputError, match="normalise 'l1' must be none or l2"):
        found.activity("l1")


def test_the_activity_of_a_head_that_reads_the_first_token_alone_is_not_scaled_down():
    (found,) = term_conductance(classifier("Bert"), tokenizer_for("Bert"), TEXTS[:1])
    assert not found.layers[-1].any()
    np.testing.assert_allclose(found.activity(), found.layers[0])


@pytest.mark.parametrize(
    ("name", "options", "most"),
    [
        ("Bert", {"max_position_embeddings": 12}, 12),
        ("Roberta", {"max_position_embeddings": 14}, 12),  # two are taken by the padding's number
        ("GPT2", {"n_positions": 12}, 12),
    ],
)
def test_texts_beyond_the_model_s_positions_are_cut_and_say_so(name, options, most):
    model, tokenizer = classifier(name, **options), tokenizer_for(name)
    (found,) = term_conductance(model, tokenizer, ["water " * 30], max_tokens=1000)
    assert found.truncated
    words = most - (0 if name == "GPT2" else 2)
    assert found.layers[0, :words].all()
    assert not found.layers[:, words:].any()
