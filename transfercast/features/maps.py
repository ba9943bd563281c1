"""ESM-LogME of many maps for one target: the base encoder encodes the target once; each map costs one small reduction.

With B = Q R (centred base embeddings) a map's centred embeddings are Q R W', so that their Gram matrix and products with
the labels are those of R W', with d rows instead of n. It is computed in float32; because the mean is kept separate, that
changed the evidence of real maps by 1e-5 at most. If float32 cannot resolve the best prior, the rows are mapped in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import blas

from transfercast.core.errors import InputError, ShapeError
from transfercast.core.files import reason
from transfercast.features.measures.logme import logme
from transfercast.features.regression import PrecisionError, Problem, columns_of, largest_evidence
from transfercast.features.rows import useless
from transfercast.sources.esm import SpaceMap

BATCH = 20
"""Number of maps that a worker takes at a time."""


@dataclass(frozen=True, slots=True)
class MappedTarget:
    """A target's rows in the base encoder, made ready for maps.

    Attributes:
        base: (n, d) base embeddings.
        values: (n,) class numbers, or real values.
        mean: (d,) of the embeddings.
        root: (d, d) upper triangle R of the centred embeddings, float32; None if there are at most d rows.
        sides, lengths, constant: labels in its basis, (d, C), (C,) and (C,): Q'y, y'y of centred y, sqrt(n) times the means.
    """

    base: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    root: np.ndarray | None
    sides: np.ndarray
    lengths: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, base: np.ndarray, values: np.ndarray) -> MappedTarget:
        """Centre and factorise, once a target.

        Raises:
            ShapeError: if the lengths differ, or there are fewer than two rows.
            InputError: if the embeddings are no numbers, or all the same.
        """
        base, values = np.asarray(base, dtype=np.float64), np.asarray(values)
        if len(base) != len(values) or len(values) < 2:
            raise ShapeError(f"a label for every row, and two rows: {len(base)} rows, {len(values)} labels.")
        if (why := useless(base)) is not None:
            raise InputError(f"the base encoder cannot be used: {why}. Name another.")
        mean, columns = base.mean(0), columns_of(values)
        constant = np.sqrt(len(base)) * columns.mean(0)
        centred = columns - columns.mean(0)
        basis, root = np.linalg.qr(base - mean)
        tall = len(base) > base.shape[1]
        return cls(
            base, values, mean, np.asfortranarray(root, dtype=np.float32) if tall else None,
            basis.T @ centred, (centred**2).sum(0), constant,
        )  # fmt: skip

    def esm_logme(self, found: SpaceMap) -> float:
        """LogME of the rows mapped, in nats a sample; NaN where the map sends all rows to one point.

        Raises:
            ShapeError: if the map is for another width.
        """
        if found.weight.shape[1] != self.base.shape[1]:
            raise ShapeError(f"a map of {found.weight.shape[1]} dimensions for a base encoder of {self.base.shape[1]}.")
        if not found.weight.any():
            return float("nan")
        if self.root is not None:
            try:
                return self._in_float32(self.root, found)
            except PrecisionError:
                pass
        return logme(found(self.base), self.values)

    def _in_float32(self, root: np.ndarray, found: SpaceMap) -> float:
        mapped = blas.strmm(1.0, root, np.asfortranarray(found.weight.T, dtype=np.float32))
        gram, sides = blas.ssyrk(1.0, mapped, trans=1, lower=1), blas.sgemm(1.0, mapped, self.sides, trans_a=1)
        centre = blas.sgemv(1.0, found.weight.T, self.mean, trans=1) + found.bias.astype(np.float64)
        constant = (np.sqrt(len(self.base)) * centre, self.constant)
        return float(largest_evidence(Problem(gram, sides, self.lengths, len(self.base), constant=constant)).mean())


def score_maps(target: MappedTarget, maps: Mapping[str, Path], jobs: int | None = None) -> Iterator[tuple[str, float | str]]:
    """ESM-LogME of each map when it is finished, or the reason of its failure.

    Args:
        target: the target in the maps' base encoder.
        maps: folders by name.
        jobs: workers at a time, with BLAS on one thread each; by default what `joblib.parallel_config` sets, else one.
    """
    names = list(maps)
    batches = [{name: maps[name] for name in names[start : start + BATCH]} for start in range(0, len(names), BATCH)]
    for found in Parallel(n_jobs=jobs, return_as="generator")(delayed(_scores)(target, batch) for batch in batches):
        yield from found.items()


def _scores(target: MappedTarget, batch: Mapping[str, Path]) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for name, folder in batch.items():
        try:
            score = target.esm_logme(SpaceMap.load(folder))
            found[name] = score if np.isfinite(score) else "it maps every row to the same point, or beyond all numbers"
        except Exception as error:  # any error of one map; the others are still scored
            found[name] = reason(error)
    return found
