"""The predictor: what was fitted, with its residuals, ready to forecast a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import replaced_folder
from transfercast.core.forecast import Forecast
from transfercast.core.table import Column, FeatureTable
from transfercast.predictor import artifact
from transfercast.predictor.bounds import half_width, spread
from transfercast.predictor.design import Design, design_of_table, metric_range
from transfercast.predictor.regressor import NOTHING_OBSERVED, Fitted

PRIOR = "prior"


@dataclass(frozen=True, slots=True)
class Predictor:
    """Forecasts scores of candidate pairs.

    Attributes:
        id: of the artifact, or 'prior'.
        fitted: the regressor and what it rests on.
        residuals: of held-out targets, by target.
    """

    id: str
    fitted: Fitted
    residuals: dict[str, np.ndarray]

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Predictor:
        """The predictor in force in a folder; without a folder the bundled one, which is the prior.

        Raises:
            InputError: if there is none.
            ArtifactError: if it is damaged, tampered with or of a newer format.
        """
        if folder is None:
            return cls(PRIOR, NOTHING_OBSERVED, {})
        place = artifact.current(Path(folder))
        manifest, parts = artifact.read(place)
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray((place / "booster.json").read_bytes()))
        try:
            fitted = Fitted(
                booster,
                tuple(Column(**column) for column in parts["schema.json"]["columns"]),
                {name: int(count) for name, count in manifest["observed"].items()},
                float(manifest["mean_gain"]),
                {name: float(score) for name, score in manifest["mean_score"].items()},
            )
            residuals = {name: np.array(values, dtype=np.float64) for name, values in parts["residuals.json"].items()}
            return cls(manifest["id"], fitted, residuals)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{folder}: damaged ({error}). Roll back, or train anew.") from error

    @staticmethod
    def roll_back(folder: str | Path) -> str:
        """Put the version before in force again, and tell its id.

        Raises:
            InputError: if there is none before.
        """
        return artifact.roll_back(Path(folder))

    def save(self, folder: Path, manifest: dict[str, Any], report: dict[str, Any], card: str) -> None:
        """Write the predictor as a version folder."""
        if self.fitted.booster is None:
            raise InputError("the prior has nothing to save.")
        parts = {
            "schema.json": {"columns": [column.model_dump() for column in self.fitted.schema]},
            "residuals.json": {name: values.tolist() for name, values in self.residuals.items()},
            "report.json": report,
        }
        about = {
            "id": self.id,
            "observed": self.fitted.observed,
            "mean_gain": self.fitted.mean_gain,
            "mean_score": self.fitted.mean_score,
            **manifest,
        }
        with replaced_folder(folder) as new:
            artifact.write(new, about, bytes(self.fitted.booster.save_raw("json")), parts, card)

    def predict(self, table: FeatureTable, coverage: float = 0.9) -> Forecast:
        """Expected scores of a table's candidates, with bounds and reasons.

        Args:
            table: of features; standings are taken among a target's candidates in it.
            coverage: nominal, in (0, 1).

        Raises:
            InputError: if the coverage is out of range, or the table is empty.
            ArtifactError: if the table's measures are of another version than the predictor was fitted on.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage is {coverage}; give a share between 0 and 1, such as 0.9.")
        if not len(table.frame):
            raise InputError("the table has no row, so there is nothing to forecast.")
        self._check_versions(table)
        design = design_of_table(table)
        predicted = self.fitted.predict(design)
        pooled = np.concatenate([np.empty(0), *self.residuals.values()])
        lowest, highest = metric_range(design.metric)
        half, error = half_width(pooled, coverage), spread(pooled)
        errors = np.full(len(predicted.score), error)
        return Forecast(
            candidates=tuple(table.candidates),
            score=predicted.score,
            lower=np.maximum(predicted.score - half, lowest),
            upper=np.minimum(predicted.score + half, highest),
            spread=errors,
            beats_baseline=ndtr((predicted.score - design.baseline) / errors),
            support=predicted.support.astype(np.int64),
            prior_share=predicted.prior_share,
            why=predicted.why,
            groups=predicted.groups,
            base=predicted.base,
            coverage=coverage,
            basis=self._basis(design, predicted.prior_share),
            predictor=self.id,
        )

    def _basis(self, design: Design, share: np.ndarray) -> str:
        counts = [self.fitted.observed.get(name, 0) for name in dict.fromkeys(design.metric)]
        if not any(counts):
            return (
                "No history yet: pairs are ordered by the mean rank of the measures, and expected scores are the "
                "target's own, moved by that rank."
            )
        calibrated = "" if self.residuals else " Bounds are the metric's whole range: fewer than two targets observed."
        return f"Rests on {max(counts)} observed transfers; {share.mean():.0%} of each forecast is prior.{calibrated}"

    def _check_versions(self, table: FeatureTable) -> None:
        fitted = {column.name: column.version for column in self.fitted.schema}
        for column in table.schema:
            if fitted.get(column.name, column.version) != column.version:
                raise ArtifactError(
                    f"column {column.name}: the table has version {column.version} of {column.measure}, predictor "
                    f"{self.id} was fitted on version {fitted[column.name]}. Make the table anew, or retrain."
                )
        if self.fitted.schema and not {c.name for c in self.fitted.schema} & {c.name for c in table.schema}:
            raise ArtifactError(f"the table shares no column with those predictor {self.id} was fitted on. Retrain.")
