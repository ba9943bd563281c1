"""Relative scores and the performance matrix that holds them, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.predictor.cells import transfers_from
from transfercast.predictor.performance import performance_matrix, signed
from transfercast.predictor.relative import MANY_ROWS, exponential_rank, outcomes, relative_scores, zscore_within


def test_an_exponential_rank_halves_with_every_third_rank_and_ties_share_it():
    seven = exponential_rank(np.arange(7.0)[::-1])
    assert seven[0] - seven[3] == pytest.approx(0.5)
    assert seven[3] - seven[6] == pytest.approx(0.25)
    assert seven.mean() == pytest.approx(0, abs=1e-12)
    tied = exponential_rank(np.array([0.5, 0.5, 0.1]))
    assert tied[0] == tied[1]
    assert tied[0] - tied[2] == pytest.approx(2 ** (-0.5 / 3) - 2 ** (-2 / 3))


def test_a_relative_score_is_the_mean_of_z_score_and_standardised_exponential_rank():
    scores = np.array([0.2, 0.9, 0.4, 0.7, 0.1])
    queries = np.array([0, 0, 0, 1, 1])
    first = scores[:3]
    ranks = 2.0 ** (-np.array([2, 0, 1]) / 3)
    expected = ((first - first.mean()) / first.std() + (ranks - ranks.mean()) / ranks.std()) / 2
    found = relative_scores(scores, queries)
    np.testing.assert_allclose(found[:3], expected)
    np.testing.assert_allclose(found[3:], [1, -1])
    assert relative_scores(np.full(3, 0.4), np.zeros(3, dtype=int)).tolist() == [0, 0, 0]


def test_the_second_outcome_is_the_standardised_exponential_rank():
    found = outcomes(np.array([0.2, 0.9, 0.4]), np.zeros(3, dtype=int))[:, 1]
    ranks = 2.0 ** (-np.array([2, 0, 1]) / 3)
    np.testing.assert_allclose(found, (ranks - ranks.mean()) / ranks.std())


@pytest.mark.parametrize(("rows", "weight"), [(MANY_ROWS, 0.5), (2 * MANY_ROWS, 0.25), (10 * MANY_ROWS, 0.05)])
def test_the_more_rows_a_query_has_the_less_the_z_score_weighs(rows, weight):
    scores = np.random.default_rng(0).uniform(size=rows)
    z, top = (scores - scores.mean()) / scores.std(), outcomes(scores, np.zeros(rows, dtype=int))[:, 1]
    np.testing.assert_allclose(relative_scores(scores, np.zeros(rows, dtype=int)), weight * z + (1 - weight) * top)


def test_z_scores_are_taken_within_the_query_and_missing_values_stay():
    values = np.array([[1.0, 5.0], [3.0, np.nan], [10.0, 5.0], [10.0, 7.0]])
    found = zscore_within(values, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(found, [[-1, 0], [1, np.nan], [0, -1], [0, 1]])


def test_a_matrix_averages_recipes_and_tells_facts_of_targets_from_evidence():
    some = transfers_from(
        [("a", "t", 0.9), ("b", "t", 0.1), ("a", "u", 0.3), ("b", "u", 0.7)], [[1.0, 8.0], [2.0, 8.0], [4.0, 9.0], [3.0, 9.0]]
    )
    twice = some.take(np.array([0, 0, 1, 2, 3]))
    columns = [column for column in some.candidates.schema if column.group != "recipe"]
    matrix = performance_matrix(twice, columns)
    assert matrix.outcomes.shape == (4, 2)
    assert [column.name for column in matrix.columns] == ["m0"]
    assert matrix.tasks == ("a", "b", "t", "u")
    np.testing.assert_allclose(performance_matrix(some, columns).dense()[0, :, :2], [[1, -1], [-1, 1]])
    np.testing.assert_allclose(signed(some.candidates, matrix.columns)[:, 0], [-1, 1, 1, -1])


def test_a_name_that_was_never_observed_has_no_number():
    some = transfers_from([("a", "t", 0.9), ("b", "t", 0.1)])
    rows = performance_matrix(some, ()).rows_of(transfers_from([("x", "y", 0.0, "other")]).candidates)
    assert (rows.source[0], rows.encoder[0], rows.target[0]) == (-1, -1, 0)
