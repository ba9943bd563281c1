"""Models of the Hugging Face hub that are likely to help a target, by published measurements; nothing is downloaded.

The scores are those of IBM/model-recycling (Apache-2.0; Choshen et al. 2022, "Where to start? Analyzing the potential value
of intermediate models"): fine-tuned models of six base encoders, each fine-tuned further on 36 classification sets. A
fifth of the published rows is left out, see `benchmarks/hub_table.py`.

A model's gain on a new target is forecast from its gains on the 36 sets, where model m has on set t the gain

    g[m, t] = score[m, t] - score[base encoder, t]
    forecast[m] = n / (n + 1) * sum_t w_t g[m, t] / sum_t w_t        n = (sum_t w_t)^2 / sum_t w_t^2

with w_t = 1 for sets of the same form of text (single texts, or pairs) and 0.15 for the others. Models are ordered by the
same weighted mean of robust z-scores within each set, so that no single set with large gains decides. The bounds of a
forecast are quantiles of the errors of forecasts for each of the 36 sets from the other 35.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pandas as pd

from transfercast.core.errors import InputError

PAIRS = frozenset({
    "anli", "boolq", "cb", "copa", "esnli", "mnli", "mrpc", "multirc", "qnli", "qqp", "rte", "stsb", "wic", "wnli", "wsc",
})  # fmt: skip
"""Data sets of pairs of texts; the others are of single texts."""

OTHER_FORM = 0.15
"""Weight of a set of the other form of text."""

LARGEST_Z = 3.0
COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class HubModel:
    """A fine-tuned model of the hub, and its expected gain over its base encoder.

    Attributes:
        name: its name on the hub.
        encoder: its base encoder.
        gain: expected score minus the base encoder's, in units of the score (accuracy, 0 to 1).
        low, high: bounds of the gain on nine of ten targets.
        better: probability that it is better than the base encoder.
        helped: number of sets of the same form of text on which it was better than the base encoder.
        sets: number of sets of the same form of text.
    """

    name: str
    encoder: str
    gain: float
    low: float
    high: float
    better: float
    helped: int
    sets: int


class _Scores(NamedTuple):
    """Scores of one encoder: (m,) names of models, (m, 36) their scores, (36,) the base encoder's own, names of the sets."""

    names: list[str]
    scores: np.ndarray
    alone: np.ndarray
    targets: list[str]


def encoders() -> list[str]:
    """Base encoders with published measurements, in descending order of their number of models."""
    return [str(name) for name in _table()["encoder"].value_counts().index]


def hub_models(encoder: str, *, pairs: bool = False, most: int = 10) -> list[HubModel]:
    """The models of an encoder that are likely to help a target, the best first.

    Args:
        encoder: name on the hub, such as `roberta-base`.
        pairs: whether the target's rows are pairs of texts.
        most: largest number of models to return.

    Raises:
        InputError: if there are no measurements of the encoder.

    Example:
        >>> import transfercast as tc
        >>> for model in tc.hub_models("roberta-base", most=2):
        ...     print(model.name, round(model.gain, 3), f"{model.helped} of {model.sets}")
        ibm/ColD-Fusion-itr14-seed3 0.014 18 of 21
        ibm/ColD-Fusion-itr10-seed0 0.016 19 of 21
    """
    known = _scores(encoder)
    weights = _weights(known.targets, pairs)
    gains, worth = known.scores - known.alone, _robust_z(known.scores)
    forecast = _shrunk_mean(gains, weights)
    errors = _errors_left_out(gains, known.targets)
    low, high = np.quantile(errors, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    same = weights == 1
    order = np.argsort(-(worth @ weights), kind="stable")[:most]
    return [
        HubModel(
            name=known.names[row],
            encoder=encoder,
            gain=float(forecast[row]),
            low=float(forecast[row] + low),
            high=float(forecast[row] + high),
            better=float((forecast[row] + errors > 0).mean()),
            helped=int((gains[row, same] > 0).sum()),
            sets=int(same.sum()),
        )
        for row in order
    ]


def _weights(targets: list[str], pairs: bool) -> np.ndarray:
    return np.where([(target in PAIRS) == pairs for target in targets], 1.0, OTHER_FORM)


def _shrunk_mean(gains: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(m,) weighted means of the rows, shrunk toward 0 as if there were one more set without gain."""
    number = weights.sum() ** 2 / (weights**2).sum()
    return np.asarray(gains @ weights / weights.sum() * number / (number + 1))


def _robust_z(scores: np.ndarray) -> np.ndarray:
    """(m, t) differences from each set's median in units of its robust standard deviation, clipped to [-3, 3]."""
    distance = scores - np.median(scores, axis=0)
    spread = 1.4826 * np.median(np.abs(distance), axis=0)
    return np.asarray(np.clip(distance / np.maximum(spread, 1e-6), -LARGEST_Z, LARGEST_Z))


def _errors_left_out(gains: np.ndarray, targets: list[str]) -> np.ndarray:
    """(m * t,) gains minus their forecasts from the other sets."""
    errors = []
    for left_out, target in enumerate(targets):
        weights = _weights(targets, target in PAIRS)
        weights[left_out] = 0
        errors.append(gains[:, left_out] - _shrunk_mean(gains, weights))
    return np.concatenate(errors)


def _scores(encoder: str) -> _Scores:
    table = _table()
    rows = table[table["encoder"] == encoder]
    if rows.empty:
        raise InputError(f"no measurements of encoder {encoder!r}; measured encoders are {', '.join(encoders())}.")
    alone = rows["source"] == "(alone)"
    targets = [str(name) for name in table.columns if name not in ("encoder", "source")]
    values = rows[targets].to_numpy(np.float64)
    return _Scores(rows["source"][~alone].tolist(), values[~alone.to_numpy()], values[alone.to_numpy()][0], targets)


@cache
def _table() -> pd.DataFrame:
    with (files("transfercast.corpus") / "data" / "hub_models.parquet").open("rb") as file:
        return pd.read_parquet(file)
