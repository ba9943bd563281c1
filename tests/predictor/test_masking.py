"""Canaries: what a row must not know is scrambled, and nothing about the row may change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.predictor.cells import grid
from transfercast.predictor.base_models import fit_base_models
from transfercast.predictor.masking import REGIMES, hidden_together, regimes_of
from transfercast.predictor.performance import performance_matrix

TASKS = ["a", "b", "c", "d", "e1"]
SEEN = grid(TASKS, [*TASKS, "s", "z"], ("e", "f"))
SCHEMA = SEEN.candidates.schema


def scrambled(rows: np.ndarray):
    """The transfers with other scores in some rows."""
    return replace(SEEN, score=np.where(rows, SEEN.score[::-1] * 0.3, SEEN.score))


def hidden_names(regime) -> np.ndarray:
    """(n,) what is hidden together, by names instead of numbers."""
    rows = SEEN.candidates
    pairs = np.array([f"{target} {encoder}" for target, encoder in zip(rows.targets, rows.encoder, strict=True)])
    return dict(zip(REGIMES, (rows.targets, pairs, rows.encoder, rows.sources), strict=True))[regime]


@pytest.mark.parametrize("regime", REGIMES)
def test_masked_forecasts_do_not_change_with_what_is_hidden(regime):
    names = hidden_names(regime)
    out = names == names[0]
    found = []
    for transfers in (SEEN, scrambled(out)):
        models = fit_base_models(transfers, SCHEMA, history=True)
        rows = models.matrix.rows_of(transfers.candidates)
        parts = [(own, process) for own, process in models.masked(transfers, regime) if 0 in own]
        assert len(parts) == 1
        own, process = parts[0]
        rows = process.matrix.rows_of(transfers.candidates)
        assert set(np.nonzero(out)[0]) == set(own)
        rows = rows.take(own)
        relative, top = process.forecasts(rows)
        found.append((relative.total, top.total, process.of_pair(rows), process.elsewhere(rows)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_the_regressor_learns_from_does_not_know_a_row_s_own_target():
    out = SEEN.candidates.targets == "a"
    one, other = (fit_base_models(transfers, SCHEMA, True).examples(transfers) for transfers in (SEEN, scrambled(out)))
    np.testing.assert_array_equal(one[out], other[out])
    assert not np.array_equal(one[~out], other[~out])


@pytest.mark.parametrize("regime", REGIMES)
def test_cells_are_hidden_together_as_their_names_say(regime):
    matrix = performance_matrix(SEEN, ())
    rows = replace(matrix.rows_of(SEEN.candidates), profiles=matrix.profiles)
    numbers = hidden_together(regime, rows, rows.target)
    names = hidden_names(regime)
    assert len(np.unique(numbers)) == len(np.unique(names))
    assert len({(number, name) for number, name in zip(numbers, names, strict=True)}) == len(np.unique(names))


def test_the_regime_of_a_row_is_told_by_what_was_observed():
    matrix = performance_matrix(SEEN.take(SEEN.candidates.encoder == "e"), ())
    matrix = matrix.take(matrix.rows.target != matrix.profiles.names.index("a"))
    rows = matrix.rows_of(SEEN.candidates)
    found = regimes_of(matrix, rows)
    encoder, target = SEEN.candidates.encoder, SEEN.candidates.targets
    assert set(found[encoder == "f"]) == {"encoder cold start"}
    assert set(found[(encoder == "e") & (target == "a")]) == {"target cold start"}
    assert set(found[(encoder == "e") & (target != "a")]) == {"warm target"}
    no_s = matrix.take(matrix.rows.source != matrix.task_numbers(["s"])[0])
    assert set(regimes_of(no_s, rows)[SEEN.candidates.sources == "s"]) == {"source cold start"}
