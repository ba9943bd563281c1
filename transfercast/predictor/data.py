"""From a history or a feature table to arrays: names, columns of evidence, no-transfer baselines, metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from transfercast.core.errors import InputError
from transfercast.core.kinds import DEFAULT_METRIC, METRICS
from transfercast.core.records import ALONE, Candidate, Recipe
from transfercast.core.table import INDEX, Column, FeatureTable, TargetFacts
from transfercast.history.frames import Frames

log = logging.getLogger(__name__)

ADAPTATIONS = {"features": "frozen", "ulmfit": "ulmfit", "lora": "lora", "multitask": "multitask"}
"""Adaptations except `full`, and the names of their columns."""
LARGEST = 1e30
"""Features are clipped to this absolute value, so that their squares and the trees' 32-bit numbers are finite."""
RECIPE_COLUMNS = (
    "recipe_log_lr", "recipe_epochs", "recipe_batch_size", *(f"recipe_{name}" for name in ADAPTATIONS.values()),
)  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """n candidates with their features.

    Attributes:
        values: (n, f) features, NaN where missing; columns of the recipes come last.
        schema: f columns.
        sources, targets, recipes: (n,) names.
        baseline: (n,) no-transfer baselines, the target's score when trained alone from the row's encoder; NaN if unknown.
        metric: (n,) names of metrics.
        encoder: (n,) names of base encoders.
    """

    values: np.ndarray
    schema: tuple[Column, ...]
    sources: np.ndarray
    targets: np.ndarray
    recipes: np.ndarray
    baseline: np.ndarray
    metric: np.ndarray
    encoder: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def query_ids(self) -> np.ndarray:
        """(n,) number of the row's query (target x encoder x metric); rows of a query are ranked against one another."""
        return numbered(self.targets, self.encoder, self.metric)

    def each(self, names: np.ndarray, value: Callable[[str], float]) -> np.ndarray:
        """(n,) value of each row's name; names, such as metrics, encoders or targets, must be the same within each query."""
        return np.asarray(np.array([value(name) for name in names[self._firsts]])[self.query_ids])

    @cached_property
    def _firsts(self) -> np.ndarray:
        return np.unique(self.query_ids, return_index=True)[1]

    @property
    def evidence_groups(self) -> tuple[str, ...]:
        """Evidence groups of the columns."""
        return tuple(dict.fromkeys(column.group for column in self.schema))

    @cached_property
    def metric_range(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) lowest and (n,) highest value of each row's metric."""
        for name in dict.fromkeys(self.metric):
            if name not in METRICS:
                raise InputError(f"metric {name!r} is unknown; known are {', '.join(METRICS)}.")
        lowest = self.each(self.metric, lambda name: METRICS[name].lowest)
        return lowest, self.each(self.metric, lambda name: METRICS[name].highest)

    @cached_property
    def best_baseline(self) -> np.ndarray:
        """(n,) best no-transfer baseline of the row's target over encoders; NaN if none is known."""
        own = numbered(self.targets, self.metric)
        best = np.full(own.max(initial=-1) + 1, np.nan)
        np.fmax.at(best, own, self.baseline)
        return np.asarray(best[own])

    def take(self, rows: np.ndarray) -> Candidates:
        """Some rows, by mask or number."""
        return Candidates(
            self.values[rows], self.schema, self.sources[rows], self.targets[rows], self.recipes[rows],
            self.baseline[rows], self.metric[rows], self.encoder[rows],
        )  # fmt: skip

    def only(self, schema: Sequence[Column]) -> Candidates:
        """Some columns."""
        return replace(self, values=self.matrix([column.name for column in schema]), schema=tuple(schema))

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """(n, len(names)) values of the named columns, in this order; NaN for a column that does not exist."""
        place = {column.name: number for number, column in enumerate(self.schema)}
        found = np.array([place.get(name, -1) for name in names], dtype=np.int64)
        result = self.values[:, found] if len(self.schema) else np.full((len(self), len(found)), np.nan)
        result[:, found < 0] = np.nan
        return result


def numbered(*names: np.ndarray) -> np.ndarray:
    """(n,) number of each row's combination of names, from 0 in order of appearance."""
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in zip(*names, strict=True)], dtype=np.int64)


