"""From observations or a table to what the regressor sees: named columns, the target's own score, the metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from transfercast.core.errors import InputError
from transfercast.core.kinds import DEFAULT_METRIC, METRICS
from transfercast.core.records import ALONE, Recipe
from transfercast.core.table import INDEX, Column, FeatureTable, Group

FEATURE_SETS: dict[str, tuple[str, ...] | None] = {
    "f1": ("single-task scores",),
    "f1+ansat": ("single-task scores", "attribution"),
    "all": None,
}
"""Feature sets by the groups of evidence they use; None uses every column and the history."""


def columns_of(schema: Sequence[Column], features: str) -> tuple[Column, ...]:
    """The columns of a feature set.

    Args:
        schema: to choose from.
        features: a key of FEATURE_SETS, or names of groups, measures or columns with commas between.

    Raises:
        InputError: if a name is none of these.
    """
    if features in FEATURE_SETS:
        groups = FEATURE_SETS[features]
        return tuple(column for column in schema if groups is None or column.group in groups)
    names = [name.strip() for name in features.split(",")]
    for name in names:
        if name != "history" and not any(name in (column.group, column.measure, column.name) for column in schema):
            known = ", ".join([*FEATURE_SETS, "history", *sorted({column.group for column in schema})])
            raise InputError(f"features {name!r}: no such set, group, measure or column. Known are {known}.")
    return tuple(column for column in schema if {column.group, column.measure, column.name} & set(names))


def uses_history(features: str) -> bool:
    """Whether a feature set takes the history's own features."""
    return FEATURE_SETS[features] is None if features in FEATURE_SETS else "history" in features.split(",")


RECIPE_COLUMNS = ("recipe_log_lr", "recipe_epochs", "recipe_batch_size", "recipe_frozen", "recipe_ulmfit")


@dataclass(frozen=True)
class Design:
    """n candidates as the regressor sees them.

    Attributes:
        frame: (n, f) features, indexed by (source, target, recipe); NaN where missing.
        schema: f columns.
        baseline: (n,) the target's own score, NaN where it is not known.
        metric: (n,) names of metrics.
        encoder: (n,) names of base encoders.
    """

    frame: pd.DataFrame
    schema: tuple[Column, ...]
    baseline: np.ndarray
    metric: np.ndarray
    encoder: np.ndarray

    @cached_property
    def targets(self) -> np.ndarray:
        """(n,) names of the targets."""
        return self.frame.index.get_level_values("target").to_numpy()

    @cached_property
    def sources(self) -> np.ndarray:
        """(n,) names of the sources."""
        return self.frame.index.get_level_values("source").to_numpy()

    @cached_property
    def groups(self) -> np.ndarray:
        """(n,) number of the row's target, encoder and metric taken together: rows that are ranked among one another."""
        return np.asarray(pd.factorize(pd.MultiIndex.from_arrays([self.targets, self.encoder, self.metric]))[0])

    def take(self, rows: np.ndarray) -> Design:
        """Some rows, by mask or number."""
        return Design(self.frame[rows] if rows.dtype == bool else self.frame.iloc[rows], self.schema,
                      self.baseline[rows], self.metric[rows], self.encoder[rows])  # fmt: skip

    def only(self, schema: Sequence[Column]) -> Design:
        """Some columns."""
        return replace(self, frame=self.frame[[column.name for column in schema]], schema=tuple(schema))

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """(n, len(names)) values in the order asked for."""
        return self.frame.reindex(columns=list(names)).to_numpy(dtype=np.float64)


def design_of_table(table: FeatureTable) -> Design:
    """A feature table as a design; the baseline is what the table's provenance or `target_score` says."""
    frame = _with_recipe(table.frame)
    targets = frame.index.get_level_values("target")
    facts = table.provenance.targets
    known = [facts[name].score if name in facts else None for name in targets]
    baseline = np.array([np.nan if score is None else score for score in known], dtype=np.float64)
    if "target_score" in frame:
        baseline = np.where(np.isnan(baseline), frame["target_score"], baseline)
    metric = np.array([facts[name].metric if name in facts else DEFAULT_METRIC for name in targets], dtype=object)
    encoder = np.full(len(frame), table.provenance.encoder, dtype=object)
    return Design(frame, _schema(table.schema), baseline, metric, encoder)


