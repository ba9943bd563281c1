"""Measures of data: cases worked by hand, and distances against scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from transfercast.features.measures.context import context_cosine, context_kl
from transfercast.features.measures.embedding_distance import embedding_distance
from transfercast.features.measures.frozen_transfer import frozen_transfer
from transfercast.features.measures.task_emb import task_emb
from transfercast.features.measures.text_emb import text_emb
from transfercast.features.measures.vocabulary import vocabulary


def test_vocabularies_are_compared_by_hand_and_by_scipy():
    source, target = np.array([2.0, 2.0, 0.0, 4.0, 0.0]), np.array([1.0, 0.0, 3.0, 4.0, 0.0])
    overlap, kl, js = vocabulary(source, target)
    assert overlap == 2 / 4
    assert kl == pytest.approx(entropy(target / 8, (source + 1) / 13))
    assert js == pytest.approx(jensenshannon(source / 8, target / 8) ** 2)
    assert vocabulary(source, source)[[0, 2]].tolist() == [1.0, 0.0]
    assert vocabulary(np.array([1.0, 0.0]), np.array([0.0, 1.0]))[2] == pytest.approx(math.log(2))


def test_distances_of_normals_are_known_in_closed_form():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(20_000, 3)), rng.normal(size=(20_000, 3)) * 2 + 1
    distance, kl, js = embedding_distance(source, target)
    # each dimension N(1, 4) against N(0, 1): (ln(1/4) + (4 + 1) / 1 - 1) / 2
    assert kl == pytest.approx((math.log(1 / 4) + 5 - 1) / 2, rel=0.05)
    assert 0 < js < kl
    assert distance > 0
    same = embedding_distance(source, source)
    np.testing.assert_allclose(same, 0, atol=1e-12)


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(50, 4))
    near, far = (embedding_distance(source, source + shift)[0] for shift in (0.5, 1.0))
    assert far == pytest.approx(2 * near)
    # the mean absolute projection of a unit vector in 4 dimensions is 4 / (3 pi) = 0.424
    assert far == pytest.approx(2 * 0.424, rel=0.15)


def test_means_and_fisher_blocks_are_compared_by_cosine():
    assert text_emb(np.array([[1.0, 0], [3, 0]]), np.array([[1.0, 1.0]])) == pytest.approx(math.sqrt(0.5))
    blocks = [np.array([1.0, 0.0]), np.array([1.0, 1.0])]
    others = [np.array([0.0, 2.0]), np.array([3.0, 3.0])]
    assert task_emb(blocks, others) == pytest.approx((0 + 1) / 2)
    assert math.isnan(task_emb(blocks, others[:1]))


def test_contexts_are_compared_row_by_row_and_by_their_means():
    a, b = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 5.0]])
    assert context_cosine(a, b) == pytest.approx((math.sqrt(0.5) + 1) / 2)
    assert math.isnan(context_cosine(a, b[:, :1]))
    p, q = (np.exp(rows.mean(0)) / np.exp(rows.mean(0)).sum() for rows in (a, b))
    assert context_kl(a, b) == pytest.approx(entropy(p, q))
    assert context_kl(a, a) == 0.0


@pytest.mark.parametrize(
    ("metric", "labels"), [("positive_f1", 2), ("mcc", 2), ("macro_f1", 3), ("accuracy", 3), ("span_f1", 3)]
)
def test_a_probe_finds_what_is_linear_and_nothing_where_there_is_nothing(metric, labels):
    rng = np.random.default_rng(0)
    values = rng.integers(0, labels, 120)
    features = np.eye(labels)[values] @ rng.normal(size=(labels, 8)) * 3 + rng.normal(size=(120, 8)) * 0.3
    assert frozen_transfer(features, values, metric) > 0.95
    assert frozen_transfer(rng.normal(size=(120, 8)), values, metric) < 0.75


def test_a_probe_of_values_is_judged_by_correlation():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(80, 5))
    assert frozen_transfer(features, features @ np.ones(5), "pearson_spearman") > 0.99
    assert abs(frozen_transfer(features, rng.normal(size=80), "pearson_spearman")) < 0.4
