"""Measures against hand-worked values, direct maximisation and other people's packages; and laws for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group

from transfercast.core.errors import ShapeError
from transfercast.core.kinds import Kind
from transfercast.features.measures.logme import logme
from transfercast.features.measures.span_similarity import span_similarity
from transfercast.features.registry import measures
from transfercast.sources.spans import dice, spans_of


def density(features, target, alpha, beta):
    """Log density of the labels under the model itself, as an n-dimensional normal."""
    n = len(target)
    return multivariate_normal(cov=np.eye(n) / beta + features @ features.T / alpha, allow_singular=True).logpdf(target) / n


def maximum(features, target):
    starts = [(0.0, 0.0), (3.0, 1.0), (-3.0, 1.0), (6.0, 2.0)]
    found = [
        minimize(lambda x: -density(features, target, math.exp(x[0]), math.exp(x[1])), s, method="Nelder-Mead",
                 options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000})
        for s in starts
    ]  # fmt: skip
    return -min(one.fun for one in found)


@pytest.mark.parametrize(("n", "d"), [(12, 4), (8, 8), (6, 11)])
def test_logme_is_the_largest_density_of_the_labels_also_with_fewer_rows_than_features(n, d):
    rng = np.random.default_rng(n)
    features = rng.normal(size=(n, d))
    target = features[:, 0] + rng.normal(size=n)
    assert logme(features, target) == pytest.approx(maximum(features, target), abs=1e-6)


def test_logme_of_classes_is_the_mean_over_one_hot_columns():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    columns = [logme(features, (labels == c).astype(float)) for c in range(3)]
    assert logme(features, labels) == pytest.approx(np.mean(columns), abs=1e-9)


def test_logme_of_several_labels_is_the_mean_over_them():
    rng = np.random.default_rng(5)
    features, labels = rng.normal(size=(20, 3)), rng.integers(0, 2, (20, 4))
    columns = [logme(features, labels[:, c].astype(float)) for c in range(4)]
    assert logme(features, labels) == pytest.approx(np.mean(columns), abs=1e-9)


def test_logme_does_not_change_with_relabelling_row_order_or_rotation():
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(30, 5)), rng.integers(0, 3, 30)
    order = rng.permutation(30)
    expected = logme(features, labels)
    assert logme(features, np.array([2, 0, 1])[labels]) == pytest.approx(expected, abs=1e-9)
    assert logme(features[order], labels[order]) == pytest.approx(expected, abs=1e-9)
    assert logme(features @ ortho_group.rvs(5, random_state=2), labels) == pytest.approx(expected, abs=1e-8)


def test_logme_falls_as_noise_is_added():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 40)
    signal, noise = labels[:, None] + np.zeros((80, 4)), rng.normal(size=(80, 4))
    values = [logme(signal + scale * noise, labels) for scale in (0.1, 0.5, 2.0, 10.0)]
    assert values == sorted(values, reverse=True)


def test_logme_needs_two_rows_and_a_label_for_each():
    with pytest.raises(ShapeError):
        logme(np.zeros((1, 2)), np.zeros(1))
    with pytest.raises(ShapeError):
        logme(np.zeros((3, 2)), np.zeros(2))


TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=4))
def test_span_f1_equals_seqeval(pairs):
    f1_score = pytest.importorskip("seqeval.metrics").f1_score
    gold = [a[: min(len(a), len(b))] for a, b in pairs]
    found = [b[: min(len(a), len(b))] for a, b in pairs]
    expected = f1_score(gold, found, zero_division=0)
    assert dice([spans_of(t) for t in gold], [spans_of(t) for t in found]) == pytest.approx(float(expected))


def test_span_similarity_leaves_types_aside():
    # gold spans (0,2) and (3,4); found (0,2) of another type and (2,3): one shared of 2 + 2, Dice 2/4
    gold, found = [("B-A", "I-A", "O", "B-B")], [("B-X", "I-X", "B-X", "O")]
    assert span_similarity(found, gold, 0.8).tolist() == pytest.approx([0.5, 0.4])


def test_span_similarity_of_binary_tasks_is_over_positive_documents():
    # both say yes once; the source says yes 2 times, the labels 2 times: 2 * 1 / 4
    found = span_similarity(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]), 0.5)
    assert found.tolist() == pytest.approx([0.5, 0.25])
    assert span_similarity(np.array([0]), np.array([0]), 1.0).tolist() == [0.0, 0.0]


def test_span_similarity_of_several_labels_is_over_documents_with_any():
    # the source marks documents 0 and 1, the labels 0 and 2, whichever the labels are: 2 * 1 / 4
    found = span_similarity(np.array([[1, 0], [0, 1], [0, 0]]), np.array([[0, 1, 0], [0, 0, 0], [1, 1, 0]]), 0.5)
    assert found.tolist() == pytest.approx([0.5, 0.25])


def test_wss_is_missing_where_the_source_s_own_score_is_not_known():
    ss, wss = span_similarity(np.array([1]), np.array([1]), math.nan)
    assert ss == 1.0
    assert math.isnan(wss)


@pytest.fixture(params=measures().values(), ids=lambda m: m.name)
def declared(request):
    return request.param


def test_every_measure_says_what_it_is_and_where_it_comes_from(declared):
    assert declared.paper
    assert declared.summary.endswith(".")
    assert declared.kinds
    assert len(set(declared.columns)) == len(declared.columns)


_RNG = np.random.default_rng(0)
ROWS = {  # evidence that has a row for each of the target's rows
    "source_embeddings": _RNG.normal(size=(12, 4)),
    "source_cls": _RNG.normal(size=(12, 4)),
    "target_embeddings": _RNG.normal(size=(12, 4)),
    "target_base_embeddings": _RNG.normal(size=(12, 4)),
    "mapped_embeddings": _RNG.normal(size=(12, 4)),
    "source_probabilities": _RNG.dirichlet(np.ones(3), 12),
    "target_values": np.arange(12) % 2,
    "source_predictions": np.arange(12) // 3 % 2,
    "target_labels": np.arange(12) % 2,
}
OTHER = {
    "source_test_f1": 0.7,
    "target_kind": Kind.BINARY,
    "target_metric": "positive_f1",
    "source_own_embeddings": _RNG.normal(size=(9, 4)),
    "source_base_embeddings": _RNG.normal(size=(9, 4)),
}
CROSS_VALIDATED = {"frozen_transfer"}  # folds are drawn by place


def test_no_measure_of_rows_depends_on_their_order(declared):
    if not set(declared.needs) & set(ROWS) or declared.name in CROSS_VALIDATED:
        pytest.skip("takes no rows, or folds of them")
    order = np.random.default_rng(1).permutation(12)
    layers = np.stack([ROWS["source_cls"], ROWS["source_embeddings"]])
    before = ROWS | OTHER | {"source_layers": layers}
    after = {name: value[order] for name, value in ROWS.items()} | OTHER | {"source_layers": layers[:, order]}
    found = [declared.function(**{name: case[name] for name in declared.needs}) for case in (before, after)]
    np.testing.assert_allclose(*found, rtol=1e-7)