@dataclass(frozen=True)
class Observed:
    """n observed transfers.

    Attributes:
        design: what was known of them before.
        score: (n,) what they reached, the mean over seeds.
        hours: (n,) what a training took, the mean over seeds.
        noise: (n,) standard error of `score`, NaN where there was one seed.
    """

    design: Design
    score: np.ndarray
    hours: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Observed:
        """Some rows, by mask or number."""
        return Observed(self.design.take(rows), self.score[rows], self.hours[rows], self.noise[rows])


def observed_in(history: pd.DataFrame, schema: Sequence[Column]) -> Observed:
    """The transfers of a history (`History.frame()`), on validation, with seeds of the same candidate averaged.

    Args:
        history: one row an observation.
        schema: columns known to the measures; other feature columns are taken as of unknown direction.

    Raises:
        InputError: if no transfer was observed.
    """
    transfers = history[(history.source != ALONE) & (history.split == "validation")] if len(history) else history
    if not len(transfers):
        raise InputError("the history holds no observed transfer (source to target, on validation). Run a search first.")
    described = {*INDEX, "encoder", "seed", "metric", "split", "score", "hours", "device", "finished_at", "baseline",
                 "source_fingerprint", "target_fingerprint", "run_key"}  # fmt: skip
    features = [name for name in transfers.columns if name not in described]
    seeds = transfers.groupby([*INDEX, "metric", "encoder"], sort=False)
    mean = seeds[["score", "baseline", "hours", *features]].mean()
    noise = seeds["score"].sem().to_numpy(dtype=np.float64)
    mean = mean.reset_index(["metric", "encoder"])
    known = {column.name: column for column in schema}
    columns = [known.get(name, _unknown(name)) for name in features]
    frame = _with_recipe(mean[features])
    baseline = mean["baseline"].to_numpy(dtype=np.float64)
    if "target_score" in frame:
        baseline = np.where(np.isnan(baseline), frame["target_score"], baseline)
    names = [mean[name].to_numpy(dtype=object) for name in ("metric", "encoder")]
    design = Design(frame, _schema(columns), baseline, *names)
    return Observed(design, mean["score"].to_numpy(dtype=np.float64), mean["hours"].to_numpy(dtype=np.float64), noise)


def _unknown(name: str) -> Column:
    return Column(name=name, measure=name, version=1, better="unknown", group="data")


def _schema(columns: Sequence[Column]) -> tuple[Column, ...]:
    group: Group = "recipe"
    recipe = [Column(name=name, measure="recipe", version=1, better="unknown", group=group) for name in RECIPE_COLUMNS]
    return (*columns, *recipe)


def _with_recipe(frame: pd.DataFrame) -> pd.DataFrame:
    values = [_recipe_row(key) for key in frame.index.get_level_values("recipe")]
    recipe = pd.DataFrame(values, index=frame.index, columns=list(RECIPE_COLUMNS), dtype=np.float64)
    return pd.concat([frame, recipe], axis=1)


def _recipe_row(key: str) -> tuple[float, ...]:
    try:
        recipe = Recipe.parse(key)
    except InputError:  # observations of others may carry no recipe that we know
        return (np.nan,) * len(RECIPE_COLUMNS)
    return (
        float(np.log10(recipe.learning_rate)),
        float(recipe.epochs),
        float(recipe.batch_size),
        float(recipe.adaptation == "features"),
        float(recipe.adaptation == "ulmfit"),
    )


def metric_range(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) lowest and highest value of each metric."""
    return np.array([METRICS[n].lowest for n in names]), np.array([METRICS[n].highest for n in names])
