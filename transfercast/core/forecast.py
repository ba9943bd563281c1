"""The forecast of a predictor for candidates that are not trained yet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transfercast.core.errors import InputError, ShapeError
from transfercast.core.notebook import MOST_ROWS, table_html
from transfercast.core.records import Candidate, Pair


@dataclass(frozen=True, slots=True, repr=False)
class Forecast:
    """Expected scores of n candidates, in the units of the target's metric.

    Attributes:
        candidates: n candidates (source, target, recipe).
        encoders: n names of their sources' base encoders.
        score: (n,) expected score on validation rows.
        lower, upper: (n,) bounds at `coverage`; the metric's whole range if too little was observed for narrower ones.
        spread: (n,) standard deviation of the expected error of `score`; `shared_spread` (n,) is that of the error which
            all rows of a target share, `own_spread` (n,) that of the remaining error (the median over targets).
        beats_baseline: (n,) probability of a score above the target trained alone, from the best encoder; NaN if no such
            score is known.
        support: (n,) observations that the forecast rests on.
        prior_share: (n,) in [0, 1], how much of the forecast is prior; 1 when nothing was observed.
        why: (n, g) additive contributions of the g `groups` of evidence; with `base` they sum to the score.
        groups: names of the groups.
        base: (n,) what the forecast would be without evidence.
        coverage: nominal coverage of the bounds.
        basis: one sentence on what the forecast rests on.
        predictor: id of the artifact, or 'prior'.

    Example:
        `history` holds transfers from four sources, and `table` the features of these sources for a new target, reviews.

        >>> import transfercast as tc
        >>> forecast = tc.Predictor.fit(history).predict(table, coverage=0.9)
        >>> forecast
        <Forecast of 4 candidates, 1 targets: scores with 90% bounds; predictor fitted>
        >>> forecast.to_frame()[["source", "score", "lower", "upper"]].round(2)
            source  score  lower  upper
        0     news   0.52   0.48   0.57
        1   tweets   0.71   0.66   0.75
        2    forum   0.64   0.60   0.68
        3  recipes   0.58   0.53   0.62
    """

    candidates: tuple[Candidate, ...]
    encoders: tuple[str, ...]
    score: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    spread: np.ndarray
    shared_spread: np.ndarray
    own_spread: np.ndarray
    beats_baseline: np.ndarray
    support: np.ndarray
    prior_share: np.ndarray
    why: np.ndarray
    groups: tuple[str, ...]
    base: np.ndarray
    coverage: float
    basis: str
    predictor: str

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes do not match."""
        n = len(self.candidates)
        for name in ("score", "lower", "upper", "spread", "shared_spread", "own_spread", "beats_baseline", "support",
                     "prior_share", "base"):  # fmt: skip
            if getattr(self, name).shape != (n,):
                raise ShapeError(f"forecast of {n} candidates: {name} has shape {getattr(self, name).shape}.")
        if self.why.shape != (n, len(self.groups)):
            raise ShapeError(f"forecast of {n} candidates and {len(self.groups)} groups: why is {self.why.shape}.")

    @property
    def is_order_only(self) -> bool:
        """Whether nothing was observed, so that the scores give an order of candidates only."""
        return not self.support.any()

    def __repr__(self) -> str:
        """Number of candidates and targets, kind of forecast, and predictor."""
        targets = len({candidate.target for candidate in self.candidates})
        kind = "an order only" if self.is_order_only else f"scores with {self.coverage:.0%} bounds"
        return f"<Forecast of {len(self.candidates)} candidates, {targets} targets: {kind}; predictor {self.predictor}>"

    def _repr_html_(self) -> str:
        """The forecasts in a notebook, the best of each target first."""
        best_first = self.to_frame().sort_values(["target", "score"], ascending=[True, False])
        rows = [{str(name): value for name, value in row.items()} for row in best_first.head(MOST_ROWS).to_dict("records")]
        return table_html(f"{self!r}".strip("<>") + f". {self.basis}", rows, len(self.candidates))

    def with_reasons(self, groups: tuple[str, ...], why: np.ndarray, base: np.ndarray) -> Forecast:
        """The forecast with contributions; see the attributes."""
        return replace(self, groups=groups, why=why, base=base)

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate: source, target, recipe, encoder, score, lower, upper, beats_baseline, support.

        Example:
            `forecast` has the expected scores of transfers from four sources to reviews.

            >>> frame = forecast.to_frame()
            >>> frame.sort_values("score", ascending=False)["source"].tolist()
            ['tweets', 'forum', 'recipes', 'news']
        """
        columns = {name: getattr(self, name) for name in ("score", "lower", "upper", "beats_baseline", "support")}
        index = pd.DataFrame(list(self.candidates), columns=["source", "target", "recipe"])
        return pd.concat([index.assign(encoder=list(self.encoders)), pd.DataFrame(columns)], axis=1)

    def why_for(self, pair: Pair) -> dict[str, float]:
        """Contributions by group for the first candidate of a pair, the largest first.

        Raises:
            InputError: if the pair was not forecast.

        Example:
            `forecast` has the expected scores of transfers from four sources to reviews.

            >>> import transfercast as tc
            >>> why = forecast.why_for(tc.Pair("tweets", "reviews"))
            >>> {group: round(value, 2) for group, value in why.items()}
            {'embeddings': 0.07, 'history': 0.03, 'recipe': 0.0, 'data': 0.0}
        """
        for row, candidate in enumerate(self.candidates):
            if candidate.pair == pair:
                parts = dict(zip(self.groups, self.why[row].tolist(), strict=True))
                return dict(sorted(parts.items(), key=lambda item: -abs(item[1])))
        raise InputError(f"no forecast for {pair.source} -> {pair.target}.")
