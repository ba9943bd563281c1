"""Does the predictor generalise? Published transfer tables, each target held out whole, beside plain baselines.

    python -m benchmarks.suite [--data ../shared/data/transfer] [--set NAME ...] [--sources 150] [--jobs 2]

TaskWeb with its four settings (judged as in `benchmarks.taskweb`) and the tables of `suite/`. Each target is a fold; of more
than 30 targets, ten folds of whole targets. Everything is learned and chosen without the fold, by the predictor and by the
baselines of `benchmarks.baselines`, which get the same rows. Figures are means over queries (target x encoder x metric): NDCG
and regret as in docs/methods.md, Spearman, and fidelity, the Pearson correlation of forecast and true score differences. A
margin is the predictor's NDCG minus that of the baseline that is best on the set in hindsight. The last line is JSON.

Learning from the whole of `model_recycling` is timed, and on TaskWeb forecasts of 10,000 pairs, and a plan of 20 steps with
reasons out of them.

Forecasts of baselines are kept by the content of the tables and of `baselines.py`, so that a second run takes only the
predictor's time. `--sources N` takes N random sources of larger tables (for development).
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from platformdirs import user_cache_path
from scipy.stats import spearmanr

from benchmarks import baselines
from benchmarks.baselines import BASELINES
from benchmarks.coldstart import suite_history, transfers
from benchmarks.data import DATA
from benchmarks.taskweb import history_of, judged_rows, measured_pairs, plan_with_reasons, ten_thousand
from transfercast.planning.stop import WORTH_STOPPING, expected_best
from transfercast.predictor.data import Transfers
from transfercast.predictor.fitting import fit
from transfercast.predictor.masking import COLD
from transfercast.predictor.metrics import REGRET_AT, ndcg, regret
from transfercast.predictor.predictor import Predictor

MOST_SINGLE_FOLDS, FOLDS = 30, 10
COVERAGE = 0.9
PROMISED_AFTER = 5
LARGEST = "model_recycling"
MOST_ROWS, SLOW = 20_000, ("Gaussian process over pairs",)
"""Baselines that would take hours on larger tables."""

FIGURES = ("NDCG", *(f"R@{k}" for k in REGRET_AT), "Spearman", "fidelity")


@dataclass(frozen=True)
class Table:
    """A published table: n transfers, the (n,) rows that are judged, and the (n,) names of the folds."""

    name: str
    observed: Transfers
    judged: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class Forecasts:
    """(n,) held-out forecasts of the predictor, and the seconds that they took in all.

    Attributes:
        lower, upper: ends of the 90 % interval.
        shared, own: standard deviations of the error that the rows of a target share, and of the row's own.
    """

    score: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    shared: np.ndarray
    own: np.ndarray
    seconds: float


def tables(folder: Path, only: list[str] | None, sources: int | None) -> Iterator[Table]:
    """TaskWeb and the tables of the suite."""
    if only is None or "taskweb" in only:
        observed = replace(transfers(history_of(folder)), measured=measured_pairs(folder))
        yield Table("taskweb", observed, judged_rows(observed), folds_of(observed))
    for path in sorted((folder / "suite").glob("*.csv")):
        if only is None or path.stem in only:
            observed = some_sources(transfers(suite_history(path)), sources)
            yield Table(path.stem, observed, np.ones(len(observed), dtype=bool), folds_of(observed))


def folds_of(observed: Transfers) -> np.ndarray:
    """(n,) the target, or with more than 30 targets, one of ten folds of targets."""
    names, number = np.unique(observed.candidates.targets, return_inverse=True)
    if len(names) <= MOST_SINGLE_FOLDS:
        return observed.candidates.targets
    return np.array([f"{fold}" for fold in np.random.default_rng(0).permutation(len(names)) % FOLDS], dtype=object)[number]


def some_sources(observed: Transfers, most: int | None) -> Transfers:
    """The transfers of at most so many random sources."""
    names = np.unique(observed.candidates.sources)
    if most is None or len(names) <= most:
        return observed
    return observed.take(np.isin(observed.candidates.sources, np.random.default_rng(0).permutation(names)[:most]))


def of_baseline(table: Table, name: str, cache: Path) -> np.ndarray:
    """(n,) held-out values of a baseline, from the cache if it was asked before."""
    digest = hashlib.sha256(inspect.getsource(baselines).encode())
    rows = table.observed.candidates
    names = [rows.sources, rows.targets, rows.encoder, table.folds]
    for part in (rows.values, table.observed.score, rows.baseline, *(np.array(each, dtype=str) for each in names)):
        digest.update(part.tobytes())
    file = cache / f"{digest.hexdigest()[:24]}-{list(BASELINES).index(name)}.npy"
    if file.is_file():
        return np.asarray(np.load(file))
    result = np.zeros(len(table.observed))
    for fold in dict.fromkeys(table.folds):
        out = table.folds == fold
        result[out] = BASELINES[name](table.observed.take(~out), rows.take(out))
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, result)
    return result


def of_fold(table: Table, fold: str) -> tuple[np.ndarray, ...]:
    """(m,) arrays of `Forecasts` for a fold."""
    out = table.folds == fold
    predictor = Predictor("held out", fit(table.observed.take(~out), regimes=(COLD,)))
    forecast = predictor.forecast(table.observed.candidates.take(out), COVERAGE, explain=False)
    return forecast.score, forecast.lower, forecast.upper, forecast.shared_spread, forecast.own_spread


def of_predictor(table: Table, jobs: int) -> Forecasts:
    """Held-out forecasts of the predictor."""
    started, names = time.perf_counter(), list(dict.fromkeys(table.folds))
    parts = np.full((5, len(table.observed)), np.nan)
    for fold, values in zip(names, Parallel(n_jobs=jobs)(delayed(of_fold)(table, name) for name in names), strict=True):
        parts[:, table.folds == fold] = values
    return Forecasts(*parts, time.perf_counter() - started)


def figures(table: Table, values: np.ndarray) -> dict[str, float]:
    """Means over queries."""
    truth, queries = table.observed.score, table.observed.candidates.query_ids
    rows_of = [np.nonzero((queries == query) & table.judged)[0] for query in range(queries.max() + 1)]
    rows_of = [rows for rows in rows_of if len(rows) > 1 and np.ptp(truth[rows]) > 0]
    parts = [
        [
            100 * ndcg(values[rows], truth[rows]),
            *(regret(values[rows], truth[rows], k) for k in REGRET_AT),
            float(spearmanr(values[rows], truth[rows]).statistic) if np.ptp(values[rows]) > 0 else 0.0,
            float(np.corrcoef(values[rows], truth[rows])[0, 1]) if np.ptp(values[rows]) > 0 else 0.0,
        ]
        for rows in rows_of
    ]
    return dict(zip(FIGURES, np.mean(parts, axis=0).tolist(), strict=True))


def line(name: str, row: dict[str, float]) -> str:
    """A row of the printed table."""
    cells = (f"{value:9.2f}" if figure in ("Spearman", "fidelity") else f"{value:7.2f}" for figure, value in row.items())
    return f"  {name:34}" + "".join(cells)


def compared(table: Table, jobs: int, cache: Path) -> dict[str, float]:
    """The predictor beside the baselines on one table, printed; the figures that count."""
    forecasts = of_predictor(table, jobs)
    names = [name for name in BASELINES if len(table.observed) <= MOST_ROWS or name not in SLOW]
    parts = Parallel(n_jobs=jobs)(delayed(of_baseline)(table, name, cache) for name in names)
    own = figures(table, forecasts.score)
    plain = {name: figures(table, values) for name, values in zip(names, parts, strict=True)}
    inside = ((forecasts.lower <= table.observed.score) & (table.observed.score <= forecasts.upper))[table.judged]
    width = float((forecasts.upper - forecasts.lower)[table.judged].mean())
    count, targets = len(table.observed), len(np.unique(table.observed.candidates.targets))
    print(f"{table.name}: {targets} targets, {len(np.unique(table.observed.candidates.sources))} sources, {count} rows")
    print(" " * 36 + "".join(f"{name:>7}" for name in FIGURES[:4]) + "".join(f"{name:>9}" for name in FIGURES[4:]))  # fmt: skip
    print(line("the predictor", own))
    for name, row in plain.items():
        print(line(name, row))
    best = max(plain, key=lambda name: plain[name]["NDCG"])
    margin = own["NDCG"] - plain[best]["NDCG"]
    print(f"  margin {margin:+.2f} over {best}; 90 % intervals cover {inside.mean():.3f}, {width:.3f} wide; "
          f"{forecasts.seconds:.1f} s\n", flush=True)  # fmt: skip
    result = {
        "margin": margin,
        **own,
        "best R@3": min(row["R@3"] for row in plain.values()),
        "coverage90": float(inside.mean()),
        "width90": width,
        "seconds": forecasts.seconds,
    }
    if table.name == "taskweb":
        return result | of_taskweb(table, forecasts)
    return result | ({"learn_50k_s": seconds_to_learn(table)} if table.name == LARGEST else {})


def seconds_to_learn(table: Table) -> float:
    """Seconds to learn from the whole table, all regimes calibrated, in one thread."""
    started = time.perf_counter()
    fit(table.observed)
    return time.perf_counter() - started


def of_taskweb(table: Table, forecasts: Forecasts) -> dict[str, float]:
    """What plans promise and when they stop, and how fast 10,000 pairs are forecast and planned."""
    told = promises(table, forecasts)
    predictor, sources = Predictor.of(table.observed), sorted(set(table.observed.candidates.sources))
    return {
        "stop_ratio": told["stop_after"] / told["needed"],
        "promised": told["promised"],
        "kept": told["kept"],
        "forecast_10k_s": ten_thousand(predictor, sources),
        "explain_plan_s": plan_with_reasons(predictor, sources),
    }


def promises(table: Table, forecasts: Forecasts) -> dict[str, float]:
    """What a plan of `PROMISED_AFTER` trainings promises over the target alone, and keeps; where it stops, and could have.

    Means over targets and encoders with more candidates than that.
    """
    rows = table.observed.candidates
    promised, kept, stops, needed = [], [], [], []
    for query in range(rows.query_ids.max() + 1):
        own = np.nonzero((rows.query_ids == query) & table.judged)[0]
        if len(own) <= PROMISED_AFTER:
            continue
        order = own[np.argsort(-forecasts.score[own], kind="stable")]
        alone, shared = float(rows.baseline[own[0]]), float(forecasts.shared[own[0]])
        expected = expected_best(alone, forecasts.score[order], forecasts.own[order], 1.0, shared)
        in_hand = np.maximum(np.maximum.accumulate(table.observed.score[order]), alone)
        promised.append(expected[PROMISED_AFTER - 1] - alone)
        kept.append(in_hand[PROMISED_AFTER - 1] - alone)
        for best, after in ((expected, stops), (in_hand, needed)):
            after.append(int(np.argmax(best[-1] - np.concatenate([[alone], best]) < WORTH_STOPPING)))
    return {"promised": float(np.mean(promised)), "kept": float(np.mean(kept)),
            "stop_after": float(np.mean(stops)), "needed": float(np.mean(needed))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "transfer")
    parser.add_argument("--set", action="append", help="only this one; again for more")
    parser.add_argument("--sources", type=int, help="of larger tables, only so many random sources")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=user_cache_path("transfercast") / "suite")
    given = parser.parse_args()
    versions = {name: version(name) for name in ("xgboost", "lightgbm", "catboost", "numpy", "scikit-learn")}
    print(f"Python {platform.python_version()}, {versions}; seed 0\n")
    rows = {table.name: compared(table, given.jobs, given.cache) for table in tables(given.data, given.set, given.sources)}
    margins = [row["margin"] for row in rows.values()]
    coverage = [row["coverage90"] for row in rows.values()]
    print("margins: " + ", ".join(f"{name} {row['margin']:+.1f}" for name, row in rows.items()))
    taskweb = rows.get("taskweb", {})
    result = {
        "margin_mean": float(np.mean(margins)),
        "margin_worst": min(margins),
        "r3_over_best": float(np.mean([row["R@3"] for row in rows.values()]) / np.mean([r["best R@3"] for r in rows.values()])),
        **{f"taskweb_{name}": taskweb.get(figure) for name, figure in zip(("ndcg", "r1", "r3", "r5"), FIGURES, strict=False)},
        "coverage90": float(np.mean(coverage)),
        "coverage90_worst": min(coverage),
        **{name: taskweb.get(name) for name in ("stop_ratio", "forecast_10k_s", "explain_plan_s")},
        "learn_50k_s": rows.get(LARGEST, {}).get("learn_50k_s"),
        "peak_gb": max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20,
        "sets": rows,
    }
    print(json.dumps(_rounded(result)))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
