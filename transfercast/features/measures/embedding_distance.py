"""Distance of source and target in the base encoder's space: sliced Wasserstein, and KL and JS divergence of normals.

`wasserstein` is the mean over 64 random directions of the distance of the projected rows. `embedding_kl` is the divergence of
the target's from the source's rows, each taken as a normal with independent dimensions; `embedding_js` is the mean
divergence of both from the normal with the mean moments. Slices: Bonneel and others (2015).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import wasserstein_distance

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure

DIRECTIONS = 64
SEED = 0
LEAST_VARIANCE = 1e-6


@measure(
    kinds=ALL_KINDS,
    better="lower",
    group="data",
    paper="bonneel2015sliced",
    columns=("wasserstein", "embedding_kl", "embedding_js"),
)
def embedding_distance(source_base_embeddings: np.ndarray, target_base_embeddings: np.ndarray) -> np.ndarray:
    """Sliced Wasserstein distance of the two sets of texts, and KL and JS divergence in nats a dimension; at least 0.

    Args:
        source_base_embeddings: (n, d) the source's texts in the base encoder.
        target_base_embeddings: (m, d) the target's.
    """
    source, target = (np.asarray(rows, dtype=np.float64) for rows in (source_base_embeddings, target_base_embeddings))
    directions = np.random.default_rng(SEED).normal(size=(source.shape[1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    slices = [wasserstein_distance(a, b) for a, b in zip((source @ directions).T, (target @ directions).T, strict=True)]
    p, q = _moments(target), _moments(source)
    between = np.abs(p[0] - q[0]) / 2
    middle = ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2 + between**2)
    return np.array([np.mean(slices), _kl(p, q), (_kl(p, middle) + _kl(q, middle)) / 2])


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.maximum(rows.var(0), LEAST_VARIANCE)


def _kl(p: tuple[np.ndarray, np.ndarray], q: tuple[np.ndarray, np.ndarray]) -> float:
    return float((np.log(q[1] / p[1]) + (p[1] + (p[0] - q[0]) ** 2) / q[1] - 1).mean() / 2)
