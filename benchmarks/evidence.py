"""What the atlas says: makes docs/evidence.md and its plots from the committed atlas.

    python -m benchmarks.evidence [--write] [--draws 1000] [--atlas FOLDER]

Each family of tasks is held out whole, its sources, too: what a newcomer meets. The bundled predictor is learned anew without
it and ranks the sources of its targets by the evidence alone. Figures are means over targets with 95 % bootstrap intervals
over targets; a single measure is the best one *in hindsight* on the same targets. Nothing is trained here. `--write` writes
the page; without, it is printed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.evidence_noise import Noise, noise_of
from benchmarks.evidence_page import page_of, plots
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE
from transfercast.corpus.measured import DATA, atlas, families
from transfercast.predictor.calibration import calibration_of_prior
from transfercast.predictor.data import Transfers
from transfercast.predictor.fitting import fit
from transfercast.predictor.intervals import Intervals
from transfercast.predictor.masking import COLD
from transfercast.predictor.metrics import ndcg, regret, share_of_time
from transfercast.predictor.predictor import Predictor
from transfercast.predictor.prior import centred_ranks, ranks_of
from transfercast.predictor.prior_fit import fit_on_families, held_out_families, learned_weights
from transfercast.predictor.relative import rows_by_query
from transfercast.retraining.bundled import atlas_transfers

DOCS = Path(__file__).parents[1] / "docs"
FEWEST = 5
"""Candidates that a target must have to be judged."""

SEED = 0
FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "NDCG": lambda said, true: 100 * ndcg(said, true),
    "R@1": lambda said, true: regret(said, true, 1),
    "R@3": lambda said, true: regret(said, true, 3),
    "R@5": lambda said, true: regret(said, true, 5),
    "Spearman": lambda said, true: float(np.nan_to_num(spearmanr(said, true)[0])) if np.ptp(said) else 0.0,
}

SIGNS = {"NDCG": 1, "R@1": -1, "R@3": -1, "Spearman": 1}
LEARNED, MODELS, VOTES, STATIC = (
    "learned weights (the bundled predictor)", "process and trees, learned on the other families", "equal votes",
    "static order of sources (only the target held out)",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One figure a target, by name of the figure."""

    by_target: dict[str, np.ndarray]

    def mean(self, figure: str) -> float:
        """Over targets."""
        return float(self.by_target[figure].mean())

    def interval(self, figure: str, draws: int) -> tuple[float, float]:
        """95 % of the means of targets drawn with replacement."""
        values = self.by_target[figure]
        drawn = np.random.default_rng(SEED).choice(values, (draws, len(values))).mean(axis=1)
        return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def difference(one: np.ndarray, other: np.ndarray, draws: int, places: int = 1) -> str:
    """Mean of one minus the other, with 95 % of the means where targets, or pairs, are drawn with replacement."""
    apart = Judged({"": one - other})
    low, high = apart.interval("", draws)
    return f"{apart.mean(''):+.{places}f} ({low:+.{places}f} to {high:+.{places}f})"


def judged(said: np.ndarray, some: Transfers, rows: list[np.ndarray]) -> Judged:
    """Figures of forecasts, for each of the targets' rows."""
    return Judged({name: np.array([figure(said[own], some.score[own]) for own in rows]) for name, figure in FIGURES.items()})


def of_usual_recipe(some: Transfers) -> Transfers:
    """Those of the most frequent recipe: sources are compared, not recipes."""
    return some.take(some.candidates.recipes == Counter(some.candidates.recipes).most_common(1)[0][0])


def without_family(some: Transfers, by: dict[str, str], how: Callable[[Transfers, Transfers], np.ndarray]) -> np.ndarray:
    """(n,) what `how(known, asked)` says of each family, learned without it; NaN where nothing is known."""
    said = np.full(len(some), np.nan)
    for known, asked in held_out_families(some, by):
        if known.any():
            said[asked] = how(some.take(known), some.take(asked))
    return said


def by_prior(known: Transfers, asked: Transfers) -> np.ndarray:
    """Scores by weights and gains that the known transfers teach."""
    calibration = calibration_of_prior(known, learned_weights(known))
    return calibration.scores(asked.candidates, np.zeros(len(asked)), cold(asked))


def by_models(known: Transfers, asked: Transfers) -> np.ndarray:
    """Scores by process and trees that were fitted on the known transfers."""
    return Predictor("known", fit(known, regimes=(COLD,), weights=learned_weights(known))).forecast(
        asked.candidates, 0.9, explain=False
    ).score  # fmt: skip


def cold(some: Transfers) -> np.ndarray:
    """(n,) regime of rows that nothing is known of."""
    return np.full(len(some), COLD, dtype=object)


