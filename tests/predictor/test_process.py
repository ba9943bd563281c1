"""The process over pairs, against hand-worked cases, the whole covariance, and scikit-learn's ridge."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.predictor.cells import grid, transfers_from
from transfercast.predictor import process as module
from transfercast.predictor.performance import performance_matrix
from transfercast.predictor.process import CONSTANT, NEW_ENCODER, NOISE, RIDGE, SHARED_ENCODER, PairProcess

SCORES = (("a", 0.9), ("b", 0.1))


def process_of(transfers, history=True) -> PairProcess:
    columns = [column for column in transfers.candidates.schema if column.group != "recipe"]
    return PairProcess(performance_matrix(transfers, columns), history)


def forecasts(process, transfers) -> np.ndarray:
    return process.forecast(process.matrix.rows_of(transfers.candidates)).total


def test_without_evidence_and_similarity_it_is_the_shrunk_mean_of_the_source_worked_by_hand():
    # two sources on three targets: in each query the better stands 1 deviation above, the other 1 below the mean
    seen = transfers_from(
        [("a", "t", 0.9), ("b", "t", 0.1), ("a", "u", 0.8), ("b", "u", 0.2), ("a", "v", 0.7), ("b", "v", 0.3)]
    )
    process = process_of(seen)
    new = transfers_from([("a", "new", 0.0), ("b", "new", 0.0)])
    # all targets are strangers to "new": the kernel between is CONSTANT; t, u, v are strangers to one another, too
    mean_of_three = 1.0
    expected = 3 * CONSTANT * mean_of_three / (NOISE + 3 * CONSTANT)
    assert forecasts(process, new) == pytest.approx([expected, -expected])


def test_a_source_that_was_never_observed_is_forecast_by_its_evidence_alone():
    seen = grid([f"t{n}" for n in range(6)], [f"s{n}" for n in range(8)])
    process = process_of(seen)
    rows = [("stranger", "new", 0.0), ("s1", "new", 0.0)]
    new = transfers_from(rows, [[3.0, 0.0], [1.0, 0.0]])
    parts = process.forecast(process.matrix.rows_of(new.candidates))
    assert parts.effects[0] == 0
    assert parts.evidence[0, 0] > 0 > parts.evidence[1, 0]  # z-scores of two rows are 1 and -1
    assert parts.total == pytest.approx(parts.effects + parts.pair.sum(axis=1) + parts.evidence.sum(axis=1))


def test_it_is_the_posterior_mean_under_the_whole_covariance():
    seen = grid([f"t{n}" for n in range(4)], [f"s{n}" for n in range(5)], ("e", "f"))
    process = process_of(seen)
    rows, outcomes = process.matrix.rows, process.matrix.outcomes
    inputs = np.concatenate([rows.evidence, process.of_pair(rows)], axis=1)

    def covariance(i, j):
        shared = SHARED_ENCODER + (1 - SHARED_ENCODER) * (rows.encoder[i] == rows.encoder[j])
        effects = (rows.source[i] == rows.source[j]) * shared * process._kernel[rows.target[i], rows.target[j]]
        return effects + inputs[i] @ inputs[j] / RIDGE

    numbers = range(len(outcomes))
    whole = np.array([[covariance(i, j) for j in numbers] for i in numbers])
    expected = whole @ np.linalg.solve(whole + NOISE * np.eye(len(whole)), outcomes)
    assert process.forecast(rows).total == pytest.approx(expected[:, 0])
    assert process.forecasts(rows)[1].total == pytest.approx(expected[:, 1])


@pytest.mark.parametrize("name", ["never heard of", "f"])
def test_for_a_new_encoder_the_others_count_more_than_for_an_observed_one(name):
    pairs = [(source, target, score, encoder) for target, encoder in ("te", "ue", "ve", "wf") for source, score in SCORES]
    seen = transfers_from(pairs)
    matrix = performance_matrix(seen, ())
    process = PairProcess(matrix.take(matrix.rows.encoder == 0))  # "f" has a number, but no cell
    known, new = (forecasts(process, transfers_from([(s, "new", 0.0, encoder) for s in "ab"])) for encoder in ("e", name))
    np.testing.assert_allclose(new, NEW_ENCODER * known)
    assert known[0] > 0


def test_elsewhere_is_the_source_s_mean_over_the_observed_cells():
    pairs = [("a", "t", 0.9), ("b", "t", 0.1), ("a", "u", 0.3), ("b", "u", 0.7), ("a", "v", 0.8), ("c", "v", 0.2)]
    seen = transfers_from(pairs)
    process = process_of(seen)
    rows = process.matrix.rows_of(transfers_from([("a", "new", 0.0), ("b", "new", 0.0), ("x", "new", 0.0)]).candidates)
    # the better of two has 1, the other -1, in both outcomes
    np.testing.assert_allclose(process.elsewhere(rows), [[1 / 3, 1 / 3], [0, 0], [np.nan, np.nan]], atol=1e-12)
    assert np.isnan(process_of(seen, history=False).elsewhere(rows)).all()


def test_without_history_it_is_scikit_learn_s_ridge_on_the_evidence():
    seen = grid([f"t{n}" for n in range(5)], [f"s{n}" for n in range(6)])
    process = process_of(seen, history=False)
    rows = process.matrix.rows
    ridge = Ridge(alpha=RIDGE * NOISE, fit_intercept=False).fit(rows.evidence, process.matrix.outcomes[:, 0])
    assert process.forecast(rows).total == pytest.approx(ridge.predict(rows.evidence))
    assert (process.forecast(rows).effects == 0).all()


def test_what_is_solved_in_parts_is_solved_as_a_whole(monkeypatch):
    seen = grid([f"t{n}" for n in range(5)], [f"s{n}" for n in range(7)]).take(np.arange(3, 33))
    whole = forecasts(process_of(seen), seen)
    monkeypatch.setattr(module, "MOST_CELLS", 1)  # one source at a time
    assert forecasts(process_of(seen), seen) == pytest.approx(whole)


def test_a_target_that_is_similar_to_an_observed_one_gets_more_of_its_order():
    # a is best on t, b on u; the evidence orders the sources of "like t" as it did those of t
    rows = [
        (s, t, score)
        for t, scores in (("t", (0.9, 0.5, 0.1)), ("u", (0.1, 0.5, 0.9)))
        for s, score in zip("abc", scores, strict=True)
    ]
    evidence = [[1.0], [2.0], [0.0], [0.0], [2.0], [1.0]]
    process = process_of(transfers_from(rows, evidence))
    like_t = transfers_from([(s, "like t", 0.0) for s in "abc"], [[1.0], [2.0], [0.0]])
    effects = process.forecast(process.matrix.rows_of(like_t.candidates)).effects
    assert effects[0] > effects[2]


def test_a_target_that_was_observed_with_another_encoder_is_known_by_those_cells():
    rows = [(s, f"t{n}", score, e) for n in range(3) for e in "ef" for s, score in (("a", 0.9), ("b", 0.1))]
    own = [("a", "new", 0.1, "f"), ("b", "new", 0.9, "f")]  # the other way round
    asked = transfers_from([("a", "new", 0.0, "e"), ("b", "new", 0.0, "e")])
    cold, warm = (forecasts(process_of(transfers_from(seen)), asked) for seen in (rows, rows + own))
    assert cold[0] > cold[1]
    assert warm[0] - warm[1] < cold[0] - cold[1]


def test_an_observed_target_is_known_by_its_own_cells_whichever_of_its_rows_are_asked_for():
    seen = grid([f"t{n}" for n in range(5)], [f"s{n}" for n in range(6)])
    process = process_of(seen)
    one = seen.take(np.array([7]))
    asked_alone, asked_with_all = (process.forecast(process.matrix.rows_of(rows.candidates)).effects for rows in (one, seen))
    assert asked_alone[0] == pytest.approx(asked_with_all[7])


def test_the_second_term_of_the_pair_is_how_similar_source_and_target_are_as_sources():
    seen = grid(["a", "b", "c", "d"], ["a", "b", "c", "d", "s"])
    process = process_of(seen)
    rows = process.matrix.rows_of(seen.candidates)
    found = process.of_pair(rows)[:, 1]
    matrix = process.matrix
    names = zip(seen.candidates.targets, seen.candidates.sources, strict=True)
    numbers = [(matrix.tasks.index(target), matrix.tasks.index(source)) for target, source in names]
    similar = process.similarity.effects(np.arange(len(matrix.tasks)))
    np.testing.assert_allclose(found, [similar[pair] for pair in numbers])
    assert found.any()


def test_the_third_term_of_the_pair_is_the_z_score_of_being_named_after_the_target():
    scores = {"x/bert-news": 0.9, "b": 0.1, "c": 0.2, "d": 0.3}
    seen = transfers_from([(source, "news", score) for source, score in scores.items()])
    process = process_of(seen)
    rows = process.matrix.rows_of(seen.candidates)
    np.testing.assert_allclose(process.of_pair(rows)[:, 2], [3**0.5, *[-(3**-0.5)] * 3])
    assert not process_of(seen, history=False).of_pair(rows).any()
