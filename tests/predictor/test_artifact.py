"""A predictor on disk is JSON and Markdown, and what was changed is refused before anything is made of it."""

from __future__ import annotations

import json

import pytest

from tests.predictor.test_predictor import past, table_of
from transfercast.core.errors import ArtifactError
from transfercast.core.files import sha256_of
from transfercast.core.table import FeatureTable
from transfercast.predictor.model import Predictor
from transfercast.predictor.retrain import train_meta


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_meta(past(), tmp_path_factory.mktemp("meta"), minutes=0, learners=("trees and ranker on ridge",)).folder


@pytest.fixture
def version(made, tmp_path):
    import shutil

    return shutil.copytree(made, tmp_path / "version")


def change(version, name, changes):
    """Change a file, and the hash beside it as well, as somebody would who means it."""
    path = version / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["sha256"][name] = sha256_of(path)
    (version / "manifest.json").write_text(json.dumps(manifest))


def test_an_artifact_holds_json_and_markdown_only(version):
    assert {path.suffix for path in version.iterdir()} == {".json", ".md"}
    assert "held out whole" in (version / "CARD.md").read_text().replace("\n", " ")


@pytest.mark.parametrize("name", ["residuals.json", "past.json", "model.json", "booster-0.json"])
def test_a_changed_or_missing_file_is_refused(version, name):
    (version / name).write_text("{}")
    with pytest.raises(ArtifactError, match=rf"{name}: missing or not what the manifest says"):
        Predictor.load(version)
    (version / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: missing"):
        Predictor.load(version)


@pytest.mark.parametrize(("number", "told"), [(99, "format 99, this version reads up to"), (1, "format 1; this version reads")])
def test_another_format_is_refused(version, number, told):
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "manifest.json").write_text(json.dumps({**manifest, "format": number}))
    with pytest.raises(ArtifactError, match=told):
        Predictor.load(version)


@pytest.mark.parametrize(
    ("field", "value"), [("left_children", 99_999), ("right_children", 0), ("split_indices", 9999), ("parents", 3)]
)
def test_tampered_trees_are_refused_before_xgboost_sees_them_even_with_matching_hashes(version, field, value):
    model = json.loads((version / "booster-0.json").read_text())
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    tree = next(t for t in trees if len(t["left_children"]) > 3)
    tree[field][1 if field == "parents" else 0] = value
    change(version, "booster-0.json", model)
    with pytest.raises(ArtifactError, match=r"booster, tree \d+"):
        Predictor.load(version)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("model.json", {"ridges": {}}), ("model.json", {"schema": [{"name": 1}]}), ("model.json", {"boosters": []}),
     ("model.json", {"boosters": [["booster-0.json", "new target", "trees"], ["CARD.md", "new target", "ranker"]]}),
     ("model.json", {"ridges": {"new target": {"mean": [0], "scale": [1], "weights": [1], "intercept": 0}}}),
     ("model.json", {"choice": {"learner": "ridge"}}), ("past.json", {"scores": [[0, 99, 0, 0.5]]}),
     ("past.json", {"tasks": 3}), ("residuals.json", {"t0": ["a"]})],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_even_with_matching_hashes(version, name, changes):
    change(version, name, changes)
    with pytest.raises(ArtifactError, match=r"Roll back, or train anew"):
        Predictor.load(version)


def test_a_table_of_another_version_of_a_measure_is_refused(version):
    table = table_of(past(), "t0")
    newer = tuple(c.model_copy(update={"version": 2}) for c in table.schema)
    with pytest.raises(ArtifactError, match="fitted on version 1"):
        Predictor.load(version).predict(FeatureTable(table.frame, newer, table.provenance))


def test_a_table_without_any_of_its_columns_is_refused(version):
    table = table_of(past(), "t0")
    schema = tuple(c.model_copy(update={"name": f"other_{c.name}"}) for c in table.schema)
    frame = table.frame.set_axis([c.name for c in schema], axis=1)
    with pytest.raises(ArtifactError, match="shares no column"):
        Predictor.load(version).predict(FeatureTable(frame, schema, table.provenance))
