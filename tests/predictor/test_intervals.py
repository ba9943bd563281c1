"""Bounds cover what they say, for targets that were not among those they were made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from transfercast.predictor.intervals import Intervals, shared_and_own
from transfercast.predictor.prior import SPREAD


def half_width(residuals, coverage, kind="grouped"):
    return Intervals(residuals).half_width(coverage, kind)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.92])
def test_the_grouped_bound_is_the_conformal_quantile(coverage):
    # split conformal: of n + 1 exchangeable residuals the next is within the k-th smallest with probability k / (n + 1)
    rng = np.random.default_rng(0)
    hits = [abs(r[-1]) <= half_width({"a": r[:12], "b": r[12:-1]}, coverage) for r in rng.normal(size=(4000, 20))]
    k = math.ceil(coverage * 20)
    assert np.mean(hits) == pytest.approx(k / 20, abs=0.02)


def slow_hierarchical(residuals, coverage):
    """The least size at which the weights of all residuals up to it reach the coverage."""
    weights = {}
    for own in residuals.values():
        for value in own:
            weights[abs(value)] = weights.get(abs(value), 0) + 1 / len(own) / (len(residuals) + 1)
    total = 0.0
    for size in sorted(weights):
        total += weights[size]
        if total >= coverage - 1e-9:
            return size
    return math.inf


def test_the_hierarchical_bound_equals_its_slow_transcription():
    rng = np.random.default_rng(1)
    for _ in range(200):
        residuals = {str(t): rng.normal(size=rng.integers(1, 8)) for t in range(rng.integers(1, 15))}
        for coverage in (0.5, 0.8, 0.9):
            found, slow = half_width(residuals, coverage, "hierarchical"), slow_hierarchical(residuals, coverage)
            assert found == slow if slow < math.inf else found > 0


def test_with_target_effects_the_hierarchical_bound_covers_a_new_target_and_the_grouped_one_a_little_less():
    rng = np.random.default_rng(2)
    hits = {"grouped": [], "hierarchical": []}
    for _ in range(600):
        rows = {str(t): rng.normal() + 0.5 * rng.normal(size=8) for t in range(21)}
        new = rows.pop("20")
        for kind, found in hits.items():
            found.append(np.mean(np.abs(new) <= half_width(rows, 0.9, kind)))
    assert np.mean(hits["hierarchical"]) >= 0.9
    assert 0.86 <= np.mean(hits["grouped"]) < np.mean(hits["hierarchical"])


def test_where_targets_are_too_few_for_a_quantile_the_hierarchical_bound_is_student_s_worked_by_hand():
    nine = {str(t): np.array([0.1]) for t in range(9)}
    assert half_width(nine, 0.9, "hierarchical") == 0.1
    # 2.306 is the table's 97.5 % point with 8 degrees of freedom, .1 the mean square's root, 10 / 9 the new target's own share
    assert half_width(nine, 0.95, "hierarchical") == pytest.approx(2.306 * 0.1 * math.sqrt(10 / 9), rel=1e-3)
    two = {"a": np.array([0.1]), "b": np.array([-0.1])}
    assert half_width(two, 0.9, "hierarchical") == pytest.approx(6.3138 * 0.1 * math.sqrt(1.5), rel=1e-4)  # tan(.45 pi)
    assert half_width({"a": np.array([0.1])}, 0.6, "hierarchical") == half_width({}, 0.5, "hierarchical") == math.inf


@pytest.mark.parametrize("targets", [2, 4, 7])
def test_few_targets_give_bounds_that_cover_a_new_one(targets):
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(2000):
        rows = {str(t): 0.1 * rng.normal() + 0.1 * rng.normal(size=8) for t in range(targets + 1)}
        new = rows.pop("0")
        hits.append(np.mean(np.abs(new) <= half_width(rows, 0.9, "hierarchical")))
    assert np.mean(hits) >= 0.88


def test_the_probability_of_improvement_worked_by_hand():
    residuals = {"a": np.array([-0.2, 0.1]), "b": np.array([0.3])}
    # a forecast .1 above the baseline improves on it with residuals above -.1: half of a's, all of b's: (.5 + 1 + .5) / 3
    found = Intervals(residuals).improvement(np.array([0.1, -0.4, np.nan]))
    assert found[:2] == pytest.approx([2 / 3, 0.5 / 3])
    assert np.isnan(found[2])
    assert np.isnan(Intervals({}).improvement(np.array([0.1]))).all()


def test_the_spread_to_expect_is_that_of_the_residuals_with_five_of_the_prior_s_worked_by_hand():
    # squares: .04 + .01 + .01, and five of .1^2; eight values
    assert Intervals({"a": np.array([0.2, -0.1]), "b": np.array([0.1])}).spread == pytest.approx(math.sqrt(0.11 / 8))
    assert Intervals({}).spread == pytest.approx(SPREAD)
    many = {str(t): np.full(200, 0.02) for t in range(5)}
    assert Intervals(many).spread == pytest.approx(0.02, abs=0.002)


def test_below_ten_targets_bounds_are_hierarchical_unless_pooled_ones_are_asked_for():
    nine = Intervals({str(t): np.array([0.1]) for t in range(9)})
    ten = Intervals({str(t): np.array([0.1]) for t in range(10)})
    assert (nine.kind(None), ten.kind(None)) == ("hierarchical", "grouped")
    assert (nine.kind("grouped"), ten.kind("hierarchical")) == ("grouped", "hierarchical")


def test_the_errors_that_rows_share_are_told_from_their_own():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 12)
    errors = rng.normal(0, 0.08, 400)[groups] + rng.normal(0, 0.03, len(groups))
    shared, own = shared_and_own(errors, groups)
    assert shared == pytest.approx(0.08, rel=0.1)
    assert own == pytest.approx(0.03, rel=0.05)
    errors[:12] *= 50  # one target that errs far more changes what the others' rows are expected to err little
    assert shared_and_own(errors, groups)[1] == pytest.approx(0.03, rel=0.05)
    assert shared_and_own(np.array([0.1, -0.1]), np.array([0, 1])) == (0.0, SPREAD)
