"""The prior: one vote for each measure, or weights that other tasks taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.core.test_core import column
from transfercast.core.records import Candidate
from transfercast.core.table import TargetFacts
from transfercast.predictor.data import Candidates, Transfers, candidates_of, joined
from transfercast.predictor.prior import RANGE, centred_ranks, key_of, prior_points, ranks_of
from transfercast.predictor.prior_fit import RECIPE_PAIRS, RIDGE, VOTE_ROWS, fit_on_families, held_out_families, learned_weights
from transfercast.predictor.relative import relative_scores

COLUMNS = (column("good"), column("bad"), column("worse").model_copy(update={"better": "lower"}))


def transfers(targets: list[str], sources: list[str], seed: int = 0) -> Transfers:
    """Scores follow the column 'good'; the others are noise."""
    rng = np.random.default_rng(seed)
    candidates = [Candidate(source, target, "full") for target in targets for source in sources if source != target]
    values = rng.normal(size=(len(candidates), 3))
    facts = {name: TargetFacts(fingerprint="", metric="macro_f1", train_rows=9, score=0.5) for name in targets}
    rows = candidates_of(values, COLUMNS, candidates, facts, "e")
    score = np.clip(0.55 + 0.05 * values[:, 0] + rng.normal(scale=0.01, size=len(candidates)), 0, 1)
    return Transfers(rows, score, np.ones(len(candidates)))


def points(rows: Candidates, weights: dict[str, float]) -> np.ndarray:
    return prior_points(rows, rows.evidence_groups, np.full(len(rows), 0.5), weights).sum(axis=1)


def test_ranks_are_centred_shared_by_ties_and_turned_where_lower_is_better():
    values = np.array([[1.0, 3.0, 3.0], [2.0, 3.0, 2.0], [np.nan, 1.0, 1.0]])
    rows = candidates_of(values, COLUMNS, [Candidate(name, "t", "full") for name in "abc"], {}, "e")
    expected = [[-0.25, 1 / 3 - 1 / 6 + 0.0, -1 / 3], [0.25, 1 / 3 - 1 / 6, 0.0], [0.0, -1 / 3, 1 / 3]]
    np.testing.assert_allclose(ranks_of(rows, np.arange(3)), expected, atol=1e-12)


def test_weights_add_shares_of_the_headroom_worked_by_hand():
    values = np.array([[1.0, 9.0, 0.0], [2.0, 8.0, 0.0]])
    rows = candidates_of(values, COLUMNS, [Candidate(name, "t", "full") for name in "ab"], {}, "e")
    # ranks -.25 and .25, and the other way round: half of the headroom x (.4 - .1) x .25
    np.testing.assert_allclose(points(rows, {"good@1": 0.4, "bad@1": 0.1}), [-0.0375, 0.0375])


def test_without_a_known_column_or_with_another_version_of_it_each_measure_has_a_vote():
    rows = transfers(["t"], list("abcde")).candidates
    expected = RANGE * centred_ranks(rows, rows.evidence_groups).sum(axis=1)
    for weights in ({}, {"another@1": 1.0}, {"good@2": 1.0}):
        np.testing.assert_allclose(points(rows, weights), expected)


def test_what_other_tasks_taught_orders_unknown_ones_better_than_votes():
    weights = learned_weights(transfers([f"t{n}" for n in range(300)], [f"s{n}" for n in range(10)]))
    new = transfers([f"u{n}" for n in range(8)], [f"v{n}" for n in range(10)], seed=1)
    learned, votes = (
        np.mean([spearmanr(points(new.candidates, w)[rows], new.score[rows])[0] for rows in np.arange(80).reshape(8, 10)])
        for w in (weights, {})
    )
    assert learned > 0.9 > 0.75 > votes
    assert max(weights, key=lambda name: abs(weights[name])) == "good@1"


def test_the_learned_weights_solve_the_ridge_regression_toward_votes():
    some = transfers([f"t{n}" for n in range(4)], [f"s{n}" for n in range(6)])
    rows = some.candidates
    X, y = ranks_of(rows, np.arange(3)), relative_scores(some.score, rows.query_ids)
    votes = np.full(3, 1 / 3)
    worth = (X @ votes) @ y / ((X @ votes) @ (X @ votes))
    votes = votes * (24 * worth + VOTE_ROWS) / (24 + VOTE_ROWS)
    augmented = np.concatenate([X, np.sqrt(RIDGE) * np.eye(3)])
    expected, *_ = np.linalg.lstsq(augmented, np.concatenate([y, np.sqrt(RIDGE) * votes]), rcond=None)
    found = np.array([learned_weights(some)[key_of(one)] for one in COLUMNS])
    np.testing.assert_allclose(found / np.linalg.norm(found), expected / np.linalg.norm(expected), atol=1e-4)
    # the best factor to scores, in shares of the headroom of one half
    moved = some.score - np.repeat([some.score[rows.query_ids == q].mean() for q in range(4)], 6)
    said = 0.5 * X @ expected
    np.testing.assert_allclose(found, expected * (said @ moved) / (said @ said), atol=1e-5)


def test_a_few_transfers_by_chance_leave_the_order_of_the_votes():
    new = transfers([f"u{n}" for n in range(8)], [f"v{n}" for n in range(10)], seed=1)
    few = transfers(["t0", "t1"], [f"s{n}" for n in range(4)])
    by_chance = Transfers(few.candidates, np.random.default_rng(5).uniform(size=8), few.hours)
    learned, votes = (points(new.candidates, weights) for weights in (learned_weights(by_chance), {}))
    agreement = [spearmanr(learned[rows], votes[rows])[0] for rows in np.arange(80).reshape(8, 10)]
    assert np.mean(agreement) > 0.9


def test_what_an_adaptation_adds_is_learned_from_pairs_trained_both_ways_worked_by_hand():
    usual = [("s1", "t1", "full"), ("s2", "t1", "full"), ("s1", "t2", "full")]
    frozen = [("s1", "t1", "features"), ("s1", "t2", "features"), ("s3", "t2", "features")]  # the last was trained one way only
    rows = candidates_of(np.zeros((6, 0)), [], [*usual, *frozen], {}, "e")
    rows = replace(rows, baseline=np.array([0.5, 0.5, 0.0, 0.5, 0.0, 0.0]))
    some = Transfers(rows, np.array([0.7, 0.6, 0.4, 0.6, 0.1, 0.9]), np.ones(6))
    effect = (-0.1 * 0.5 - 0.3 * 1.0) / (0.5**2 + 1.0**2) * 2 / (2 + RECIPE_PAIRS)
    assert learned_weights(some) == {"recipe_frozen@1": pytest.approx(2 * effect, abs=1e-6)}
    added = prior_points(rows.take(np.array([0, 1, 3])), ("recipe",), np.full(3, 0.5), learned_weights(some))[:, 0]
    assert added[2] - added[0] == pytest.approx(0.5 * effect, abs=1e-6)


def test_weights_of_measures_rest_on_the_most_frequent_recipe_alone():
    some = transfers([f"t{n}" for n in range(6)], [f"s{n}" for n in range(8)])
    few = np.arange(0, len(some), 3)
    other = replace(some.candidates.take(few), recipes=np.full(len(few), "full/head=fresh", dtype=object))
    both = Transfers(joined([some.candidates, other]), np.r_[some.score, 1 - some.score[few]], np.ones(len(some) + len(few)))
    assert learned_weights(both) == learned_weights(some)


def test_where_only_recipes_have_weights_the_measures_still_vote():
    rows = transfers(["t0"], ["s0", "s1", "s2"]).candidates
    votes = prior_points(rows, rows.evidence_groups, np.ones(3), {})
    assert np.abs(votes).max() > 0
    np.testing.assert_array_equal(prior_points(rows, rows.evidence_groups, np.ones(3), {"recipe_frozen@1": -0.3}), votes)


def test_a_family_is_held_out_with_its_sources():
    some = transfers(["a1", "a2", "b1"], ["a1", "a2", "b1"])
    families = {"a1": "a", "a2": "a", "b1": "b"}
    pairs = list(zip(some.candidates.sources, some.candidates.targets, strict=True))
    (known_a, asked_a), (known_b, asked_b) = held_out_families(some, families)
    assert not known_a.any()
    assert [pair for pair, asked in zip(pairs, asked_a, strict=True) if asked] == [pair for pair in pairs if pair[1][0] == "a"]
    assert [pair for pair, known in zip(pairs, known_b, strict=True) if known] == [("a2", "a1"), ("a1", "a2")]
    assert [pair for pair, asked in zip(pairs, asked_b, strict=True) if asked] == [("a1", "b1"), ("a2", "b1")]


def test_errors_of_a_family_do_not_rest_on_its_own_scores():
    names = [f"{family}{n}" for family in "abc" for n in range(4)]
    families = {name: name[0] for name in names}
    before = transfers(names, names)
    of_a = np.array([name[0] == "a" for name in before.candidates.targets])
    moved = np.where(of_a, before.score[::-1], before.score)
    fitted = [fit_on_families(Transfers(before.candidates, s, before.hours), families) for s in (before.score, moved)]
    residuals = [np.concatenate([one.residuals[f"a{n}"] for n in range(4)]) for one in fitted]
    truth = [np.concatenate([s[before.candidates.targets == f"a{n}"] for n in range(4)]) for s in (before.score, moved)]
    # error = (truth - forecast) / headroom of one half, so what was forecast is the same
    np.testing.assert_allclose(truth[0] - 0.5 * residuals[0], truth[1] - 0.5 * residuals[1], atol=1e-9)


@pytest.mark.parametrize("families", [{}, {f"t{n}": "one" for n in range(4)}])
def test_intervals_are_those_of_targets_that_were_held_out(families):
    some = transfers([f"t{n}" for n in range(4)], [f"s{n}" for n in range(6)])
    fitted = fit_on_families(some, families)
    assert set(fitted.residuals) == ({f"t{n}" for n in range(4)} if not families else set())
