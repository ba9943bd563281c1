"""Good inputs of every kind, made once; the tables damage copies of them."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import typer

from tests.builders import SCHEMA, past, table_of
from tests.conftest import sentences, write_csv
from tests.robustness.campaign import contents, run
from transfercast.predictor import trees
from transfercast.retraining.retrain import train_meta

RECIPE = "full/lr=0.01/epochs=1/batch=8/tokens=16"
ROWS = 40
PATIENCE = 300.0
"""Seconds for a good input, on a machine that does much else."""


@pytest.fixture(scope="session", autouse=True)
def private_places(tmp_path_factory):
    """A cache of our own, wide terminals, no server that stays, and no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "500")
        patch.setenv("NO_COLOR", "1")
        patch.delenv("TRANSFERCAST_HISTORY", raising=False)
        patch.delenv("TRANSFERCAST_API_KEY", raising=False)
        patch.setattr("uvicorn.run", lambda *arguments, **options: typer.echo("served"))
        yield


@pytest.fixture(scope="session")
def goods(tmp_path_factory, tiny_encoder, family_toml) -> Path:
    """A folder with one good input of each kind; untouched at the end."""
    folder = tmp_path_factory.mktemp("goods")
    shutil.copytree(tiny_encoder, folder / "encoder")
    shutil.copytree(family_toml.parent, folder / "family")
    for ending, comma in (("csv", ","), ("tsv", "\t")):
        write_csv(folder / f"data.{ending}", [(f"{text}{comma}{label}",) for text, label in _rows()], f"text{comma}label")
    _other_formats(folder)
    for command in (
        f"fit-sources family/tasks.toml --pool pool --encoder {folder}/encoder --recipe {RECIPE}",
        f"features pool family/tasks.toml --recipe {RECIPE} --documents 2 --only logme --only single_task",
        "plan features.parquet --trials 2",
        "fit-maps pool --pooling cls",
    ):
        outcome = run(command, folder, PATIENCE)
        assert outcome.code == 0, outcome.output
    _learned(folder)
    gc.collect()  # closes the databases, so that all they hold is in their files
    before = contents(folder)
    yield folder
    after = contents(folder)
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == set()


def _rows() -> list[tuple[str, int]]:
    return sentences(ROWS, "good", seed=1)


def _other_formats(folder: Path) -> None:
    frame = pd.DataFrame(_rows(), columns=["text", "label"])
    frame.to_parquet(folder / "data.parquet")
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")), encoding="utf-8")
    sentence = "the\tO\ngood\tB-X\nfilm\tI-X\nwas\tO\nbad\tB-Y\n\n"
    (folder / "data.conll").write_text(sentence * ROWS, encoding="utf-8")


def _learned(folder: Path) -> None:
    """A history as CSV, Parquet and database, a table of its candidates, and a predictor with boosters."""
    history = past()
    history.export_file(folder / "transfers.csv")
    history.export_file(folder / "transfers.parquet")
    columns = " ".join(f'--column "{c.name}:{c.better}:{c.group}"' for c in SCHEMA)
    outcome = run(f"history import transfers.csv --history history.db {columns}", folder, PATIENCE)
    assert outcome.code == 0, outcome.output
    table_of(history, "t0").save(folder / "candidates.parquet")
    with pytest.MonkeyPatch.context() as splitting:
        splitting.setitem(trees._PARAMETERS, "min_child_weight", 0.01)  # so few rows would else give trees of one leaf
        train_meta(history, folder / "meta", minutes=0)
    (folder / "meta" / ".retraining.lock").unlink(missing_ok=True)