def static_order(some: Transfers) -> np.ndarray:
    """(n,) mean score of the source on the other targets, as a rank within these: the order that asks nothing of the target."""
    rows = some.candidates
    gain = some.score - pd.Series(some.score).groupby(rows.query_ids).transform("mean").to_numpy()
    by_source = pd.Series(gain).groupby(rows.sources)
    total, count = by_source.transform("sum").to_numpy(), by_source.transform("count").to_numpy()
    return np.asarray((total - gain) / np.maximum(count - 1, 1))


def single_measures(some: Transfers, rows: list[np.ndarray]) -> dict[str, Judged]:
    """Each column with a direction, as a ranker."""
    schema = some.candidates.schema
    directed = np.array([number for number, column in enumerate(schema) if column.better != "unknown"])
    ranks = ranks_of(some.candidates, directed)
    told = [(schema[number].name, ranks[:, place]) for place, number in enumerate(directed)]
    return {name: judged(said, some, rows) for name, said in told if np.abs(said).max() > 0}


def ceiling(some: Transfers, rows: list[np.ndarray], noise: Noise, draws: int = 50) -> float:
    """NDCG of an order by true means where one seed is judged: simulated from scores shrunk to what two seeds share."""
    rng, found = np.random.default_rng(SEED), []
    for own in rows:
        scores = some.score[own]
        true = np.sqrt(noise.reliability) * (scores - scores.mean())
        chance = np.sqrt(1 - noise.reliability) * scores.std(ddof=1)
        found += [100 * ndcg(true, true + rng.normal(scale=chance, size=len(own))) for _ in range(draws)]
    return float(np.mean(found))


def rmse_of_groups(
    some: Transfers, by: dict[str, str], groups: tuple[str, ...] | None, measures: tuple[str, ...] = ()
) -> np.ndarray:
    """(n,) errors of the forecast scores by some groups of evidence and measures alone, families held out; None takes all."""
    chosen = [
        column for column in some.candidates.schema
        if groups is None or column.group in groups or column.measure in measures
    ]  # fmt: skip
    narrowed = Transfers(some.candidates.only(chosen), some.score, some.hours)
    return some.score - without_family(narrowed, by, by_prior)


def rmse_at(errors: np.ndarray, said: np.ndarray, rows: list[np.ndarray], k: int | None) -> float:
    """Root mean square error over the k best-ranked candidates of each target."""
    best = [own if k is None else own[np.argsort(-said[own], kind="stable")[:k]] for own in rows]
    return float(np.sqrt(np.mean(errors[np.concatenate(best)] ** 2)))


def rq1(some: Transfers, by: dict[str, str], rows: list[np.ndarray]) -> pd.DataFrame:
    """Feature sets of the ANSAT paper's first question."""
    sets: dict[str, tuple[tuple[str, ...] | None, tuple[str, ...]]] = {
        "F1 alone": (("single-task scores",), ()),
        "F1 + ANSAT": (("single-task scores", "attribution"), ()),
        "F1 + WSS": (("single-task scores",), ("wss",)),
        "all evidence": (None, ()),
    }
    found = {}
    for name, (groups, measures) in sets.items():
        errors = rmse_of_groups(some, by, groups, measures)
        said = some.score - errors
        found[name] = {f"RMSE@{k or 'all'}": rmse_at(errors, said, rows, k) for k in (1, 3, 5, None)}
    return pd.DataFrame(found).T


