"""Histories, tables and transfers that many tests are made of."""

from __future__ import annotations

import numpy as np

from tests.core.test_core import column
from transfercast.core.records import ALONE, Observation, Recipe
from transfercast.core.table import INDEX, AloneFacts, FeatureTable, Provenance, TargetFacts
from transfercast.history.store import History
from transfercast.predictor.data import Transfers, transfers_of

SCHEMA = (
    column("source_score", group="single-task scores"), column("target_score", group="single-task scores"),
    column("ansat_b_0.20", group="attribution"), column("logme"),
)  # fmt: skip


def past(targets=6, sources=5, seed=0, schema=SCHEMA, encoders=("e",)) -> History:
    """A history in which the gain follows logme and ANSAT, with some noise."""
    rng = np.random.default_rng(seed)
    history = History("sqlite://")
    history.describe(schema)
    rows = []
    for t, encoder in [(t, encoder) for t in range(targets) for encoder in encoders]:
        alone = float(rng.uniform(0.3, 0.6))
        common = {"target": f"t{t}", "recipe": Recipe().key, "encoder": encoder, "seed": 0, "metric": "positive_f1",
                  "split": "validation", "hours": 0.1}  # fmt: skip
        rows.append(Observation(source=ALONE, score=alone, **common))
        for s in range(sources):
            x = rng.uniform(0, 1, 3)
            score = float(np.clip(alone + 0.3 * (x[2] - 0.5) + 0.1 * (x[1] - 0.5) + rng.normal(0, 0.01), 0, 1))
            features = dict(zip([c.name for c in schema], [x[0], alone, x[1], x[2]], strict=True))
            rows.append(Observation(source=f"s{s}", score=score, features=features, **common))
    history.append(rows)
    return history


def table_of(history: History, target: str) -> FeatureTable:
    frames = history.frames()
    chosen = (frames.records.target == target) & (frames.records.source != ALONE)
    rows = frames.records[chosen].set_index(INDEX)
    features = frames.features[chosen][[c.name for c in SCHEMA]].set_index(rows.index)
    facts = {target: TargetFacts(fingerprint="", metric="positive_f1", train_rows=10, score=float(rows.baseline.iloc[0]))}
    return FeatureTable(features, SCHEMA, Provenance(targets=facts, encoder="e"))


def of_two_encoders() -> FeatureTable:
    """The table of t0, two of its sources fine-tuned from another encoder, with which t0 alone scores less and takes longer."""
    table = table_of(past(), "t0")
    known = table.provenance.targets["t0"]
    alone = {
        "e": AloneFacts(score=known.score, seconds_per_row_epoch=0.5),
        "f": AloneFacts(score=known.score - 0.1, seconds_per_row_epoch=2.0),
    }
    facts = {"t0": known.model_copy(update={"alone": alone})}
    about = table.provenance.model_copy(update={"encoders": {"s0": "f", "s3": "f"}, "targets": facts})
    return FeatureTable(table.frame, table.schema, about)


def observed(*args, **kwargs) -> Transfers:
    """The transfers of `past`."""
    history = past(*args, **kwargs)
    return transfers_of(history.frames(), history.schema())
