"""The predictor: a fitted model that forecasts the candidates of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from transfercast.core.choices import Bounds
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.forecast import Forecast
from transfercast.core.plan import Plan
from transfercast.core.records import Candidate
from transfercast.core.table import FeatureTable
from transfercast.history.store import History, opened
from transfercast.predictor import persistence, prior, versions
from transfercast.predictor.data import Candidates, Transfers, candidates_of_table, transfers_of
from transfercast.predictor.fitting import ATLAS, NOTHING_OBSERVED, FittedModel, fit
from transfercast.predictor.intervals import FEWEST_TO_POOL, Intervals
from transfercast.predictor.prior import has_weights

PRIOR = "prior"
"""Id of a predictor without observations; each measure has one vote."""


@dataclass(frozen=True)
class Predictor:
    """Forecasts scores of candidate pairs.

    Attributes:
        id: id of the artifact, or 'prior'.
        fitted: the fitted models, calibration and residuals.

    Example:
        `history` holds transfers from four sources, and `table` the features of these sources for a new target, reviews.

        >>> import transfercast as tc
        >>> tc.Predictor()
        <Predictor prior: nothing observed>
        >>> predictor = tc.Predictor.fit(history)
        >>> predictor
        <Predictor fitted: 24 observed transfers>
        >>> predictor.predict(table).score.round(2).tolist()
        [0.52, 0.71, 0.64, 0.58]
    """

    id: str = PRIOR
    fitted: FittedModel = NOTHING_OBSERVED

    def __repr__(self) -> str:
        """Id and number of observed transfers, in one line."""
        count = self.fitted.calibration.observations
        return f"<Predictor {self.id}: {f'{count} observed transfers' if count else 'nothing observed'}>"

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Predictor:
        """The predictor in force in a folder; without a folder the bundled one, or the prior if the package has none.

        Raises:
            InputError: if the folder has no predictor in force.
            ArtifactError: if it is damaged, was tampered with, or has another format.

        Example:
            `history` holds transfers to six targets.

            >>> from pathlib import Path
            >>> import transfercast as tc
            >>> tc.Predictor.fit(history).save(Path("mine"), {}, {}, "")
            >>> tc.Predictor.load("mine")
            <Predictor fitted: 24 observed transfers>
        """
        if folder is None:
            return cls(*persistence.from_folder(prior.BUNDLED)) if prior.BUNDLED.is_dir() else cls()
        return cls(*persistence.from_folder(versions.current(Path(folder))))

    @classmethod
    def fit(cls, history: History | str | Path, *, tables: Sequence[FeatureTable] = (), features: str = "all") -> Predictor:
        """A predictor learned from all observed transfers, without a comparison with an older one; see `train_meta` for that.

        Args:
            history: a History, a database URL, an SQLite file, or a CSV or Parquet file.
            tables: feature tables of measured pairs, trained or not, which show how similar targets are.
            features: a feature set, or names of groups, measures or columns, separated by commas.

        Raises:
            InputError: if the history does not exist or has no transfer, or a feature is unknown.

        Example:
            `history` holds transfers to six targets.

            >>> import transfercast as tc
            >>> tc.Predictor.fit(history, features="embeddings,history")
            <Predictor fitted: 24 observed transfers>
        """
        past = opened(history)
        return cls.of(transfers_of(past.frames(), past.schema(), tables), features)

    @classmethod
    def of(cls, transfers: Transfers, features: str = "all", name: str = "fitted") -> Predictor:
        """A predictor learned from transfers."""
        return cls(name, fit(transfers, features))

    @cached_property
    def intervals(self) -> Intervals:
        """Prediction intervals from the residuals."""
        return Intervals(self.fitted.residuals)

    @classmethod
    def promote(cls, folder: str | Path, version: str) -> Predictor:
        """Load a version and put it in force.

        Raises:
            InputError: if there is no such version.
            ArtifactError: if it cannot be loaded; then nothing changes.
        """
        loaded = cls.load(versions.place_of(Path(folder), version))
        versions.promote(Path(folder), version)
        return loaded

    @classmethod
    def roll_back(cls, folder: str | Path) -> str:
        """Put the last earlier version that can be loaded in force again, and return its id.

        Raises:
            InputError: if there is no such version.
        """
        return versions.roll_back(Path(folder), cls.load)

    def save(self, folder: Path, manifest: dict[str, Any], report: dict[str, Any], card: str) -> None:
        """Write the predictor as a version folder.

        Example:
            `history` holds transfers to six targets.

            >>> from pathlib import Path
            >>> import transfercast as tc
            >>> tc.Predictor.fit(history).save(Path("mine"), {}, {}, "# My predictor")
            >>> Path("mine/CARD.md").read_text()
            '# My predictor'
        """
        if not self.fitted.calibration.observations:
            raise InputError("the prior has no observations, so there is nothing to save.")
        persistence.to_folder(folder, self.fitted, {"id": self.id, **manifest}, report, card)

    def predict(
        self, table: FeatureTable, coverage: float = 0.9, *, bounds: Bounds | None = None, explain: bool = True
    ) -> Forecast:
        """Expected scores of a table's candidates, with intervals and reasons.

        Args:
            table: feature table; a target's candidates are compared with one another.
            coverage: nominal coverage of the intervals, in (0, 1).
            bounds: `grouped` (pooled), or the wider `hierarchical`; by default the latter below ten held-out targets; see
                `predictor.intervals`.
            explain: also compute reasons, which takes most of the time; `explained` does it only for the steps of a plan.

        Raises:
            InputError: if the coverage is out of range, or the table is empty.
            ArtifactError: if the table has other versions of measures than the predictor was fitted on, or none of its
                columns.

        Example:
            `history` holds transfers from four sources, and `table` the features of these sources for a new target, reviews.

            >>> import transfercast as tc
            >>> forecast = tc.Predictor.fit(history).predict(table, coverage=0.8)
            >>> forecast.to_frame().set_index("source")["score"].round(2).to_dict()
            {'news': 0.52, 'tweets': 0.71, 'forum': 0.64, 'recipes': 0.58}
        """
        if not len(table.frame):
            raise InputError("the table has no row, so there is nothing to forecast.")
        return self.forecast(candidates_of_table(table), coverage, bounds, explain)

    def forecast(self, candidates: Candidates, coverage: float, bounds: Bounds | None = None, explain: bool = True) -> Forecast:
        """The same as `predict`, for candidates."""
        self.check(candidates, coverage)
        (forecast,) = self.forecast_each([(candidates, coverage, bounds)])
        if not explain:
            return forecast
        every = np.arange(len(candidates))
        return forecast.with_reasons(*self._able(candidates)._reasons(candidates, every, forecast.score))

    def forecast_each(self, asked: Sequence[tuple[Candidates, float, Bounds | None]]) -> list[Forecast]:
        """Forecasts without reasons for several independent sets of candidates, which must have passed `check`."""
        return [self._able(rows)._forecast(rows, coverage, bounds) for rows, coverage, bounds in asked]

    def _able(self, candidates: Candidates) -> Predictor:
        """This predictor; or the prior, if this one is from the atlas and knows no measure of the candidates."""
        is_of_atlas = self.fitted.features == ATLAS
        return Predictor() if is_of_atlas and not has_weights(candidates, self.fitted.calibration.weights) else self

    def explained(self, plan: Plan, table: FeatureTable) -> Plan:
        """A plan of this predictor's forecasts with the reasons of its steps."""
        own = table.frame.index.get_level_values("target").isin([step.target for step in plan.steps])
        table = replace(table, frame=table.frame[own])
        candidates = candidates_of_table(table)
        row_of = {candidate: row for row, candidate in enumerate(table.candidates)}
        keys = [Candidate(step.source, step.target, step.recipe) for step in plan.steps]
        chosen = np.array([row_of[key] for key in keys if key in row_of], dtype=np.int64)
        scores = self.forecast(candidates, 0.9, explain=False).score
        groups, why, _ = self._able(candidates)._reasons(candidates, chosen, scores[chosen])
        reasons = {int(row): dict(zip(groups, shares.tolist(), strict=True)) for row, shares in zip(chosen, why, strict=True)}
        steps = [
            step if step.done or key not in row_of else step.model_copy(update={"why": reasons[row_of[key]]})
            for step, key in zip(plan.steps, keys, strict=True)
        ]
        return plan.model_copy(update={"steps": tuple(steps)})

    def check(self, candidates: Candidates, coverage: float) -> None:
        """Refuse candidates that cannot be forecast.

        Raises:
            InputError: if the coverage is out of range.
            ArtifactError: if measures have another version than the predictor was fitted on, or it knows none of the columns.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage is {coverage}; give a share between 0 and 1, such as 0.9.")
        if self.fitted.features == ATLAS:  # it uses only columns that it knows in their version
            return
        fitted = {column.name: column.version for column in self.fitted.schema}
        for column in candidates.schema:
            if fitted.get(column.name, column.version) != column.version:
                raise ArtifactError(
                    f"column {column.name}: the table has version {column.version} of {column.measure}, predictor "
                    f"{self.id} was fitted on version {fitted[column.name]}. Make the table again, or retrain."
                )
        measured = {column.name for column in self.fitted.schema if column.group != "recipe"}
        if measured and not measured & {column.name for column in candidates.schema}:
            raise ArtifactError(f"the table shares no column with those that predictor {self.id} was fitted on. Retrain.")

    def _forecast(self, rows: Candidates, coverage: float, bounds: Bounds | None) -> Forecast:
        relative = self.fitted.relative(rows)
        calibration, kind = self.fitted.calibration, self.intervals.kind(bounds)
        score = calibration.scores(rows, relative.score, relative.regimes)
        headroom = calibration.levels.headroom(rows)
        scale, share = headroom * relative.difficulty, calibration.prior_share(relative.regimes)
        half = self.intervals.half_width(coverage, kind) * scale
        lowest, highest = rows.metric_range
        return Forecast(
            candidates=tuple(map(Candidate, rows.sources.tolist(), rows.targets.tolist(), rows.recipes.tolist())),
            encoders=tuple(rows.encoder.tolist()),
            score=score,
            lower=np.maximum(score - half, lowest),
            upper=np.minimum(score + half, highest),
            spread=self.intervals.spread * scale,
            shared_spread=calibration.shared_error * headroom,
            own_spread=calibration.own_error * scale,
            beats_baseline=self.intervals.improvement((score - rows.best_baseline) / scale),
            support=np.full(len(rows), calibration.observations, dtype=np.int64),
            prior_share=share,
            why=np.empty((len(rows), 0)),
            groups=(),
            base=score,
            coverage=coverage,
            basis=self._basis(share, kind),
            predictor=self.id,
        )

    def _reasons(
        self, rows: Candidates, chosen: np.ndarray, score: np.ndarray
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Evidence groups, (k, g) score units that each adds to the (k,) scores of the chosen rows, and (k,) the rest."""
        models, calibration = self.fitted.models, self.fitted.calibration
        columns = () if models is None else models.input_columns
        groups = tuple(dict.fromkeys((*rows.evidence_groups, *(column.group for column in columns))))
        regimes = self.fitted.regimes(rows)
        why = calibration.prior_points(rows, regimes, groups)[chosen]
        if models is not None:
            shares = models.contributions(rows, chosen)
            slope = calibration.levels_and_slopes(rows, regimes)[1][chosen]
            parts = np.einsum("mkf,km->kf", shares, self.fitted.factors(regimes[chosen])) * slope[:, None]
            for number, column in enumerate(columns):
                why[:, groups.index(column.group)] += parts[:, number]
        return groups, why, score - why.sum(axis=1)

    def _basis(self, share: np.ndarray, bounds: Bounds) -> str:
        count = self.fitted.calibration.observations
        if not count:
            return (
                "Rests on no observed transfers: an order by the mean rank of the measures, without scores, because nothing "
                "shows what a rank is worth. For scores, observe transfers to other targets (search or import) and run "
                "train-meta."
            )
        held_out = len(self.fitted.residuals)
        if held_out < 2:
            width = "the metric's whole range: fewer than two targets observed"
        elif bounds == "hierarchical":
            width = f"hierarchical, from {held_out} held-out targets"
        else:
            width = f"pooled over the rows of {held_out} held-out targets"
            width += "" if held_out >= FEWEST_TO_POOL else ", too few for the nominal coverage"
        if self.fitted.features == ATLAS:
            return f"Rests on {count} measured transfers between other tasks (the atlas), none of your own. Bounds: {width}."
        learned = f"the prior's share of the order is {share.mean():.0%}"
        if share.min() == 1:
            learned = "no model was learned that held-out targets confirm, so the order is the prior's"
        return f"Rests on {count} observed transfers; {learned}. Bounds: {width}."