def candidates_of(
    values: np.ndarray,
    schema: Sequence[Column],
    candidates: Sequence[Candidate],
    facts: Mapping[str, TargetFacts],
    encoder: str | Sequence[str],
) -> Candidates:
    """Candidates from named pairs and recipes; baselines come from `facts`, or else from the column `target_score`.

    Args:
        values: (n, f) features.
        schema: f columns.
        candidates: n candidates.
        facts: facts of targets, by name.
        encoder: base encoder of all candidates, or of each.
    """
    sources, targets, recipes = (np.array(part, dtype=object) for part in zip(*candidates, strict=True))
    encoders = np.full(len(targets), encoder, dtype=object)
    scores = {(name, own): about.with_encoder(own).score for name, about in facts.items() for own in dict.fromkeys(encoders)}
    known = [scores.get(key) for key in zip(targets, encoders, strict=True)]
    baseline = np.array([np.nan if score is None else score for score in known], dtype=np.float64)
    metrics = {name: about.metric for name, about in facts.items()}
    metric = np.array([metrics.get(name, DEFAULT_METRIC) for name in targets], dtype=object)
    return _candidates(values, schema, (sources, targets, recipes), baseline, metric, encoders)


def candidates_of_table(table: FeatureTable) -> Candidates:
    """The candidates of a feature table."""
    about = table.provenance
    values = table.frame.to_numpy(dtype=np.float64)
    return candidates_of(values, table.schema, table.candidates, about.targets, table.encoders)


def _candidates(
    values: np.ndarray,
    schema: Sequence[Column],
    names: tuple[np.ndarray, np.ndarray, np.ndarray],
    baseline: np.ndarray,
    metric: np.ndarray,
    encoder: np.ndarray,
) -> Candidates:
    own = next((number for number, column in enumerate(schema) if column.name == "target_score"), None)
    if own is not None:
        baseline = np.where(np.isnan(baseline), values[:, own], baseline)
    recipes = np.array([_recipe_row(key) for key in names[2]], dtype=np.float64)
    values = np.clip(values, -LARGEST, LARGEST)
    return Candidates(np.concatenate([values, recipes], axis=1), (*schema, *_RECIPES), *names, baseline, metric, encoder)


@dataclass(frozen=True)
class Transfers:
    """n observed transfers.

    Attributes:
        candidates: the n candidates with the features known before training.
        score: (n,) scores, mean over seeds.
        hours: (n,) hours of a training, mean over seeds.
        measured: m further pairs with measures, trained or not, which also show how similar targets are.
    """

    candidates: Candidates
    score: np.ndarray
    hours: np.ndarray
    measured: Candidates | None = None

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Transfers:
        """Some rows, by mask or number."""
        return Transfers(self.candidates.take(rows), self.score[rows], self.hours[rows], self.measured)

    def with_measured(self) -> Candidates:
        """The observed pairs and those that were only measured, once for each encoder."""
        own, more = self.candidates, self.measured
        if more is None:
            return own
        there = set(zip(own.sources, own.targets, own.encoder, strict=True))
        new = np.array([key not in there for key in zip(more.sources, more.targets, more.encoder, strict=True)], dtype=bool)
        return joined([own, more.only(own.schema).take(new)])


def transfers_of(history: Frames, schema: Sequence[Column], tables: Sequence[FeatureTable] = ()) -> Transfers:
    """The transfers of a history (`History.frames()`) on validation, as means over seeds.

    The mean is over observations with the same fingerprints of source and target. If several data sets have the same target
    name, the one with most observations keeps it, and the others become separate targets. A feature of a version other than
    the current one counts as missing. If only some transfers name an encoder, the smaller group of the two is left out. Both
    are logged as warnings.

    Args:
        history: n observations and their features.
        schema: columns of the measures in their current versions; other columns have an unknown direction.
        tables: feature tables of measured pairs, trained or not.

    Raises:
        InputError: if no transfer was observed.
    """
    records = history.records
    chosen = ((records.source != ALONE) & (records.split == "validation")).to_numpy(dtype=bool)
    if not chosen.any():
        raise InputError("the history has no observed transfer (source to target, on validation). Run a search first.")
    chosen = chosen & _same_kind_of_encoder(records.encoder.to_numpy(), chosen)
    known = {column.name: column for column in schema}
    columns = [known.get(name, _unknown(name)) for name in map(str, history.features)]
    transfers, values = records[chosen], _in_force(history, columns, chosen, set(known))
    transfers = transfers.assign(target=_told_apart(transfers))
    seeds = [*INDEX, "metric", "encoder", "source_fingerprint", "target_fingerprint"]
    numbers = transfers.groupby(seeds, sort=False).ngroup().to_numpy()
    first = transfers[~pd.Series(numbers).duplicated().to_numpy()]
    mean = transfers.groupby(numbers)[["score", "baseline", "hours"]].mean()
    features = pd.DataFrame(values).groupby(numbers).mean().to_numpy(dtype=np.float64).reshape(len(mean), len(columns))
    sources, targets, recipes, metric, encoder = (first[name].to_numpy(dtype=object) for name in (*INDEX, "metric", "encoder"))
    score, own, hours = (mean[name].to_numpy(dtype=np.float64) for name in ("score", "baseline", "hours"))
    candidates = _candidates(features, columns, (sources, targets, recipes), own, metric, encoder)
    measured = [candidates_of_table(table).only(candidates.schema) for table in tables]
    return Transfers(candidates, score, hours, joined(measured) if measured else None)


