"""How well each measure ranks sources, judged by actually fine-tuning every pair; transformer-ranker's three beside.

python -m benchmarks.rankers [--peers PYTHON] [--seeds 3] [--train-only]
    Ten sources are fine-tuned from the offline encoder, then each on four targets of 300 rows. Every score is kept in the
    user's cache folder as soon as it is known, so a run that was killed goes on. PYTHON is the interpreter of an
    environment with transformer-ranker 0.2.0 in it (see docs/benchmarks.md). Last line: {"ndcg": {...}, ...}
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from platformdirs import user_cache_path

from benchmarks.data import classification
from transfercast.core.cache import fingerprint
from transfercast.core.files import read_json, write_json
from transfercast.core.progress import progress
from transfercast.core.records import ALONE, Recipe
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
FORMAT = 1
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="python with transformer-ranker installed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-only", action="store_true", help="fine-tune, and measure nothing")
    given = parser.parse_args()
    targets = [classification(name, TARGET_ROWS) for name in TARGETS]
    pool = sources_pool()
    for source in pool.values():
        print(f"{source.name}: {source.metric} {source.scores['test']:.3f} on its own test rows")
    truth = transfers(pool, targets, given.seeds)
    for pair, scores in truth.items():
        print(*pair, *(f"{score:.3f}" for score in scores))


if __name__ == "__main__":
    main()
