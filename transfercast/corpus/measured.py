"""The atlas: transfers that were measured for transfercast itself, with all evidence and their learning curves.

How it was measured: `benchmarks/atlas.toml`, by `transfercast collect`. It holds names of tasks, scores, hours and measures; no
text and no weights.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from transfercast.core.files import read_json
from transfercast.core.table import Column

DATA = Path(__file__).with_name("data")
OBSERVATIONS = DATA / "atlas.parquet"
FORMAT = 1


def atlas() -> pd.DataFrame:
    """One row for each training: source, target, recipe, seed, encoder, metric, split, score, hours and the evidence.

    A row whose source is `ALONE` is the target trained from the encoder itself. `History.import_file` reads the file that
    it comes from, `atlas.measured.OBSERVATIONS`.
    """
    return pd.DataFrame(pq.read_table(OBSERVATIONS).to_pandas())


def curves() -> pd.DataFrame:
    """One row for each epoch of each training: run_key (as in `atlas()`), epoch from 0, score on validation, loss, seconds."""
    return pd.DataFrame(pq.read_table(DATA / "curves.parquet").to_pandas())


def columns() -> tuple[Column, ...]:
    """What the columns of evidence mean."""
    return tuple(
        Column.model_validate(one) for one in read_json(DATA / "columns.json", "the columns of an atlas", FORMAT)["columns"]
    )


def families() -> dict[str, str]:
    """The family of each task: tasks of one data set, or of one kind of text, whose transfers say little of others."""
    tasks = pd.read_csv(DATA / "tasks.csv")
    return dict(zip(tasks["task"], tasks["family"], strict=True))
