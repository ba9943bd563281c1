"""Scores, worked by hand or against the library that defines them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from transfercast.core.errors import InputError
from transfercast.core.kinds import METRIC_OF, METRICS, Kind, metric_for, metrics_of
from transfercast.core.records import Recipe
from transfercast.sources.finetune import fine_tune
from transfercast.sources.scores import chance_of, chance_warning, score_of
from transfercast.sources.source import identity_of
from transfercast.tasks.task import Examples, Task

LABELS, PREDICTED = np.array([1, 1, 1, 0, 0, 0, 0, 2]), np.array([1, 1, 0, 0, 0, 0, 1, 0])


def test_macro_and_micro_f1_worked_by_hand():
    # class 0: 3 right, 2 false alarms, 1 missed: 6/9; class 1: 2 right, 1 and 1: 4/6; class 2: never found: 0
    assert score_of("macro_f1", PREDICTED, LABELS) == pytest.approx((6 / 9 + 4 / 6 + 0) / 3)
    assert score_of("micro_f1", PREDICTED, LABELS) == score_of("accuracy", PREDICTED, LABELS) == 5 / 8


def test_matthews_worked_by_hand():
    # TP 2, TN 3, FP 1, FN 1: (2 * 3 - 1 * 1) / sqrt(3 * 3 * 4 * 4)
    assert score_of("mcc", PREDICTED[:7], LABELS[:7]) == pytest.approx(5 / 12)
    assert score_of("mcc", np.zeros(7, int), LABELS[:7]) == 0


def test_correlations_are_told_apart():
    bent, straight = np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 2.0])
    pearson = 4 / np.sqrt(2 * 26 / 3)
    assert score_of("spearman", bent, straight) == pytest.approx(1)
    assert score_of("pearson", bent, straight) == pytest.approx(pearson)
    assert score_of("pearson_spearman", bent, straight) == pytest.approx((1 + pearson) / 2)


TAGS = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=6), min_size=1, max_size=4))
def test_span_f1_is_seqeval_s(sentences):
    seqeval = pytest.importorskip("seqeval.metrics")
    gold, found = ([[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1))
    expected = seqeval.f1_score(gold, found, zero_division=0)
    assert score_of("span_f1", found, gold) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_right_scores_highest(metric):
    perfect = {Kind.REGRESSION: np.array([0.1, 0.5, 0.2]), Kind.SEQUENCE: (("B-A", "O"),)}
    (labels, *_) = [perfect.get(kind, np.array([0, 1, 1])) for kind in METRICS[metric].kinds]
    assert score_of(metric, labels, labels) == pytest.approx(METRICS[metric].highest)


def test_every_kind_has_its_default_first_among_its_metrics():
    for kind in Kind:
        assert metrics_of(kind)[0] == METRIC_OF[kind] == metric_for(kind, None, "x")


@pytest.mark.parametrize(("kind", "metric"), [(Kind.BINARY, "span_f1"), (Kind.REGRESSION, "accuracy"), (Kind.SEQUENCE, "mcc")])
def test_a_metric_that_cannot_judge_a_kind_is_refused_with_those_that_can(kind, metric):
    part = Examples(("a",), np.array([1]), ("a",))
    with pytest.raises(
        InputError, match=f"task 'x': metric '{metric}' does not judge {kind} tasks; choose of {METRIC_OF[kind]}"
    ):
        Task("x", kind, {"train": part}, (), metric=metric)


def binary_task(metric):
    texts = tuple(f"{word} film" for word in ("good", "bad") * 6)
    part = Examples(texts, np.array([1, 0] * 5 + [0, 0]), texts)  # one good film is none
    return Task(
        "made", Kind.BINARY, dict.fromkeys(("train", "validation", "test"), part), ("negative", "positive"), metric=metric
    )


def test_a_training_is_scored_by_the_task_s_metric_and_known_by_it(tiny_encoder):
    import torch

    recipe = Recipe(learning_rate=1e-2, epochs=1, batch_size=4, max_tokens=16)
    trained = fine_tune(binary_task(""), tiny_encoder, recipe, seed=0, device=torch.device("cpu"))
    by_metric = {metric: trained.score(binary_task(metric), "validation", 16) for metric in metrics_of(Kind.BINARY)}
    assert by_metric["micro_f1"] == by_metric["accuracy"]
    assert len(set(by_metric.values())) >= 3
    default = identity_of(binary_task(""), tiny_encoder, recipe, 0)
    assert identity_of(binary_task("positive_f1"), tiny_encoder, recipe, 0) == default
    assert identity_of(binary_task("mcc"), tiny_encoder, recipe, 0) != default


def test_chance_on_a_rare_label_is_what_one_of_twenty_random_rankings_reaches():
    rng = np.random.default_rng(1)
    for positives, rows in ((3, 60), (30, 300), (150, 300)):
        labels = np.arange(rows) < positives
        chance = chance_of(Kind.BINARY, "positive_f1", labels.astype(int))
        random = [average_precision_score(labels, rng.random(rows)) for _ in range(2000)]
        assert positives / rows < chance
        assert 0.02 < np.mean([one > chance for one in random]) < 0.09  # 5 % at most of them but for 200 draws


def test_chance_of_other_tasks_is_the_best_answer_that_is_the_same_for_all_rows():
    classes = np.array([0, 1, 1, 1, 2, 2])
    assert chance_of(Kind.MULTICLASS, "accuracy", classes) == 0.5
    assert chance_of(Kind.MULTICLASS, "macro_f1", classes) == pytest.approx((2 * 3 / 9) / 3)  # of class 1: P 1/2, R 1
    assert chance_of(Kind.MULTICLASS, "mcc", classes) == 0
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])
    # the first label for all rows: 3 right, 1 wrong, 2 missed
    assert chance_of(Kind.MULTILABEL, "micro_f1", labels) == pytest.approx(6 / 9)
    # every label for all rows: F1 of 6/7, 2/5 and 2/5
    assert chance_of(Kind.MULTILABEL, "macro_f1", labels) == pytest.approx((6 / 7 + 2 / 5 + 2 / 5) / 3)
    assert chance_of(Kind.REGRESSION, "pearson", np.array([0.1, 0.2])) == 0
    assert chance_of(Kind.SEQUENCE, "span_f1", (("O", "B-x"),)) == 0


def test_a_rare_label_that_is_ranked_at_random_is_told_although_its_f1_is_not_zero():
    told = chance_warning(0.06, "positive_f1", Kind.BINARY, 0.08)
    assert told.startswith(
        "average precision is 0.060, and one of twenty random rankings of the rows reaches 0.080: it learned"
    )
    assert "more of them positive" in told
    assert chance_warning(0.09, "positive_f1", Kind.BINARY, 0.08) is None
    assert chance_warning(0.5, "accuracy", Kind.MULTICLASS, 0.5).startswith("accuracy is 0.500, and one answer for all rows")
