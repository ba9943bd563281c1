"""Similarity of two targets, from what is known before any transfer to the first one is observed.

The similarity of targets a and b is the mean of four parts, which are 0 if unknown:

    profile     cosine of the evidence's z-scores over the sources, mean over columns
    measured    mean z-score of the measures for a as a source of b, and for b as a source of a
    effects     cosine of their relative scores as sources of the same targets, shrunk if they share few targets
    transfer    relative scores of a as a source on b, and of b as a source on a

Only observed cells are used, so a target whose cells were removed from the matrix is treated as a new target.
"""

from __future__ import annotations

import numpy as np

from transfercast.predictor.performance import PerformanceMatrix, TargetProfiles

SHARED = 2.0
"""Number of shared targets (for each encoder) at which half of the cosine of two sources counts."""


class TaskSimilarity:
    """Similarities to the targets of a performance matrix.

    Args:
        matrix: the observed cells.
    """

    def __init__(self, matrix: PerformanceMatrix) -> None:
        self.matrix = matrix
        outcomes = matrix.dense()
        self._targets = matrix.task_numbers(matrix.profiles.names)
        self._transfer, self._transferred = _nan_mean(outcomes)  # (t, u): target, source
        as_sources = outcomes.reshape(-1, outcomes.shape[2]).T  # (u, e t)
        self._known = np.isfinite(as_sources).astype(np.float64)
        self._as_sources = np.nan_to_num(as_sources)

    def effects(self, tasks: np.ndarray) -> np.ndarray:
        """(n, u) cosines of n tasks with all u tasks, of their relative scores as sources; 0 for a task of -1.

        Args:
            tasks: (n,) numbers of tasks.
        """
        known = self._known[tasks] * (tasks >= 0)[:, None]
        values = self._as_sources[tasks] * known
        norms = np.sqrt((values**2 @ self._known.T) * (known @ (self._as_sources**2).T))
        shared = known @ self._known.T
        weight = shared / (shared + SHARED * len(self.matrix.encoders))
        return np.asarray(np.where(norms > 1e-9, values @ self._as_sources.T / np.maximum(norms, 1e-9), 0.0) * weight)

    def transfer(self, target: np.ndarray, source: np.ndarray) -> np.ndarray:
        """(n,) relative scores of the sources on the targets, mean over encoders; 0 if not observed.

        Args:
            target, source: (n,) numbers of tasks.
        """
        row_of = np.full(len(self.matrix.tasks) + 1, -1)
        row_of[self._targets] = np.arange(len(self._targets))
        rows = row_of[target]
        known = (rows >= 0) & (source >= 0) & (target >= 0)
        return np.where(known, self._transfer[rows, source], 0.0)

    def among_targets(self, profiles: TargetProfiles) -> np.ndarray:
        """(n, t) similarities of n targets to the t targets of the matrix."""
        return np.asarray(np.mean(list(self.parts(profiles).values()), axis=0))

    def parts(self, profiles: TargetProfiles) -> dict[str, np.ndarray]:
        """(n, t) parts of the similarity, by name."""
        own, numbers = self.matrix.profiles, self.matrix.task_numbers(profiles.names)
        directed = np.array([column.better != "unknown" for column in self.matrix.columns], dtype=bool)
        measured, there = _nan_mean(profiles.measures[:, directed].transpose(1, 0, 2))
        back, back_there = _nan_mean(own.measures[:, directed].transpose(1, 0, 2))
        return {
            "profile": _cosines(profiles.measures, own.measures),
            "measured": _both_ways((measured, there), (back, back_there), numbers, self._targets),
            "effects": self.effects(numbers)[:, self._targets],
            "transfer": self._transfers(profiles, numbers),
        }

    def _transfers(self, profiles: TargetProfiles, numbers: np.ndarray) -> np.ndarray:
        """(n, t) relative scores of one target as a source on the other, mean over the observed directions."""
        place = {name: index for index, name in enumerate(self.matrix.profiles.names)}
        rows = np.array([place.get(name, -1) for name in profiles.names], dtype=np.int64)
        known = (rows >= 0)[:, None] & self._transferred[rows]
        onto = np.where(known, self._transfer[rows], 0.0)
        return _both_ways((onto, known), (self._transfer, self._transferred), numbers, self._targets)


def _both_ways(
    onto: tuple[np.ndarray, np.ndarray], back: tuple[np.ndarray, np.ndarray], numbers: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """(n, t) mean of the known values of b as a source of a, and of a as a source of b; 0 if both are unknown.

    Args:
        onto: (n, u) values of a by source, and whether they are known.
        back: (t, u) values of b by source, and whether they are known.
        numbers, targets: (n,) task numbers of a, -1 for none, and (t,) task numbers of b.
    """
    first, first_known = (part[:, targets] for part in onto)
    second, second_known = (part[:, numbers].T for part in back)
    second_known = second_known & (numbers >= 0)[:, None]
    count = first_known.astype(np.float64) + second_known
    total = np.where(first_known, first, 0.0) + np.where(second_known, second, 0.0)
    return np.asarray(total / np.maximum(count, 1.0))


def _nan_mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of known values over the first axis, 0 if there are none, and whether there are any."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), count > 0


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, t) cosines of (n, f, u) and (t, f, u) profiles over sources, mean over columns; 0 without columns."""
    one, other = (np.nan_to_num(part).transpose(1, 0, 2) for part in (one, other))
    one, other = (part / np.maximum(np.linalg.norm(part, axis=2, keepdims=True), 1e-9) for part in (one, other))
    return np.asarray((one @ other.transpose(0, 2, 1)).sum(axis=0) / max(len(one), 1))
