"""`recommend` without a pool: models of the hub by published figures, and what to do next."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.conftest import sentences, write_csv
from transfercast.cli import app


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_csv(tmp_path / "reviews.csv", sentences(80, "good", seed=1))


def test_models_of_the_encoder_are_named_with_gains_and_the_command_that_measures_them(reviews):
    told = CliRunner().invoke(app, ["recommend", str(reviews), "--encoder", "roberta-base", "--trials", "3", "--json"])
    assert told.exit_code == 0, told.output
    rows = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == 3
    assert all(row["encoder"] == "roberta-base" and row["low"] < row["gain"] < row["high"] for row in rows)
    assert f"--adopt first={rows[0]['name']}" in told.stderr


def test_without_pool_models_and_encoder_one_error_names_all_three_ways(reviews):
    told = CliRunner().invoke(app, ["recommend", str(reviews)])
    assert told.exit_code == 2
    assert all(word in told.stderr for word in ("--pool", "--adopt", "--encoder roberta-base"))


def test_an_encoder_without_published_models_is_one_error(reviews):
    told = CliRunner().invoke(app, ["recommend", str(reviews), "--encoder", "gpt9"])
    assert told.exit_code == 2
    assert "no measurements of encoder 'gpt9'" in told.stderr
