"""The quadrature on functions whose integral is known, and where it halves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from transfercast.attribution.path import (
    FLOOR,
    Interval,
    Panel,
    allowed_error,
    completeness_error,
    hidden_movement,
    panels,
    path_error,
    to_halve,
)


def interval(start, end, depth):
    """Two words with h = (a^2, a) and F = h1^3 + h2 = a^6 + a (log-odds aside): conductances are 6 a^5 da and da."""
    moved = np.array([end**2 - start**2, end - start])
    mean_gradient = np.array([(3 * start**4 + 3 * end**4) / 2, 1.0])
    value = mean_gradient * moved
    found = Interval(start, end, value[None], (end**6 + end) - (start**6 + start))
    if depth:
        found.halves = (interval(start, found.middle, depth - 1), interval(found.middle, end, depth - 1))
    return found


def gathered(depth):
    return np.sum([part.value for part in panels([interval(0.0, 1.0, depth)])], axis=0)[0]


def test_extrapolation_raises_the_order_from_two_to_four():
    exact = np.array([1.0, 1.0])  # of a^6 and of a
    errors = [abs(gathered(depth) - exact)[0] for depth in (1, 2, 3, 4)]
    ratios = [a / b for a, b in pairwise(errors) if b > 1e-14]
    assert ratios
    assert all(ratio > 12 for ratio in ratios)
    assert gathered(1)[1] == pytest.approx(1.0)


def test_a_half_that_is_halved_again_is_summed_apart_from_its_sibling():
    whole = interval(0.0, 1.0, 1)
    first, second = whole.halves
    first.halves = interval(0.0, 0.5, 1).halves
    parts = panels([whole])
    assert [part.leaves for part in parts] == [first.halves, (second,)]
    np.testing.assert_allclose(parts[1].value, second.value)


def part(*errors):
    value = np.array([[error] for error in errors], dtype=float)
    return Panel((Interval(0.0, 1.0, value, 0.0),), value, value[:, 0])


def test_errors_of_parts_do_not_cancel_in_the_path_error_but_do_in_completeness():
    parts = [part(0.3, 0.0), part(-0.2, 0.1)]
    np.testing.assert_allclose(path_error(parts), [0.5, 0.1])
    np.testing.assert_allclose(completeness_error(parts, 2.0), [0.05, 0.05])
    np.testing.assert_allclose(completeness_error(parts, FLOOR / 10), [0.1 / FLOOR, 0.1 / FLOOR])


def test_the_tolerance_is_relative_to_the_change_of_f_or_absolute_where_f_hardly_changes():
    assert allowed_error(-0.8, 0.02) == pytest.approx(0.016)
    assert allowed_error(0.0, 0.02) == pytest.approx(0.0005)
    assert allowed_error(0.02, 0.02) == pytest.approx(0.0005)


def test_the_worst_parts_are_halved_as_many_as_are_expected_to_suffice():
    parts = [part(0.5), part(0.01), part(0.3), part(0.2)]
    worst = [one.leaves[0] for one in (parts[0], parts[2], parts[3])]
    assert to_halve(parts, 0.02, most=9) == worst  # 0.01 would not be the worst once the others are a quarter
    assert to_halve(parts, 0.02, most=1) == worst[:1]
    assert to_halve(parts, 0.5, most=9) == worst[:2]  # 1.01 - 0.75 * 0.5 = 0.635, - 0.75 * 0.3 = 0.41
    assert to_halve(parts, 1.02, most=9) == []


def test_movement_that_ends_do_not_show_is_an_error_of_every_layer():
    hidden = Interval(0.0, 0.5, np.zeros((2, 1)), 0.0, hidden=0.3)
    (panel,) = panels([hidden])
    np.testing.assert_allclose(panel.error, [0.3, 0.3])
    assert to_halve([panel, part(0.01, 0.01)], 0.02, most=9) == [hidden]


def test_log_odds_that_leave_and_come_back_move_f_though_it_is_the_same_at_both_ends():
    # z = 8 - 4 * 10.6 t (1 - t): 8 at both ends, -2.6 in the middle; slopes -42.4 and 42.4.  F falls from .9997 to .0691 and
    # rises again: it moves by 2 * .9306 and changes by 0.
    slopes = np.array([-42.4]), np.array([42.4])
    assert hidden_movement(8.0, 8.0, *slopes) == pytest.approx(2 * (1 / (1 + np.exp(-8)) - 1 / (1 + np.exp(2.6))), abs=1e-3)


def test_log_odds_that_only_rise_hide_nothing():
    assert hidden_movement(-3.0, 3.0, np.array([6.0, 2.0]), np.array([6.0, 9.0])) == pytest.approx(0.0, abs=1e-12)


def test_of_two_extrapolated_leaves_the_better_is_left_alone_where_it_is_much_better():
    def leaf(error):
        return Interval(0.0, 0.5, np.array([[error]]), 0.0)

    lopsided, even = (leaf(0.4), leaf(0.1)), (leaf(0.4), leaf(0.3))
    assert Panel(lopsided, np.zeros((1, 1)), np.array([0.1])).worst_leaves() == [lopsided[0]]
    assert Panel(even, np.zeros((1, 1)), np.array([0.1])).worst_leaves() == list(even)


def test_intervals_too_narrow_for_float32_are_not_halved():
    narrow = Interval(0.0, 2.0**-16, np.ones((1, 1)), 0.0)
    assert to_halve([Panel((narrow,), narrow.value, narrow.missing)], 0.02, most=9) == []
