"""A table of three tasks and their pool, measured once; each test gets the table on a pool of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from transfercast.core.cache import ArrayCache
from transfercast.core.plan import Budget
from transfercast.core.records import Recipe
from transfercast.features.extract import extract_features
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family

FAST = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)


@pytest.fixture(scope="package")
def measured(tmp_path_factory, family_toml, tiny_encoder):
    folder = tmp_path_factory.mktemp("measured")
    family = read_family(family_toml)
    pool = SourcePool.fit(folder / "pool", family.sources, encoder=str(tiny_encoder), recipe=FAST)
    return extract_features(pool, family.targets, recipe=FAST, documents=2, cache=ArrayCache(folder / "cache"))


@pytest.fixture
def table(measured, tmp_path):
    """The table on a copy of its pool, so that no test finds the models of another."""
    shutil.copytree(measured.provenance.pool, tmp_path / "pool")
    return replace(measured, provenance=measured.provenance.model_copy(update={"pool": str(tmp_path / "pool")}))


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/history.db"


def planned(table, trials, recipes=None):
    table = table if recipes is None else table.with_recipes(recipes)
    return plan(Predictor.load().predict(table), table, Budget(trials=trials))
