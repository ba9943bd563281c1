"""Similarities of targets, one hand-worked case each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.predictor.cells import grid, transfers_from
from transfercast.predictor.performance import performance_matrix
from transfercast.predictor.similarity import TaskSimilarity


def similarity(part, seen, new, names=("t", "u")) -> np.ndarray:
    """(n, t) one part of the similarity of the targets of `new` to the named ones."""
    columns = [column for column in seen.candidates.schema if column.group != "recipe"]
    matrix = performance_matrix(seen, columns)
    found = TaskSimilarity(matrix).parts(matrix.rows_of(new.candidates).profiles)[part]
    return found[:, [matrix.profiles.names.index(name) for name in names]]


TWO = [("a", "t", 0.9), ("b", "t", 0.1), ("a", "u", 0.1), ("b", "u", 0.9)]


def test_profiles_are_compared_by_their_cosine():
    seen = transfers_from(TWO, [[1.0], [0.0], [0.0], [1.0]])
    new = transfers_from([("a", "new", 0.0), ("b", "new", 0.0)], [[5.0], [3.0]])  # the same order as for t
    assert similarity("profile", seen, new) == pytest.approx(np.array([[1.0, -1.0]]))


def test_profiles_of_several_columns_are_compared_by_the_mean_cosine():
    seen = transfers_from(TWO, [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    new = transfers_from([("a", "new", 0.0), ("b", "new", 0.0)], [[5.0, 1.0], [3.0, 2.0]])  # by m0 as t, by m1 as u
    assert similarity("profile", seen, new) == pytest.approx(np.array([[0.0, 0.0]]))
    same = transfers_from([("a", "new", 0.0), ("b", "new", 0.0)], [[5.0, 2.0], [3.0, 1.0]])
    assert similarity("profile", seen, same) == pytest.approx(np.array([[1.0, -1.0]]))


def test_a_measure_of_unknown_direction_says_nothing_of_a_target_as_a_source():
    rows = [("t", "u", 0.5), ("x", "u", 0.4), ("u", "t", 0.5), ("x", "t", 0.4)]
    seen = transfers_from(rows, [[1.0], [2.0], [1.0], [2.0]], better="unknown")
    new = transfers_from([("t", "new", 0.0), ("u", "new", 0.0)], [[0.0], [1.0]], better="unknown")
    assert not similarity("measured", seen, new).any()


def test_a_measure_of_which_lower_is_better_is_turned_round():
    rows = [("t", "u", 0.5), ("x", "u", 0.4), ("u", "t", 0.5), ("x", "t", 0.4)]
    seen = transfers_from(rows, [[1.0], [2.0], [1.0], [2.0]], better="lower")
    new = transfers_from([("t", "new", 0.0), ("u", "new", 0.0)], [[0.0], [1.0]], better="lower")
    assert similarity("measured", seen, new) == pytest.approx(np.array([[1.0, -1.0]]))  # z-scores of two values, t the lower


def test_what_a_measure_says_of_the_new_target_as_a_source_counts_as_well():
    seen = transfers_from([("new", "t", 0.5), ("x", "t", 0.4), ("x", "u", 0.4), ("y", "u", 0.1)], [[2.0], [1.0], [0.0], [1.0]])
    new = transfers_from([("t", "new", 0.0), ("x", "new", 0.0)], [[0.0], [1.0]])
    # t as a source of new: -1; new as a source of t: 1; of u nothing is known
    assert similarity("measured", seen, new) == pytest.approx(np.array([[0.0, 0.0]]))
    agreeing = transfers_from([("t", "new", 0.0), ("x", "new", 0.0)], [[1.0], [0.0]])  # 1 both ways, and 1 is the mean
    assert similarity("measured", seen, agreeing) == pytest.approx(np.array([[1.0, 0.0]]))


def test_tasks_that_help_the_same_targets_as_sources_are_similar():
    rows = [(s, t, score) for t in ("x", "y") for s, score in (("t", 0.9), ("new", 0.8), ("u", 0.1))]
    rows += [("x", "t", 0.5), ("y", "t", 0.4), ("x", "u", 0.5), ("y", "u", 0.4)]
    found = similarity("effects", transfers_from(rows), transfers_from([("x", "new", 0.0)]))
    outcome = performance_matrix(transfers_from(rows), ()).dense()[0]
    t, new, u = (outcome[:2, number] for number in (1, 0, 2))  # tasks in the order of the alphabet: new, t, u, x, y
    shrunk = 0.5  # two targets are shared, and half of the cosine counts where two are
    assert found[0, 0] == pytest.approx(shrunk * new @ t / np.linalg.norm(new) / np.linalg.norm(t))
    assert found[0, 1] == pytest.approx(shrunk * new @ u / np.linalg.norm(new) / np.linalg.norm(u))
    assert found[0, 0] > 0 > found[0, 1]


def test_a_new_target_that_was_a_good_source_of_another_is_similar_to_it():
    rows = [("new", "t", 0.9), ("x", "t", 0.1), ("new", "u", 0.1), ("x", "u", 0.9)]
    outcome = performance_matrix(transfers_from(rows), ()).dense()[0]
    assert similarity("transfer", transfers_from(rows), transfers_from([("x", "new", 0.0)])) == pytest.approx(outcome[:, [0]].T)
    assert outcome[0, 0] > 0 > outcome[1, 0]


def test_similarity_is_the_mean_of_its_parts():
    seen = grid(["a", "b", "c"], ["a", "b", "c", "s"])
    matrix = performance_matrix(seen, [column for column in seen.candidates.schema if column.group != "recipe"])
    similar = TaskSimilarity(matrix)
    parts = similar.parts(matrix.profiles)
    assert similar.among_targets(matrix.profiles) == pytest.approx(sum(parts.values()) / 4)
    assert all(part.any() for part in parts.values())


def test_similarity_among_observed_targets_is_the_same_both_ways():
    seen = grid(["a", "b", "c", "d"], ["a", "b", "c", "d", "s"], ("e", "f"))
    columns = [column for column in seen.candidates.schema if column.group != "recipe"]
    matrix = performance_matrix(seen, columns)
    found = TaskSimilarity(matrix).among_targets(matrix.profiles)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
