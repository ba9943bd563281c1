"""How well each measure ranks sources, judged by actually fine-tuning every pair; transformer-ranker's three beside.

python -m benchmarks.rankers [--peers PYTHON] [--seeds 2] [--train-only]
    Ten sources are fine-tuned from the offline encoder, then each on four targets of 300 rows. Every score is kept in the
    user's cache folder as soon as it is known, so a run that was killed goes on. PYTHON is the interpreter of an
    environment with transformer-ranker 0.2.0 in it (see docs/benchmarks.md). Last line: {"ndcg": {...}, ...}
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from platformdirs import user_cache_path

from benchmarks.data import classification
from benchmarks.logme import theirs
from transfercast.core.cache import ArrayCache, fingerprint
from transfercast.core.files import read_json, write_json
from transfercast.core.progress import progress
from transfercast.core.records import ALONE, Recipe
from transfercast.core.table import Column, FeatureTable
from transfercast.features.extract import extract_features
from transfercast.features.registry import measures
from transfercast.predictor.data import candidates_of_table
from transfercast.predictor.metrics import REGRET_AT, ndcg, regret
from transfercast.predictor.prior import centred_ranks
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, weights_fingerprint
from transfercast.sources.finetune import fine_tune
from transfercast.sources.pool import SourcePool
from transfercast.tasks.task import Task

SOURCES = (
    "clinc_intent", "davidson_hate", "movie_reviews", "opinion_polarity", "question_type", "snips_intent", "subjectivity",
    "tweet_emotion", "tweet_offensive", "tweet_sentiment",
)  # fmt: skip
TARGETS = ("atis_intent", "customer_reviews", "tweet_hate", "tweet_irony")
SOURCE_ROWS = {"train": 3000, "validation": 300, "test": 500}
TARGET_ROWS = {"train": 300, "validation": 200, "test": 1000}
SOURCE_RECIPE, RECIPE = Recipe(max_tokens=64), Recipe(epochs=5, max_tokens=64)
TIMED = "tweet_irony"
DOCUMENTS, SEED, DRAWS, FORMAT = 16, 0, 500, 1
CACHE = user_cache_path("transfercast") / "benchmarks" / "rankers"


def sources_pool() -> SourcePool:
    """The ten sources, fine-tuned where that is still to do."""
    sources = [classification(name, SOURCE_ROWS) for name in SOURCES]
    return SourcePool.fit(CACHE / "pool", sources, encoder=OFFLINE, recipe=SOURCE_RECIPE)


def score(pool: SourcePool, source: str, target: Task, seed: int) -> float:
    """Test score of a target trained from a source, or from the base encoder; kept by what it rests on."""
    base = checkpoint_folder(pool.encoder)
    weights = weights_fingerprint(base) if source == ALONE else pool[source].fingerprint
    key = fingerprint(weights=weights, target=target.fingerprint, recipe=RECIPE.key, seed=seed)
    kept = CACHE / "transfers" / f"{key}.json"
    if not kept.is_file():
        folder = base if source == ALONE else pool[source].checkpoint
        trained = fine_tune(target, folder, RECIPE, seed=seed, device=torch.device("cpu"))
        found = trained.score(target, "test", RECIPE.max_tokens)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, {"format": FORMAT, "source": source, "target": target.name, "seed": seed, "score": found})
    return float(read_json(kept, "transfer", FORMAT)["score"])


def transfers(pool: SourcePool, targets: list[Task], seeds: int) -> dict[tuple[str, str], list[float]]:
    """Scores by seed of every pair, and of each target alone."""
    pairs = [(source, target) for target in targets for source in (ALONE, *pool)]
    work = [(seed, source, target) for seed in range(seeds) for source, target in pairs]
    found: dict[tuple[str, str], list[float]] = {(source, target.name): [] for source, target in pairs}
    for seed, source, target in progress(work, "transfers"):
        found[source, target.name].append(score(pool, source, target, seed))
    return found


def measured(pool: SourcePool, targets: list[Task]) -> tuple[FeatureTable, dict[str, float]]:
    """All measures of all pairs, and the seconds of each measure alone for TIMED, with an empty cache.

    Targets are trained already, and that is in no time.
    """
    options = {"recipe": RECIPE, "documents": DOCUMENTS}
    for target in targets:
        pool.target_model(target, RECIPE)
    timed, seconds = [target for target in targets if target.name == TIMED], {}
    table = extract_features(pool, targets, **options, cache=ArrayCache(CACHE / "arrays"))
    for name in measures():
        kept = CACHE / "times" / f"{fingerprint(name=name, table=table.provenance.sources, documents=DOCUMENTS)}.json"
        if not kept.is_file():
            with tempfile.TemporaryDirectory() as empty:
                started = time.perf_counter()
                extract_features(pool, timed, only=[name], **options, cache=ArrayCache(Path(empty)))
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"format": FORMAT, "measure": name, "seconds": time.perf_counter() - started})
        seconds[name] = float(read_json(kept, "time", FORMAT)["seconds"])
    return table, seconds


def by_transformer_ranker(
    python: Path, pool: SourcePool, targets: list[Task]
) -> tuple[dict[str, pd.Series], dict[str, float], dict[str, str]]:
    """Scores of its three estimators with its default aggregation, by pair; seconds of each; versions."""
    models = {str(source.checkpoint): source.name for source in pool.values()}
    scores: dict[str, dict[tuple[str, str], float]] = {}
    seconds: dict[str, float] = {}
    versions: dict[str, str] = {}
    for target in progress(targets, "transformer-ranker"):
        fingerprints = {source.name: source.fingerprint for source in pool.values()}
        kept = CACHE / "peers" / f"{fingerprint(target=target.fingerprint, models=fingerprints)}.json"
        if not kept.is_file():
            found = theirs(python, "ranker", texts=target.seen.texts, labels=target.seen.labels, models=list(models))
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"format": FORMAT, **found})
        found = read_json(kept, "a peer's scores", FORMAT)
        versions = found.pop("versions")
        del found["format"]
        for estimator, told in found.items():
            name = f"transformer-ranker {estimator}"
            if target.name == TIMED:
                seconds[name] = told["seconds"]
            given = {(models[path], target.name): score for path, score in told["scores"].items()}
            scores.setdefault(name, {}).update(given)
    return {name: pd.Series(values) for name, values in scores.items()}, seconds, versions


def judged(values: pd.Series, truth: pd.Series) -> dict[str, float]:
    """NDCG and regret of ranking by values, mean over the targets for which there are any.

    Sources without a value come last; ties are broken at random, and the mean over DRAWS of that is told.
    """
    found, rng = [], np.random.default_rng(SEED)
    for target in TARGETS:
        true = truth.xs(target, level="target")
        own = values[values.index.get_level_values("target") == target].droplevel("target").reindex(true.index)
        if own.notna().any():
            forecast, real = own.fillna(-np.inf).to_numpy(), true.to_numpy()
            orders = [rng.permutation(len(real)) for _ in range(DRAWS)]
            draws = [
                [ndcg(forecast[order], real[order]), *(regret(forecast[order], real[order], k) for k in REGRET_AT)]
                for order in orders
            ]
            found.append(np.mean(draws, axis=0))
    names = ("ndcg", *(f"regret@{k}" for k in REGRET_AT))
    return {**dict(zip(names, np.mean(found, axis=0).tolist(), strict=True)), "targets": len(found)}


def at_random(truth: pd.Series) -> dict[str, float]:
    """What random orders reach."""
    return judged(pd.Series(0.0, truth.index), truth)


def _of_few(column: Column) -> bool:
    """Whether a column is no ANSAT, or ANSAT at the one threshold that is shown: near the mean of positive activities."""
    threshold = {"ansat": "_0.05", "ansat_l2": "_0.20"}.get(column.measure, "")
    return column.name.endswith(threshold)


def rankings(table: FeatureTable) -> dict[str, pd.Series]:
    """Every column with a direction, higher is better; of ANSAT one of 14 thresholds; and the prior that joins all."""
    frame = table.frame.droplevel("recipe")
    shown = [c for c in table.schema if c.better != "unknown" and _of_few(c)]
    found = {c.name: frame[c.name] * (1 if c.better == "higher" else -1) for c in shown if frame[c.name].notna().any()}
    groups = list(dict.fromkeys(c.group for c in table.schema))
    joined = centred_ranks(candidates_of_table(table), groups).sum(1)
    return {**found, "the prior: mean rank of all measures": pd.Series(joined, frame.index)}


def main() -> None:
    """Fine-tune what is not kept yet, measure, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="python with transformer-ranker installed")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of every pair")
    parser.add_argument("--train-only", action="store_true", help="fine-tune, and measure nothing")
    given = parser.parse_args()
    targets = [classification(name, TARGET_ROWS) for name in TARGETS]
    pool = sources_pool()
    for source in pool.values():
        print(f"{source.name}: {source.metric} {source.scores['test']:.3f} on its own test rows")
    by_seed = transfers(pool, targets, given.seeds)
    for target in targets:
        told = {source: np.mean(scores) for (source, name), scores in by_seed.items() if name == target.name}
        print(f"{target.name} ({target.metric}): " + ", ".join(f"{source} {told[source]:.3f}" for source in told))
    if given.train_only:
        return
    pairs = [pair for pair in by_seed if pair[0] != ALONE]
    index = pd.MultiIndex.from_tuples(pairs, names=["source", "target"])
    runs = np.array([by_seed[pair] for pair in pairs])  # (pairs, seeds)
    truth = pd.Series(runs.mean(1), index)

    table, seconds = measured(pool, targets)
    found, versions = rankings(table), {}
    if given.peers:
        theirs_by_name, theirs_seconds, versions = by_transformer_ranker(given.peers, pool, targets)
        found |= {name: values.rename_axis(["source", "target"]) for name, values in theirs_by_name.items()}
        seconds |= theirs_seconds
    told = {name: judged(values, truth) for name, values in found.items()}
    told["random order"] = at_random(truth)
    if given.seeds > 1:
        told["one seed of the transfers, judged by the others"] = judged(
            pd.Series(runs[:, 0], index), pd.Series(runs[:, 1:].mean(1), index)
        )
    measure_of = {column.name: column.measure for column in table.schema}
    print(f"\n{'ranking by':48} {'NDCG':>5} {'R@1':>6} {'R@3':>6} {'R@5':>6} targets  seconds")
    for name, one in sorted(told.items(), key=lambda item: -item[1]["ndcg"]):
        taken = seconds.get(measure_of.get(name, name), float("nan"))
        regrets = " ".join(f"{one[f'regret@{k}']:6.2f}" for k in REGRET_AT)
        print(f"{name:48} {100 * one['ndcg']:5.1f} {regrets} {one['targets']:7.0f} {taken:8.1f}")
    print(f"seconds are of {TIMED} and its {len(pool)} sources, each measure alone")
    print(json.dumps({
        "measures": {name: {key: round(value, 4) for key, value in one.items()} for name, one in told.items()},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "seeds": given.seeds, "rows": TARGET_ROWS, "recipe": RECIPE.key,
        "versions": versions | {name: version(name) for name in ("torch", "transformers", "scikit-learn")},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
