"""The predictor that is made from an atlas: the same files from the same atlas, read where none is named, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders import SCHEMA, past, table_of
from transfercast.core.errors import InputError
from transfercast.core.files import write_json
from transfercast.core.records import ALONE
from transfercast.corpus import measured
from transfercast.history.frames import FIELDS
from transfercast.predictor import prior
from transfercast.predictor.predictor import Predictor
from transfercast.retraining.bundled import atlas_transfers, make


def an_atlas(folder: Path, targets: int = 12, families: int = 3) -> Path:
    folder.mkdir()
    past(targets).export_file(folder / measured.OBSERVATIONS)
    write_json(folder / measured.COLUMNS, {"format": measured.FORMAT, "columns": [one.model_dump() for one in SCHEMA]})
    rows = [f"t{n},family {n % families}" for n in range(targets)]
    (folder / measured.TASKS).write_text("\n".join(["task,family", *rows, ""]), encoding="utf-8")
    return folder


def test_the_same_atlas_gives_the_same_files_byte_for_byte_also_in_another_process(tmp_path, monkeypatch):
    atlas = an_atlas(tmp_path / "atlas")
    for name in ("one", "other"):
        monkeypatch.setattr("transfercast.core.files.owner_id", lambda name=name: f"process of {name}")
        make(tmp_path / name, atlas)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert {"model.json", ".transfercast"} <= set(files)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name


def test_where_no_folder_is_named_it_forecasts_scores_with_bounds_and_says_what_it_rests_on(tmp_path, monkeypatch):
    make(tmp_path / "bundled", an_atlas(tmp_path / "atlas"))
    monkeypatch.setattr(prior, "BUNDLED", tmp_path / "bundled")
    loaded, table = Predictor.load(), table_of(past(), "t0")
    forecast = loaded.predict(table)
    assert loaded.id.startswith("atlas-")
    assert forecast.basis.startswith("Rests on 60 measured transfers between other tasks (the atlas), none of your own.")
    assert ((forecast.lower < forecast.score) & (forecast.score < forecast.upper)).all()
    np.testing.assert_allclose(forecast.why.sum(axis=1) + forecast.base, forecast.score)
    # in the made-up history, logme decides
    assert np.argmax(forecast.score) == np.argmax(table.frame.logme)


@pytest.mark.parametrize(("targets", "families"), [(11, 3), (12, 2)])
def test_an_atlas_of_few_targets_or_families_is_refused_and_nothing_is_written(tmp_path, targets, families):
    with pytest.raises(InputError, match="too few to learn from; at least 12 targets of 3 families"):
        make(tmp_path / "made", an_atlas(tmp_path / "atlas", targets, families))
    assert not (tmp_path / "made").exists()


def test_the_atlas_of_the_package_is_whole():
    table, curves, columns = measured.atlas(), measured.curves(), measured.columns()
    assert set(FIELDS) <= set(table)
    assert set(curves.run_key) <= set(table.run_key)
    assert {column.name for column in columns} >= set(table) - {"versions", *FIELDS}
    assert set(table.target) <= set(measured.families())


def test_where_there_is_no_atlas_one_sentence_says_how_to_collect_one(tmp_path):
    with pytest.raises(InputError, match=r"no such file\. Collect an atlas: transfercast collect"):
        measured.atlas(tmp_path)


def test_of_measures_that_the_atlas_does_not_know_it_gives_the_order_of_equal_votes(tmp_path, monkeypatch):
    make(tmp_path / "bundled", an_atlas(tmp_path / "atlas"))
    monkeypatch.setattr(prior, "BUNDLED", tmp_path / "bundled")
    known = table_of(past(), "t0")
    schema = tuple(column.model_copy(update={"name": f"my_{column.name}"}) for column in known.schema)
    own = replace(known, frame=known.frame.set_axis([column.name for column in schema], axis=1), schema=schema)
    found, equal = Predictor.load().predict(own), Predictor().predict(own)
    assert found.is_order_only
    np.testing.assert_array_equal(found.score, equal.score)
    np.testing.assert_array_equal(found.why, equal.why)


def test_what_was_tested_is_learned_from_its_score_on_test_rows(tmp_path):
    history = past(2)
    of_t0 = [one for one in history.observations() if one.target == "t0"]
    history.append(replace(one, split="test", score=one.score / 2, features={}, run_key="") for one in of_t0)
    history.export_file(tmp_path / measured.OBSERVATIONS)
    write_json(tmp_path / measured.COLUMNS, {"format": measured.FORMAT, "columns": [one.model_dump() for one in SCHEMA]})
    found = atlas_transfers(tmp_path)
    rows = dict(zip(zip(found.candidates.targets, found.candidates.sources, strict=True), found.score, strict=True))
    on_validation = {(one.target, one.source): one for one in history.observations() if one.split == "validation"}
    assert len(rows) == 10
    for (target, source), score in rows.items():
        assert score == pytest.approx(on_validation[target, source].score / (2 if target == "t0" else 1))
    baseline = found.candidates.baseline[found.candidates.targets == "t0"]
    assert baseline == pytest.approx(on_validation["t0", ALONE].score / 2)
    assert np.isfinite(found.candidates.matrix([one.name for one in SCHEMA])).all()
