"""Which sources are named after a target, and that the predictor learns what that is worth."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.predictor.cells import transfers_from
from transfercast.predictor.fitting import fit
from transfercast.predictor.masking import COLD
from transfercast.predictor.names import named_after
from transfercast.predictor.predictor import Predictor


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("ann/vit-base-food101", "food101"), ("Ahmed/Vit-Cifar100", "cifar100"), ("x/bert-base-uncased-SST-2", "sst2"),
        ("x/roberta_rotten-tomatoes", "rotten_tomatoes"), ("reviews", "reviews"), ("convnext.eurosat.v2", "eurosat"),
        ("Müller/Straße-klein", "straße"), ("x/bert-mrc", "mrc"), ("ann--bert-news", "news (data 1a2b3c)"),
    ],
)  # fmt: skip
def test_a_source_whose_words_are_the_target_s_name_is_named_after_it(source, target):
    assert named_after(np.array([source]), np.array([target])).tolist() == [1]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("food101/resnet", "food101"), ("food101--resnet", "food101"), ("pepa/deberta-v3-base-snli", "esnli"),
        ("ann/vit-base-food1010", "food101"), ("ann/news", "newsgroups"), ("x/de-en", "de"), ("", "food101"),
        ("x/---", "---"), ("///", ""),
    ],
)  # fmt: skip
def test_an_owner_parts_of_words_and_short_names_do_not_count(source, target):
    assert named_after(np.array([source]), np.array([target])).tolist() == [0]


def test_long_names_are_read_in_no_time():
    sources, targets = ["a-" * 50_000 + "xfood", "f-" * 50_000 + "food", "a" * 50_000], ["food", "food", "a" * 49_999]
    started = time.process_time()
    assert named_after(np.array(sources), np.array(targets)).tolist() == [0, 1, 0]
    assert time.process_time() - started < 1


def zoo(targets=8, sources=12, seed=0):
    """Targets of sources of which one is named after the target and by far the best."""
    rng, rows = np.random.default_rng(seed), []
    for target in (f"data{n}" for n in range(targets)):
        rows += [(f"net{n}", target, 0.5 + 0.02 * rng.normal()) for n in range(sources - 1)]
        rows.append((f"ann/net-{target}", target, 0.9))
    return transfers_from(rows, baselines={f"data{n}": 0.5 for n in range(targets)})


def test_a_stranger_named_after_a_new_target_comes_first_where_that_was_worth_something():
    seen = zoo()
    new = seen.candidates.targets == "data7"
    known, asked = seen.take(~new), seen.candidates.take(new)
    forecast = Predictor("zoo", fit(known, regimes=(COLD,))).forecast(asked, 0.9)
    best = int(np.argmax(forecast.score))
    assert asked.sources[best] == "ann/net-data7"
    why = dict(zip(forecast.groups, forecast.why[best], strict=True))
    assert why["data"] == max(why.values())
    blind = Predictor("zoo", fit(known, "f1", regimes=(COLD,))).forecast(asked, 0.9, explain=False)
    assert np.ptp(blind.score) == pytest.approx(0, abs=1e-9)  # without history, nothing tells strangers apart


def test_a_name_is_worth_the_same_among_twelve_candidates_and_among_a_thousand():
    predictor = Predictor("zoo", fit(zoo(), regimes=(COLD,)))
    few, many = (
        predictor.forecast(zoo(9, sources).candidates.take(zoo(9, sources).candidates.targets == "data8"), 0.9, explain=False)
        for sources in (12, 1000)
    )
    assert few.score[-1] - np.median(few.score) == pytest.approx(many.score[-1] - np.median(many.score), rel=0.35)