def performance_by_hours(said: dict[str, np.ndarray], some: Transfers, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    """(101,) mean best score found, over the best there is, by share of the hours of trying all, for each order."""
    shares = np.linspace(0, 1, 101)
    found = {}
    for name, forecast in said.items():
        curves = []
        for own in rows:
            order = own[np.argsort(-forecast[own], kind="stable")]
            spent = np.cumsum(some.hours[order]) / some.hours[order].sum()
            best = np.maximum.accumulate(some.score[order]) / some.score[own].max()
            curves.append(np.where(shares < spent[0], 0.0, best[np.searchsorted(spent, shares + 1e-9, side="right") - 1]))
        found[name] = np.mean(curves, axis=0)
    return found


def rows_of_target(name: str) -> str:
    """How many training rows a target has: NAME.ROWS, or as many as all have."""
    other = name.rpartition(".")[2]
    return f"{other} rows" if other.isdigit() else "300 rows"


def trust(some: Transfers, rows: list[np.ndarray], by: dict[str, str]) -> pd.DataFrame:
    """Mean Spearman correlation of the ten best measures with the scores, by family and training rows of the target."""
    singles = single_measures(some, rows)
    names = [str(some.candidates.targets[own[0]]) for own in rows]
    parts = np.array([[by[name], rows_of_target(name)] for name in names]).T
    best = sorted(singles, key=lambda name: -singles[name].mean("Spearman"))[:10]
    table = {name: {"all": singles[name].mean("Spearman")} for name in best}
    for of_target in parts:
        for part in sorted(set(of_target)):
            for name in best:
                found = singles[name].by_target["Spearman"][of_target == part]
                table[name][f"{part} ({len(found)})"] = found.mean()
    return pd.DataFrame(table).T


def when_it_hurts(some: Transfers, by: dict[str, str], noise: Noise) -> pd.DataFrame:
    """Share of transfers below the no-transfer baseline, by kinship and by what the target reaches alone."""
    rows = some.candidates
    gain = some.score - rows.baseline
    same = np.array([by[s] == by[t] for s, t in zip(rows.sources, rows.targets, strict=True)])
    low = rows.baseline <= np.median(rows.baseline)
    deviation = np.array([noise.of(name) for name in rows.targets])
    size = np.array([rows_of_target(name) for name in rows.targets])
    parts = {
        "all": np.ones(len(gain), dtype=bool), "source of the target's family": same, "source of another family": ~same,
        "target that reaches less alone": low, "target that reaches more alone": ~low,
        **{f"target of {rows}": size == rows for rows in ("150 rows", "300 rows", "600 rows")},
    }  # fmt: skip
    return pd.DataFrame({
        name: {
            "pairs": int(part.sum()), "mean gain": gain[part].mean(), "below alone": (gain[part] < 0).mean(),
            "below by over 2 deviations": (gain[part] < -2 * np.sqrt(2) * deviation[part]).mean(),
        }
        for name, part in parts.items() if part.any()
    }).T  # fmt: skip


def recipes(table: pd.DataFrame, by: dict[str, str], draws: int) -> pd.DataFrame:
    """Test scores of the pairs that were trained with every recipe, by recipe; near are sources of the target's family."""
    tested = table[(table.split == "test") & (table.source != ALONE) & (table.seed == SEED)]
    complete = tested.pivot_table("score", ["source", "target"], "recipe").dropna()
    if complete.shape[1] < 2 or complete.empty:
        return pd.DataFrame()
    usual = tested.recipe.mode()[0]
    near = np.array([by[source] == by[target] for source, target in complete.index])
    apart = {name: difference(complete[name].to_numpy(), complete[usual].to_numpy(), draws, 3) for name in complete}
    return pd.DataFrame({
        "mean score": complete.mean(),
        f"minus {usual}": apart,
        "best of the pair": complete.idxmax(axis=1).value_counts(normalize=True),
        f"mean, near ({near.sum()} pairs)": complete[near].mean(),
        f"mean, far ({(~near).sum()} pairs)": complete[~near].mean(),
    }).fillna(0.0)  # fmt: skip


def fidelity(said: np.ndarray, some: Transfers, rows: list[np.ndarray]) -> float:
    """Pearson correlation of forecast and true differences within a target."""
    forecast, true = (np.concatenate([values[own] - values[own].mean() for own in rows]) for values in (said, some.score))
    return float(np.corrcoef(forecast, true)[0, 1])


def crossed_coverage(residuals: dict[str, np.ndarray], by: dict[str, str]) -> float:
    """Share of each family's held-out errors inside the 90 % interval that the other families' errors give."""
    inside = []
    for family in dict.fromkeys(by[name] for name in residuals):
        others = {name: errors for name, errors in residuals.items() if by[name] != family}
        half = Intervals(others).half_width(0.9)
        inside += [np.abs(errors) <= half for name, errors in residuals.items() if by[name] == family]
    return float(np.concatenate(inside).mean())


def main() -> None:
    """Judge, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/evidence.md and its plots")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--atlas", type=Path, default=DATA, help="folder of an atlas, by default the one of the package")
    given = parser.parse_args()
    table, some = atlas(given.atlas), of_usual_recipe(atlas_transfers(given.atlas))
    by = {name: name for name in (*some.candidates.targets, *some.candidates.sources)} | families(given.atlas)
    found = evidence(table, some, by, given.draws)
    if given.write:
        (DOCS / "evidence.md").write_text(page_of(found.result, found.tables), encoding="utf-8")
        plots(found.hours, found.forecast, found.score, DOCS)
    else:
        print(page_of(found.result, found.tables))
    print(json.dumps(found.result))


@dataclass(frozen=True)
class Evidence:
    """What the page shows.

    Attributes:
        result: figures of the last line.
        tables: of the sections.
        hours: best score found, over the best there is, by share of the hours, for each order.
        forecast, score: (n,) of the judged pairs, families held out.
    """

    result: dict[str, object]
    tables: dict[str, pd.DataFrame]
    hours: dict[str, np.ndarray]
    forecast: np.ndarray
    score: np.ndarray


def with_intervals(figures: dict[str, Judged], draws: int) -> pd.DataFrame:
    """Means with 95 % intervals, a row an order."""
    told = {
        name: {
            figure: "{:.2f} ({:.2f} to {:.2f})".format(found.mean(figure), *found.interval(figure, draws)) for figure in FIGURES
        }
        for name, found in figures.items()
    }
    return pd.DataFrame(told).T


def evidence(table: pd.DataFrame, some: Transfers, by: dict[str, str], draws: int) -> Evidence:
    """All of it."""
    prior, models = without_family(some, by, by_prior), without_family(some, by, by_models)
    rows = [own for own in rows_by_query(some.candidates.query_ids) if len(own) >= FEWEST and np.isfinite(prior[own]).all()]
    if not rows:
        raise InputError("no target of the atlas has five sources and other families to learn from. Collect more.")
    singles = single_measures(some, rows)
    best = {figure: max(singles, key=lambda name: sign * singles[name].mean(figure)) for figure, sign in SIGNS.items()}
    votes = centred_ranks(some.candidates, some.candidates.evidence_groups).sum(axis=1)
    orders = {
        LEARNED: prior,
        MODELS: models,
        VOTES: votes,
        STATIC: static_order(some),
        "random": np.zeros(len(some)),
    }
    figures = {name: judged(said, some, rows) for name, said in orders.items()}
    figures |= {f"{name} alone": singles[name] for name in dict.fromkeys(best.values())}
    noise = noise_of(table)
    top = ceiling(some, rows, noise)
    errors = rq1(some, by, rows)
    compared = {LEARNED: prior, STATIC: orders[STATIC], VOTES: votes}
    hours = performance_by_hours(compared, some, rows)
    used = np.concatenate(rows)
    share = float(np.mean([share_of_time(prior[own], some.score[own], some.hours[own]) for own in rows]))
    fitted = fit_on_families(some, by)
    half = Intervals(fitted.residuals).half_width(0.9)
    started = time.perf_counter()
    Predictor.load()
    loading = time.perf_counter() - started
    ours = figures[LEARNED]
    result = {
        "pairs": len(some), "pairs_repeated": noise.pairs, "targets": len(rows), "ndcg": round(ours.mean("NDCG"), 1),
        **{f"r{k}": round(ours.mean(f"R@{k}"), 2) for k in (1, 3, 5)},
        "ndcg_best_measure": round(singles[best["NDCG"]].mean("NDCG"), 1),
        **{f"r{k}_best_measure": round(singles[best[f"R@{k}"]].mean(f"R@{k}"), 2) for k in (1, 3)},
        "ndcg_equal_votes": round(figures[VOTES].mean("NDCG"), 1),
        "ndcg_static": round(figures[STATIC].mean("NDCG"), 1),
        "ndcg_models": round(figures[MODELS].mean("NDCG"), 1),
        "ndcg_ceiling": round(top, 1), "seed_deviation": round(noise.pooled, 4), "reliability": round(noise.reliability, 3),
        "source_deviation": round(float(np.sqrt(np.mean([some.score[own].var(ddof=1) for own in rows]))), 4),
        **{
            f"over_{name}": difference(ours.by_target["NDCG"], figures[order].by_target["NDCG"], draws)
            for name, order in (("votes", VOTES), ("random", "random"), ("best", f"{best['NDCG']} alone"))
        },
        "fidelity": round(fidelity(prior, some, rows), 3),
        "rmse_f1": round(errors.loc["F1 alone", "RMSE@all"], 4),
        "rmse_f1_ansat": round(errors.loc["F1 + ANSAT", "RMSE@all"], 4),
        "rmse_all": round(errors.loc["all evidence", "RMSE@all"], 4), "hours_share_1pct": round(share, 3),
        "coverage90": round(crossed_coverage(fitted.residuals, by), 3), "half_width": round(half, 3),
        "load_s": round(loading, 3),
        "versions": {name: version(name) for name in ("numpy", "xgboost", "scipy")}, "seed": SEED,
    }  # fmt: skip
    tables = {
        "ranking": with_intervals(figures, draws), "errors": errors.map("{:.4f}".format), "trusted": trust(some, rows, by),
        "hurts": when_it_hurts(some, by, noise), "recipes": recipes(table, by, draws),
    }  # fmt: skip
    return Evidence(result, tables, hours, prior[used], some.score[used])


if __name__ == "__main__":
    main()
