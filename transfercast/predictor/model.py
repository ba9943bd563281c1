"""The predictor: what was learned, ready to forecast a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from transfercast.core.choices import Bounds
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.forecast import Forecast
from transfercast.core.records import Candidate
from transfercast.core.table import FeatureTable
from transfercast.predictor import persistence, versions
from transfercast.predictor.bounds import FEWEST_TO_POOL, Calibration, Residuals
from transfercast.predictor.design import Design, design_of_table
from transfercast.predictor.learning import Learned
from transfercast.predictor.regressor import NOTHING_OBSERVED, Fitted, Prediction

PRIOR = "prior"


@dataclass(frozen=True)
class Predictor:
    """Forecasts scores of candidate pairs.

    Attributes:
        id: of the artifact, or 'prior'.
        fitted: the regressor and what it rests on.
        residuals: of held-out targets, by target.
    """

    id: str = PRIOR
    fitted: Fitted = NOTHING_OBSERVED
    residuals: Residuals = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Predictor:
        """The predictor in force in a folder; without a folder the bundled one, which is the prior.

        Raises:
            InputError: if there is none.
            ArtifactError: if it is damaged, tampered with or of another format.
        """
        if folder is None:
            return cls()
        return cls(*persistence.from_folder(versions.current(Path(folder))))

    @cached_property
    def calibration(self) -> Calibration:
        """What the residuals say."""
        return Calibration(self.residuals)

    @classmethod
    def promote(cls, folder: str | Path, version: str) -> Predictor:
        """Put a version in force, once it is loaded.

        Raises:
            InputError: if there is no such version.
            ArtifactError: if it cannot be loaded; then nothing changes.
        """
        loaded = cls.load(versions.place_of(Path(folder), version))
        versions.promote(Path(folder), version)
        return loaded

    @classmethod
    def roll_back(cls, folder: str | Path) -> str:
        """Put the last version before the one in force again that can be loaded, and tell its id.

        Raises:
            InputError: if there is none before.
        """
        return versions.roll_back(Path(folder), cls.load)

    def save(self, folder: Path, manifest: dict[str, Any], report: dict[str, Any], card: str) -> None:
        """Write the predictor as a version folder."""
        if self.fitted.inputs is None:
            raise InputError("the prior has nothing to save.")
        persistence.to_folder(folder, self.fitted, self.residuals, {"id": self.id, **manifest}, report, card)

    def predict(
        self, table: FeatureTable, coverage: float = 0.9, *, bounds: Bounds | None = None, explain: bool = True
    ) -> Forecast:
        """Expected scores of a table's candidates, with bounds and reasons.

        Args:
            table: of features; standings are taken among a target's candidates in it.
            coverage: nominal, in (0, 1).
            bounds: `grouped`, or the wider `hierarchical`; by default the latter below ten held-out targets; see
                `predictor.bounds`.
            explain: also say why, which takes most of the time.

        Raises:
            InputError: if the coverage is out of range, or the table is empty.
            ArtifactError: if the table's measures are of another version than the predictor was fitted on.
        """
        if not len(table.frame):
            raise InputError("the table has no row, so there is nothing to forecast.")
        return self.forecast(design_of_table(table), coverage, bounds, explain)

    def forecast(self, design: Design, coverage: float, bounds: Bounds | None = None, explain: bool = True) -> Forecast:
        """As `predict`, of a design."""
        self.check(design, coverage)
        return self._forecast(design, self.fitted.predict(design, explain), coverage, bounds)

    def forecast_each(self, asked: Sequence[tuple[Design, float, Bounds | None]]) -> list[Forecast]:
        """Forecasts without reasons for designs that do not know of one another, which must have passed `check`.

        Args:
            asked: designs, with coverage and kind of bounds; together they take less time than one by one.
        """
        predicted = self.fitted.predict_each([design for design, _, _ in asked])
        return [
            self._forecast(design, one, coverage, bounds)
            for (design, coverage, bounds), one in zip(asked, predicted, strict=True)
        ]

    def check(self, design: Design, coverage: float) -> None:
        """Refuse what cannot be forecast.

        Raises:
            InputError: if the coverage is out of range.
            ArtifactError: if the design's measures are of another version than the predictor was fitted on.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage is {coverage}; give a share between 0 and 1, such as 0.9.")
        self._check_versions(design)

    def _forecast(self, design: Design, predicted: Prediction, coverage: float, bounds: Bounds | None) -> Forecast:
        kind = self.calibration.kind(bounds)
        lower, upper = self.bounds(design, predicted, coverage, kind)
        scaling, rows = self.fitted.scaling, len(predicted.score)
        return Forecast(
            candidates=tuple(map(Candidate, design.sources.tolist(), design.targets.tolist(), design.recipes.tolist())),
            encoders=tuple(design.encoder.tolist()),
            score=predicted.score,
            lower=lower,
            upper=upper,
            spread=np.full(rows, self.calibration.spread),
            shared_spread=np.full(rows, scaling.shared_error),
            own_spread=np.full(rows, scaling.own_error),
            beats_baseline=self.calibration.beats(predicted.score - design.best_baseline),
            support=predicted.support.astype(np.int64),
            prior_share=predicted.prior_share,
            why=predicted.why,
            groups=predicted.groups,
            base=predicted.base,
            coverage=coverage,
            basis=self._basis(design, predicted.prior_share, kind),
            predictor=self.id,
        )

    def bounds(
        self, design: Design, predicted: Prediction, coverage: float, kind: Bounds = "grouped"
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) lower and upper bounds, within the metric's range."""
        lowest, highest = design.metric_range
        half = self.calibration.half_width(coverage, kind)
        return np.maximum(predicted.score - half, lowest), np.minimum(predicted.score + half, highest)

    def beats(self, design: Design, predicted: Prediction) -> np.ndarray:
        """(n,) probability to beat the target's own score; NaN where that is not known."""
        return self.calibration.beats(predicted.score - design.baseline)

    def _basis(self, design: Design, share: np.ndarray, bounds: Bounds) -> str:
        count = int(self.fitted.scaling.levels.support(design, self.fitted.choice.goal).max())
        if not count:
            return (
                "No history yet: an order by the mean rank of the measures and no scores, for nothing says what a rank is "
                "worth. Transfers to other targets, trained by a search or imported, change that."
            )
        held_out = len(self.residuals)
        if held_out < 2:
            width = "the metric's whole range: fewer than two targets observed"
        elif bounds == "hierarchical":
            width = f"hierarchical by {held_out} targets held out"
        else:
            width = f"pooled over the rows of {held_out} targets held out"
            width += "" if held_out >= FEWEST_TO_POOL else ", too few to cover as much as they say"
        learned = f"{share.mean():.0%} of each forecast is prior"
        if self.fitted.scaling.points <= 0:
            learned = "nothing was learned that other targets bear out, so the prior orders"
        return f"Rests on {count} observed transfers; {learned}. Bounds: {width}."

    def _check_versions(self, design: Design) -> None:
        fitted = {column.name: column.version for column in self.fitted.schema}
        for column in design.schema:
            if fitted.get(column.name, column.version) != column.version:
                raise ArtifactError(
                    f"column {column.name}: the table has version {column.version} of {column.measure}, predictor "
                    f"{self.id} was fitted on version {fitted[column.name]}. Make the table anew, or retrain."
                )
        measured = {column.name for column in self.fitted.schema if column.group != "recipe"}
        if measured and not measured & {column.name for column in design.schema}:
            raise ArtifactError(f"the table shares no column with those predictor {self.id} was fitted on. Retrain.")


def predictor_of(name: str, learned: Learned) -> Predictor:
    """What was learned, under a name."""
    return Predictor(name, learned.fitted, learned.residuals)
