"""The threshold that is best on validation, and where it goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution.models import ARCHITECTURES, DECODERS, classifier
from transfercast.core.kinds import Kind, metrics_of
from transfercast.core.records import Recipe
from transfercast.sources.finetune import fine_tune
from transfercast.sources.scores import score_of
from transfercast.sources.threshold import best_threshold, head_bias, move_threshold
from transfercast.tasks.family import read_family


@settings(deadline=None)
@given(st.sampled_from(metrics_of(Kind.BINARY)), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=2))
def test_no_threshold_has_a_higher_score(metric, rows):
    positive, labels = np.array(rows).T
    positive = (positive + 1) / 22
    found = best_threshold(metric, positive, labels)
    if not 0 < labels.sum() < len(labels):
        assert found == 0.5
        return
    highest = max(score_of(metric, (positive > one).astype(int), labels) for one in [0.0, *positive])
    assert score_of(metric, (positive > found).astype(int), labels) == pytest.approx(highest)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_was_at_the_threshold_is_at_one_half_afterwards(name):
    model = classifier(name, num_labels=2)
    ids = torch.tensor([[2, 4, 5, 3], [2, 6, 7, 3]])
    before = model(input_ids=ids).logits.softmax(1)[0, 1].item()
    if name in DECODERS:
        assert head_bias(model) is None
        return
    move_threshold(model, before)
    assert model(input_ids=ids).logits.softmax(1)[0, 1].item() == pytest.approx(0.5, abs=1e-5)


def test_a_threshold_on_validation_scores_there_what_the_curve_says_and_never_less_than_one_half(tiny_encoder, family_toml):
    task = read_family(family_toml).sources[1]
    common = {"learning_rate": 1e-3, "epochs": 3, "batch_size": 8, "max_tokens": 16, "choose": "last"}
    fitted, half = (
        fine_tune(task, tiny_encoder, Recipe(threshold=threshold, **common), seed=0, device=torch.device("cpu"))
        for threshold in ("validation", "half")
    )
    assert fitted.score(task, "validation", 16) == fitted.curve[-1].score
    assert half.score(task, "validation", 16) == half.curve[-1].score
    assert fitted.curve[-1].score > half.curve[-1].score
