"""Small performance matrices, written down cell by cell."""

from __future__ import annotations

import numpy as np

from tests.core.test_core import column
from transfercast.predictor.data import Transfers, candidates_of


def transfers_from(rows, evidence=None, baselines=None, better="higher") -> Transfers:
    """Transfers from (source, target, score) or (source, target, score, encoder).

    Args:
        rows: of the transfers.
        evidence: (n, f) values of f columns.
        baselines: by target.
        better: direction of the columns.
    """
    values = np.empty((len(rows), 0)) if evidence is None else np.array(evidence, dtype=float)
    schema = [column(f"m{number}").model_copy(update={"better": better}) for number in range(values.shape[1])]
    candidates = candidates_of(values, schema, [(row[0], row[1], "full") for row in rows], {}, "e")
    fields = dict(candidates.__dict__)
    fields["encoder"] = np.array([row[3] if len(row) > 3 else "e" for row in rows], dtype=object)
    fields["baseline"] = np.array([(baselines or {}).get(row[1], np.nan) for row in rows], dtype=float)
    candidates = type(candidates)(**{name: fields[name] for name in candidates.__dataclass_fields__})
    return Transfers(candidates, np.array([row[2] for row in rows], dtype=float), np.ones(len(rows)))


def grid(targets, sources, encoders=("e",), seed=0, columns=2) -> Transfers:
    """Random scores of all pairs, which follow the first column and an effect of the source."""
    rng = np.random.default_rng(seed)
    effect = dict(zip(sources, rng.normal(0, 0.05, len(sources)), strict=True))
    rows, evidence = [], []
    for encoder in encoders:
        for target in targets:
            for source in sources:
                if source != target:
                    evidence.append(rng.normal(size=columns))
                    score = 0.5 + effect[source] + 0.05 * evidence[-1][0] + 0.01 * rng.normal()
                    rows.append((source, target, float(np.clip(score, 0, 1)), encoder))
    baselines = {target: float(rng.uniform(0.3, 0.6)) for target in targets}
    return transfers_from(rows, evidence, baselines)
