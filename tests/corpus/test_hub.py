"""Hub models that helped others: by published figures, as the formulas say, and as sure as that is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from transfercast.core.errors import InputError
from transfercast.corpus import hub


def with_table(monkeypatch, scores: dict[str, list[float]], sets: list[str]) -> None:
    rows = [{"encoder": "e", "source": name, **dict(zip(sets, row, strict=True))} for name, row in scores.items()]
    monkeypatch.setattr(hub, "_table", lambda: pd.DataFrame(rows))


def test_a_gain_is_the_weighted_mean_of_the_gains_on_other_sets_shrunk_as_by_one_set_without_gain(monkeypatch):
    # two sets of single texts weigh 1, one of pairs .15: n = 2.15^2 / 2.0225 = 2.28554
    with_table(monkeypatch, {"(alone)": [0.5, 0.6, 0.7], "m": [0.6, 0.8, 0.7]}, ["imdb", "sst2", "rte"])
    (model,) = hub.hub_models("e")
    assert model.gain == pytest.approx(0.3 / 2.15 * 2.285538 / 3.285538, rel=1e-5)
    assert (model.helped, model.sets) == (2, 2)


def test_for_pairs_the_sets_of_pairs_decide(monkeypatch):
    scores = {"(alone)": [0.5] * 4, "a": [0.9, 0.9, 0.5, 0.5], "b": [0.5, 0.5, 0.9, 0.9], "c": [0.6] * 4}
    with_table(monkeypatch, scores, ["imdb", "sst2", "rte", "mnli"])
    assert [hub.hub_models("e", pairs=pairs, most=1)[0].name for pairs in (False, True)] == ["a", "b"]


def test_bounds_and_the_chance_to_be_better_are_those_of_the_errors_made_of_sets_left_out(monkeypatch):
    rng = np.random.default_rng(0)
    gains = rng.normal(0.03, 0.02, (40, 1)) + rng.normal(0, 0.01, (40, 6))
    sets = ["imdb", "sst2", "isear", "ag_news", "dbpedia", "cola"]
    with_table(monkeypatch, {"(alone)": [0.5] * 6} | {f"m{n}": list(0.5 + row) for n, row in enumerate(gains)}, sets)
    models = hub.hub_models("e", most=40)
    errors = [row[t] - np.delete(row, t).mean() * 5 / 6 for row in gains for t in range(6)]
    for model in models:
        assert [model.low - model.gain, model.high - model.gain] == pytest.approx(np.quantile(errors, [0.05, 0.95]))
        assert model.better == pytest.approx(np.mean(model.gain + np.array(errors) > 0))


@pytest.mark.parametrize("encoder", ["roberta-base", "bert-base-uncased", "bert-base-cased", "microsoft/deberta-v3-base"])
def test_models_of_each_encoder_are_recommended_best_first(encoder):
    models = hub.hub_models(encoder, most=20)
    assert len({model.name for model in models}) == 20
    assert models[0].gain > np.mean([model.gain for model in models[10:]])
    assert all(model.low < model.gain < model.high and 0 <= model.better <= 1 for model in models)
    assert models[0].better > 0.6


def test_an_encoder_without_measurements_is_one_error_that_names_those_with_them():
    with pytest.raises(InputError, match=r"no measurements of encoder 'gpt9'; measured encoders are .*roberta-base"):
        hub.hub_models("gpt9")


def test_no_score_of_a_two_class_set_is_below_what_guessing_gives_by_far():
    table = hub._table()
    assert (table[["imdb", "sst2", "rotten_tomatoes"]].min() > 0.4).all()
    assert table["copa"].max() < 0.9  # published rows with scores in wrong columns have 0.97


def test_neither_torch_nor_xgboost_is_loaded_for_it():
    heavy = "'torch' in sys.modules or 'xgboost' in sys.modules"
    code = f"import sys, transfercast.corpus.hub as hub; hub.hub_models('roberta-base'); sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
