"""ANSAT at pool scale: 1,500 models against one target over 5,000 documents of 40 terms, and all pairs of 100 models.

python -m benchmarks.ansat        last line: {"one_target_s": ..., "all_pairs_100_s": ..., "peak_gb": ..., ...}

Activities are random. Timed is what follows once each model's activities are packed into bits (which is done once a model,
and whose time is printed). Both results are compared with the formula's plain loops on a sample.
"""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import version

import numpy as np

from benchmarks import peak_mb
from transfercast.attribution.ansat import THRESHOLDS, pack, pool_ansat, shared_counts

MODELS, POOL, DOCUMENTS, TERMS, SEED = 1500, 100, 5000, 40, 0


def activities(model: int) -> np.ndarray:
    """(documents, terms) of one model, the same whenever asked for."""
    rng = np.random.default_rng([SEED, model])
    return rng.beta(
        0.5,
        2,
        (DOCUMENTS, TERMS),
    ).astype(np.float32)


def loops(first: np.ndarray, second: np.ndarray, documents: np.ndarray, threshold: float) -> float:
    """The formula, document by document and term by term."""
    found = 0
    for document in documents:
        for a, b in zip(first[document].tolist(), second[document].tolist(), strict=True):
            found += (a >= threshold) * (b >= threshold)
    return found / len(documents)


def main() -> None:
    """Time both, compare with the loops, and print."""
    rng = np.random.default_rng(SEED)
    bits = np.empty((MODELS, len(THRESHOLDS), DOCUMENTS * TERMS // 64), dtype=np.uint64)
    packing = 0.0
    for model in range(MODELS):
        drawn = activities(model).ravel()
        started = time.perf_counter()
        bits[model] = pack(drawn)
        packing += time.perf_counter() - started
    target = pack(activities(MODELS).ravel())

    started = time.perf_counter()
    one_target = shared_counts(target[None], bits)[0] / DOCUMENTS
    one_target_s = time.perf_counter() - started

    positive = rng.random((POOL, DOCUMENTS)) < 0.1
    started = time.perf_counter()
    pool = pool_ansat(bits[:POOL], positive, np.full(DOCUMENTS, TERMS))
    all_pairs_s = time.perf_counter() - started

    everything = np.arange(DOCUMENTS)
    compared = 0
    for model in rng.choice(MODELS, 3, replace=False):
        place = int(rng.integers(len(THRESHOLDS)))
        expected = loops(activities(model), activities(MODELS), everything, THRESHOLDS[place])
        assert one_target[model, place] == expected, (model, place, one_target[model, place], expected)
        compared += 1
    for _ in range(5):
        (a, b), place = rng.choice(POOL, 2, replace=False), int(rng.integers(len(THRESHOLDS)))
        sets = {"on_a": positive[a], "on_b": positive[b], "on_ab": positive[a] & positive[b]}
        for name, mask in sets.items():
            expected = loops(activities(a), activities(b), np.flatnonzero(mask), THRESHOLDS[place])
            assert np.isclose(getattr(pool, name)[a, b, place], expected, rtol=1e-12), (a, b, name)
            compared += 1

    peak = peak_mb() / 1024
    print(f"{MODELS} models, one target: {one_target_s:.3f} s; all pairs of {POOL}: {all_pairs_s:.3f} s")
    print(f"packing one model's {DOCUMENTS * TERMS:,} activities: {1e3 * packing / MODELS:.2f} ms; peak memory {peak:.2f} GB")
    print(f"{compared} values equal to plain loops")
    told = {
        "one_target_s": round(one_target_s, 3), "all_pairs_100_s": round(all_pairs_s, 3), "peak_gb": round(peak, 2),
        "packing_ms_a_model": round(1e3 * packing / MODELS, 2), "compared_with_loops": compared, "seed": SEED,
        "cores": os.cpu_count(), "numpy": version("numpy"),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