def _same_kind_of_encoder(encoder: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(n,) whether a row is in the larger group of the chosen rows: those with a named encoder, or those without one.

    Relative scores of the two groups are not comparable.
    """
    unnamed = encoder == "unknown"
    without, total = int(unnamed[chosen].sum()), int(chosen.sum())
    if without in (0, total):
        return np.ones(len(encoder), dtype=bool)
    fewer, which = (without, "name no encoder") if 2 * without <= total else (total - without, "name an encoder")
    log.warning(
        "%d of %d observed transfers are left out: they %s, unlike the others. Remove them with "
        "'transfercast history remove', and import them again with the column 'encoder'.",
        fewer, total, which,
    )  # fmt: skip
    return np.asarray(unnamed != (2 * without <= total))


def _in_force(history: Frames, columns: Sequence[Column], chosen: np.ndarray, described: set[str]) -> np.ndarray:
    """(m, f) features of the chosen rows; NaN if their measure has another version than the current one."""
    values, versions = (part.to_numpy(dtype=np.float64)[chosen] for part in (history.features, history.versions))
    current = np.array([column.version if column.name in described else np.nan for column in columns])
    other = np.isfinite(values) & np.isfinite(versions) & np.isfinite(current) & (versions != current)
    if other.any():
        changed = dict.fromkeys(
            column.measure for column, any_other in zip(columns, other.any(axis=0), strict=True) if any_other
        )
        log.warning(
            "%d of %d observed transfers have measures of another version (%s), which are taken as missing. Measure their "
            "pairs anew with 'transfercast features', then 'transfercast history refresh features.parquet'.",
            other.any(axis=1).sum(), len(values), ", ".join(changed),
        )  # fmt: skip
    return np.where(other, np.nan, values)


def _told_apart(transfers: pd.DataFrame) -> pd.Series:
    """Target names; if data sets share a name, all but the most observed get the start of their fingerprint as a suffix."""
    counts = transfers.groupby(["target", "target_fingerprint"], sort=True).size()
    most = counts.groupby(level="target").idxmax().map(lambda key: key[1])
    is_other = transfers.target_fingerprint != transfers.target.map(most)
    marked = transfers.target + " (data " + transfers.target_fingerprint.str[:12].replace("", "unknown") + ")"
    return transfers.target.where(~is_other, marked)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of the same columns, one after another."""
    arrays = ("values", "sources", "targets", "recipes", "baseline", "metric", "encoder")
    return Candidates(
        schema=parts[0].schema, **{name: np.concatenate([getattr(one, name) for one in parts]) for name in arrays}
    )


def _unknown(name: str) -> Column:
    return Column(name=name, measure=name, version=1, better="unknown", group="data")


_RECIPES = tuple(Column(name=name, measure="recipe", version=1, better="unknown", group="recipe") for name in RECIPE_COLUMNS)


@lru_cache(maxsize=10_000)
def _recipe_row(key: str) -> tuple[float, ...]:
    try:
        recipe = Recipe.parse(key)
    except InputError:  # observations of others may have unknown recipes
        return (np.nan,) * len(RECIPE_COLUMNS)
    return (
        np.nan if recipe.rate is None else float(np.log10(recipe.rate)),
        np.nan if recipe.epochs is None else float(recipe.epochs),
        float(recipe.batch_size),
        *(float(recipe.adaptation == adaptation) for adaptation in ADAPTATIONS),
    )
