"""Makes transfercast/corpus/data/hub_models.parquet from the published table, and says how good recommendations from it are.

python -m benchmarks.hub_table [--write]     last line: {"kept": ..., "gain_first": ..., "gain_best_of_five": ..., ...}

Of the published rows some hold scores in other columns than they belong to (a two-class set below chance, a hard set at 0.97):
over the 36 sets they correlate little with the median of their encoder's models, where the others correlate above 0.9. Rows
below 0.85 are left out, and those of the base encoders are kept.

Each of the 36 sets is then left out in turn, and models are recommended for it from the other 35: what the first, and the best
of the first five, gain over the base encoder, against a random model and the best one; and how often gains lie within bounds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data import DATA
from transfercast.corpus import hub

PUBLISHED = DATA / "transfer" / "suite" / "model_recycling.csv"
SHIPPED = Path(hub.__file__).parent / "data" / "hub_models.parquet"
LEAST_CORRELATION = 0.85
ON_THE_HUB = {"microsoft_deberta-v3-base": "microsoft/deberta-v3-base", "google_t5-v1_1-base": "google/t5-v1_1-base"}


def screened() -> tuple[pd.DataFrame, int]:
    """The published scores, a row a model, without those in wrong columns; and how many were left out."""
    published = pd.read_csv(PUBLISHED)
    table = published.pivot_table(index=["encoder", "source"], columns="target", values="score")
    medians = table.groupby(level="encoder").transform("median")
    correlation = table.corrwith(medians, axis=1)
    keep = (correlation > LEAST_CORRELATION) | (table.index.get_level_values("source") == "(alone)")
    kept = table[keep].round(4).astype(np.float32).reset_index().replace({"encoder": ON_THE_HUB})
    kept.columns.name = None
    return kept, int((~keep).sum())


def left_out(encoder: str) -> Iterator[dict[str, float]]:
    """For each set: what models recommended from the others gain on it."""
    known = hub._scores(encoder)
    gains, worth = known.scores - known.alone, hub._robust_z(known.scores)
    for column, target in enumerate(known.targets):
        weights = hub._weights(known.targets, target in hub.PAIRS)
        weights[column] = 0
        order = np.argsort(-(worth @ weights), kind="stable")
        others = [number for number in range(len(known.targets)) if number != column]
        errors = hub._errors_left_out(gains[:, others], [known.targets[number] for number in others])
        low, high = np.quantile(errors, [(1 - hub.COVERAGE) / 2, (1 + hub.COVERAGE) / 2])
        error = gains[:, column] - hub._shrunk_mean(gains, weights)
        yield {
            "gain_first": gains[order[0], column],
            "gain_best_of_five": gains[order[:5], column].max(),
            "gain_random": gains[:, column].mean(),
            "gain_best": gains[:, column].max(),
            "first_is_better": float(gains[order[0], column] > 0),
            "promised_first": hub._shrunk_mean(gains, weights)[order[0]],
            "coverage": float(((error >= low) & (error <= high)).mean()),
        }


def main() -> None:
    """Measure; with --write, make the table that is shipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    table, dropped = screened()
    if write:
        table.to_parquet(SHIPPED, index=False, compression="zstd")
    rows = pd.DataFrame([{"encoder": name, **row} for name in hub.encoders() for row in left_out(name)])
    print(rows.groupby("encoder").mean().round(3).to_string())
    figures = {name: round(float(value), 4) for name, value in rows.drop(columns="encoder").mean().items()}
    versions = {name: version(name) for name in ("numpy", "pandas")}
    print(json.dumps({"kept": len(table), "left_out": dropped, **figures, "versions": versions}))


if __name__ == "__main__":
    main()
