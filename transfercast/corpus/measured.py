"""The atlas: transfers that were measured for transfercast itself, with all evidence and their learning curves.

How it is measured: `benchmarks/atlas.toml`, by `transfercast collect`. It holds names of tasks, scores, hours and measures; no
text and no weights. Every function here reads the folder of any atlas that `collect` made, by default the one of the package.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfercast.core.errors import InputError
from transfercast.core.files import read_json
from transfercast.core.table import Column

DATA = Path(__file__).with_name("data")
OBSERVATIONS, CURVES, COLUMNS, TASKS = "atlas.parquet", "curves.parquet", "columns.json", "tasks.csv"
FORMAT = 1


def atlas(folder: Path = DATA) -> pd.DataFrame:
    """One row for each training and split: source, target, recipe, seed, encoder, metric, split, score, hours, the evidence.

    A row whose source is '(alone)' is the target trained from the encoder itself. `run_key` names the training in `curves`.

    Args:
        folder: of an atlas.

    Raises:
        InputError: if there is none.

    Example:
        >>> import transfercast as tc
        >>> table = tc.atlas()
        >>> {"source", "target", "recipe", "split", "score", "hours", "logme"} <= set(table)
        True
        >>> alone = table[table["source"] == "(alone)"]
        >>> bool(alone["score"].between(-1, 1).all())
        True
    """
    return _table(folder / OBSERVATIONS)


def curves(folder: Path = DATA) -> pd.DataFrame:
    """One row for each epoch of each training: run_key, epoch from 0, score on validation, loss, seconds."""
    return _table(folder / CURVES)


def columns(folder: Path = DATA) -> tuple[Column, ...]:
    """What the columns of evidence mean."""
    content = read_json(folder / COLUMNS, "the columns of an atlas", FORMAT)
    return tuple(Column.model_validate(one) for one in content["columns"])


def families(folder: Path = DATA) -> dict[str, str]:
    """The family of each task that has one: tasks of one data set, or of one kind of text.

    A target with another number of rows, NAME.ROWS, is of the family of NAME.
    """
    if not (folder / TASKS).is_file():
        return {}
    tasks = pd.read_csv(folder / TASKS)
    known = dict(zip(tasks["task"], tasks["family"], strict=True))
    targets = pd.read_parquet(folder / OBSERVATIONS, columns=["target"])["target"].unique()
    return known | {name: known[task] for name in targets if (task := name.rpartition(".")[0]) in known}


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Collect an atlas: transfercast collect tasks.toml --out {path.parent}")
    return pd.DataFrame(pd.read_parquet(path))
