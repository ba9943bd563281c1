"""What a search's result says: gains of the transfers themselves, ties, zeros, and honest sentences."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from transfercast.core.errors import InputError
from transfercast.core.plan import Step
from transfercast.core.records import ALONE, Candidate, Observation, Pair
from transfercast.execution.result import Best, Failure, SearchResult, Stopped, Training, tied_with


def training(position, source, target, score, gain=math.nan, error=0.05, recipe="full", metric="positive_f1"):
    step = Step(
        position=position, source=source, target=target, recipe=recipe, score=0.5, lower=None, upper=None, hours=0.1,
        expected_best=None,
    )  # fmt: skip
    seen = Observation(
        source=source, target=target, recipe=recipe, encoder="e", seed=0, metric=metric, split="validation", score=score,
        hours=0.25,
    )  # fmt: skip
    return Training(step, seen, error, gain)


def best(source, target, validation, test, tied=()):
    return Best(Pair(source, target), "full", validation, 0.05, test, Path("model"), tied)


@pytest.fixture
def crisis():
    """Two targets; of three transfers one beats its target alone."""
    trainings = (
        training(0, ALONE, "a", 0.50), training(1, ALONE, "b", 0.40), training(2, "x", "a", 0.20, -0.30),
        training(3, "y", "a", 0.45, -0.05), training(4, "x", "b", 0.50, 0.10),
    )  # fmt: skip
    bests = {"a": best(ALONE, "a", 0.50, 0.48), "b": best("x", "b", 0.50, 0.45)}
    return SearchResult(trainings, bests, {"a": 0.50, "b": 0.40}, {"a": 0.48, "b": 0.41})


def test_the_headline_is_the_transfers_own_gain_not_a_maximum_with_the_target_alone_among_the_choices(crisis):
    # gains -0.30, -0.05, +0.10: mean -0.25 / 3 = -0.083333; best transfers -0.05 and +0.10: mean +0.025
    assert crisis.mean_transfer_gain == pytest.approx(-0.25 / 3)
    assert crisis.gain_over_baseline == pytest.approx(0.025)
    assert crisis.test_gain == pytest.approx(0.02)  # (0.48 - 0.48 + 0.45 - 0.41) / 2
    assert crisis.headline() == (
        "1 of 3 transfers beat the target alone on validation; mean gain of all transfers -0.083. "
        "On test, the chosen models differ from the targets alone by +0.020 on average."
    )


def test_where_no_transfer_helps_the_gain_is_negative():
    trainings = (training(0, ALONE, "a", 0.5), training(1, "x", "a", 0.3, -0.2))
    result = SearchResult(trainings, {"a": best(ALONE, "a", 0.5, 0.5)}, {"a": 0.5}, {})
    assert result.gain_over_baseline == pytest.approx(-0.2)
    assert result.headline() == "0 of 1 transfer beat the target alone on validation; mean gain of the transfer -0.200."


def test_of_several_targets_the_best_is_that_of_the_largest_gain_and_one_without_a_baseline_comes_last(crisis):
    assert crisis.best.pair == Pair("x", "b")
    without = SearchResult(crisis.trainings, crisis.bests, {"a": 0.50}, {})
    assert without.best.pair == Pair(ALONE, "a")
    none = SearchResult(crisis.trainings, {"c": best("x", "c", 0.7, 0.6), "d": best("x", "d", 0.8, 0.7)}, {}, {})
    assert none.best.pair == Pair("x", "d")


def test_scores_less_than_a_standard_error_apart_are_called_ties():
    rows = [
        training(0, ALONE, "a", 0.58),
        training(1, "x", "a", 0.60),
        training(2, "y", "a", 0.551),
        training(3, "z", "a", 0.549),
    ]
    tied = tied_with(rows[1], rows)
    assert [candidate.source for candidate in tied] == [ALONE, "y"]  # z is 0.051 away
    result = SearchResult(tuple(rows), {"a": best("x", "a", 0.6, 0.5, tied)}, {"a": 0.58}, {})
    assert result.notes() == [
        "a: (alone) and y are within a standard error (0.050) of the best, so the validation rows cannot tell them apart."
    ]


def test_without_a_standard_error_nothing_is_called_a_tie():
    rows = [training(0, ALONE, "a", 0.6, error=math.nan), training(1, "x", "a", 0.6, error=math.nan)]
    assert tied_with(rows[0], rows) == ()


def test_many_ties_are_counted_and_those_of_several_recipes_named_with_them():
    def note(tied):
        return SearchResult((), {"a": best("x", "a", 0.6, 0.5, tied)}, {"a": 0.5}, {}).notes()[0]

    assert note(tuple(Candidate(f"s{n}", "a", "full") for n in range(7))).startswith("a: 7 trainings are within")
    two = (Candidate("s", "a", "full"), Candidate("s", "a", "features"))
    assert note(two).startswith("a: s (full) and s (features) are within")


def test_scores_of_zero_are_pointed_at_with_cause_and_remedy_once_for_all_of_a_metric():
    rows = (
        training(0, ALONE, "a", 0.0), training(1, "x", "a", 0.3, 0.3), training(2, "y", "a", 0.0, 0.0),
        training(3, "y", "b", 0.0, metric="accuracy"),
    )  # fmt: skip
    notes = SearchResult(rows, {}, {"a": 0.0}, {}).notes()
    assert len(notes) == 2
    assert notes[0].startswith("(alone) -> a, y -> a: positive_f1 is 0.000")
    assert "more epochs" in notes[0]
    assert notes[1].startswith("y -> b: accuracy is 0.000")


def test_what_was_measured_before_the_plan_is_no_forecast():
    measured = training(0, "x", "a", 0.6)
    measured = dataclasses.replace(measured, step=measured.step.model_copy(update={"done": True}))
    frame = SearchResult((measured, training(1, "y", "a", 0.6)), {}, {}, {}).to_frame()
    assert frame.forecast.isna().tolist() == [True, False]


def test_a_result_is_short_to_look_at_and_a_frame_to_work_with(crisis):
    assert repr(crisis).startswith("SearchResult(2 targets, 5 trainings, 0 failures; 1 of 3 transfers beat")
    assert len(repr(crisis)) < 300
    frame = crisis.to_frame()
    assert list(frame) == [
        "trial", "source", "encoder", "target", "recipe", "forecast", "score", "standard_error", "gain", "hours",
    ]  # fmt: skip
    assert frame.trial.tolist() == [0, 1, 2, 3, 4]
    assert frame.score.tolist() == [0.5, 0.4, 0.2, 0.45, 0.5]
    assert frame.forecast.isna().tolist() == [True, True, False, False, False]
    assert frame.gain.isna().tolist() == [True, True, False, False, False]
    assert list(SearchResult((), {}, {}, {}).to_frame()) == list(frame)


def forecast(position, source, target, expected, score, bounds=(None, None)):
    one = training(position, source, target, score, 0.1)
    changed = {"score": expected, "lower": bounds[0], "upper": bounds[1]}
    return dataclasses.replace(one, step=one.step.model_copy(update=changed))


def test_a_result_says_how_forecasts_did_and_which_source_will_be_ranked_otherwise():
    rows = (
        training(0, ALONE, "a", 0.5),
        forecast(1, "x", "a", 0.5, 0.6, (0.4, 0.7)),
        forecast(2, "x", "b", 0.5, 0.7, (0.4, 0.6)),
        forecast(3, "y", "a", 0.5, 0.4, (0.4, 0.6)),
    )
    result = SearchResult(rows, {}, {}, {})
    assert result.forecast_errors().error.tolist() == pytest.approx([0.1, 0.2, -0.1])
    assert result.learned() == [
        "Forecasts of 3 trainings were off by 0.133 on average (bias +0.067); 2 of 3 scores lie within their bounds.",
        "x did better than forecast on each of 2 targets, by 0.150: a predictor that learns from this ranks it higher in the "
        "next plan.",
    ]
    assert SearchResult(rows[:1], {}, {}, {}).learned() == []


def test_a_result_prints_as_an_aligned_table_with_what_stopped_and_failed():
    stopped = Stopped(forecast(2, "y", "a", 0.4, 0.3).step, (0.1, 0.3), 10)
    failed = Failure(3, "z -> a", "MemoryError: MemoryError")
    rows = (training(0, ALONE, "a", 0.5), forecast(1, "x", "a", 0.5, 0.6))
    lines = str(SearchResult(rows, {}, {"a": 0.5}, {}, (failed,), (stopped,))).splitlines()
    assert lines[1].split() == ["a", "x", "full", "0.500", "0.600", "+0.100", "15.0", "min"]
    assert lines[2].split()[:6] == ["a", ALONE, "full", "-", "0.500", "-"]
    ends = [line.index(number) + len(number) for line, number in zip(lines, ("score", "0.600", "0.500"), strict=False)]
    assert len(set(ends)) == 1
    assert lines[3] == "y -> a: stopped after 2 of 10 epochs at 0.300"
    assert lines[4] == "z -> a: failed, MemoryError: MemoryError"
    assert lines[-1].endswith("1 training was stopped, and not counted.")


def test_forecasts_are_drawn_against_outcomes_with_a_colour_a_target(tmp_path):
    rows = (forecast(1, "x", "a", 0.5, 0.6), forecast(2, "x", "b", 0.4, 0.7))
    SearchResult(rows, {}, {}, {}).plot(tmp_path / "found.svg")
    drawn = (tmp_path / "found.svg").read_text()
    assert "score that was forecast" in drawn
    with pytest.raises(InputError, match="nothing to draw"):
        SearchResult((training(0, ALONE, "a", 0.5),), {}, {}, {}).plot(tmp_path / "none.svg")
