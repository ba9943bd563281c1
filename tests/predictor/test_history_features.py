"""What the history says of a pair: right by hand, blind to what is hidden."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.core.test_core import column
from tests.predictor.test_predictor import observed
from transfercast.predictor.alike import SMOOTHING, Profiles, Witnesses, history_schema, own_columns, shared_columns
from transfercast.predictor.design import Observed, design_of
from transfercast.predictor.inputs import Inputs
from transfercast.predictor.past import Past, past_of
from transfercast.predictor.situations import situations_of
from transfercast.predictor.standing import even, gain, top, within


def matrix(tasks=6, encoders=2, seed=0, columns=("embeddings", "attribution")) -> Observed:
    """Every task a target and a source of all others, with random scores and measures."""
    rng = np.random.default_rng(seed)
    names = [(f"k{s}", f"k{t}", "full") for t in range(tasks) for s in range(tasks) if s != t] * encoders
    n = len(names)
    schema = [column(f"m{i}", group=group) for i, group in enumerate(columns)]
    design = design_of(rng.normal(size=(n, len(columns))), schema, names, {}, "x")
    encoder = np.repeat([f"e{e}" for e in range(encoders)], n // encoders).astype(object)
    design = type(design)(design.values, design.schema, design.sources, design.targets, design.recipes,
                          rng.uniform(0.3, 0.6, n), design.metric, encoder)  # fmt: skip
    return Observed(design, rng.uniform(0, 1, n), np.zeros(n), np.zeros(n))


def test_standings_within_a_group_are_those_of_pandas():
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=(40, 3)), rng.integers(0, 5, 40)
    values[rng.random((40, 3)) < 0.2] = np.nan
    values[groups == 2, 1] = 7.0
    expected = pd.DataFrame(values).groupby(groups).transform(lambda c: (c - c.mean()) / (c.std(ddof=0) or 1.0))
    np.testing.assert_allclose(within(values, groups), expected, atol=1e-12)


def test_a_top_standing_halves_every_three_ranks_and_shares_ties():
    found = top(np.array([0.9, 0.8, 0.7, 0.6]))
    assert found[0] - found[3] == pytest.approx(1 - 0.5)
    assert found.sum() == pytest.approx(0)
    tied = top(np.array([0.5, 0.5]))
    assert tied[0] == tied[1]
    assert even(np.array([1.0, 2.0, 3.0]))[2] == pytest.approx(np.sqrt(1.5))


def test_the_past_is_read_back_as_it_was_written_and_nonsense_is_refused():
    past = past_of(matrix())
    again = Past.from_json(past.as_json())
    for name in ("scores", "alone", "views"):
        np.testing.assert_array_equal(getattr(again, name), getattr(past, name))
    for broken in ([9, 0, 0, 0.5], [0, -1, 0, 0.5], [0, 0, 0, float("nan")]):
        with pytest.raises(ValueError, match="outside"):
            Past.from_json({**past.as_json(), "scores": [broken]})


def test_views_point_where_better_is_and_average_the_measures_of_a_group():
    names = [(s, "t", "full") for s in "abc"]
    schema = [column("up"), column("down", better="lower")]
    design = design_of(np.array([[1.0, 9.0], [2.0, 8.0], [3.0, np.nan]]), schema, names, {}, "e")
    past = past_of(Observed(design, np.array([0.1, 0.2, 0.3]), np.zeros(3), np.zeros(3)))
    spread = np.sqrt(2 / 3)
    seen = past.views[0, past.number["t"], [past.number[s] for s in "abc"]]
    np.testing.assert_allclose(seen, [(-1 / spread - 1) / 2, (0 + 1) / 2, 1 / spread])


@pytest.mark.parametrize("situation", ["new target", "known target", "new encoder"])
def test_a_row_s_description_does_not_change_with_what_is_hidden_from_it(situation):
    """The test that would catch a leak: change what a row must not see, and its own description stays."""
    before = matrix()
    inputs = Inputs(past_of(before), before.design.schema, "standing")
    own = (before.design.targets == "k1") & (before.design.encoder == "e0")
    hidden = {
        "new target": before.design.targets == "k1",
        "known target": own,
        "new encoder": before.design.encoder == "e0",
    }[situation]
    scrambled = Observed(before.design, np.where(hidden, before.score[::-1], before.score), before.hours, before.noise)
    after = Inputs(past_of(scrambled), before.design.schema, "standing").examples(scrambled, situation)
    told = inputs.examples(before, situation)
    names = [c.name for c in inputs.columns]
    np.testing.assert_allclose(after[own], told[own], atol=1e-9)
    assert not np.allclose(after[~hidden], told[~hidden], equal_nan=True)
    assert np.isfinite(told[own]).any(axis=0)[names.index("top: mean on other targets, all encoders")]


def test_a_target_known_with_another_encoder_is_no_witness_for_itself():
    before = matrix()
    own, other = ((before.design.targets == "k1") & (before.design.encoder == e) for e in ("e0", "e1"))
    scrambled = Observed(before.design, np.where(other, before.score[::-1], before.score), before.hours, before.noise)
    told, after = (
        Inputs(past_of(some), some.design.schema, "standing").examples(some, "known target") for some in (before, scrambled)
    )
    names = [c.name for c in Inputs(past_of(before), before.design.schema, "standing").columns]
    mean = [names.index(f"even: mean on other targets{of}") for of in ("", ", all encoders")]
    np.testing.assert_allclose(after[own][:, mean], told[own][:, mean], rtol=0.1)  # the scale of all standings moves a little
    itself = names.index("even: same target, other encoders")
    assert not np.allclose(after[own][:, itself], told[own][:, itself], rtol=0.1)


def test_rows_to_be_forecast_are_described_as_they_were_in_training():
    whole = matrix()
    out = whole.design.targets == "k2"
    described = Inputs(past_of(whole), whole.design.schema, "standing").examples(whole, "new target")[out]
    kept = Inputs(past_of(whole.take(~out)), whole.design.schema, "standing")
    found, situation = kept.rows(whole.design.take(out))
    assert set(situation) == {"new target"}
    names = [c.name for c in kept.columns]
    for name in ("m0", "top: mean on other targets", "even: target as its source", "top: profile as a source, all encoders"):
        np.testing.assert_allclose(found[:, names.index(name)], described[:, names.index(name)], atol=1e-12)


def test_situations_are_told_apart():
    whole = matrix()
    inputs = Inputs(past_of(whole.take(whole.design.targets != "k2")), whole.design.schema, "standing")
    part = whole.take((whole.design.targets == "k2") | (whole.design.targets == "k3")).design
    _, situation = inputs.rows(part)
    assert set(situation[part.targets == "k2"]) == {"new target"}
    assert set(situation[part.targets == "k3"]) == {"known target"}
    stranger = type(part)(part.values, part.schema, part.sources, part.targets, part.recipes, part.baseline, part.metric,
                          np.full(len(part), "never seen", dtype=object))  # fmt: skip
    assert set(inputs.rows(stranger)[1]) == {"new encoder"}
    assert situations_of(past_of(matrix(encoders=1))) == ("new target",)


def test_the_mean_on_other_targets_and_the_row_put_together_worked_out_slowly():
    past = past_of(matrix(encoders=1, columns=("embeddings",)))
    target = past.number["k0"]
    hidden = np.zeros((1, len(past.tasks)), dtype=bool)
    hidden[0, target] = True
    seen = past.without(hidden)
    profiles = Profiles(seen)
    own, _ = Witnesses(seen, profiles, target).features(profiles.known(target))
    names = own_columns(past.groups)
    rows = [t for t in range(len(past.tasks)) if t != target]
    standings = seen.standings[0, 0]
    mean = np.array([np.nanmean([standings[t, s] for t in rows]) for s in range(len(past.tasks))])
    np.testing.assert_allclose(own[0, :, names.index("top: mean on other targets")], mean)
    rest = np.nan_to_num(standings[rows] - mean)
    kernel = profiles.likeness[0]
    weights = np.linalg.inv(kernel[np.ix_(rows, rows)] + SMOOTHING * np.eye(len(rows))) @ kernel[target, rows]
    expected = mean + weights @ rest
    np.testing.assert_allclose(own[0, :, names.index("top: rows alike by embeddings")], expected)


def test_pairs_that_were_only_measured_tell_how_alike_targets_are_and_nothing_else():
    whole = matrix(encoders=1)
    kept = whole.design.sources != "k5"
    plain = past_of(whole.take(kept))
    told = past_of(Observed(*(getattr(whole.take(kept), n) for n in ("design", "score", "hours", "noise")), whole.design))
    np.testing.assert_array_equal(told.scores, plain.scores)
    number = told.number["k5"]
    assert np.isfinite(told.views[:, 0, number]).all()
    assert np.isnan(plain.views[:, 0, number]).all()
    # standings are within all measured sources of a target, so they are those of the whole
    np.testing.assert_allclose(told.views, past_of(whole).views)


def test_a_gain_is_relative_to_the_target_s_own_score_or_to_the_mean():
    assert gain(np.array([0.6, 0.4]), 0.5) == pytest.approx([0.2, -0.2])
    assert gain(np.array([0.6, 0.2]), np.nan) == pytest.approx([0.5, -0.5])
    assert gain(np.array([0.1]), 0.0) == pytest.approx([2.0])


def test_likeness_is_the_cosine_of_profiles_and_a_newcomer_is_seen_like_a_known_target():
    past = past_of(matrix(encoders=1))
    profiles = Profiles(past)
    np.testing.assert_allclose(np.diagonal(profiles.likeness, axis1=1, axis2=2), 1.0)
    known = profiles.known(3)
    again = profiles.newcomer(3, past.views[:, 3], past.alone[:, 3])
    for name in ("likeness", "direct", "reverse"):
        np.testing.assert_allclose(getattr(again, name), getattr(known, name), atol=1e-12)


def test_sources_never_met_have_no_history_and_the_names_fit_the_features():
    whole = matrix()
    inputs = Inputs(past_of(whole), whole.design.schema, "standing")
    pairs = [("k1", "new", "full"), ("stranger", "new", "full")]
    design = design_of(np.zeros((2, 2)), whole.design.schema[:2], pairs, {}, "e0")
    found, _ = inputs.rows(design)
    history = len(history_schema(inputs.past.groups))
    assert history == len(own_columns(inputs.past.groups)) + len(shared_columns(inputs.past.groups))
    assert found.shape == (2, len(inputs.columns))
    assert np.isnan(found[1, -history:]).all()
    assert np.isfinite(found[0, -history:]).any()


def test_a_history_with_one_target_and_one_source_is_described_without_an_error():
    tiny = observed(targets=1, sources=1)
    inputs = Inputs(past_of(tiny), tiny.design.schema, "standing")
    assert inputs.examples(tiny, "new target").shape == (1, len(inputs.columns))


def test_hiding_targets_leaves_the_standings_that_the_rest_would_have_by_themselves():
    whole = past_of(matrix())
    _ = whole.standings
    hidden = np.zeros(whole.observed.shape, dtype=bool)
    hidden[0, whole.number["k1"]] = hidden[1, whole.number["k2"]] = True
    rest = whole.without(hidden)
    fresh = Past(whole.encoders, whole.tasks, rest.scores, whole.alone, whole.groups, whole.views)
    np.testing.assert_array_equal(rest.standings, fresh.standings)
    assert np.isnan(rest.standings[:, hidden]).all()
