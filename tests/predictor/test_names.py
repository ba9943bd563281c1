"""Which sources are named after a target, and that the predictor learns what that is worth."""

from __future__ import annotations

import numpy as np
import pytest

from tests.predictor.cells import transfers_from
from transfercast.predictor.fitting import fit
from transfercast.predictor.masking import COLD
from transfercast.predictor.names import LEAST_LETTERS, named_after
from transfercast.predictor.predictor import Predictor


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("ann/vit-base-food101", "food101"), ("Ahmed/Vit-Cifar100", "cifar100"), ("x/bert-base-uncased-SST-2", "sst2"),
        ("x/roberta_rotten-tomatoes", "rotten_tomatoes"), ("reviews", "reviews"), ("convnext.eurosat.v2", "eurosat"),
        ("Müller/Straße-klein", "straße"),
    ],
)  # fmt: skip
def test_a_source_whose_words_are_the_target_s_name_is_named_after_it(source, target):
    assert named_after(np.array([source]), np.array([target])).tolist() == [1]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("food101/resnet", "food101"), ("pepa/deberta-v3-base-snli", "esnli"), ("ann/vit-base-food1010", "food101"),
        ("ann/news", "newsgroups"), ("x/de-en", "de"), ("", "food101"), ("x/---", "---"), ("///", ""),
    ],
)  # fmt: skip
def test_an_owner_parts_of_words_and_short_names_do_not_count(source, target):
    assert named_after(np.array([source]), np.array([target])).tolist() == [0]
    assert LEAST_LETTERS == 3


def test_a_name_of_any_length_is_read_in_no_time():
    found = named_after(np.array(["a-" * 100_000 + "xfood", "f-" * 100_000 + "food"]), np.array(["food", "food"]))
    assert found.tolist() == [0, 1]


def zoo(seed=0):
    """Eight targets of 12 sources, of which one is named after the target and the best, by far."""
    rng, rows = np.random.default_rng(seed), []
    for target in (f"data{n}" for n in range(8)):
        rows += [(f"net{n}", target, 0.5 + 0.02 * rng.normal()) for n in range(11)]
        rows.append((f"ann/net-{target}", target, 0.9))
    return transfers_from(rows, baselines={f"data{n}": 0.5 for n in range(8)})


def test_a_stranger_named_after_a_new_target_comes_first_where_that_was_worth_something():
    seen = zoo()
    new = seen.candidates.targets == "data7"
    known, asked = seen.take(~new), seen.candidates.take(new)
    forecast = Predictor("zoo", fit(known, regimes=(COLD,))).forecast(asked, 0.9)
    assert asked.sources[np.argmax(forecast.score)] == "ann/net-data7"
    why = dict(zip(forecast.groups, forecast.why[np.argmax(forecast.score)], strict=True))
    assert why["data"] == max(why.values())
    blind = Predictor("zoo", fit(known, "f1", regimes=(COLD,))).forecast(asked, 0.9, explain=False)
    assert np.ptp(blind.score) == pytest.approx(0, abs=1e-9)  # without history, nothing tells strangers apart
