"""What a service is started on."""

from __future__ import annotations

import pytest

from tests.builders import SCHEMA, of_two_encoders, past, table_of
from transfercast.history.store import History
from transfercast.retraining.retrain import train_meta


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    """A folder with a history, two versions of a predictor, and tables of one and two encoders; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("taught")
    history = History(folder / "history.db")
    history.append(past().observations(), SCHEMA)
    train_meta(history, folder / "meta", minutes=0)
    train_meta(past(seed=1), folder / "meta", minutes=0, margin=100)
    history.engine.dispose()
    table_of(past(), "t0").save(folder / "features.parquet")
    of_two_encoders().save(folder / "two.parquet")
    return folder
