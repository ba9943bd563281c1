"""The first transfers of a newcomer: forecasts after two, three, four and eight observed targets. The last line is JSON.

    python -m benchmarks.coldstart [--data ../shared/data/transfer] [--draws 20] [--set NAME]

Each draw observes all transfers of a few random targets and forecasts those of all others. RMSE is over the rows of the
targets that were not observed; its mean over draws is divided by that of the prior, which has observed nothing, and by that of
the prior with the levels of the same observed targets, so that nothing but what was learned of the order is compared. At most
SOURCES random sources a draw, for zoos of a thousand models would take hours and show the same.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data import DATA
from benchmarks.taskweb import JUDGED, history_of
from transfercast.core.table import Column
from transfercast.history.store import History
from transfercast.predictor.data import Candidates, Transfers, transfers_of
from transfercast.predictor.fitting import NOTHING_OBSERVED, FittedModel, fit, fit_prior

COUNTS = (2, 3, 4, 8)
SOURCES = 40
BAR = 1.05


def sets(folder: Path, only: str | None) -> Iterator[tuple[str, Transfers]]:
    """Names of the sets with their transfers."""
    if only in (None, "taskweb"):
        observed = transfers(history_of(folder))
        yield "taskweb", observed.take(np.isin(observed.candidates.encoder, JUDGED))
    for path in sorted((folder / "suite").glob("*.csv")):
        if only in (None, path.stem):
            yield path.stem, transfers(suite_history(path))


def suite_history(path: Path) -> History:
    """A table of the suite as a history; the JSON beside it says what its columns mean."""
    columns = json.loads(path.with_suffix("").with_suffix(".columns.json").read_text())["columns"]
    history = History("sqlite://")
    history.describe(
        Column(name=name, measure=name, version=1, better=better, group=group) for name, (better, group) in columns.items()
    )
    history.import_file(path)
    return history


def transfers(history: History) -> Transfers:
    """The observed transfers."""
    return transfers_of(history.frames(), history.schema())


def drawn(observed: Transfers, count: int, rng: np.random.Generator) -> tuple[Transfers, Transfers]:
    """Transfers of `count` random targets, and those of all other targets, from the same random sources."""
    sources = np.unique(observed.candidates.sources)
    kept = np.isin(observed.candidates.sources, rng.permutation(sources)[:SOURCES])
    targets = rng.permutation(np.unique(observed.candidates.targets))
    seen = np.isin(observed.candidates.targets, targets[:count])
    return observed.take(kept & seen), observed.take(kept & ~seen)


def rmse(scores: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(((scores - truth) ** 2).mean()))


def scores(fitted: FittedModel, rows: Candidates) -> np.ndarray:
    """(n,) forecast scores."""
    return fitted.calibration.scores(rows, *fitted.relative(rows)[:2])


def compared(observed: Transfers, count: int, draws: int) -> dict[str, float]:
    """Mean RMSE of the predictor, and its ratio to those of the prior, after `count` observed targets."""
    errors = []
    for seed in range(draws):
        few, rest = drawn(observed, count, np.random.default_rng([seed, count]))
        by = (fit(few, regimes=()), NOTHING_OBSERVED, fit_prior(few))
        errors.append([rmse(scores(fitted, rest.candidates), rest.score) for fitted in by])
    ours, prior, levels_only = np.mean(errors, axis=0)
    worst = max(own / other for own, other, _ in errors)
    return {"rmse": float(ours), "prior": float(prior), "ratio": float(ours / prior), "worst draw": worst,
            "ratio to levels": float(ours / levels_only)}  # fmt: skip


def main() -> None:
    """Compare on every set, print a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "transfer")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--set", help="this one only")
    given = parser.parse_args()
    versions = {"python": platform.python_version(), "numpy": np.__version__, "pandas": pd.__version__,
                "xgboost": version("xgboost")}  # fmt: skip
    print(f"{given.draws} draws, seeds [draw, targets]; versions {versions}")
    started = time.perf_counter()
    ratios: dict[str, dict[str, float]] = {}
    to_levels: dict[str, dict[str, float]] = {}
    print(f"{'set':20}{'targets':>8}{'RMSE':>8}{'prior':>8}{'ratio':>7}{'worst draw':>12}{'to levels':>11}")
    for name, observed in sets(given.data, given.set):
        for count in COUNTS:
            if count >= len(np.unique(observed.candidates.targets)):
                continue
            row = compared(observed, count, given.draws)
            ratios.setdefault(name, {})[str(count)] = round(row["ratio"], 3)
            to_levels.setdefault(name, {})[str(count)] = round(row["ratio to levels"], 3)
            print(f"{name:20}{count:8}{row['rmse']:8.4f}{row['prior']:8.4f}{row['ratio']:7.3f}{row['worst draw']:12.2f}"
                  f"{row['ratio to levels']:11.3f}"
                  + ("  above the bar" if count < 8 and row["ratio"] > BAR else ""))  # fmt: skip
            sys.stdout.flush()
    seconds = round(time.perf_counter() - started, 1)
    results = {"rmse_ratio": ratios, "rmse_ratio_to_levels": to_levels}
    print(json.dumps({**results, "draws": given.draws, "seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
