"""ANSAT at pool scale: 1,500 models against one target over 5,000 documents of 40 terms, and all pairs of 100 models.

The pairs are compared on the documents positive for one, for the other, and for both: about 500, 500 and 50 of them.

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
from transfercast.attribution.ansat import THRESHOLDS, DocumentSet, ansat_of_pairs, pack, shared_counts

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


def packed_pool(
    positive: np.ndarray,
) -> tuple[list[tuple[str, str]], dict[DocumentSet, np.ndarray], dict[str, dict[DocumentSet, np.ndarray]], float]:
    """All pairs of a pool, the documents of each of their sets, the bits of what each model reads, and seconds of packing.

    Args:
        positive: (models, documents) whether each document is positive for each model's task.
    """
    names = [str(model) for model in range(POOL)]
    own = {name: np.flatnonzero(mask) for name, mask in zip(names, positive, strict=True)}
    pairs = [(a, b) for a in names for b in names if a != b]
    sets: dict[DocumentSet, np.ndarray] = {}
    sets |= {(name, None): own[name] for name in names} | {(None, name): own[name] for name in names}
    sets |= {(a, b): np.intersect1d(own[a], own[b], assume_unique=True) for a, b in pairs}
    rows: dict[str, dict[DocumentSet, np.ndarray]] = {}
    packing = 0.0
    for name in names:
        drawn = activities(int(name))
        started = time.perf_counter()
        of_tasks = {other: pack(drawn[own[other]].ravel()) for other in names}
        rows[name] = {key: of_tasks[key[0] or key[1] or ""] for key in sets if None in key}
        common = {other: pack(drawn[sets[name, other]].ravel()) for other in names if other != name}
        rows[name] |= {(name, other): bits for other, bits in common.items()}
        rows[name] |= {(other, name): bits for other, bits in common.items()}
        packing += time.perf_counter() - started
    return pairs, sets, rows, packing


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

    pairs, sets, rows, packing_pairs = packed_pool(rng.random((POOL, DOCUMENTS)) < 0.1)
    started = time.perf_counter()
    pool = ansat_of_pairs(pairs, {key: len(documents) for key, documents in sets.items()}, rows, rows)
    all_pairs_s = time.perf_counter() - started

    everything = np.arange(DOCUMENTS)
    compared = 0
    for model in rng.choice(MODELS, 3, replace=False):
        place = int(rng.integers(len(THRESHOLDS)))
        expected = loops(activities(model), activities(MODELS), everything, THRESHOLDS[place])
        assert one_target[model, place] == expected, (model, place, one_target[model, place], expected)
        compared += 1
    for number in rng.choice(len(pairs), 5, replace=False):
        (a, b), place = pairs[number], int(rng.integers(len(THRESHOLDS)))
        for of_set, key in zip(pool[a, b], ((a, None), (None, b), (a, b)), strict=True):
            expected = loops(activities(int(a)), activities(int(b)), sets[key], THRESHOLDS[place])
            assert np.isclose(of_set[place], expected, rtol=1e-12), (a, b, key)
            compared += 1

    peak = peak_mb() / 1024
    print(f"{MODELS} models, one target: {one_target_s:.3f} s; all pairs of {POOL}: {all_pairs_s:.3f} s")
    print(f"packing what the pool's models read: {packing_pairs:.1f} s")
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
