"""How curves rise: learned from recorded ones, and turned into the chance of a training to end above what is in hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from transfercast.core.errors import ArtifactError
from transfercast.execution import rises
from transfercast.execution.rises import CAREFUL, Curve, Forecast, Rises, learn

FLAT = Rises(mean=(0.2,) * 11, between=(0.0,) * 11, within=(0.1,) * 11)


def drawn(targets, each, rng, mean=0.4, between=0.1, within=0.05):
    """Curves of two epochs whose rise from the first to the end is drawn."""
    curves = []
    for target in range(targets):
        own = rng.normal(mean, between)
        for _ in range(each):
            start = rng.uniform(0.2, 0.6)
            end = start + (1 - start) * rng.normal(own, within)
            curves.append(Curve(f"t{target}", (start, end), end))
    return curves


def test_means_and_spreads_are_those_that_the_curves_were_drawn_from():
    learned = learn(drawn(400, 6, np.random.default_rng(0)))
    assert learned.curves == 2400
    assert learned.at(0.5) == pytest.approx((0.4, 0.1, 0.05), abs=0.01)
    assert learned.at(1.0) == (0.0, 0.0, 0.0)


def test_few_curves_or_few_targets_leave_the_careful_prior():
    rng = np.random.default_rng(0)
    assert learn([]) == learn(drawn(2, 100, rng)) == learn(drawn(5, 2, rng)) == CAREFUL
    ended_at_once = [Curve(f"t{n % 5}", (0.5,), 0.5) for n in range(100)]
    assert learn(ended_at_once) == CAREFUL
    assert CAREFUL.chance([0.3], 10, 0.6) > 0.05  # a gap as large as this is not given up after one epoch of ten
    assert CAREFUL.chance([0.3] * 9, 10, 0.6) < 0.01


def test_the_rise_is_counted_from_the_best_epoch_so_far_in_units_of_the_room_above_it():
    curve = Curve("t", (0.2, 0.6, 0.5, 0.8), 0.8)
    assert [curve.rise(share) for share in (0.25, 0.5, 0.75, 1.0)] == pytest.approx([0.75, 0.5, 0.5, 0.0])
    assert FLAT.chance([0.5, 0.4], 4, 0.6) == pytest.approx(0.5)  # the end is expected at 0.5 + 0.2 * 0.5
    assert FLAT.chance([0.5], 4, 0.65) == pytest.approx(norm.sf(0.65, 0.6, 0.05))


def test_forecast_and_curve_are_weighed_by_their_precisions():
    # The product of two normal densities, on a grid.
    grid = np.linspace(0, 1.2, 120_001)
    density = norm.pdf(grid, 0.6, 0.05) * norm.pdf(grid, 0.7, 0.08)
    above = density[grid > 0.66].sum() / density.sum()
    assert FLAT.chance([0.5], 4, 0.66, Forecast(0.7, 0.08)) == pytest.approx(above, abs=1e-4)


def test_trainings_of_the_target_that_have_ended_move_the_expected_rise():
    # The posterior of a normal mean: prior variance 0.04, two measurements of variance 0.01 each.
    learned = Rises(mean=(0.2,) * 11, between=(0.2,) * 11, within=(0.1,) * 11)
    precision = 1 / 0.04 + 2 / 0.01
    mean, variance = (0.2 / 0.04 + 2 * 0.5 / 0.01) / precision, 1 / precision
    earlier = [Curve("t", (0.0, 0.5), 0.5)] * 2
    wanted = norm.sf(0.7, 0.5 + 0.5 * mean, 0.5 * (variance + 0.01) ** 0.5)
    assert learned.chance([0.5], 2, 0.7, earlier=earlier) == pytest.approx(wanted)


def test_of_trainings_that_are_given_a_chance_so_many_end_above():
    rng = np.random.default_rng(1)
    learned, chances, above = learn(drawn(300, 6, rng)), [], []
    for curve in drawn(300, 6, rng):
        in_hand = rng.uniform(0.5, 0.8)
        chances.append(learned.chance(curve.scores[:1], 2, in_hand))
        above.append(curve.end > in_hand)
    chances, above = np.array(chances), np.array(above)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        among = (chances >= low) & (chances < high)
        assert above[among].mean() == pytest.approx(chances[among].mean(), abs=0.06)


def test_the_shipped_rises_are_read_and_damaged_ones_are_named(tmp_path, monkeypatch):
    assert rises.shipped().at(1.0)[0] < rises.shipped().at(0.1)[0]
    FLAT.save(tmp_path / "rises.json")
    text = (tmp_path / "rises.json").read_text()
    (tmp_path / "rises.json").write_text(text.replace("0.2", '"x"', 1))
    monkeypatch.setattr(rises, "SHIPPED", tmp_path / "rises.json")
    with pytest.raises(ArtifactError, match=r"rises.json: damaged.*mean.0"):
        rises.shipped.__wrapped__()
