"""How far two trainings of the same pair differ: by seeds alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from transfercast.core.records import ALONE

SHRUNK = 4.0
"""Degrees of freedom with which a target's own noise is pulled toward that of all."""


@dataclass(frozen=True)
class Noise:
    """How far seeds of one training differ, in score units.

    Attributes:
        pooled: standard deviation over all trainings that were repeated.
        by_target: that of each target with repeated trainings, shrunk toward the pooled one.
        pairs: transfers that were repeated.
        reliability: correlation, within a target, of the scores of two seeds.
    """

    pooled: float
    by_target: dict[str, float]
    pairs: int
    reliability: float

    def of(self, target: str) -> float:
        """Standard deviation for a target."""
        return self.by_target.get(target, self.pooled)


def noise_of(table: pd.DataFrame) -> Noise:
    """Noise between seeds, from the test scores of trainings that were repeated."""
    same = ["source", "target", "recipe", "encoder"]
    scores = table[table.split == "test"].groupby(same).score.agg(["var", "count"]).query("count > 1").reset_index()
    scores["freedom"], scores["sum"] = scores["count"] - 1, scores["var"] * (scores["count"] - 1)
    pooled = scores["sum"].sum() / scores.freedom.sum() if len(scores) else float("nan")
    own = scores.groupby("target")[["sum", "freedom"]].sum()
    variance = (own["sum"] + SHRUNK * pooled) / (own.freedom + SHRUNK)
    pairs = int((scores.source != ALONE).sum())
    return Noise(float(np.sqrt(pooled)), np.sqrt(variance).to_dict(), pairs, reliability(table))


def reliability(table: pd.DataFrame) -> float:
    """Mean correlation of the test scores of two seeds, over pairs that were repeated, less the mean of their target."""
    tested = table[(table.split == "test") & (table.source != ALONE)]
    scores = tested.pivot_table("score", ["source", "target", "recipe"], "seed").dropna()
    if scores.shape[1] < 2:
        return float("nan")
    of_target = scores.groupby("target")
    several = of_target.transform("count").iloc[:, 0] > 1
    between = (scores - of_target.transform("mean"))[several].corr().to_numpy()
    return float(between[np.triu_indices(len(between), 1)].mean())
