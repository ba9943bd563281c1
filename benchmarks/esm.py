"""ESM-LogME against hf-dataset-selector: speed at 1,500 sources, maps by ridge against Adam, and what sharing saves.

python -m benchmarks.esm --peers PYTHON [--skip-sharing]        last line: {"speedup_hfselect": ..., "seconds_1500": ..., ...}

PYTHON is the interpreter of an environment with hf-dataset-selector in it (docs/benchmarks.md).

1. 1,500 random maps of 768 dimensions (3.5 GB of files) and 1,000 rows of six classes, in the base encoder's space; the base
   encoder's own pass is in neither time. The peer runs its loop over 20 of them. Memory is the sum of this process's and its
   workers' peaks, with torch loaded.
2. Maps of the ten sources of benchmarks.rankers, fitted on 800 rows of their own task and judged on 200 others.
3. The whole table for 20 sources and a target of 1,000 rows, against every measure alone with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import torch
from scipy.stats import spearmanr

from benchmarks import peak_mb
from benchmarks.data import DATA
from benchmarks.logme import case, theirs
from benchmarks.rankers import CACHE, sources_pool
from transfercast.core.cache import ArrayCache
from transfercast.core.progress import progress
from transfercast.core.records import Recipe
from transfercast.features.artifacts import Artifacts
from transfercast.features.evidence import own_task, some
from transfercast.features.extract import extract_features
from transfercast.features.maps import MappedTarget, score_maps
from transfercast.features.registry import measures
from transfercast.sources.encoders import OFFLINE
from transfercast.sources.esm import SpaceMap, fit_adam, fit_ridge
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import task_of

SEED, MAPS, PEERS_MAPS, ROWS, WIDTH, CLASSES = 0, 1500, 20, 1000, 768, 6
LABELS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "excitement", "fear", "gratitude", "joy", "love", "optimism", "remorse",
    "sadness", "surprise",
)  # fmt: skip
DOCUMENTS = 4


def random_maps(folder: Path) -> dict[str, Path]:
    """Maps near the identity, on disk."""
    rng = np.random.default_rng(SEED)
    found = {}
    for number in progress(range(MAPS), "writing maps"):
        change = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) * 0.5 / WIDTH**0.5
        name = f"map{number:04}"
        one = SpaceMap(np.eye(WIDTH, dtype=np.float32) + change, rng.normal(size=WIDTH).astype(np.float32))
        one.save(folder / name, base_model="base", task=name, pooling="mean")
        found[name] = folder / name
    return found


def at_scale(peers: Path) -> dict[str, float]:
    """Time and memory of scoring all maps, and the peer's time a map."""
    base, labels = case("encoder", ROWS, WIDTH, CLASSES)
    base = base.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        maps = random_maps(Path(folder))
        started = time.perf_counter()
        scores = dict(progress(score_maps(MappedTarget.of(base, labels), maps, os.cpu_count()), "maps", total=len(maps)))
        taken = time.perf_counter() - started
        workers = [Path(f"/proc/{child.pid}/status") for child in psutil.Process().children(recursive=True)]
        peaks = [peak_mb(), *(peak_mb(status) for status in workers if status.is_file())]
        some_names = list(maps)[:PEERS_MAPS]
        found = theirs(peers, "maps", base=base, labels=labels, folders=[str(maps[name]) for name in some_names])
    each, peers_each = taken / MAPS, found["seconds"] / PEERS_MAPS
    mine = np.array([scores[name] for name in some_names])
    print(f"{MAPS} maps: {taken:.1f} s, {1e3 * each:.1f} ms a map, {len(peaks)} processes, {sum(peaks) / 1024:.2f} GB at most")
    print(f"hf-dataset-selector {found['versions']['hf-dataset-selector']}: {1e3 * peers_each:.0f} ms a map")
    agreement = spearmanr(mine, found["scores"]).statistic
    apart = np.abs(mine - found["scores"]).max()
    print(f"its ranking of {PEERS_MAPS} and ours: rho {agreement:.3f}; scores differ by {apart:.1e} at most")
    return {"speedup_hfselect": peers_each / each, "seconds_1500": taken, "peak_gb": sum(peaks) / 1024}


def ridge_against_adam() -> float:
    """Held-out mean squared error of the closed form over that of the paper's recipe, mean over sources."""
    pool, ratios = sources_pool(), []
    artifacts = Artifacts(ArrayCache(CACHE / "arrays"), torch.device("cpu"))
    for source in progress(list(pool.values()), "maps"):
        texts = some(own_task(source).seen, ROWS).texts
        base = artifacts.base_reading(OFFLINE, texts, source.max_tokens, split=False).embeddings
        tuned = artifacts.reading(source, texts, split=False).embeddings
        rows = np.random.default_rng(SEED).permutation(len(texts))
        fit, held_out = rows[len(rows) // 5 :], rows[: len(rows) // 5]
        maps = {"ridge": fit_ridge(base[fit], tuned[fit]), "adam": fit_adam(base[fit], tuned[fit], seed=SEED)}
        errors = {name: float(((one(base[held_out]) - tuned[held_out]) ** 2).mean()) for name, one in maps.items()}
        ratios.append(errors["ridge"] / errors["adam"])
        variance = float(tuned[held_out].var(0).mean())
        told = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
        print(f"    {source.name}: held-out squared error {told} (variance {variance:.4f}), ratio {ratios[-1]:.3f}")
    return float(np.mean(ratios))


def sharing() -> float:
    """Time of the whole table over that of every measure alone."""
    folder = DATA / "multilabel" / "goemotions"
    splits = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}

    def task(label: str, train: int, validation: int):
        rows = {"train": train, "validation": validation, "test": 50}
        about = {"name": label, "kind": "multilabel", "labels": [label], "label": label}
        return task_of({**about, **splits, "rows": rows, "positive_share": 0.5})

    recipe = Recipe(epochs=1, max_tokens=16)
    pool = SourcePool.fit(CACHE / "sharing", [task(label, 300, 50) for label in LABELS[:20]], recipe=recipe, seed=SEED)
    target = task(LABELS[20], 900, 100)
    pool.target_model(target, recipe, SEED)

    def seconds(only: list[str] | None) -> float:
        with tempfile.TemporaryDirectory() as empty:
            started = time.perf_counter()
            extract_features(
                pool, [target], recipe=recipe, seed=SEED, documents=DOCUMENTS, only=only, cache=ArrayCache(Path(empty))
            )  # fmt: skip
            return time.perf_counter() - started

    seconds(["single_task"])  # what is imported and read for the first time
    together = seconds(None)
    print(f"{len(pool)} sources, {len(target.seen)} rows: all measures together {together:.1f} s")
    apart = {}
    for name in measures():
        apart[name] = seconds([name])
        print(f"    {name} alone: {apart[name]:.1f} s", flush=True)
    print(f"sum {sum(apart.values()):.1f} s")
    return together / sum(apart.values())


def main() -> None:
    """Run the three parts, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="python with hf-dataset-selector installed")
    parser.add_argument("--skip-sharing", action="store_true", help="leave out the third part")
    given = parser.parse_args()
    told = at_scale(given.peers)
    told["ridge_over_adam"] = ridge_against_adam()
    told["shared_over_separate"] = float("nan") if given.skip_sharing else sharing()
    versions = {name: version(name) for name in ("numpy", "scipy", "torch", "transformers")}
    print(json.dumps({name: round(value, 3) for name, value in told.items()} | {"seed": SEED, "versions": versions}))


if __name__ == "__main__":
    main()
